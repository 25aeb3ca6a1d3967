package faultstest_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/faults/faultstest"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// badEnv names the promise that the fault of TestFlawedFault breaks.
const badEnv = "FAULTSTEST_BREAKS"

// A pusher is config.push with a flaw. Each flaw breaks one promise.
type pusher struct {
	faults.ConfigPush
	Flaw  string
	holds []byte // a note that no JSON has
}

func (p *pusher) Prepare(ctx context.Context, s *targets.Stack) error {
	err := p.ConfigPush.Prepare(ctx, s)
	if p.Flaw == "harm in prepare" && err == nil {
		err = p.ConfigPush.Inject(ctx, s)
	}
	p.holds = p.Pushed
	return err
}

func (p *pusher) Inject(ctx context.Context, s *targets.Stack) error {
	if p.Flaw == "no harm" {
		return nil
	}
	return p.ConfigPush.Inject(ctx, s)
}

func (p *pusher) Evidence(ctx context.Context, s *targets.Stack) (results.Evidence, error) {
	e, err := p.ConfigPush.Evidence(ctx, s)
	if p.Flaw == "evidence of nothing" {
		e.Touched = 7
	}
	return e, err
}

func (p *pusher) Revert(ctx context.Context, s *targets.Stack) (results.Restored, error) {
	switch {
	case p.Flaw == "no undo":
		return results.RestoredOK, nil
	case p.Flaw == "forgetful" && p.holds == nil:
		return results.RestoredUnneed, nil
	}
	r, err := p.ConfigPush.Revert(ctx, s)
	if p.Flaw == "undo only once" && r == results.RestoredUnneed {
		return results.RestoredFailed, errors.New("there is nothing to undo")
	}
	return r, err
}

// flaws says which test of the suite finds which flaw.
func flaws() map[string]string {
	return map[string]string{
		"harm in prepare":     "prepare_changes_nothing",
		"no harm":             "harm_and_undo",
		"evidence of nothing": "evidence_grows_with_traffic",
		"no undo":             "harm_and_undo",
		"forgetful":           "undo_by_another_process",
		"undo only once":      "undo_twice",
	}
}

// TestFlawedFault is run by the next test, in a process of its own: it has to fail.
func TestFlawedFault(t *testing.T) {
	flaw, ok := os.LookupEnv(badEnv)
	if !ok {
		t.Skip("run by TestSuiteFindsFlaws")
	}
	file := filepath.Join(t.TempDir(), "cfg")
	faultstest.Run(t, func(t *testing.T) faultstest.Config {
		t.Helper()
		if err := os.WriteFile(file, []byte("good"), 0o600); err != nil {
			t.Fatal(err)
		}
		return faultstest.Config{
			Kind: "config.push",
			New: func() faults.Fault {
				return &pusher{ConfigPush: faults.ConfigPush{Store: "cfg", Body: new("bad")}, Flaw: flaw}
			},
			Handle: targets.Handle{Version: targets.HandleVersion, ID: "x", Stores: map[string]targets.Store{"cfg": {File: file}}},
			State: func(t *testing.T) string {
				t.Helper()
				text, err := os.ReadFile(file)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
				return string(text)
			},
			Static: flaw != "evidence of nothing",
		}
	})
}

// A suite that passes everything shows nothing.
func TestSuiteFindsFlaws(t *testing.T) {
	for flaw, test := range flaws() {
		t.Run(flaw, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestFlawedFault$/^"+test+"$")
			cmd.Env = append(os.Environ(), badEnv+"="+flaw)
			out, err := cmd.CombinedOutput()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || !strings.Contains(string(out), "--- FAIL: TestFlawedFault/"+test) {
				t.Errorf("the suite on a fault with %q = %v, want that %s fails:\n%s", flaw, err, test, out)
			}
		})
	}
}
