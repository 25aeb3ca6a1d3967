package targets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// errorJSON is what tells that a JSON object is an error, in the ways of all servers.
type errorJSON struct {
	Error json.RawMessage `json:"error"`
	// Errors without an envelope: older vLLM (object "error"), Responses (type "error"), FastAPI (detail).
	Object  json.RawMessage `json:"object"`
	Type    json.RawMessage `json:"type"`
	Message json.RawMessage `json:"message"`
	Detail  json.RawMessage `json:"detail"`
}

// text is what the error says, or "" if the object is none.
func (e *errorJSON) text() string {
	if text := inBandField(e.Error); text != "" {
		return text
	}
	if string(e.Object) == `"error"` || string(e.Type) == `"error"` {
		return orText(inBandField(e.Message), "an error without a text")
	}
	return inBandField(e.Detail)
}

// within is the error in an object that has an answer's fields beside it, or not: with those,
// only one under its own key counts.
func (e *errorJSON) within(answer bool) string {
	if answer {
		return inBandField(e.Error)
	}
	return e.text()
}

// kind is the type of an event, which most servers give twice.
func (e *errorJSON) kind(name []byte) string {
	var kind string
	if json.Unmarshal(e.Type, &kind) != nil || kind == "" {
		return string(name)
	}
	return kind
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
		if k != "" && k != "null" && k != "error" {
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
	var e errorJSON
	if json.Unmarshal(body, &e) == nil {
		if text := orText(e.text(), inBandField(e.Message)); text != "" {
			return text
		}
	}
	return clip(body)
}

// InBandError is the error that a 2xx's body reports where a stream was due, or "".
func InBandError(body []byte) string {
	var c struct {
		errorJSON
		Choices []json.RawMessage `json:"choices"`
		Usage   json.RawMessage   `json:"usage"`
	}
	if json.Unmarshal(body, &c) != nil {
		return ""
	}
	return c.within(len(c.Choices) > 0 || c.Usage != nil)
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
