package refstack

import "time"

// BreakerRules say when a Breaker opens and closes.
type BreakerRules struct {
	// Failures in a row that open it. Required.
	Failures int
	// Hold is how long it stays open before probes count. It doubles each time it opens again within
	// Forget of closing, up to MaxHold. Required.
	Hold, MaxHold time.Duration
	// Probes in a row that must succeed, after Hold, to close it. Required.
	Probes int
	// Forget is for how long it must have been closed to start over with Hold. Required.
	Forget time.Duration
}

// A Breaker decides whether something that fails is still asked. It opens on
// failures in a row, of requests or of probes, and closes on probes alone, so
// that no request is ever spent to find out. The edge ejects regions with it,
// and a region its session store. It is told the time and not safe for
// concurrent use.
type Breaker struct {
	rules    BreakerRules
	failures int // in a row
	probes   int // in a row that succeeded since the hold ended
	open     bool
	hold     time.Duration
	until    time.Time // end of the hold
	closed   time.Time
}

// NewBreaker returns a closed breaker.
func NewBreaker(rules BreakerRules) *Breaker { return &Breaker{rules: rules, hold: rules.Hold} }

// Open reports whether it is open: nothing should be asked but probes.
func (b *Breaker) Open() bool { return b.open }

// Success says that a request was answered.
func (b *Breaker) Success() {
	if !b.open {
		b.failures = 0
	}
}

// Failure says that a request failed in a way that speaks against what was
// asked, and reports whether that opened the breaker.
func (b *Breaker) Failure(now time.Time) (opened bool) {
	if b.open {
		return false
	}
	if b.failures++; b.failures < b.rules.Failures {
		return false
	}
	if b.closed.IsZero() || now.Sub(b.closed) >= b.rules.Forget {
		b.hold = b.rules.Hold
	} else {
		b.hold = min(2*b.hold, b.rules.MaxHold)
	}
	b.open, b.probes, b.until = true, 0, now.Add(b.hold)
	return true
}

// Probe says how a probe ended, and reports whether that opened or closed the breaker.
func (b *Breaker) Probe(now time.Time, ok bool) (changed bool) {
	switch {
	case !b.open && ok:
		b.Success()
		return false
	case !b.open:
		return b.Failure(now)
	case !ok || now.Before(b.until):
		b.probes = 0
		return false
	}
	if b.probes++; b.probes < b.rules.Probes {
		return false
	}
	b.open, b.failures, b.closed = false, 0, now
	return true
}
