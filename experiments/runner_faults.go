package experiments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/results"
)

// evidenceLimit bounds a look for evidence: a stack that is down must not hold up the undo, and hurryLimit
// when the run is being ended early.
const (
	evidenceLimit = 3 * time.Second
	hurryLimit    = 300 * time.Millisecond
)

// An armed fault of the plan.
type armed struct {
	*faults.Armed
	id, kind string
	inForce  bool // under the execution's mu
}

// preflight finds out before any load whether each fault could be injected and undone. It changes nothing.
func (x *execution) preflight(ctx context.Context) error {
	var failed error
	for _, f := range x.Plan.Faults {
		if err := f.Fault.Prepare(ctx, x.Stack); err != nil {
			failed = errors.Join(failed, x.notInForce(ctx, f, err))
		}
	}
	return failed
}

// notInForce writes down that a fault could not be injected, and returns errFault; or, if ctx ended, why.
func (x *execution) notInForce(ctx context.Context, f FaultPlan, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(errFault, x.tell(results.Event{
		Kind: results.EventInjectFailed, Fault: f.ID, FaultKind: f.Kind, Detail: err.Error(),
	}))
}

// inject puts a fault in force through the journal.
func (x *execution) inject(ctx context.Context, f FaultPlan) error {
	a, err := x.Journal.Arm(ctx, x.Stack, faults.Intent{
		Run: x.run(), ID: f.ID, Kind: f.Kind, Fault: f.Fault, TTL: f.TTL, At: f.At,
	})
	if err != nil {
		return x.notInForce(ctx, f, err)
	}
	mine := &armed{Armed: a, id: f.ID, kind: f.Kind}
	x.mu.Lock()
	x.armed = append(x.armed, mine) // from here on it is reverted, whatever happens
	x.mu.Unlock()
	event := results.Event{Kind: results.EventInject, Fault: f.ID, FaultKind: f.Kind}
	if err = x.tell(event); err != nil {
		return err
	}
	if err = a.Inject(ctx); err != nil {
		return x.notInForce(ctx, f, err)
	}
	x.mu.Lock()
	mine.inForce = true
	x.mu.Unlock()
	event.Kind, event.Detail = results.EventInjected, a.Entry().Detail
	return x.tell(event)
}

// inspect asks each fault what it has touched, and reverts those whose time to live is over. A fault
// that lapsed otherwise is an error: the phase would measure a stack without it.
func (x *execution) inspect(ctx context.Context) error {
	for _, a := range slices.Backward(slices.Clone(x.armed)) {
		switch err := a.Err(); {
		case errors.Is(err, faults.ErrExpired):
			if err := x.revert(ctx, a); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			if err := x.evidence(ctx, a, evidenceLimit); err != nil {
				return err
			}
		}
	}
	return nil
}

// evidence writes down what a fault has touched so far. That it cannot be told is evidence of nothing, and
// no reason to stop.
func (x *execution) evidence(ctx context.Context, a *armed, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	event := results.Event{Kind: results.EventEvidence, Fault: a.id, FaultKind: a.kind}
	evidence, err := ask(ctx, a)
	if err != nil {
		event.Detail = err.Error()
	} else {
		event.Evidence = &evidence
	}
	return x.tell(event)
}

// ask keeps a fault that panics from keeping the others from being undone.
func ask(ctx context.Context, a *armed) (e results.Evidence, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", errPanic, v)
		}
	}()
	return a.Evidence(ctx)
}

// revert undoes one fault, come what may.
func (x *execution) revert(ctx context.Context, a *armed) error {
	limit := evidenceLimit
	if ctx.Err() != nil {
		limit = hurryLimit
	}
	ctx = context.WithoutCancel(ctx)
	err := x.evidence(ctx, a, limit)
	x.busy(Undoing)
	defer x.busy("")
	event := results.Event{Kind: results.EventRevert, Fault: a.id, FaultKind: a.kind}
	err = errors.Join(err, x.tell(event))
	done := a.Revert(ctx)
	x.mu.Lock()
	x.armed = slices.DeleteFunc(x.armed, func(b *armed) bool { return b == a })
	x.mu.Unlock()
	event.Kind, event.Restored, event.Detail = results.EventReverted, done.Restored, done.Detail
	told := x.tell(event)
	switch {
	case done.Restored.Harmless() && done.Err != nil: // about the journal
		err = errors.Join(err, fmt.Errorf("revert %s: %w", a.id, done.Err))
	case !done.Restored.Harmless() && told != nil: // else the log tells it
		err = errors.Join(err, fmt.Errorf("%w: revert %s: %w", ErrHarm, a.id, done.Err))
	}
	return errors.Join(err, told)
}

// revertAll undoes what is not undone yet, newest first, and goes on after an error.
func (x *execution) revertAll(ctx context.Context) error {
	var errs []error
	for _, a := range slices.Backward(slices.Clone(x.armed)) {
		errs = append(errs, x.revert(ctx, a))
	}
	return errors.Join(errs...)
}
