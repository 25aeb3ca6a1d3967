package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Reaper is a process that reverts the faults of a run which died. It is in a
// session of its own, ignores signals that end a terminal's jobs, and sees the death of
// its parent as the end of a pipe.
type Reaper struct {
	cmd  *exec.Cmd
	pipe *os.File // its end means that the run is over
	log  string
	done chan struct{} // closed when the process was collected; err is set then
	err  error
}

const (
	reaperReady = "watching\n"
	// readyLimit bounds the reaper's start, reapedLimit its end once the run is over.
	readyLimit  = 15 * time.Second
	reapedLimit = giveUp + revertLimit
)

// StartReaper starts the reaper of a run and returns once it watches. argv is main's
// hidden command, which calls ReaperCommand; the journal's directory, the run and this process are
// added to it: what another process arms for a run of the same name is none of its business.
// The caller must Close it, after the last Revert.
func (j *Journal) StartReaper(ctx context.Context, argv []string, run string) (*Reaper, error) {
	self, err := json.Marshal(j.self)
	if err != nil {
		return nil, fmt.Errorf("start reaper: %w", err)
	}
	name := fmt.Sprintf("%s-%d.log", plain(run), j.self.PID)
	r := &Reaper{log: filepath.Join(j.dir, "reaper", name), done: make(chan struct{})}
	ready, err := r.spawn(ctx, slices.Concat(argv, []string{j.dir, run, string(self)}))
	if err != nil {
		return nil, fmt.Errorf("start reaper: %w", err)
	}
	err = awaitReady(ctx, ready)
	if err = errors.Join(err, ready.Close()); err != nil {
		kill := r.cmd.Process.Kill()
		<-r.done
		return nil, fmt.Errorf("start reaper: %w%s", errors.Join(err, r.pipe.Close()), r.tail(kill))
	}
	return r, nil
}

// spawn starts the process. It has the pipe's read end as descriptor 3 and writes to descriptor 4 when it watches.
func (r *Reaper) spawn(ctx context.Context, argv []string) (ready *os.File, err error) {
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor
	watched, held, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer watched.Close() //nolint:errcheck // likewise
	ready, tell, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	defer tell.Close() //nolint:errcheck // likewise
	// It outlives ctx: that is what it is for.
	r.cmd = exec.CommandContext(context.WithoutCancel(ctx), argv[0], argv[1:]...) // main says what to start
	r.cmd.ExtraFiles = []*os.File{watched, tell}
	r.cmd.Stdout, r.cmd.Stderr = log, log // an inherited stdout would keep our caller's pipe open
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := r.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("run %s: %w", argv[0], err), held.Close(), ready.Close())
	}
	r.pipe = held
	go func() {
		r.err = r.cmd.Wait()
		runtime.KeepAlive(held) // a finalizer that closed it would revert a run that goes on
		close(r.done)
	}()
	return ready, nil
}

func awaitReady(ctx context.Context, ready *os.File) error {
	if err := ready.SetReadDeadline(time.Now().Add(readyLimit)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })() // fails only if the read is over
	line, err := bufio.NewReader(ready).ReadString('\n')
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("it ended, or said %q, before it watched", line)
	case err != nil:
		return fmt.Errorf("it does not say that it watches: %w", err)
	case line != reaperReady:
		return fmt.Errorf("it says %q and is no reaper", line)
	}
	return nil
}

// Died is closed when the reaper has ended. Before Close that is an alarm: nobody
// would undo the faults of a run that dies now.
func (r *Reaper) Died() <-chan struct{} { return r.done }

// PID is the reaper's.
func (r *Reaper) PID() int { return r.cmd.Process.Pid }

// Close ends the watch and waits for the reaper's end. What is open by then it
// reverts. The error says that it could not, or that it had died before.
func (r *Reaper) Close(ctx context.Context) error {
	if err := r.pipe.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("end reaper: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, reapedLimit)
	defer cancel()
	select {
	case <-r.done:
	case <-ctx.Done():
		return fmt.Errorf("end reaper: %w; it goes on as pid %d, see %s", ctx.Err(), r.PID(), r.log)
	}
	if r.err != nil {
		return fmt.Errorf("reaper: %w%s", r.err, r.tail(nil))
	}
	if info, err := os.Stat(r.log); err == nil && info.Size() == 0 {
		return os.Remove(r.log)
	}
	return nil
}

// tail is the end of the reaper's log, for an error.
func (r *Reaper) tail(err error) string {
	text, rerr := os.ReadFile(r.log)
	if err = errors.Join(err, rerr); err != nil {
		return fmt.Sprintf(" (%v)", err)
	}
	const most = 2000
	if s := strings.TrimSpace(string(text[max(0, len(text)-most):])); s != "" {
		return fmt.Sprintf("; the end of %s:\n%s", r.log, s)
	}
	return "; it logged nothing"
}
