package attacks_test

import (
	"math"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
)

// The busiest five seconds of what a phase has, and of no other phase's.
func TestPeakOf(t *testing.T) {
	lengths := attacks.Workload{{PromptTokens: attacks.Length{Fixed: 10}, OutputTokens: attacks.Length{Fixed: 120}}}
	talks := attacks.Workload{lengths[0]}
	talks[0].Turns = &attacks.Turns{Count: attacks.Length{Fixed: 3}}
	constant := attacks.Profile{Constant: &attacks.Constant{Rate: 100}}
	spiked := constant
	spiked.Plus = []attacks.Part{{
		Profile: attacks.Profile{Spike: &attacks.Spike{Rate: 500, At: 20 * time.Second, For: 10 * time.Second}}, During: results.Fault,
	}}
	traced := attacks.Profile{Trace: &attacks.Trace{File: "testdata/mooncake.jsonl"}}
	for _, tt := range []struct {
		name   string
		p      attacks.Profile
		w      attacks.Workload
		phase  results.Phase
		length time.Duration
		want   attacks.Peak
	}{
		{"constant", constant, lengths, results.Fault, time.Minute, attacks.Peak{Requests: 100, Tokens: 12_000}},
		{"shorter than a window", constant, lengths, results.Fault, 2 * time.Second, attacks.Peak{Requests: 100, Tokens: 12_000}},
		{"a preset", constant, attacks.Workload{}, results.Fault, time.Minute, attacks.Peak{Requests: 100, Tokens: 5_000}},
		{"conversations", constant, talks, results.Fault, time.Minute, attacks.Peak{Requests: 300, Tokens: 36_000}},
		{"a spike in its phase", spiked, lengths, results.Fault, time.Minute, attacks.Peak{Requests: 600, Tokens: 72_000}},
		{"and in another", spiked, lengths, results.Baseline, time.Minute, attacks.Peak{Requests: 100, Tokens: 12_000}},
		{"before the spike", spiked, lengths, results.Fault, 15 * time.Second, attacks.Peak{Requests: 100, Tokens: 12_000}},
		{"no time", constant, lengths, results.Fault, 0, attacks.Peak{}},
		{"a trace", traced, attacks.Workload{}, results.Fault, time.Second, attacks.Peak{Requests: 2, Tokens: 99}},
		{"a trace with written lengths", traced, lengths, results.Fault, time.Second, attacks.Peak{Requests: 2, Tokens: 240}},
		{"a closed loop", attacks.Profile{Concurrency: &attacks.Concurrency{Users: 70}}, lengths, results.Fault, time.Minute, attacks.Peak{Users: 70}},
	} {
		got, err := attacks.PeakOf(tt.p, tt.w, tt.phase, 1, tt.length)
		near := func(a, b float64) bool { return math.Abs(a-b) <= b/100 }
		if err != nil || !near(got.Requests, tt.want.Requests) || !near(got.Tokens, tt.want.Tokens) || got.Users != tt.want.Users {
			t.Errorf("%s: PeakOf(%s, %s, %s) = %+v, %v; want about %+v", tt.name, tt.p, tt.phase, tt.length, got, err, tt.want)
		}
	}
}
