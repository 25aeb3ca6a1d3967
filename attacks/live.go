package attacks

import (
	"container/list"
	"sync"
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
	// Oldest is how long ago the oldest of the requests under way was sent, but for answers that a slow reader of ours has
	// begun to read: those take as long as it takes. 0: there is none.
	Oldest time.Duration
}

type liveCounts struct {
	sent, done, complete, tokens, lag atomic.Int64

	mu       sync.Mutex
	underWay list.List // of when each was sent, the oldest first
}

// begin returns the request's place among those under way, for end.
func (l *liveCounts) begin(s *results.Sample) *list.Element {
	l.sent.Add(1)
	l.lag.Store(int64(s.Sent - s.Due))
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.underWay.PushBack(s.Sent)
}

// reads takes a request from those under way, as its slow reader has begun to read the answer. end still wants its place.
func (l *liveCounts) reads(place *list.Element) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.underWay.Remove(place)
}

func (l *liveCounts) end(s *results.Sample, place *list.Element) {
	l.mu.Lock()
	l.underWay.Remove(place)
	l.mu.Unlock()
	l.done.Add(1)
	if s.Outcome == results.Complete {
		l.complete.Add(1)
	}
}

func (l *liveCounts) received(tokens int) { l.tokens.Add(int64(tokens)) }

func (l *liveCounts) oldest(now time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	front := l.underWay.Front()
	if front == nil {
		return 0
	}
	sent, ok := front.Value.(time.Duration)
	if !ok {
		return 0 // only begin puts anything there
	}
	return now - sent
}

func (l *liveCounts) read(now time.Duration) Live {
	done := l.done.Load() // before sent: InFlight is never negative
	sent := l.sent.Load()
	return Live{
		Sent: sent, InFlight: sent - done, Complete: l.complete.Load(),
		Tokens: l.tokens.Load(), Lag: time.Duration(l.lag.Load()), Oldest: l.oldest(now),
	}
}
