package attacks

import (
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
	longestWait   = 8 * time.Second
	jitterPart    = 0.25
	maxRetryAfter = 60 * time.Second
)

// mayRetry reports whether a client with retries left makes one: after a failed
// connection, 408, 409, 429 or 5xx. A stream that has begun is never asked for again.
func (t *try) mayRetry() bool {
	switch t.outcome {
	case results.Connect, results.DNS:
		return true
	case results.TLS, results.Reset:
		return t.status == 0
	case results.RateLimited:
		return true
	case results.HTTPStatus:
		return t.status >= 500 || t.status == http.StatusRequestTimeout || t.status == http.StatusConflict
	default:
		return false
	}
}

// wait is how long the client waits before retry number n, from 0; negative if the
// time that is left would not outlast it: then it gives up at once.
func (t *try) wait(n int, jitter *rand.Rand, left time.Duration) time.Duration {
	d := min(firstWait<<min(n, 10), longestWait)
	d = time.Duration(float64(d) * (1 - jitterPart*jitter.Float64()))
	if told, ok := retryAfter(t.header); ok {
		d = told
	}
	if d >= left {
		return -1
	}
	return d
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
