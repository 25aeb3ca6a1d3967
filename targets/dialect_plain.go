package targets

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A plainChunk knows what the chunks of one stream look like around what changes
// in them, so that the next such chunk costs a few comparisons and no parser.
//
// It knows no server's format: it learns from a chunk that encoding/json has read.
// It takes the place of a text field, puts another text there, and has the changed
// chunk read as well: if exactly that text comes out, the place is proven to be the
// text and nothing else, because a JSON string of plain characters can be exchanged
// for another without a change to the rest. An event's number is proven in the same
// way. A time stamp and random padding are places too, under keys that no dialect
// reads. So whatever matches byte for byte around those reads as
// encoding/json would read it. Escapes, bytes that are not UTF-8, another length of
// the rest: full decode.
//
// A scanner for the common field order was the other way. It costs more per chunk
// (it must walk over ids and names), and falls back for every server that orders
// its fields otherwise.
type plainChunk struct {
	places       []place // in the chunk's order. Nil: nothing is learned
	after        []byte  // what follows the last
	reasoning    bool    // the text is Reasoning, not Text
	wait, misses int     // full decodes until the next attempt to learn
}

// A place is where a chunk differs from the one before.
type place struct {
	before []byte // what comes between the place before and this one
	kind   placeKind
}

type placeKind uint8

const (
	textPlace    placeKind = iota // the text: not empty, as a decoder may then look elsewhere for it
	ignoredPlace                  // a string that nobody reads
	numberPlace                   // the event's number
)

// Learning costs a full decode for each candidate. Where chunks never repeat it
// soon stops trying, but never for good.
const (
	maxPlainChunk = 4 << 10
	maxMisses     = 10
)

// match reads data if it is like the chunk learned from.
func (p *plainChunk) match(data []byte) (text []byte, number int, ok bool) {
	number = noNumber
	for i := range p.places {
		at := &p.places[i]
		if !bytes.HasPrefix(data, at.before) {
			return nil, 0, false
		}
		data = data[len(at.before):]
		var n int
		if at.kind == numberPlace {
			number, n = leadingNumber(data)
		} else {
			n = plainLen(data)
		}
		if n < 0 {
			return nil, 0, false
		}
		if at.kind == textPlace {
			text = data[:n]
		}
		data = data[n:]
	}
	if len(text) == 0 || !bytes.Equal(data, p.after) {
		return nil, 0, false
	}
	p.misses = 0
	return text, number, true
}

// plainLen is the length of a JSON string that means itself, up to its closing quote, or -1.
func plainLen(data []byte) int {
	ascii := true
	for i, c := range data {
		switch {
		case c == '"':
			if ascii || utf8.Valid(data[:i]) {
				return i
			}
			return -1
		case c < 0x20 || c == '\\':
			return -1
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return -1
}

// leadingNumber is the JSON integer that data begins with, and its length, or -1. Of one that
// is too long for an int it is the first digits.
func leadingNumber(data []byte) (number, n int) {
	const most = 15 // digits
	for n < min(len(data), most) && data[n] >= '0' && data[n] <= '9' {
		number = number*10 + int(data[n]-'0')
		n++
	}
	if n == 0 || n > 1 && data[0] == '0' {
		return 0, -1
	}
	return number, n
}

// A span is a place in the chunk that is learned from.
type span struct {
	at, n int
	kind  placeKind
}

// learn remembers the chunk that full read into d, if it is one of text and nothing else. It has this number.
func (p *plainChunk) learn(e *Event, d *Delta, number int, full decodeFunc) bool {
	text, reasoning := d.Text, len(d.Reasoning) > 0
	if reasoning {
		text = d.Reasoning
	}
	if !d.Role || len(text) == 0 || len(e.Data) > maxPlainChunk || bytes.ContainsAny(e.Data, "\r\n") ||
		(reasoning && len(d.Text) > 0) || len(d.Tool) > 0 || len(d.Calls) > 0 || d.Finish != "" || d.Usage != nil || d.Done || d.Err != "" {
		return false
	}
	if p.wait > 0 {
		p.wait--
		return false
	}
	p.misses = min(p.misses+1, maxMisses)
	p.wait = 1<<p.misses - 2
	others := otherPlaces(e.Data, number)
	for _, at := range textPlaces(e.Data, text, reasoning) {
		spans := append(slices.Clone(others), at)
		slices.SortFunc(spans, func(a, b span) int { return a.at - b.at })
		if proven(e, text, reasoning, spans, full) {
			p.keep(e.Data, spans)
			p.reasoning = reasoning
			return true
		}
	}
	return false
}

// keep learns a chunk by its places.
func (p *plainChunk) keep(data []byte, spans []span) {
	data = bytes.Clone(data)
	from := 0
	p.places = nil
	for _, s := range spans {
		p.places = append(p.places, place{before: data[from:s.at], kind: s.kind})
		from = s.at + s.n
	}
	p.after = data[from:]
}

// textPlaces are where text stands as the value of a field that has an answer's text.
func textPlaces(data, text []byte, reasoning bool) (found []span) {
	keys := []string{"content", "text", "delta"}
	if reasoning {
		keys = []string{"reasoning", "reasoning_content", "thinking", "delta"}
	}
	for _, key := range keys {
		if at, n := stringField(data, key); n == len(text) && bytes.Equal(data[at:at+n], text) {
			found = append(found, span{at, n, textPlace})
		}
	}
	return found
}

// otherPlaces are the strings that change from chunk to chunk and that no dialect
// reads, and the number, if the dialect read one.
func otherPlaces(data []byte, number int) (found []span) {
	const (
		stamp   = "created_at"  // Ollama: to the nanosecond
		padding = "obfuscation" // OpenAI: random, against the reading of lengths
	)
	for _, key := range []string{stamp, padding} {
		if at, n := stringField(data, key); n >= 0 {
			found = append(found, span{at, n, ignoredPlace})
		}
	}
	if at := fieldValue(data, "sequence_number", ""); at >= 0 && number != noNumber {
		if _, n := leadingNumber(data[at:]); n > 0 {
			found = append(found, span{at, n, numberPlace})
		}
	}
	return found
}

// stringField is where the text of a field begins and how long it is, if that is plain; else n is -1.
func stringField(data []byte, key string) (at, n int) {
	if at = fieldValue(data, key, `"`); at < 0 {
		return 0, -1
	}
	return at, plainLen(data[at:])
}

// fieldValue is where the value of a key begins, past open; or -1. A quote before a
// colon ends a key, whatever comes before it.
func fieldValue(data []byte, key, open string) int {
	head := []byte(`"` + key + `":`)
	at := bytes.Index(data, head)
	if at < 0 {
		return -1
	}
	at += len(head)
	if at < len(data) && data[at] == ' ' {
		at++
	}
	if !bytes.HasPrefix(data[at:], []byte(open)) {
		return -1
	}
	return at + len(open)
}

// proven reports whether a chunk with something else in each place reads as that and nothing else.
func proven(e *Event, text []byte, reasoning bool, spans []span, full decodeFunc) bool {
	var changed []byte
	from, want := 0, noNumber
	for _, s := range spans {
		changed = append(changed, e.Data[from:s.at]...)
		from = s.at + s.n
		if s.kind == numberPlace {
			number, _ := leadingNumber(e.Data[s.at:])
			want = number + 1
			changed = strconv.AppendInt(changed, int64(want), 10)
			continue
		}
		changed = append(append(changed, e.Data[s.at:from]...), 'x')
	}
	changed = append(changed, e.Data[from:]...)
	var got Delta
	number, err := full(&Event{Name: e.Name, Data: changed}, &got)
	return err == nil && number == want && isOnlyText(&got, string(text)+"x", reasoning)
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
