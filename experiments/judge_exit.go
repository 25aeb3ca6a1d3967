package experiments

import (
	"fmt"
	"strings"

	"github.com/failwhale/failwhale/results"
)

// stackEnded begins the error of a run whose stack was taken away: that refutes nothing but the run.
const stackEnded = "the stack ended"

// void says why nothing that was seen during and after the faults decides anything, or "".
func (j *Judge) void() string {
	for _, e := range j.events {
		if e.Kind == results.EventError && strings.HasPrefix(e.Detail, stackEnded) {
			return e.Detail
		}
	}
	if j.line.gate.came {
		for _, e := range j.events {
			if e.Kind == results.EventGate {
				why := because("the baseline was not steady", because(e.Claim, e.Detail))
				if len(j.plan.Faults) > 0 {
					why = "nothing was injected, " + why
				}
				return why
			}
		}
	}
	for _, f := range j.faults {
		if f.failed { // before what follows from it: other faults that were not injected
			return f.void(j.isTorn())
		}
	}
	for _, f := range j.faults {
		if why := f.void(j.isTorn()); why != "" {
			if !f.forced && j.line.cut.came {
				why = j.line.cutReason
			}
			return why
		}
	}
	return ""
}

// spared is void in a word where the gate was why: what it found is said once, of the whole run.
func (j *Judge) spared(void string) string {
	switch {
	case !j.line.gate.came || strings.HasPrefix(void, stackEnded):
		return void
	case len(j.plan.Faults) > 0:
		return "nothing was injected"
	default:
		return "the baseline was not steady"
	}
}

// findings judges every hypothesis and guard.
func (j *Judge) findings() []results.Finding {
	all := []results.Finding{}
	late, void := j.generatorBound(), j.void()
	for _, t := range j.claims {
		p := judged(t.claim.During)
		var r ruling
		if t.claim.Recovers() {
			r = j.weighRecovery(t)
		} else {
			r = j.weigh(t, p, false)
		}
		whole, cut := j.line.whole(p)
		rate := t.claim.Metric.class() == rateClass
		switch {
		case late != "":
			r.verdict, r.why = results.Undecided, generatorBound // the report's own Why has the figures
		case void != "" && p != inBaseline:
			r.verdict, r.why = results.Undecided, j.spared(void)
		case r.verdict == results.Refuted && rate && (j.isTorn() || !whole):
			// A rate counts tokens by their arrival, and what streams had brought that were under way is not known.
			r.verdict, r.why = results.Undecided, "the tokens of streams that were under way are not known: "+cutShort(j.isTorn(), cut)
		case r.verdict == results.Held && j.isTorn():
			r.verdict, r.why = results.Undecided, "it held until the log was torn"
		case r.verdict == results.Held && !whole:
			r.verdict, r.why = results.Undecided, "it held until the run was cut short: "+cut
		}
		all = append(all, r.finding(t.claim))
	}
	for _, g := range j.guards {
		f := g.finding(j.line.last, j.line, &j.plan.Attack)
		if late != "" && f.Verdict == results.Refuted {
			f.Verdict, f.Why = results.Undecided, generatorBound
		}
		all = append(all, f)
	}
	return all
}

// conclude fills in what the run as a whole came to, by the precedence of results.Worst.
func (j *Judge) conclude(r *results.Report) {
	reasons := map[results.Exit]string{}
	say := func(code results.Exit, why string) {
		if _, said := reasons[code]; !said && why != "" {
			reasons[code] = why
		}
	}
	for _, f := range j.faults {
		say(results.ExitHarm, f.harm(r.Torn))
		if f.failed {
			say(results.ExitNotInForce, f.void(r.Torn))
		}
	}
	for _, e := range j.events {
		switch e.Kind {
		case results.EventInterrupt:
			say(results.ExitInterrupted, j.interrupted(e))
		case results.EventGate:
			say(results.ExitNotSteady, j.void())
		case results.EventBudget:
			say(results.ExitUndecided, j.line.budget)
		case results.EventError:
			say(results.ExitUndecided, wentWrong(&e))
		default:
		}
	}
	say(results.ExitRefuted, refutedWhy(r.Findings))
	say(results.ExitUndecided, j.undecidedWhy(r))
	codes := make([]results.Exit, 0, len(reasons))
	for code := range reasons {
		codes = append(codes, code)
	}
	r.Exit = results.Worst(codes...)
	switch {
	case reasons[results.ExitRefuted] != "":
		r.Verdict = results.Refuted
	case r.Exit == results.ExitHeld:
		r.Verdict = results.Held
	}
	r.Why = reasons[r.Exit]
	if r.Exit == results.ExitHeld {
		r.Why = heldWhy(r.Findings, len(j.claims), len(j.plan.Faults) == 0 && !j.loadAlone())
	}
}

// cutShort says how the records of a phase came to an end before it did.
func cutShort(torn bool, cut string) string {
	if torn {
		return "the log was torn"
	}
	return cut
}

// wentWrong says what an EventError tells. That this machine was too slow is told in its own words.
func wentWrong(e *results.Event) string {
	if strings.HasPrefix(e.Detail, generatorBound) {
		return e.Detail
	}
	return "the run itself went wrong: " + e.Detail
}

func (j *Judge) interrupted(e results.Event) string {
	why := "interrupted"
	if e.Detail != "" {
		why += " (" + e.Detail + ")"
	}
	if j.loadAlone() { // there was nothing to inject
		return why
	}
	for _, f := range j.faults {
		if f.report.Injected > 0 {
			return why + "; every fault was reverted"
		}
	}
	return why + " before anything was injected"
}

// tell writes one finding as a part of a sentence.
func tell(f results.Finding) string {
	s := f.Claim
	if f.Observed != "" {
		s += ": " + f.Observed
	}
	if f.Why != "" {
		s += " (" + f.Why + ")"
	}
	return s
}

func ofVerdict(all []results.Finding, v results.Verdict) []results.Finding {
	var some []results.Finding
	for _, f := range all {
		if f.Verdict == v {
			some = append(some, f)
		}
	}
	return some
}

func refutedWhy(all []results.Finding) string {
	refuted := ofVerdict(all, results.Refuted)
	if len(refuted) == 0 {
		return ""
	}
	why := tell(refuted[0])
	if more := len(refuted) - 1; more > 0 {
		why += fmt.Sprintf(", and %d more", more)
	}
	return why
}

// undecidedWhy names what all of the run suffers from rather than the first finding that does.
func (j *Judge) undecidedWhy(r *results.Report) string {
	undecided := ofVerdict(r.Findings, results.Undecided)
	late, void := j.generatorBound(), j.void()
	switch {
	case late != "":
		return late
	case r.Torn:
		why := "the log ends before the run did"
		var open []string
		for _, f := range j.faults {
			if f.report.Injected > 0 && f.report.Restored == "" {
				open = append(open, f.report.ID)
			}
		}
		if len(open) > 0 {
			why += fmt.Sprintf(" and before %s was reverted: %s", strings.Join(open, ", "), results.AfterAKill)
		}
		return why
	case void != "":
		return void
	case len(undecided) == 0:
		return ""
	default:
		return tell(undecided[0])
	}
}

func heldWhy(all []results.Finding, hypotheses int, faultless bool) string {
	why := "the hypothesis held"
	if hypotheses > 1 {
		why = fmt.Sprintf("all %d hypotheses held", hypotheses)
	}
	if len(all) > hypotheses {
		why += ", and no guard was breached"
	}
	if faultless {
		why += "; the plan has no faults"
	}
	return why
}
