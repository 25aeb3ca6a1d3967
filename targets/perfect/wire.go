package perfect

import (
	"encoding/json"
	"fmt"
	"strconv"
)

const (
	chatPath   = "/v1/chat/completions"
	stampsPath = "/stamps"
	model      = "meta-llama/Llama-3.1-8B-Instruct"
)

// An ask is what matters of a request.
type ask struct {
	MaxTokens           int `json:"max_tokens"`
	MaxCompletionTokens int `json:"max_completion_tokens"`
	length              int // of the body
}

func readAsk(body []byte) (ask, error) {
	a := ask{length: len(body)}
	if err := json.Unmarshal(body, &a); err != nil {
		return a, fmt.Errorf("body is no chat completion request: %w", err)
	}
	return a, nil
}

// defaultTokens is what a request gets that asks for no length, as of OpenAI's completions.
const defaultTokens = 16

func (a ask) tokens() int {
	n := max(a.MaxTokens, a.MaxCompletionTokens)
	if n <= 0 {
		n = defaultTokens
	}
	return min(n, maxTokens)
}

// compose writes an answer ahead: what comes with its first token, each further chunk (some 250 bytes, and
// the same fields in the same order as vLLM's), and what ends it.
func compose(id uint64, tokens int, a ask) (first, chunk, tail []byte) {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nserver: failwhale-perfect\r\ncontent-type: text/event-stream; charset=utf-8\r\n"+
		"%s: %d\r\ntransfer-encoding: chunked\r\n\r\n", Header, id)
	event := func(rest string) string {
		return fmt.Sprintf(`data: {"id":"chatcmpl-%032x","object":"chat.completion.chunk","created":1795312420,"model":"%s",%s}`+"\n\n", id, model, rest)
	}
	choice := func(delta, finish string) string {
		return event(`"choices":[{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}]`)
	}
	token := choice(`{"content":" word"}`, "null")
	prompt := max(1, a.length/bytesPerToken)
	first = []byte(head + framed(choice(`{"role":"assistant","content":""}`, "null")) + framed(token))
	tail = []byte(framed(choice(`{}`, `"length"`)) +
		framed(event(fmt.Sprintf(`"choices":[],"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d}`, prompt, prompt+tokens, tokens))) +
		framed("data: [DONE]\n\n") + "0\r\n\r\n")
	return first, []byte(framed(token)), tail
}

// bytesPerToken of a prompt, about. Nothing depends on it.
const bytesPerToken = 4

// framed is text as one HTTP chunk.
func framed(text string) string {
	return strconv.FormatInt(int64(len(text)), 16) + "\r\n" + text + "\r\n"
}
