package results_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
)

const ms = time.Millisecond

// stream is due at 100 ms, sent at 110 ms, and has a token at each of the times given, in ms.
func stream(o results.Outcome, status, done int, at ...int) *results.Sample {
	s := &results.Sample{Due: 100 * ms, Sent: 110 * ms, Done: time.Duration(done) * ms, Outcome: o, Status: status}
	for _, a := range at {
		s.Chunks = append(s.Chunks, results.Chunk{At: time.Duration(a) * ms, Tokens: 1})
	}
	return s
}

// answer is what a metric says of one request.
type answer struct {
	D           time.Duration
	Inf, Counts bool
}

func answers(s *results.Sample) map[string]answer {
	all := map[string]answer{}
	for name, metric := range map[string]func() (time.Duration, bool, bool){
		"ttft": s.TTFT, "ttft_sent": s.TTFTSent, "e2e": s.E2E, "tpot": s.TPOT, "stall": s.Stall, "lag": s.Lag,
	} {
		d, inf, counts := metric()
		all[name] = answer{d, inf, counts}
	}
	return all
}

// Each way a request can end, and what every metric says of it.
func TestMetrics(t *testing.T) {
	var (
		none  = answer{}
		never = answer{Inf: true, Counts: true}
		lag   = answer{D: 10 * ms, Counts: true}
	)
	is := func(d int) answer { return answer{D: time.Duration(d) * ms, Counts: true} }
	for _, tt := range []struct {
		name                             string
		s                                *results.Sample
		ttft, sent, e2e, tpot, stall, at answer
		refused, with2xx, counted        bool
	}{
		{
			name: "complete", s: stream(results.Complete, 200, 400, 300, 310, 350),
			ttft: is(200), sent: is(190), e2e: is(250), tpot: is(25), stall: is(40), at: lag, counted: true,
		},
		{
			name: "one chunk", s: stream(results.Complete, 200, 400, 300),
			ttft: is(200), sent: is(190), e2e: is(200), tpot: none, stall: is(0), at: lag, counted: true,
		},
		{
			name: "cut after 30 s of silence", s: stream(results.IdleTimeout, 200, 30310, 300, 310),
			ttft: is(200), sent: is(190), e2e: never, tpot: is(10), stall: is(30000), at: lag, with2xx: true, counted: true,
		},
		{
			name: "hung, then reset", s: stream(results.Reset, 200, 5300, 300),
			ttft: is(200), sent: is(190), e2e: never, tpot: none, stall: is(5000), at: lag, with2xx: true, counted: true,
		},
		{
			name: "no connection", s: stream(results.Connect, 0, 120),
			ttft: never, sent: never, e2e: never, tpot: none, stall: none, at: lag, counted: true,
		},
		{
			name: "empty", s: stream(results.Empty, 200, 120),
			ttft: never, sent: never, e2e: never, tpot: none, stall: none, at: lag, with2xx: true, counted: true,
		},
		{
			name: "429", s: stream(results.RateLimited, http.StatusTooManyRequests, 120),
			ttft: none, sent: none, e2e: none, tpot: none, stall: none, at: lag, refused: true, counted: true,
		},
		{
			name: "503", s: stream(results.HTTPStatus, http.StatusServiceUnavailable, 120),
			ttft: none, sent: none, e2e: none, tpot: none, stall: none, at: lag, refused: true, counted: true,
		},
		{
			name: "500 is no refusal", s: stream(results.HTTPStatus, http.StatusInternalServerError, 120),
			ttft: never, sent: never, e2e: never, tpot: none, stall: none, at: lag, counted: true,
		},
		{
			name: "cancelled", s: stream(results.Cancelled, 200, 320, 300, 310),
			ttft: none, sent: none, e2e: none, tpot: none, stall: none, at: lag,
		},
		{
			name: "unknown", s: &results.Sample{Due: 100 * ms},
			ttft: never, sent: never, e2e: never, tpot: none, stall: none, at: never, counted: true,
		},
		{
			name: "cancelled before it was sent", s: &results.Sample{Due: 100 * ms, Outcome: results.Cancelled},
			ttft: none, sent: none, e2e: none, tpot: none, stall: none, at: none,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := map[string]answer{
				"ttft": tt.ttft, "ttft_sent": tt.sent, "e2e": tt.e2e, "tpot": tt.tpot, "stall": tt.stall, "lag": tt.at,
			}
			if diff := cmp.Diff(want, answers(tt.s)); diff != "" {
				t.Errorf("metrics of %+v (-want +got):\n%s", *tt.s, diff)
			}
			if got := tt.s.Refused(); got != tt.refused {
				t.Errorf("Refused() = %t; want %t", got, tt.refused)
			}
			if got := tt.s.FailedWith2xx(); got != tt.with2xx {
				t.Errorf("FailedWith2xx() = %t; want %t", got, tt.with2xx)
			}
			if got := tt.s.Counted(); got != tt.counted {
				t.Errorf("Counted() = %t; want %t", got, tt.counted)
			}
		})
	}
}

// A gap that buffers made is not a gap of the server.
func TestGapsSkipCoalesced(t *testing.T) {
	s := stream(results.Complete, 200, 400, 300, 310, 310, 350)
	s.Chunks[2].Coalesced = true
	want := []time.Duration{10 * ms, 40 * ms}
	if got := slices.Collect(s.Gaps()); !slices.Equal(got, want) {
		t.Errorf("Gaps() of arrivals at 300 310+310 350 = %v; want %v", got, want)
	}
	if got := s.Arrivals(); got != 3 {
		t.Errorf("Arrivals() = %d; want 3", got)
	}
	for range s.Gaps() {
		break // a caller may stop early
	}
	s.Outcome = results.Cancelled
	if got := slices.Collect(s.Gaps()); got != nil {
		t.Errorf("Gaps() of a cancelled request = %v; want none", got)
	}
}

// The server's count wins, and the tokens of the first chunk are not paid for by the gaps.
func TestTokensAndTPOT(t *testing.T) {
	s := stream(results.Complete, 200, 400, 300, 310, 350)
	s.Chunks[0].Tokens = 4
	if got := s.Tokens(); got != 6 {
		t.Errorf("Tokens() of chunks of 4 1 1 = %d; want 6", got)
	}
	if got, _, _ := s.TPOT(); got != 25*ms {
		t.Errorf("TPOT() of chunks of 4 1 1 over 50 ms = %s; want 25ms", got)
	}
	s.Usage = results.Usage{Output: 9, Source: results.UsageServer}
	if got := s.Tokens(); got != 9 {
		t.Errorf("Tokens() with the server's usage of 9 = %d; want 9", got)
	}
	if got, _, _ := s.TPOT(); got != 10*ms {
		t.Errorf("TPOT() of 9 tokens, 4 in the first chunk, over 50 ms = %s; want 10ms", got)
	}
	s.Usage.Source = results.UsageChunks
	if got := s.Tokens(); got != 6 {
		t.Errorf("Tokens() with our own usage = %d; want 6", got)
	}
	for _, by := range []results.UsageSource{results.UsageContinuous, results.UsageTokenizer} {
		s.Usage.Source = by
		if got := s.Tokens(); got != 9 {
			t.Errorf("Tokens() as counted by %s = %d; want 9", by, got)
		}
	}
	s.Usage = results.Usage{Output: 906, Reasoning: 900, Source: results.UsageServer}
	if got, _, _ := s.TPOT(); got != 25*ms || s.Tokens() != 906 {
		t.Errorf("TPOT() of 6 tokens after 900 that nobody saw = %s; want 25ms", got)
	}
	for _, tt := range []struct{ output, reasoning, want int }{
		{906, 900, 6},   // hidden
		{906, 0, 906},   // none: chunks of many tokens
		{906, 100, 806}, // more than chunks tell of
		{6, 4, 6},       // shown
		{0, 0, 6},       // not counted
	} {
		s.Usage = results.Usage{Output: tt.output, Reasoning: tt.reasoning, Source: results.UsageServer}
		if got := s.Received(); got != tt.want {
			t.Errorf("Received() of %+v in chunks of 6 tokens = %d; want %d", s.Usage, got, tt.want)
		}
	}
}

// One try is the least.
func TestTriesAndLeak(t *testing.T) {
	s := &results.Sample{Outcome: results.WrongUser}
	if got := s.Tries(); got != 1 || !s.Leak() {
		t.Errorf("Tries(), Leak() = %d, %t; want 1, true", got, s.Leak())
	}
	s.Attempts = make([]results.Attempt, 2)
	if got := s.Tries(); got != 3 {
		t.Errorf("Tries() with 2 failed attempts = %d; want 3", got)
	}
}

// Stamps of two goroutines may cross by a little.
func TestLagIsNeverNegative(t *testing.T) {
	s := &results.Sample{Due: 100 * ms, Sent: 99 * ms, Outcome: results.Complete}
	if got, inf, counts := s.Lag(); got != 0 || inf || !counts {
		t.Errorf("Lag() of a request sent 1 ms early = (%s, %t, %t); want (0s, false, true)", got, inf, counts)
	}
}
