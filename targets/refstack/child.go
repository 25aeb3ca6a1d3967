package refstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/failwhale/failwhale/targets"
)

// Restarts: the first one comes soon, and none so late that a stack whose cause
// of death has gone takes longer than about a second to come back.
const (
	firstRestart = 250 * time.Millisecond
	lastRestart  = time.Second
	servedLong   = 5 * time.Second // having run for this long makes the next restart a first one
)

// A child is one process of the stack: it is restarted when it exits by itself
// and never when it was told to stay down.
type child struct {
	name   string
	args   []string
	health string // URL that answers 200 once it serves
	start  func(*exec.Cmd) error
	log    io.Writer

	mu       sync.Mutex
	cmd      *exec.Cmd // nil: not running
	id       targets.ProcessID
	lifeline io.Closer
	held     bool
	stopped  bool // by SIGSTOP
	restarts int
	changed  chan struct{} // closed, and replaced, with each change of the above
}

// change runs f under the lock and wakes who waits for a change.
func (c *child) change(f func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := f()
	close(c.changed)
	c.changed = make(chan struct{})
	return err
}

// keep runs the process until ctx ends, and is the only one to start it. It returns with the
// process gone.
func (c *child) keep(ctx context.Context) {
	pause := firstRestart
	for {
		if !c.await(ctx, func() bool { return !c.held }) {
			return
		}
		began := time.Now()
		err := c.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if c.state().State == targets.ProcessHeld {
			pause = firstRestart
			continue
		}
		if time.Since(began) >= servedLong {
			pause = firstRestart
		}
		fmt.Fprintf(c.log, "supervisor: %s ended by itself (%v): starting it again in %s\n", c.name, err, pause)
		if !wait(ctx, pause) {
			return
		}
		pause = min(2*pause, lastRestart)
		_ = c.change(func() error { c.restarts++; return nil })
	}
}

// once starts the process and waits for its end.
func (c *child) once(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...) // who starts the stack says what its children are
	cmd.SysProcAttr = childAttr()
	out := &prefixed{out: c.log, prefix: c.name + ": "}
	cmd.Stderr, cmd.Stdout = out, out
	cmd.WaitDelay = time.Second
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	err = c.change(func() error {
		if c.held { // since keep looked
			return errors.Join(errHeld, lifeline.Close())
		}
		if err := c.start(cmd); err != nil {
			return fmt.Errorf("start %s: %w", c.name, errors.Join(err, lifeline.Close()))
		}
		id, err := targets.IdentifyProcess(cmd.Process.Pid)
		if err != nil { // it has ended already; Wait says how
			id = targets.ProcessID{PID: cmd.Process.Pid}
		}
		c.cmd, c.id, c.lifeline, c.stopped = cmd, id, lifeline, false
		return nil
	})
	if err != nil {
		return err
	}
	err = cmd.Wait()
	out.flush()
	_ = c.change(func() error { c.cmd, c.id, c.lifeline, c.stopped = nil, targets.ProcessID{}, nil, false; return nil })
	runtime.KeepAlive(lifeline) // closed by a finalizer, it would have ended the process
	return err
}

var errHeld = errors.New("it is held down")

// await waits until ok, which is called under the lock, and reports false if ctx ended first.
func (c *child) await(ctx context.Context, ok func() bool) bool {
	for {
		c.mu.Lock()
		done, changed := ok(), c.changed
		c.mu.Unlock()
		if done {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// state is what the control API says of the process.
func (c *child) state() targets.ProcessState {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := targets.ProcessState{PID: c.id.PID, Start: c.id.Start, Restarts: c.restarts}
	switch {
	case c.cmd != nil && c.stopped:
		s.State = targets.ProcessStopped
	case c.cmd != nil:
		s.State = targets.ProcessRunning
	case c.held:
		s.State = targets.ProcessHeld
	default:
		s.State = targets.ProcessRestarting
	}
	return s
}

// kill ends the process and holds it down; it returns once it has ended.
func (c *child) kill(ctx context.Context) error {
	err := c.change(func() error {
		c.held = true
		if c.cmd == nil {
			return nil
		}
		return gone(c.cmd.Process.Kill()) // also a stopped process
	})
	if err != nil {
		return fmt.Errorf("kill %s: %w", c.name, err)
	}
	if !c.await(ctx, func() bool { return c.cmd == nil }) {
		return fmt.Errorf("kill %s: wait for its end: %w", c.name, context.Cause(ctx))
	}
	return nil
}

// freeze stops the process with SIGSTOP; it returns once it stands still.
func (c *child) freeze(ctx context.Context) error {
	if !c.await(ctx, func() bool { return c.cmd != nil || c.held }) { // one that restarts will be there soon
		return fmt.Errorf("stop %s: wait for its start: %w", c.name, context.Cause(ctx))
	}
	pid := 0
	err := c.change(func() error {
		if c.cmd == nil {
			return errHeld
		}
		pid = c.id.PID
		if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		c.stopped = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}
	for {
		stopped, err := isStopped(pid)
		if err != nil {
			return fmt.Errorf("stop %s: %w", c.name, err)
		}
		if stopped {
			return nil
		}
		if !wait(ctx, time.Millisecond) {
			return fmt.Errorf("stop %s: wait until it stands still: %w", c.name, context.Cause(ctx))
		}
	}
}

// release thaws the process, or lets it start again; it returns once it serves.
func (c *child) release(ctx context.Context, serves func(ctx context.Context, url string) bool) error {
	err := c.change(func() error {
		c.held = false
		if c.cmd == nil || !c.stopped {
			return nil
		}
		c.stopped = false
		return gone(c.cmd.Process.Signal(syscall.SIGCONT))
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	for !serves(ctx, c.health) {
		if !wait(ctx, 10*time.Millisecond) {
			return fmt.Errorf("start %s: wait until it serves: %w", c.name, context.Cause(ctx))
		}
	}
	return nil
}

// gone drops the error of a signal to a process that has just ended.
func gone(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
