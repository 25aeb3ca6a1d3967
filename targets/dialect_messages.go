package targets

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/failwhale/failwhale/results"
)

// AnthropicMessages is Anthropic's Messages as server-sent events, which vLLM,
// llama.cpp, Ollama and gateways have too.
type AnthropicMessages struct{}

// Name gives anthropic-messages.
func (AnthropicMessages) Name() string { return "anthropic-messages" }

// Encode asks for one streamed answer of at most p.MaxTokens. System messages have
// a field of their own here, where they stand with a blank line between two.
func (AnthropicMessages) Encode(p Prompt) (Request, error) {
	var system []string
	turns := Prompt{Messages: make([]Message, 0, len(p.Messages))}
	for _, m := range p.Messages {
		if m.Role == "system" {
			system = append(system, m.Content)
			continue
		}
		turns.Messages = append(turns.Messages, m)
	}
	ask := map[string]any{
		"model":      p.Model,
		"messages":   turns.write(messageCalls),
		"max_tokens": p.MaxTokens,
		"stream":     true,
	}
	if len(system) > 0 {
		ask["system"] = strings.Join(system, "\n\n")
	}
	p.warm(ask)
	p.arm(ask, (*Tool).schema)
	return p.request("/v1/messages", ask)
}

// Headers has the key under its own name, and the version of the API, without which Anthropic
// refuses. A server of others that wants a bearer token gets it by the endpoint's headers.
func (AnthropicMessages) Headers(key string) map[string]string {
	h := map[string]string{"Anthropic-Version": "2023-06-01"}
	if key != "" {
		h["X-Api-Key"] = key
	}
	return h
}

// Framing is that of server-sent events.
func (AnthropicMessages) Framing() Framing { return ServerSentEvents }

// Terminal gives message_stop.
func (AnthropicMessages) Terminal() string { return "message_stop" }

// Summarizes marks that output_tokens has all of the thinking, of which newer models stream a summary.
func (AnthropicMessages) Summarizes() {}

var _ Summarizer = AnthropicMessages{}

// Decoder returns a reader for one answer.
func (AnthropicMessages) Decoder() Decoder {
	return &learner{full: unnumbered(new(messageDecoder).decode)}
}

// A messageDecoder remembers the counts of message_start, which those of message_delta
// complete. By itself the first is no usage: what it says of the output is a placeholder.
type messageDecoder struct{ usage messageUsage }

// A messageJSON has the fields of all events that matter here, unread. message_start's message is errorJSON's.
type messageJSON struct {
	errorJSON
	Place callPlace       `json:"index"`
	Block json.RawMessage `json:"content_block"`
	Delta json.RawMessage `json:"delta"`
	Usage json.RawMessage `json:"usage"`
}

// decode reads an event by encoding/json.
func (d *messageDecoder) decode(e *Event, out *Delta) error {
	data, err := payload(e, out, "message_", "content_block_")
	if err != nil || data == nil || string(data) == doneMark { // vLLM adds it after an error
		return err
	}
	var m messageJSON
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("data is no event of a message: %w: %q", err, clip(data))
	}
	kind := m.kind(e.Name)
	if err := d.add(kind, &m, out); err != nil {
		return fmt.Errorf("read %s: %w: %q", kind, err, clip(data))
	}
	if out.Err == "" {
		out.Err = m.within(kind != "error")
	}
	return nil
}

// add adds what the event brings. Unknown ones bring nothing: Anthropic will add some.
func (d *messageDecoder) add(kind string, m *messageJSON, out *Delta) error {
	switch kind {
	case "message_start":
		var start struct {
			Usage messageUsage `json:"usage"`
		}
		out.Role = true
		if err := json.Unmarshal(m.Message, &start); err != nil {
			return err
		}
		d.usage = start.Usage
	case "content_block_start":
		return addBlock(m.Place, m.Block, out)
	case "content_block_delta":
		return addBlock(m.Place, m.Delta, out)
	case "message_delta":
		return d.end(m, out)
	case "message_stop":
		out.Done = true
	}
	return nil
}

type blockJSON struct {
	Kind     string `json:"type"`
	ID       callID `json:"id"` // of a call
	Text     string `json:"text"`
	Thinking string `json:"thinking"`
	Name     string `json:"name"`         // of a tool
	Input    string `json:"partial_json"` // and its arguments
}

// addBlock adds a piece of a block, or what a block begins with. A signature brings nothing, nor
// do citations and reasoning that is encrypted: they are no tokens. A tool that the server runs itself has blocks of another type.
func addBlock(at callPlace, block json.RawMessage, out *Delta) error {
	var b blockJSON
	if err := json.Unmarshal(block, &b); err != nil {
		return err
	}
	out.Role = true
	out.Text, out.Reasoning, out.Tool = []byte(b.Text), []byte(b.Thinking), []byte(b.Name+b.Input)
	if b.Kind == "tool_use" || b.Kind == "input_json_delta" {
		out.Calls = []CallPart{{int(at), Call{string(b.ID), b.Name, b.Input}}}
	}
	return nil
}

// end reads message_delta, whose counts are those of the whole answer.
func (d *messageDecoder) end(m *messageJSON, out *Delta) error {
	var delta struct {
		StopReason string `json:"stop_reason"`
	}
	if err := json.Unmarshal(m.Delta, &delta); err != nil {
		return err
	}
	switch delta.StopReason {
	case "end_turn", "stop_sequence":
		out.Finish = "stop"
	case "max_tokens", "model_context_window_exceeded":
		out.Finish = "length"
	case "tool_use":
		out.Finish = "tool_calls"
	case "refusal":
		out.Finish = "content_filter"
	default:
		out.Finish = delta.StopReason
	}
	if m.Usage == nil {
		return nil
	}
	var now messageUsage
	if err := json.Unmarshal(m.Usage, &now); err != nil {
		return err
	}
	out.Usage = d.usage.with(now)
	return nil
}

// messageUsage counts what was read from a cache, and what was written to one, apart from the rest of the prompt.
type messageUsage struct {
	Input   int  `json:"input_tokens"`
	Read    int  `json:"cache_read_input_tokens"`
	Written int  `json:"cache_creation_input_tokens"`
	Output  *int `json:"output_tokens"` // nil: not counted
}

// with is the count of an answer that began with u: servers differ in which of the two
// events has the prompt's tokens, and fill the other with zeros or nothing.
func (u messageUsage) with(now messageUsage) *results.Usage {
	read := cmp.Or(now.Read, u.Read)
	prompt := cmp.Or(now.Input, u.Input) + read + cmp.Or(now.Written, u.Written)
	if now.Output == nil || prompt == 0 && *now.Output == 0 {
		return nil
	}
	return &results.Usage{Prompt: prompt, Cached: read, Output: *now.Output, Source: results.UsageServer}
}
