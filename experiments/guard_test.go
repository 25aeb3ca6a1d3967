package experiments_test

import (
	"testing"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

const guarded = "guards: [success < 50% for 3s]\nhypotheses: [success >= 1% during fault]\n"

// breachedAt feeds a judge record by record and gives the time of the first record after which the
// guard is breached, looking every tenth of a second; or -1.
func breachedAt(t *testing.T, s *script) float64 {
	t.Helper()
	judge := experiments.NewJudge(load(t, s.plan))
	now := 0.0
	for _, rec := range s.records() {
		at := now
		switch {
		case rec.Sample != nil:
			at = rec.Sample.Done.Seconds()
		case rec.Event != nil:
			at = rec.Event.At.Seconds()
		}
		for ; now < at; now += 0.1 {
			if f, ok := judge.Breached(sec(now)); ok {
				if f.Verdict != results.Refuted || f.Claim != "success < 50% for 3s" {
					t.Errorf("Breached(%.1f s) = %+v; want the guard, refuted", now, f)
				}
				return now
			}
		}
		if err := judge.Add(rec); err != nil {
			t.Fatal(err)
		}
	}
	return -1
}

// Every second with data must breach, from baseline to the end of load; the run and its log see the same.
func TestGuardsAreBreachedByARowOfSeconds(t *testing.T) {
	// Requests of reset end 0.2 s after they were due, those of served 0.28 s after.
	for _, tc := range []struct {
		name     string
		fill     func(s *script)
		from, to float64 // when it is seen; 0: never
	}{
		{"nothing wrong", func(s *script) { s.steady(50) }, 0, 0},
		{"a row of three", func(s *script) { s.load(3, 11.7, 50, served); s.load(11.8, 20, 50, reset) }, 15, 15.1},
		{"two are not enough", func(s *script) {
			s.load(3, 11.7, 50, served)
			s.load(11.8, 13.8, 50, reset)
			s.load(13.8, 30, 50, served)
		}, 0, 0},
		{"a good second breaks the row", func(s *script) {
			s.load(3, 11.7, 50, served)
			s.load(11.8, 13.8, 50, reset)
			s.load(13.8, 14.7, 50, served)
			s.load(14.8, 16.8, 50, reset)
			s.load(16.8, 30, 50, served)
		}, 0, 0},
		{"a second without data does not", func(s *script) {
			s.load(3, 11.7, 50, served)
			s.load(11.8, 12.8, 50, reset)
			s.load(13.8, 14.8, 50, reset)
			s.load(16, 30, 50, served)
		}, 15, 15.1},
		{"half and half is not under 50 %", func(s *script) { s.load(11, 20, 50, served); s.load(11, 20, 50, reset) }, 0, 0},
		{"the warm-up is not watched", func(s *script) { s.load(0, 2.9, 50, reset); s.load(3, 30, 50, served) }, 0, 0},
		{"nor is what drains after the load", func(s *script) {
			s.load(3, 30.5, 50, served)
			s.load(30.5, 31, 50, func(due float64) *results.Sample { return failed(due, due+4+2*(due-30.5), results.Deadline) })
		}, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(guarded)
			tc.fill(s)
			want := results.Held
			got := breachedAt(t, s)
			switch {
			case tc.to == 0 && got >= 0:
				t.Errorf("breached at %.1f s; want never", got)
			case tc.to > 0 && (got < tc.from-0.01 || got > tc.to+0.01):
				t.Errorf("breached at %.1f s; want between %.1f s and %.1f s", got, tc.from, tc.to)
			}
			if tc.to > 0 {
				want = results.Refuted
			}
			if f := finding(t, s.judge(t), "success < 50% for 3s"); !f.Guard || f.Verdict != want || f.Bound != "never < 50 % for 3s" || f.N < 500 {
				t.Errorf("finding = %+v; want %s, bound never < 50 %% for 3s, n of the whole run", f, want)
			}
		})
	}
}

// What the run said is enough: the seconds of the log need not show it again.
func TestABreachThatTheRunToldIsAFinding(t *testing.T) {
	s := newScript(guarded)
	s.steady(100)
	s.say(15, results.Event{Kind: results.EventGuard, Claim: "success < 50% for 3s", Detail: "seen"})
	r := s.judge(t)
	f := finding(t, r, "success < 50% for 3s")
	if !f.Guard || f.Verdict != results.Refuted || f.Why != "breached at 15s: seen" {
		t.Errorf("finding = %+v; want refuted, breached at 15s: seen", f)
	}
	if r.Exit != results.ExitRefuted {
		t.Errorf("exit = %d (%s); want 1", r.Exit, r.Why)
	}
}

// A guard that had nothing to look at while the fault was in force has guarded nothing then, whatever it saw before and
// after. One that saw the fault phase alone has done what it is for.
func TestAGuardThatSawNothingOfTheFaultIsUndecided(t *testing.T) {
	const claim, held = `success{region="east"} < 50% for 3s`, "never breached"
	const missed = "not breached as far as is known: no request that it watches ended in the fault phase"
	in := func(region string) func(float64) *results.Sample {
		return func(due float64) *results.Sample {
			x := served(due)
			x.Labels = results.Labels{"region": region}
			return x
		}
	}
	slow := func(due float64) *results.Sample { // begun under the fault, ended after it
		x := in("east")(due)
		x.Done += sec(reverted - inject)
		return x
	}
	for _, tc := range []struct {
		name string
		fill func(s *script)
		n    int
		want results.Verdict
		why  string
	}{
		{"before alone", func(s *script) { s.load(4, 9, 1, in("east")) }, 5, results.Undecided, missed},
		{"before and after", func(s *script) { s.load(4, 9, 1, in("east")); s.load(22, 30, 1, in("east")) }, 13, results.Undecided, missed},
		{"what hung until it was over", func(s *script) { s.load(12, 15, 1, slow) }, 3, results.Undecided, missed},
		{"of the fault phase alone", func(s *script) { s.load(12, 15, 1, in("east")) }, 3, results.Held, held},
		{"begun before, ended in it", func(s *script) { s.add(in("east")(inject - 0.1)) }, 1, results.Held, held},
		{"cut before the fault", func(s *script) {
			s.load(4, 9, 1, in("east"))
			s.say(9.5, results.Event{Kind: results.EventInterrupt})
		}, 5, results.Undecided, "not breached until the run was cut short"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript("guards: ['" + claim + "']\nhypotheses: [success >= 1% during fault]\n")
			s.load(0, loadEnd, 50, in("west"))
			tc.fill(s)
			r := s.judge(t)
			f := finding(t, r, claim)
			if f.Verdict != tc.want || f.Why != tc.why || f.N != tc.n {
				t.Errorf("finding = %s, N %d (%s); want %s, N %d (%s)", f.Verdict, f.N, f.Why, tc.want, tc.n, tc.why)
			}
			if green := r.Exit == results.ExitHeld; green != (tc.want == results.Held) {
				t.Errorf("exit = %d (%s), with a guard that is %s", r.Exit, r.Why, tc.want)
			}
		})
	}
}
