package experiments_test

import (
	"strings"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A run whose budget was used up before its phases were over is undecided and says why, whatever the samples say that
// there are, also when its log is read again; and one that was whole by then is not.
func TestJudgeAUsedUpBudget(t *testing.T) {
	for _, tt := range []struct {
		name    string
		at      float64
		verdict results.Verdict
		exit    results.Exit
		why     string
	}{
		{"in baseline", 8, results.Undecided, results.ExitUndecided, "the budget of 1,000 requests was used up 5.0 s into baseline: the rest of the load was not sent"},
		{"in the fault", 15, results.Undecided, results.ExitUndecided, "the budget of 1,000 requests was used up 5.0 s into fault: the rest of the load was not sent"},
		{"in recovery", 23.5, results.Undecided, results.ExitUndecided, "the budget of 1,000 requests was used up 2.5 s into recovery: the rest of the load was not sent"},
		{"while all came to its end", loadEnd + 1, results.Held, results.ExitHeld, "the hypothesis held"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript("hypotheses: [success >= 99% during fault]\n")
			s.steady(100)
			s.say(tt.at, results.Event{Kind: results.EventBudget, Detail: "1,000 requests"})
			rep := s.judge(t)
			if rep.Verdict != tt.verdict || rep.Exit != tt.exit || rep.Why != tt.why {
				t.Errorf("verdict %s, exit %d, %q; want %s, %d, %q", rep.Verdict, rep.Exit, rep.Why, tt.verdict, tt.exit, tt.why)
			}
			if f := rep.Findings[0]; f.Verdict != tt.verdict || tt.verdict == results.Undecided && !strings.Contains(f.Why, "the budget of 1,000 requests") {
				t.Errorf("finding %+v; want %s, and why", f, tt.verdict)
			}
		})
	}
}

// A run ends when its budget is used up: its faults are reverted, what is under way comes to its end, the server saw
// no more than the budget has, and nothing has held.
func TestRunnerEndsWithItsBudget(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.attack = "budget: {requests: 250}" // more than a baseline of 2 s can use up
	began := time.Now()
	rep, err := b.run(t.Context(), t, `
phases: {warmup: 0s, baseline: 2s, fault: 100s, recovery: 100s}
faults: [{config.push: {id: cfg, store: config, set: {note: other}, ttl: 110s}}]
hypotheses: [success >= 50% during fault]
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != results.ExitUndecided || rep.Verdict != results.Undecided ||
		!strings.HasPrefix(rep.Why, "the budget of 250 requests was used up ") || !strings.Contains(rep.Why, " s into fault:") {
		t.Errorf("Run() = exit %d, %s, %s; want 4, undecided, for its budget", rep.Exit, rep.Verdict, rep.Why)
	}
	if f := rep.Findings[0]; f.Verdict != results.Undecided {
		t.Errorf("finding %+v; want it undecided", f)
	}
	if got := b.served.Load(); got != 250 {
		t.Errorf("the server saw %d requests, want 250", got)
	}
	if got := rep.Faults[0]; got.Restored != results.RestoredOK || b.read(t) != goodConfig {
		t.Errorf("fault = %+v, config %s; want it restored", got, b.read(t))
	}
	if took := time.Since(began); took > 150*time.Second {
		t.Errorf("it took %s, as if there still were load", took)
	}
	cancelled := 0
	for _, p := range rep.Phases {
		cancelled += p.Cancelled
	}
	if cancelled > 0 {
		t.Errorf("%d requests that were under way were cancelled", cancelled)
	}
}

// tooSlow skips a test whose machine could not put the load on: the verdict says so, and decides nothing.
func tooSlow(t *testing.T, rep *results.Report) {
	t.Helper()
	if strings.Contains(rep.Why, "generator-bound") {
		t.Skip("this machine is too slow for the load: " + rep.Why)
	}
}

// An attack that runs out of its budget has not put on the load that it promised; one that fits has, and one of so many requests.
func TestAttackWithABudget(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, tt := range []struct {
		name     string
		budget   int64
		requests int64
		length   time.Duration
		served   int64
		exit     results.Exit
		why      string
	}{
		{"too small", 20, 0, 2 * time.Second, 20, results.ExitUndecided, "the budget of 20 requests was used up "},
		{"large enough", 100, 0, time.Second, 50, results.ExitHeld, "the load was put on as it was due"},
		{"so many", 0, 30, 0, 30, results.ExitHeld, "the load was put on as it was due"},
		{"so many as the budget has", 30, 30, time.Minute, 30, results.ExitHeld, "the load was put on as it was due"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := b.served.Load()
			rep, err := experiments.Attack(t.Context(), attacks.Config{
				Endpoint: targets.Endpoint{URL: b.url}, Profile: attacks.Profile{Constant: &attacks.Constant{Rate: 50}},
				Budget: attacks.Budget{Requests: tt.budget}, Requests: tt.requests, Seed: 1,
			}, experiments.AttackOptions{Duration: tt.length})
			if err != nil {
				t.Fatal(err)
			}
			tooSlow(t, rep)
			if served := b.served.Load() - before; served != tt.served || rep.Exit != tt.exit || !strings.HasPrefix(rep.Why, tt.why) {
				t.Errorf("%d requests, exit %d, %q; want %d, %d, %q", served, rep.Exit, rep.Why, tt.served, tt.exit, tt.why)
			}
		})
	}
}
