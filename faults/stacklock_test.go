package faults_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/targets"
)

// disown gives the entry of an id to another process.
func (b *bench) disown(id string, owner targets.ProcessID) {
	b.Helper()
	open, err := b.journal.Open()
	must(b.T, err)
	for _, e := range open {
		if e.ID != id {
			continue
		}
		e.Owner, e.Run = owner, "theirs"
		text, err := json.Marshal(e)
		must(b.T, err)
		names, err := filepath.Glob(filepath.Join(b.journal.Dir(), "*-"+id+".json"))
		must(b.T, err)
		must(b.T, os.Remove(names[0]))
		must(b.T, os.WriteFile(filepath.Join(b.journal.Dir(), "000001-theirs-"+id+".json"), text, 0o600))
	}
}

// busy expects a BusyError.
func busy(t *testing.T, call string, err error) *faults.BusyError {
	t.Helper()
	var b *faults.BusyError
	if !errors.As(err, &b) {
		t.Fatalf("%s = %v, want a BusyError", call, err)
	}
	return b
}

// Two runs never share a stack; two stacks never mind each other.
func TestLockKeepsRunsApart(t *testing.T) {
	b := newBench(t)
	h, other := b.stack.Handle(), targets.Handle{Version: 1, ID: "another/stack"}
	first, err := b.journal.Lock(t.Context(), h, "first")
	must(t, err)
	_, err = b.journal.Lock(t.Context(), h, "second")
	if got := busy(t, "Lock(second)", err); got.Run != "first" || got.Owner.PID != os.Getpid() || got.Left {
		t.Errorf("Lock(second) = %+v, want it to name the first run", got)
	}
	elsewhere, err := b.journal.Lock(t.Context(), other, "second")
	must(t, err)
	must(t, elsewhere.Close())
	must(t, first.Close())
	must(t, first.Close())
	second, err := b.journal.Lock(t.Context(), h, "second")
	must(t, err)
	must(t, second.Close())
}

// A fault of another run blocks its stack, and the error says what to do about it.
func TestEntriesBlockTheirStack(t *testing.T) {
	alive, err := targets.IdentifyProcess(os.Getppid())
	must(t, err)
	dead := alive
	dead.Start++ // the pid is taken by another process now
	for name, owner := range map[string]targets.ProcessID{"alive": alive, "dead": dead} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.inject("x", "")
			b.disown("x", owner)
			_, err := b.arm("y", "")
			if got := busy(t, "Arm()", err); got.Run != "theirs" || got.Owner != owner || got.Left != (owner == dead) {
				t.Errorf("Arm() = %+v, want it to name run theirs of %s", got, owner)
			}
			_, err = b.journal.Lock(t.Context(), b.stack.Handle(), "run")
			if got := busy(t, "Lock()", err); got.Run != "theirs" {
				t.Errorf("Lock() = %+v, want it to name run theirs", got)
			}
			done, err := b.journal.Revert(t.Context(), faults.Selection{})
			if err != nil || len(done) != map[bool]int{true: 1, false: 0}[owner == dead] {
				t.Errorf("Revert(zero Selection) = %+v, %v; want what dead owners left, and no more", done, err)
			}
			_, err = b.journal.Revert(t.Context(), faults.Selection{Live: true})
			must(t, err)
			if b.harmed("x") {
				t.Error("after Revert(Live) the harm is still there")
			}
			l, err := b.journal.Lock(t.Context(), b.stack.Handle(), "run")
			must(t, err)
			must(t, l.Close())
		})
	}
}

// Nothing is left to undo of a stack that has ended.
func TestStackGone(t *testing.T) {
	b := newBench(t)
	self, err := targets.SelfID()
	must(t, err)
	self.Start++
	gone := targets.Handle{Version: targets.HandleVersion, ID: "gone", Supervisor: &targets.Supervisor{URL: "http://127.0.0.1:1", Process: self}}
	s, err := targets.Attach(t.Context(), gone)
	if s != nil || !errors.Is(err, targets.ErrGone) {
		t.Fatalf("Attach(gone) = %v, %v; want ErrGone", s, err)
	}
	b.inject("x", "")
	open, err := b.journal.Open()
	must(t, err)
	e := open[0]
	e.Handle = gone
	text, err := json.Marshal(e)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(b.journal.Dir(), "000001-run-x.json"), text, 0o600))
	done, err := b.journal.Revert(t.Context(), faults.Selection{})
	if err != nil || len(done) != 1 || done[0].Restored != "not needed" || done[0].Detail != "stack gone" || done[0].Entry.Open() {
		t.Errorf("Revert() = %+v, %v; want not needed: stack gone", done, err)
	}
}
