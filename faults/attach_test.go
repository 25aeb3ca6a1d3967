package faults_test

import (
	"strings"
	"testing"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

func attach(t *testing.T, h targets.Handle) *targets.Stack {
	t.Helper()
	s, err := targets.Attach(t.Context(), h)
	if err != nil {
		t.Fatalf("Attach(%s) = %v", h.ID, err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError fails unless err's text has every part.
func wantError(t *testing.T, call string, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s = nil, want an error with %q", call, parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%s = %q, want it to say %q", call, err, p)
		}
	}
}

// put prepares and injects f.
func put(t *testing.T, f faults.Fault, h targets.Handle) {
	t.Helper()
	must(t, f.Prepare(t.Context(), attach(t, h)))
	must(t, f.Inject(t.Context(), attach(t, h)))
}

// back reverts f, and fails unless that comes to want.
func back(t *testing.T, f faults.Fault, h targets.Handle, want results.Restored) error {
	t.Helper()
	got, err := f.Revert(t.Context(), attach(t, h))
	if got != want || got.Harmless() != (err == nil) {
		t.Errorf("%T.Revert() = %q, %v; want %q", f, got, err, want)
	}
	return err
}

// note is what f has to say.
func note(t *testing.T, f faults.Noter, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(f.Note(), p) {
			t.Errorf("%T.Note() = %q, want it to say %q", f, f.Note(), p)
		}
	}
}
