package targets

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/failwhale/failwhale/results"
)

// OpenAIChat is OpenAI's chat completions as server-sent events: what vLLM,
// SGLang, TGI, llama.cpp, Ollama and most gateways speak. It asks for usage, and
// reads it wherever a server puts it.
type OpenAIChat struct{}

// Name gives openai-chat.
func (OpenAIChat) Name() string { return "openai-chat" }

// Encode asks for one streamed answer of at most p.MaxTokens. It says max_tokens:
// llama.cpp and Ollama ignore max_completion_tokens and never end. It asks for nothing
// that only some servers know.
func (OpenAIChat) Encode(p Prompt) (Request, error) {
	ask := map[string]any{
		"model":          p.Model,
		"messages":       p.write(chatCalls),
		"max_tokens":     p.MaxTokens,
		"stream":         true,
		"stream_options": map[string]any{"include_usage": true},
	}
	p.warm(ask)
	p.arm(ask, (*Tool).function)
	return p.request("/v1/chat/completions", ask)
}

// Headers has the key as a bearer token.
func (OpenAIChat) Headers(key string) map[string]string { return bearer(key) }

func bearer(key string) map[string]string {
	if key == "" {
		return nil
	}
	return map[string]string{"Authorization": "Bearer " + key}
}

// Framing is that of server-sent events.
func (OpenAIChat) Framing() Framing { return ServerSentEvents }

// Terminal gives [DONE].
func (OpenAIChat) Terminal() string { return doneMark }

// Decoder returns a reader for one answer.
func (OpenAIChat) Decoder() Decoder { return &learner{full: unnumbered(decodeChat)} }

// decodeChat reads an event of a chat by encoding/json.
func decodeChat(e *Event, out *Delta) error {
	data, err := payload(e, out)
	switch {
	case err != nil || data == nil:
		return err
	case string(data) == doneMark:
		out.Done = true
		return nil
	}
	return decodeChunk(data, out)
}

func decodeChunk(data []byte, out *Delta) error {
	var c chunkJSON
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("data is no chunk of a chat completion: %w: %q", err, clip(data))
	}
	if out.Err == "" {
		out.Err = c.within(len(c.Choices) > 0 || c.Usage != nil)
	}
	out.Usage = c.Usage.usage()
	for _, choice := range c.Choices {
		choice.add(out)
	}
	return nil
}

// A chunkJSON has the fields of a chunk that matter here. Servers add others at will.
type chunkJSON struct {
	errorJSON
	Choices []choiceJSON `json:"choices"`
	Usage   *usageJSON   `json:"usage"`
}

type choiceJSON struct {
	Delta struct {
		Content   parts  `json:"content"`
		Refusal   string `json:"refusal"`
		Reasoning parts  `json:"reasoning"`
		// ReasoningContent is what older vLLM, SGLang and DeepSeek call it.
		ReasoningContent parts `json:"reasoning_content"`
		ToolCalls        []struct {
			Index    callPlace `json:"index"`
			ID       callID    `json:"id"`
			Function callJSON  `json:"function"`
		} `json:"tool_calls"`
		FunctionCall callJSON `json:"function_call"`
	} `json:"delta"`
	FinishReason string          `json:"finish_reason"`
	Error        json.RawMessage `json:"error"`
}

type callJSON struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

func (c *choiceJSON) add(out *Delta) {
	d := &c.Delta
	out.Role = true
	out.Text = append(append(out.Text, d.Content...), d.Refusal...)
	if len(d.Reasoning) > 0 { // some gateways send both names with the same text
		out.Reasoning = append(out.Reasoning, d.Reasoning...)
	} else {
		out.Reasoning = append(out.Reasoning, d.ReasoningContent...)
	}
	for _, t := range d.ToolCalls {
		out.call(int(t.Index), Call{string(t.ID), t.Function.Name, t.Function.Arguments})
	}
	if old := d.FunctionCall; old != (callJSON{}) {
		out.call(0, Call{Name: old.Name, Arguments: old.Arguments})
	}
	out.finish(c.FinishReason, c.Error)
}

// call adds a piece of a call of a tool.
func (d *Delta) call(place int, piece Call) {
	d.Tool = append(append(d.Tool, piece.Name...), piece.Arguments...)
	d.Calls = append(d.Calls, CallPart{place, piece})
}

// finish adds a choice's end, if reason is one.
func (d *Delta) finish(reason string, fault json.RawMessage) {
	if d.Finish == "" {
		d.Finish = reason
	}
	if d.Err != "" {
		return
	}
	if d.Err = inBandField(fault); d.Err == "" && gaveUp(reason) {
		d.Err = fmt.Sprintf("finish_reason %q", reason)
	}
}

// gaveUp reports whether a server says by its finish_reason that what it has sent is no answer: vLLM, SGLang and
// gateways by error and abort, TensorRT-LLM by timeout and cancelled, DeepSeek by the last.
func gaveUp(reason string) bool {
	switch reason {
	case "error", "abort", "timeout", "cancelled", "insufficient_system_resource":
		return true
	default:
		return false
	}
}

// parts is a text that may come as a string, as null, or as a list of parts with a text each.
type parts string

// UnmarshalJSON reads any of the three.
func (p *parts) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case 'n':
		return nil
	case '[':
		var list []struct {
			Text string `json:"text"`
		}
		if err := json.Unmarshal(data, &list); err != nil {
			return fmt.Errorf("read content parts: %w", err)
		}
		var all strings.Builder
		for _, part := range list {
			all.WriteString(part.Text)
		}
		*p = parts(all.String())
		return nil
	case '"':
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return fmt.Errorf("read content: %w", err)
		}
		*p = parts(s)
		return nil
	}
	return errors.New("content is neither text nor a list of parts")
}

type usageJSON struct {
	Prompt        int `json:"prompt_tokens"`
	Completion    int `json:"completion_tokens"`
	PromptDetails struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning int `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// usage is the count, or nil. Zeros are none: Ollama fills them in until there is one.
func (u *usageJSON) usage() *results.Usage {
	if u == nil || u.Prompt == 0 && u.Completion == 0 {
		return nil
	}
	return &results.Usage{
		Prompt: u.Prompt, Cached: u.PromptDetails.Cached,
		Output: u.Completion, Reasoning: u.CompletionDetails.Reasoning,
		Source: results.UsageServer,
	}
}
