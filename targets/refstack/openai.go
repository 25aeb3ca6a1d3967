package refstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// An apiError is an error as OpenAI's API words it.
type apiError struct {
	Status  int    `json:"-"`
	Message string `json:"message"`
	Type    string `json:"type"`
	Param   any    `json:"param"`
	Code    any    `json:"code"`
}

func (e *apiError) Error() string { return e.Message }

func badRequest(format string, args ...any) *apiError {
	return &apiError{Status: http.StatusBadRequest, Type: "invalid_request_error", Message: fmt.Sprintf(format, args...)}
}

// encode is {"error": {...}}.
func (e *apiError) encode() []byte {
	text, err := json.Marshal(map[string]*apiError{"error": e})
	if err != nil {
		return []byte(`{"error":{"message":"the error cannot be encoded","type":"server_error","param":null,"code":null}}`)
	}
	return text
}

// writeTo answers with the error. A client that has gone is not told.
func (e *apiError) writeTo(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(e.encode())
}

// maxBody is the most that a request may weigh.
const maxBody = 8 << 20

// readBody reads a request's body, up to maxBody.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *apiError) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &apiError{
			Status: http.StatusRequestEntityTooLarge, Type: "invalid_request_error",
			Message: fmt.Sprintf("the body has more than %d bytes", large.Limit),
		}
	case err != nil:
		return nil, badRequest("read body: %v", err)
	}
	return body, nil
}

// A chatRequest is what we take from a chat completion request. What is not named here (sampling,
// tools, stop words) changes nothing: end-of-sequence is ignored but for what was to be repeated.
type chatRequest struct {
	Model         string    `json:"model"`
	Messages      []message `json:"messages"`
	Stream        bool      `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           *int   `json:"max_tokens"`
	MaxCompletionTokens *int   `json:"max_completion_tokens"`
	N                   *int   `json:"n"`
	User                string `json:"user"`
}

type message struct {
	Role    string  `json:"role"`
	Content content `json:"content"`
}

// content is a string, null, or a list of parts of which the texts count.
type content string

// UnmarshalJSON reads any of the three forms.
func (c *content) UnmarshalJSON(text []byte) error {
	if len(text) == 0 || text[0] != '[' {
		var s string
		err := json.Unmarshal(text, &s)
		*c = content(s)
		return err
	}
	var parts []struct {
		Text string `json:"text"`
	}
	err := json.Unmarshal(text, &parts)
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	*c = content(b.String())
	return err
}

// defaultOutput is how many tokens come when a request does not say.
const defaultOutput = 256

// A prompt is a chat request that has been checked.
type prompt struct {
	chatRequest
	tokens, output int
	nonce          string   // the first one in the messages, or ""
	repeat         []string // what it asks to be repeated, as tokens; nil: nothing
}

// noncePattern is what a load generator puts into a prompt to know its own answer again.
const noncePattern = `fw-[0-9a-f]{8}-[0-9a-f]{12}`

// parseChat decodes and checks a body against limits.
func parseChat(body []byte, limits Limits, nonce *regexp.Regexp) (*prompt, *apiError) {
	var p prompt
	if err := json.Unmarshal(body, &p.chatRequest); err != nil {
		return nil, badRequest("parse the JSON body of the request: %v", err)
	}
	if len(p.Messages) == 0 {
		return nil, badRequest("messages is empty: want at least one")
	}
	if p.N != nil && *p.N != 1 {
		return nil, badRequest("n is %d: want 1", *p.N)
	}
	p.output = defaultOutput
	for _, limit := range []*int{p.MaxTokens, p.MaxCompletionTokens} {
		if limit != nil {
			p.output = *limit
		}
	}
	if p.output < 1 || p.output > limits.OutputTokens {
		return nil, badRequest("max_tokens is %d: want 1 to %d", p.output, limits.OutputTokens)
	}
	if p.repeat = p.repeats(); p.repeat != nil {
		p.output = min(p.output, len(p.repeat))
	}
	for _, m := range p.Messages {
		p.tokens += messageTokens + (len(m.Content)+charsPerToken-1)/charsPerToken
		if p.nonce == "" {
			p.nonce = nonce.FindString(string(m.Content))
		}
	}
	if p.tokens+p.output > limits.ContextTokens {
		return nil, &apiError{
			Status: http.StatusBadRequest, Type: "invalid_request_error", Param: "messages", Code: "context_length_exceeded",
			Message: fmt.Sprintf("the prompt has %d tokens and %d are asked for: want at most %d in all", p.tokens, p.output, limits.ContextTokens),
		}
	}
	return &p, nil
}

// Prompt tokens are estimated, not tokenized: English averages about four characters a token, and
// a chat template adds about three tokens a message.
const (
	charsPerToken = 4
	messageTokens = 3
)
