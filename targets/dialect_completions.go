package targets

import (
	"encoding/json"
	"fmt"
)

// OpenAICompletions is OpenAI's older completions as server-sent events: a prompt
// of plain text and no roles, which base models are served by. vLLM, SGLang, TGI,
// llama.cpp and Ollama have it.
type OpenAICompletions struct{}

// Name gives openai-completions.
func (OpenAICompletions) Name() string { return "openai-completions" }

// Encode asks for one streamed answer of at most p.MaxTokens. The prompt is the
// messages' text with a blank line between two, and without their roles: what
// stands for those is a matter of each model's template, which is not applied
// here. So each turn's prompt begins with the one before it, as prefix caches need.
func (OpenAICompletions) Encode(p Prompt) (Request, error) {
	if err := p.without("openai-completions", false); err != nil {
		return Request{}, err
	}
	ask := map[string]any{
		"model":          p.Model,
		"prompt":         p.text(),
		"max_tokens":     p.MaxTokens,
		"stream":         true,
		"stream_options": map[string]any{"include_usage": true},
	}
	p.warm(ask)
	return p.request("/v1/completions", ask)
}

// Headers has the key as a bearer token.
func (OpenAICompletions) Headers(key string) map[string]string { return bearer(key) }

// Framing is that of server-sent events.
func (OpenAICompletions) Framing() Framing { return ServerSentEvents }

// Terminal gives [DONE].
func (OpenAICompletions) Terminal() string { return doneMark }

// Decoder returns a reader for one answer.
func (OpenAICompletions) Decoder() Decoder { return &learner{full: unnumbered(decodeCompletion)} }

type completionJSON struct {
	errorJSON
	Choices []struct {
		Text         string          `json:"text"`
		FinishReason string          `json:"finish_reason"`
		Error        json.RawMessage `json:"error"`
	} `json:"choices"`
	Usage *usageJSON `json:"usage"`
}

// decodeCompletion reads an event of a completion by encoding/json.
func decodeCompletion(e *Event, out *Delta) error {
	data, err := payload(e, out)
	switch {
	case err != nil || data == nil:
		return err
	case string(data) == doneMark:
		out.Done = true
		return nil
	}
	var c completionJSON
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("data is no chunk of a completion: %w: %q", err, clip(data))
	}
	if out.Err == "" {
		out.Err = c.within(len(c.Choices) > 0 || c.Usage != nil)
	}
	out.Usage = c.Usage.usage()
	for _, choice := range c.Choices {
		out.Role = true
		out.Text = append(out.Text, choice.Text...)
		out.finish(choice.FinishReason, choice.Error)
	}
	return nil
}
