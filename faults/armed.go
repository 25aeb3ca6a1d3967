package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/wire"
)

// An Intent is a fault that is to be armed.
type Intent struct {
	// Run and ID name it; an ID is unique in its run. Required.
	Run, ID string
	// Kind is the name of the fault's kind. Required.
	Kind string
	// Fault with its parameters. Arm copies it, and leaves it as it is. Required.
	Fault Fault
	// TTL is its time to live, from now. Required.
	TTL time.Duration
	// At is its offset in the fault phase, for people. Optional.
	At time.Duration
}

// An Armed is a fault whose intent is on the disk. Whoever holds it must call Revert, and
// should do so as soon as Lapsed is closed; if nobody does, the reaper will.
type Armed struct {
	journal *Journal
	stack   *targets.Stack
	name    string // of the entry's file
	until   time.Time

	mu    sync.Mutex // one method of fault at a time
	fault Fault
	entry Entry
	begun bool // Inject was called

	keep   sync.WaitGroup // the keeper
	ending context.CancelFunc
	lapsed chan struct{} // closed by the keeper
	why    error         // set before lapsed is closed
}

// ErrExpired says that a fault's time to live is over.
var ErrExpired = errors.New("its time to live is over")

// Arm prepares a fault and puts the intent on the disk. Nothing is harmed yet:
// call Inject next. The error is a BusyError if another run has a fault on the
// stack, or on what this one changes, or left one there.
func (j *Journal) Arm(ctx context.Context, s *targets.Stack, in Intent) (*Armed, error) {
	if in.Run == "" || in.ID == "" || in.TTL <= 0 {
		return nil, fmt.Errorf("arm fault %q of run %q: it has no id, no run, or no time to live (%s)", in.ID, in.Run, in.TTL)
	}
	fault, err := j.copy(in)
	if err != nil {
		return nil, fmt.Errorf("arm fault %s: %w", in.ID, err)
	}
	if err := fault.Prepare(ctx, s); err != nil {
		return nil, fmt.Errorf("prepare fault %s (%s): %w", in.ID, in.Kind, err)
	}
	text, err := json.Marshal(fault)
	if err != nil {
		return nil, fmt.Errorf("arm fault %s: %w", in.ID, err)
	}
	var resources []string
	if c, ok := fault.(Claimer); ok {
		if resources, err = c.Resources(s); err != nil {
			return nil, fmt.Errorf("arm fault %s: %w", in.ID, err)
		}
	}
	now := time.Now()
	e := Entry{
		Version: EntryVersion, Run: in.Run, ID: in.ID, Kind: in.Kind, Fault: text, Owner: j.self,
		Handle: s.Handle(), Resources: resources, At: in.At, TTL: in.TTL, Begun: now.UTC(), Deadline: now.Add(in.TTL).UTC(),
	}
	e.step(j.self, Step{State: Intended})
	if err := j.locked(ctx, func() error { return j.intend(&e) }); err != nil {
		return nil, fmt.Errorf("arm fault %s: %w", in.ID, err)
	}
	return &Armed{
		journal: j, stack: s, name: e.fileName(), until: now.Add(in.TTL), fault: fault, entry: e,
		ending: func() {}, lapsed: make(chan struct{}),
	}, nil
}

// copy makes a fault of its own from what the intent says, in the way in which any other process will.
func (j *Journal) copy(in Intent) (Fault, error) {
	text, err := json.Marshal(in.Fault)
	if err != nil {
		return nil, err
	}
	f, err := j.decode(Entry{Kind: in.Kind, Fault: text})
	if err != nil {
		return nil, err
	}
	if got, want := reflect.TypeOf(in.Fault), reflect.TypeOf(f); got != want {
		return nil, fmt.Errorf("it is a %s, and %s is a %s", got, in.Kind, want)
	}
	return f, nil
}

// intend gives the entry its place and writes it. The journal's lock is held.
func (j *Journal) intend(e *Entry) error {
	if err := j.checkFree(e.Handle.ID, e.Run, e.Resources); err != nil {
		return err
	}
	names, err := j.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		number, _, _ := strings.Cut(name, "-")
		if seq, err := strconv.ParseUint(number, 10, 64); err == nil {
			e.Seq = max(e.Seq, seq)
		}
	}
	e.Seq++
	name := e.fileName()
	if err := j.write(name, *e); err != nil {
		// It may be there without being safe there. Nothing was done that it would undo.
		if rm := os.Remove(filepath.Join(j.dir, name)); rm != nil && !errors.Is(rm, os.ErrNotExist) {
			err = errors.Join(err, rm)
		}
		return err
	}
	return nil
}

// Inject does the harm, and returns once it is in force. It may be called once. After an
// error, as after success, Revert is due.
func (a *Armed) Inject(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.inject(ctx); err != nil {
		return fmt.Errorf("inject fault %s (%s): %w", a.entry.ID, a.entry.Kind, err)
	}
	return nil
}

func (a *Armed) inject(ctx context.Context) error {
	e, err := a.journal.read(a.name)
	if err != nil {
		return err
	}
	a.begun = true
	if e.State != Intended || len(e.History) > 1 {
		return fmt.Errorf("its entry is %s already", e.State)
	}
	in, cancel := context.WithDeadlineCause(ctx, a.until, ErrExpired)
	defer cancel()
	failed := a.fault.Inject(in, a.stack)
	if cause := context.Cause(in); failed != nil && cause != nil && !errors.Is(failed, cause) {
		failed = fmt.Errorf("%w: %w", cause, failed)
	}
	text, err := json.Marshal(a.fault)
	if err != nil {
		return errors.Join(failed, err)
	}
	e, err = a.journal.update(context.WithoutCancel(ctx), a.name, func(e *Entry) error {
		if e.State != Intended {
			return errRaced
		}
		step := Step{State: InForce, Detail: note(a.fault)}
		if failed != nil {
			step = Step{State: Intended, Detail: "inject: " + failed.Error()}
		}
		e.Fault = text
		e.step(a.journal.self, step)
		return nil
	})
	if errors.Is(err, errRaced) {
		// The reaper took the entry for dead while this process was stopped.
		// What it undid may have been done after it looked.
		raced := a.again(ctx, e)
		if failed != nil {
			raced = fmt.Errorf("%w; %w", failed, raced)
		}
		return raced
	}
	if failed != nil || err != nil {
		return errors.Join(failed, err)
	}
	a.entry = e
	return a.hold(ctx, e)
}

// again undoes what came into force behind the back of e's undo.
func (a *Armed) again(ctx context.Context, e Entry) error {
	back := a.journal.undo(ctx, e)
	err := fmt.Errorf("its entry was reverted by %s while it came into force; undone once more: %s", lastBy(e), back)
	if back.Restored.Harmless() {
		return err
	}
	_, open := a.journal.update(context.WithoutCancel(ctx), a.name, func(e *Entry) error {
		e.step(a.journal.self, Step{State: Failed, Restored: back.Restored, Detail: back.detail()})
		return nil
	})
	return errors.Join(err, open)
}

// errRaced says that an entry was moved on by someone else.
var errRaced = errors.New("entry was moved on meanwhile")

func lastBy(e Entry) targets.ProcessID { return e.History[len(e.History)-1].By }

func note(f Fault) string {
	if n, ok := f.(Noter); ok {
		return n.Note()
	}
	return ""
}

// hold starts the keeper, which renews what needs it and watches the time to live.
func (a *Armed) hold(ctx context.Context, e Entry) error {
	f, err := a.journal.decode(e) // a copy of its own: Evidence may run meanwhile
	if err != nil {
		return err
	}
	renewer, _ := f.(Renewer)
	ctx, a.ending = context.WithCancel(context.WithoutCancel(ctx))
	a.keep.Go(func() {
		if err := a.guard(ctx, renewer); err != nil {
			a.why = fmt.Errorf("fault %s (%s): %w", e.ID, e.Kind, err)
			close(a.lapsed)
		}
	})
	return nil
}

// renewTries is how many renewals may fail in a row: a lease is three periods long. One that says that the
// lease has run out is one too many.
const renewTries = 3

// guard is watch, whose panics are ends too: a run that crashed here would leave its other faults to the reaper.
func (a *Armed) guard(ctx context.Context, r Renewer) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("renew: panic: %v", v)
		}
	}()
	return a.watch(ctx, r)
}

// watch returns nil when ctx ends, else why the fault is not held any more.
func (a *Armed) watch(ctx context.Context, r Renewer) error {
	ttl := time.NewTimer(time.Until(a.until))
	defer ttl.Stop()
	var due <-chan time.Time
	if r != nil {
		tick := time.NewTicker(r.Period())
		defer tick.Stop()
		due = tick.C
	}
	for failed := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ttl.C:
			return ErrExpired
		case <-due:
		}
		c, cancel := context.WithTimeout(ctx, r.Period())
		err := r.Renew(c, a.stack)
		cancel()
		if failed++; err == nil {
			failed = 0
		}
		if (failed >= renewTries || errors.Is(err, wire.ErrLapsed)) && ctx.Err() == nil {
			return fmt.Errorf("renew: %w", err)
		}
	}
}

// Lapsed is closed when the fault cannot be relied on any more: its time to live
// is over, or it could not be renewed. Err then says which.
func (a *Armed) Lapsed() <-chan struct{} { return a.lapsed }

// Err says why Lapsed is closed. Nil: it is not.
func (a *Armed) Err() error {
	select {
	case <-a.lapsed:
		return a.why
	default:
		return nil
	}
}

// Entry is the entry as this process last wrote it.
func (a *Armed) Entry() Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entry
}

// Evidence says what the fault has touched so far.
func (a *Armed) Evidence(ctx context.Context) (results.Evidence, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, err := a.fault.Evidence(ctx, a.stack)
	if err != nil {
		return e, fmt.Errorf("look for evidence of fault %s (%s): %w", a.entry.ID, a.entry.Kind, err)
	}
	return e, nil
}

// Revert undoes the fault. It goes on when ctx ends, within a limit of its own,
// and may be called any number of times, also after someone else has undone it. An
// Inject that still runs must be ended first, by its ctx.
func (a *Armed) Revert(ctx context.Context) Result {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ending()
	a.keep.Wait()
	r := a.journal.revert(ctx, a.entry, a.begun && a.entry.unfinished())
	a.entry = r.Entry
	return r
}
