package attacks

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/failwhale/failwhale/results"
)

// try makes an attempt at a door, and a second one beside it where the client hedges and has not yet.
func (e *errand) try(ctx context.Context, d *door) *try {
	if e.client.Hedge == 0 || e.hedged {
		return e.spend(ctx, d, nil)
	}
	kept, other := e.race(ctx, d)
	if other != nil {
		e.hedged = true
		e.put(other)
	}
	return kept
}

// A race is between two attempts, 0 and 1, for the first token.
type race struct {
	first  atomic.Int32 // 1 and whose came first; 0: none has come
	cancel [2]context.CancelCauseFunc
}

// won reports whether attempt i has it, whose first token is here: then the other is cancelled.
func (r *race) won(i int32) bool {
	if r.first.CompareAndSwap(0, 1+i) {
		r.cancel[1-i](errOvertaken)
	}
	return r.first.Load() == 1+i
}

// race makes an attempt, and a second one once the client has waited for a first token as long as it does. It
// returns when both have ended; other is nil where there was no second.
func (e *errand) race(ctx context.Context, d *door) (kept, other *try) {
	var r race
	one, cancelOne := context.WithCancelCause(ctx)
	defer cancelOne(nil)
	two, cancelTwo := context.WithCancelCause(ctx)
	defer cancelTwo(nil)
	r.cancel = [2]context.CancelCauseFunc{cancelOne, cancelTwo}
	var second *try
	done := make(chan struct{})
	timer := time.AfterFunc(e.client.Hedge, func() {
		defer close(done)
		defer func() {
			if said := recover(); said != nil {
				e.fail(panicked(fmt.Sprintf("the hedge of turn %d", e.turn.index), said))
			}
		}()
		if two.Err() == nil && e.affords() {
			second = e.enter(two, d, &r, 1)
			second.hedge = true
		}
	})
	join := func() { // also where the first panics: nobody runs on alone
		if timer.Stop() {
			close(done)
		}
		<-done
	}
	defer join()
	first := e.enter(one, d, &r, 0)
	join()
	switch {
	case second == nil:
		return first, nil
	case r.first.Load() == 1, r.first.Load() == 0 && first.done > second.done:
		return first, second
	}
	first.hedge = first.outcome == results.Cancelled && errors.Is(context.Cause(one), errOvertaken)
	return second, first
}

// enter makes one attempt of a race.
func (e *errand) enter(ctx context.Context, d *door, r *race, i int32) *try {
	t := e.spend(ctx, d, func(int) { r.won(i) })
	if t.settles() && !r.won(i) && t.outcome == results.Complete { // it was whole before the news came
		t.fail(results.Cancelled, "%v", errOvertaken)
	}
	return t
}

// settles reports whether the try ends a race without a token: by an answer in one piece, by one after which nobody asks
// again, since another would hide it, or because the client has left.
func (t *try) settles() bool {
	switch t.outcome {
	case results.Deadline:
		return false
	case results.Cancelled:
		return t.left != ""
	default:
		return !t.refusedUs() && !t.cut()
	}
}
