package faults_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/results"
)

// The intent is on the disk before the harm, and everything in it that an undo needs.
func TestArmWritesTheIntent(t *testing.T) {
	b := newBench(t)
	a, err := b.arm("../odd name", "")
	must(t, err)
	open, err := b.journal.Open()
	if err != nil || len(open) != 1 {
		t.Fatalf("Open() after Arm = %+v, %v; want one entry", open, err)
	}
	e := open[0]
	spacing := cmp.Transformer("JSON", func(text json.RawMessage) (v any) { must(t, json.Unmarshal(text, &v)); return v })
	if diff := cmp.Diff(a.Entry(), e, spacing); diff != "" {
		t.Errorf("the entry on the disk is another one (-armed +disk):\n%s", diff)
	}
	if e.State != faults.Intended || e.Handle.ID != "endpoints-test" || e.Owner.PID != os.Getpid() || !e.Deadline.After(time.Now()) {
		t.Errorf("the entry is %+v, want the intent with stack, owner and deadline", e)
	}
	if b.harmed("../odd name") {
		t.Error("Arm did the harm")
	}
	for name, want := range map[string]fs.FileMode{".": fs.ModeDir | 0o700, "000001-run-.._odd_name.json": 0o600} {
		info, err := os.Stat(filepath.Join(b.journal.Dir(), name))
		if err != nil || info.Mode() != want {
			t.Errorf("Stat(%s) = %v, %v; want mode %s", name, info, err, want)
		}
	}
	must(t, a.Inject(t.Context()))
	if got := b.open()["../odd name"]; got != faults.InForce {
		t.Errorf("state after Inject = %q, want in force", got)
	}
	r := a.Revert(t.Context())
	if r.Restored != results.RestoredOK || r.Err != nil || r.Detail != "a probe" || b.harmed("../odd name") || len(b.open()) > 0 {
		t.Errorf("Revert() = %+v with %d entries open, want restored, with the fault's note, and none", r, len(b.open()))
	}
	var steps []faults.State
	for _, s := range r.Entry.History {
		steps = append(steps, s.State)
	}
	if diff := cmp.Diff([]faults.State{faults.Intended, faults.InForce, faults.Reverting, faults.Closed}, steps); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// Without the intent on the disk there is no door to Inject.
func TestArmStopsWhereItCannotWrite(t *testing.T) {
	b := newBench(t)
	must(t, os.RemoveAll(b.journal.Dir()))
	a, err := b.arm("x", "")
	wantError(t, "Arm() without a directory", err, "arm fault x", "journal")
	if a != nil {
		t.Errorf("Arm() without a directory = %+v, want nil", a)
	}
}

// Any number of processes may arm faults at the same time; each entry has a place of its own.
func TestArmFromEverywhere(t *testing.T) {
	b := newBench(t)
	const writers, each = 4, 10
	var wg sync.WaitGroup
	for w := range writers {
		j, err := faults.OpenJournal(b.journal.Dir(), probes()...)
		must(t, err)
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d-%d", w, i)
				a, err := j.Arm(t.Context(), b.stack, faults.Intent{
					Run: "run", ID: id, Kind: "test.probe", Fault: &probe{File: b.file(id)}, TTL: time.Hour,
				})
				if err == nil {
					err = a.Inject(t.Context())
				}
				if err != nil {
					t.Errorf("Arm(%s) and Inject() = %v", id, err)
				}
			}
		})
	}
	wg.Wait()
	open, err := b.journal.Open()
	must(t, err)
	for i, e := range open {
		if e.Seq != uint64(i+1) {
			t.Errorf("entry %d (%s) has the place %d", i, e.ID, e.Seq)
		}
	}
	done, err := b.journal.Revert(t.Context(), faults.Selection{})
	if err != nil || len(open) != writers*each || len(done) != writers*each || len(b.open()) != 0 {
		t.Errorf("%d entries, of which %d were reverted (%v), want %d", len(open), len(done), err, writers*each)
	}
}

// What cannot be prepared leaves nothing in the journal.
func TestArmRefuses(t *testing.T) {
	b := newBench(t)
	_, err := b.arm("x", "prepare")
	wantError(t, "Arm()", err, "prepare fault x (test.probe)", "probe: prepare")
	good := faults.Intent{Run: "run", ID: "x", Kind: "test.probe", Fault: &probe{}, TTL: time.Hour}
	for name, tt := range map[string]struct {
		change func(*faults.Intent)
		want   string
	}{
		"no run":       {func(i *faults.Intent) { i.Run = "" }, "no run"},
		"no ttl":       {func(i *faults.Intent) { i.TTL = 0 }, "time to live"},
		"unknown kind": {func(i *faults.Intent) { i.Kind = "test.unknown" }, `"test.unknown"`},
		"another kind": {func(i *faults.Intent) { i.Kind = "region.kill" }, "region.kill is a"},
	} {
		in := good
		tt.change(&in)
		_, err := b.journal.Arm(t.Context(), b.stack, in)
		wantError(t, name+": Arm()", err, tt.want)
	}
	if open := b.open(); len(open) > 0 {
		t.Errorf("entries are open: %v, want none", open)
	}
}

// A harm that failed may be there in part: its entry stays open until it is reverted.
func TestInjectFails(t *testing.T) {
	b := newBench(t)
	a, err := b.arm("x", "inject")
	must(t, err)
	wantError(t, "Inject()", a.Inject(t.Context()), "inject fault x (test.probe)", "probe: inject")
	if e := a.Entry(); b.open()["x"] != faults.Intended {
		t.Errorf("state after a failed Inject = %q (%+v), want intended", b.open()["x"], e)
	}
	wantError(t, "second Inject()", a.Inject(t.Context()), "intended already")
	if r := a.Revert(t.Context()); r.Restored != results.RestoredOK || b.harmed("x") {
		t.Errorf("Revert() = %+v, want restored: the harm was done before the error", r)
	}
}

// A fault has a time to live: Inject does not outlast it, and who holds it is told of its end.
func TestTimeToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // however slow the machine, the second is injected in time
		b := newBench(t)
		slow, err := b.armTTL("slow", "hang", 30*time.Millisecond)
		must(t, err)
		if err := slow.Inject(t.Context()); !errors.Is(err, faults.ErrExpired) {
			t.Errorf("Inject() past the time to live = %v, want ErrExpired", err)
		}
		a, err := b.armTTL("x", "", 300*time.Millisecond)
		must(t, err)
		must(t, a.Inject(t.Context()))
		<-a.Lapsed()
		if !errors.Is(a.Err(), faults.ErrExpired) || !time.Now().Equal(a.Entry().Deadline) {
			t.Errorf("Err() = %v at %s, want ErrExpired at %s", a.Err(), time.Now(), a.Entry().Deadline)
		}
		if r := a.Revert(t.Context()); r.Restored != results.RestoredOK {
			t.Errorf("Revert() after the time to live = %+v, want restored", r)
		}
	})
}

// A lease is renewed while the fault is held, and not after; a renewal that keeps failing is told.
func TestRenewal(t *testing.T) {
	b := newBench(t)
	renewed := func(id string) int {
		text, err := os.ReadFile(b.file(id) + ".renewed")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return len(text)
	}
	arm := func(id, bad string) *faults.Armed {
		a, err := b.journal.Arm(t.Context(), b.stack, faults.Intent{
			Run: "run", ID: id, Kind: "test.leased", TTL: time.Hour,
			Fault: &leased{probe{File: b.file(id), Bad: bad, Lease: 15 * time.Millisecond}},
		})
		must(t, err)
		must(t, a.Inject(t.Context()))
		return a
	}
	a := arm("held", "")
	for renewed("held") < 3 {
		time.Sleep(time.Millisecond)
	}
	if err := a.Err(); err != nil {
		t.Errorf("Err() while it is renewed = %v, want nil", err)
	}
	a.Revert(t.Context())
	n := renewed("held")
	time.Sleep(30 * time.Millisecond)
	if got := renewed("held"); got != n {
		t.Errorf("%d renewals after Revert, want none", got-n)
	}
	for _, tt := range []struct {
		bad, want string
		after     int // renewals
	}{{"renew", "probe: renew", 3}, {"lapsed", "no longer in force", 1}, {"renew-panic", "panic: probe", 1}} {
		a = arm(tt.bad, tt.bad)
		<-a.Lapsed()
		wantError(t, "Err()", a.Err(), "fault "+tt.bad+" (test.leased)", tt.want)
		if got := renewed(tt.bad); got != tt.after {
			t.Errorf("%s: lapsed after %d failed renewals, want %d", tt.bad, got, tt.after)
		}
		if r := a.Revert(t.Context()); r.Restored != results.RestoredOK {
			t.Errorf("%s: Revert() = %+v, want restored", tt.bad, r)
		}
	}
}

// Undo goes newest first, and one that fails keeps no other from its own.
func TestRevertGoesOn(t *testing.T) {
	b := newBench(t)
	for _, id := range []string{"first", "stuck", "panic", "silent", "last"} {
		bad := map[string]string{"panic": "panic", "silent": "silent"}[id]
		b.inject(id, bad)
	}
	must(t, os.WriteFile(b.file("stuck")+".stuck", nil, 0o600))
	ended, cancel := context.WithCancel(t.Context())
	cancel() // an undo does not end with its caller
	done, err := b.journal.Revert(ended, faults.Selection{})
	must(t, err)
	type row struct {
		ID       string
		Restored results.Restored
		State    faults.State
		Err      bool
	}
	var got []row
	for _, r := range done {
		got = append(got, row{r.Entry.ID, r.Restored, r.Entry.State, r.Err != nil})
	}
	want := []row{
		{"last", results.RestoredOK, faults.Closed, false},
		{"silent", results.RestoredFailed, faults.Failed, true},
		{"panic", results.RestoredFailed, faults.Failed, true},
		{"stuck", results.RestoredFailed, faults.Failed, true},
		{"first", results.RestoredOK, faults.Closed, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Revert() (-want +got):\n%s", diff)
	}
	must(t, os.Remove(b.file("stuck")+".stuck"))
	done, err = b.journal.Revert(t.Context(), faults.Selection{Run: "run", ID: "stuck"})
	if err != nil || len(done) != 1 || done[0].Restored != results.RestoredOK || done[0].Err != nil {
		t.Errorf("Revert() of what failed before = %+v, %v; want it restored", done, err)
	}
}

// Drift is told once, and is then not ours to undo.
func TestDriftCloses(t *testing.T) {
	b := newBench(t)
	a := b.inject("x", "drift")
	for range 2 {
		r := a.Revert(t.Context())
		if r.Restored != results.RestoredDrift || r.Entry.Open() {
			t.Errorf("Revert() = %+v, want drifted, and closed", r)
		}
		wantError(t, "Revert().Err", r.Err, "someone else's")
	}
}

// Another process may have been faster, which is as good.
func TestRevertAfterSomeoneElse(t *testing.T) {
	b := newBench(t)
	a := b.inject("x", "")
	other, err := faults.OpenJournal(b.journal.Dir(), probes()...)
	must(t, err)
	done, err := other.Revert(t.Context(), faults.Selection{Live: true})
	if err != nil || len(done) != 1 || done[0].Restored != results.RestoredOK {
		t.Fatalf("Revert() = %+v, %v; want one restored", done, err)
	}
	if r := a.Revert(t.Context()); r.Restored != results.RestoredOK || r.Err != nil {
		t.Errorf("Armed.Revert() after it = %+v, want restored", r)
	}
}

// An undo is not withheld because the journal cannot say so.
func TestRevertWithoutJournal(t *testing.T) {
	b := newBench(t)
	a := b.inject("x", "")
	must(t, os.RemoveAll(b.journal.Dir()))
	r := a.Revert(t.Context())
	if r.Restored != results.RestoredOK || b.harmed("x") {
		t.Errorf("Revert() without the journal = %+v, want restored", r)
	}
	wantError(t, "Revert().Err", r.Err, "journal")
}

// What cannot be read may be harm: it is told, and blocks what could hide it. Other files do not.
func TestForeignFiles(t *testing.T) {
	for name, text := range map[string]string{"torn": `{"version": 1, "se`, "empty": "", "foreign": `{"name": "x"}`, "newer": `{"version": 99}`} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.inject("good", "")
			must(t, os.WriteFile(filepath.Join(b.journal.Dir(), "000007-run-bad.json"), []byte(text), 0o600))
			for _, other := range []string{"notes.txt", ".temp-123", "x.json~"} {
				must(t, os.WriteFile(filepath.Join(b.journal.Dir(), other), []byte("x"), 0o600))
			}
			j, err := faults.OpenJournal(b.journal.Dir(), probes()...)
			must(t, err)
			if _, err := os.Stat(filepath.Join(j.Dir(), ".temp-123")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a leftover temp file is still there: %v", err)
			}
			open, err := j.Open()
			wantError(t, "Open()", err, "000007-run-bad.json", "harm")
			if len(open) != 1 {
				t.Errorf("Open() = %+v beside its error, want the good entry", open)
			}
			_, err = b.arm("next", "")
			wantError(t, "Arm()", err, "000007-run-bad.json")
			done, err := j.Revert(t.Context(), faults.Selection{})
			wantError(t, "Revert()", err, "000007-run-bad.json")
			if len(done) != 1 || done[0].Restored != results.RestoredOK {
				t.Errorf("Revert() = %+v beside its error, want the good entry restored", done)
			}
		})
	}
}

// An entry of a kind that this failwhale does not know stays for one that does.
func TestUnknownKindStaysOpen(t *testing.T) {
	b := newBench(t)
	b.inject("x", "")
	j, err := faults.OpenJournal(b.journal.Dir())
	must(t, err)
	done, err := j.Revert(t.Context(), faults.Selection{})
	must(t, err)
	if len(done) != 1 || done[0].Restored != results.RestoredFailed || b.open()["x"] != faults.Failed {
		t.Fatalf("Revert() = %+v, want it failed and open", done)
	}
	wantError(t, "Revert().Err", done[0].Err, `"test.probe"`, "newer")
}

// Old entries that ended without harm do not pile up for ever.
func TestOldEntriesArePruned(t *testing.T) {
	if testing.Short() {
		t.Skip("writes hundreds of files")
	}
	b := newBench(t)
	b.inject("drift", "drift").Revert(t.Context())
	for range 205 {
		a, err := b.arm("x", "")
		must(t, err)
		a.Revert(t.Context())
	}
	_, err := faults.OpenJournal(b.journal.Dir(), probes()...)
	must(t, err)
	list, err := os.ReadDir(b.journal.Dir())
	must(t, err)
	entries, drifted := 0, false
	for _, f := range list {
		if strings.HasSuffix(f.Name(), ".json") {
			entries++
			drifted = drifted || strings.Contains(f.Name(), "drift")
		}
	}
	if entries != 201 || !drifted {
		t.Errorf("%d entries are left, the drifted one among them: %t; want the last 200 and that one", entries, drifted)
	}
}
