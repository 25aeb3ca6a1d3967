package targets

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/failwhale/failwhale/results"
)

// OpenAIResponses is OpenAI's Responses as server-sent events, which vLLM, SGLang,
// llama.cpp, Ollama and gateways have too. Its events have names and mostly
// numbers, and a number that skips others is an error: an event was lost on the way.
type OpenAIResponses struct{}

// Name gives openai-responses.
func (OpenAIResponses) Name() string { return "openai-responses" }

// Encode asks for one streamed answer of at most p.MaxTokens, which the server shall not store.
func (OpenAIResponses) Encode(p Prompt) (Request, error) {
	ask := map[string]any{
		"model":             p.Model,
		"input":             p.write(responseCalls),
		"max_output_tokens": p.MaxTokens,
		"stream":            true,
		"store":             false,
	}
	p.warm(ask)
	p.arm(ask, (*Tool).flat)
	return p.request("/v1/responses", ask)
}

// Headers has the key as a bearer token.
func (OpenAIResponses) Headers(key string) map[string]string { return bearer(key) }

// Framing is that of server-sent events.
func (OpenAIResponses) Framing() Framing { return ServerSentEvents }

// Terminal gives response.completed. A response that is incomplete or failed says so in its place.
func (OpenAIResponses) Terminal() string { return "response.completed" }

// Decoder returns a reader for one answer.
func (OpenAIResponses) Decoder() Decoder { return &learner{full: decodeResponse} }

// A responseJSON has the fields of all events that matter here, those that differ between events unread.
type responseJSON struct {
	errorJSON
	Number   json.RawMessage `json:"sequence_number"`
	Place    callPlace       `json:"output_index"`
	Delta    json.RawMessage `json:"delta"`
	Item     json.RawMessage `json:"item"`
	Response json.RawMessage `json:"response"`
}

// decodeResponse reads an event of a response by encoding/json, and its number.
func decodeResponse(e *Event, out *Delta) (number int, err error) {
	data, err := payload(e, out, "response.")
	if err != nil || data == nil || string(data) == doneMark { // which some servers add
		return noNumber, err
	}
	var r responseJSON
	if err := json.Unmarshal(data, &r); err != nil {
		return noNumber, fmt.Errorf("data is no event of a response: %w: %q", err, clip(data))
	}
	if number, err = strconv.Atoi(string(r.Number)); err != nil || number < 0 {
		number = noNumber
	}
	kind := r.kind(e.Name)
	if err := r.add(kind, out); err != nil {
		return number, fmt.Errorf("read %s: %w: %q", kind, err, clip(data))
	}
	switch {
	case out.Err != "":
	case kind == "error": // flat, without an envelope
		out.Err = inBand(data)
	default:
		out.Err = inBandField(r.Error)
	}
	return number, nil
}

// add adds what the event brings. Events that repeat what others brought (done), and unknown ones, bring nothing.
func (r *responseJSON) add(kind string, out *Delta) error {
	switch kind {
	case "response.output_text.delta", "response.refusal.delta":
		return r.text(out, &out.Text)
	case "response.reasoning_text.delta", "response.reasoning_summary_text.delta":
		return r.text(out, &out.Reasoning)
	case "response.function_call_arguments.delta":
		err := r.text(out, &out.Tool)
		out.Calls = []CallPart{{int(r.Place), Call{Arguments: string(out.Tool)}}}
		return err
	case "response.custom_tool_call_input.delta", "response.mcp_call_arguments.delta":
		return r.text(out, &out.Tool)
	case "response.output_item.added":
		return r.item(out)
	case "response.completed", "response.incomplete", "response.failed":
		return r.end(kind, out)
	}
	return nil
}

// item reads what an item of the answer begins with. Of those with a name only a function's call is for us to answer.
func (r *responseJSON) item(out *Delta) error {
	var item struct {
		Kind string `json:"type"`
		ID   callID `json:"call_id"`
		Name string `json:"name"` // of a tool
	}
	out.Role = true
	if err := json.Unmarshal(r.Item, &item); err != nil {
		return err
	}
	out.Tool = []byte(item.Name)
	if item.Kind == "function_call" {
		out.Calls = []CallPart{{int(r.Place), Call{ID: string(item.ID), Name: item.Name}}}
	}
	return nil
}

func (r *responseJSON) text(out *Delta, to *[]byte) error {
	var text string
	if err := json.Unmarshal(r.Delta, &text); err != nil {
		return err
	}
	out.Role, *to = true, []byte(text)
	return nil
}

// end reads a terminal event. Where its name and the response's status differ, the worse
// one holds: vLLM ends what max_output_tokens cut by a response.completed that is incomplete.
func (r *responseJSON) end(kind string, out *Delta) error {
	var got struct {
		Status     string          `json:"status"`
		Error      json.RawMessage `json:"error"`
		Incomplete struct {
			Reason string `json:"reason"`
		} `json:"incomplete_details"`
		Usage *responseUsage `json:"usage"`
	}
	if err := json.Unmarshal(r.Response, &got); err != nil {
		return err
	}
	out.Done, out.Usage = true, got.Usage.usage()
	status := strings.TrimPrefix(kind, "response.")
	if status == "completed" && got.Status != "" {
		status = got.Status
	}
	if inBandField(got.Error) != "" {
		status = "failed"
	}
	switch status {
	case "completed":
		out.Finish = "stop"
	case "incomplete":
		out.Finish = orText(got.Incomplete.Reason, status)
		if out.Finish == "max_output_tokens" {
			out.Finish = "length"
		}
	default:
		out.Err = orText(inBandField(got.Error), "response "+status)
	}
	return nil
}

type responseUsage struct {
	Input        int `json:"input_tokens"`
	Output       int `json:"output_tokens"`
	InputDetails struct {
		Cached int `json:"cached_tokens"`
	} `json:"input_tokens_details"`
	OutputDetails struct {
		Reasoning int `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
}

// usage is the count, or nil if there is none.
func (u *responseUsage) usage() *results.Usage {
	if u == nil || u.Input == 0 && u.Output == 0 {
		return nil
	}
	return &results.Usage{
		Prompt: u.Input, Cached: u.InputDetails.Cached,
		Output: u.Output, Reasoning: u.OutputDetails.Reasoning,
		Source: results.UsageServer,
	}
}
