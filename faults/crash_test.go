package faults_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/faults/faultstest"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// hang is how long a test waits for what must happen before it says that it hangs.
const hang = time.Minute

// A victim is a run in a process of its own, that holds region east down and can be killed.
type victim struct {
	*testing.T
	*faultstest.Supervisor
	journal *faults.Journal
	cmd     *exec.Cmd
	lines   *bufio.Scanner
	out     io.Closer
	reaper  int // its pid; 0: none
}

// start starts a victim. region east of s is up before and after.
func start(t *testing.T, s *faultstest.Supervisor, h holding) *victim {
	t.Helper()
	h.Dir, h.Handle, h.Region = t.TempDir(), s.Handle(), "east"
	if h.TTL == 0 {
		h.TTL = time.Hour
	}
	arg, err := json.Marshal(h)
	must(t, err)
	j, err := faults.OpenJournal(h.Dir)
	must(t, err)
	v := &victim{T: t, Supervisor: s, journal: j, cmd: exec.Command(os.Args[0], holdCommand, string(arg))}
	v.cmd.Stderr = os.Stderr
	out, err := v.cmd.StdoutPipe()
	must(t, err)
	must(t, v.cmd.Start())
	v.lines, v.out = bufio.NewScanner(out), out
	t.Cleanup(v.end)
	if h.Reaper {
		if _, err := fmt.Sscanf(v.line("reaper"), "reaper %d", &v.reaper); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// line returns the victim's next line, which must begin with want.
func (v *victim) line(want string) string {
	v.Helper()
	if !v.lines.Scan() || !strings.HasPrefix(v.lines.Text(), want) {
		v.Fatalf("the run says %q (%v), want %s", v.lines.Text(), v.lines.Err(), want)
	}
	return v.lines.Text()
}

// kill ends the run without a word, and returns when that was.
func (v *victim) kill() time.Time {
	v.Helper()
	now := time.Now()
	must(v.T, v.cmd.Process.Signal(syscall.SIGKILL))
	return now
}

// end collects what is left of the run, and of its reaper.
func (v *victim) end() {
	_ = v.cmd.Process.Kill() // most are dead by now
	_ = v.cmd.Wait()         // that it was killed is no news
	if v.reaper != 0 {
		_ = syscall.Kill(v.reaper, syscall.SIGKILL) // likewise
	}
}

// until polls for what must come to be.
func (v *victim) until(what string, is func() bool) {
	v.Helper()
	for start := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(start) > hang {
			v.Fatalf("after %s still not: %s", hang, what)
		}
	}
}

func (v *victim) up() bool { return v.State("east") == targets.ProcessRunning }

func (v *victim) closed() bool {
	open, err := v.journal.Open()
	return err == nil && len(open) == 0
}

// A step is a moment in a run's life at which it may be killed. reach waits for it.
type step struct {
	name   string
	hang   string // verb of the supervisor
	revert bool   // the run reverts by itself
	reach  func(v *victim)
	want   results.Restored
	down   bool // the harm is there when the run dies
	// late: the undo calls the verb that hangs too, and both calls go on only then. Else
	// what hangs does so until the test's end.
	late bool
}

func steps() []step {
	return []step{
		{name: "after the intent", hang: "kill", reach: func(v *victim) { v.line("armed") }, want: results.RestoredUnneed},
		{name: "in the middle of inject", hang: "kill done", reach: func(v *victim) { v.line("armed") }, want: results.RestoredOK, down: true},
		{name: "after inject", reach: func(v *victim) { v.line("armed"); v.line("injected") }, want: results.RestoredOK, down: true},
		{name: "in the middle of revert", hang: "start", revert: true, reach: func(v *victim) { v.line("armed"); v.line("injected") }, want: results.RestoredOK, down: true, late: true},
	}
}

// reached starts a victim and returns once it is at the step.
func reached(t *testing.T, s step, reaper bool) *victim {
	t.Helper()
	super := faultstest.NewSupervisor(t, "east", "west")
	free := func() {}
	var entered <-chan string
	if s.hang != "" {
		gate := super.Hang(s.hang)
		entered, free = gate.Entered, gate.Release
		t.Cleanup(free)
	}
	v := start(t, super, holding{Reaper: reaper, Revert: s.revert})
	s.reach(v)
	if entered != nil {
		select {
		case <-entered:
		case <-time.After(hang):
			t.Fatalf("the run never came to %s", s.hang)
		}
	}
	if v.up() == s.down {
		t.Fatalf("at this step region east is %s", v.State("east"))
	}
	if s.late {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		t.Cleanup(cancel)
		wg.Go(func() {
			select {
			case <-entered: // the undo, which has seen that the region is down
				free()
			case <-ctx.Done():
			}
		})
	}
	return v
}

// A run that was killed at any step is undone by the next process that looks, as often as it looks.
func TestKilledRunIsRevertedByAnother(t *testing.T) {
	for _, s := range steps() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			v := reached(t, s, false)
			v.kill() // and not collected: a zombie is dead
			v.dead()
			v.reverted(s)
			if again, err := v.journal.Revert(t.Context(), faults.Selection{}); err != nil || len(again) != 0 {
				t.Errorf("second Revert() = %+v, %v; want nothing to do", again, err)
			}
		})
	}
}

// dead waits until the run counts as that.
func (v *victim) dead() {
	v.Helper()
	v.until("the killed run counts as dead", func() bool {
		open, err := v.journal.Open()
		return err == nil && len(open) == 1 && !targets.ProcessAlive(open[0].Owner)
	})
}

// reverted undoes what the run has left at the step.
func (v *victim) reverted(s step) {
	v.Helper()
	done, err := v.journal.Revert(v.Context(), faults.Selection{})
	if err != nil || len(done) != 1 || done[0].Restored != s.want || done[0].Err != nil {
		v.Errorf("Revert() = %+v, %v; want one entry, %s", done, err, s.want)
	}
	if !v.up() || !v.closed() {
		v.Errorf("after Revert region east is %s, entry closed: %t", v.State("east"), v.closed())
	}
}

// last is the run's only entry, open or closed.
func (v *victim) last() (e faults.Entry) {
	v.Helper()
	names, err := filepath.Glob(filepath.Join(v.journal.Dir(), "*.json"))
	if err != nil || len(names) != 1 {
		v.Fatalf("the journal holds %v, %v; want one entry", names, err)
	}
	text, err := os.ReadFile(names[0])
	must(v.T, err)
	must(v.T, json.Unmarshal(text, &e))
	return e
}

// The reaper sees the run's death at once, and undoes what it left.
func TestReaperUndoesAKilledRun(t *testing.T) {
	for _, s := range steps() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			v := reached(t, s, true)
			died := v.kill()
			v.until("the harm is undone", v.up)
			undone := time.Since(died)
			v.until("the entry is closed", v.closed)
			t.Logf("undone %s after kill -9", undone.Round(100*time.Microsecond))
			if e := v.last(); e.Restored != s.want {
				t.Errorf("the reaper came to %q (%s), want %q", e.Restored, e.Detail, s.want)
			}
			v.until("the reaper ends", func() bool { return !targets.ProcessAlive(identify(v.T, v.reaper)) })
		})
	}
}

func identify(t *testing.T, pid int) targets.ProcessID {
	t.Helper()
	id, err := targets.IdentifyProcess(pid)
	if err != nil {
		return targets.ProcessID{}
	}
	return id
}

// With both killed there is still the journal.
func TestRunAndReaperKilled(t *testing.T) {
	for _, s := range steps() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			v := reached(t, s, true)
			must(t, syscall.Kill(v.reaper, syscall.SIGKILL))
			v.until("the reaper is dead", func() bool { return !targets.ProcessAlive(identify(v.T, v.reaper)) })
			v.kill()
			v.dead()
			v.reverted(s)
		})
	}
}

// A run that was stopped, as by Ctrl-Z, gives no end of a pipe: the time to live does.
func TestReaperUndoesAStoppedRunAtItsDeadline(t *testing.T) {
	t.Parallel()
	v := start(t, faultstest.NewSupervisor(t, "east", "west"), holding{Reaper: true, TTL: time.Second})
	v.line("armed")
	v.line("injected")
	must(t, v.cmd.Process.Signal(syscall.SIGSTOP))
	v.until("the harm is undone", v.up)
	v.until("the entry is closed", v.closed)
}

// A run that comes back to life in the middle of Inject, after its fault was undone, undoes it once more.
func TestInjectAfterItsOwnUndo(t *testing.T) {
	t.Parallel()
	s := faultstest.NewSupervisor(t, "east", "west")
	gate := s.Hang("kill")
	t.Cleanup(gate.Release)
	v := start(t, s, holding{Reaper: true, TTL: 500 * time.Millisecond})
	v.line("armed")
	<-gate.Entered
	must(t, v.cmd.Process.Signal(syscall.SIGSTOP))
	v.until("the entry is closed", v.closed)
	gate.Release()
	v.until("the harm is done", func() bool { return !v.up() })
	must(t, v.cmd.Process.Signal(syscall.SIGCONT))
	if line := v.line("inject:"); !strings.Contains(line, "undone once more: restored") {
		t.Errorf("the run says %q, want that it undid its fault once more", line)
	}
	if !v.up() {
		t.Errorf("region east is %s, want running", v.State("east"))
	}
}

// Signals that end a terminal's jobs are not for the reaper, and nobody waits for its output.
func TestReaperIsDetached(t *testing.T) {
	t.Parallel()
	s := faultstest.NewSupervisor(t, "east", "west")
	v := start(t, s, holding{Reaper: true})
	v.line("armed")
	v.line("injected")
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		must(t, syscall.Kill(v.reaper, sig))
	}
	session, err := sessionOf(v.reaper)
	if err != nil || session != v.reaper {
		t.Errorf("the reaper (pid %d) is in session %d, %v; want one of its own", v.reaper, session, err)
	}
	gate := s.Hang("start")
	defer gate.Release()
	v.kill()
	<-gate.Entered // the reaper is at work, and cannot end
	for v.lines.Scan() {
		t.Errorf("after its death the run says %q", v.lines.Text())
	}
	must(t, v.lines.Err()) // the output ended although the reaper lives
	gate.Release()
	v.until("the harm is undone", v.up)
}

// A call that was on its way when the run died may do its harm after the first look.
func TestUndoLooksAgainAfterAnUnfinishedInject(t *testing.T) {
	t.Parallel()
	s := faultstest.NewSupervisor(t, "east", "west")
	kill := s.Hang("kill")
	t.Cleanup(kill.Release)
	v := start(t, s, holding{})
	v.line("armed")
	<-kill.Entered
	v.kill()
	list := s.Hang("list")
	t.Cleanup(list.Release)
	v.dead()
	done := make(chan []faults.Result, 1)
	go func() {
		r, err := v.journal.Revert(t.Context(), faults.Selection{})
		if err != nil {
			t.Errorf("Revert() = %v", err)
		}
		done <- r
	}()
	<-list.Entered
	list.Pass() // the first look sees no harm
	<-list.Entered
	kill.Release()
	v.until("the harm is done", func() bool { return !v.up() })
	list.Release()
	if r := <-done; len(r) != 1 || r[0].Restored != results.RestoredOK || !v.up() {
		t.Errorf("Revert() = %+v with region east %s, want it restored by a second look", r, v.State("east"))
	}
}
