package attacks

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/failwhale/failwhale/results"
)

// A turn is one request that is due.
type turn struct {
	index   uint64 // in the run
	due     time.Duration
	client  int    // which of the attack's
	seed    uint64 // of what is random about it: equal in every judged phase
	nonce   string
	request []byte // as it goes over the wire
	output  int    // tokens asked for
}

// An agenda knows which turn is due when. It is vegeta's Pacer, which waits, and
// vegeta's Targeter, which hands out what it waited for. Vegeta calls the Pacer
// from one goroutine and the Targeter from many.
//
// What was due is sent: a phase that ends while we are behind leaves its backlog
// to be sent late, where the samples' lag shows it.
type agenda struct {
	clock results.Clock
	rate  Rate
	// schedule makes the due times of a phase, write the turn that is place number k in it.
	schedule func(results.Phase) iter.Seq[time.Duration]
	write    func(phase results.Phase, k, index uint64) (*turn, error)
	url      string
	alarm    *alarm // nil once it cannot be used
	timer    *time.Timer

	mu      sync.Mutex
	changed chan struct{} // closed and replaced by whatever a waiting Pacer must know
	plans   []*plan       // in order; only the last one is open
	over    bool          // nothing further is planned
	err     error         // of write: it ended the agenda
	index   uint64        // of the next turn
	due     []*turn       // for the Targeter
	out     map[uint64]*turn
}

// A plan is one phase's schedule.
type plan struct {
	phase results.Phase
	start time.Duration
	until time.Duration // nothing is due after; forever while it is the last
	next  func() (time.Duration, bool)
	end   func()
	k     uint64
	head  *turn // the next turn, written and not yet due
}

const forever = time.Duration(1<<63 - 1)

func newAgenda(a *Attack, profile Profile, url string) *agenda {
	return &agenda{
		clock: a.clock, rate: profile.Rate(), write: a.write, url: url, timer: time.NewTimer(forever),
		schedule: func(p results.Phase) iter.Seq[time.Duration] { return profile.Due(scheduleRand(a.seed, p)) },
		changed:  make(chan struct{}), out: map[uint64]*turn{},
	}
}

// begin ends the schedule so far and starts that of phase, now. What would be due at its limit or after is not.
func (g *agenda) begin(phase results.Phase, limit time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return
	}
	now := g.closePlan()
	next, end := iter.Pull(g.schedule(phase))
	until := forever
	if limit > 0 {
		until = now + limit - 1
	}
	g.plans = append(g.plans, &plan{phase: phase, start: now, until: until, next: next, end: end})
	g.announce()
}

// stop ends the schedule; nothing after now becomes due.
func (g *agenda) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	g.closePlan()
	g.announce()
}

// abandon also drops what was due and is not yet sent.
func (g *agenda) abandon() {
	g.stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.plans {
		p.end()
	}
	g.plans = nil
}

func (g *agenda) closePlan() (now time.Duration) {
	now = g.clock.Now()
	if n := len(g.plans); n > 0 {
		g.plans[n-1].until = min(now, g.plans[n-1].until)
	}
	return now
}

func (g *agenda) announce() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// Pace waits until the next turn is due and puts it where the Targeter finds it. It
// never asks vegeta to wait: vegeta's sleep cannot be woken.
func (g *agenda) Pace(time.Duration, uint64) (wait time.Duration, stop bool) {
	for {
		next, changed, over := g.peek()
		switch {
		case over:
			return 0, true
		case next == nil:
			<-changed
		case g.sleep(next.due, changed) && g.release(next):
			return 0, false
		}
	}
}

// Rate is part of vegeta's Pacer.
func (g *agenda) Rate(time.Duration) float64 { return float64(g.rate) }

// peek returns the next turn, written ahead of its time. Nil: nothing is planned yet.
func (g *agenda) peek() (next *turn, changed chan struct{}, over bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.plans) > 0 {
		p := g.plans[0]
		if p.head == nil {
			p.head = g.draw(p)
		}
		if p.head != nil && p.head.due <= p.until {
			return p.head, g.changed, false
		}
		p.end()
		g.plans = g.plans[1:]
	}
	return nil, g.changed, g.over
}

// draw writes a plan's next turn; nil: there is none.
func (g *agenda) draw(p *plan) *turn {
	at, ok := p.next()
	if !ok {
		return nil
	}
	t, err := g.compose(p)
	if err != nil {
		g.err, g.over = fmt.Errorf("write request %d: %w", g.index, err), true
		return nil
	}
	t.due = p.start + at
	p.k++
	return t
}

// compose writes a plan's next turn. A panic is an error: this is vegeta's goroutine, not one of ours,
// and a dialect may not have foreseen a prompt.
func (g *agenda) compose(p *plan) (t *turn, err error) {
	defer func() {
		if said := recover(); said != nil {
			err = panicked("a prompt", said)
		}
	}()
	return g.write(p.phase, p.k, g.index)
}

// release makes t due. It returns false if t is no longer on the agenda.
func (g *agenda) release(t *turn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.plans) == 0 || g.plans[0].head != t || t.due > g.plans[0].until {
		return false
	}
	g.plans[0].head = nil
	g.index++
	g.due = append(g.due, t)
	return true
}

// target is vegeta's Targeter.
func (g *agenda) target(into *vegeta.Target) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.due) == 0 {
		return vegeta.ErrNoTargets
	}
	t := g.due[0]
	g.due = g.due[1:]
	g.out[t.index] = t
	into.Method, into.URL = http.MethodPost, g.url
	into.Header = http.Header{turnHeader: {strconv.FormatUint(t.index, 10)}}
	return nil
}

// take hands a turn to whoever runs it, once.
func (g *agenda) take(index uint64) (*turn, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, ok := g.out[index]
	delete(g.out, index)
	return t, ok
}

// issued is how many turns have become due, so how many nonces are out.
func (g *agenda) issued() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.index
}

func (g *agenda) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// alarmLead is when the alarm takes over from Go's timers: they are up to a
// millisecond late where nothing else wakes the process, and a little more if it is busy.
const alarmLead = 1200 * time.Microsecond

// sleep waits until due and returns true, or false once the agenda has changed.
func (g *agenda) sleep(due time.Duration, changed <-chan struct{}) bool {
	for {
		now := g.clock.Now()
		left := due - now
		switch {
		case left <= 0:
			return true
		case left <= alarmLead && g.alarm != nil:
			if err := g.alarm.wait(left); err != nil || g.clock.Now() == now {
				g.alarm = nil // it fails, or the clock is a test's and stands still meanwhile
			}
			continue
		case g.alarm != nil:
			left -= alarmLead
		}
		g.timer.Reset(left)
		select {
		case <-g.timer.C:
		case <-changed:
			g.timer.Stop()
			return false
		}
	}
}

// Independent streams of random numbers, so that a change to what one of them
// decides leaves the others as they were.
const (
	scheduleStream = iota + 1
	turnStream
	jitterStream
	warmupStream
)

// phaseSeed is the seed of a phase: one for all that are judged, so that they do
// the same work, and another one for the warm-up, which must not warm just that.
func phaseSeed(seed uint64, phase results.Phase) uint64 {
	if phase == results.Warmup {
		return mix(seed, warmupStream)
	}
	return seed
}

func scheduleRand(seed uint64, phase results.Phase) *rand.Rand {
	return rand.New(rand.NewPCG(phaseSeed(seed, phase), scheduleStream))
}
