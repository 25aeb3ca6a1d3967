package refstack

import (
	"encoding/json"
	"hash/fnv"
	"net/http"
	"strconv"
)

// An answer writes one completion: its text, and the frames of OpenAI's wire format around it.
type answer struct {
	id, model string
	created   int64
	nonce     string
	seed      int
	words     []string
	repeat    []string // all that it says; nil: as many words as are asked for
	finish    string
	prefix    []byte // of every chunk, up to "choices":
	buf       []byte
}

// vocabulary is what replicas say: short words, none of which looks like a nonce.
func vocabulary() []string {
	return []string{
		" the", " whale", " swims", " on", " while", " its", " birds", " hold", " the", " lines", " and", " no", " one",
		" below", " sees", " them", " pull", " a", " net", " through", " calm", " air", " until", " it", " rests", ".",
	}
}

func newAnswer(id, model string, created int64, p *prompt) *answer {
	h := fnv.New32a()
	for _, m := range p.Messages {
		_, _ = h.Write([]byte(m.Content)) // never fails
	}
	a := &answer{id: id, model: model, created: created, nonce: p.nonce, words: vocabulary(), repeat: p.repeat, finish: "length"}
	if p.repeat != nil && p.output == len(p.repeat) {
		a.finish = "stop"
	}
	a.seed = int(h.Sum32() % uint32(len(a.words))) // the vocabulary is small
	a.prefix = append(a.prefix, `data: {"id":"`...)
	a.prefix = append(a.prefix, id...)
	a.prefix = append(a.prefix, `","object":"chat.completion.chunk","created":`...)
	a.prefix = strconv.AppendInt(a.prefix, created, 10)
	a.prefix = append(a.prefix, `,"model":`...)
	a.prefix = append(a.prefix, quoted(model)...)
	a.prefix = append(a.prefix, `,"choices":`...)
	return a
}

// quoted is s as JSON.
func quoted(s string) []byte {
	text, err := json.Marshal(s)
	if err != nil { // a string always encodes
		return []byte(`""`)
	}
	return text
}

// token is the text of the i-th token. The first one is the prompt's nonce, so that a client can
// see that the answer is its own, unless what it asks for is all that the answer is to be.
func (a *answer) token(i int) string {
	if a.repeat != nil {
		return a.repeat[i]
	}
	if i == 0 && a.nonce != "" {
		return a.nonce
	}
	return a.words[(a.seed+i)%len(a.words)]
}

// Frames. Each is one event, valid until the next call.

func (a *answer) roleFrame() []byte {
	return a.frame(`[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`)
}

func (a *answer) tokenFrame(i int) []byte {
	a.buf = append(a.buf[:0], a.prefix...)
	a.buf = append(a.buf, `[{"index":0,"delta":{"content":`...)
	if a.repeat != nil {
		a.buf = append(a.buf, quoted(a.token(i))...)
	} else {
		a.buf = append(append(append(a.buf, '"'), a.token(i)...), '"') // plain ASCII without quotes
	}
	a.buf = append(a.buf, "},\"finish_reason\":null}]}\n\n"...)
	return a.buf
}

func (a *answer) finishFrame() []byte {
	return a.frame(`[{"index":0,"delta":{},"finish_reason":"` + a.finish + `"}]}`)
}

func (a *answer) usageFrame(prompt, output int) []byte {
	return a.frame(`[],"usage":` + string(usage(prompt, output)) + `}`)
}

func (a *answer) frame(rest string) []byte {
	a.buf = append(a.buf[:0], a.prefix...)
	a.buf = append(a.buf, rest...)
	a.buf = append(a.buf, "\n\n"...)
	return a.buf
}

func errorFrame(e *apiError) []byte {
	return append(append([]byte("data: "), e.encode()...), "\n\n"...)
}

func usage(prompt, output int) []byte {
	b := strconv.AppendInt([]byte(`{"prompt_tokens":`), int64(prompt), 10)
	b = strconv.AppendInt(append(b, `,"completion_tokens":`...), int64(output), 10)
	b = strconv.AppendInt(append(b, `,"total_tokens":`...), int64(prompt+output), 10)
	return append(b, '}')
}

// writeWhole answers in one piece.
func (a *answer) writeWhole(w http.ResponseWriter, prompt, output int) {
	var text []byte
	for i := range output {
		text = append(text, a.token(i)...)
	}
	b := append([]byte(`{"id":"`), a.id...)
	b = strconv.AppendInt(append(b, `","object":"chat.completion","created":`...), a.created, 10)
	b = append(append(b, `,"model":`...), quoted(a.model)...)
	b = append(append(b, `,"choices":[{"index":0,"message":{"role":"assistant","content":`...), quoted(string(text))...)
	b = append(append(b, `},"finish_reason":"`+a.finish+`"}],"usage":`...), usage(prompt, output)...)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, "}\n"...)) // a client that has gone is not told
}
