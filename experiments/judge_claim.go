package experiments

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A ruling is what the samples say of a claim, before anything about the run is considered.
type ruling struct {
	verdict         results.Verdict
	observed, bound string
	why             string
	n               int
	x               float64 // observed, to find the worst
}

// finding makes the report's line of it.
func (r ruling) finding(c Claim) results.Finding {
	return results.Finding{Claim: c.Text, Verdict: r.verdict, Observed: r.observed, Bound: r.bound, Why: r.why, N: r.n}
}

// A view is one tally, the length of its window, and the load that it is of.
type view struct {
	*tally
	length time.Duration
	load   *AttackSpec
}

// view gives a tally its window as far as it is known. At the gate, rates are those of the samples
// that have ended (see Gate).
func (j *Judge) view(t *trio, p phase, gate bool) view {
	from, to, _ := j.line.window(p)
	v := view{&t[p], to - from, &j.plan.Attack}
	if gate {
		ended := t[p]
		ended.tokens, ended.goodTokens = t[p].doneTokens, t[p].doneGoodTokens
		v.tally = &ended
	}
	return v
}

// weigh judges a claim's condition by the samples of one phase.
func (j *Judge) weigh(t *claimTrack, p phase, gate bool) ruling {
	c := t.claim.Condition
	if t.server != nil {
		return j.weighServer(t, p)
	}
	if t.group != nil {
		return j.weighWorst(t, p, gate)
	}
	base := j.view(t.trio, inBaseline, gate)
	r := rule(c, p, j.view(t.trio, p, gate), base)
	if lost := spoke(c.Metric, &t.lost[p]); r.verdict == results.Held && lost > 0 {
		both := newTrio(c.Metric.wants())
		both.merge(t.trio)
		both[p].merge(&t.lost[p])
		if rule(c, p, j.view(both, p, gate), base).verdict != results.Held {
			r.verdict = results.Undecided
			r.why = fmt.Sprintf("%d %s lack a label of %s: if they are of this claim, it does not hold", lost, t.lost[p].clients.unanswered(), c.Metric.Labels)
		}
	}
	return r
}

// rule compares. base is only looked at for "of baseline".
func rule(c Condition, p phase, now, base view) ruling {
	bar, why := barOf(c, base)
	r := ruling{bound: boundOf(c, bar, why == "")}
	if why != "" {
		r.why = why
	}
	x, n, ok := measure(c.Metric, now.tally, now.length)
	if !ok || n == 0 {
		r.why = fmt.Sprintf("no request of the %s phase tells", p.name())
		return r
	}
	r.n, r.x, r.observed = n, x, figure(c.Metric, x)
	if why != "" {
		return r
	}
	need := needed(c.Metric, c.Op, bar)
	switch {
	case n < need && refutes(c.Metric, c.Op, bar, now.tally):
		r.verdict = results.Refuted
		r.why = because(fmt.Sprintf("%d samples already refute it", n), told(c.Metric, now.tally))
	case n < need:
		r.why = fewSamples(n, need, p)
	case c.Op.holds(x, bar):
		r.verdict, r.why = results.Held, told(c.Metric, now.tally)
	default:
		r.verdict, r.why = results.Refuted, told(c.Metric, now.tally)
	}
	if blind(c.Metric, now.clients.echoed) && (r.verdict != results.Refuted || x == 0) { // a leak that was seen was seen
		r.verdict, r.why = results.Undecided, now.load.noEcho(c.Metric.Labels)
	}
	if n := now.clients.echoed; c.Metric.class() == countClass && r.verdict == results.Held && n < need {
		r.verdict, r.why = results.Undecided, fmt.Sprintf("only %d of %d answers carried their own nonce, it takes %d: in others a swap would not have been seen", n, now.clients.answers, need)
	}
	return r
}

// spoke is how many samples m was measured by.
func spoke(m Metric, t *tally) int {
	_, n, _ := measure(m, t, time.Second)
	return n
}

// fewSamples is what to do about too few of our own requests, and fewServed about too few of anybody's.
func fewSamples(n, need int, p phase) string { return fewServed(n, need, p) + " or raise the rate" }

func fewServed(n, need int, p phase) string {
	return fmt.Sprintf("%d samples in %s are too few, it takes %d: lengthen phases.%s", n, p.name(), need, p.name())
}

// barOf is what to compare with; why says why there is nothing.
func barOf(c Condition, base view) (bar float64, why string) {
	if !c.Value.OfBaseline {
		return c.Value.fraction(), ""
	}
	x, n, ok := measure(c.Metric, base.tally, base.length)
	switch {
	case !ok || n == 0:
		return 0, "baseline has nothing to compare with: no request of it tells"
	case x == 0:
		return 0, "baseline has nothing to compare with: it is 0 there"
	case math.IsInf(x, 1):
		return 0, "baseline has nothing to compare with: it is infinite there"
	}
	bar = x * c.Value.Number / 100
	if need := needed(c.Metric, c.Op, bar); n < need {
		return bar, fewSamples(n, need, inBaseline)
	}
	return bar, ""
}

// boundOf writes the bar: ">= 99 %", or ">= 650/s (80% of baseline)".
func boundOf(c Condition, bar float64, known bool) string {
	if c.Value.OfBaseline && known {
		return fmt.Sprintf("%s %s (%s)", c.Op, figure(c.Metric, bar), c.Value)
	}
	return written(c)
}

// written is the bar as the plan has it.
func written(c Condition) string {
	return strings.Replace(fmt.Sprintf("%s %s", c.Op, c.Value), "%", " %", 1)
}

// weighWorst judges each value of the label, and answers with the worst. A request that failed and
// does not name the label could be anyone's, unless we name it ourselves: what holds must hold even if all of them are
// counted to it, as a region that is gone names itself on no response.
func (j *Judge) weighWorst(t *claimTrack, p phase, gate bool) ruling {
	c := t.claim.Condition
	lost := 0
	if !t.whole {
		lost = spoke(c.Metric, &t.group.none[p])
	}
	var worst ruling
	judgedAny := false
	for _, s := range t.group.slices() {
		if s.trio == t.group.none || s.trio == t.group.other || spoke(c.Metric, &s.trio[p])+lost == 0 {
			continue
		}
		base := j.view(s.trio, inBaseline, gate)
		r := rule(c, p, j.view(s.trio, p, gate), base)
		if r.verdict == results.Held && lost > 0 {
			both := newTrio(t.group.wants)
			both.merge(s.trio)
			both[p].merge(&t.group.none[p])
			if rule(c, p, j.view(both, p, gate), base).verdict != results.Held {
				r.verdict = results.Undecided
				r.why = fmt.Sprintf("%d %s name no %s: if they are of this one, it does not hold", lost, t.group.none[p].clients.unanswered(), c.Worst)
			}
		}
		if gate && r.verdict == results.Undecided && c.Worst == "endpoint" && j.byFailover(s.value) {
			continue // as of a claim about it alone: see Gate
		}
		r.observed = because(s.value, r.observed)
		if !judgedAny || worse(c.Op, r, worst) {
			worst = r
		}
		judgedAny = true
	}
	switch {
	case !judgedAny:
		return ruling{bound: written(c), why: fmt.Sprintf("no request of the %s phase has a label %s", p.name(), c.Worst)}
	case worst.verdict == results.Held && t.group.other != nil:
		worst.verdict = results.Undecided
		worst.why = fmt.Sprintf("%s has more than %d values, and the rest was not told apart", c.Worst, maxLabelValues)
	}
	return worst
}

// worse orders rulings: refuted, undecided, held; then by how far they are on the claim's bad side.
func worse(op Op, a, b ruling) bool {
	rank := func(v results.Verdict) int {
		return map[results.Verdict]int{results.Refuted: 0, results.Undecided: 1, results.Held: 2}[v]
	}
	if ra, rb := rank(a.verdict), rank(b.verdict); ra != rb {
		return ra < rb
	}
	if op.floor() {
		return a.x < b.x
	}
	return a.x > b.x
}

// weighRecovery judges recovery(…): from Revert returned to the end of the last window that violates
// the condition.
func (j *Judge) weighRecovery(t *claimTrack) ruling {
	c := t.claim
	if t.server != nil {
		return j.weighServerRecovery(t)
	}
	r := ruling{bound: fmt.Sprintf("%s %s", c.within(), c.Within)}
	from, to, ok := j.line.window(inRecovery)
	bar, why := barOf(c.Condition, j.view(t.trio, inBaseline, false))
	switch {
	case !ok:
		r.why = "nothing was reverted that could be recovered from"
		return r
	case why != "":
		r.why = why
		return r
	}
	violated, good, data, atEnd := t.violations(to-from, bar)
	r.n = spoke(c.Metric, &t.trio[inRecovery])
	if r = r.recovered(c, violated, data, atEnd); r.verdict == results.Held && !c.within().holds(good.Seconds(), c.Within.Seconds()) {
		r.verdict = results.Undecided
		r.why = fmt.Sprintf("no request tells of the time from %s to %s after the revert, as none was due", violated.Round(time.Millisecond), good.Round(time.Millisecond))
	}
	return r
}

// violations walks the windows of a recovery of some length: where the last one that violates the
// condition ends, where the first after it that had data begins, how many had data, and whether the last of these is a
// violation. Between the two it may have recovered: users who wait for the answers of a stack that is down ask it nothing.
func (t *claimTrack) violations(length time.Duration, bar float64) (last, good time.Duration, data int, atEnd bool) {
	told := false // since the last violation
	c := t.claim.Condition
	for i := range min(int((length+recoveryWindow-1)/recoveryWindow), maxWindows) {
		w := new(tally)
		if i < len(t.windows) && t.windows[i] != nil {
			w = t.windows[i]
		}
		start := time.Duration(i) * recoveryWindow
		end := min(start+recoveryWindow, length)
		x, n, ok := measure(c.Metric, w, end-start)
		// No token in a window is a rate of 0; no request in it says nothing. A window that the end of
		// load cuts short has no fair rate.
		if rate := c.Metric.class() == rateClass; !ok || rate && end-start < recoveryWindow || !rate && n == 0 {
			continue
		}
		data++
		if atEnd = !c.Op.holds(x, bar); atEnd {
			last = end
		} else if !told {
			good = start
		}
		told = !atEnd
	}
	return last, good, data, atEnd
}

// recovered fills in what the windows came to.
func (r ruling) recovered(c Claim, violated time.Duration, data int, atEnd bool) ruling {
	if data == 0 || r.n == 0 {
		r.why = "no request of the recovery phase tells"
		return r
	}
	r.x, r.observed = violated.Seconds(), results.Seconds(violated.Seconds()).String()
	inTime := c.within().holds(violated.Seconds(), c.Within.Seconds())
	switch {
	case atEnd && inTime:
		r.observed = "over " + r.observed
		r.why = "the run ended before it had recovered: lengthen phases.recovery"
	case atEnd:
		r.observed = "over " + r.observed
		r.verdict, r.why = results.Refuted, "it had not recovered when the run ended"
	case inTime:
		r.verdict = results.Held
	default:
		r.verdict = results.Refuted
	}
	return r
}
