package targets

import (
	"encoding/json"
	"fmt"
	"strings"
)

// request writes ask as JSON, with what the prompt lays over it.
func (p *Prompt) request(path string, ask map[string]any) (Request, error) {
	body, err := json.Marshal(mergePatch(ask, p.Extra))
	if err != nil {
		return Request{}, fmt.Errorf("encode prompt: %w", err)
	}
	return Request{Path: path, Body: body}, nil
}

// mergePatch is target with patch laid over it, as RFC 7396 says: objects are merged, whatever else is replaced, and
// null removes. It changes target, and nothing of patch, whose values it may hand on.
func mergePatch(target, patch map[string]any) map[string]any {
	for name, value := range patch {
		object, isObject := value.(map[string]any)
		switch {
		case value == nil:
			delete(target, name)
		case isObject:
			under, ok := target[name].(map[string]any)
			if !ok {
				under = map[string]any{}
			}
			target[name] = mergePatch(under, object)
		default:
			target[name] = value
		}
	}
	return target
}

// warm adds the temperature to where a dialect has it, if the prompt has one.
func (p *Prompt) warm(to map[string]any) {
	if p.Temperature != nil {
		to["temperature"] = *p.Temperature
	}
}

// arm adds the tools, each as write writes it, if the prompt has any.
func (p *Prompt) arm(to map[string]any, write func(*Tool) map[string]any) {
	if len(p.Tools) == 0 {
		return
	}
	tools := make([]map[string]any, len(p.Tools))
	for i := range p.Tools {
		tools[i] = write(&p.Tools[i])
	}
	to["tools"] = tools
}

// text is all that the prompt says, its messages with a blank line between two and without their roles.
func (p *Prompt) text() string {
	texts := make([]string, len(p.Messages))
	for i, m := range p.Messages {
		texts[i] = m.Content
	}
	return strings.Join(texts, "\n\n")
}

// without is the error for what a dialect cannot ask, or nil.
func (p *Prompt) without(dialect string, temperature bool) error {
	switch {
	case len(p.Tools) > 0:
		return fmt.Errorf("%s has no tools: write another dialect, such as openai-chat", dialect)
	case temperature && p.Temperature != nil:
		return fmt.Errorf("%s has no temperature: write another dialect, such as openai-chat", dialect)
	}
	return nil
}

// flat is the tool as Responses has it.
func (t *Tool) flat() map[string]any {
	tool := t.described("parameters")
	tool["type"] = "function"
	return tool
}

// function is the tool as chat completions have it, and Ollama.
func (t *Tool) function() map[string]any {
	return map[string]any{"type": "function", "function": t.described("parameters")}
}

// schema is the tool as Messages has it, where a schema is required.
func (t *Tool) schema() map[string]any {
	tool := t.described("input_schema")
	if t.Parameters == nil {
		tool["input_schema"] = map[string]any{"type": "object"}
	}
	return tool
}

func (t *Tool) described(parameters string) map[string]any {
	tool := map[string]any{"name": t.Name}
	if t.Description != "" {
		tool["description"] = t.Description
	}
	if t.Parameters != nil {
		tool[parameters] = t.Parameters
	}
	return tool
}
