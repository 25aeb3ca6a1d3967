package refstack

import (
	"sync"
	"time"
)

// A guard is a Breaker on the real clock, for many goroutines.
type guard struct {
	mu      sync.Mutex
	breaker *Breaker
}

func (g *guard) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.breaker.Open()
}

// record says how a request ended, and reports whether that opened the breaker.
func (g *guard) record(ok bool) (opened bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ok {
		g.breaker.Success()
		return false
	}
	return g.breaker.Failure(time.Now())
}

// probe says how a probe ended, and reports whether that opened or closed the breaker.
func (g *guard) probe(ok bool) (changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.breaker.Probe(time.Now(), ok)
}
