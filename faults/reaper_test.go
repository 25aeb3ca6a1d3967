package faults_test

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
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/faults/faultstest"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

func reaperArgv() []string { return []string{os.Args[0], reaperCommand} }

// reaperLog is where the reaper of a run of this process writes.
func reaperLog(j *faults.Journal, run string) string {
	return filepath.Join(j.Dir(), "reaper", fmt.Sprintf("%s-%d.log", run, os.Getpid()))
}

// The usual end of a run: nothing is open, and nothing is left of the reaper.
func TestReaperOfAnOrderlyRun(t *testing.T) {
	b := newBench(t)
	r, err := b.journal.StartReaper(t.Context(), reaperArgv(), "run")
	must(t, err)
	b.inject("x", "").Revert(t.Context())
	must(t, r.Close(t.Context()))
	must(t, r.Close(t.Context()))
	select {
	case <-r.Died():
	default:
		t.Error("Died() is open after Close")
	}
	if _, err := os.Stat(reaperLog(b.journal, "run")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat(log of a reaper that had nothing to say) = %v, want that it does not exist", err)
	}
}

// What is open when the run says that it is over is undone before Close returns.
func TestReaperCloseReverts(t *testing.T) {
	s := faultstest.NewSupervisor(t, "east", "west")
	j, err := faults.OpenJournal(t.TempDir())
	must(t, err)
	r, err := j.StartReaper(t.Context(), reaperArgv(), "run")
	must(t, err)
	for _, run := range []string{"run", "run-2"} { // of which only the first is this reaper's
		region := map[string]string{"run": "east", "run-2": "west"}[run]
		h := s.Handle()
		h.ID = run
		a, err := j.Arm(t.Context(), attach(t, h), faults.Intent{
			Run: run, ID: "lost", Kind: "region.kill", Fault: &faults.RegionKill{Region: region, AllowLast: true}, TTL: time.Hour,
		})
		must(t, err)
		must(t, a.Inject(t.Context()))
	}
	must(t, r.Close(t.Context()))
	if s.State("east") != targets.ProcessRunning || s.State("west") != targets.ProcessHeld {
		t.Errorf("after Close east is %s and west is %s, want running and held: that is another run's", s.State("east"), s.State("west"))
	}
	log, err := os.ReadFile(reaperLog(j, "run"))
	if err != nil || len(log) == 0 {
		t.Errorf("the reaper's log is %q, %v; want what it did", log, err)
	}
	done, err := j.Revert(t.Context(), faults.Selection{})
	if err != nil || len(done) != 1 || done[0].Restored != results.RestoredOK {
		t.Errorf("Revert() = %+v, %v; want the other run's", done, err)
	}
}

// A run is told when nobody watches it any more.
func TestReaperDies(t *testing.T) {
	b := newBench(t)
	r, err := b.journal.StartReaper(t.Context(), reaperArgv(), "run")
	must(t, err)
	must(t, syscall.Kill(r.PID(), syscall.SIGKILL))
	<-r.Died()
	wantError(t, "Close()", r.Close(t.Context()), "reaper", "killed")
}

// A reaper that does not come to watch is an error before any fault is armed.
func TestReaperDoesNotStart(t *testing.T) {
	b := newBench(t)
	for name, tt := range map[string]struct {
		argv []string
		want string
	}{
		"no program":      {[]string{"/nonexistent/failwhale"}, "/nonexistent/failwhale"},
		"another program": {[]string{"true"}, "before it watched"},
	} {
		_, err := b.journal.StartReaper(t.Context(), tt.argv, "run")
		wantError(t, name+": StartReaper()", err, "start reaper", tt.want)
	}
	out, err := exec.Command(os.Args[0], reaperCommand, b.journal.Dir(), "run").CombinedOutput()
	if err == nil || len(out) == 0 {
		t.Errorf("a reaper started by hand = %q, %v; want it to refuse", out, err)
	}
}

// A pipe that only the garbage collector remembers must not look like the end of the run.
func TestReaperOutlivesTheGarbageCollector(t *testing.T) {
	s := faultstest.NewSupervisor(t, "east", "west")
	j, err := faults.OpenJournal(t.TempDir())
	must(t, err)
	pid := func() int {
		r, err := j.StartReaper(t.Context(), reaperArgv(), "run")
		must(t, err)
		return r.PID() // and the Reaper is forgotten
	}()
	a, err := j.Arm(t.Context(), attach(t, s.Handle()), faults.Intent{
		Run: "run", ID: "lost", Kind: "region.kill", Fault: &faults.RegionKill{Region: "east"}, TTL: time.Hour,
	})
	must(t, err)
	must(t, a.Inject(t.Context()))
	for range 10 {
		runtime.GC()
		time.Sleep(20 * time.Millisecond)
	}
	if got := s.State("east"); got != targets.ProcessHeld {
		t.Errorf("after a while east is %s, want held: the run goes on", got)
	}
	a.Revert(t.Context())
	must(t, syscall.Kill(pid, syscall.SIGKILL))
}

// Two runs may have the same name, and are two runs all the same: what a living one has armed is not the
// business of the other's reaper.
func TestReaperLeavesANamesakeAlone(t *testing.T) {
	b := newBench(t)
	parent, err := targets.IdentifyProcess(os.Getppid())
	must(t, err)
	b.inject("theirs", "")
	b.rewrite("theirs", func(e *faults.Entry) { e.Owner, e.Handle.ID = parent, "another" })
	r, err := b.journal.StartReaper(t.Context(), reaperArgv(), "run")
	must(t, err)
	must(t, r.Close(t.Context()))
	if !b.harmed("theirs") || b.open()["theirs"] != faults.InForce {
		t.Errorf("after the end of a run its namesake's fault is %q, in force: %t; want it left alone", b.open()["theirs"], b.harmed("theirs"))
	}
}

// The end of the pipe is acted on when it comes, and not at the next look at the journal. The bubble's clock
// stands still while anything can go on by itself: had the reaper waited for its timer, it would have moved.
func TestReaperActsOnTheEndOfThePipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		self, err := targets.SelfID()
		must(t, err)
		a := b.inject("lost", "")
		watched, held, err := os.Pipe()
		must(t, err)
		ready, tell, err := os.Pipe()
		must(t, err)
		done := make(chan error, 1)
		go func() {
			done <- b.journal.Reap(context.WithoutCancel(t.Context()), "run", self, watched, tell, io.Discard)
		}()
		text, err := io.ReadAll(ready)
		if err != nil || len(text) == 0 {
			t.Fatalf("the reaper says %q, %v; want that it watches", text, err)
		}
		must(t, ready.Close())
		start := time.Now()
		must(t, held.Close())
		must(t, <-done)
		if took := time.Since(start); took != 0 || b.harmed("lost") {
			t.Errorf("the reaper waited for %s, harm undone: %t; want it undone without a wait", took, !b.harmed("lost"))
		}
		a.Revert(t.Context()) // ends what watches the time to live
	})
}
