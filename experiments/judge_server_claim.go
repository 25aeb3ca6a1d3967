package experiments

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/failwhale/failwhale/results"
)

// follow lets those who judge by servers see a step.
func (j *Judge) follow(s step) {
	for _, t := range j.claims {
		if t.server == nil {
			continue
		}
		if t.claim.Recovers() {
			t.server.add(s, j.line, j.line.closed, recoveryWindow)
		} else {
			t.server.add(s, j.line, moment{}, 0)
		}
	}
	for _, g := range j.guards {
		g.follow(s, j.line)
	}
}

// weighServer judges a claim about servers by what they said in one phase.
func (j *Judge) weighServer(t *claimTrack, p phase) ruling {
	c := t.claim.Condition
	if len(t.server.of) == 0 {
		return ruling{bound: written(c), why: noPage(c)}
	}
	var worst ruling
	for i, value := range slices.Sorted(maps.Keys(t.server.of)) {
		r := j.ruleServer(c, p, t.server.of[value])
		if c.Worst != "" {
			r.observed = because(value, r.observed)
		}
		if i == 0 || worse(c.Op, r, worst) {
			worst = r
		}
	}
	return worst
}

func noPage(c Condition) string {
	switch {
	case c.Worst != "":
		return "no page of metrics has a label " + c.Worst
	case len(c.Metric.Labels) > 0:
		return fmt.Sprintf("no page of metrics has the labels %s", c.Metric.Labels)
	default:
		return "the stack has no page of metrics"
	}
}

// ruleServer compares what some servers said.
func (j *Judge) ruleServer(c Condition, p phase, s *serverSlice) ruling {
	length, gap := j.known(p, s)
	bar, why := j.barOfServer(c, s)
	r := ruling{bound: boundOf(c, bar, why == ""), why: why}
	if silent := s.silent(c.Metric); silent != "" && gap == "" && s.phases[p].traffic() {
		r.why = silent
		return r
	}
	gap = cmp.Or(gap, s.partial(c.Metric))
	now, ok := s.phases[p].measure(c.Metric, rateOver(gap != "", length))
	if ok {
		r.n, r.x, r.observed = now.n, now.x, now.figure(c.Metric)
	}
	switch {
	case !ok && gap != "":
		r.why = gap
	case !s.phases[p].traffic() && !j.ceased(c, s):
		r.observed = ""
		r.why = because(fmt.Sprintf("the servers counted no request in the %s phase: it touched nobody", p.name()), gap)
	case !ok:
		r.why = fmt.Sprintf("the servers tell no %s of the %s phase", c.Metric.Name, p.name())
	case why == "":
		now.rule(&r, c, bar, p)
		if gap != "" && !lower(c, r.verdict) {
			r.verdict, r.why = results.Undecided, gap
		}
		if stands := j.stands(c, p, s); stands != "" && r.verdict == results.Held {
			r.verdict, r.why = results.Undecided, stands
		}
	}
	return r
}

// rateOver is the time of a rate: of all the phase where a part of it was not read, so that what is known is the least
// that it can be; 0: of what was read.
func rateOver(gapped bool, length time.Duration) time.Duration {
	if gapped {
		return length
	}
	return 0
}

// lower reports whether a verdict stands also if there was more than is known: of a rate or a maximum that is at least
// what it is, or of a minimum that is at most.
func lower(c Condition, v results.Verdict) bool {
	switch {
	case c.Metric.class() == rateClass:
		return c.Op.floor() && v == results.Held || !c.Op.floor() && v == results.Refuted
	case c.Metric.Stat == "max":
		return !c.Op.floor() && v == results.Refuted
	case c.Metric.Stat == "min":
		return c.Op.floor() && v == results.Refuted
	default:
		return false
	}
}

// ceased reports whether a claim asks for traffic that there was in baseline: that there is none refutes it.
func (j *Judge) ceased(c Condition, s *serverSlice) bool {
	return c.Metric.class() == rateClass && c.Op.floor() && s.phases[inBaseline].traffic()
}

// known is how long a phase has lasted so far, and why not all of it is known.
func (j *Judge) known(p phase, s *serverSlice) (length time.Duration, gap string) {
	from, to, _ := j.line.window(p)
	return to - from, s.gap(p, to-from)
}

// stands says why what some servers counted may not be all that came to them, in a phase or in the baseline that it is
// compared with; "": it is.
func (j *Judge) stands(c Condition, p phase, s *serverSlice) string {
	compared := ""
	if c.Value.OfBaseline {
		from, to, _ := j.line.window(inBaseline)
		compared = s.stands(inBaseline, to-from)
	}
	from, to, _ := j.line.window(p)
	return cmp.Or(s.stands(p, to-from), compared)
}

// barOfServer is barOf for what servers said.
func (j *Judge) barOfServer(c Condition, s *serverSlice) (bar float64, why string) {
	if !c.Value.OfBaseline {
		return c.Value.fraction(), ""
	}
	_, gap := j.known(inBaseline, s)
	gap = cmp.Or(gap, s.partial(c.Metric))
	base, ok := s.phases[inBaseline].measure(c.Metric, 0)
	const nothing = "baseline has nothing to compare with: "
	switch {
	case gap != "":
		return 0, nothing + gap
	case !ok, !s.phases[inBaseline].traffic():
		return 0, nothing + "the servers counted no request in it"
	case base.x == 0:
		return 0, nothing + "it is 0 there"
	case base.past:
		return 0, nothing + "it lies past the last bucket there"
	}
	bar = base.x * c.Value.Number / 100
	if need := neededOfServer(c.Metric, c.Op, bar); base.n < need {
		return bar, fewServed(base.n, need, inBaseline)
	}
	return bar, ""
}

// fewReadings of a gauge say nothing of a phase.
const fewReadings = 3

// neededOfServer is needed for what servers said.
func neededOfServer(m Metric, op Op, bar float64) int {
	switch {
	case m.class() == rateClass: // a count over a time that is known, and none is one too
		return 0
	case m.class() != distributionClass && m.class() != shareClass && m.Quantile == 0:
		return fewReadings
	default:
		return needed(m, op, bar)
	}
}

// rule compares one figure with the bar.
func (r reach) rule(into *ruling, c Condition, bar float64, p phase) {
	into.why = r.told(c.Metric)
	need := neededOfServer(c.Metric, c.Op, bar)
	switch {
	case r.dark(true, bar) != "":
		into.why = r.dark(true, bar)
	case r.n < need && !r.refutes(c, bar):
		into.why = fewServed(r.n, need, p)
	case c.Op.holds(r.above(bar), bar):
		into.verdict = results.Held
	default:
		into.verdict = results.Refuted
	}
}

// dark says why nobody knows on which side of the bar a figure is that was told; "": it is known, or none was told.
func (r reach) dark(ok bool, bar float64) string {
	switch {
	case !ok && r.n > 0:
		return "it was counted without buckets that say how much"
	case ok && r.past && bar > r.x:
		return fmt.Sprintf("it lies past the last bucket, which ends at %s", results.Seconds(r.x))
	default:
		return ""
	}
}

// above is the figure, or what is over the bar for one that is past the last bucket.
func (r reach) above(bar float64) float64 {
	if r.past {
		return math.Nextafter(max(r.x, bar), math.Inf(1)) * (1 + 1e-6)
	}
	return r.x
}

// refutes reports whether fewer requests than needed refute the comparison already.
func (r reach) refutes(c Condition, bar float64) bool {
	if c.Metric.class() != shareClass || c.Op == "!=" || c.Op.holds(r.x, bar) {
		return false
	}
	lo, hi := results.Wilson(int(math.Round(r.x*float64(r.n))), r.n, results.Z95)
	return c.Op.floor() && hi < bar || !c.Op.floor() && lo > bar
}

// figure writes it as tables do.
func (r reach) figure(m Metric) string {
	if r.past {
		return ">" + figure(m, r.x)
	}
	return figure(m, r.x)
}

// told is a sentence on what is behind a figure.
func (r reach) told(m Metric) string {
	switch {
	case m.Name == "server.success" && r.x < 1:
		return fmt.Sprintf("%.0f of %d failed, as the servers count", (1-r.x)*float64(r.n), r.n)
	case m.Name == "server.error_rate" && r.x > 0:
		return fmt.Sprintf("%.0f of %d failed, as the servers count", r.x*float64(r.n), r.n)
	case r.in.Known() && !r.past:
		return fmt.Sprintf("by buckets: it lies between %s and %s", r.in.From, r.in.To)
	default:
		return ""
	}
}

// weighServerRecovery is weighRecovery for what servers said.
func (j *Judge) weighServerRecovery(t *claimTrack) ruling {
	c := t.claim
	r := ruling{bound: fmt.Sprintf("%s %s", c.within(), c.Within)}
	from, to, ok := j.line.window(inRecovery)
	s := t.server.of[""]
	if !ok {
		r.why = "nothing was reverted that could be recovered from"
		return r
	}
	if s == nil {
		r.why = noPage(c.Condition)
		return r
	}
	bar, why := j.barOfServer(c.Condition, s)
	_, gap := j.known(inRecovery, s)
	switch silent := s.silent(c.Metric); {
	case why != "":
		r.why = why
		return r
	case !s.phases[inRecovery].traffic():
		r.why = because("the servers counted no request in the recovery phase: it touched nobody", gap)
		return r
	case silent != "":
		r.why = because(silent, gap)
		return r
	}
	violated, data, atEnd, dark := s.violations(c.Condition, to-from, bar)
	if all, ok := s.phases[inRecovery].measure(c.Metric, 0); ok {
		r.n = max(1, all.n)
	}
	r = r.recovered(c, violated, data, atEnd)
	if gap = cmp.Or(gap, s.partial(c.Metric), dark, j.stands(c.Condition, inRecovery, s)); gap != "" && r.verdict == results.Held {
		r.verdict, r.why = results.Undecided, gap
	}
	return r
}

// violations is a claim track's, of what servers said. What a window has no reading of says nothing; dark is why nobody
// knows on which side of the bar one is that has.
func (s *serverSlice) violations(c Condition, length time.Duration, bar float64) (last time.Duration, data int, atEnd bool, dark string) {
	for i := range min(int64((length+recoveryWindow-1)/recoveryWindow), maxWindows) {
		start := time.Duration(i) * recoveryWindow
		end := min(start+recoveryWindow, length)
		w := s.windows[i]
		if w == nil || c.Metric.class() == rateClass && end-start < recoveryWindow {
			continue
		}
		x, ok := w.measure(c.Metric, 0)
		if why := x.dark(ok, bar); why != "" {
			dark = why
			continue
		}
		if !ok {
			continue
		}
		data++
		if atEnd = !c.Op.holds(x.above(bar), bar); atEnd {
			last = end
		}
	}
	return last, data, atEnd, dark
}
