package faults_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/targets"
)

// rewrite changes an open entry on the disk.
func (b *bench) rewrite(id string, change func(*faults.Entry)) {
	b.Helper()
	open, err := b.journal.Open()
	must(b.T, err)
	for _, e := range open {
		if e.ID != id {
			continue
		}
		names, err := filepath.Glob(filepath.Join(b.journal.Dir(), "*-"+id+".json"))
		must(b.T, err)
		must(b.T, os.Remove(names[0]))
		change(&e)
		text, err := json.Marshal(e)
		must(b.T, err)
		must(b.T, os.WriteFile(filepath.Join(b.journal.Dir(), fmt.Sprintf("%06d-%s-%s.json", e.Seq, e.Run, id)), text, 0o600))
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
	for _, tt := range []struct {
		name, run string
		owner     targets.ProcessID
	}{{"alive", "theirs", alive}, {"dead", "theirs", dead}, {"namesake", "run", alive}, {"dead namesake", "run", dead}} {
		t.Run(tt.name, func(t *testing.T) {
			owner := tt.owner
			b := newBench(t)
			b.inject("x", "")
			b.rewrite("x", func(e *faults.Entry) { e.Owner, e.Run = owner, tt.run })
			_, err := b.arm("y", "")
			if got := busy(t, "Arm()", err); got.Run != tt.run || got.Owner != owner || got.Left != (owner == dead) {
				t.Errorf("Arm() = %+v, want it to name run %s of %s", got, tt.run, owner)
			}
			_, err = b.journal.Lock(t.Context(), b.stack.Handle(), "run")
			if got := busy(t, "Lock()", err); got.Run != tt.run {
				t.Errorf("Lock() = %+v, want it to name run %s", got, tt.run)
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

// Two stacks may share a file or a GPU: of what a run's open fault changes, no other run's may change anything.
func TestResourcesKeepRunsApart(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "real"), []byte("a"), 0o600))
	must(t, os.Symlink("real", filepath.Join(dir, "link")))
	push := func(stack, run, file, body string) (*faults.Armed, error) {
		h := storeHandle(targets.Store{File: filepath.Join(dir, file)})
		h.ID = stack
		return b.journal.Arm(t.Context(), attach(t, h), faults.Intent{Run: run, ID: "cfg", Kind: "config.push", Fault: whole(body), TTL: time.Hour})
	}
	a, err := push("first", "first", "real", "b")
	must(t, err)
	must(t, a.Inject(t.Context()))
	_, err = push("second", "second", "link", "c")
	if got := busy(t, "Arm() on the same file", err); got.Run != "first" || got.Left {
		t.Errorf("Arm() = %+v, want it to name the first run", got)
	}
	wantError(t, "Arm() on the same file", err, "in force on file://", "/real")
	other, err := push("second", "second", "other", "c")
	must(t, err)
	other.Revert(t.Context())
	a.Revert(t.Context())
	again, err := push("second", "second", "link", "c")
	must(t, err)
	again.Revert(t.Context())
}

// A lock's file does not outlast its run, also where that was killed.
func TestLocksLeaveNoFiles(t *testing.T) {
	b := newBench(t)
	files := func(want int) {
		t.Helper()
		list, err := os.ReadDir(filepath.Join(b.journal.Dir(), "stacks"))
		if err != nil || len(list) != want {
			t.Errorf("stacks holds %v, %v; want %d files", list, err, want)
		}
	}
	l, err := b.journal.Lock(t.Context(), b.stack.Handle(), "run")
	must(t, err)
	left := filepath.Join(b.journal.Dir(), "stacks", "0123456789abcdef.lock")
	must(t, os.WriteFile(left, []byte("{}"), 0o600))
	_, err = faults.OpenJournal(b.journal.Dir(), probes()...)
	must(t, err)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat(a lock that nobody holds) after OpenJournal = %v, want that it does not exist", err)
	}
	files(1)
	_, err = b.journal.Lock(t.Context(), b.stack.Handle(), "other")
	if got := busy(t, "Lock() after OpenJournal", err); got.Run != "run" {
		t.Errorf("Lock() after OpenJournal = %+v, want that the first run has it", got)
	}
	must(t, l.Close())
	files(0)
	next, err := b.journal.Lock(t.Context(), b.stack.Handle(), "next")
	must(t, err)
	must(t, l.Close()) // which has nothing left to free
	files(1)
	must(t, next.Close())
}
