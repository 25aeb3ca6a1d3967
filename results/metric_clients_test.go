package results_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
)

// left is a request, due at 100 ms, whose client went at 2 s.
func left(how results.Left, at ...int) *results.Sample {
	s := stream(results.Cancelled, 200, 2000, at...)
	s.Left = how
	return s
}

// whole is a request whose answer came in one piece, at 600 ms.
func whole(o results.Outcome, status int, at ...int) *results.Sample {
	s := stream(o, status, 600, at...)
	s.Unstreamed = true
	return s
}

// Users who leave were measured until then, and answers in one piece have an end and no middle.
func TestMetricsOfThoseWhoLeaveAndOfWholeAnswers(t *testing.T) {
	never := answer{Inf: true, Counts: true}
	is := func(d int) answer { return answer{D: time.Duration(d) * ms, Counts: true} }
	for _, tt := range []struct {
		name                         string
		s                            *results.Sample
		ttft, sent, e2e, tpot, stall answer
		gaps                         []time.Duration
		counted, leaver              bool
	}{
		{name: "left after tokens", s: left(results.LeftTokens, 300, 310, 1990), ttft: is(200), sent: is(190), tpot: is(845), stall: is(1680), gaps: []time.Duration{10 * ms, 1680 * ms}, leaver: true},
		{name: "gave up after a silence", s: left(results.LeftTime, 300, 310), ttft: is(200), sent: is(190), tpot: is(10), stall: is(1690), gaps: []time.Duration{10 * ms}, leaver: true},
		{name: "gave up without a token", s: left(results.LeftTime), ttft: never, sent: never, leaver: true},
		{name: "left at once", s: left(results.LeftStart), leaver: true},
		{name: "left after tokens, of which none came", s: left(results.LeftTokens), leaver: true},
		{name: "the run's end", s: left("", 300, 310)},
		{name: "the run's end without a token", s: left("")},
		{name: "no way to leave", s: left("hedge")},
		{
			name: "failed before it could leave", counted: true, ttft: never, sent: never, e2e: never,
			s: func() *results.Sample { s := left(results.LeftTime); s.Outcome = results.Reset; return s }(),
		},
		{name: "whole", s: whole(results.Complete, 200), e2e: is(500), counted: true},
		{name: "whole, of which the pieces are known", s: whole(results.Complete, 200, 300, 400), e2e: is(500), counted: true},
		{name: "whole, and wrong", s: whole(results.WrongAnswer, 200, 300), e2e: never, counted: true},
		{name: "whole, and lost", s: whole(results.Reset, 0), e2e: never, counted: true},
		{name: "whole, and refused", s: whole(results.RateLimited, 429), counted: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := map[string]answer{"ttft": tt.ttft, "ttft_sent": tt.sent, "e2e": tt.e2e, "tpot": tt.tpot, "stall": tt.stall, "lag": is(10)}
			if diff := cmp.Diff(want, answers(tt.s)); diff != "" {
				t.Errorf("metrics of %+v (-want +got):\n%s", *tt.s, diff)
			}
			if got := slices.Collect(tt.s.Gaps()); !slices.Equal(got, tt.gaps) {
				t.Errorf("Gaps() = %v; want %v", got, tt.gaps)
			}
			if got := tt.s.Counted(); got != tt.counted {
				t.Errorf("Counted() = %t; want %t", got, tt.counted)
			}
			if got := tt.s.Leaver(); got != tt.leaver {
				t.Errorf("Leaver() = %t; want %t", got, tt.leaver)
			}
		})
	}
	s := whole(results.Complete, 200)
	if d, inf, counts := s.E2ESent(); d != 490*ms || inf || !counts {
		t.Errorf("E2ESent() of a whole answer = (%s, %t, %t); want (490ms, false, true)", d, inf, counts)
	}
}

// What was thrown away, of what came.
func TestWasted(t *testing.T) {
	lost := []results.Attempt{{Outcome: results.Reset, Prompt: 100, Output: 5}, {Outcome: results.Cancelled, Hedge: true, Output: 2}, {Outcome: results.Connect}}
	usage := results.Usage{Prompt: 40, Output: 13, Reasoning: 10, Source: results.UsageServer}
	for _, tt := range []struct {
		name                string
		s                   *results.Sample
		inAll, tokens, paid int
	}{
		{"served at once", stream(results.Complete, 200, 400, 300, 310, 350), 3, 0, 0},
		{"served in the end", stream(results.Complete, 200, 400, 300, 310, 350), 10, 7, 100},
		{"cut in the end", stream(results.Truncated, 200, 400, 300, 310, 350), 10, 10, 140},
		{"cut at once", stream(results.Truncated, 200, 400, 300, 310, 350), 3, 3, 40},
		{"another's answer", stream(results.WrongUser, 200, 400, 300, 310, 350), 3, 3, 40},
		{"no answer in the end", stream(results.Connect, 0, 400), 7, 7, 100},
		{"left in the end", left(results.LeftTokens, 300, 310, 350), 10, 7, 100},
		{"left at once", left(results.LeftTokens, 300, 310, 350), 3, 0, 0},
		{"the run's end", left("", 300, 310, 350), 3, 0, 0},
	} {
		if len(tt.s.Chunks) > 0 { // ten more are reasoning that nobody saw
			tt.s.Usage = usage
		}
		if tt.inAll > 3 {
			tt.s.Attempts = lost
		}
		if inAll, tokens, paid := tt.s.ReceivedInAll(), tt.s.Wasted(), tt.s.WastedPrompt(); inAll != tt.inAll || tokens != tt.tokens || paid != tt.paid {
			t.Errorf("%s: ReceivedInAll(), Wasted(), WastedPrompt() = %d, %d, %d; want %d, %d, %d", tt.name, inAll, tokens, paid, tt.inAll, tt.tokens, tt.paid)
		}
	}
}

// A request that is tried again where it was has not failed over; nor has one beside which a hedge ran.
func TestFailovers(t *testing.T) {
	at := func(names ...string) (all []results.Attempt) {
		for _, name := range names {
			hedge := len(name) > 0 && name[0] == '|'
			all = append(all, results.Attempt{Endpoint: name[min(1, len(name)):], Hedge: hedge})
		}
		return all
	}
	for _, tt := range []struct {
		attempts []results.Attempt
		served   string
		hedged   bool
		want     int
	}{
		{nil, "a", false, 0},
		{at(" a"), "a", false, 0},
		{at(" a"), "b", false, 1},
		{at(" a", " a", " b", " b"), "c", false, 2},
		{at(" a", " b"), "a", false, 2},
		{at(" a", ""), "b", false, 1},
		{at(" a"), "", false, 0},
		{at(""), "a", false, 0},
		{at("|b"), "a", false, 0},
		{at(" a", "|b"), "a", false, 0},
		{at("|a"), "b", true, 0},
		{at(" a", "|b"), "c", true, 0},
		{nil, "", false, 0},
	} {
		s := &results.Sample{Attempts: tt.attempts, Labels: results.Labels{"endpoint": tt.served}, Hedged: tt.hedged}
		if got := s.Failovers(); got != tt.want {
			t.Errorf("Failovers() of %+v, then at %q (hedged %t) = %d; want %d", tt.attempts, tt.served, tt.hedged, got, tt.want)
		}
	}
}

// Only what brought text can have had the nonce in it.
func TestAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		s    *results.Sample
		want bool
	}{
		"complete":        {stream(results.Complete, 200, 400, 300), true},
		"cut":             {stream(results.Truncated, 200, 400, 300), true},
		"without a token": {stream(results.Empty, 200, 400), false},
		"whole":           {whole(results.Complete, 200), true},
		"whole and lost":  {whole(results.Reset, 0), false},
		"left":            {left(results.LeftTokens, 300), false},
	} {
		if got := tt.s.Answer(); got != tt.want {
			t.Errorf("%s: Answer() = %t; want %t", name, got, tt.want)
		}
	}
}
