package experiments_test

import (
	"math"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
)

const anyClaim = "hypotheses: [success >= 50% during fault]\n"

// A request that is due and done at given moments counts in one phase, or nowhere.
func TestJudgeCountsARequestInItsPhase(t *testing.T) {
	for _, tc := range []struct {
		name      string
		due, done float64
		want      results.Phase
	}{
		{"all within the warm-up", 1, 2, ""},
		{"due in the warm-up, done in baseline", warm - 0.001, warm + 2, ""},
		{"due in the warm-up, done under the fault", warm - 0.001, inject + 2, ""},
		{"due as baseline begins", warm, warm + 1, results.Baseline},
		{"done just before Inject is called", inject - 2, inject - 0.001, results.Baseline},
		{"done as Inject is called", inject - 2, inject, results.Fault},
		{"due in baseline, done after Inject is called", inject - 2, inject + 0.5, results.Fault},
		{"due in baseline, done after Revert returned", inject - 2, reverted + 3, results.Fault},
		{"due while Inject works", inject + 0.5, forced + 1, results.Fault},
		{"due under the fault, done after Revert returned", revert - 1, reverted + 5, results.Fault},
		{"due while Revert works", revert + 0.5, reverted + 5, results.Fault},
		{"due as Revert returns", reverted, reverted + 1, results.Fault},
		{"due just after Revert returned", reverted + 0.001, reverted + 1, results.Recovery},
		{"due in recovery, done after the load ended", loadEnd - 1, loadEnd + 5, results.Recovery},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(anyClaim)
			s.add(failed(tc.due, tc.done, results.Reset))
			got := results.Phase("")
			for _, p := range s.judge(t).Phases {
				if p.Requests > 0 {
					got += p.Phase
				}
			}
			if got != tc.want {
				t.Errorf("a request due at %v and done at %v counts in %q; want %q", tc.due, tc.done, got, tc.want)
			}
		})
	}
}

// One window spans all faults, also where none is in force in between.
func TestJudgeWithTwoFaultsTakesTheFirstInjectAndTheLastRevert(t *testing.T) {
	s := newScript(anyClaim)
	s.plan = onePlan[:len(onePlan)-2] + ", region.kill: {id: g, region: west, at: 5s}]\n" + anyClaim
	s.drop(func(e results.Event) bool { return e.Fault == "f" })
	s.fault("f", 10, 11, 12, 13) // over before the second begins: the window stays open
	s.fault("g", 15, 16, 20, 20.5)
	s.add(failed(13.5, 14.5, results.Reset), failed(20.6, 20.9, results.Reset), failed(21.5, 22, results.Reset))
	r := s.judge(t)
	if got := phaseOf(t, r, results.Fault).Requests; got != 1 {
		t.Errorf("fault has %d requests; want 1: the one between the two faults", got)
	}
	if got := phaseOf(t, r, results.Recovery).Requests; got != 2 {
		t.Errorf("recovery has %d requests; want the 2 after the last revert", got)
	}
	if got, want := phaseOf(t, r, results.Fault).Duration, sec(10.5); got != want {
		t.Errorf("the fault window is %s; want %s", got, want)
	}
}

// A negative control is judged in its fault phase.
func TestJudgeWithoutFaultsTakesThePhaseItself(t *testing.T) {
	s := newScript(anyClaim)
	s.plan = onePlan[:len(onePlan)-len("faults: [region.kill: {id: f, region: east}]\n")] + anyClaim
	s.drop(func(e results.Event) bool { return e.Fault != "" })
	s.steady(100)
	r := s.judge(t)
	want := map[results.Phase]time.Duration{
		results.Baseline: sec(inject - 0.001 - warm), results.Fault: sec(reverted + 0.001 - inject + 0.001), results.Recovery: sec(loadEnd - reverted - 0.001),
	}
	for p, d := range want {
		if got := phaseOf(t, r, p).Duration; got != d {
			t.Errorf("%s lasts %s; want %s", p, got, d)
		}
	}
	if r.Verdict != results.Held || r.Exit != results.ExitHeld {
		t.Errorf("a negative control = %s, exit %d (%s); want held, 0", r.Verdict, r.Exit, r.Why)
	}
}

// A stream that lives through the whole run brings its tokens where they arrive, though it counts
// as one request of the warm-up, and nowhere.
func TestJudgeCountsTokensWhereTheyArrive(t *testing.T) {
	s := newScript(anyClaim)
	x := &results.Sample{Due: sec(1), Sent: sec(1), Done: sec(35), Status: 200, Outcome: results.Complete, Usage: results.Usage{Output: 68, Source: results.UsageServer}}
	for at := 1.5; at < 35; at++ { // 34 chunks of 2 tokens each, by the server's count
		x.Chunks = append(x.Chunks, results.Chunk{At: sec(at), Tokens: 1})
	}
	s.add(x)
	r := s.judge(t)
	for _, want := range []struct {
		phase  results.Phase
		tokens float64 // each second has one chunk
	}{{results.Baseline, 14}, {results.Fault, 22}, {results.Recovery, 20}} {
		p := phaseOf(t, r, want.phase)
		if got := p.TokensPerSecond * p.Duration.Seconds(); math.Abs(got-want.tokens) > 1e-9 {
			t.Errorf("%s has %v tokens; want %v", want.phase, got, want.tokens)
		}
		if p.GoodputTokens != p.TokensPerSecond || p.TokensPerChunk != 2 || p.Requests != 0 {
			t.Errorf("%s has goodput_tokens %v, tokens per chunk %v, requests %d; want %v, 2, 0", want.phase, p.GoodputTokens, p.TokensPerChunk, p.Requests, p.TokensPerSecond)
		}
	}
}

// Every figure of a phase, a fault and the run is filled in.
func TestReportIsComplete(t *testing.T) {
	s := newScript(anyClaim)
	s.steady(100)
	cut := served(12)
	cut.Outcome, cut.Error, cut.Labels = results.Truncated, "no [DONE]", results.Labels{"tier": "paid"}
	refused := failed(12, 12.1, results.RateLimited)
	refused.Status = 429
	cancelled := failed(12, 12.1, results.Cancelled)
	leak := served(12)
	leak.Outcome = results.WrongUser
	retried := served(12)
	retried.Attempts = []results.Attempt{{Outcome: results.Connect}, {Outcome: results.HTTPStatus, Status: 500}}
	retried.Reconnects, retried.Echoed = 1, false
	s.add(cut, refused, cancelled, leak, retried, failed(13, 14, results.Reset), failed(13, 14, results.Reset))
	r := s.judge(t)

	p := phaseOf(t, r, results.Fault)
	// 1100 are due in [10, 21), 29 before it are still streaming then, one more is due at 21, and seven were added.
	base := p.Requests - 6
	want := results.PhaseStats{
		Phase: results.Fault, Duration: sec(11), Requests: p.Requests, Complete: base + 1, Cancelled: 1, CutAfter200: 2, Refused: 1, Infinite: 2,
		Success: float64(base+1) / float64(base+6), TokensPerSecond: p.TokensPerSecond, GoodputTokens: p.GoodputTokens, TokensPerChunk: 1,
		Amplification: float64(base+8) / float64(base+6), Leaks: 1, Reconnects: 1, Answers: base + 3, Echoed: base + 2,
		Attempts: &results.AttemptStats{Requests: base + 6, Attempts: base + 8, Lost: []results.LostStats{
			{Outcome: results.Connect, Count: 1}, {Outcome: results.HTTPStatus, Status: 500, Count: 1},
		}},
		Wasted: &results.WasteStats{Output: 20, Of: 10 * (base + 3), Share: 20 / float64(10*(base+3))},
		TTFT:   p.TTFT, ITL: p.ITL, TPOT: p.TPOT, E2E: p.E2E, Stall: p.Stall,
		TTFTSent: p.TTFT, E2ESent: p.E2E, // the script sends when it is due
		CountedBy:     map[results.UsageSource]int{results.UsageServer: base + 3},
		FailedWith2xx: []results.OutcomeStats{{Outcome: results.Truncated, Count: 1}, {Outcome: results.WrongUser, Count: 1}},
		Outcomes: []results.OutcomeStats{
			{Outcome: results.Complete, Count: base + 1},
			{Outcome: results.Reset, Count: 2, Error: "it reset"},
			{Outcome: results.RateLimited, Count: 1, Error: "it rate_limited"},
			{Outcome: results.Truncated, Count: 1, Error: "no [DONE]"},
			{Outcome: results.WrongUser, Count: 1},
			{Outcome: results.Cancelled, Count: 1, Error: "it cancelled"},
		},
	}
	if diff := gocmp.Diff(want, p); diff != "" {
		t.Errorf("fault differs (-want +got):\n%s", diff)
	}
	if base < 1120 || base > 1140 {
		t.Errorf("fault has %d requests; want about 1130", base)
	}
	if got := p.TokensPerSecond; math.Abs(got-1000) > 20 {
		t.Errorf("tokens_per_second = %v; want about 1000: 100 requests of 10 a second", got)
	}
	if got := float64(p.TTFT.P50); math.Abs(got-0.1) > 0.001 {
		t.Errorf("p50(ttft) = %v; want 0.1", got)
	}
	if got := r.MeanStream; got.Round(time.Millisecond) != sec(0.28) {
		t.Errorf("MeanStream = %s; want about 280ms", got)
	}
	if r.Duration != sec(over) || r.Seed != 1 || r.Experiment != "one" || r.Torn || r.Lag.N == 0 || r.Version != results.LogVersion {
		t.Errorf("report = %+v; want duration %s, seed 1, experiment one, not torn, with lag", r, sec(over))
	}
	wantFault := []results.FaultReport{{
		ID: "f", Kind: "region.kill", Injected: sec(inject), InForce: sec(forced), RevertedAt: sec(reverted), Detail: "pid 7 is gone",
		Evidence: &results.Evidence{Touched: 42, What: "requests met the dead region"}, Restored: results.RestoredOK,
	}}
	if diff := gocmp.Diff(wantFault, r.Faults); diff != "" {
		t.Errorf("Faults differ (-want +got):\n%s", diff)
	}
	var kinds []results.EventKind
	for _, e := range r.Events {
		kinds = append(kinds, e.Kind)
	}
	wantKinds := []results.EventKind{results.EventPhase, results.EventPhase, results.EventPhase, results.EventPhase, results.EventLoadEnd, results.EventEnd}
	if diff := gocmp.Diff(wantKinds, kinds); diff != "" {
		t.Errorf("Events differ (-want +got):\n%s", diff)
	}
}

// Each value of each label has its figures, those without the label too, within bounds.
func TestSlicesTellValuesApartAndFoldWhatIsTooMuch(t *testing.T) {
	s := newScript(anyClaim)
	with := func(labels results.Labels) func(float64) *results.Sample {
		return func(due float64) *results.Sample {
			x := served(due)
			x.Labels = labels
			return x
		}
	}
	s.load(4, 5, 100, with(nil)) // before any label has been seen
	s.load(5, 6, 100, with(results.Labels{"tier": "paid", "region": "east", "only": "one", "session": "s"}))
	s.load(6, 7, 50, with(results.Labels{"tier": "free", "region": "west"}))
	tenants := 0
	s.load(12, 13, 100, func(due float64) *results.Sample {
		tenants++
		return with(results.Labels{"tenant": string(rune('A' + tenants)), "session": string(rune('A' + tenants))})(due)
	})
	type row struct {
		label, value string
		requests     [3]int
	}
	got := map[row]bool{}
	counts := map[string]int{}
	r := s.judge(t)
	for i := 0; i < len(r.Slices); i += 3 {
		three := r.Slices[i : i+3]
		counts[three[0].Label]++
		x := row{three[0].Label, three[0].Value, [3]int{three[0].Requests, three[1].Requests, three[2].Requests}}
		if x.label != "tenant" || x.value[0] == '(' {
			got[x] = true
		}
	}
	want := map[row]bool{
		{"tier", "paid", [3]int{100, 0, 0}}:       true,
		{"tier", "free", [3]int{50, 0, 0}}:        true,
		{"tier", "(none)", [3]int{100, 100, 0}}:   true,
		{"region", "east", [3]int{100, 0, 0}}:     true,
		{"region", "west", [3]int{50, 0, 0}}:      true,
		{"region", "(none)", [3]int{100, 100, 0}}: true,
		{"only", "one", [3]int{100, 0, 0}}:        true,
		{"only", "(none)", [3]int{150, 100, 0}}:   true,
		{"tenant", "(other)", [3]int{0, 50, 0}}:   true,
		{"tenant", "(none)", [3]int{250, 0, 0}}:   true,
	}
	if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(row{})); diff != "" {
		t.Errorf("Slices differ (-want +got):\n%s", diff)
	}
	if got := counts["tenant"]; got != 52 {
		t.Errorf("tenant has %d slices; want 50 of its own, (other) and (none)", got)
	}
	if counts["session"] != 0 {
		t.Errorf("session has %d slices; want none: there are as many as sessions", counts["session"])
	}
}
