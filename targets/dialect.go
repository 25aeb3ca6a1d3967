package targets

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/failwhale/failwhale/results"
)

// A Dialect is one wire format of inference servers: how a prompt is asked and
// how the stream of the answer is read. It is safe for concurrent use.
type Dialect interface {
	// Name is how files and messages call it.
	Name() string
	// Encode writes the request that asks p. Its path and content type are the same for every prompt.
	Encode(Prompt) (Request, error)
	// Decoder returns a reader for one answer.
	Decoder() Decoder
	// Headers are what every request carries beside its content type: the key in the way of the
	// dialect, unless it is empty, and a version where the dialect has one.
	Headers(key string) map[string]string
	// Framing says how an answer's bytes are cut into events.
	Framing() Framing
	// Terminal is the dialect's last word, as messages name it: "[DONE]".
	Terminal() string
}

// Framing is how a stream's bytes are cut into events.
type Framing uint8

// Framings.
const (
	ServerSentEvents Framing = iota // text/event-stream
	Lines                           // a JSON object a line: application/x-ndjson
	Whole                           // one JSON object: application/json. The answer is no stream, and one event
)

// A Decoder reads the events of one answer, in order. It remembers what it needs
// to from one to the next, and belongs to one goroutine.
type Decoder interface {
	// Decode reads e into d, whatever d held before. The slices of d are valid until e is no
	// longer. An error means that e is not of the dialect; an error that the server reports in
	// e is Delta.Err. Both leave the Decoder usable. Of a Whole answer an error may be ErrNoResult, or
	// io.ErrUnexpectedEOF where its text is cut.
	Decode(e *Event, d *Delta) error
}

// A WholeReader is a Decoder that knows some events by their bytes alone; those of every dialect
// here that streams are. Most servers send each event in an HTTP chunk of its own, thousands of which differ
// in a word: to read those it is not needed to look for the ends of their lines.
type WholeReader interface {
	// ReadWhole reports whether piece is exactly one event, from its first byte to its end, of a kind that it knows, and if so reads it into d as a Splitter and Decode would. It
	// may be asked where an event begins (Splitter.AtStart). It sets Role, Text and Reasoning and
	// leaves the rest of d as it is, so d must be zero, or what ReadWhole made of it.
	ReadWhole(piece []byte, d *Delta) bool
}

// A Summarizer is a Dialect whose servers may count reasoning of which they show no more than a summary, and
// whose usage has no word for how much that was.
type Summarizer interface {
	Dialect
	// Summarizes marks it.
	Summarizes()
}

// A Prompt is what one request asks.
type Prompt struct {
	// Model is the model's name. Required.
	Model string
	// Messages are the conversation, oldest first. Required.
	Messages []Message
	// MaxTokens bounds the answer. Required: servers differ in what they do without.
	MaxTokens int
	// Temperature is how random the answer may be. Optional; nil leaves it to the server. It is an error where the
	// dialect has none.
	Temperature *float64
	// Tools are what the model may call. Optional; an error where the dialect has none.
	Tools []Tool
	// Extra is laid over the request's JSON as a merge patch (RFC 7396): what it names is replaced, and null
	// removes. Of a form it is fields: a list is a field for each of its values, an object its JSON. Optional.
	Extra map[string]any
}

// A Tool is a function that a model may call.
type Tool struct {
	Name, Description string
	// Parameters is a JSON schema. Optional; default no parameters.
	Parameters map[string]any
}

// A Request is what a Prompt becomes on the wire.
type Request struct {
	// Path is below the endpoint's root, with the version.
	Path string
	// ContentType of Body. Optional; default application/json.
	ContentType string
	Body        []byte
}

// A Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"` // system, user, assistant, or tool where it has Of
	Content string `json:"content"`
	// Calls are what an assistant's message calls beside what it says. Optional. A dialect without tools leaves them out.
	Calls []Call `json:"-"`
	// Of is the call whose result the message is. Optional.
	Of *Call `json:"-"`
}

// A Delta is what one event adds to an answer. Its zero value adds nothing.
type Delta struct {
	// Role: the event is a piece of the answer, even if it carries no text.
	Role bool
	// Text, Reasoning and Tool (names and arguments of tool calls) as decoded text, not JSON.
	Text, Reasoning, Tool []byte
	// Calls are the same pieces of tool calls apart, with their ids. What is not for the client to answer is none.
	Calls []CallPart
	// Finish is why the answer ended, in OpenAI's words where the dialect has its own for the same
	// (stop, length, tool_calls, content_filter), so that samples of two dialects compare.
	Finish string
	// Usage is the server's count so far. Nil: the event has none, or one of zeros.
	Usage *results.Usage
	// Done: the dialect's last word. An answer is whole with both Finish and Done.
	Done bool
	// Err is an error that the server reports inside the stream. Empty: none.
	Err string
}

// Dialects returns every dialect. The first is the default.
func Dialects() []Dialect {
	return []Dialect{
		OpenAIChat{},
		OpenAICompletions{},
		OpenAIResponses{},
		AnthropicMessages{},
		OllamaChat{},
		OpenAIEmbeddings{},
		OpenAIImages{},
		OpenAITranscriptions{},
	}
}

// DialectNamed returns the dialect of that name; the empty name is the default.
func DialectNamed(name string) (Dialect, error) {
	var names []string
	for _, d := range Dialects() {
		if name == "" || d.Name() == name {
			return d, nil
		}
		names = append(names, d.Name())
	}
	return nil, fmt.Errorf("dialect %q isn't one of [%s]", name, strings.Join(names, " "))
}

// JoinURL puts a dialect's path, a version (or what stands for one: Ollama's api) and
// what follows it, on an endpoint's base URL. People write that in every way, so the
// first of these that fits holds:
//
//   - it ends in the path without the version (/chat/completions): it is used as it is;
//   - it ends in what the path begins with (http://h:11434/api): the path goes on it without that;
//   - the path begins with a version, and a segment of the base's is one (v1, v2, v1beta), or it names a deployment
//     of Azure's (…/deployments/NAME): the path goes on it without the version (http://h/v1, https://h/v1beta/openai);
//   - else all of the path does.
//
// A server that this does not suit is reached by its whole path. A query (api-version=…) is kept. The
// error holds no user, password or query: a base may have a secret in each.
func JoinURL(base, path string) (*url.URL, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil: // which quotes it, or just the piece that may be of a password
		return nil, errors.New("url does not parse: write http://host:port, and percent-encode what is special")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("url has no scheme http or https: write http://host:port")
	case u.Hostname() == "":
		return nil, errors.New("url has no host: write http://host:port")
	case u.Fragment != "":
		return nil, fmt.Errorf("url %q has a fragment (#…): remove it", withoutSecrets(u))
	}
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	first, rest = "/"+first, "/"+rest
	add := path
	switch have := strings.TrimRight(u.Path, "/"); {
	case strings.HasSuffix(have, rest):
		add = ""
	case strings.HasSuffix(have, first), isVersioned(first) && isVersioned(have):
		add = rest
	}
	u.Path = strings.TrimRight(u.Path, "/") + add
	if u.RawPath != "" { // an escaped slash stays one
		u.RawPath = strings.TrimRight(u.RawPath, "/") + add
	}
	return u, nil
}

// isVersioned reports whether a path leads to a version of an API already.
func isVersioned(path string) bool {
	segments := strings.Split(path, "/")
	if n := len(segments); n >= 2 && segments[n-2] == "deployments" {
		return true
	}
	return slices.ContainsFunc(segments, regexp.MustCompile(`^v[0-9]+((alpha|beta)[0-9]*)?$`).MatchString)
}

// withoutSecrets is as much of u as may be shown.
func withoutSecrets(u *url.URL) string {
	show := *u
	show.User, show.RawQuery, show.ForceQuery, show.Fragment, show.RawFragment = nil, "", false, "", ""
	return show.Redacted()
}
