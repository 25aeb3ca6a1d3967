package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

const (
	// revertLimit bounds the undo of one fault. A region may take its time to serve again.
	revertLimit = time.Minute
	// claimLimit bounds the wait for another process that reverts the same entry.
	claimLimit = 10 * time.Second
	// secondLook is when an undo looks again after an Inject that did not return.
	secondLook = time.Second

	stackGone = "stack gone"
)

// A Selection says which open entries to revert. The zero value selects those of
// this process and those of owners that are dead.
type Selection struct {
	// Run and ID narrow it to one run, and one fault of it. Optional.
	Run, ID string
	// Live adds the entries of owners that still run. Optional.
	Live bool
}

// A Result is what became of one undo.
type Result struct {
	// Entry as it is now.
	Entry    Entry
	Restored results.Restored
	// Detail explains Restored: how far it was verified, who did it, what drifted.
	Detail string
	// Err is why it failed or drifted, or why the journal could not be written. Nil otherwise.
	Err error
}

// Revert undoes every open entry that sel selects, the newest first, and goes on
// after an error. It goes on when ctx ends; each undo has a limit of its own. What was
// not selected is left out of the results. The error reports entries that cannot be read.
func (j *Journal) Revert(ctx context.Context, sel Selection) ([]Result, error) {
	open, err := j.Open()
	var done []Result
	for _, e := range slices.Backward(open) {
		if j.selected(sel, e) {
			done = append(done, j.revert(ctx, e, e.unfinished()))
		}
	}
	return done, err
}

func (j *Journal) selected(sel Selection, e Entry) bool {
	if (sel.Run != "" && sel.Run != e.Run) || (sel.ID != "" && sel.ID != e.ID) {
		return false
	}
	return sel.Live || e.Owner == j.self || !targets.ProcessAlive(e.Owner)
}

// revert undoes one entry, and writes what became of it. Nothing that is wrong
// with the journal keeps it from the undo. An Inject that was called and has not returned in
// order is unfinished.
func (j *Journal) revert(ctx context.Context, e Entry, unfinished bool) Result {
	ctx = context.WithoutCancel(ctx)
	name := e.fileName()
	release, claimed := j.claim(ctx, name)
	defer release()
	now, err := j.update(ctx, name, func(e *Entry) error {
		if !e.Open() {
			return errRaced
		}
		e.step(j.self, Step{State: Reverting})
		return nil
	})
	switch {
	case errors.Is(err, errRaced):
		return Result{Entry: now, Restored: now.Restored, Detail: join(now.Detail, by(j.self, now)), Err: harm(now.Restored, now.Detail)}
	case err == nil:
		e = now
	}
	unwritten := errors.Join(claimed, err)
	back := j.undo(ctx, e)
	if unfinished {
		back = j.again(ctx, e, back)
	}
	now, err = j.update(ctx, name, func(e *Entry) error {
		state := Closed
		if back.Restored == results.RestoredFailed {
			state = Failed
		}
		if back.fault != nil {
			e.Fault = back.fault
		}
		e.step(j.self, Step{State: state, Restored: back.Restored, Detail: back.detail()})
		return nil
	})
	if err == nil {
		e = now
	}
	return Result{Entry: e, Restored: back.Restored, Detail: back.detail(), Err: errors.Join(back.err, unwritten, err)}
}

// again undoes once more what an unfinished Inject may do later: a call that was on its way when its
// caller died, or gave up, is carried out all the same.
func (j *Journal) again(ctx context.Context, e Entry, first undone) undone {
	if !first.Restored.Harmless() || first.note == stackGone {
		return first
	}
	t := time.NewTimer(secondLook)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	if first.fault != nil {
		e.Fault = first.fault // with what the first has noted
	}
	second := j.undo(ctx, e)
	if second.Restored == results.RestoredUnneed {
		return first
	}
	return second
}

// claim keeps two processes from undoing the same entry at a time. Who cannot get it in time goes on
// without: an undo is idempotent, and the other one may have been stopped in the middle of it.
func (j *Journal) claim(ctx context.Context, name string) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, claimLimit, fmt.Errorf("waited for %s", claimLimit))
	defer cancel()
	f, err := flock(ctx, filepath.Join(j.dir, claimPath(name)))
	if err != nil {
		return func() {}, fmt.Errorf("claim journal's entry %s: %w", name, err)
	}
	return func() { _ = f.Close() }, nil // it was not written to
}

// An undone is what one undo came to.
type undone struct {
	Restored results.Restored
	note     string
	err      error
	fault    json.RawMessage // with its last notes; nil: as it was
}

func (u undone) detail() string {
	if u.err != nil {
		return join(u.note, oneLine(u.err.Error()))
	}
	return u.note
}

// String says how it ended, for people.
func (u undone) String() string { return join(string(u.Restored), u.detail()) }

// undo is the one way to undo a fault: through the entry's handle and the fault's JSON.
func (j *Journal) undo(ctx context.Context, e Entry) (u undone) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), revertLimit, fmt.Errorf("not undone within %s", revertLimit))
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			u = undone{Restored: results.RestoredFailed, err: fmt.Errorf("revert %s: panic: %v", e, v)}
		}
	}()
	f, err := j.decode(e)
	if err != nil {
		return undone{Restored: results.RestoredFailed, err: fmt.Errorf("revert %s: %w", e, err)}
	}
	s, err := targets.Attach(ctx, e.Handle)
	if err == nil {
		u.Restored, err = f.Revert(ctx, s)
		u.note = note(f)
		if err != nil && s.Gone() {
			err = targets.ErrGone
		}
	}
	if errors.Is(err, targets.ErrGone) {
		return undone{Restored: results.RestoredUnneed, note: stackGone}
	}
	if text, err := json.Marshal(f); err == nil {
		u.fault = text
	}
	if err != nil {
		u.err = fmt.Errorf("revert %s: %w", e, err)
		if u.Restored != results.RestoredDrift {
			u.Restored = results.RestoredFailed
		}
	}
	if u.Restored == "" { // a fault that says nothing has proved nothing
		u.Restored, u.err = results.RestoredFailed, fmt.Errorf("revert %s: it does not say how it ended", e)
	}
	return u
}

// by says who closed an entry, if it was not self.
func by(self targets.ProcessID, e Entry) string {
	if who := lastBy(e); who != self {
		return fmt.Sprintf("closed by %s at %s", who, e.History[len(e.History)-1].At.Format(time.TimeOnly))
	}
	return ""
}

// harm is the error that a closed entry stands for.
func harm(r results.Restored, detail string) error {
	if r.Harmless() {
		return nil
	}
	return fmt.Errorf("%s: %s", r, detail)
}
