package attacks

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A departure is why a client leaves before the end, by its plan: a cause for which we end a request ourselves.
type departure struct {
	way  results.Left
	text string
}

// Error says it for the sample.
func (d *departure) Error() string { return d.text }

// departs returns how the client leaves the request of that seed early, or nil: it stays.
func (c *Client) departs(seed uint64) *Cancel {
	plan := c.Cancel
	if plan == nil || plan.Share > 0 && rand.New(rand.NewPCG(seed, departStream)).Float64() >= float64(plan.Share) {
		return nil
	}
	return plan
}

// patience ends with the request's deadline, or when its client leaves, whatever has come by then.
func (r *runner) patience(turn *turn, c *Client) (context.Context, context.CancelFunc) {
	if plan := c.departs(turn.seed); plan != nil && plan.After > 0 && plan.After < c.Deadline {
		return context.WithTimeoutCause(r.ctx, plan.After,
			&departure{results.LeftTime, fmt.Sprintf("the client left after %s, as planned", plan.After)})
	}
	return context.WithTimeoutCause(r.ctx, c.Deadline, errDeadline)
}

// listen joins those who wait for an attempt's tokens: the client, who may give up on the first one or leave after
// some, and arrived, who may be nil. Where nobody does there is no hook. What it returns ends the waiting. An
// answer that is no stream has no first token to wait for.
func (t *try) listen(turn *turn, c *Client, arrived func(counted int), leave context.CancelCauseFunc) (stop func()) {
	t.arrived, stop = arrived, func() {}
	if t.door.routes[turn.class].dialect.Framing() == targets.Whole {
		return stop
	}
	if c.FirstToken > 0 {
		timer := time.AfterFunc(c.FirstToken, func() { leave(errFirstToken) })
		stop = func() { timer.Stop() }
		t.arrived = func(counted int) {
			timer.Stop()
			if arrived != nil {
				arrived(counted)
			}
		}
	}
	if plan := c.departs(turn.seed); plan != nil && plan.AfterTokens > 0 {
		others := t.arrived
		t.arrived = func(counted int) {
			if others != nil {
				others(counted)
			}
			if counted >= plan.AfterTokens && t.in.left == nil {
				t.in.left = &departure{results.LeftTokens, fmt.Sprintf("the client left after %d tokens, as planned", counted)}
				leave(t.in.left)
			}
		}
	}
	return stop
}

// leavesUnanswered reports whether the client leaves now that its request is written whole, and if so classifies the
// try. Whatever carries the exchange asks before it waits for an answer; written waits for the end of the write, and
// reports whether all of it went well.
func (t *try) leavesUnanswered(turn *turn, c *Client, written func() bool) bool {
	plan := c.departs(turn.seed)
	if plan == nil || !plan.BeforeFirstByte || !written() {
		return false // what kept it from being written is found by who waits for the answer
	}
	t.leave(&departure{results.LeftStart, "the client left before the first byte, as planned"})
	return true
}

// leave classifies a try that its client has ended by its plan.
func (t *try) leave(d *departure) {
	t.cause, t.left = d, d.way
	t.fail(results.Cancelled, "%v", d)
}

// maxCancelTokens bounds after how many tokens a client may leave: past the longest answers.
const maxCancelTokens = maxTokens

// validate returns what is wrong with p, of a client with this deadline, or nil.
func (p *Cancel) validate(deadline time.Duration) []error {
	if p == nil {
		return nil
	}
	var errs []error
	ways := 0
	for _, is := range []bool{p.AfterTokens != 0, p.After != 0, p.BeforeFirstByte} {
		if is {
			ways++
		}
	}
	if ways != 1 {
		errs = append(errs, fmt.Errorf("has %d ways to leave: write one of after_tokens: 20, after: 5s, before_first_byte: true", ways))
	}
	if !validShare(p.Share) {
		errs = append(errs, fmt.Errorf("share %s is not over 0%% and up to 100%%: write 10%%", p.Share))
	}
	if p.AfterTokens < 0 || p.AfterTokens > maxCancelTokens {
		errs = append(errs, fmt.Errorf("after_tokens %d is not between 1 and %d: write 20", p.AfterTokens, maxCancelTokens))
	}
	if p.After < 0 {
		errs = append(errs, fmt.Errorf("after %s is negative: write 5s", p.After))
	}
	if p.After >= deadline {
		errs = append(errs, fmt.Errorf("after %s is not before the deadline %s, so nobody leaves: write a shorter one", p.After, deadline))
	}
	return errs
}
