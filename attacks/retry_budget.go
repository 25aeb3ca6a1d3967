package attacks

import (
	"sync"
	"time"
)

// budgetWindow is how long a request counts towards the retries that may be made, in seconds: Finagle's default.
const budgetWindow = 10

// retryCost is what a retry takes from a budget, in millionths of a retry, so that ten requests at 10% are one
// retry exactly.
const retryCost = 1_000_000

// A retryBudget bounds the retries of one kind of client by its requests, as Finagle's RetryBudget does
// (finagle-core, service/RetryBudget.scala; Linkerd's and tower's are the same): each request pays in its part of a
// retry, each retry takes out a whole one, and what was paid in more than budgetWindow ago is gone, or an hour of
// health would pay for a storm. So in all and in any such window retries are at most that part of requests. gRPC's
// retry throttling (proposal A6) bounds them by the answers that were good, at which retries cease altogether in an
// outage: that is no part of the requests.
//
// Finagle's floor of ten retries a second whatever was paid in (minRetriesPerSec) is left out: beside 7
// requests a second it is a storm, and would keep a queue for 10 a second down for ever. Instead one
// retry's worth stays, however old it is, so that a client of few requests does retry at all.
//
// It is safe for concurrent use. Its times are those of the run.
type retryBudget struct {
	part int64 // of a request, in millionths

	mu    sync.Mutex
	now   int64               // the second of slots' last
	slots [budgetWindow]int64 // what was paid in and not used, by the second, oldest first from now+1
	kept  int64               // of what is older
}

// newRetryBudget returns nil for no bound.
func newRetryBudget(part Share) *retryBudget {
	if part == 0 {
		return nil
	}
	return &retryBudget{part: int64(float64(part)*retryCost + 0.5)}
}

// pay is for one request. A nil budget takes nothing.
func (b *retryBudget) pay(at time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(at)
	b.slots[b.now%budgetWindow] += b.part
}

// take pays for a retry with what is oldest; false: there is not enough. A nil budget always has.
func (b *retryBudget) take(at time.Duration) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(at)
	sum := b.kept
	for _, n := range b.slots {
		sum += n
	}
	if sum < retryCost {
		return false
	}
	due := int64(retryCost)
	use := func(from *int64) {
		n := min(due, *from)
		*from -= n
		due -= n
	}
	use(&b.kept)
	for i := range int64(budgetWindow) {
		use(&b.slots[(b.now+1+i)%budgetWindow])
	}
	return true
}

// advance forgets what is too old. mu is held.
func (b *retryBudget) advance(at time.Duration) {
	second := int64(at / time.Second)
	for range min(second-b.now, budgetWindow) {
		b.now++
		slot := &b.slots[b.now%budgetWindow]
		b.kept = min(b.kept+*slot, retryCost)
		*slot = 0
	}
	b.now = max(b.now, second)
}
