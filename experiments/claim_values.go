package experiments

import (
	"math"
	"strconv"
	"strings"
)

// metric reads success{…}, stalled(2s){…} or p99(ttft{…}).
func (p *claimParser) metric() Metric {
	t := p.next()
	d, isMetric := def(t.text)
	switch {
	case t.kind != tokenName:
		p.fail(t, "needs a metric, not %s: write success, or p99(ttft)", t)
	case !isMetric && p.serverWord(t):
	case isMetric && d.class == distributionClass && strings.HasPrefix(t.text, serverPrefix):
		p.fail(t, "%s is a distribution: write p99(%s), or mean of it", t.text, t.text)
	case isMetric && d.class == distributionClass:
		p.fail(t, "%s is a distribution: write p99(%s), or mean, max or min of it", t.text, t.text)
	case isMetric && d.spread():
		p.fail(t, "%s is another at each reading: write max(%s), or mean, min or p90 of it", t.text, t.text)
	case isMetric && d.name == "stalled":
		return p.stalled(t)
	case isMetric:
		m := Metric{Name: d.name, Labels: p.labels()}
		if open := p.peek(); open.text == "(" {
			p.fail(open, "%s stands alone: write %s", d.name, m)
		}
		return m
	default:
		return p.stat(t)
	}
	return Metric{}
}

func (p *claimParser) stalled(t token) Metric {
	m := Metric{Name: t.text}
	p.expect("(", "write stalled(2s)")
	at := p.peek()
	if m.Over = p.duration("stalled", "stalled(2s)"); m.Over == 0 {
		p.fail(at, "every stream has a gap over 0: write stalled(2s)")
	}
	p.expect(")", "write stalled(%s)", m.Over)
	m.Labels = p.labels()
	return m
}

// stat reads p99(ttft{…}); t is its first word.
func (p *claimParser) stat(t token) Metric {
	m := Metric{Stat: t.text}
	q, isQuantile := quantileOf(t.text)
	switch {
	case isQuantile:
		m.Quantile = q
		// p99.90 is p99.9; the text of q itself would not be: 0.999·100 has a tail.
		x, err := strconv.ParseFloat(t.text[1:], 64)
		if err != nil {
			p.fail(t, "%s is not a quantile", t)
		}
		m.Stat = "p" + strconv.FormatFloat(x, 'f', -1, 64)
	case t.text == "mean", t.text == "max", t.text == "min":
	case t.text == "worst", t.text == "recovery":
		p.fail(t, "%s has no place inside another: write a metric", t.text)
	case t.text == "p100":
		p.fail(t, "p100 is the maximum: write max")
	case t.text == "avg", t.text == "average":
		p.fail(t, "unknown word %s; did you mean mean?", t)
	default:
		hint := DidYouMean(t.text, known())
		if hint == "" {
			hint = "; known are " + strings.Join(known(), ", ")
		}
		p.fail(t, "unknown word %s%s", t, hint)
	}
	p.expect("(", "write %s(ttft)", t.text)
	name := p.next()
	d, isMetric := def(name.text)
	switch {
	case !isMetric && p.serverWord(name):
	case isMetric && !d.spread():
		p.fail(name, "%s is one figure and has no %s: write %s alone", d.name, m.Stat, d.name)
	case !isMetric:
		var all []string
		for _, d := range metricDefs() {
			if d.class == distributionClass {
				all = append(all, d.name)
			}
		}
		p.fail(name, "%s is not a distribution: write %s%s", name, oneOf(all), DidYouMean(name.text, all))
	}
	m.Name = name.text
	p.bucketed(t, m)
	m.Labels = p.labels()
	p.expect(")", "write %s(%s)", m.Stat, m.Name)
	if open := p.peek(); open.text == "{" {
		p.fail(open, `labels stand inside: write %s(%s{tier="paid"})`, m.Stat, m.Name)
	}
	return m
}

// value reads what m is compared with.
func (p *claimParser) value(m Metric) Value {
	t := p.peek()
	if t.kind == tokenNumber && len(p.tokens) > 1 && p.tokens[1].text == "%" {
		p.next()
		p.next()
		v := Value{Number: p.number(t), Unit: Percent}
		if p.accept("of") {
			if b := p.next(); b.text != "baseline" {
				p.fail(b, "nothing but baseline can be compared with: write of baseline")
			}
			v.OfBaseline = true
		}
		p.percent(m, t, v)
		return v
	}
	switch m.class() {
	case distributionClass:
		d := p.duration(m.String(), "2s, or 150% of baseline")
		return Value{Number: d.Seconds(), Unit: Time}
	case shareClass, tokenClass, fillClass:
		p.fail(t, "%s is a share: write %s", m, p.asPercent(t))
	case rateClass:
		return p.rate(m, t)
	case ratioClass, countClass, levelClass:
		p.next()
		if tail := p.peek(); t.kind != tokenNumber || tail.text == "/" {
			p.fail(t, "%s needs a number, not %s: write 1", m, t)
		}
		v := Value{Number: p.number(t)}
		if m.class() == countClass && v.Number != math.Trunc(v.Number) {
			p.fail(t, "%s are counted: write a whole number", m)
		}
		return v
	}
	return Value{}
}

// asPercent writes what was probably meant: 0.99 as 99%.
func (p *claimParser) asPercent(t token) string {
	x, err := strconv.ParseFloat(t.text, 64)
	switch {
	case err != nil || x > 100:
		return "99%"
	case x < 1:
		return strconv.FormatFloat(x*100, 'g', 6, 64) + "%"
	default:
		return t.text + "%"
	}
}

// percent checks that m can be compared with a percentage.
func (p *claimParser) percent(m Metric, t token, v Value) {
	switch {
	case v.OfBaseline && m.class() == countClass:
		p.fail(t, "leaks have no baseline to compare with: write leaks == 0")
	case !v.OfBaseline && m.class() == distributionClass:
		p.fail(t, "%s needs a duration: write 2s, or %s%% of baseline", m, t.text)
	case !v.OfBaseline && m.class() == rateClass:
		p.fail(t, "%s needs a rate: write 500/s, or %s%% of baseline", m, t.text)
	case !v.OfBaseline && (m.class() == ratioClass || m.class() == levelClass):
		p.fail(t, "%s needs a number: write 1.5, or %s%% of baseline", m, t.text)
	case !v.OfBaseline && m.class() == countClass:
		p.fail(t, "leaks are counted: write leaks == 0")
	}
}

func (p *claimParser) rate(m Metric, t token) Value {
	p.next()
	if t.kind != tokenNumber {
		p.fail(t, "%s needs a rate, not %s: write 500/s, or 80%% of baseline", m, t)
	}
	v := Value{Number: p.number(t), Unit: PerSecond}
	if p.accept("/") {
		if unit := p.next(); unit.text != "s" {
			p.fail(unit, "rates count per second: write /s")
		}
	}
	return v
}

// sensible refuses what is always or never true, and equality where nothing is ever equal.
func (p *claimParser) sensible(c Condition, op, value token) {
	if p.err != nil {
		return
	}
	x, top := c.Value.fraction(), math.Inf(1)
	if c.Metric.share() && !c.Value.OfBaseline {
		top = 1
		if x > 1 {
			p.fail(value, "%s is never over 100%%", c.Metric)
		}
	}
	if c.Op == "==" || c.Op == "!=" {
		switch {
		case c.Value.OfBaseline, c.Metric.class() == rateClass, c.Metric.class() == distributionClass:
			p.fail(op, "%s is never exactly that: write <= or >=", c.Metric)
		case c.Metric.share() && x != 0 && x != 1:
			p.fail(op, "a share is compared exactly only with 0%% and 100%%: write <= or >=")
		}
	}
	switch {
	case c.Op == ">=" && x <= 0, c.Op == "<=" && x >= top:
		p.fail(op, "%s is always true", c)
	case c.Op == "<" && x <= 0, c.Op == ">" && x >= top:
		p.fail(op, "%s is never true", c)
	}
}
