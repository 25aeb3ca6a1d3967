package targets

import (
	"encoding/json"
	"strconv"
	"strings"
)

// A Call is a model's call of a tool.
type Call struct {
	// ID is how the server calls it, and its result refers to it. Empty: it has none.
	ID string
	// Name is the tool's. Required.
	Name string
	// Arguments are the text of a JSON object, unless the model was mistaken or was cut short. Empty: none.
	Arguments string
}

// A CallPart is what one event adds to a call.
type CallPart struct {
	// Place tells the answer's calls apart. Negative: the part is a whole call.
	Place int
	// Call has an ID and a name at most once, whole, and a piece of the arguments.
	Call
}

// Begins reports whether p begins another call than c, which is at its place: some servers give all the same place.
func (p *CallPart) Begins(c *Call) bool {
	return p.Name != "" && p.ID != "" && c.ID != "" && p.ID != c.ID
}

// Sound reports whether c can be repeated to a server: a history whose arguments are no object is refused by some, as
// vLLM before its pull request 48922, and with it every turn that there will ever be.
func (c *Call) Sound() bool {
	var object map[string]json.RawMessage
	return c.Name != "" && (c.Arguments == "" || json.Unmarshal([]byte(c.Arguments), &object) == nil)
}

// arguments are the text of an object. A null is none: models write it for a tool that takes no arguments, and templates
// break on it.
func (c *Call) arguments() string {
	if c.Arguments == "" || strings.TrimSpace(c.Arguments) == "null" {
		return "{}"
	}
	return c.Arguments
}

// object is the arguments as JSON; none where they are no JSON.
func (c *Call) object() json.RawMessage {
	if text := []byte(c.arguments()); json.Valid(text) {
		return text
	}
	return json.RawMessage("{}")
}

// function is the call as chat completions have it.
func (c *Call) function() map[string]any {
	return map[string]any{"id": c.ID, "type": "function", "function": map[string]any{"name": c.Name, "arguments": c.arguments()}}
}

// orNull is text, or null if it is empty, as SDKs repeat a message of calls alone.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// write gives the messages in the way of a dialect: one that has calls, or is of a call, by with, which may make
// several of it, or add to the last one.
func (p *Prompt) write(with func(m *Message, to []any) []any) []any {
	all := make([]any, 0, len(p.Messages))
	for i := range p.Messages {
		m := &p.Messages[i]
		if len(m.Calls) == 0 && m.Of == nil {
			all = append(all, m)
			continue
		}
		all = with(m, all)
	}
	return all
}

// chatCalls is how chat completions have calls and results.
func chatCalls(m *Message, to []any) []any {
	if m.Of != nil {
		return append(to, map[string]any{"role": "tool", "tool_call_id": m.Of.ID, "content": m.Content})
	}
	calls := make([]any, len(m.Calls))
	for i := range m.Calls {
		calls[i] = m.Calls[i].function()
	}
	return append(to, map[string]any{"role": m.Role, "content": orNull(m.Content), "tool_calls": calls})
}

// responseCalls is how Responses have them: each an item of its own.
func responseCalls(m *Message, to []any) []any {
	if m.Of != nil {
		return append(to, map[string]any{"type": "function_call_output", "call_id": m.Of.ID, "output": m.Content})
	}
	if m.Content != "" {
		to = append(to, &Message{Role: m.Role, Content: m.Content})
	}
	for i := range m.Calls {
		c := &m.Calls[i]
		to = append(to, map[string]any{"type": "function_call", "call_id": c.ID, "name": c.Name, "arguments": c.arguments()})
	}
	return to
}

// blocks is a message of Anthropic's that has more than text.
type blocks struct {
	Role    string           `json:"role"`
	Content []map[string]any `json:"content"`
}

// messageCalls is how Messages have them: as blocks, and all results of an answer's calls in one message.
func messageCalls(m *Message, to []any) []any {
	if m.Of != nil {
		result := map[string]any{"type": "tool_result", "tool_use_id": m.Of.ID, "content": m.Content}
		if last, ok := to[max(len(to)-1, 0)].(*blocks); ok && last.Role == "user" {
			last.Content = append(last.Content, result)
			return to
		}
		return append(to, &blocks{Role: "user", Content: []map[string]any{result}})
	}
	said := &blocks{Role: m.Role}
	if m.Content != "" {
		said.Content = append(said.Content, map[string]any{"type": "text", "text": m.Content})
	}
	for i := range m.Calls {
		c := &m.Calls[i]
		said.Content = append(said.Content, map[string]any{"type": "tool_use", "id": c.ID, "name": c.Name, "input": c.object()})
	}
	return append(to, said)
}

// ollamaCalls is how Ollama has them: arguments as an object, and a result by the tool's name.
func ollamaCalls(m *Message, to []any) []any {
	if m.Of != nil {
		return append(to, map[string]any{"role": "tool", "tool_name": m.Of.Name, "content": m.Content})
	}
	calls := make([]any, len(m.Calls))
	for i := range m.Calls {
		c := &m.Calls[i]
		calls[i] = map[string]any{"function": map[string]any{"name": c.Name, "arguments": c.object()}}
	}
	return append(to, map[string]any{"role": m.Role, "content": m.Content, "tool_calls": calls})
}

// A callPlace is a count where a server has one. Anything else is 0: it is no reason to refuse an event.
type callPlace int

// UnmarshalJSON reads any value.
func (p *callPlace) UnmarshalJSON(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err == nil {
		*p = callPlace(n)
	}
	return nil
}

// A callID is a call's name where it is a text. Anything else is none.
type callID string

// UnmarshalJSON reads any value.
func (id *callID) UnmarshalJSON(text []byte) error {
	var s string
	if json.Unmarshal(text, &s) == nil {
		*id = callID(s)
	}
	return nil
}
