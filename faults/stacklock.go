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
type Lock struct{ file *os.File }

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
	path := j.lockPath(h.ID)
	f, err := tryFlock(path)
	if errors.Is(err, errLocked) {
		return nil, whoHas(path, h.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("lock stack: %w", err)
	}
	l := &Lock{f}
	text, err := json.Marshal(holder{run, j.self, h.ID})
	if err == nil {
		err = errors.Join(f.Truncate(0), writeAt0(f, text))
	}
	if err == nil {
		err = j.locked(ctx, func() error { return j.checkFree(h.ID, run) })
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func writeAt0(f *os.File, text []byte) error {
	_, err := f.WriteAt(append(text, '\n'), 0)
	return err
}

// Close frees the stack.
func (l *Lock) Close() error {
	if err := l.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("unlock stack: %w", err)
	}
	return nil
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

// checkFree reports a fault of another run that is on a stack, and entries that
// cannot be read: they may be on any. The journal's lock is held.
func (j *Journal) checkFree(stack, run string) error {
	open, err := j.Open()
	if err != nil {
		return err
	}
	for _, e := range open {
		if e.Handle.ID != stack || e.Run == run {
			continue
		}
		busy := &BusyError{Stack: stack, Run: e.Run, Owner: e.Owner, Left: !targets.ProcessAlive(e.Owner)}
		busy.What = fmt.Sprintf("%s (%s) is %s on it", e, e.Owner, e.State)
		if busy.Left {
			busy.What = fmt.Sprintf("%s, which has died, is %s on it: run failwhale revert first", e, e.State)
		}
		return busy
	}
	return nil
}
