package targets

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/failwhale/failwhale/results"
)

// A Dialect is one wire format of inference servers: how a prompt is asked and
// how the stream of the answer is read. It is safe for concurrent use.
type Dialect interface {
	// Name is how files and messages call it.
	Name() string
	// Encode returns the path below the endpoint's root, with the version, and the request's body.
	Encode(Prompt) (path string, body []byte, err error)
	// Decoder returns a reader for one answer.
	Decoder() Decoder
}

// A Decoder reads the events of one answer, in order. It remembers what it needs
// to from one to the next, and belongs to one goroutine.
type Decoder interface {
	// Decode reads e into d, whatever d held before. The slices of d are valid until e is no
	// longer. An error means that e is not of the dialect; an error that the server reports in
	// e is Delta.Err. Both leave the Decoder usable.
	Decode(e *Event, d *Delta) error
}

// A WholeReader is a Decoder that knows some events by their bytes alone. Most
// servers send each event in an HTTP chunk of its own, thousands of which differ
// in a word: to read those it is not needed to look for the ends of their lines.
type WholeReader interface {
	// ReadWhole reports whether piece is exactly one event, from its first byte to its blank
	// line, of a kind that it knows, and if so reads it into d as a Splitter and Decode would. It
	// may be asked where an event begins (Splitter.AtStart). It sets Role, Text and Reasoning and
	// leaves the rest of d as it is, so d must be zero, or what ReadWhole made of it.
	ReadWhole(piece []byte, d *Delta) bool
}

// A Prompt is what one request asks.
type Prompt struct {
	// Model is the model's name. Required.
	Model string
	// Messages are the conversation, oldest first. Required.
	Messages []Message
	// MaxTokens bounds the answer. Required: servers differ in what they do without.
	MaxTokens int
}

// A Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"` // system, user or assistant
	Content string `json:"content"`
}

// A Delta is what one event adds to an answer. Its zero value adds nothing.
type Delta struct {
	// Role: the event is a piece of the answer, even if it carries no text.
	Role bool
	// Text, Reasoning and Tool (names and arguments of tool calls) as decoded text, not JSON.
	Text, Reasoning, Tool []byte
	// Finish is the finish_reason.
	Finish string
	// Usage is the server's count so far. Nil: the event has none.
	Usage *results.Usage
	// Done: the dialect's last word.
	Done bool
	// Err is an error that the server reports inside the stream. Empty: none.
	Err string
}

// Dialects returns every dialect. The first is the default.
func Dialects() []Dialect { return []Dialect{OpenAIChat{}} }

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

// JoinURL puts a dialect's path on an endpoint's base URL, which may come with
// or without the version (http://host, http://host/v1) or with the whole path.
func JoinURL(base, path string) (*url.URL, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read url: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("url %q has no scheme http or https: write http://host:port", base)
	case u.Hostname() == "":
		return nil, fmt.Errorf("url %q has no host: write http://host:port", base)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("url %q has a query or a fragment: write the base only", base)
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	have := strings.TrimRight(u.Path, "/")
	have = strings.TrimSuffix(have, path)
	u.Path = strings.TrimSuffix(have, "/"+version) + path
	u.RawPath = ""
	return u, nil
}
