package experiments

import (
	"fmt"
	"slices"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A phase is a place in arrays for one of results.JudgedPhases, or nowhere.
type phase int

const (
	nowhere      phase = -1
	inBaseline   phase = 0
	inFault      phase = 1
	inRecovery   phase = 2
	judgedPhases       = 3
)

// name is the phase as results has it.
func (p phase) name() results.Phase { return results.JudgedPhases()[p] }

// judged gives a phase its place; nowhere for warmup and for what is none.
func judged(p results.Phase) phase { return phase(slices.Index(results.JudgedPhases(), p)) }

// A moment is a time that may not have come. The zero value has not.
type moment struct {
	at   time.Duration
	came bool
}

// first keeps the earliest time that it is given.
func (m *moment) first(at time.Duration) {
	if !m.came {
		*m = moment{at, true}
	}
}

// A timeline says to which phase a moment or a request belongs, by the events up to now. The
// recorder's promise (see package results) makes that enough: when a sample comes, every event up
// to its end has come.
//
//	warmup     a request that was due before baseline began: counts nowhere
//	fault      [Due, Done] meets [first Inject called, last Revert returned]
//	baseline   else, if it was done before
//	recovery   else
//
// Windows, for what counts by the moment: baseline is [begun, Inject called], fault is [Inject
// called, last Revert returned], recovery is [Revert returned, end of load]. What a stream of the
// warm-up brings after baseline began counts in these: it is what the stack gave at that moment.
//
// With no fault planned the fault window is the fault phase itself. A fault that is planned and was
// never injected when recovery begins keeps the window open until then.
type timeline struct {
	planned  int  // faults in the plan
	recovers bool // the plan has a recovery phase
	alone    bool // it is an attack: it has one phase, of which nobody speaks

	begun     map[results.Phase]time.Duration
	opened    moment          // Inject called for the first time
	closed    moment          // the last Revert returned
	inForce   map[string]bool // faults between Inject called and Revert returned
	done      map[string]bool // faults that were reverted, or failed before Inject
	cut       moment          // something ended the run before its time
	budget    string          // that it was used up before the phases were over; "": it was not
	gate      moment
	loadEnd   moment
	ended     bool // in order
	last      time.Duration
	cutReason string
}

func newTimeline(p *Plan) *timeline {
	return &timeline{
		planned: len(p.Faults), recovers: p.Phases.Recovery.Limit() > 0, alone: p.Phases.Fault.Limit() == 0, begun: map[results.Phase]time.Duration{},
		inForce: map[string]bool{}, done: map[string]bool{},
	}
}

// event takes the next event.
func (t *timeline) event(e *results.Event) {
	t.last = max(t.last, e.At)
	switch e.Kind {
	case results.EventPhase:
		t.begin(e)
	case results.EventInject:
		t.opened.first(e.At)
		t.inForce[e.Fault] = true
		delete(t.done, e.Fault)
	case results.EventInjectFailed:
		if !t.inForce[e.Fault] {
			t.done[e.Fault] = true
			t.closeIfOver(e.At)
		}
	case results.EventReverted:
		delete(t.inForce, e.Fault)
		t.done[e.Fault] = true
		t.closeIfOver(e.At)
	case results.EventGuard:
		t.cutAt(e.At, "guard "+e.Claim+" ended the run")
	case results.EventInterrupt:
		t.cutAt(e.At, "the run was interrupted")
	case results.EventError:
		t.cutAt(e.At, wentWrong(e))
	case results.EventBudget:
		if !t.loadEnd.came { // else all phases were over
			t.budget = t.usedUp(e)
			t.cutAt(e.At, t.budget)
		}
	case results.EventGate:
		t.gate.first(e.At)
	case results.EventLoadEnd:
		t.loadEnd.first(e.At)
		if t.planned == 0 && t.opened.came {
			t.closed.first(e.At)
		}
	case results.EventEnd:
		t.ended = true
	default: // says nothing about windows
	}
}

func (t *timeline) begin(e *results.Event) {
	if _, again := t.begun[e.Phase]; again {
		return
	}
	t.begun[e.Phase] = e.At
	switch {
	case t.planned == 0 && e.Phase == results.Fault:
		t.opened.first(e.At)
	case e.Phase == results.Recovery && t.opened.came && len(t.inForce) == 0:
		t.closed.first(e.At)
	}
}

// usedUp says when the budget was.
func (t *timeline) usedUp(e *results.Event) string {
	var phase results.Phase
	for _, p := range append([]results.Phase{results.Warmup}, results.JudgedPhases()...) {
		if at, begun := t.begun[p]; begun && at <= e.At {
			phase = p
		}
	}
	into := "into " + string(phase)
	if t.alone {
		into = "after its start"
	}
	return fmt.Sprintf("the budget of %s was used up %.1f s %s: the rest of the load was not sent", e.Detail, (e.At - t.begun[phase]).Seconds(), into)
}

// closeIfOver closes the window once no fault is in force and none is still to come.
func (t *timeline) closeIfOver(at time.Duration) {
	if t.opened.came && len(t.inForce) == 0 && len(t.done) >= t.planned {
		t.closed.first(at)
	}
}

func (t *timeline) cutAt(at time.Duration, why string) {
	if !t.cut.came {
		t.cutReason = why
	}
	t.cut.first(at)
}

// belongs says where a request counts.
func (t *timeline) belongs(s *results.Sample) phase {
	began, ok := t.begun[results.Baseline]
	switch {
	case !ok || s.Due < began:
		return nowhere
	case !t.opened.came || s.Done < t.opened.at:
		return inBaseline
	case !t.closed.came || s.Due <= t.closed.at:
		return inFault
	default:
		return inRecovery
	}
}

// at says in which window a moment lies; nowhere before baseline and after the end of load.
func (t *timeline) at(at time.Duration) phase {
	began, ok := t.begun[results.Baseline]
	switch {
	case !ok || at < began, t.loadEnd.came && at > t.loadEnd.at:
		return nowhere
	case !t.opened.came || at < t.opened.at:
		return inBaseline
	case !t.closed.came || at <= t.closed.at:
		return inFault
	default:
		return inRecovery
	}
}

// window gives a phase's window as far as it is known; ok is false if it has not begun.
func (t *timeline) window(p phase) (from, to time.Duration, ok bool) {
	end := t.last
	if t.loadEnd.came {
		end = t.loadEnd.at
	}
	began, ok := t.begun[results.Baseline]
	switch p {
	case inBaseline:
		from, to = began, end
		if t.opened.came {
			to = t.opened.at
		}
	case inFault:
		from, to, ok = t.opened.at, end, t.opened.came
		if t.closed.came {
			to = min(end, t.closed.at)
		}
	case inRecovery:
		from, to, ok = t.closed.at, end, t.closed.came
	default:
		return 0, 0, false
	}
	return from, max(from, to), ok
}

// reported gives the length of a phase that the report shows. Between the last Revert and the end of load lie
// a few milliseconds that are no recovery, unless that phase has begun.
func (t *timeline) reported(p phase) (length time.Duration, ok bool) {
	from, to, ok := t.window(p)
	if _, recovering := t.begun[results.Recovery]; p == inRecovery && !recovering {
		ok = false
	}
	return to - from, ok
}

// whole reports whether every request of a phase that ran to its planned end is known; if not, why.
// Baseline is, once the next phase began: all of its requests were done by then. Of the other phases
// some are still under way when a run is cut short, and are cancelled: what hangs is not counted, and
// what is counted looks better than it was.
func (t *timeline) whole(p phase) (ok bool, why string) {
	_, faulty := t.begun[results.Fault]
	_, recovering := t.begun[results.Recovery]
	drained := t.loadEnd.came && !t.cut.came
	switch p {
	case inBaseline:
		ok = faulty || t.opened.came || t.gate.came
	case inFault:
		ok = drained && (recovering || !t.recovers && t.closed.came)
	case inRecovery:
		ok = drained && recovering
	default:
	}
	switch {
	case ok:
		return true, ""
	case t.cut.came:
		return false, t.cutReason
	default:
		return false, "the run ended before the " + string(p.name()) + " phase did"
	}
}
