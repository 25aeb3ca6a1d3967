package attacks

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/failwhale/failwhale/results"
)

// The back-off of OpenAI's SDKs (openai-python, _base_client.py and _constants.py):
// half a second, doubled up to eight, less up to a quarter at random; a server's
// Retry-After instead, if it is no longer than a minute.
const (
	firstWait     = 500 * time.Millisecond
	waitFactor    = 2
	longestWait   = 8 * time.Second
	jitterPart    = Jitter(0.25)
	maxRetryAfter = 60 * time.Second
)

// validateRetries returns what is wrong with what c does between its attempts, or nil.
func (c *Client) validateRetries() []error {
	var errs []error
	bad := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	retries := c.Retries > 0 || c.Storm != nil
	bad(c.Backoff != nil && c.Retries == 0, "backoff waits for no retries: write retries: 2 beside it")
	bad(c.RetryBudget != 0 && c.Retries == 0, "retry_budget bounds no retries: write retries: 2 beside it")
	bad(c.RetryBudget < 0 || c.RetryBudget > 1, "retry_budget %s is not over 0%% and up to 100%%: write 10%%", c.RetryBudget)
	bad(c.RetryCut && !retries, "retry_cut needs retries: write retries: 2 beside it")
	bad(c.Hedge < 0, "hedge %s is negative: write 2s", c.Hedge)
	bad(c.Hedge > 0 && c.FirstToken > 0 && c.Hedge >= c.FirstToken,
		"hedge %s comes after the first attempt was given up (first_token %s): write a shorter one", c.Hedge, c.FirstToken)
	bad(c.Hedge > 0 && c.Hedge >= cmp.Or(c.Deadline, DefaultDeadline),
		"hedge %s comes after the deadline %s: write a shorter one", c.Hedge, cmp.Or(c.Deadline, DefaultDeadline))
	within := func(name string, wrong []error) {
		for _, err := range wrong {
			errs = append(errs, prefix(name, err))
		}
	}
	within("backoff", c.Backoff.validate())
	within("storm", c.Storm.validate())
	within("failover", c.Failover.validate())
	return errs
}

// validate returns what is wrong with b, or nil.
func (b *Backoff) validate() []error {
	if b == nil {
		return nil
	}
	var errs []error
	if b.First < 0 {
		errs = append(errs, fmt.Errorf("first %s is negative: write 500ms", b.First))
	}
	if b.Factor != 0 && !(b.Factor >= 1 && b.Factor <= 1000) {
		errs = append(errs, fmt.Errorf("factor %g is not between 1 and 1000: write 2, or 1 for waits that do not grow", b.Factor))
	}
	if whole := b.whole(); b.Most < 0 || whole.Most < whole.First {
		errs = append(errs, fmt.Errorf("most %s is shorter than the first wait %s: write most: %s or longer", whole.Most, whole.First, whole.First))
	}
	if b.Jitter != nil && !(*b.Jitter >= 0 && *b.Jitter <= 1) {
		errs = append(errs, fmt.Errorf("jitter %g%% is not between 0%% and 100%%: write 25%%", float64(*b.Jitter)*100))
	}
	return errs
}

// validate returns what is wrong with s, or nil.
func (s *Storm) validate() []error {
	if s == nil {
		return nil
	}
	var errs []error
	if s.Retries < 1 || s.Retries > maxRetries {
		errs = append(errs, fmt.Errorf("retries %d is not between 1 and %d: write 5", s.Retries, maxRetries))
	}
	if s.Wait < 0 {
		errs = append(errs, fmt.Errorf("wait %s is negative: write 100ms, or leave it out for none", s.Wait))
	}
	switch s.During {
	case "", results.Warmup, results.Baseline, results.Fault, results.Recovery:
	default:
		errs = append(errs, fmt.Errorf("during %q isn't one of [%s %s %s %s]", string(s.During),
			results.Warmup, results.Baseline, results.Fault, results.Recovery))
	}
	return errs
}

// whole is b with what it leaves out; nil: all.
func (b *Backoff) whole() Backoff {
	if b == nil {
		b = &Backoff{}
	}
	w, jitter := *b, jitterPart
	w.First, w.Factor, w.Most = cmp.Or(w.First, firstWait), cmp.Or(w.Factor, waitFactor), cmp.Or(w.Most, longestWait)
	if w.Jitter == nil {
		w.Jitter = &jitter
	}
	return w
}

// wait is how long a client waits before retry number n, from 0, after an answer with these headers; told: the server
// said so. b is whole.
func (b *Backoff) wait(n int, answer http.Header, rng *rand.Rand) (_ time.Duration, told bool) {
	if d, ok := retryAfter(answer); ok && !b.IgnoreRetryAfter {
		return d, true
	}
	d := min(float64(b.First)*math.Pow(b.Factor, float64(n)), float64(b.Most))
	return time.Duration(d * (1 - float64(*b.Jitter)*rng.Float64())), false
}

// A manner is how a client retries one turn.
type manner struct {
	retries int
	backoff Backoff      // whole
	budget  *retryBudget // nil: no bound
}

// manner is the client's, or the storm's where the turn is of its phase and class.
func (r *runner) manner(turn *turn, c *Client) manner {
	if s := c.Storm; s != nil && turn.phase == cmp.Or(s.During, results.Fault) && (s.Feature == "" || s.Feature == r.feature(turn)) {
		var none Jitter
		return manner{retries: s.Retries, backoff: Backoff{First: s.Wait, Factor: 1, Most: s.Wait, Jitter: &none, IgnoreRetryAfter: true}}
	}
	return manner{retries: c.Retries, backoff: c.Backoff.whole(), budget: r.budgets[turn.client]}
}

// again reports whether c may send a request more than once: at all, or once a 2xx has begun to answer it.
func (c *Client) again(begun bool) bool {
	switch {
	case c.Retries == 0 && c.Storm == nil && c.Hedge == 0 && c.Failover == nil:
		return false
	case !begun || c.FirstToken > 0 || c.Hedge > 0 || c.RetryCut:
		return true
	}
	return c.Failover != nil // the stream may break before its first token
}

// retries reports whether c, with retries left, makes one after t: after a refusal always; after a stream that was
// cut only with RetryCut.
func (c *Client) retries(t *try) bool { return t.refusedUs() || c.RetryCut && t.cut() }

// moves reports whether c goes from the door that failed it to the next: also after a stream that was cut before
// its first token, of which nobody has seen anything, and after any other with AfterFirstToken.
func (c *Client) moves(t *try) bool {
	return t.refusedUs() || t.cut() && (c.Failover.AfterFirstToken || t.in == nil || len(t.in.chunks) == 0)
}

// refusedUs reports whether the failure is one after which the SDKs ask again: no connection, none of a response,
// 408, 409, 429 or 5xx; or no first token for as long as the client waits.
func (t *try) refusedUs() bool {
	switch t.outcome {
	case results.Connect, results.DNS:
		return true
	case results.TLS, results.Reset:
		return t.status == 0
	case results.RateLimited:
		return true
	case results.HTTPStatus:
		return t.status >= 500 || t.status == http.StatusRequestTimeout || t.status == http.StatusConflict
	case results.Deadline:
		return errors.Is(t.cause, errFirstToken)
	default:
		return false
	}
}

// cut reports whether the answer broke off, failed or fell silent, so that a user would press reload. An answer
// that came whole and is wrong in itself (another's, not what was asked, no words of the dialect) is no such: to ask again would hide it.
func (t *try) cut() bool {
	switch t.outcome {
	case results.Reset, results.TLS, results.Truncated, results.StreamError, results.Empty, results.IdleTimeout:
		return true
	default:
		return false
	}
}

// retryAfter reads the header in any of its forms: milliseconds, seconds, or a date, against the response's own.
func retryAfter(h http.Header) (time.Duration, bool) {
	var d time.Duration
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		d = time.Duration(ms * float64(time.Millisecond))
	} else if s, err := strconv.ParseFloat(h.Get("Retry-After"), 64); err == nil {
		d = time.Duration(s * float64(time.Second))
	} else if at, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		now, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			now = time.Now()
		}
		d = at.Sub(now)
	}
	return d, d > 0 && d <= maxRetryAfter
}

// feature is the class of requests that a turn is of.
func (a *Attack) feature(t *turn) string { return a.load.classes[t.class].Feature }
