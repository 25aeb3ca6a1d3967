package calibrate_test

import (
	"strings"
	"testing"

	"github.com/failwhale/failwhale/attacks/calibrate"
	"github.com/failwhale/failwhale/results"
)

// A level is within budget if nothing failed, something was measured, as many streams ran as were meant, and none of
// the four errors is over its bound; at a bound is within.
func TestLevelsAreJudged(t *testing.T) {
	budget := calibrate.Budget{TTFT: 0.001, ITL: 0.0005, P99: 0.015}
	for _, tt := range []struct {
		name  string
		spoil func(*calibrate.Level, *calibrate.Join)
		why   string
	}{
		{"at its bounds", func(*calibrate.Level, *calibrate.Join) {}, ""},
		{"a failure", func(_ *calibrate.Level, j *calibrate.Join) { j.Failed, j.Why = 1, "reset: gone" }, "1 of 40 requests failed: reset: gone"},
		{"no first token", func(l *calibrate.Level, _ *calibrate.Join) { l.TTFT = results.Quantiles{} }, "nothing was measured"},
		{"no gap", func(l *calibrate.Level, _ *calibrate.Join) { l.ITL = results.Quantiles{} }, "nothing was measured"},
		{"too few streams", func(l *calibrate.Level, _ *calibrate.Join) { l.InFlight = 89 }, "only 89 streams ran at a time"},
		{"ttft", func(l *calibrate.Level, _ *calibrate.Join) { l.TTFT.P50 = 0.0011 }, "ttft p50 is off by 1.10 ms, over 1.00 ms"},
		{"itl", func(l *calibrate.Level, _ *calibrate.Join) { l.ITL.P50 = 0.0006 }, "itl p50 is off by 600 µs, over 500 µs"},
		{"ttft's tail", func(l *calibrate.Level, _ *calibrate.Join) { l.TTFT.P99 = 0.016 }, "ttft p99 is off by 16.0 ms, over 15.0 ms"},
		{"itl's tail", func(l *calibrate.Level, _ *calibrate.Join) { l.ITL.P99 = 0.016 }, "itl p99 is off by 16.0 ms, over 15.0 ms"},
	} {
		l := calibrate.Level{
			Streams: 100, InFlight: 90,
			TTFT: results.Quantiles{N: 40, P50: 0.001, P99: 0.015}, ITL: results.Quantiles{N: 40, P50: 0.0005, P99: 0.015},
		}
		j := calibrate.Join{Requests: 40}
		tt.spoil(&l, &j)
		l.Judge(budget, &j)
		if l.Within != (tt.why == "") || !strings.HasPrefix(l.Why, tt.why) || tt.why == "" && l.Why != "" {
			t.Errorf("%s: Judge() = %t, %q; want %t, %q", tt.name, l.Within, l.Why, tt.why == "", tt.why)
		}
	}
}

// After two levels in a row that are over budget the higher ones are left out, and the table says why they were.
func TestRunLeavesOutHopelessLevels(t *testing.T) {
	cfg := tiny(t)
	cfg.Streams, cfg.Budget.TTFT = []int{1, 2, 3, 4}, 1e-12
	c, err := calibrate.Run(t.Context(), cfg)
	if err != nil || len(c.Levels) != 2 || c.Highest() != nil {
		t.Fatalf("Run() = %v with levels %+v; want two, over budget", err, c.Levels)
	}
	var out strings.Builder
	if err := c.WriteTable(&out); err != nil || !strings.Contains(out.String(), "✗ 2 streams: ttft p50 is off by") {
		t.Errorf("WriteTable() = %v and\n%s", err, out.String())
	}
}
