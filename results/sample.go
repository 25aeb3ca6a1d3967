package results

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Sample is one finished request, with all its attempts. All times count from
// the start of the run on one monotonic clock; 0 means never. Its zero value is
// a request of unknown outcome, which counts as failed.
type Sample struct {
	// Index identifies the request in the run; vegeta's own sequence number does not. It counts requests in the order
	// in which they are due; but where there are conversations in that in which they are written, which may be
	// long before, and with gaps for what was written and never due.
	Index uint64
	// Due is when the schedule said, Sent when the first attempt was handed to
	// the transport, Done when the last byte or the last error was seen.
	Due, Sent, Done time.Duration
	// FirstByte (response headers) and Role (a chunk that carries no text) are
	// diagnostics of the serving attempt. Neither is a first token.
	FirstByte, Role time.Duration
	// Chunks are the arrivals that carried content, reasoning or tool text, of
	// the last attempt, in order.
	Chunks []Chunk
	// Usage is the token count, and says who counted.
	Usage Usage
	// Status is the HTTP status of the last attempt; 0: no response.
	Status int
	// Outcome is Complete or the reason why not.
	Outcome Outcome
	// Error is the text behind a failed Outcome. Finish is the finish_reason.
	Error, Finish string
	// Attempts are the tries beside the one that this sample describes, oldest first: the client's own
	// retries, hedges and failovers. Nil: none.
	Attempts []Attempt
	// Hedged: what this sample describes is a hedge, which overtook or outlived the attempt beside which it was sent.
	Hedged bool
	// Suppressed: the client would have tried once more, and its retry budget had no room for it.
	Suppressed bool
	// Bytes of the body that were read of the last attempt's answer, as HTTP framed it.
	Bytes int64
	// Conversation is the index of the first request of the conversation that this one is of, and Turn its
	// place in it, from 1. Turn 0: it stands alone.
	Conversation uint64
	Turn         int
	// Unstreamed: the request asked for an answer in one piece (an embedding, an image, a transcript). It has no
	// first token and no gaps.
	Unstreamed bool
	// Echoed: the answer carried the request's own nonce, so that another's would have been seen in its place.
	Echoed bool
	// Left is the plan by which our client left, of an Outcome that is Cancelled.
	Left Left
	// Reconnects counts stale pooled connections that were replaced before
	// anything was served on them. They are ours, not the server's.
	Reconnects int
	// Labels slice every metric: tier, region, feature, tenant, session, model,
	// replica. Some are read from response headers. Not shared with others.
	Labels Labels
}

// A Chunk is one arrival of tokens.
type Chunk struct {
	// At is the stamp of the socket read, to 10 µs in the log.
	At time.Duration
	// Tokens in this chunk, at least 1.
	Tokens int
	// Coalesced: it came in one read with the chunk before it, so the gap
	// between the two says nothing about the server.
	Coalesced bool
}

// Usage is what a request cost in tokens.
type Usage struct {
	Prompt, Cached, Output, Reasoning int
	// Source says who counted Output.
	Source UsageSource
}

// A UsageSource says where a token count came from.
type UsageSource string

// Sources of a token count, best first. The zero value means nothing was counted.
const (
	UsageServer     UsageSource = "server"     // the stream's usage object
	UsageContinuous UsageSource = "continuous" // the usage that came with each chunk of a stream whose final one did not
	UsageTokenizer  UsageSource = "tokenizer"  // the model's own tokenizer, over the text that arrived
	UsageChunks     UsageSource = "chunks"     // one token a chunk, assumed
)

// An Attempt is one try that did not serve its request.
type Attempt struct {
	Sent, Done time.Duration
	Status     int
	Outcome    Outcome
	Error      string
	// Endpoint is the name of the one that it went to, where the client has several. Optional.
	Endpoint string
	// Hedge: it was sent beside another and not after it, or it is the one that the hedge overtook.
	Hedge bool
	// Prompt and Output are the tokens that were paid for and thrown away: the prompt's as the server counted
	// them (0: it did not say), and those of the answer that arrived.
	Prompt, Output int
}

// A Left is why a client of ours left before the end, by its plan. Its zero value means that it did not.
type Left string

// Ways to leave.
const (
	LeftStart  Left = "start"  // before the first byte, whatever the server does
	LeftTokens Left = "tokens" // after so many tokens
	LeftTime   Left = "time"   // after so long, whether or not there was a token
)

// Labels slice metrics. The nil map is valid and empty.
type Labels map[string]string

// Match reports whether l has every pair of sel. An empty sel matches all.
func (l Labels) Match(sel Labels) bool {
	for k, v := range sel {
		if l[k] != v {
			return false
		}
	}
	return true
}

// String gives {a="x", b="y"} in the order of the names, or "" if empty.
func (l Labels) String() string {
	if len(l) == 0 {
		return ""
	}
	parts := make([]string, 0, len(l))
	for _, k := range slices.Sorted(maps.Keys(l)) {
		parts = append(parts, fmt.Sprintf("%s=%q", k, l[k]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// An Outcome says whether a request was served and, if not, why not.
type Outcome uint8

// Outcomes. Only Complete is a success; the zero value is not. Cancelled is our
// own client's plan, or the end of the run, and is counted apart.
const (
	Unknown        Outcome = iota
	Complete               // 2xx, no error in the stream, terminal seen, at least one token, usage agrees
	Connect                // no connection
	TLS                    // no TLS session
	DNS                    // no address
	HTTPStatus             // a status other than 2xx and 429
	RateLimited            // 429
	Reset                  // the connection died before or during the stream
	StreamError            // an error object or event inside a 2xx stream
	Truncated              // a clean end without the dialect's terminal
	IdleTimeout            // nothing arrived for longer than the client waits
	Deadline               // the client's deadline passed, or the run ended and the stream's drain with it
	Malformed              // bytes that are not of the dialect
	Empty                  // a proper end and not one token
	LengthMismatch         // usage does not agree with what was received
	WrongUser              // another user's nonce in the response
	WrongAnswer            // a golden prompt answered otherwise
	Cancelled              // by our own client: its plan, or the end of the run
)

var outcomeNames = [...]string{ //nolint:gochecknoglobals // the names of a closed set, never written
	"unknown", "complete", "connect", "tls", "dns", "http_status", "rate_limited", "reset", "stream_error",
	"truncated", "idle_timeout", "deadline", "malformed", "empty", "length_mismatch", "wrong_user",
	"wrong_answer", "cancelled",
}

// Outcomes returns every outcome but Unknown, in the order of their declaration.
func Outcomes() []Outcome {
	all := make([]Outcome, 0, len(outcomeNames)-1)
	for o := Complete; int(o) < len(outcomeNames); o++ {
		all = append(all, o)
	}
	return all
}

// String gives the outcome's name as tables and the log write it.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// MarshalText writes the name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads a name; a name that it does not know is an error.
func (o *Outcome) UnmarshalText(text []byte) error {
	i := slices.Index(outcomeNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("outcome %q isn't one of [%s]", text, strings.Join(outcomeNames[:], " "))
	}
	*o = Outcome(i)
	return nil
}
