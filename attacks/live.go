package attacks

import (
	"sync/atomic"
	"time"

	"github.com/failwhale/failwhale/results"
)

// Live is what an attack has done so far, for a line of progress. Verdicts come from samples alone.
type Live struct {
	// Sent requests, of which InFlight are under way and Complete ended well.
	Sent, InFlight, Complete int64
	// Tokens received of all streams, counted as they arrive.
	Tokens int64
	// Lag is how late the last request was sent.
	Lag time.Duration
}

type liveCounts struct{ sent, done, complete, tokens, lag atomic.Int64 }

func (l *liveCounts) begin(s *results.Sample) {
	l.sent.Add(1)
	l.lag.Store(int64(s.Sent - s.Due))
}

func (l *liveCounts) end(s *results.Sample) {
	l.done.Add(1)
	if s.Outcome == results.Complete {
		l.complete.Add(1)
	}
}

func (l *liveCounts) received(tokens int) { l.tokens.Add(int64(tokens)) }

func (l *liveCounts) read() Live {
	done := l.done.Load() // before sent: InFlight is never negative
	sent := l.sent.Load()
	return Live{
		Sent: sent, InFlight: sent - done, Complete: l.complete.Load(),
		Tokens: l.tokens.Load(), Lag: time.Duration(l.lag.Load()),
	}
}
