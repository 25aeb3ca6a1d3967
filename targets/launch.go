package targets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Launcher says how to start a reference stack: the stack is a process of its own, so that
// load generation shares nothing with what it measures.
type Launcher struct {
	// Argv is the command that runs a reference stack, to which flags are added. Required for a reference stack.
	Argv []string
	// Dir is where the stack's log (stack.log) and Handle (stack.json) go. It must exist. Required for a reference stack.
	Dir string
}

const (
	startLimit = 30 * time.Second      // until all regions serve
	startPoll  = 20 * time.Millisecond // for the Handle's file
	stopLimit  = 10 * time.Second      // from the end of the lifeline to the stack's
)

// A child is a reference stack that this process started. Its lifeline is a
// pipe whose other end the stack reads: however this process ends, the stack sees
// it and ends too.
type child struct {
	cmd      *exec.Cmd
	lifeline io.Closer
	log      string
	done     chan struct{} // closed when the process was collected; err is set then
	err      error
}

func (l Launcher) start(ctx context.Context, r Reference) (*Stack, error) {
	if len(l.Argv) == 0 || l.Dir == "" {
		return nil, errors.New("start stack: the launcher says no command or no directory")
	}
	file := filepath.Join(l.Dir, "stack.json")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("start stack: remove an old handle: %w", err)
	}
	c, err := l.spawn(ctx, append(r.flags(), "--write", file, "--lifeline"))
	if err != nil {
		return nil, fmt.Errorf("start stack: %w", err)
	}
	s, err := c.await(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("start stack: %w", errors.Join(err, c.stop(context.WithoutCancel(ctx))))
	}
	return s, nil
}

// flags of the stack command. What is not set is left to its own defaults.
func (r Reference) flags() []string {
	var args []string
	if r.Resilience != "" {
		args = append(args, "--resilience", string(r.Resilience))
	}
	if len(r.Regions) > 0 {
		args = append(args, "--regions", strings.Join(r.Regions, ","))
	}
	if r.Replicas != 0 {
		args = append(args, "--replicas", strconv.Itoa(r.Replicas))
	}
	for _, k := range []struct {
		name string
		set  Resilience
	}{{"edge", r.Knobs.Edge}, {"router", r.Knobs.Router}, {"config", r.Knobs.Config}, {"sessions", r.Knobs.Sessions}, {"queue", r.Knobs.Queue}} {
		if k.set != "" {
			args = append(args, "--knob", k.name+"="+string(k.set))
		}
	}
	return args
}

// spawn starts the process and the goroutine that collects it.
func (l Launcher) spawn(ctx context.Context, args []string) (*child, error) {
	c := &child{log: filepath.Join(l.Dir, "stack.log"), done: make(chan struct{})}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor
	argv := slices.Concat(l.Argv, args)
	// The end of ctx must not kill it without its children: the lifeline ends it.
	c.cmd = exec.CommandContext(context.WithoutCancel(ctx), argv[0], argv[1:]...) // main says what to start
	c.cmd.Stdout, c.cmd.Stderr = log, log
	// A Ctrl-C at the terminal is for the run, which ends the stack when it is done with it.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.lifeline, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("run %s: %w", argv[0], err), c.lifeline.Close())
	}
	go func() {
		c.err = c.cmd.Wait()
		runtime.KeepAlive(c.lifeline) // a finalizer that closed it would end a stack whose run goes on
		close(c.done)
	}()
	return c, nil
}

// await returns once the stack has written its handle.
func (c *child) await(ctx context.Context, file string) (*Stack, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("it does not serve after %s", startLimit))
	defer cancel()
	tick := time.NewTicker(startPoll)
	defer tick.Stop()
	for {
		if h, err := ReadHandle(file); err == nil {
			s, err := attachLive(ctx, h)
			if err != nil {
				return nil, fmt.Errorf("%w%s", err, c.tail())
			}
			s.child = c
			return s, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		select {
		case <-tick.C:
		case <-c.done:
			return nil, fmt.Errorf("it ended before it served (%s)%s", c.ending(), c.tail())
		case <-ctx.Done():
			return nil, fmt.Errorf("%w%s", context.Cause(ctx), c.tail())
		}
	}
}

// stop closes the lifeline and waits for the process's end, which it forces if
// it takes too long. It may be called again.
func (c *child) stop(ctx context.Context) error {
	err := c.lifeline.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	if c.ended(ctx, stopLimit) {
		return err
	}
	late := fmt.Errorf("stop stack: it did not end in time after its lifeline did, and was killed%s", c.tail())
	kill := c.cmd.Process.Kill()
	<-c.done
	return errors.Join(err, late, kill)
}

func (c *child) ended(ctx context.Context, limit time.Duration) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-c.done:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

func (c *child) ending() string {
	if c.err == nil {
		return "exit status 0"
	}
	return c.err.Error()
}

// tail is the end of the stack's log, for an error.
func (c *child) tail() string {
	const most = 2000
	text, err := os.ReadFile(c.log)
	if err != nil || len(strings.TrimSpace(string(text))) == 0 {
		return "; it logged nothing in " + c.log
	}
	text = text[max(0, len(text)-most):]
	return fmt.Sprintf("; the end of %s:\n%s", c.log, strings.TrimSpace(string(text)))
}
