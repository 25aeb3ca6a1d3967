package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// flockPoll is between two tries to take a lock. A blocking flock could not be given up.
const flockPoll = 3 * time.Millisecond

// errLocked says that a lock is held by someone else.
var errLocked = errors.New("locked by another process")

// flock takes an exclusive lock on a file, which it creates, and tries until ctx ends. Closing
// the file frees it, and so does the end of the process, however it comes.
func flock(ctx context.Context, path string) (*os.File, error) {
	tick := time.NewTicker(flockPoll)
	defer tick.Stop()
	for {
		f, err := tryFlock(path)
		if !errors.Is(err, errLocked) {
			return f, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("lock %s: %w: %w", path, err, context.Cause(ctx))
		}
	}
}

// tryFlock takes the lock now, or returns errLocked. Whoever holds a lock may remove its file: what is locked here
// is the file that has the name.
func tryFlock(path string) (*os.File, error) {
	for {
		f, err := tryFlockOnce(path)
		if err != nil {
			return nil, err
		}
		mine, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		named, err := os.Stat(path)
		if err == nil && os.SameFile(mine, named) {
			return f, nil
		}
		if err = f.Close(); err != nil {
			return nil, err
		}
	}
}

func tryFlockOnce(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errLocked
	}
	return nil, errors.Join(err, f.Close())
}
