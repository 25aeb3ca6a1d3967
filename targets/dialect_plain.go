package targets

import (
	"bytes"
	"unicode/utf8"
)

// A plainChunk knows what the chunks of one stream look like around their text,
// so that the next such chunk costs two comparisons and no parser.
//
// It knows no server's format: it learns from a chunk that encoding/json has
// read. It takes the place of a text field, puts another text there, and has the
// changed chunk read as well: if exactly that text comes out, the place is proven
// to be the text and nothing else, because a JSON string of plain characters can
// be exchanged for another without a change to the rest. So whatever matches byte
// for byte around a plain string reads as encoding/json would read it. Escapes,
// bytes that are not UTF-8, another length of the rest, a new time stamp: full decode.
//
// A scanner for the common field order was the other way. It costs more per chunk
// (it must walk over ids and names), and falls back for every server that orders
// its fields otherwise.
type plainChunk struct {
	before, after []byte // the chunk up to the text's opening quote, and from its closing one
	reasoning     bool   // the text is Reasoning, not Text
	wait, misses  int    // full decodes until the next attempt to learn
}

// Learning costs one more full decode. Where chunks never repeat (some servers
// pad each with random text) it soon stops trying, but never for good.
const (
	maxPlainChunk = 4 << 10
	maxMisses     = 10
)

// match reads data if it is like the chunk learned from.
func (p *plainChunk) match(data []byte, out *Delta) bool {
	n := len(data) - len(p.after)
	if p.after == nil || n < len(p.before) ||
		!bytes.Equal(data[:len(p.before)], p.before) || !bytes.Equal(data[n:], p.after) {
		return false
	}
	text := data[len(p.before):n]
	if !isPlain(text) {
		return false
	}
	p.misses = 0
	out.Role = true
	if p.reasoning {
		out.Text, out.Reasoning = nil, text
	} else {
		out.Text, out.Reasoning = text, nil
	}
	return true
}

// isPlain reports whether text between two quotes is a JSON string that means itself.
func isPlain(text []byte) bool {
	ascii := true
	for _, c := range text {
		if c < 0x20 || c == '"' || c == '\\' {
			return false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return ascii || utf8.Valid(text)
}

// learn remembers the chunk that was read into d, if it is one of text and nothing else.
func (p *plainChunk) learn(data []byte, d *Delta) {
	text := d.Text
	reasoning := len(d.Reasoning) > 0
	if reasoning {
		text = d.Reasoning
	}
	if len(text) == 0 || len(data) > maxPlainChunk || bytes.ContainsAny(data, "\r\n") || (reasoning && len(d.Text) > 0) || !isPlain(text) ||
		len(d.Tool) > 0 || d.Finish != "" || d.Usage != nil || d.Done || d.Err != "" {
		return
	}
	if p.wait > 0 {
		p.wait--
		return
	}
	p.before, p.after = nil, nil
	p.misses = min(p.misses+1, maxMisses)
	p.wait = 1<<p.misses - 2
	at := fieldText(data, text, reasoning)
	if at < 0 {
		return
	}
	proof := string(text) + "x"
	changed := append(append(bytes.Clone(data[:at]), proof...), data[at+len(text):]...)
	var got Delta
	if decodeChunk(changed, &got) != nil || !isOnlyText(&got, proof, reasoning) {
		return
	}
	p.before = bytes.Clone(data[:at])
	p.after = bytes.Clone(data[at+len(text):])
	p.reasoning = reasoning
}

// fieldText is where text stands as the value of a text field, or -1.
func fieldText(data, text []byte, reasoning bool) int {
	keys := []string{`"content"`}
	if reasoning {
		keys = []string{`"reasoning"`, `"reasoning_content"`}
	}
	for _, key := range keys {
		for _, gap := range []string{":", ": "} {
			head := key + gap + `"`
			if i := bytes.Index(data, append([]byte(head), append(bytes.Clone(text), '"')...)); i >= 0 {
				return i + len(head)
			}
		}
	}
	return -1
}

func isOnlyText(d *Delta, text string, reasoning bool) bool {
	rest := d.Reasoning
	have := d.Text
	if reasoning {
		have, rest = rest, have
	}
	return string(have) == text && len(rest) == 0 && len(d.Tool) == 0 && d.Role &&
		d.Finish == "" && d.Usage == nil && !d.Done && d.Err == ""
}
