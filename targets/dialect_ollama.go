package targets

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/failwhale/failwhale/results"
)

// OllamaChat is Ollama's own chat: a JSON object a line.
type OllamaChat struct{}

// Name gives ollama-chat.
func (OllamaChat) Name() string { return "ollama-chat" }

// Encode asks for one streamed answer of at most p.MaxTokens.
func (OllamaChat) Encode(p Prompt) (Request, error) {
	options := map[string]any{"num_predict": p.MaxTokens}
	p.warm(options)
	ask := map[string]any{
		"model":    p.Model,
		"messages": p.write(ollamaCalls),
		"stream":   true,
		"options":  options,
	}
	p.arm(ask, (*Tool).function)
	return p.request("/api/chat", ask)
}

// Headers has the key as a bearer token, which proxies before an Ollama ask for.
func (OllamaChat) Headers(key string) map[string]string { return bearer(key) }

// Framing is that of lines.
func (OllamaChat) Framing() Framing { return Lines }

// Terminal gives "done":true.
func (OllamaChat) Terminal() string { return `"done":true` }

// Decoder returns a reader for one answer.
func (OllamaChat) Decoder() Decoder {
	return &learner{full: unnumbered(decodeOllama), framing: Lines}
}

// An ollamaJSON has the fields of a line that matter here.
type ollamaJSON struct {
	Message *struct {
		Content   string `json:"content"`
		Thinking  string `json:"thinking"`
		ToolCalls []struct {
			ID       callID `json:"id"`
			Function struct {
				Name      string          `json:"name"`
				Arguments json.RawMessage `json:"arguments"` // an object, whole
			} `json:"function"`
		} `json:"tool_calls"`
	} `json:"message"`
	Done       bool            `json:"done"`
	DoneReason string          `json:"done_reason"`
	Prompt     int             `json:"prompt_eval_count"`
	Output     int             `json:"eval_count"`
	Error      json.RawMessage `json:"error"`
}

// decodeOllama reads a line by encoding/json.
func decodeOllama(e *Event, out *Delta) error {
	data := bytes.TrimSpace(e.Data)
	switch {
	case len(data) == 0:
		return nil
	case data[0] != '{':
		return fmt.Errorf("line is no JSON object: %q", clip(data))
	}
	var c ollamaJSON
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("line is no chunk of a chat: %w: %q", err, clip(data))
	}
	out.Err = inBandField(c.Error)
	if m := c.Message; m != nil {
		out.Role = true
		out.Text, out.Reasoning = []byte(m.Content), []byte(m.Thinking)
		for _, t := range m.ToolCalls {
			out.call(-1, Call{string(t.ID), t.Function.Name, string(t.Function.Arguments)})
		}
	}
	if !c.Done {
		return nil
	}
	// Old servers give no reason. "load" is one without an answer: the request had no messages.
	out.Done, out.Finish = true, orText(c.DoneReason, "stop")
	if c.Prompt != 0 || c.Output != 0 {
		out.Usage = &results.Usage{Prompt: c.Prompt, Output: c.Output, Source: results.UsageServer}
	}
	return nil
}
