package experiments

import (
	"fmt"
	"slices"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A guard looks at whole seconds of the run's clock, by when requests ended. A second is over when
// a request of the second after the next has ended: a sample is written a little after it is done.
const guardWindow = time.Second

// A guardTrack watches one guard, from the beginning of baseline to the end of load.
type guardTrack struct {
	guard   Guard
	begun   moment
	loadEnd moment
	seconds []second // not over yet, in order
	streak  streak
	found   breach // by the samples
	said    *results.Event
	n       int
	under   int          // of n, requests that ended in the fault phase
	echoed  int          // answers that carried their own nonce
	server  *serverTrack // of what servers tell; else nil
	dark    string       // why what a page told of a second says nothing
}

// A second is one guardWindow; the request it counts is its number.
type second struct {
	number int64
	tally  *tally
}

// A streak is a row of seconds for all of which, but those without data, the condition was true.
type streak struct {
	runs  bool
	since int64
}

// A breach is the first moment at which the streak was long enough.
type breach struct {
	moment
	observed float64
	n        int
}

func newGuardTrack(g Guard) *guardTrack {
	t := &guardTrack{guard: g}
	if g.Metric.Server() {
		t.server = newServerTrack(g.Condition)
	}
	return t
}

func (g *guardTrack) event(e *results.Event) {
	switch {
	case e.Kind == results.EventPhase && e.Phase == results.Baseline:
		g.begun.first(e.At)
	case e.Kind == results.EventLoadEnd:
		g.loadEnd.first(e.At)
	case e.Kind == results.EventGuard && g.said == nil && (e.Claim == g.guard.Text || e.Claim == g.guard.String()):
		g.said = e
	}
}

func (g *guardTrack) add(r *reading) {
	s := r.sample
	if !r.tells(g.guard.Metric) || !g.begun.came || s.Due < g.begun.at || g.loadEnd.came && s.Done > g.loadEnd.at ||
		!s.Labels.Match(g.guard.Metric.Labels) {
		return
	}
	g.n++
	if r.done == inFault {
		g.under++
	}
	if r.sample.Answer() && r.sample.Echoed {
		g.echoed++
	}
	number := int64(s.Done / guardWindow)
	i, known := slices.BinarySearchFunc(g.seconds, number, func(x second, n int64) int { return int(x.number - n) })
	if !known {
		g.seconds = slices.Insert(g.seconds, i, second{number, &tally{wants: g.guard.Metric.wants()}})
	}
	g.seconds[i].tally.request(r)
	newest := g.seconds[len(g.seconds)-1].number
	for len(g.seconds) > 0 && g.seconds[0].number < newest-1 {
		if b := g.streak.next(g.guard, g.seconds[0]); !g.found.came {
			g.found = b
		}
		g.seconds = g.seconds[1:]
	}
}

// next takes the next second that has data.
func (s *streak) next(g Guard, x second) breach {
	observed, n, ok := measure(g.Metric, x.tally, guardWindow)
	if !ok || n == 0 {
		return breach{}
	}
	return s.take(g, x.number, observed, n)
}

// take takes what was observed in a second.
func (s *streak) take(g Guard, number int64, observed float64, n int) breach {
	if !g.Op.holds(observed, g.Value.fraction()) {
		s.runs = false
		return breach{}
	}
	if !s.runs {
		*s = streak{true, number}
	}
	if end := time.Duration(number+1) * guardWindow; end-time.Duration(s.since)*guardWindow >= g.For {
		return breach{moment{end, true}, observed, n}
	}
	return breach{}
}

// breach is the first one at a time of the run's clock: also by seconds that are not over for good,
// but are over by the clock. It changes nothing.
func (g *guardTrack) breach(now time.Duration) breach {
	if g.found.came {
		return g.found
	}
	s := g.streak
	if g.server != nil {
		return g.breachOfServer(s, now)
	}
	for _, x := range g.seconds {
		if time.Duration(x.number+1)*guardWindow > now {
			break
		}
		if b := s.next(g.guard, x); b.came {
			return b
		}
	}
	return breach{}
}

// refuted is the finding for a breach.
func (g *guardTrack) refuted(b breach) results.Finding {
	n := b.n
	if g.server == nil {
		n = g.n // all that it saw, as of one that held; observed is of the last second
	}
	return results.Finding{
		Guard: true, Claim: g.guard.Text, Verdict: results.Refuted, Observed: figure(g.guard.Metric, b.observed), Bound: g.bound(), N: n,
		Why: fmt.Sprintf("breached at %s: true in each second with data for %s", b.at, g.guard.For),
	}
}

func (g *guardTrack) bound() string {
	return fmt.Sprintf("never %s for %s", written(g.guard.Condition), g.guard.For)
}

// finding is what became of the guard. last is the end of the records.
func (g *guardTrack) finding(last time.Duration, line *timeline, load *AttackSpec) results.Finding {
	b := g.breach(last)
	if b.came {
		return g.refuted(b)
	}
	f := results.Finding{Guard: true, Claim: g.guard.Text, Bound: g.bound(), N: g.n}
	switch {
	case g.said != nil:
		f.Verdict = results.Refuted
		f.Why = because(fmt.Sprintf("breached at %s", g.said.At), g.said.Detail)
	case g.n == 0 && g.server != nil:
		f.Why = because("no page that it watches has told of it", g.blind(line))
	case g.n == 0:
		f.Why = "no request that it watches has ended"
	case !line.ended || line.cut.came:
		f.Why = "not breached until the run was cut short"
	case blind(g.guard.Metric, g.echoed):
		f.Why = load.noEcho(g.guard.Metric.Labels)
	case g.server != nil && g.blind(line) != "":
		f.Why = "not breached as far as is known: " + g.blind(line)
	case g.missedFault(line):
		f.Why = "not breached as far as is known: no request that it watches ended in the fault phase"
	default:
		f.Verdict, f.Why = results.Held, "never breached"
	}
	return f
}

// missedFault reports whether a guard about our requests had none to see in the fault phase, as where its labels are of a
// region that is gone: what it saw before and after says nothing of what the fault did. A request that ended later was
// seen, but not while there was a fault to end.
func (g *guardTrack) missedFault(line *timeline) bool {
	_, told := line.reported(inFault)
	return g.server == nil && told && g.under == 0
}
