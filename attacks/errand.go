package attacks

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/failwhale/failwhale/results"
)

// An errand is one turn as its client goes about it: from door to door, and after a while from the first again.
type errand struct {
	*runner
	turn   *turn
	client *Client
	sample *results.Sample
	doors  []*door // in the order in which they are tried
	hedged bool    // a second attempt was sent beside one
	asks   ask     // of each attempt
	kept   bool    // an attempt was not made, for the attack's budget
}

// run makes attempts until one serves or the client gives up, and returns the last. The sample has the others. The
// budget has room for the first.
func (e *errand) run(ctx context.Context) *try {
	t := e.tries(ctx)
	if e.kept && t.outcome != results.Complete {
		t.err += " (not tried again: the attack's budget is used up)"
	}
	return t
}

// tries is run without its last word.
func (e *errand) tries(ctx context.Context) *try {
	t := e.round(ctx)
	if t.outcome == results.Complete || !e.client.again(false) {
		return t
	}
	m := e.manner(e.turn, e.client)
	var rng *rand.Rand
	for n := 0; n < m.retries && e.client.retries(t); n++ {
		if rng == nil {
			rng = rand.New(rand.NewPCG(e.turn.seed, jitterStream))
		}
		wait, told := m.backoff.wait(n, t.header, rng)
		if now := e.clock.Now(); wait >= e.sample.Sent+e.client.Deadline-now {
			t.err += pastDeadline(told)
			return t
		} else if e.purse.empty() {
			e.kept = true
			return t
		} else if !m.budget.take(now) {
			t.err += " (not retried: the retry budget is used up)"
			e.sample.Suppressed = true
			return t
		}
		if !pause(ctx, wait) || !e.affords() {
			return t
		}
		e.put(t)
		t = e.round(ctx)
	}
	return t
}

// pastDeadline says why a wait was not begun. How long it was is left out: the same trouble is the same text.
func pastDeadline(told bool) string {
	if told {
		return " (not retried: its Retry-After is past the deadline)"
	}
	return " (not retried: the wait before it is past the deadline)"
}

// affords reports whether the budget has room for one more attempt, and puts aside what that may use.
func (e *errand) affords() bool {
	fits := e.purse.take(e.asks)
	e.kept = e.kept || !fits
	return fits
}

// spend makes an attempt for which affords was true, and counts what it used.
func (e *errand) spend(ctx context.Context, d *door, arrived func(counted int)) *try {
	t := e.attempt(ctx, e.turn, d, arrived)
	e.purse.settle(e.asks, t)
	return t
}

// round goes from door to door until one serves, or fails the client in a way for which it does not leave it. The
// budget has room for the first.
func (e *errand) round(ctx context.Context) *try {
	for i, d := range e.doors {
		t := e.try(ctx, d)
		if i == len(e.doors)-1 || !e.client.moves(t) || ctx.Err() != nil || !e.affords() {
			return t
		}
		e.put(t)
	}
	return nil // not reached: there is a door
}

// put keeps a try as one that did not serve.
func (e *errand) put(t *try) {
	s := e.sample
	s.Reconnects += t.reconnects
	a := results.Attempt{Sent: t.sent, Done: t.done, Status: t.status, Outcome: t.outcome, Error: t.err, Hedge: t.hedge}
	if e.client.Failover != nil {
		a.Endpoint = t.door.name
	}
	if in := t.in; in != nil {
		a.Output = in.counted
		if in.usage != nil {
			a.Prompt = in.usage.Prompt
		}
		if in.byServer() {
			a.Output = in.usage.Output
		}
	}
	at := len(s.Attempts)
	for at > 0 && s.Attempts[at-1].Sent > a.Sent { // of a pair that both failed, the first may have lasted longer
		at--
	}
	s.Attempts = slices.Insert(s.Attempts, at, a)
}

// pause waits and returns true, or false when ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
