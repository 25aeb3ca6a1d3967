package experiments

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
)

// ParseClaim reads a hypothesis. An error is a *ClaimError.
func ParseClaim(text string) (Claim, error) {
	p := newClaimParser(text)
	c := p.claim()
	if err := p.finish(); err != nil {
		return Claim{}, err
	}
	c.Text = strings.TrimSpace(text)
	return c, nil
}

// ParseGuard reads a guard. An error is a *ClaimError.
func ParseGuard(text string) (Guard, error) {
	p := newClaimParser(text)
	g := p.guard()
	if err := p.finish(); err != nil {
		return Guard{}, err
	}
	g.Text = strings.TrimSpace(text)
	return g, nil
}

// parseUntil reads samples{tier="paid"} >= 2000.
func parseUntil(text string) (Until, error) {
	p := newClaimParser(text)
	var u Until
	if name := p.next(); name.text != "samples" {
		p.fail(name, `%s has no place here: write samples{tier="paid"} >= 2000`, name)
	}
	u.Labels = p.labels()
	if op := p.next(); op.text != ">=" {
		p.fail(op, "needs >= and a number of samples, not %s", op)
	}
	number := p.next()
	n, err := strconv.Atoi(number.text)
	if err != nil || n < 1 {
		p.fail(number, "needs a whole number of samples, not %s: write 2000", number)
	}
	u.Samples = n
	if err := p.finish(); err != nil {
		return Until{}, err
	}
	return u, nil
}

// maxClaim is longer than any claim with a point. maxTime keeps times exact in a float of seconds.
const (
	maxClaim = 1000
	maxTime  = 100 * time.Hour
)

// A claimParser descends through the grammar of Claim. The first mistake stays; after it every
// token reads as the end.
type claimParser struct {
	tokens []token
	err    *ClaimError
}

func newClaimParser(text string) *claimParser {
	if len(text) > maxClaim {
		return &claimParser{err: &ClaimError{column: 1, text: fmt.Sprintf("is longer than %d bytes", maxClaim)}}
	}
	return &claimParser{tokens: lex(text)}
}

// fail keeps the first mistake.
func (p *claimParser) fail(at token, format string, args ...any) {
	if p.err == nil {
		p.err = &ClaimError{column: at.column, text: fmt.Sprintf(format, args...)}
	}
}

func (p *claimParser) peek() token {
	if p.err != nil {
		return token{kind: tokenEnd, column: p.err.column}
	}
	if t := p.tokens[0]; t.kind == tokenBad {
		p.fail(t, "%s", t.value)
		return token{kind: tokenEnd, column: t.column}
	}
	return p.tokens[0]
}

func (p *claimParser) next() token {
	t := p.peek()
	if t.kind != tokenEnd {
		p.tokens = p.tokens[1:]
	}
	return t
}

// accept takes the next token if it is text.
func (p *claimParser) accept(text string) bool {
	if t := p.peek(); t.kind == tokenString || t.text != text {
		return false
	}
	p.next()
	return true
}

// expect takes text, or fails with what to write.
func (p *claimParser) expect(text, format string, args ...any) {
	if t := p.peek(); !p.accept(text) {
		p.fail(t, "needs %s before %s: %s", text, t, fmt.Sprintf(format, args...))
	}
}

// finish checks that nothing is left.
func (p *claimParser) finish() error {
	switch t := p.peek(); {
	case p.err != nil:
	case t.kind == tokenEnd:
		return nil
	case t.text == "and", t.text == "or":
		p.fail(t, "%s has no place here: write two claims", t.text)
	default:
		p.fail(t, "%s has no place after the end of the claim", t)
	}
	return p.err
}

func (p *claimParser) claim() Claim {
	if t := p.peek(); t.kind == tokenName && t.text == "recovery" {
		return p.recovery()
	}
	c := Claim{Condition: p.condition()}
	switch t := p.next(); t.text {
	case "during":
		c.During = p.phase()
	case "for":
		p.fail(t, "for belongs to a guard: write during fault")
	default:
		p.fail(t, "needs a phase before %s: write during fault", t)
	}
	return c
}

func (p *claimParser) phase() results.Phase {
	t := p.next()
	var names []string
	for _, phase := range results.JudgedPhases() {
		if t.text == string(phase) {
			return phase
		}
		names = append(names, string(phase))
	}
	switch {
	case t.text == string(results.Warmup):
		p.fail(t, "warmup counts nowhere: write during baseline")
	default:
		p.fail(t, "%s is not a phase: write %s%s", t, oneOf(names), DidYouMean(t.text, names))
	}
	return ""
}

func (p *claimParser) recovery() Claim {
	c := Claim{During: results.Recovery}
	p.next()
	p.expect("(", "write recovery(success >= 99%%) < 10s")
	expr := p.peek()
	c.Condition = p.condition()
	switch {
	case c.Worst != "":
		p.fail(expr, "recovery is about all samples: write one claim for each %s instead of worst", c.Worst)
	case c.Metric.Name == "leaks":
		p.fail(expr, "a leak is never recovered from: write leaks == 0 during recovery")
	}
	if t := p.peek(); t.text == "during" {
		p.fail(t, "recovery(…) already says when: delete during …")
	}
	p.expect(")", "write recovery(success >= 99%%) < 10s")
	op := p.next()
	if op.text != "<" && op.text != "<=" {
		p.fail(op, "needs < and how long it may take, not %s: write recovery(…) < 10s", op)
	}
	c.Strictly = op.text == "<"
	at := p.peek()
	if c.Within = p.duration("recovery(…)", "< 10s"); c.Within == 0 {
		p.fail(at, "nothing recovers in no time: write < 10s")
	}
	if t := p.peek(); t.text == "during" {
		p.fail(t, "recovery(…) already says when: delete during …")
	}
	return c
}

func (p *claimParser) guard() Guard {
	expr := p.peek()
	if expr.text == "recovery" {
		p.fail(expr, "a guard watches the run as it goes: write success < 50%% for 5s")
	}
	g := Guard{Condition: p.condition()}
	if d, ok := def(g.Metric.Name); ok && (!d.guard || g.Worst != "") {
		what := g.Metric.Name
		if g.Worst != "" {
			what = "worst"
		}
		p.fail(expr, "a guard sees finished requests, by their success, error_rate, ttft, e2e, leaks, wasted_tokens or amplification, and not %s: "+
			"write success < 50%% for 5s, or p99(ttft) > 10s for 5s", what)
	}
	if g.Value.OfBaseline {
		p.fail(expr, "a guard has no baseline to compare with: write a figure, as in success < 50%% for 5s")
	}
	switch t := p.next(); t.text {
	case "for":
		at := p.peek()
		if g.For = p.duration("for", "for 5s"); g.For < time.Second {
			p.fail(at, "%s is shorter than a guard can see: write for 1s or more", g.For)
		}
	case "during":
		p.fail(t, "a guard watches the whole run: write for 5s")
	default:
		p.fail(t, "needs how long it may last before %s: write for 5s", t)
	}
	return g
}

func (p *claimParser) condition() Condition {
	var c Condition
	if t := p.peek(); p.accept("worst") {
		p.expect("(", "write worst(tenant, success)")
		label := p.next()
		if label.kind != tokenName {
			p.fail(label, "needs the name of a label, not %s: write worst(tenant, success)", label)
		}
		c.Worst = label.text
		p.expect(",", "write worst(tenant, success)")
		c.Metric = p.metric()
		p.expect(")", "write worst(tenant, success)")
		if _, fixed := c.Metric.Labels[c.Worst]; fixed {
			p.fail(t, "worst(%s, …) of samples with one %s is no choice: delete one of the two", c.Worst, c.Worst)
		}
	} else {
		c.Metric = p.metric()
	}
	at := p.next()
	if at.kind != tokenOp {
		hint := "write >= or <"
		if at.text == "=" {
			hint = "write =="
			if turned := p.tokens[0].text; turned == ">" || turned == "<" {
				hint = "did you mean " + turned + "=?"
			}
		}
		p.fail(at, "needs a comparison before %s: %s", at, hint)
	}
	c.Op = Op(at.text)
	value := p.peek()
	c.Value = p.value(c.Metric)
	p.sensible(c, at, value)
	return c
}

// labels reads {tier="paid", region="east"}, or nothing.
func (p *claimParser) labels() results.Labels {
	if !p.accept("{") {
		return nil
	}
	labels := results.Labels{}
	for !p.accept("}") {
		name := p.next()
		if name.kind != tokenName {
			p.fail(name, `needs the name of a label, not %s: write {tier="paid"}`, name)
		}
		if _, twice := labels[name.text]; twice {
			p.fail(name, "label %s is given twice", name.text)
		}
		if t := p.peek(); t.kind == tokenOp {
			p.fail(t, `labels are selected with =: write %s="paid"`, name.text)
		}
		p.expect("=", `write %s="paid"`, name.text)
		value := p.next()
		if value.kind != tokenString {
			p.fail(value, "label values stand in quotes: write %s=%q", name.text, value.text)
		}
		labels[name.text] = value.value
		if p.err != nil {
			return nil
		}
		if t := p.peek(); t.text != "}" && !p.accept(",") {
			p.fail(t, "needs , or } before %s", t)
		}
	}
	if len(labels) == 0 {
		return nil
	}
	return labels
}

// duration reads a duration of more than nothing for what is named, or fails with an example.
func (p *claimParser) duration(name, example string) time.Duration {
	t := p.next()
	switch t.kind {
	case tokenQuantity:
		d, err := time.ParseDuration(t.text)
		switch {
		case err != nil:
			p.fail(t, "%s", orDuration(t.text))
		case d > maxTime:
			p.fail(t, "%s is longer than any run: write %s", t.text, example)
		default:
			return d
		}
	case tokenNumber:
		unit := "write " + example
		if tail := p.peek(); tail.kind == tokenName && strings.Contains(" ns us ms s m h ", " "+tail.text+" ") {
			unit = "write " + t.text + tail.text
		}
		p.fail(t, "%s needs a duration, and %s has no unit: %s", name, t.text, unit)
	default:
		p.fail(t, "%s needs a duration, not %s: write %s", name, t, example)
	}
	return 0
}

// orDuration is parseDuration's complaint.
func orDuration(text string) string {
	if _, err := parseDuration(text); err != nil {
		return err.Error()
	}
	return ""
}

// number reads a number of 0 or more.
func (p *claimParser) number(t token) float64 {
	x, err := strconv.ParseFloat(t.text, 64)
	if err != nil || math.IsInf(x, 0) {
		p.fail(t, "%s is not a number", t)
		return 0
	}
	return x
}

// known lists what an expression may start with.
func known() []string {
	names := map[string]bool{"worst": true, "recovery": true, "p50": true, "p90": true, "p95": true, "p99": true, "mean": true, "max": true, "min": true}
	for _, m := range metricDefs() {
		names[m.name] = true
	}
	return slices.Sorted(maps.Keys(names))
}
