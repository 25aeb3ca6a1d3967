package faults

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/failwhale/failwhale/targets"
)

// A BusyError says that a stack is in use: by another run, or by a fault that one left.
type BusyError struct {
	// Stack is the ID of its Handle, Run the other run, Owner that run's process.
	Stack, Run string
	Owner      targets.ProcessID
	// Left: that process is dead, and its fault has to be reverted first.
	Left bool
	// What is in the way, for people.
	What string
}

// Error says who has the stack.
func (b *BusyError) Error() string { return fmt.Sprintf("stack %s is in use: %s", b.Stack, b.What) }

// A Lock keeps other runs off a stack. The kernel frees it when its process ends, however that comes.
type Lock struct {
	file *os.File
	once sync.Once
	err  error // of its end
}

// A holder is what a lock's file says of who has it.
type holder struct {
	Run   string            `json:"run"`
	Owner targets.ProcessID `json:"owner"`
	Stack string            `json:"stack"`
}

// Lock takes a stack for a run. Other stacks are not affected. The error is a
// BusyError, and says who has it, if another run does, or if an open entry of another run is
// on it: one of a dead run has to be reverted first.
func (j *Journal) Lock(ctx context.Context, h targets.Handle, run string) (*Lock, error) {
	text, err := json.Marshal(holder{run, j.self, h.ID})
	if err != nil {
		return nil, fmt.Errorf("lock stack: %w", err)
	}
	var l *Lock
	err = j.locked(ctx, func() error { // the sweep holds locks too, for a moment, under this one
		path := j.lockPath(h.ID)
		f, err := tryFlock(path)
		if errors.Is(err, errLocked) {
			return whoHas(path, h.ID)
		}
		if err != nil {
			return fmt.Errorf("lock stack: %w", err)
		}
		l = &Lock{file: f}
		if err := errors.Join(f.Truncate(0), writeAt0(f, text)); err != nil {
			return fmt.Errorf("lock stack: %w", err)
		}
		return j.checkFree(h.ID, run, nil)
	})
	if err != nil && l != nil {
		err = errors.Join(err, l.Close())
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

func writeAt0(f *os.File, text []byte) error {
	_, err := f.WriteAt(append(text, '\n'), 0)
	return err
}

// Close frees the stack, and leaves nothing behind.
func (l *Lock) Close() error {
	l.once.Do(func() {
		if err := errors.Join(os.Remove(l.file.Name()), l.file.Close()); err != nil {
			l.err = fmt.Errorf("unlock stack: %w", err)
		}
	})
	return l.err
}

// sweepLocks removes what killed runs have left of their locks. The journal's lock is held.
func (j *Journal) sweepLocks() error {
	names, err := filepath.Glob(filepath.Join(j.dir, "stacks", "*.lock"))
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		f, err := tryFlock(name)
		if errors.Is(err, errLocked) {
			continue
		}
		if err == nil {
			err = errors.Join(os.Remove(name), f.Close())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (j *Journal) lockPath(stack string) string {
	sum := sha256.Sum256([]byte(stack))
	return filepath.Join(j.dir, "stacks", hex.EncodeToString(sum[:8])+".lock")
}

func whoHas(path, stack string) error {
	var h holder
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &h)
	}
	if err != nil { // it is being written
		return &BusyError{Stack: stack, What: "another run has just taken it"}
	}
	return &BusyError{Stack: stack, Run: h.Run, Owner: h.Owner, What: fmt.Sprintf("run %s (%s) has it", h.Run, h.Owner)}
}

// checkFree reports a fault of another run that is on a stack, or on one of resources, and entries that
// cannot be read: they may be on any. A run of the same name in another process is another run. The
// journal's lock is held.
func (j *Journal) checkFree(stack, run string, resources []string) error {
	open, err := j.Open()
	if err != nil {
		return err
	}
	for _, e := range open {
		where := "it"
		i := slices.IndexFunc(e.Resources, func(r string) bool { return slices.Contains(resources, r) })
		switch {
		case e.Owner == j.self && e.Run == run:
			continue
		case e.Handle.ID == stack:
		case i >= 0:
			where = e.Resources[i]
		default:
			continue
		}
		busy := &BusyError{Stack: stack, Run: e.Run, Owner: e.Owner, Left: !targets.ProcessAlive(e.Owner)}
		busy.What = fmt.Sprintf("%s (%s) is %s on %s", e, e.Owner, e.State, where)
		if busy.Left {
			busy.What = fmt.Sprintf("%s, which has died, is %s on %s: run failwhale revert first", e, e.State, where)
		}
		return busy
	}
	return nil
}
