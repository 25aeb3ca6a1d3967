package experiments_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

// silent answers without its own nonce.
func silent(due float64) *results.Sample {
	x := served(due)
	x.Echoed = false
	return x
}

// leaves is a request whose user goes after so many seconds and tokens.
func leaves(how results.Left, after float64, tokens int) func(float64) *results.Sample {
	return func(due float64) *results.Sample {
		x := served(due)
		x.Outcome, x.Left, x.Done, x.Chunks, x.Usage = results.Cancelled, how, sec(due+after), x.Chunks[:tokens], results.Usage{}
		return x
	}
}

// retriedAfter is served by its second attempt: the first brought so many tokens.
func retriedAfter(tokens int) func(float64) *results.Sample {
	return func(due float64) *results.Sample {
		x := served(due)
		x.Attempts = []results.Attempt{{Outcome: results.Reset, Prompt: 7, Output: tokens}}
		return x
	}
}

// whole answers in one piece.
func whole(due float64) *results.Sample {
	x := served(due)
	x.Unstreamed, x.Chunks = true, nil
	return x
}

// Claims about what clients do, and about the times of users who leave. Of n requests in the fault phase the last bad
// ones, and in baseline none, are spoilt.
func TestClaimsAboutClients(t *testing.T) {
	const noEcho = "no answer carried its own nonce: a swap would not have been seen (write canary: true)"
	gaveUp, ended := leaves(results.LeftTime, 3, 0), leaves("", 3, 0)
	for _, tc := range []struct {
		claim    string
		n, bad   int
		good     func(float64) *results.Sample // of the whole run; nil: served
		spoil    func(float64) *results.Sample
		want     results.Verdict
		observed string
		why      string
		count    int // the finding's n
	}{
		// tokens: each has ten
		{claim: "wasted_tokens < 5%", n: 40, want: results.Held, observed: "0 %", why: "0 of 400 tokens were of", count: 40},
		{claim: "wasted_tokens < 5%", n: 40, bad: 4, spoil: retriedAfter(5), want: results.Held, observed: "4.8 %", why: "20 of 420 tokens were of attempts that did not serve or of requests that failed", count: 40},
		{claim: "wasted_tokens < 5%", n: 40, bad: 4, spoil: retriedAfter(6), want: results.Refuted, observed: "5.7 %", why: "24 of 424", count: 40},
		{claim: "wasted_tokens < 5%", n: 40, bad: 3, spoil: truncated, want: results.Refuted, observed: "7.5 %", why: "30 of 400", count: 40},
		{claim: "wasted_tokens < 5%", n: 40, bad: 20, spoil: leaves(results.LeftTokens, 0.2, 5), want: results.Held, observed: "0 %", why: "0 of 300", count: 40},
		{claim: "wasted_tokens < 5%", n: 29, want: results.Undecided, observed: "0 %", why: "29 samples in fault are too few, it takes 30", count: 29},
		{claim: "wasted_tokens < 5%", n: 40, bad: 20, spoil: reset, want: results.Undecided, observed: "0 %", why: "20 samples in fault are too few", count: 20},
		{claim: "wasted_tokens < 5%", n: 40, bad: 40, spoil: reset, want: results.Undecided, why: "no request of the fault phase tells"},
		{claim: "wasted_tokens == 0%", n: 5, bad: 1, spoil: truncated, want: results.Refuted, observed: "20.0 %", why: "5 samples already refute it", count: 5},
		{claim: "wasted_tokens == 0%", n: 380, want: results.Undecided, observed: "0 %", why: "it takes 381", count: 380},
		{claim: "wasted_tokens <= 200% of baseline", n: 40, good: retriedAfter(1), bad: 10, spoil: retriedAfter(3), want: results.Held, observed: "13.0 %", count: 40},
		{claim: "wasted_tokens <= 110% of baseline", n: 40, good: retriedAfter(1), bad: 10, spoil: retriedAfter(3), want: results.Refuted, observed: "13.0 %", count: 40},
		{claim: "worst(tier, wasted_tokens) < 5%", n: 40, want: results.Undecided, why: "has a label tier"},
		{claim: "amplification < 1.5", n: 30, bad: 20, spoil: func(due float64) *results.Sample {
			x := gaveUp(due)
			x.Attempts = make([]results.Attempt, 1)
			return x
		}, want: results.Refuted, observed: "1.67", why: "50 attempts for 30 requests", count: 30},
		{claim: "amplification < 1.5", n: 60, bad: 30, spoil: func(due float64) *results.Sample {
			x := ended(due)
			x.Attempts = make([]results.Attempt, 5)
			return x
		}, want: results.Held, observed: "1", why: "30 attempts for 30 requests", count: 30},
		// leaks, where none would have been seen
		{claim: "leaks == 0", n: 400, good: silent, want: results.Undecided, observed: "0", why: noEcho, count: 400},
		{claim: "leaks == 0", n: 400, good: silent, bad: 1, spoil: served, want: results.Undecided, observed: "0", why: "only 1 of 400 answers carried their own nonce, it takes 381", count: 400},
		{claim: "leaks == 0", n: 400, bad: 20, spoil: silent, want: results.Undecided, observed: "0", why: "only 380 of 400 answers", count: 400},
		{claim: "leaks == 0", n: 400, bad: 19, spoil: silent, want: results.Held, observed: "0", why: "381 of 400 answers carried their own nonce", count: 400},
		{claim: "leaks == 0", n: 400, good: silent, bad: 1, spoil: func(due float64) *results.Sample {
			x := leaking(due)
			x.Echoed = false
			return x
		}, want: results.Refuted, observed: "1", count: 400},
		{claim: "leaks <= 1", n: 400, good: silent, bad: 1, spoil: func(due float64) *results.Sample {
			x := leaking(due)
			x.Echoed = false
			return x
		}, want: results.Undecided, observed: "1", why: noEcho, count: 400},
		{claim: "leaks != 0", n: 400, good: silent, want: results.Undecided, observed: "0", why: noEcho, count: 400},
		{claim: "leaks == 0", n: 400, good: silent, bad: 1, spoil: func(due float64) *results.Sample {
			x := leaves(results.LeftTokens, 1, 5)(due)
			x.Echoed = true // what it had seen decides nothing: it does not count
			return x
		}, want: results.Undecided, observed: "0", why: noEcho, count: 399},
		// users who leave
		{claim: "p99(ttft) < 2s", n: 300, bad: 4, spoil: gaveUp, want: results.Refuted, observed: "inf", why: "4 of 300 had no first token and count as infinite: 0 failed, 4 users gave up waiting", count: 300},
		{claim: "p99(ttft) < 2s", n: 300, bad: 3, spoil: gaveUp, want: results.Held, observed: "100 ms", why: "3 users gave up waiting", count: 300},
		{claim: "p99(ttft_sent) < 2s", n: 300, bad: 4, spoil: gaveUp, want: results.Refuted, observed: "inf", why: "4 users gave up", count: 300},
		{claim: "p99(ttft) < 2s", n: 304, bad: 4, spoil: ended, want: results.Held, observed: "100 ms", count: 300},
		{claim: "p99(ttft) < 2s", n: 300, bad: 4, spoil: leaves(results.LeftStart, 0, 0), want: results.Undecided, observed: "100 ms", why: "296 samples in fault are too few", count: 296},
		{claim: "p99(ttft) < 2s", n: 300, bad: 300, spoil: leaves(results.LeftTokens, 0.3, 5), want: results.Held, observed: "100 ms", count: 300},
		{claim: "p99(ttft) < 2s", n: 310, bad: 10, spoil: whole, want: results.Held, observed: "100 ms", count: 300},
		{claim: "p99(stall) < 1s", n: 300, bad: 4, spoil: leaves(results.LeftTime, 3, 5), want: results.Refuted, observed: "2.82 s", count: 300},
		{claim: "p99(e2e) < 1s", n: 310, bad: 10, spoil: leaves(results.LeftTime, 3, 5), want: results.Held, observed: "280 ms", count: 300},
		{claim: "p99(e2e) < 1s", n: 300, bad: 10, spoil: whole, want: results.Held, observed: "280 ms", count: 300},
		{claim: "success >= 99%", n: 500, bad: 119, spoil: gaveUp, want: results.Held, observed: "100 %", count: 381},
		{claim: "success >= 99%", n: 500, bad: 120, spoil: gaveUp, want: results.Undecided, observed: "100 %", why: "380 samples in fault are too few", count: 380},
		{claim: "success >= 99%", n: 50, bad: 50, spoil: leaves(results.LeftTokens, 0.3, 5), want: results.Undecided, why: "no request of the fault phase tells"},
		// all of them, before the first token
		{claim: "p99(ttft) < 2s", n: 300, bad: 300, spoil: leaves(results.LeftStart, 0, 0), want: results.Undecided, why: "no request of the fault phase tells"},
		{claim: "p50(stall) < 2s", n: 300, bad: 300, spoil: gaveUp, want: results.Undecided, why: "no request of the fault phase tells"},
		{claim: "success >= 90%", n: 300, bad: 300, spoil: gaveUp, want: results.Undecided, why: "no request of the fault phase tells"},
		{claim: "error_rate <= 10%", n: 300, bad: 300, spoil: leaves(results.LeftStart, 0, 0), want: results.Undecided, why: "no request of the fault phase tells"},
		{claim: "wasted_tokens < 5%", n: 300, bad: 300, spoil: leaves(results.LeftStart, 0, 0), want: results.Undecided, why: "no request of the fault phase tells"},
		{claim: "leaks == 0", n: 400, bad: 400, spoil: gaveUp, want: results.Undecided, why: "no request of the fault phase tells"},
		{claim: "goodput <= 100/s", n: 300, bad: 300, spoil: gaveUp, want: results.Undecided, why: "no request of the fault phase tells"},
		// what arrived: 110 s of baseline's 10 tokens are 10 in the 11 s of the fault
		{claim: "tokens_per_second >= 100/s", n: 110, want: results.Held, observed: "100/s", count: 110},
		{claim: "tokens_per_second >= 100/s", n: 110, bad: 50, spoil: retriedAfter(9), want: results.Held, observed: "100/s", count: 110},
		{claim: "tokens_per_second >= 100/s", n: 220, bad: 220, spoil: leaves(results.LeftTokens, 0.3, 5), want: results.Held, observed: "100/s", count: 220},
		{claim: "tokens_per_second >= 100/s", n: 110, bad: 50, spoil: whole, want: results.Held, observed: "100/s", count: 110},
		{claim: "goodput_tokens >= 100/s", n: 160, bad: 50, spoil: leaves(results.LeftTokens, 0.3, 5), want: results.Held, observed: "100/s", count: 110},
		{claim: "goodput_tokens >= 100/s", n: 110, bad: 50, spoil: whole, want: results.Held, observed: "100/s", count: 110},
		{claim: "goodput >= 10/s", n: 160, bad: 50, spoil: gaveUp, want: results.Held, observed: "10/s", count: 110},
	} {
		claim := tc.claim + " during fault"
		t.Run(fmt.Sprintf("%s with %d of %d bad", claim, tc.bad, tc.n), func(t *testing.T) {
			good := tc.good
			if good == nil {
				good = served
			}
			s := newScript("slo: {ttft: 2s}\nhypotheses: ['" + claim + "']\n")
			s.load(4, 9, float64(tc.n)/5, good)
			i := 0
			s.load(11, 16, float64(tc.n)/5, func(due float64) *results.Sample {
				if i++; i <= tc.bad {
					return tc.spoil(due)
				}
				return good(due)
			})
			f := finding(t, s.judge(t), claim)
			if f.Verdict != tc.want || f.Observed != tc.observed || !strings.Contains(f.Why, tc.why) || f.N != tc.count {
				t.Errorf("finding = %s, observed %q, why %q, n %d\nwant %s, %q, %q, %d", f.Verdict, f.Observed, f.Why, f.N, tc.want, tc.observed, tc.why, tc.count)
			}
		})
	}
}

// A user who gave up unanswered was anyone's: a region that is gone names itself on no response.
func TestUsersWhoGaveUpMayBeOfAnyRegion(t *testing.T) {
	named := func(due float64) *results.Sample {
		x := served(due)
		x.Labels = results.Labels{"region": "east"}
		return x
	}
	for claim, why := range map[string]string{
		`p99(ttft{region="east"}) < 2s during fault`:    "40 requests that failed or were given up lack a label of",
		`worst(region, p99(ttft)) < 2s during fault`:    "40 requests that failed or were given up name no region",
		`success{region="east"} >= 99% during fault`:    "",
		`worst(region, success) >= 99% during fault`:    "",
		`p99(e2e{region="east"}) < 2s during fault`:     "",
		`leaks{region="east"} == 0 during fault`:        "",
		`worst(region, p50(ttft)) < 150ms during fault`: "",
	} {
		s := newScript("hypotheses: ['" + claim + "']\n")
		s.load(4, 9, 100, named)
		s.load(11, 16, 100, named)
		s.load(11, 13, 20, leaves(results.LeftTime, 3, 0))
		want := results.Held
		if why != "" {
			want = results.Undecided
		}
		if f := finding(t, s.judge(t), claim); f.Verdict != want || !strings.Contains(f.Why, why) {
			t.Errorf("%s = %s, %q; want %s, %q", claim, f.Verdict, f.Why, want, why)
		}
	}
}

// Recovery is not over while users still give up, and tokens of whole answers are tokens.
func TestRecoveryCountsUsersWhoLeave(t *testing.T) {
	claims := []string{"recovery(p90(ttft) < 2s) <= 5s", "recovery(tokens_per_second >= 90/s) <= 5s", "recovery(wasted_tokens < 5%) <= 5s"}
	for _, tc := range []struct {
		name  string
		spoil func(float64) *results.Sample
		want  [3]string // observed
	}{
		{"served", served, [3]string{"0 s", "0 s", "0 s"}},
		{"gave up", leaves(results.LeftTime, 3, 0), [3]string{"4.00 s", "4.00 s", "0 s"}},
		{"failed", truncated, [3]string{"0 s", "0 s", "4.00 s"}},
		{"whole", whole, [3]string{"0 s", "0 s", "0 s"}},
	} {
		s := newScript("hypotheses: ['" + strings.Join(claims, "', '") + "']\n")
		s.load(4, 9, 10, served)
		s.load(11, 18, 10, served)
		s.load(reverted+0.01, reverted+3.95, 10, tc.spoil)
		s.load(reverted+4, loadEnd-0.01, 10, served)
		r := s.judge(t)
		for i, claim := range claims {
			if f := finding(t, r, claim); f.Observed != tc.want[i] {
				t.Errorf("%s: %s = %s after %s (%s, n %d); want %s", tc.name, claim, f.Verdict, f.Observed, f.Why, f.N, tc.want[i])
			}
		}
	}
}

// A guard sees users give up; and that nobody leaked says nothing where nobody could have.
func TestGuardsSeeWhatClientsDo(t *testing.T) {
	for _, tc := range []struct {
		guard string
		load  func(float64) *results.Sample
		want  results.Verdict
		why   string
	}{
		{"p50(ttft) > 1s for 3s", served, results.Held, "never breached"},
		{"p50(ttft) > 1s for 3s", leaves(results.LeftTime, 2, 0), results.Refuted, "breached"},
		{"p50(ttft) > 1s for 3s", leaves("", 2, 0), results.Undecided, "no request that it watches has ended"},
		{"success < 50% for 3s", leaves(results.LeftTime, 2, 0), results.Undecided, "no request that it watches has ended"},
		{"amplification > 1.5 for 3s", retriedOnce, results.Refuted, "breached"},
		{"wasted_tokens > 10% for 3s", truncated, results.Refuted, "breached"},
		{"wasted_tokens > 10% for 3s", served, results.Held, "never breached"},
		{"leaks > 0 for 1s", served, results.Held, "never breached"},
		{"leaks > 0 for 1s", silent, results.Undecided, "no answer carried its own nonce"},
		{"leaks > 0 for 1s", leaking, results.Refuted, "breached"},
	} {
		s := newScript("guards: ['" + tc.guard + "']\nhypotheses: [success >= 1% during fault]\n")
		s.load(4, 30, 20, tc.load)
		if f := finding(t, s.judge(t), tc.guard); f.Verdict != tc.want || !strings.Contains(f.Why, tc.why) {
			t.Errorf("guard %s = %s, %q; want %s, %q", tc.guard, f.Verdict, f.Why, tc.want, tc.why)
		}
	}
}

// What clients did is in the report of the phase and of each slice.
func TestReportTellsWhatClientsDid(t *testing.T) {
	s := newScript("slo: {ttft: 2s}\n" + anyClaim)
	turn := func(x *results.Sample, n int) *results.Sample {
		x.Turn, x.Labels = n, results.Labels{"tier": "paid"}
		return x
	}
	hedge := func(won bool, other results.Attempt) *results.Sample {
		x := served(12)
		x.Hedged, x.Attempts = won, []results.Attempt{other}
		return x
	}
	wholeLeft := leaves(results.LeftTime, 1, 0)(12)
	wholeLeft.Unstreamed = true
	moved := served(12)
	moved.Labels = results.Labels{"endpoint": "spare"}
	moved.Attempts = []results.Attempt{{Outcome: results.RateLimited, Status: 429, Endpoint: "main"}, {Outcome: results.HTTPStatus, Status: 503, Endpoint: "main"}}
	kept := truncated(13)
	kept.Suppressed = true
	s.add(
		turn(served(12), 1), turn(kept, 2), turn(leaves(results.LeftTokens, 0.3, 4)(14), 3), turn(served(14), 1),
		hedge(true, results.Attempt{Outcome: results.Cancelled, Hedge: true, Prompt: 3, Output: 1}),
		hedge(true, results.Attempt{Outcome: results.Reset}), hedge(false, results.Attempt{Outcome: results.Cancelled, Hedge: true, Output: 2}),
		moved, whole(12), leaves(results.LeftTime, 1, 0)(12), leaves(results.LeftTime, 1, 2)(12), leaves(results.LeftStart, 0, 0)(12), leaves("", 1, 3)(12),
		silent(12), wholeLeft,
	)
	r := s.judge(t)
	got := phaseOf(t, r, results.Fault)
	want := got
	want.Requests, want.Cancelled, want.Complete = 9, 6, 8
	want.Amplification = 19. / 14
	want.Answers, want.Echoed, want.Unstreamed, want.Infinite = 9, 8, 2, 0
	want.Attempts = &results.AttemptStats{
		Requests: 14, Attempts: 19, Hedges: 3, HedgesWon: 2, Failovers: 1, Suppressed: 1,
		Lost: []results.LostStats{
			{Outcome: results.Cancelled, Count: 2},
			{Outcome: results.HTTPStatus, Status: 503, Count: 1},
			{Outcome: results.RateLimited, Count: 1},
			{Outcome: results.Reset, Count: 1},
		},
	}
	want.Wasted = &results.WasteStats{Output: 13, Of: 102, Share: 13. / 102, Prompt: 3}
	want.Conversations = &results.ConversationStats{Begun: 2, Turns: 4, Failed: 1}
	want.Left = []results.LeftStats{
		{Way: results.LeftStart, Count: 1, WithoutToken: 1}, {Way: results.LeftTokens, Count: 1}, {Way: results.LeftTime, Count: 3, WithoutToken: 1},
	}
	want.CountedBy = map[results.UsageSource]int{results.UsageServer: 9}
	want.TokensPerChunk = 1
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("fault (-want +got):\n%s", diff)
	}
	// 80 tokens of the complete streams, 10 of the cut one, 10 in one piece, 4 and 2 of users who left, 3 at the end.
	if tokens := got.TokensPerSecond * got.Duration.Seconds(); math.Abs(tokens-99) > 1e-9 {
		t.Errorf("%v tokens arrived; want 99", tokens)
	}
	if got.TTFT.N != 11 || got.E2E.N != 9 || got.Stall.N != 10 {
		t.Errorf("n of ttft, e2e, stall = %d, %d, %d; want 11, 9, 10", got.TTFT.N, got.E2E.N, got.Stall.N)
	}
	if got.SLO.Met != 8 || got.SLO.Share != 8./9 {
		t.Errorf("the SLO was met by %d, a share of %v; want 8 of 9: users who left are not among them", got.SLO.Met, got.SLO.Share)
	}
	found := false
	for _, it := range r.Slices {
		if it.Phase == results.Fault && it.Label == "tier" && it.Value == "paid" {
			found = true
			if diff := gocmp.Diff(want.Conversations, it.Conversations); diff != "" {
				t.Errorf("the slice's conversations (-want +got):\n%s", diff)
			}
		}
	}
	if !found {
		t.Error("there is no slice of tier=paid")
	}
}

// Before the first request with a label nobody had it: what they did is that of those without.
func TestWhatClientsDidBeforeALabelCameIsOfThoseWithout(t *testing.T) {
	turn := retriedAfter(3)(12)
	turn.Turn, turn.Hedged, turn.Attempts[0].Hedge = 1, true, true
	moved := truncated(12)
	moved.Suppressed = true
	moved.Turn, moved.Labels, moved.Attempts = 2, results.Labels{"endpoint": "spare"}, []results.Attempt{{Outcome: results.Connect, Endpoint: "main"}}
	s := newScript(anyClaim)
	s.add(turn, moved, whole(12), silent(12), leaves(results.LeftStart, 0, 0)(12), leaves(results.LeftTime, 1, 0)(12), leaves(results.LeftTokens, 0.3, 5)(12))
	want := phaseOf(t, s.judge(t), results.Fault)
	last := served(14)
	last.Labels = results.Labels{"tier": "paid"}
	s.add(last)
	for _, it := range s.judge(t).Slices {
		if it.Phase != results.Fault || it.Label != "tier" || it.Value != results.NoValue {
			continue
		}
		got := it.PhaseStats
		got.Outcomes, got.TTFTSent, got.E2ESent = want.Outcomes, want.TTFTSent, want.E2ESent // slices have none of these, or no texts
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("those without a tier (-want +got):\n%s", diff)
		}
		return
	}
	t.Error("there is no slice of those without a tier")
}

// A server's TTFT is of streams, its tokens are of all answers.
func TestServersAreHeldAgainstStreams(t *testing.T) {
	s := newScript(anyClaim)
	s.read(&results.Reading{At: sec(12), Source: "page", Server: "vllm", Values: map[string]float64{results.SignalRunning: 1}})
	pieces := served(13)
	pieces.Unstreamed = true
	s.add(served(13), whole(13), pieces)
	for _, st := range s.judge(t).Server {
		if st.Phase == results.Fault {
			if st.Ours.TTFT.N != 1 || st.Ours.Tokens != 30 {
				t.Errorf("ours beside it = ttft of %d, %v tokens; want 1, 30", st.Ours.TTFT.N, st.Ours.Tokens)
			}
			return
		}
	}
	t.Error("there is no page in the fault phase")
}

// Who lacks a label that we give ourselves has none of it: what happened to them is nobody else's, and can be claimed about.
func TestClientsWithoutALabelAreNotOfThoseWithOne(t *testing.T) {
	tenant := func(of string, x *results.Sample) *results.Sample {
		if x.Labels = (results.Labels{"region": "east"}); of != "" {
			x.Labels["tenant"] = of
		}
		return x
	}
	for _, tc := range []struct {
		claim, clients string
		want           results.Verdict
		why            string
	}{
		{`success{tenant="acme"} >= 99% during fault`, "[{tenant: acme}, {tier: b}]", results.Held, ""},
		{`worst(tenant, success) >= 99% during fault`, "[{tenant: acme}, {tier: b}]", results.Held, ""},
		{`success{tenant=""} >= 99% during fault`, "[{tenant: acme}, {tier: b}]", results.Refuted, "of 500 failed"},
		{`success{tenant="acme",region="east"} >= 99% during fault`, "[{tenant: acme}, {tier: b}]", results.Held, ""},
		{`success{region="east"} >= 40% during fault`, "[{tenant: acme}, {tier: b}]", results.Held, ""},
	} {
		s := newScript("hypotheses: ['" + tc.claim + "']\n")
		s.plan = strings.Replace(s.plan, "[{tier: paid}, {tier: free}]", tc.clients, 1)
		for _, at := range []float64{4, 11} {
			s.load(at, at+5, 100, func(due float64) *results.Sample { return tenant("acme", served(due)) })
		}
		s.load(4, 9, 100, func(due float64) *results.Sample { return tenant("", served(due)) })
		s.load(11, 16, 100, func(due float64) *results.Sample { return tenant("", truncated(due)) })
		if f := finding(t, s.judge(t), tc.claim); f.Verdict != tc.want || !strings.Contains(f.Why, tc.why) {
			t.Errorf("%s = %s, %q; want %s, %q", tc.claim, f.Verdict, f.Why, tc.want, tc.why)
		}
	}
}

// Those without a label can be claimed about where there are some.
func TestLoadKnowsWhoLacksALabel(t *testing.T) {
	const text = `experiment: x
stack: {endpoints: {a: {url: "http://127.0.0.1:1"LABELS}}}
attack: {endpoint: a, profile: {constant: {rate: 100/s}}, clients: [{tenant: acme}, {tier: b}]}
phases: {warmup: 0s, baseline: 7s, fault: 10s, recovery: 10s}
hypotheses: ['success{tenant="acme"} >= 90% during fault', 'success{tenant=""} >= 90% during fault']
`
	for labels, wrong := range map[string]string{
		"":                      "", // the second kind of client has no tenant
		", labels: {tenant: b}": `no sample will have tenant=""`,
		`, labels: {tenant: b}}, b: {url: "http://127.0.0.1:2"`: "", // who is served by b has none
		", labels: {region: east}":                              "",
	} {
		_, err := experiments.Load("x", []byte(strings.Replace(text, "LABELS", labels, 1)), experiments.LoadOptions{})
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("Load with %q = %v; want %q", labels, err, wrong)
		}
	}
}

// leaked is an answer with another user's nonce.
func leaked(due float64) *results.Sample {
	x := served(due)
	x.Outcome, x.Error = results.WrongUser, "it carries the nonce of request 3"
	return x
}

// Another user's answer is told wherever it came, also where nothing else counts.
func TestLeaksAreToldOfEveryPhase(t *testing.T) {
	s := newScript("hypotheses: [leaks == 0 during fault]\n")
	s.load(0.1, 2, 1, leaked)
	s.load(4, 9, 100, served)
	s.load(11, 16, 100, served)
	s.load(23, 26, 1, leaked)
	r := s.judge(t)
	var out strings.Builder
	if err := r.WriteTable(&out, results.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	if want := "5 ANSWERS WERE ANOTHER USER'S: 2 in warmup, 3 in recovery\n"; !strings.Contains(out.String(), want) || r.EarlyLeaks != 2 || strings.Contains(out.String(), "leaks 0") {
		t.Errorf("the report lacks %q, or says 0; %d early leaks:\n%s", want, r.EarlyLeaks, out.String())
	}
	if f := finding(t, r, "leaks == 0 during fault"); f.Verdict != results.Held {
		t.Errorf("finding = %+v; want the fault phase's own, held", f)
	}
}

// A leak in the baseline says how many there were.
func TestTheGateTellsOfLeaks(t *testing.T) {
	s := newScript("hypotheses: [leaks == 0 during fault]\n")
	s.load(4, 9, 100, served)
	s.load(5, 7, 2, leaked)
	s.drop(func(e results.Event) bool { return e.At > sec(9) })
	s.cutAt(9.99)
	judge, _ := s.live(t)
	got := judge.Gate()
	if len(got) != 1 || got[0].Verdict != results.Refuted || !strings.HasSuffix(got[0].Why, "4 of 504 answers carried another user's nonce") {
		t.Errorf("Gate() = %+v; want leaks refuted, and how many there were", got)
	}
}

// An endpoint that is asked only where another failed has no samples in a healthy baseline: that keeps nothing from being
// injected. What it has there must hold.
func TestTheGateWantsNoFailovers(t *testing.T) {
	at := func(endpoint string, of func(float64) *results.Sample) func(float64) *results.Sample {
		return func(due float64) *results.Sample {
			x := of(due)
			x.Labels = results.Labels{"endpoint": endpoint}
			return x
		}
	}
	const stack = `stack: {endpoints: {a: {url: "http://127.0.0.1:1"}, b: {url: "http://127.0.0.1:2"}}}`
	const load = `attack: {endpoint: a, profile: {constant: {rate: 100/s}}, clients: [{failover: {to: [b]}}]}`
	for _, tc := range []struct {
		name string
		fill func(s *script)
		want []string
	}{
		{"none", func(*script) {}, nil},
		{"a few", func(s *script) { s.load(4, 6, 2, at("b", served)) }, nil},
		{"that fail", func(s *script) { s.load(4, 9, 20, at("b", truncated)) }, []string{`success{endpoint="b"} >= 90% during fault`, "worst(endpoint, success) >= 90% during fault"}},
	} {
		s := newScript("hypotheses: ['success{endpoint=\"b\"} >= 90% during fault', 'worst(endpoint, success) >= 90% during fault', 'success{endpoint=\"a\"} >= 90% during fault']\n")
		s.plan = strings.NewReplacer("stack: {reference: {}}", stack, "attack: {profile: {constant: {rate: 100/s}}, clients: [{tier: paid}, {tier: free}]}", load,
			"faults: [region.kill: {id: f, region: east}]\n", "").Replace(s.plan)
		s.load(4, 9, 100, at("a", served))
		tc.fill(s)
		s.drop(func(e results.Event) bool { return e.At > sec(9) || e.Fault != "" })
		s.cutAt(9.99)
		judge, _ := s.live(t)
		var got []string
		for _, f := range judge.Gate() {
			got = append(got, f.Claim)
		}
		if diff := gocmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: the gate is about others (-want +got):\n%s", tc.name, diff)
		}
	}
}

// Which doubts are left about who lacks a label, and what the report says of them.
func TestOnlyAnswersThatTellALabelLeaveDoubts(t *testing.T) {
	const claim = `success{tenant="acme"} >= 99% during fault`
	for labels, want := range map[string]struct {
		verdict results.Verdict
		row     string
	}{
		"{}":                         {results.Held, "tenant: none"},
		`{tenant: "header:X-Whose"}`: {results.Undecided, "tenant not known"},
	} {
		s := newScript("hypotheses: ['" + claim + "']\n")
		s.plan = strings.NewReplacer("stack: {reference: {}}", `stack: {endpoints: {a: {url: "http://127.0.0.1:1", labels: `+labels+`}}}`,
			"faults: [region.kill: {id: f, region: east}]\n", "", "[{tier: paid}, {tier: free}]", "[{tenant: acme}, {tier: b}]").Replace(s.plan)
		s.drop(isFault)
		for _, at := range []float64{4, 11} {
			for _, who := range []results.Labels{{"tenant": "acme"}, {"tenant": "b"}} {
				s.load(at, at+5, 100, func(due float64) *results.Sample {
					x := served(due)
					x.Labels = who
					return x
				})
			}
		}
		s.load(11, 16, 100, func(due float64) *results.Sample {
			x := truncated(due)
			x.Labels = nil
			return x
		})
		r := s.judge(t)
		if f := finding(t, r, claim); f.Verdict != want.verdict {
			t.Errorf("labels %s: %+v; want %s", labels, f, want.verdict)
		}
		if text := screenOf(t, r); !strings.Contains(text, want.row) {
			t.Errorf("labels %s: the report lacks %q:\n%s", labels, want.row, text)
		}
	}
}

func screenOf(t *testing.T, r *results.Report) string {
	t.Helper()
	var out strings.Builder
	if err := r.WriteTable(&out, results.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Why the baseline was not steady is said once of the whole run; of each claim in a word.
func TestWhyNothingWasInjectedIsSaidOnce(t *testing.T) {
	const detail = "undecided in baseline: 7 samples"
	for faults, want := range map[string]struct{ why, each string }{
		"faults: [region.kill: {id: f, region: east}]\n": {"nothing was injected, the baseline was not steady: ", "nothing was injected"},
		"": {"the baseline was not steady: ", "the baseline was not steady"},
	} {
		s := newScript("hypotheses: [success >= 99% during fault, success >= 98% during fault, p99(ttft) < 2s during recovery]\n")
		s.plan = strings.Replace(s.plan, "faults: [region.kill: {id: f, region: east}]\n", faults, 1)
		s.steady(100)
		s.drop(func(e results.Event) bool { return e.At > sec(9) })
		s.say(9.1, results.Event{Kind: results.EventGate, Claim: "success >= 99% during fault", Detail: detail})
		s.say(9.2, results.Event{Kind: results.EventLoadEnd})
		s.say(9.3, results.Event{Kind: results.EventEnd})
		r := s.judge(t)
		if r.Exit != results.ExitNotSteady || r.Why != want.why+"success >= 99% during fault: "+detail {
			t.Errorf("exit %d, %q; want 3, %q and what it was", r.Exit, r.Why, want.why)
		}
		for _, f := range r.Findings {
			if f.Verdict != results.Undecided || f.Why != want.each {
				t.Errorf("%s = %s, %q; want undecided, %q", f.Claim, f.Verdict, f.Why, want.each)
			}
		}
		hypotheses, _, _ := strings.Cut(screenOf(t, r), "EVENTS")
		if n := strings.Count(strings.Join(strings.Fields(hypotheses), " "), detail); n != 1 {
			t.Errorf("the reason is there %d times; want 1:\n%s", n, hypotheses)
		}
	}
}
