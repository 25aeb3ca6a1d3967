package attacks

import (
	"time"

	"github.com/failwhale/failwhale/results"
)

// A Peak is the busiest time of a load, as it is planned: what a server makes of it is another matter.
type Peak struct {
	// Requests and the Tokens that they ask for, a second, over the busiest peakWindow.
	Requests, Tokens float64
	// Users of a closed loop: then there are no requests that are planned.
	Users int
}

const (
	// peakWindow is about as long as an answer takes: tokens come over as much time as that.
	peakWindow = 5 * time.Second
	// peakArrivals bounds how many requests are looked at: a fraction of a second's work.
	peakArrivals = 1_000_000
)

// PeakOf looks at the first length of a phase. A conversation counts with all its turns when it begins: that is the
// rate once as many conversations end as begin. The error is that of a trace that cannot be read.
func PeakOf(p Profile, w Workload, phase results.Phase, seed uint64, length time.Duration) (Peak, error) {
	if p.Closed() {
		return Peak{Users: p.Concurrency.Users}, nil
	}
	type second struct{ requests, tokens float64 }
	var recent []second // of the last window, the latest last
	var sum second
	var peak Peak
	now := time.Duration(-1) // the second that recent ends with
	window := max(1, min(peakWindow, length).Truncate(time.Second)/time.Second)
	l, err := newLoad(p, w, []Client{{}}, seed)
	if err != nil {
		return peak, err
	}
	n := 0
	for a, err := range l.schedule.arrivals(phase, seed) {
		if err != nil {
			return peak, err
		}
		if n++; a.At >= length || n > peakArrivals {
			break
		}
		for ; now < a.At/time.Second; now++ {
			if recent = append(recent, second{}); len(recent) > int(window) {
				sum.requests, sum.tokens = sum.requests-recent[0].requests, sum.tokens-recent[0].tokens
				recent = recent[1:]
			}
		}
		more := second{requests: 1}
		j := l.job(phase, a, uint64(n))
		if c := newConversation(&j, 0); c != nil {
			more.requests = float64(c.turns)
		}
		more.tokens = more.requests * float64(j.output)
		last := &recent[len(recent)-1]
		last.requests, last.tokens = last.requests+more.requests, last.tokens+more.tokens
		sum.requests, sum.tokens = sum.requests+more.requests, sum.tokens+more.tokens
		if rate := sum.tokens / float64(window); rate > peak.Tokens {
			peak.Requests, peak.Tokens = sum.requests/float64(window), rate
		}
	}
	return peak, nil
}
