package attacks

import (
	"cmp"
	"container/heap"
	"container/list"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A turn is one request that is due.
type turn struct {
	index   uint64 // in the run
	due     time.Duration
	phase   results.Phase  // in which it became due
	client  int            // which of the attack's
	class   int            // and of its workload's
	seed    uint64         // of what is random about it: equal in every judged phase
	nonce   string         // of its conversation
	user    int            // who holds that: see users. 0: nobody but in it
	golden  *Golden        // what it asks, if the answer is known; else nil
	ask     targets.Prompt // what it asks; without its messages, unless they are needed again
	request []byte         // as it goes over the wire to the first door; nil once that is not needed again
	fresh   bool           // it goes on a connection of its own that was not there before
	closed  bool           // of a closed loop: it is due when it is sent
	conv    *conversation  // that it is a turn of; nil: it stands alone
	place   *list.Element  // among the requests under way; nil: it is none yet
}

// An agenda knows which turn is due when. It is vegeta's Pacer, which waits, and
// vegeta's Targeter, which hands out what it waited for. Vegeta calls the Pacer
// from one goroutine and the Targeter from many.
//
// It has the plans of the phases, and beside them the conversations' next turns, which join
// it from the goroutines of those before them. What is due first goes first, whichever it is of.
//
// What was due is sent: a phase that ends while we are behind leaves its backlog
// to be sent late, where the samples' lag shows it.
type agenda struct {
	clock results.Clock
	// source begins the schedule of a phase; write writes the turn that is number k of its part of it.
	source func(results.Phase) (source, error)
	write  func(phase results.Phase, from Arrival, k, index uint64) (*turn, error)
	loop   *Concurrency // nil: an open loop
	most   int64        // turns that become due in all; 0: no bound
	url    string
	alarm  *alarm // nil once it cannot be used
	timer  *time.Timer

	// Of the Pacer alone.
	playing *plan         // whose source is open
	cost    time.Duration // of writing a turn, as it was lately

	numbered atomic.Uint64 // turns that have an index, those that are written ahead too

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced by whatever a waiting Pacer must know
	plans     []*plan       // in order; only the last one is open
	begun     []beginning   // of all phases so far
	joined    followUps     // not yet due
	coming    int           // conversations that have begun and have turns which are not yet due
	sent      int64         // turns that have become due
	over      bool          // nothing further is planned
	exhausted bool          // the last plan came to the end of its schedule
	err       error         // it ended the agenda
	busy      int           // turns that are due or under way, and conversations between two
	due       []*turn       // for the Targeter
	out       map[uint64]*turn
}

// A beginning is when a phase began.
type beginning struct {
	phase results.Phase
	start time.Duration
}

// A plan is one phase's schedule.
type plan struct {
	phase results.Phase
	start time.Duration
	until time.Duration // nothing is due after; forever while it is the last. Guarded by the agenda's mu

	// Of the Pacer alone.
	source source   // nil before it is needed
	places []uint64 // how many turns of each part were written
	ahead  []*turn  // written and not yet due
	bytes  int      // of ahead
	ended  bool     // the source has no more
	err    error    // why
}

const forever = time.Duration(1<<63 - 1)

func newAgenda(a *Attack, loop *Concurrency, url string) *agenda {
	return &agenda{
		clock: a.clock, write: a.write, loop: loop, url: url, timer: time.NewTimer(forever),
		source:  func(p results.Phase) (source, error) { return a.load.schedule.source(p, a.load.seed) },
		changed: make(chan struct{}), out: map[uint64]*turn{},
	}
}

// begin ends the schedule so far and starts that of phase, now. What would be due at its limit or after is not.
func (g *agenda) begin(phase results.Phase, limit time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over || g.isFull() {
		return
	}
	now := g.closePlan()
	until := forever
	if limit > 0 {
		until = now + limit - 1
	}
	g.plans = append(g.plans, &plan{phase: phase, start: now, until: until})
	g.begun = append(g.begun, beginning{phase, now})
	g.exhausted = false
	g.announce()
}

// stop ends the schedule; nothing after now becomes due, and no conversation goes on.
func (g *agenda) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	g.joined.dropAfter(g.closePlan())
	g.announce()
}

// abandon also drops what was due and is not yet sent.
func (g *agenda) abandon() { g.end(nil) }

// end drops all plans; err is why, if it is the agenda's own fault.
func (g *agenda) end(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over, g.err = true, cmp.Or(g.err, err)
	g.plans, g.joined = nil, nil
	g.announce()
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

// A view is how things stand, at one moment, for the Pacer.
type view struct {
	plan    *plan // nil: nothing is planned
	until   time.Duration
	joined  time.Duration // when the first of the conversations' turns is due; forever: there is none
	busy    int
	changed <-chan struct{}
	over    bool
}

func (g *agenda) look() view {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := view{changed: g.changed, over: g.over, busy: g.busy, joined: forever}
	if len(g.plans) > 0 {
		v.plan, v.until = g.plans[0], g.plans[0].until
	}
	if len(g.joined) > 0 {
		v.joined = g.joined[0].due
	}
	return v
}

// Pace waits until the next turn is due and puts it where the Targeter finds it. It
// never asks vegeta to wait: vegeta's sleep cannot be woken.
func (g *agenda) Pace(time.Duration, uint64) (wait time.Duration, stop bool) {
	for {
		v := g.look()
		if g.playing != nil && g.playing != v.plan {
			g.close()
		}
		if v.plan == nil && v.joined == forever && v.over {
			return 0, true
		}
		if g.play(v) {
			return 0, false
		}
	}
}

// Rate is part of vegeta's Pacer. Vegeta asks its own pacers alone for it.
func (g *agenda) Rate(time.Duration) float64 { return 0 }

// play waits for the next turn, of the plan or of a conversation, and returns true, or false if things must be
// looked at again.
func (g *agenda) play(v view) bool {
	planned := forever
	if v.plan != nil {
		var is bool
		if planned, is = g.next(v); !is {
			return false
		}
	}
	first := min(planned, v.joined)
	if planned < forever {
		g.writeAhead(v.plan, first, v.changed)
	}
	return g.sleep(first, v.changed) && g.release(v.plan, planned)
}

// next says when the plan's next turn is due, and writes it if need be: forever, while all users of a closed loop are
// busy. False: the plan is at its end, and off the agenda.
func (g *agenda) next(v view) (due time.Duration, is bool) {
	p := v.plan
	g.playing = p
	if len(p.ahead) == 0 && !p.ended {
		g.draw(p)
	}
	if len(p.ahead) == 0 {
		if p.err != nil {
			g.end(p.err)
		} else {
			g.drop(p, true)
		}
		return 0, false
	}
	due = p.ahead[0].due
	full := g.loop != nil && v.busy >= g.loop.Users
	switch {
	case full && !v.over:
		return forever, true
	case g.loop != nil:
		due = max(g.clock.Now(), p.start+g.loop.from(v.busy))
	}
	if full || due > v.until {
		g.drop(p, false)
		return 0, false
	}
	return due, true
}

// draw writes a plan's next turn.
func (g *agenda) draw(p *plan) {
	began := g.clock.Now()
	t, err := g.compose(p)
	if err != nil || t == nil {
		p.ended, p.err = true, err
		return
	}
	g.cost = max(g.clock.Now()-began, g.cost-g.cost/8)
	p.ahead = append(p.ahead, t)
	p.bytes += len(t.request)
}

// compose writes a plan's next turn; nil: it has no more. A panic is an error: this is vegeta's goroutine, not one
// of ours, and a trace or a dialect may hold what nobody has foreseen.
func (g *agenda) compose(p *plan) (t *turn, err error) {
	defer func() {
		if said := recover(); said != nil {
			err = panicked("the schedule", said)
		}
	}()
	from, ok, err := g.arrival(p)
	if err != nil || !ok {
		return nil, err
	}
	for len(p.places) <= from.Part {
		p.places = append(p.places, 0)
	}
	index := g.number()
	if t, err = g.write(p.phase, from, p.places[from.Part], index); err != nil {
		return nil, fmt.Errorf("write request %d: %w", index, err)
	}
	p.places[from.Part]++
	t.due = p.start + min(from.At, forever-p.start)
	return t, nil
}

// arrival asks the plan's source for the next one. In a closed loop there is always one more.
func (g *agenda) arrival(p *plan) (a Arrival, ok bool, err error) {
	if g.loop != nil {
		return Arrival{}, true, nil
	}
	if p.source == nil {
		if p.source, err = g.source(p.phase); err != nil {
			p.source = nil
			return Arrival{}, false, err
		}
	}
	return p.source.next()
}

// Bounds on what is written ahead of its time.
const (
	mostAhead  = 64
	bytesAhead = 16 << 20
)

// writeAhead uses the time until due to write the plan's turns after the next: those of a burst of long prompts would
// else wait for each other's words. It stops while there is still time for twice the longest that one took
// lately, and once the agenda has changed.
func (g *agenda) writeAhead(p *plan, due time.Duration, changed <-chan struct{}) {
	for !p.ended && len(p.ahead) < mostAhead && p.bytes < bytesAhead && due-g.clock.Now() > 2*g.cost {
		select {
		case <-changed:
			return
		default:
			g.draw(p)
		}
	}
}

// drop takes a plan off the agenda, with what was written ahead of it: exhausted, if its schedule is at its end.
func (g *agenda) drop(p *plan, exhausted bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.plans) == 0 || g.plans[0] != p {
		return
	}
	g.plans = g.plans[1:]
	if n := uint64(len(p.ahead)); n > 0 { // nobody has seen their indices: they can be given again, if they are the last
		first := p.ahead[0].index
		g.numbered.CompareAndSwap(first+n, first)
	}
	g.exhausted = exhausted && len(g.plans) == 0
}

// close gives back what the plan that was played holds. The Pacer calls it, or who has seen its end.
func (g *agenda) close() {
	if p := g.playing; p != nil && p.source != nil {
		p.source.close()
	}
	g.playing = nil
}

// release makes the next turn due: that of the plan, which is due at planned, or that of a conversation, if it is due
// before. It returns false if there is none that is due by now.
func (g *agenda) release(p *plan, planned time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	switch {
	case len(g.joined) > 0 && g.joined[0].due < planned:
		if g.joined[0].due > now {
			return false
		}
		t := g.joined[0]
		heap.Pop(&g.joined)
		t.phase = g.phaseAt(t.due)
		g.issue(t)
	case p == nil, len(g.plans) == 0, g.plans[0] != p, planned > p.until, planned > now:
		return false
	default:
		t := p.ahead[0]
		t.due = planned
		p.ahead[0], p.ahead = nil, p.ahead[1:]
		p.bytes -= len(t.request)
		g.busy++
		g.issue(t)
	}
	return true
}

// issue hands a turn that is due to the Targeter. The last that there may be ends the schedule, and all conversations.
func (g *agenda) issue(t *turn) {
	if c := t.conv; c != nil {
		switch {
		case c.turn == 1 && c.goesOn():
			g.coming++
		case c.turn > 1 && !c.goesOn():
			g.coming--
		}
	}
	g.due = append(g.due, t)
	if g.sent++; g.isFull() {
		g.plans, g.joined, g.coming, g.exhausted = nil, nil, 0, true
		g.announce()
	}
}

// isFull reports whether all turns that there may be are due. mu is held.
func (g *agenda) isFull() bool { return g.most > 0 && g.sent >= g.most }

// phaseAt is the one that was on then.
func (g *agenda) phaseAt(at time.Duration) results.Phase {
	n := len(g.begun) - 1
	for n > 0 && g.begun[n].start > at {
		n--
	}
	return g.begun[n].phase
}

// join puts the next turn of a conversation on the agenda, from the goroutine of the one before. Its user stays busy
// until done. It returns false once the load was stopped or has all its requests: the conversation ends there.
func (g *agenda) join(t *turn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over || g.isFull() {
		return false
	}
	heap.Push(&g.joined, t)
	if g.joined[0] == t { // the Pacer may wait for something later
		g.announce()
	}
	return true
}

// done says that a turn has ended that no other follows: in a closed loop the next user may begin.
func (g *agenda) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy--
	if g.loop != nil {
		g.announce()
	}
}

// isExhausted reports whether the schedule of the phase begun last is at its end, and all of it is due, the last turns
// of all conversations too.
func (g *agenda) isExhausted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.exhausted && g.coming == 0
}

// isOver reports whether the load was stopped.
func (g *agenda) isOver() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.over
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

// number gives the next turn its index. Where there are conversations, turns are written from many goroutines, some
// long before they are due, and some for nothing: then indices are not in the order of due, and have gaps.
func (g *agenda) number() uint64 { return g.numbered.Add(1) - 1 }

// issued is how many indices there are, so how many nonces may be out.
func (g *agenda) issued() uint64 { return g.numbered.Load() }

func (g *agenda) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// alarmLead is when the alarm takes over from Go's timers: they are up to a
// millisecond late where nothing else wakes the process, and a little more if it is busy.
const alarmLead = 1200 * time.Microsecond

// sleep waits until due and returns true, or false once the agenda has changed. While the alarm is on, at the very
// end, it does not hear of that: what has come meanwhile is seen at due.
func (g *agenda) sleep(due time.Duration, changed <-chan struct{}) bool {
	if due == forever {
		<-changed
		return false
	}
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

// followUps are turns of conversations by when they are due, the first of them at the top of the heap.
type followUps []*turn

// Len is part of heap.Interface, as are the others.
func (f followUps) Len() int { return len(f) }

// Less goes by due, and at the same time by index.
func (f followUps) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(f[i].due, f[j].due), cmp.Compare(f[i].index, f[j].index)) < 0
}

// Swap swaps.
func (f followUps) Swap(i, j int) { f[i], f[j] = f[j], f[i] }

// Push adds a *turn; nobody has anything else.
func (f *followUps) Push(x any) {
	if t, is := x.(*turn); is {
		*f = append(*f, t)
	}
}

// Pop takes the last.
func (f *followUps) Pop() any {
	last := len(*f) - 1
	t := (*f)[last]
	(*f)[last] = nil // its request is long, and the place may stay
	*f = (*f)[:last]
	return t
}

// dropAfter drops those that are due after now.
func (f *followUps) dropAfter(now time.Duration) {
	*f = slices.DeleteFunc(*f, func(t *turn) bool { return t.due > now })
	heap.Init(f)
}
