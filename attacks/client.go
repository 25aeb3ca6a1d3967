package attacks

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
)

// DefaultDeadline is how long a client waits for a whole answer. It is longer
// than any preset's stream and shorter than the patience of a person.
const DefaultDeadline = 60 * time.Second

// maxRetries bounds a client's retries: the back-off has long been at its top by then.
const maxRetries = 20

// A Client is one kind of user: who they are, how many of them, how patient. Its
// zero value is a client without a tier that waits DefaultDeadline and never retries.
type Client struct {
	// Tier is the label of the client's samples and chooses its key. Optional.
	Tier string `yaml:"tier" json:"tier,omitempty"`
	// Share of all requests. Optional; default an equal part of what the other clients leave.
	Share Share `yaml:"share" json:"share,omitempty"`
	// Tenant is the label of the client's samples: whose traffic it is. Optional.
	Tenant string `yaml:"tenant" json:"tenant,omitempty"`
	// Home is the region where these users are, the label home. Which region served them is the endpoint's to say. Optional.
	Home string `yaml:"home" json:"home,omitempty"`
	// Headers are sent beside the endpoint's, and win over them: a tenant's or a region's mark. Optional; values may hold
	// ${ENV}, and those that do are for the endpoint of the attack alone, as Key is.
	Headers map[string]string `yaml:"headers" json:"headers,omitempty"`
	// Users is how many of them there are: each conversation is held by one of them, drawn by the seed. Optional;
	// default a new user each time.
	Users int `yaml:"users" json:"users,omitempty"`
	// Key is sent as a bearer token instead of the endpoint's; those that it fails over to have their own. Optional; "${ENV}".
	Key string `yaml:"key" json:"key,omitempty"`
	// Deadline of the whole request, retries included, from when it is sent. Optional; default 60s.
	Deadline time.Duration `yaml:"deadline" json:"deadline,omitempty"`
	// FirstToken is how long the client waits for an attempt's first token; then it gives that attempt up, and
	// retries or fails over if it does so at all. Optional; default none but the deadline.
	FirstToken time.Duration `yaml:"first_token" json:"first_token,omitempty"`
	// Idle is the silence after which the client gives up, before the first byte as well as
	// between two. Optional; default none but the deadline.
	Idle time.Duration `yaml:"idle" json:"idle,omitempty"`
	// Retries after a failed connection, a first token that did not come, 408, 409, 429 or 5xx. Never once a
	// token has come, but for RetryCut. Optional; default 0.
	Retries int `yaml:"retries" json:"retries,omitempty"`
	// Backoff is the wait between retries. Optional; default that of the OpenAI SDKs.
	Backoff *Backoff `yaml:"backoff" json:"backoff,omitempty"`
	// RetryCut asks again also for an answer that was cut, failed inside, was empty or fell silent, as a user does
	// who presses reload. Optional.
	RetryCut bool `yaml:"retry_cut" json:"retry_cut,omitempty"`
	// RetryBudget is the part of the requests of this kind of client, of the last ten seconds, that its retries may
	// be; hedges and failovers are not counted. Optional; default no bound.
	RetryBudget Share `yaml:"retry_budget" json:"retry_budget,omitempty"`
	// Storm is how it retries in one phase instead. Optional.
	Storm *Storm `yaml:"storm" json:"storm,omitempty"`
	// Hedge sends a second request after so long without a first token, once; the one whose first token comes first
	// is kept, the other is cancelled. Optional; default never.
	Hedge time.Duration `yaml:"hedge" json:"hedge,omitempty"`
	// Cancel is how some of them leave early. Optional.
	Cancel *Cancel `yaml:"cancel" json:"cancel,omitempty"`
	// Read is how fast it reads. Optional; default as fast as it can.
	Read ByteRate `yaml:"read" json:"read,omitempty"`
	// RequestsPerConnection is after how many requests it closes a connection. 1: a new one each time. Optional;
	// default as long as the server keeps it.
	RequestsPerConnection int `yaml:"requests_per_connection" json:"requests_per_connection,omitempty"`
	// HTTP2 speaks HTTP/2, many streams on a connection: by ALPN over TLS, else by prior knowledge. Optional.
	HTTP2 bool `yaml:"http2" json:"http2,omitempty"`
	// Failover is where it goes when an endpoint fails it. Optional.
	Failover *Failover `yaml:"failover" json:"failover,omitempty"`
}

// A Backoff is how long a client waits before its retries. Its zero value is that of the OpenAI SDKs.
type Backoff struct {
	// First wait, by Factor longer each time, up to Most. Optional; default 0.5s, 2 and 8s.
	First  time.Duration `yaml:"first" json:"first,omitempty"`
	Factor float64       `yaml:"factor" json:"factor,omitempty"`
	Most   time.Duration `yaml:"most" json:"most,omitempty"`
	// Jitter is the part of each wait that is left off at random, at most. Optional; default 25%; none: write 0%.
	Jitter *Jitter `yaml:"jitter" json:"jitter,omitempty"`
	// IgnoreRetryAfter leaves a server's Retry-After unheeded. Optional.
	IgnoreRetryAfter bool `yaml:"ignore_retry_after" json:"ignore_retry_after,omitempty"`
}

// A Storm is a client's retries in one phase: impatient, without a budget.
type Storm struct {
	// Retries instead of the client's. Required.
	Retries int `yaml:"retries" json:"retries"`
	// Wait before each, always the same; Retry-After is not heeded. Optional; default none.
	Wait time.Duration `yaml:"wait" json:"wait,omitempty"`
	// During is the phase. Optional; default fault.
	During results.Phase `yaml:"during" json:"during,omitempty"`
	// Feature is the class of requests that it is about. Optional; default all.
	Feature string `yaml:"feature" json:"feature,omitempty"`
}

// A Cancel is how a part of a client's requests is cancelled: by exactly one of its ways.
type Cancel struct {
	// Share of the requests. Optional; default all of them.
	Share Share `yaml:"share" json:"share,omitempty"`
	// AfterTokens leaves once so many tokens have come. Optional.
	AfterTokens int `yaml:"after_tokens" json:"after_tokens,omitempty"`
	// After leaves so long after the request was sent, whatever has come. Optional.
	After time.Duration `yaml:"after" json:"after,omitempty"`
	// BeforeFirstByte leaves as soon as the request is written. Optional.
	BeforeFirstByte bool `yaml:"before_first_byte" json:"before_first_byte,omitempty"`
}

// A Failover is what a client does when an endpoint fails it: it goes to the next, at once.
type Failover struct {
	// To are the names of the stack's other endpoints, in order. Required.
	To []string `yaml:"to" json:"to"`
	// AfterFirstToken fails over also when a stream was cut after its first token, and begins again from it. Optional.
	AfterFirstToken bool `yaml:"after_first_token" json:"after_first_token,omitempty"`
}

// Bounds of what a client may be told.
const (
	maxKindUsers       = 1_000_000
	maxConnectionTurns = 1_000_000
)

// Validate returns what is wrong with c on its own, or nil.
func (c Client) Validate() []error {
	var errs []error
	deadline := cmp.Or(c.Deadline, DefaultDeadline)
	if !validShare(c.Share) {
		errs = append(errs, fmt.Errorf("share %s is not over 0%% and up to 100%%: write 50%%", c.Share))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		errs = append(errs, c.validateHeader(name)...)
	}
	if c.Users < 0 || c.Users > maxKindUsers {
		errs = append(errs, fmt.Errorf("users %d is not between 1 and %d: write 100, or leave it out for a new one each time", c.Users, maxKindUsers))
	}
	if c.Key != "" && !strings.Contains(c.Key, "${") {
		errs = append(errs, errors.New(`key is written out: write key: "${NAME}", and export NAME`))
	}
	if c.Deadline < 0 {
		errs = append(errs, fmt.Errorf("deadline %s is negative: write 60s", c.Deadline))
	}
	if c.FirstToken < 0 || c.FirstToken > 0 && c.FirstToken > deadline {
		shorter := 5 * time.Second
		if deadline > 0 {
			shorter = min(shorter, deadline/2)
		}
		errs = append(errs, fmt.Errorf("first_token %s is not between 0s and the deadline %s: write %s", c.FirstToken, deadline, shorter))
	}
	if c.Idle < 0 {
		errs = append(errs, fmt.Errorf("idle %s is negative: write 10s", c.Idle))
	}
	if c.Retries < 0 || c.Retries > maxRetries {
		errs = append(errs, fmt.Errorf("retries %d is not between 0 and %d: write 2", c.Retries, maxRetries))
	}
	if c.Read < 0 {
		errs = append(errs, fmt.Errorf("read %dB/s is negative: write 2KB/s", c.Read))
	}
	if c.RequestsPerConnection < 0 || c.RequestsPerConnection > maxConnectionTurns {
		errs = append(errs, fmt.Errorf("requests_per_connection %d is not between 1 and %d: write 1 for a new one each time",
			c.RequestsPerConnection, maxConnectionTurns))
	}
	for _, err := range c.Cancel.validate(deadline) {
		errs = append(errs, prefix("cancel", err))
	}
	return append(errs, c.validateRetries()...)
}

// validateHeader returns what is wrong with one of c's headers, or nil. Its value is looked at when it is known.
func (c *Client) validateHeader(name string) []error {
	var errs []error
	if err := checkHeader(name, ""); err != nil {
		errs = append(errs, err)
	}
	for other := range c.Headers {
		if other < name && http.CanonicalHeaderKey(other) == http.CanonicalHeaderKey(name) {
			errs = append(errs, fmt.Errorf("headers %q and %q are the same one: remove one", other, name))
		}
	}
	return errs
}

// label says who the client is.
func (c *Client) label(l results.Labels) {
	for _, is := range [...]struct{ name, value string }{{"tier", c.Tier}, {"tenant", c.Tenant}, {"home", c.Home}} {
		if is.value != "" {
			l[is.name] = is.value
		}
	}
}

// validShare reports whether s is one, or not set.
func validShare(s Share) bool { return s >= 0 && s <= 1 }

// ValidateClients returns what is wrong with clients taken together, or nil: their
// shares must come to 100%.
func ValidateClients(clients []Client) []error {
	return checkShares(clientShares(clients), "client(s)")
}

// Shares returns the part of all requests that each client makes, in order: a client without a share has an
// equal part of what the others leave. For clients that ValidateClients has nothing against they come to 1.
func Shares(clients []Client) []float64 { return partsOf(clientShares(clients)) }

func clientShares(clients []Client) []Share {
	shares := make([]Share, len(clients))
	for i, c := range clients {
		shares[i] = c.Share
	}
	return shares
}

// A Share is a part of all requests, 0 to 1. Its zero value means not set.
type Share float64

// UnmarshalText reads "50%" or "0.5%".
func (s *Share) UnmarshalText(text []byte) error {
	number, isPercent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	if !isPercent {
		return fmt.Errorf("share %q is no percentage: write %s", text, percentage(number))
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n > 0 && n <= 100) {
		return fmt.Errorf("share %q is not over 0%% and up to 100%%: write 50%%", text)
	}
	*s = Share(n / 100)
	return nil
}

// percentage is what was most likely meant by a number without a percent sign: of 0.1 it is 10%, of 20 it is 20%.
func percentage(number string) string {
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err == nil && n > 0 && n <= 1:
		return Share(n).String()
	case err == nil && n > 1 && n <= 100:
		return Share(n / 100).String()
	}
	return "50%"
}

// MarshalText writes what UnmarshalText reads.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String gives the percentage: "50%".
func (s Share) String() string { return strconv.FormatFloat(float64(s)*100, 'g', 6, 64) + "%" }

// A Jitter is a part of a wait, 0 to 1.
type Jitter float64

// UnmarshalText reads "25%"; 0% is none.
func (j *Jitter) UnmarshalText(text []byte) error {
	number, isPercent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	if !isPercent {
		return fmt.Errorf("jitter %q is no percentage: write %s", text, percentage(number))
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n >= 0 && n <= 100) {
		return fmt.Errorf("jitter %q is not between 0%% and 100%%: write 25%%", text)
	}
	*j = Jitter(n / 100)
	return nil
}

// A ByteRate is how many bytes a second a slow reader takes. Its zero value is as many as there are.
type ByteRate int64

// UnmarshalText reads 500B/s, 2KB/s or 1MB/s.
func (r *ByteRate) UnmarshalText(text []byte) error {
	bad := fmt.Errorf("read %q is no rate of bytes: write 2KB/s", text)
	number, ok := strings.CutSuffix(strings.TrimSpace(string(text)), "B/s")
	if !ok {
		return bad
	}
	unit := 1.0
	if n := len(number); n > 0 {
		if u, is := map[byte]float64{'K': 1e3, 'k': 1e3, 'M': 1e6}[number[n-1]]; is {
			unit, number = u, number[:n-1]
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n*unit >= 1 && n*unit <= 1e9) {
		return bad
	}
	*r = ByteRate(n * unit)
	return nil
}
