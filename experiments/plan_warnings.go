package experiments

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// enough warns of claims that the plan's own load cannot decide.
func (c *checker) enough() {
	for i, h := range c.plan.Hypotheses {
		path := fmt.Sprintf("hypotheses[%d]", i)
		if h.Recovers() {
			continue // judged by windows, without a least number
		}
		c.enoughIn(path, h, h.During, "")
		if h.During == results.Baseline {
			continue
		}
		switch {
		case !h.Absolute():
			c.enoughIn(path, h, results.Baseline, ", with which it is compared,")
		case h.During == results.Fault:
			c.enoughIn(path, h, results.Baseline, gateRole)
		}
	}
}

// breaches warns of guards that a healthy stack would breach: they were written as what must stay true.
func (c *checker) breaches() {
	for i, g := range c.plan.Guards {
		high := strings.HasSuffix(g.Metric.Name, "success") || g.Metric.class() == rateClass // is well
		good := high && g.Op.floor() || !high && (g.Op == "<" || g.Op == "<=")
		if !good {
			continue
		}
		path := fmt.Sprintf("guards[%d]", i)
		c.warn(path, "%s is true of a stack that is well, and a guard ends the run when it is true: write the breach, as in success < 50%% for 5s", g.Text)
	}
}

// ratios warns of a rate of two phases that differ by a part of the profile: its ratio tells of the load.
func (c *checker) ratios() {
	for i, h := range c.plan.Hypotheses {
		if !h.Value.OfBaseline || h.Metric.class() != rateClass {
			continue
		}
		for _, part := range c.plan.Attack.Profile.Plus {
			more, less := h.During, results.Baseline
			switch part.During {
			case results.Baseline:
				more, less = less, more
			case h.During:
			default: // in both, or in neither
				continue
			}
			if more != less {
				c.warn(fmt.Sprintf("hypotheses[%d]", i), "%s has more load than %s by its part %s: this ratio compares unequal loads", more, less, part)
			}
		}
	}
}

// slowReaders warns of claims about times of clients of whom some read slowly: the times of those are of their own making.
func (c *checker) slowReaders() {
	for i, h := range c.plan.Hypotheses {
		m := h.Metric
		timed := m.class() == distributionClass && m.Name != "lag" || m.Name == "stalled" || m.Name == "goodput"
		if !timed || m.Server() || slices.Contains(clientLabels(), h.Worst) {
			continue
		}
		slow, other := c.slowAmong(m.Labels)
		if slow >= 0 && other >= 0 {
			c.warn(fmt.Sprintf("hypotheses[%d]", i), "it is also about the slow readers of attack.clients[%d], whose times are of their own reading: select the others by a label, as in %s{tier=%q}",
				slow, m.Name, cmp.Or(c.plan.Attack.Clients[other].Tier, "fast"))
		}
	}
}

// onePiece warns of what waits for a first token where no answer has one: they come in one piece.
func (c *checker) onePiece() {
	if c.inOnePiece(nil) {
		for i, client := range c.plan.Attack.Clients {
			path := fmt.Sprintf("attack.clients[%d]", i)
			if client.FirstToken > 0 {
				c.warn(path+".first_token", "never passes: all answers come in one piece, without a first token; write deadline")
			}
			if client.Cancel != nil && client.Cancel.AfterTokens > 0 {
				c.warn(path+".cancel.after_tokens", "nobody will leave: all answers come in one piece, without tokens to count; write after: 100ms")
			}
		}
	}
	for i, h := range c.plan.Hypotheses {
		if m := h.Metric; slices.Contains([]string{"ttft", "itl", "tpot"}, m.Name) && c.inOnePiece(m.Labels) {
			c.warn(fmt.Sprintf("hypotheses[%d]", i), "stays undecided: the answers that it selects come in one piece, and have no %s; claim e2e", m.Name)
		}
	}
}

// inOnePiece reports whether all answers come in one piece to requests of the feature that labels select; nil: of any.
func (c *checker) inOnePiece(labels results.Labels) bool {
	features := c.plan.Attack.Workload.Features()
	for i, name := range c.plan.Attack.Workload.Dialects() {
		if feature, asked := labels["feature"]; asked && feature != features[i] {
			continue
		}
		d, err := targets.DialectNamed(cmp.Or(name, c.plan.Stack.Endpoints[c.front()].Dialect))
		if err != nil || d.Framing() != targets.Whole {
			return false
		}
	}
	return true
}

// clientLabels are those that tell clients apart.
func clientLabels() []string { return []string{"tier", "tenant", "home"} }

// slowAmong finds a slow reader and one who is none among the clients that labels select; -1: there is none.
func (c *checker) slowAmong(labels results.Labels) (slow, other int) {
	slow, other = -1, -1
	about := maps.Clone(labels)
	maps.DeleteFunc(about, func(name, _ string) bool { return !slices.Contains(clientLabels(), name) })
	for i, client := range c.plan.Attack.Clients {
		switch {
		case !results.Labels{"tier": client.Tier, "tenant": client.Tenant, "home": client.Home}.Match(about):
		case client.Read > 0:
			slow = i
		default:
			other = i
		}
	}
	return slow, other
}

// budget warns of a load that is more than it.
func (c *checker) budget() {
	e, err := c.plan.Estimate()
	if err != nil {
		return
	}
	if over := e.Over(c.plan.Attack.Budget); over != "" {
		c.warn("attack.budget", "the load comes to about %s, more than the budget of %s: it will be used up, and what is judged after that undecided", over, c.plan.Attack.Budget)
	}
}

// warn notes a warning at a path.
func (c *checker) warn(path, format string, args ...any) {
	problem := Problem{File: c.file, Line: 1, Path: path, Text: fmt.Sprintf(format, args...)}
	if n := c.nodeAt(path); n != nil {
		problem.Line, problem.Column = n.Line, n.Column
	}
	c.warnings = append(c.warnings, problem)
}

func (c *checker) enoughIn(path string, h Claim, p results.Phase, role string) {
	m := h.Metric
	if m.Name == "itl" || m.Server() { // of gaps, and how many there are is the stack's affair; of servers, others' traffic counts too
		return
	}
	bar := h.Value.fraction()
	need := needed(m, h.Op, bar)
	if need <= 1 {
		return
	}
	s, known := c.supply(h.Condition, p)
	if !known || s.least >= float64(need) {
		return
	}
	likely, about := "will likely", fmt.Sprintf("about %.0f samples", math.Floor(s.mean+1e-6))
	if s.of != "" {
		about += fmt.Sprintf(" of %s %s", h.Worst, clip(s.of))
	}
	if late := math.Round(s.late); late > 0 {
		about += fmt.Sprintf(", without %.0f that are still under way at its end,", late)
	}
	if s.mean >= float64(need) {
		likely, about = "may", strings.TrimSuffix(about, ",")+fmt.Sprintf(", or as few as %.0f by chance,", math.Floor(s.least+1e-6))
	}
	ends := ""
	if role == gateRole {
		ends = ", and the run end with exit 3 there"
	}
	c.warn(path, "%s stay undecided%s: %s%s will have %s for it and it takes %d: %s", likely, ends, p, role, about, need, c.more(h, s, need, p))
}

// gateRole is what the baseline is to a claim about the fault phase.
const gateRole = ", in which it must hold before anything is injected,"

// more says what gives a claim enough samples in a phase.
func (c *checker) more(h Claim, s supply, need int, p results.Phase) string {
	path, of := "phases."+string(p), c.plan.Phases.Of(p)
	length := s.lengthFor(need, of.Limit())
	switch {
	case s.until:
		raised := of.Until
		raised.Samples = int(math.Ceil(float64(raised.Samples)*float64(need)/max(s.least, s.mean/4) - 1e-6))
		return fmt.Sprintf("write %s.until: %s, with a max that has time for it", path, quoted(raised))
	case length == 0 || c.plan.Attack.Profile.Ends(p):
		return "raise the rate, or its share of the load"
	case of.Until.Samples > 0:
		return fmt.Sprintf("lengthen %s.max to %s, or raise the rate", path, short(length))
	case p != results.Baseline || h.Worst == "region": // by which until cannot tell the one that lacks them
		return fmt.Sprintf("lengthen %s to %s, or raise the rate", path, short(length))
	}
	labels := h.Metric.Labels
	if s.of != "" {
		labels, _ = merge(labels, results.Labels{h.Worst: s.of})
	}
	return fmt.Sprintf("lengthen %s to %s, or write %s: {until: %s, max: %s}, or raise the rate",
		path, short(length), path, quoted(Until{labels, need}), short(2*length))
}

// quoted is u as it stands in a file.
func quoted(u Until) string { return "'" + strings.ReplaceAll(u.String(), "'", "''") + "'" }
