package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/failwhale/failwhale/targets"
)

const (
	// reapPoll is how often the journal is looked at for new entries and deadlines.
	reapPoll = time.Second
	// reapGrace is what a run that lives has left, after a fault's deadline, to revert it itself.
	reapGrace = 2 * time.Second
	// reapRetry is the first wait after an undo that failed; it doubles up to reapRetryMost,
	// and giveUp after the run's end the entry is left to failwhale revert.
	reapRetry     = 100 * time.Millisecond
	reapRetryMost = 10 * time.Second
	giveUp        = 2 * time.Minute
)

// ReaperCommand is what main's hidden command calls: the life of a reaper process. args
// are the journal's directory, the run and its process, as StartReaper adds them; descriptors 3 and 4 are its pipes.
// log is the process's stderr. Signals that end a terminal's jobs do not end it.
func ReaperCommand(ctx context.Context, args []string, log io.Writer, more ...Kind) error {
	if len(args) != 3 {
		return errors.New("reaper: it is started by failwhale run, and by nobody else")
	}
	var of targets.ProcessID
	if err := json.Unmarshal([]byte(args[2]), &of); err != nil {
		return fmt.Errorf("reaper: it is started by failwhale run, and by nobody else: %w", err)
	}
	if err := syscall.SetNonblock(3, true); err != nil { // so that a Close ends a Read
		return fmt.Errorf("reaper: it is started by failwhale run, and by nobody else: %w", err)
	}
	owner, ready := os.NewFile(3, "owner"), os.NewFile(4, "ready")
	for _, f := range []*os.File{owner, ready} {
		if info, err := f.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
			return errors.New("reaper: it is started by failwhale run, and by nobody else: no pipes")
		}
	}
	// Caught and not ignored: an ignored signal would stay so in the programs that an undo runs.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	j, err := OpenJournal(args[0], more...)
	if err != nil {
		return fmt.Errorf("reaper: %w", err)
	}
	return j.Reap(context.WithoutCancel(ctx), args[1], of, owner, ready, log)
}

// Reap watches the faults that process of has armed for a run; another run may have the same
// name. It reads owner until its end, which means that the run is over, and writes to ready once it does. It then reverts all that the run has left, and before
// that what outlives its time to live. It returns when the run is over and nothing of it is open, or with an
// error when that could not be had. Both files are closed.
func (j *Journal) Reap(ctx context.Context, run string, of targets.ProcessID, owner, ready *os.File, log io.Writer) error {
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, owner) // an end by an error is an end
	}()
	defer func() { _ = owner.Close(); <-over }() // it was only read from
	_, err := io.WriteString(ready, reaperReady)
	if err = errors.Join(err, ready.Close()); err != nil {
		return fmt.Errorf("reaper: %w", err)
	}
	r := &reap{journal: j, run: run, of: of, log: log, deadlines: map[uint64]time.Time{}, retries: map[uint64]retry{}}
	for {
		wait, err := r.look(ctx)
		if r.over && (err != nil || wait == 0) {
			return err
		}
		t := time.NewTimer(wait)
		watching := over
		if r.over {
			watching = nil
		}
		select {
		case <-t.C:
		case <-watching:
			r.over, r.end = true, time.Now()
			clear(r.retries)
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("reaper: %w", context.Cause(ctx))
		}
		t.Stop()
	}
}

// A reap is the memory of a reaper.
type reap struct {
	journal *Journal
	run     string
	of      targets.ProcessID
	log     io.Writer
	over    bool      // the run is
	end     time.Time // since then
	// deadlines of entries, on this process's monotonic clock: a step of the wall clock after an
	// entry was first seen does not move them.
	deadlines map[uint64]time.Time
	retries   map[uint64]retry
	reported  string // the last error about the journal
}

// A retry is the next try of an undo that failed.
type retry struct {
	at   time.Time
	wait time.Duration
}

// look reverts what is due, and returns how long to wait before the next look. When the run is over
// that is 0 if nothing is left to do.
func (r *reap) look(ctx context.Context) (wait time.Duration, err error) {
	open, unreadable := r.journal.openOf(r.run, r.of)
	if text := fmt.Sprint(unreadable); unreadable != nil && text != r.reported {
		r.reported = text
		r.printf("%v", unreadable)
	}
	wait, left := reapPoll, 0
	for _, e := range slices.Backward(open) { // newest first
		due := r.due(e)
		if now := time.Now(); !due.After(now) {
			if r.revert(ctx, e) {
				continue
			}
			due = r.retries[e.Seq].at
		}
		left++
		wait = min(wait, max(time.Until(due), time.Millisecond))
	}
	switch {
	case !r.over:
		return wait, nil
	case left == 0:
		return 0, unreadable
	case time.Since(r.end) > giveUp:
		return 0, fmt.Errorf("reaper: %d faults of run %s are not undone after %s: run failwhale revert", left, r.run, giveUp)
	}
	return wait, nil
}

// due is when the entry is to be reverted, if it is still open by then.
func (r *reap) due(e Entry) time.Time {
	if again, ok := r.retries[e.Seq]; ok {
		return again.at
	}
	if r.over {
		return r.end
	}
	if !targets.ProcessAlive(e.Owner) { // a child of the run has inherited the pipe
		return time.Now()
	}
	at, ok := r.deadlines[e.Seq]
	if !ok {
		at = time.Now().Add(time.Until(e.Deadline))
		r.deadlines[e.Seq] = at
	}
	return at.Add(reapGrace)
}

// revert reports whether the entry is closed now.
func (r *reap) revert(ctx context.Context, e Entry) bool {
	why := "its time to live is over"
	if r.over {
		why = "its run is over"
	}
	res := r.journal.revert(ctx, e, e.unfinished())
	r.printf("%s: %s: %s", e, why, join(string(res.Restored), res.Detail))
	if !res.Entry.Open() {
		delete(r.retries, e.Seq)
		return true
	}
	wait := min(max(2*r.retries[e.Seq].wait, reapRetry), reapRetryMost)
	r.retries[e.Seq] = retry{time.Now().Add(wait), wait}
	return false
}

func (r *reap) printf(format string, args ...any) {
	fmt.Fprintf(r.log, "%s reaper: %s\n", time.Now().UTC().Format(time.RFC3339Nano), fmt.Sprintf(format, args...))
}
