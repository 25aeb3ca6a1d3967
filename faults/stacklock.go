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

// ErrBusy says that a stack is in use: by another run, or by a fault that one left.
var ErrBusy = errors.New("stack is in use")

// A Lock keeps other runs off a stack. The kernel frees it when its process ends, however that comes.
type Lock struct{ file *os.File }

// A holder is what a lock's file says of who has it.
type holder struct {
	Run   string            `json:"run"`
	Owner targets.ProcessID `json:"owner"`
	Stack string            `json:"stack"`
}

// Lock takes a stack for a run. Other stacks are not affected. The error is
// ErrBusy, and says who has it, if another run does, or if an open entry of another run is
// on it: one of a dead run has to be reverted first.
func (j *Journal) Lock(ctx context.Context, h targets.Handle, run string) (*Lock, error) {
	path := j.lockPath(h.ID)
	f, err := tryFlock(path)
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("%w: %s", ErrBusy, whoHas(path))
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

func whoHas(path string) string {
	var h holder
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &h)
	}
	if err != nil {
		return "another run has it"
	}
	return fmt.Sprintf("run %s (%s) has stack %s", h.Run, h.Owner, h.Stack)
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
		if targets.ProcessAlive(e.Owner) {
			return fmt.Errorf("%w: %s (%s) is %s on it", ErrBusy, e, e.Owner, e.State)
		}
		return fmt.Errorf("%w: %s, which has died, is %s on it: run failwhale revert first", ErrBusy, e, e.State)
	}
	return nil
}
