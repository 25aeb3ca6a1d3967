package experiments_test

import (
	"strings"
	"testing"

	"github.com/failwhale/failwhale/results"
)

// Recovery begins when Revert returned, at 21 s, and the load ends at 31 s: five windows of 2 s.
func TestRecoveryIsTheEndOfTheLastWindowThatViolates(t *testing.T) {
	const from = reverted + 0.001
	good := func(s *script, a, b float64) { s.load(from+a, from+b, 100, served) }
	bad := func(s *script, a, b float64) { s.load(from+a, from+b, 100, reset) }
	for _, tc := range []struct {
		name     string
		claim    string
		fill     func(s *script)
		want     results.Verdict
		observed string
		why      string
	}{
		{
			name: "at once", claim: "recovery(success >= 99%) < 5s",
			fill: func(s *script) { good(s, 0, 9.9) },
			want: results.Held, observed: "0 s",
		},
		{
			name: "after two windows", claim: "recovery(success >= 99%) < 5s",
			fill: func(s *script) { bad(s, 0, 3); good(s, 3, 9.9) },
			want: results.Held, observed: "4.00 s",
		},
		{
			name: "just not in time", claim: "recovery(success >= 99%) < 4s",
			fill: func(s *script) { bad(s, 0, 3); good(s, 3, 9.9) },
			want: results.Refuted, observed: "4.00 s",
		},
		{
			name: "just in time", claim: "recovery(success >= 99%) <= 4s",
			fill: func(s *script) { bad(s, 0, 3); good(s, 3, 9.9) },
			want: results.Held, observed: "4.00 s",
		},
		{
			name: "a relapse counts", claim: "recovery(success >= 99%) < 5s",
			fill: func(s *script) { good(s, 0, 6); bad(s, 6, 7); good(s, 7, 9.9) },
			want: results.Refuted, observed: "8.00 s",
		},
		{
			name: "not before the end, and late already", claim: "recovery(success >= 99%) < 5s",
			fill: func(s *script) { bad(s, 0, 9.9) },
			want: results.Refuted, observed: "over 10.0 s", why: "it had not recovered when the run ended",
		},
		{
			name: "not before the end, and still in time", claim: "recovery(success >= 99%) < 20s",
			fill: func(s *script) { bad(s, 0, 9.9) },
			want: results.Undecided, observed: "over 10.0 s", why: "lengthen phases.recovery",
		},
		{
			name: "a request counts where it was due, not where it ended", claim: "recovery(success >= 99%) < 5s",
			fill: func(s *script) {
				good(s, 0, 9.9)
				s.add(failed(from+1, from+9, results.Deadline), failed(from+1.5, from+18, results.Deadline), failed(from+1.6, from+18, results.Deadline))
			},
			want: results.Held, observed: "2.00 s",
		},
		{
			name: "without traffic", claim: "recovery(success >= 99%) < 5s",
			fill: func(*script) {},
			want: results.Undecided, why: "no request of the recovery phase tells",
		},
		{
			name: "of users who wait until late for a stack that is down", claim: "recovery(success >= 99%) < 5s",
			fill: func(s *script) { good(s, 6.1, 9.9) },
			want: results.Undecided, observed: "0 s", why: "no request tells of the time from 0s to 6s after the revert, as none was due",
		},
		{
			name: "and of such who fail before", claim: "recovery(success >= 99%) < 5s",
			fill: func(s *script) { bad(s, 0, 1); good(s, 6.1, 9.9) },
			want: results.Undecided, observed: "2.00 s", why: "no request tells of the time from 2s to 6s",
		},
		{
			name: "who come back in time", claim: "recovery(success >= 99%) < 5s",
			fill: func(s *script) { bad(s, 0, 1); good(s, 4.1, 9.9) },
			want: results.Held, observed: "2.00 s",
		},
		{
			name: "of a quantile", claim: "recovery(p90(ttft) < 1s) < 5s",
			fill: func(s *script) { s.load(from, from+2, 100, late(1.5)); good(s, 2, 9.9) },
			want: results.Held, observed: "2.00 s",
		},
		{
			name: "of a rate, which is 0 where nothing comes", claim: "recovery(tokens_per_second >= 80% of baseline) < 3s",
			fill: func(s *script) { s.load(4, 10, 100, served); good(s, 3.5, 9.9) },
			want: results.Refuted, observed: "4.00 s",
		},
		{
			name: "of goodput_tokens", claim: "recovery(goodput_tokens >= 500/s) < 3s",
			fill: func(s *script) { good(s, 0, 9.9) },
			want: results.Held, observed: "0 s",
		},
		{
			name: "against a baseline that is none", claim: "recovery(tokens_per_second >= 80% of baseline) < 3s",
			fill: func(s *script) { good(s, 0, 9.9) },
			want: results.Undecided, why: "baseline has nothing to compare with",
		},
		{
			name: "of other people's requests", claim: `recovery(success{tier="paid"} >= 99%) < 5s`,
			fill: func(s *script) { bad(s, 0, 9.9) },
			want: results.Undecided, why: "no request of the recovery phase tells",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript("hypotheses: ['" + tc.claim + "']\n")
			tc.fill(s)
			f := finding(t, s.judge(t), tc.claim)
			if f.Verdict != tc.want || f.Observed != tc.observed || !strings.Contains(f.Why, tc.why) {
				t.Errorf("finding = %s, observed %q, why %q\nwant %s, %q, %q", f.Verdict, f.Observed, f.Why, tc.want, tc.observed, tc.why)
			}
		})
	}
}

// Before a revert there is nothing to recover from.
func TestRecoveryNeedsARevert(t *testing.T) {
	s := newScript("hypotheses: [recovery(success >= 99%) < 5s]\n")
	s.steady(100)
	s.cutAt(15)
	s.killed = true
	f := finding(t, s.judge(t), "recovery(success >= 99%) < 5s")
	if want := "nothing was reverted that could be recovered from"; f.Verdict != results.Undecided || f.Why != want {
		t.Errorf("finding = %s, %q; want undecided, %q", f.Verdict, f.Why, want)
	}
}
