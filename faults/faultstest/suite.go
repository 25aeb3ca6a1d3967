package faultstest

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A Config is one fault on one target.
type Config struct {
	// Kind is the name of the fault's kind. Required.
	Kind string
	// New returns the fault with its parameters. Required.
	New func() faults.Fault
	// Handle names the target, which must not have the harm yet. Required.
	Handle targets.Handle
	// State describes all of the target that the fault may change; where it is equal, nothing
	// of the harm is left. Required.
	State func(t *testing.T) string
	// Traffic lets something meet the fault. Required, unless Static.
	Traffic func(t *testing.T)
	// Static: the target cannot tell what meets the fault, and its evidence is that the harm
	// is in force. Optional.
	Static bool
	// Quiet: what meets the fault while there is no Traffic. Optional; default nothing.
	Quiet int64
	// Trouble changes how the target treats changes. Optional; without it, the tests of an
	// Inject that fails are left out.
	Trouble func(t *testing.T, trouble Trouble)
}

// Run checks a fault. setup makes a target of its own for each test.
func Run(t *testing.T, setup func(t *testing.T) Config) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"zero value is not valid", (*suite).zeroValue},
		{"parameters survive JSON", (*suite).parameters},
		{"prepare changes nothing", (*suite).prepareChangesNothing},
		{"harm and undo", (*suite).harmAndUndo},
		{"evidence grows with traffic", (*suite).evidence},
		{"undo by another process", (*suite).undoElsewhere},
		{"undo without inject", (*suite).undoWithoutInject},
		{"undo without prepare", (*suite).undoWithoutPrepare},
		{"undo twice", (*suite).undoTwice},
		{"undo after a refused inject", (*suite).undoRefused},
		{"undo after an inject whose answer was lost", (*suite).undoLost},
		{"inject under an ended context", (*suite).endedContext},
		{"through the journal", (*suite).journal},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(newSuite(t, setup(t))) })
	}
}

// A suite is one test on one target.
type suite struct {
	*testing.T
	Config
	before string
}

func newSuite(t *testing.T, c Config) *suite {
	t.Helper()
	return &suite{t, c, c.State(t)}
}

// attach connects anew, as another process would.
func (s *suite) attach() *targets.Stack {
	s.Helper()
	st, err := targets.Attach(s.Context(), s.Handle)
	if err != nil {
		s.Fatalf("Attach(%s) = %v, want nil", s.Handle.ID, err)
	}
	return st
}

// other is what another process makes of a fault: all that is known of it is its JSON.
func (s *suite) other(f faults.Fault) faults.Fault {
	s.Helper()
	text, err := json.Marshal(f)
	must(s.T, err)
	g, ok := reflect.TypeAssert[faults.Fault](reflect.New(reflect.TypeOf(f).Elem()))
	if !ok {
		s.Fatalf("a new %T is no Fault", f)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	must(s.T, dec.Decode(g))
	return g
}

func (s *suite) prepared() faults.Fault {
	s.Helper()
	f := s.New()
	if err := f.Prepare(s.Context(), s.attach()); err != nil {
		s.Fatalf("%+v.Prepare() = %v, want nil", f, err)
	}
	return s.other(f)
}

func (s *suite) injected() faults.Fault {
	s.Helper()
	f := s.prepared()
	if err := f.Inject(s.Context(), s.attach()); err != nil {
		s.Fatalf("%+v.Inject() = %v, want nil", f, err)
	}
	if s.State(s.T) == s.before {
		s.Fatalf("after Inject the target is as it was: %s", s.before)
	}
	return f
}

// undo reverts f, and checks that nothing of the harm is left.
func (s *suite) undo(f faults.Fault, want ...results.Restored) {
	s.Helper()
	got, err := f.Revert(s.Context(), s.attach())
	ok := got.Harmless() && err == nil
	if len(want) > 0 {
		ok = got == want[0] && err == nil
	} else {
		want = []results.Restored{results.RestoredOK, results.RestoredUnneed}
	}
	if !ok {
		s.Errorf("%+v.Revert() = %q, %v; want one of %q, nil", f, got, err, want)
	}
	s.same("Revert")
}

func (s *suite) same(after string) {
	s.Helper()
	if got := s.State(s.T); got != s.before {
		s.Errorf("after %s the target is %s, want it as it was: %s", after, got, s.before)
	}
}

func (s *suite) touched(f faults.Fault) int64 {
	s.Helper()
	e, err := f.Evidence(s.Context(), s.attach())
	if err != nil || e.What == "" {
		s.Errorf("%+v.Evidence() = %+v, %v; want what was touched, in words too", f, e, err)
	}
	return e.Touched
}

func (s *suite) zeroValue() {
	f := s.New()
	zero, ok := reflect.TypeAssert[faults.Fault](reflect.New(reflect.TypeOf(f).Elem()))
	if !ok {
		s.Fatalf("a new %T is no Fault", f)
	}
	if v, ok := zero.(faults.Validator); ok && len(v.Validate()) == 0 {
		s.Errorf("%+v.Validate() = nil, want what is missing", zero)
	}
	if err := zero.Prepare(s.Context(), s.attach()); err == nil {
		s.Errorf("%+v.Prepare() = nil, want what is missing", zero)
	}
	s.same("Prepare of a fault without parameters")
}

func (s *suite) parameters() {
	f := s.New()
	if v, ok := f.(faults.Validator); ok && len(v.Validate()) > 0 {
		s.Errorf("%+v.Validate() = %v, want nil", f, v.Validate())
	}
	want, err := json.Marshal(f)
	must(s.T, err)
	got, err := json.Marshal(s.other(f))
	must(s.T, err)
	if !bytes.Equal(got, want) {
		s.Errorf("JSON of %T there and back = %s, want %s", f, got, want)
	}
}

func (s *suite) prepareChangesNothing() {
	f := s.prepared()
	s.same("Prepare")
	if err := f.Prepare(s.Context(), s.attach()); err != nil {
		s.Errorf("second Prepare() = %v, want nil", err)
	}
	s.same("a second Prepare")
}

func (s *suite) harmAndUndo() { s.undo(s.injected(), results.RestoredOK) }

func (s *suite) evidence() {
	f := s.injected()
	if s.Static {
		if got := s.touched(f); got != 1 {
			s.Errorf("Evidence() = %d, want 1: it is in force", got)
		}
		s.undo(f)
		if got := s.touched(f); got != 0 {
			s.Errorf("Evidence() after Revert = %d, want 0", got)
		}
		return
	}
	if got := s.touched(f); got > s.Quiet {
		s.Errorf("Evidence() before traffic = %d, want at most %d: it would show harm that nobody met", got, s.Quiet)
	}
	first := s.touched(f)
	s.Traffic(s.T)
	if got := s.touched(f); got <= first {
		s.Errorf("Evidence() after traffic = %d, want more than %d", got, first)
	}
	s.undo(f)
}

func (s *suite) undoElsewhere() {
	f := s.prepared()
	elsewhere := s.other(f) // from the intent: what Inject notes may be lost
	if err := f.Inject(s.Context(), s.attach()); err != nil {
		s.Fatalf("Inject() = %v, want nil", err)
	}
	s.undo(elsewhere, results.RestoredOK)
}

func (s *suite) undoWithoutInject()  { s.undo(s.prepared()) }
func (s *suite) undoWithoutPrepare() { s.undo(s.New()) }

func (s *suite) undoTwice() {
	f := s.injected()
	s.undo(f, results.RestoredOK)
	s.undo(f)
	s.undo(s.other(f))
}

func (s *suite) undoRefused() { s.undoAfter(Refuse) }
func (s *suite) undoLost()    { s.undoAfter(Lose) }

func (s *suite) undoAfter(trouble Trouble) {
	s.Helper()
	if s.Trouble == nil {
		s.Skip("the target makes no trouble")
	}
	f := s.prepared()
	elsewhere := s.other(f)
	s.Trouble(s.T, trouble)
	if err := f.Inject(s.Context(), s.attach()); err == nil {
		s.Errorf("Inject() where the target answers with an error = nil, want it")
	}
	if trouble == Lose && s.State(s.T) == s.before {
		s.Error("the harm was not done: this test shows nothing")
	}
	s.Trouble(s.T, None)
	s.undo(elsewhere)
	s.undo(f)
}

func (s *suite) endedContext() {
	f := s.prepared()
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if err := f.Inject(ctx, s.attach()); err == nil {
		s.Error("Inject(ended context) = nil, want an error")
	}
	s.undo(f)
}

func (s *suite) journal() {
	j, err := faults.OpenJournal(s.TempDir())
	must(s.T, err)
	given := s.New()
	want, err := json.Marshal(given)
	must(s.T, err)
	a, err := j.Arm(s.Context(), s.attach(), faults.Intent{Run: "run", ID: "id", Kind: s.Kind, Fault: given, TTL: time.Hour})
	must(s.T, err)
	s.same("Arm")
	if got, err := json.Marshal(given); err != nil || !bytes.Equal(got, want) {
		s.Errorf("Arm made %s of the plan's fault, want it untouched: %s (%v)", got, want, err)
	}
	must(s.T, a.Inject(s.Context()))
	if s.State(s.T) == s.before {
		s.Error("after Armed.Inject the target is as it was")
	}
	if !s.Static {
		s.Traffic(s.T)
	}
	if e, err := a.Evidence(s.Context()); err != nil || e.Touched == 0 {
		s.Errorf("Armed.Evidence() after traffic = %+v, %v; want some", e, err)
	}
	if r := a.Revert(s.Context()); r.Restored != results.RestoredOK || r.Err != nil || r.Entry.Open() {
		s.Errorf("Armed.Revert() = %+v, want restored, and the entry closed", r)
	}
	s.same("Armed.Revert")
}
