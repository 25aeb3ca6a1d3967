package experiments_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/results"
)

// stretch loads five seconds.
func (s *script) stretch(from float64, n, bad int, spoil func(due float64) *results.Sample) {
	if n == 0 {
		return
	}
	i := 0
	s.load(from, from+5, float64(n)/5, func(due float64) *results.Sample {
		if i++; i <= bad {
			return spoil(due)
		}
		return served(due)
	})
}

func reset(due float64) *results.Sample { return failed(due, due+0.2, results.Reset) }

// late is served with its first token after so many seconds.
func late(after float64) func(float64) *results.Sample {
	return func(due float64) *results.Sample {
		x := served(due + after - 0.1)
		x.Due, x.Sent = sec(due), sec(due)
		return x
	}
}

// stalling pauses for so many seconds in the middle of its stream.
func stalling(pause float64) func(float64) *results.Sample {
	return func(due float64) *results.Sample {
		x := served(due)
		for i := 5; i < len(x.Chunks); i++ {
			x.Chunks[i].At += sec(pause)
		}
		x.Done += sec(pause)
		return x
	}
}

// Each metric against its bar, on both sides of it, and with too few samples.
func TestClaimsAreDecidedByTheirSamples(t *testing.T) {
	for _, tc := range []struct {
		claim    string
		n, bad   int // in the fault phase; baseline has n good ones
		spoil    func(float64) *results.Sample
		want     results.Verdict
		observed string
		bound    string
		why      string // a part of it
	}{
		{claim: "success >= 99%", n: 400, want: results.Held, observed: "100 %", bound: ">= 99 %"},
		{claim: "success >= 99%", n: 400, bad: 4, spoil: reset, want: results.Held, observed: "99.0 %", bound: ">= 99 %", why: "4 of 400 failed: 4 reset"},
		{claim: "success >= 99%", n: 400, bad: 5, spoil: reset, want: results.Refuted, observed: "98.8 %", bound: ">= 99 %", why: "5 of 400 failed: 5 reset"},
		{claim: "success > 99%", n: 400, bad: 4, spoil: reset, want: results.Refuted, observed: "99.0 %", bound: "> 99 %"},
		{claim: "success >= 99.9%", n: 4000, bad: 4, spoil: reset, want: results.Held, observed: "99.9 %", bound: ">= 99.9 %"},
		{claim: "error_rate <= 1%", n: 400, bad: 4, spoil: reset, want: results.Held, observed: "1.0 %", bound: "<= 1 %"},
		{claim: "error_rate <= 1%", n: 400, bad: 5, spoil: reset, want: results.Refuted, observed: "1.2 %", bound: "<= 1 %"},
		// too few to hold, enough or not to refute
		{claim: "success >= 99%", n: 380, want: results.Undecided, observed: "100 %", bound: ">= 99 %", why: "380 samples in fault are too few, it takes 381: lengthen phases.fault or raise the rate"},
		{claim: "success >= 99%", n: 100, bad: 1, spoil: reset, want: results.Undecided, observed: "99.0 %", bound: ">= 99 %", why: "100 samples in fault are too few"},
		{claim: "success >= 99%", n: 100, bad: 10, spoil: reset, want: results.Refuted, observed: "90.0 %", bound: ">= 99 %", why: "100 samples already refute it: 10 of 100 failed: 10 reset"},
		{claim: "error_rate < 1%", n: 100, bad: 10, spoil: reset, want: results.Refuted, observed: "10.0 %", bound: "< 1 %", why: "100 samples already refute it"},
		{claim: "success < 50%", n: 100, want: results.Refuted, observed: "100 %", bound: "< 50 %"},
		{claim: "success < 50%", n: 100, bad: 60, spoil: reset, want: results.Held, observed: "40.0 %", bound: "< 50 %"},
		// claims about each single request
		{claim: "success == 100%", n: 400, want: results.Held, observed: "100 %", bound: "== 100 %"},
		{claim: "success >= 100%", n: 380, want: results.Undecided, observed: "100 %", bound: ">= 100 %", why: "it takes 381"},
		{claim: "success >= 100%", n: 380, bad: 1, spoil: reset, want: results.Refuted, observed: "99.7 %", bound: ">= 100 %", why: "380 samples already refute it"},
		{claim: "error_rate == 0%", n: 10, bad: 1, spoil: reset, want: results.Refuted, observed: "10.0 %", bound: "== 0 %"},
		{claim: "max(ttft) < 2s", n: 400, want: results.Held, observed: "100 ms", bound: "< 2s"},
		{claim: "max(ttft) < 2s", n: 10, want: results.Undecided, observed: "100 ms", bound: "< 2s", why: "it takes 381"},
		{claim: "max(ttft) < 2s", n: 10, bad: 1, spoil: late(3), want: results.Refuted, observed: "3.00 s", bound: "< 2s"},
		{claim: "max(ttft) < 2s", n: 400, bad: 1, spoil: reset, want: results.Refuted, observed: "inf", bound: "< 2s", why: "1 of 400 failed without a first token and count as infinite"},
		{claim: "min(ttft) >= 50ms", n: 400, want: results.Held, observed: "100 ms", bound: ">= 50ms"},
		// quantiles, with what never came
		{claim: "p99(ttft) < 2s", n: 300, want: results.Held, observed: "100 ms", bound: "< 2s"},
		{claim: "p99(ttft) < 2s", n: 300, bad: 3, spoil: reset, want: results.Held, observed: "100 ms", bound: "< 2s", why: "3 of 300 failed without a first token and count as infinite"},
		{claim: "p99(ttft) < 2s", n: 300, bad: 4, spoil: reset, want: results.Refuted, observed: "inf", bound: "< 2s", why: "4 of 300 failed"},
		{claim: "p99(ttft) < 2s", n: 300, bad: 4, spoil: late(3), want: results.Refuted, observed: "3.00 s", bound: "< 2s"},
		{claim: "p99(ttft) < 2s", n: 299, want: results.Undecided, observed: "100 ms", bound: "< 2s", why: "299 samples in fault are too few, it takes 300"},
		{claim: "p99(ttft) < 2s", n: 100, bad: 2, spoil: late(3), want: results.Undecided, observed: "3.00 s", bound: "< 2s"},
		{claim: "p99(ttft) < 2s", n: 100, bad: 6, spoil: late(3), want: results.Refuted, observed: "3.00 s", bound: "< 2s", why: "100 samples already refute it"},
		{claim: "p99(ttft) > 2s", n: 100, want: results.Undecided, observed: "100 ms", bound: "> 2s", why: "it takes 300"},
		{claim: "p99(ttft) > 2s", n: 300, bad: 4, spoil: reset, want: results.Held, observed: "inf", bound: "> 2s"},
		{claim: "p99.9(ttft) < 2s", n: 3000, bad: 3, spoil: late(3), want: results.Held, observed: "100 ms", bound: "< 2s"},
		{claim: "p50(e2e) < 1s", n: 20, want: results.Held, observed: "280 ms", bound: "< 1s"},
		{claim: "p99(itl) < 30ms", n: 40, want: results.Held, observed: "20.0 ms", bound: "< 30ms"},
		{claim: "p90(tpot) < 30ms", n: 40, want: results.Held, observed: "20.0 ms", bound: "< 30ms"},
		{claim: "p90(ttft_sent) < 1s", n: 40, want: results.Held, observed: "100 ms", bound: "< 1s"},
		{claim: "p90(lag) < 10ms", n: 40, want: results.Held, observed: "0 s", bound: "< 10ms"},
		{claim: "mean(ttft) < 1s", n: 30, want: results.Held, observed: "100 ms", bound: "< 1s"},
		{claim: "mean(ttft) < 1s", n: 29, want: results.Undecided, observed: "100 ms", bound: "< 1s", why: "it takes 30"},
		{claim: "mean(ttft) < 1s", n: 29, bad: 1, spoil: reset, want: results.Refuted, observed: "inf", bound: "< 1s", why: "1 of 29 failed without a first token and count as infinite"},
		// a leak is refuted by one, and none is told by many
		{claim: "leaks == 0", n: 381, want: results.Held, observed: "0", bound: "== 0"},
		{claim: "leaks == 0", n: 380, want: results.Undecided, observed: "0", bound: "== 0", why: "it takes 381"},
		{claim: "leaks == 0", n: 5, bad: 1, spoil: leaking, want: results.Refuted, observed: "1", bound: "== 0", why: "5 samples already refute it"},
		{claim: "leaks <= 1", n: 5, bad: 1, spoil: leaking, want: results.Undecided, observed: "1", bound: "<= 1", why: "it takes 381"},
		{claim: "leaks < 1", n: 5, bad: 1, spoil: leaking, want: results.Refuted, observed: "1", bound: "< 1"},
		{claim: "leaks == 2", n: 5, bad: 1, spoil: leaking, want: results.Undecided, observed: "1", bound: "== 2", why: "it takes 381"},
		{claim: "leaks <= 1", n: 400, bad: 2, spoil: leaking, want: results.Refuted, observed: "2", bound: "<= 1"},
		{claim: "leaks == 0", n: 0, want: results.Undecided, bound: "== 0", why: "no request of the fault phase tells"},
		{claim: "success >= 99%", n: 0, want: results.Undecided, bound: ">= 99 %", why: "no request of the fault phase tells"},
		{claim: "amplification <= 1.5", n: 30, bad: 15, spoil: retriedOnce, want: results.Held, observed: "1.5", bound: "<= 1.5", why: "45 attempts for 30 requests"},
		{claim: "amplification <= 1.5", n: 29, bad: 1, spoil: retriedOnce, want: results.Undecided, observed: "1.03", bound: "<= 1.5", why: "it takes 30"},
		{claim: "amplification < 1.5", n: 30, bad: 15, spoil: retriedOnce, want: results.Refuted, observed: "1.5", bound: "< 1.5"},
		{claim: "stalled(1s) <= 1%", n: 400, bad: 4, spoil: stalling(1.5), want: results.Held, observed: "1.0 %", bound: "<= 1 %"},
		{claim: "stalled(1s) <= 1%", n: 400, bad: 5, spoil: stalling(1.5), want: results.Refuted, observed: "1.2 %", bound: "<= 1 %"},
		{claim: "tokens_per_second >= 300/s", n: 400, want: results.Held, observed: "364/s", bound: ">= 300/s"},
		{claim: "tokens_per_second >= 400/s", n: 400, want: results.Refuted, observed: "364/s", bound: ">= 400/s"},
		{claim: "goodput_tokens >= 300/s", n: 400, bad: 100, spoil: truncated, want: results.Refuted, observed: "273/s", bound: ">= 300/s"},
		{claim: "goodput >= 30/s", n: 400, bad: 100, spoil: late(3), want: results.Refuted, observed: "27.3/s", bound: ">= 30/s"},
		// of baseline: it has as many requests, all good, in 7 s where the fault window has 11
		{claim: "success >= 99% of baseline", n: 400, bad: 5, spoil: reset, want: results.Refuted, observed: "98.8 %", bound: ">= 99.0 % (99% of baseline)"},
		{claim: "p99(ttft) < 150% of baseline", n: 400, want: results.Held, observed: "100 ms", bound: "< 150 ms (150% of baseline)"},
		{claim: "p99(ttft) < 150% of baseline", n: 400, bad: 10, spoil: late(0.3), want: results.Refuted, observed: "300 ms", bound: "< 150 ms (150% of baseline)"},
		{claim: "p99(ttft) < 150% of baseline", n: 200, want: results.Undecided, observed: "100 ms", bound: "< 150 % of baseline", why: "200 samples in baseline are too few, it takes 300"},
		{claim: "tokens_per_second >= 60% of baseline", n: 400, want: results.Held, observed: "364/s", bound: ">= 343/s (60% of baseline)"},
		{claim: "tokens_per_second >= 80% of baseline", n: 400, want: results.Refuted, observed: "364/s", bound: ">= 457/s (80% of baseline)"},
		{claim: "error_rate <= 200% of baseline", n: 400, want: results.Undecided, observed: "0 %", bound: "<= 200 % of baseline", why: "baseline has nothing to compare with: it is 0 there"},
	} {
		claim := tc.claim + " during fault"
		t.Run(fmt.Sprintf("%s with %d of %d bad", claim, tc.bad, tc.n), func(t *testing.T) {
			s := newScript("slo: {ttft: 2s}\nhypotheses: ['" + claim + "']\n")
			s.stretch(4, tc.n, 0, nil)
			s.stretch(11, tc.n, tc.bad, tc.spoil)
			s.stretch(22, 100, 0, nil)
			f := finding(t, s.judge(t), claim)
			if f.Verdict != tc.want || f.Observed != tc.observed || f.Bound != tc.bound || !strings.Contains(f.Why, tc.why) {
				t.Errorf("finding = %s, observed %q, bound %q, why %q\nwant %s, %q, %q, %q", f.Verdict, f.Observed, f.Bound, f.Why, tc.want, tc.observed, tc.bound, tc.why)
			}
		})
	}
}

func leaking(due float64) *results.Sample {
	x := served(due)
	x.Outcome = results.WrongUser
	return x
}

func retriedOnce(due float64) *results.Sample {
	x := served(due)
	x.Attempts = make([]results.Attempt, 1)
	return x
}

func truncated(due float64) *results.Sample {
	x := served(due)
	x.Outcome = results.Truncated
	return x
}

// Nothing is 80 % of nothing.
func TestClaimsOfBaselineNeedABaseline(t *testing.T) {
	s := newScript("hypotheses: [tokens_per_second >= 80% of baseline during fault]\n")
	s.stretch(11, 400, 0, nil)
	f := finding(t, s.judge(t), "tokens_per_second >= 80% of baseline during fault")
	if want := "baseline has nothing to compare with: no request of it tells"; f.Verdict != results.Undecided || f.Why != want {
		t.Errorf("finding = %s, %q; want undecided, %q", f.Verdict, f.Why, want)
	}
}

// One tier's outage is not the other's.
func TestClaimsSeeOnlyTheirLabels(t *testing.T) {
	s := newScript("hypotheses: ['success{tier=\"paid\"} >= 99% during fault', 'success{tier=\"free\"} >= 99% during fault']\n")
	s.steady(10)
	s.stretch(11, 500, 0, nil)
	for i, x := range s.samples {
		x.Labels = results.Labels{"tier": "paid"}
		if i%10 == 0 {
			*x = *failed(x.Due.Seconds(), x.Done.Seconds(), results.Reset)
			x.Labels = results.Labels{"tier": "free"}
		}
	}
	r := s.judge(t)
	if f := finding(t, r, `success{tier="paid"} >= 99% during fault`); f.Verdict != results.Held {
		t.Errorf("paid = %s (%s); want held", f.Verdict, f.Why)
	}
	if f := finding(t, r, `success{tier="free"} >= 99% during fault`); f.Verdict != results.Refuted {
		t.Errorf("free = %s (%s); want refuted", f.Verdict, f.Why)
	}
}

// worst(…) holds for each value of the label, or not at all.
func TestWorstIsThatOfEachValue(t *testing.T) {
	labelled := func(replica string, sample func(float64) *results.Sample) func(float64) *results.Sample {
		return func(due float64) *results.Sample {
			x := sample(due)
			if replica != "" {
				x.Labels = results.Labels{"replica": replica}
			}
			return x
		}
	}
	for _, tc := range []struct {
		name     string
		claim    string
		fill     func(s *script)
		want     results.Verdict
		observed string
		why      string
	}{
		{
			name: "all well", claim: "worst(replica, success) >= 99% during fault",
			fill: func(s *script) {
				s.load(11, 15, 100, labelled("a", served))
				s.load(11, 15, 200, labelled("b", served))
			},
			want: results.Held, observed: "a: 100 %",
		},
		{
			name: "one is badly off, which the mean hides", claim: "worst(replica, success) >= 99% during fault",
			fill: func(s *script) {
				s.load(11, 19, 1000, labelled("a", served))
				s.load(11, 15, 100, labelled("b", served))
				s.load(11, 12, 10, labelled("b", reset))
			},
			want: results.Refuted, observed: "b: 97.6 %", why: "10 of 410 failed: 10 reset",
		},
		{
			name: "one has too few", claim: "worst(replica, success) >= 99% during fault",
			fill: func(s *script) {
				s.load(11, 15, 100, labelled("a", served))
				s.load(11, 12, 10, labelled("b", served))
			},
			want: results.Undecided, observed: "b: 100 %", why: "10 samples in fault are too few",
		},
		{
			name: "the worst is the slowest", claim: "worst(replica, p90(ttft)) < 1s during fault",
			fill: func(s *script) {
				s.load(11, 15, 100, labelled("a", late(0.5)))
				s.load(11, 15, 100, labelled("b", late(0.2)))
			},
			want: results.Held, observed: "a: 500 ms",
		},
		{
			name: "failures that name nobody could be anyone's", claim: "worst(replica, success) >= 90% during fault",
			fill: func(s *script) {
				s.load(11, 19, 100, labelled("a", served))
				s.load(11, 15, 100, labelled("b", served))
				s.load(11, 12, 60, labelled("", reset))
			},
			want: results.Undecided, observed: "b: 100 %", why: "60 failed requests name no replica: if they are of this one, it does not hold",
		},
		{
			name: "nor are they nobody's for a claim on one value", claim: `success{replica="east/0"} >= 90% during fault`,
			fill: func(s *script) {
				s.load(11, 15, 100, labelled("east/0", served))
				s.load(11, 12, 60, labelled("", reset))
				s.load(11, 12, 60, labelled("east/1", reset)) // these are another's
			},
			want: results.Undecided, observed: "100 %", why: "60 failed requests lack a label of",
		},
		{
			name: "few such failures change nothing", claim: "worst(replica, success) >= 90% during fault",
			fill: func(s *script) {
				s.load(11, 19, 100, labelled("a", served))
				s.load(11, 15, 100, labelled("b", served))
				s.load(11, 12, 10, labelled("", reset))
			},
			want: results.Held, observed: "a: 100 %",
		},
		{
			name: "of baseline, each against its own", claim: "worst(replica, p90(ttft)) < 150% of baseline during fault",
			fill: func(s *script) {
				s.load(4, 8, 100, labelled("a", late(1)))
				s.load(4, 8, 100, labelled("b", late(0.1)))
				s.load(11, 15, 100, labelled("a", late(1)))
				s.load(11, 15, 100, labelled("b", late(0.3)))
			},
			want: results.Refuted, observed: "b: 300 ms",
		},
		{
			name: "nobody has the label", claim: "worst(replica, success) >= 99% during fault",
			fill: func(s *script) { s.load(11, 15, 100, served) },
			want: results.Undecided, why: "no request of the fault phase has a label replica",
		},
		{
			name: "more than can be told apart", claim: "worst(replica, success) >= 1% during fault",
			fill: func(s *script) {
				for i := range 60 {
					s.load(11, 12, 10, labelled(fmt.Sprintf("t%02d", i), served))
				}
			},
			want: results.Undecided, observed: "t00: 100 %", why: "replica has more than 50 values",
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
