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
			if f := finding(t, s.judge(t), "success < 50% for 3s"); f.Verdict != want || f.Bound != "never < 50 % for 3s" {
				t.Errorf("finding = %+v; want %s, bound never < 50 %% for 3s", f, want)
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
	if f.Verdict != results.Refuted || f.Why != "breached at 15s: seen" {
		t.Errorf("finding = %+v; want refuted, breached at 15s: seen", f)
	}
	if r.Exit != results.ExitRefuted {
		t.Errorf("exit = %d (%s); want 1", r.Exit, r.Why)
	}
}
