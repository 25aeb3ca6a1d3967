package attacks_test

import (
	"math"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
)

// What a load comes to is known before it begins, and is what its schedule has.
func TestEstimate(t *testing.T) {
	steady := attacks.Profile{Constant: &attacks.Constant{Rate: 100}}
	users := attacks.Profile{Concurrency: &attacks.Concurrency{Users: 5}}
	fixed := func(prompt, output int) attacks.Class {
		return attacks.Class{PromptTokens: attacks.Length{Fixed: prompt}, OutputTokens: attacks.Length{Fixed: output}}
	}
	first, chat := fixed(200, 100), fixed(100, 50)
	first.Share, chat.Share = 0.25, 0.75
	prefixed, turns := fixed(100, 50), fixed(100, 50)
	prefixed.Prefix = &attacks.Prefix{Tokens: 1000}
	turns.Turns = &attacks.Turns{Count: attacks.Length{Fixed: 3}}
	// Of a lognormal that is cut at its maximum: e^(µ+s²/2)·Φ((ln m−µ−s²)/s) + m·(1−Φ((ln m−µ)/s)); without the cut it were 2,200.
	cut := fixed(1, 50)
	cut.PromptTokens = attacks.Length{P50: 1000, P90: 5000, Max: 8000}
	for _, tt := range []struct {
		name     string
		profile  attacks.Profile
		classes  attacks.Workload
		requests int64
		want     attacks.Estimate
	}{
		{"the preset", steady, nil, 0, attacks.Estimate{Requests: 3000, PromptTokens: 64 * 3000, OutputTokens: 50 * 3000}},
		{"classes by share", steady, attacks.Workload{first, chat}, 0, attacks.Estimate{Requests: 3000, PromptTokens: 125 * 3000, OutputTokens: 62.5 * 3000}},
		{"with a prefix", steady, attacks.Workload{prefixed}, 0, attacks.Estimate{Requests: 3000, PromptTokens: 1100 * 3000, OutputTokens: 50 * 3000}},
		// Turns of 100, 100+150 and 100+300 tokens.
		{"conversations", steady, attacks.Workload{turns}, 0, attacks.Estimate{Requests: 9000, PromptTokens: 750 * 3000, OutputTokens: 150 * 3000}},
		{"lognormal", steady, attacks.Workload{cut}, 0, attacks.Estimate{Requests: 3000, PromptTokens: 1833 * 3000, OutputTokens: 50 * 3000}},
		{"so many", steady, nil, 500, attacks.Estimate{Requests: 500, PromptTokens: 64 * 500, OutputTokens: 50 * 500}},
		{"more than there is time for", steady, nil, 5000, attacks.Estimate{Requests: 3000, PromptTokens: 64 * 3000, OutputTokens: 50 * 3000}},
		{"of users nobody knows", users, nil, 0, attacks.Estimate{}},
		{"but so many of theirs", users, nil, 500, attacks.Estimate{Requests: 500, PromptTokens: 64 * 500, OutputTokens: 50 * 500}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := attacks.Config{Profile: tt.profile, Workload: tt.classes, Requests: tt.requests, Seed: 1}.Estimate(results.Baseline, 30*time.Second)
			off := func(x, want float64) bool { return math.Abs(x-want) > 0.05*want }
			if err != nil || off(got.Requests, tt.want.Requests) || off(got.PromptTokens, tt.want.PromptTokens) || off(got.OutputTokens, tt.want.OutputTokens) {
				t.Errorf("Estimate() = %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// An estimate is said in round figures, and a budget by what it is too small for.
func TestEstimateInWords(t *testing.T) {
	e := attacks.Estimate{Requests: 3001.7, PromptTokens: 338_400, OutputTokens: 1_249_000}
	if got, want := e.String(), "about 3,000 requests, 340k prompt and 1.2M output tokens"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	if got, want := (attacks.Estimate{Requests: 1, PromptTokens: 64, OutputTokens: 999.7}).String(), "about 1 request, 64 prompt and 1k output tokens"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	for budget, want := range map[attacks.Budget]string{
		{}: e.String(), {Requests: 5000}: e.String() + "; budget 5,000 requests",
		{Requests: 5000, Tokens: 1e6}: e.String() + "; budget 5,000 requests, 1,000,000 tokens: it will be used up",
	} {
		if got := e.Within(budget); got != want {
			t.Errorf("Within(%s) = %q, want %q", budget, got, want)
		}
	}
	if got := (attacks.Estimate{}).Within(attacks.Budget{Tokens: 1}); got != "budget 1 token" {
		t.Errorf("of nobody knows what Within(1 token) = %q", got)
	}
	for _, tt := range []struct {
		budget attacks.Budget
		want   string
	}{
		{attacks.Budget{}, ""},
		{attacks.Budget{Requests: 5000, Tokens: 2e6}, ""},
		{attacks.Budget{Requests: 3000}, "3,000 requests"},
		{attacks.Budget{Requests: 5000, Tokens: 1e6}, "1.6M tokens"},
	} {
		if got := e.Over(tt.budget); got != tt.want {
			t.Errorf("Over(%s) = %q, want %q", tt.budget, got, tt.want)
		}
	}
}
