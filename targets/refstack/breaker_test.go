package refstack_test

import (
	"testing"
	"time"

	"github.com/failwhale/failwhale/targets/refstack"
)

// A breaker's whole life, told the time by hand: each step is what happens at a
// second, and whether the breaker is open after it.
func TestBreaker(t *testing.T) {
	type step struct {
		at   float64
		what string
		open bool
	}
	for name, steps := range map[string][]step{
		"one failure is not enough":       {{0, "fail", false}, {1, "ok", false}, {2, "fail", false}},
		"two in a row open it":            {{0, "fail", false}, {1, "fail", true}},
		"probes open it too":              {{0, "probe fail", false}, {1, "probe fail", true}},
		"requests and probes count alike": {{0, "fail", false}, {0.2, "probe fail", true}},
		"a good probe is a good answer":   {{0, "fail", false}, {0.2, "probe ok", false}, {1, "fail", false}},
		"requests do not close it":        {{0, "fail", false}, {0, "fail", true}, {9, "ok", true}},
		"probes in a row close it, after the hold": {
			{0, "fail", false},
			{0, "fail", true},
			{0.5, "probe ok", true},
			{0.9, "probe ok", true},
			{1.1, "probe ok", true},
			{1.2, "probe fail", true},
			{1.3, "probe ok", true},
			{1.4, "probe ok", false},
		},
		"the hold doubles when it opens again soon": {
			{0, "fail", false},
			{0, "fail", true},
			{1, "probe ok", true},
			{1.1, "probe ok", false},
			{2, "fail", false},
			{2, "fail", true},
			{3.5, "probe ok", true},
			{3.9, "probe ok", true},
			{4.1, "probe ok", true},
			{4.2, "probe ok", false},
		},
		"and starts over when it has been well for long": {
			{0, "fail", false},
			{0, "fail", true},
			{1, "probe ok", true},
			{1.1, "probe ok", false},
			{30, "fail", false},
			{30, "fail", true},
			{31, "probe ok", true},
			{31.1, "probe ok", false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := refstack.NewBreaker(refstack.BreakerRules{
				Failures: 2, Hold: time.Second, MaxHold: 4 * time.Second, Probes: 2, Forget: 10 * time.Second,
			})
			start := time.Unix(1_000_000, 0)
			for i, s := range steps {
				now, was := start.Add(time.Duration(s.at*1e9)), b.Open()
				changed := false
				switch s.what {
				case "ok":
					b.Success()
				case "fail":
					changed = b.Failure(now)
				case "probe ok":
					changed = b.Probe(now, true)
				case "probe fail":
					changed = b.Probe(now, false)
				}
				if b.Open() != s.open {
					t.Errorf("step %d, %+v: Open() = %v, want %v", i, s, b.Open(), s.open)
				}
				if changed != (was != b.Open()) {
					t.Errorf("step %d, %+v: said that it changed: %v, but Open() went from %v to %v", i, s, changed, was, b.Open())
				}
			}
		})
	}
}
