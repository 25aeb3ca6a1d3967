package attacks

import (
	"time"

	"github.com/failwhale/failwhale/results"
)

const (
	// paceStep is how long a portion lasts a slow reader: it takes twenty a second, as a terminal or a page is drawn.
	paceStep = 50 * time.Millisecond
	// paceSlack is how late a portion may be taken without making those after it late as well: what timers are late by.
	paceSlack = 10 * time.Millisecond
	// slowBuffer is what the kernel is asked to keep for a slow reader; it takes twice as much (socket(7)). Less than
	// a loopback packet would be thrown away and sent again.
	slowBuffer = 4 << 10
	// slowWindow is what a server may send to a slow reader of HTTP/2 before that has taken any.
	slowWindow = 4 << 10
)

// A pace is how fast a slow reader takes what there is for it, in portions: never more than its rate, and none of a
// portion before all of it is due. One goroutine has it at a time. The nil pace is that of who takes all there is.
type pace struct {
	rate  ByteRate
	clock results.Clock
	next  time.Duration   // when it takes again
	gone  <-chan struct{} // closed when nobody waits for the answer; nil: there is no body yet, and it takes at once
}

// newPace is nil for the rate of a client that is not slow.
func newPace(rate ByteRate, clock results.Clock) *pace {
	if rate <= 0 {
		return nil
	}
	return &pace{rate: rate, clock: clock}
}

// portion is how many bytes it takes at a time.
func (p *pace) portion() int {
	return int(max(1, min(readBuffer, int64(p.rate)*int64(paceStep)/int64(time.Second))))
}

// begin makes it slow from here: an answer's body begins. What came of it with the head is at most a portion, and
// not yet due.
func (p *pace) begin(gone <-chan struct{}) {
	if p == nil {
		return
	}
	p.gone, p.next = gone, p.clock.Now()
	p.took(2 * p.portion())
}

// end makes it fast again: for the next head.
func (p *pace) end() {
	if p != nil {
		p.gone = nil
	}
}

// wait returns true once the next portion may be taken, and false if nobody waits for it. The time is not the
// server's silence: st is told.
func (p *pace) wait(st *stamps) bool {
	left := p.next - p.clock.Now()
	if p.gone == nil || left <= 0 {
		return true
	}
	st.hold(p.next)
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.gone:
		return false
	}
}

// took counts n bytes as taken now.
func (p *pace) took(n int) {
	p.next = max(p.next, p.clock.Now()-paceSlack) + time.Duration(int64(n)*int64(time.Second)/int64(p.rate))
}
