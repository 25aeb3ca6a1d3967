package targets

import (
	"bytes"
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
// llama.cpp and Ollama ignore max_completion_tokens and never end.
func (OpenAIChat) Encode(p Prompt) (path string, body []byte, err error) {
	body, err = json.Marshal(map[string]any{
		"model":          p.Model,
		"messages":       p.Messages,
		"max_tokens":     p.MaxTokens,
		"stream":         true,
		"stream_options": map[string]bool{"include_usage": true},
	})
	if err != nil {
		return "", nil, fmt.Errorf("encode prompt: %w", err)
	}
	return "/v1/chat/completions", body, nil
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
func (OpenAIChat) Terminal() string { return "[DONE]" }

// Decoder returns a reader for one answer.
func (OpenAIChat) Decoder() Decoder { return new(openAIDecoder) }

type openAIDecoder struct{ plain plainChunk }

// Decode reads one event.
func (d *openAIDecoder) Decode(e *Event, out *Delta) error {
	*out = Delta{}
	if len(e.Name) == 0 && len(e.Other) == 0 && d.plain.match(e.Data, out) {
		return nil
	}
	if err := decodeOpenAI(e, out); err != nil {
		return err
	}
	if len(e.Name) == 0 && len(e.Other) == 0 {
		d.plain.learn(e.Data, out)
	}
	return nil
}

const (
	dataField = "data: "
	blankLine = "\n\n"
)

// ReadWhole knows an event that is like the chunk learned from.
func (d *openAIDecoder) ReadWhole(piece []byte, out *Delta) bool {
	n := len(piece) - len(blankLine)
	if n < len(dataField) || string(piece[:len(dataField)]) != dataField || string(piece[n:]) != blankLine {
		return false
	}
	return d.plain.match(piece[len(dataField):n], out)
}

var _ WholeReader = (*openAIDecoder)(nil)

// decodeOpenAI reads an event by encoding/json: the definition that the fast path must agree with.
func decodeOpenAI(e *Event, out *Delta) error {
	if err := decodeOther(e.Other, out); err != nil {
		return err
	}
	data := bytes.TrimSpace(e.Data)
	isError := string(e.Name) == "error"
	switch {
	case bytes.Equal(data, []byte("[DONE]")):
		out.Done = true
	case isError:
		out.Err = inBand(data)
	case e.Data == nil:
	case len(data) > 0 && data[0] == '{':
		return decodeChunk(data, out)
	case len(e.Name) == 0 || string(e.Name) == "message":
		return fmt.Errorf("data is no JSON object: %q", clip(data))
	}
	return nil
}

// decodeOther reads lines that are no fields of an event stream. llama.cpp reports
// errors in a field named error; a name that cannot be one is text of another format.
func decodeOther(fields []Field, out *Delta) error {
	for _, f := range fields {
		switch {
		case string(f.Name) == "error":
			out.Err = inBand(f.Value)
		case len(f.Line) > 0 && f.Line[0] == '{':
			var c chunkJSON
			if json.Unmarshal(f.Line, &c) != nil || c.errorText() == "" {
				return fmt.Errorf("line is no field of an event stream: %q", clip(f.Line))
			}
			out.Err = c.errorText()
		case !isFieldName(f.Name):
			return fmt.Errorf("line is no field of an event stream: %q", clip(f.Line))
		}
	}
	return nil
}

func isFieldName(name []byte) bool {
	for _, c := range name {
		if c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return len(name) <= 64
}

func decodeChunk(data []byte, out *Delta) error {
	var c chunkJSON
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("data is no chunk of a chat completion: %w: %q", err, clip(data))
	}
	if out.Err == "" {
		out.Err = c.errorText()
	}
	out.Usage = c.Usage.usage()
	for _, choice := range c.Choices {
		choice.add(out)
	}
	return nil
}

// A chunkJSON has the fields of a chunk that matter here. Servers add others at will.
type chunkJSON struct {
	Object  string          `json:"object"`
	Choices []choiceJSON    `json:"choices"`
	Usage   *usageJSON      `json:"usage"`
	Error   json.RawMessage `json:"error"`
	// Errors without an envelope: older vLLM (object "error"), FastAPI (detail).
	Message json.RawMessage `json:"message"`
	Detail  json.RawMessage `json:"detail"`
}

type choiceJSON struct {
	Delta struct {
		Content   parts  `json:"content"`
		Refusal   string `json:"refusal"`
		Reasoning parts  `json:"reasoning"`
		// ReasoningContent is what older vLLM, SGLang and DeepSeek call it.
		ReasoningContent parts `json:"reasoning_content"`
		ToolCalls        []struct {
			Function callJSON `json:"function"`
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
		out.Tool = append(append(out.Tool, t.Function.Name...), t.Function.Arguments...)
	}
	out.Tool = append(append(out.Tool, d.FunctionCall.Name...), d.FunctionCall.Arguments...)
	if out.Finish == "" {
		out.Finish = c.FinishReason
	}
	if out.Err != "" {
		return
	}
	// A server that gives up says so in one of these two as well; what it has sent is no answer.
	if out.Err = inBandField(c.Error); out.Err == "" && (c.FinishReason == "error" || c.FinishReason == "abort") {
		out.Err = fmt.Sprintf("finish_reason %q", c.FinishReason)
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

func (u *usageJSON) usage() *results.Usage {
	if u == nil {
		return nil
	}
	return &results.Usage{
		Prompt: u.Prompt, Cached: u.PromptDetails.Cached,
		Output: u.Completion, Reasoning: u.CompletionDetails.Reasoning,
		Source: results.UsageServer,
	}
}

// errorText is the error in a chunk, or "".
func (c *chunkJSON) errorText() string {
	if text := inBandField(c.Error); text != "" {
		return text
	}
	if len(c.Choices) > 0 || c.Usage != nil {
		return ""
	}
	if c.Object == "error" {
		return orText(inBandField(c.Message), "object is error")
	}
	return inBandField(c.Detail)
}

// inBandField is the text of an error value; null, false and "" are none.
func inBandField(value json.RawMessage) string {
	switch string(value) {
	case "", "null", "false", `""`:
		return ""
	}
	return inBand(value)
}

// inBand says what an error reported by a server says: its message and kind, or all of it.
func inBand(value []byte) string {
	var e struct {
		Message string          `json:"message"`
		Type    string          `json:"type"`
		Code    json.RawMessage `json:"code"`
		Error   json.RawMessage `json:"error"`
	}
	var text string
	switch {
	case len(bytes.TrimSpace(value)) == 0:
		return "error without a text"
	case json.Unmarshal(value, &text) == nil:
		return orText(clip([]byte(text)), "error without a text")
	case json.Unmarshal(value, &e) != nil:
		return clip(value)
	case e.Message == "" && inBandField(e.Error) != "":
		return inBand(e.Error)
	case e.Message == "":
		return clip(value)
	}
	var kind []string
	for _, k := range []string{e.Type, strings.Trim(string(e.Code), `"`)} {
		if k != "" && k != "null" {
			kind = append(kind, k)
		}
	}
	if len(kind) == 0 {
		return clip([]byte(e.Message))
	}
	return fmt.Sprintf("%s (%s)", clip([]byte(e.Message)), strings.Join(kind, ", "))
}

// ErrorText is what the body of a refused request says: the message of an
// error object in any of the shapes that servers use, or the start of the text.
func ErrorText(body []byte) string {
	body = bytes.TrimSpace(body)
	var c chunkJSON
	if json.Unmarshal(body, &c) == nil {
		if text := c.errorText(); text != "" {
			return text
		}
		if text := inBandField(c.Message); text != "" {
			return text
		}
	}
	return clip(body)
}

// InBandError is the error that a 2xx's body reports where a stream was due, or "".
func InBandError(body []byte) string {
	var c chunkJSON
	if json.Unmarshal(body, &c) != nil {
		return ""
	}
	return c.errorText()
}

// maxErrorText bounds what a server may put into our log and tables.
const maxErrorText = 300

func clip(text []byte) string {
	text = bytes.TrimSpace(text)
	if len(text) > maxErrorText {
		text = append(bytes.Clone(text[:maxErrorText]), "…"...)
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}

func orText(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
