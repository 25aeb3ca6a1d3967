package experiments

import (
	"time"

	"github.com/failwhale/failwhale/results"
)

// itself is what this process said of itself over all judged phases.
type itself struct {
	last   *results.Reading
	pauses results.Histogram
	stats  results.SelfStats
	told   bool
}

func (s *itself) reading(r *results.Reading, line *timeline) {
	before := s.last
	s.last = r
	if before == nil || line.at(before.At+(r.At-before.At)/2) == nowhere {
		return
	}
	s.told = true
	inc, _ := since(r, before)
	pauses := inc.times[results.SignalGC]
	s.pauses = s.pauses.Plus(pauses)
	s.stats.Longest = max(s.stats.Longest, results.Seconds(pauses.Most()))
	s.stats.HeapMax = max(s.stats.HeapMax, r.Values[results.SignalHeap])
	s.stats.GoroutinesMax = max(s.stats.GoroutinesMax, r.Values[results.SignalGoroutines])
	s.stats.CPU += time.Duration(inc.counts[results.SignalCPU] * float64(time.Second))
}

// report gives the sum, or nil of a log that has none of it.
func (s *itself) report() *results.SelfStats {
	if !s.told {
		return nil
	}
	stats := s.stats
	stats.Pauses, stats.P99 = s.pauses.Count, s.pauses.Quantile(0.99)
	return &stats
}
