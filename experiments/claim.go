package experiments

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A Claim is one hypothesis: what must be true of the samples of one phase.
//
//	claim      = condition "during" phase
//	           | "recovery" "(" condition ")" ( "<" | "<=" ) DURATION .
//	guard      = condition "for" DURATION .
//	condition  = expr op value .
//	expr       = "worst" "(" LABEL "," metric ")" | metric .
//	metric     = rate [ labels ]
//	           | "stalled" "(" DURATION ")" [ labels ]
//	           | stat "(" distribution [ labels ] ")" .
//	rate       = "success" | "error_rate" | "tokens_per_second" | "goodput" | "goodput_tokens"
//	           | "amplification" | "wasted_tokens" | "leaks"
//	           | "server.success" | "server.error_rate" | "server.requests_per_second"
//	           | "server.tokens_per_second" | "server.prompt_tokens_per_second" .
//	stat       = "p" NUMBER | "mean" | "max" | "min" .                  (p50, p99, p99.9)
//	distribution = "ttft" | "ttft_sent" | "itl" | "tpot" | "e2e" | "e2e_sent" | "stall" | "lag"
//	           | "server.ttft" | "server.itl" | "server.tpot" | "server.e2e" | "server.queue_time"
//	           | "server.running" | "server.waiting" | "server.kv_usage" .
//	labels     = "{" LABEL "=" STRING { "," LABEL "=" STRING } [ "," ] "}" .
//	op         = ">=" | ">" | "<=" | "<" | "==" | "!=" .
//	value      = NUMBER "%" [ "of" "baseline" ] | NUMBER [ "/" "s" ] | DURATION .
//	phase      = "baseline" | "fault" | "recovery" .
//
// What a metric is compared with depends on it: success, error_rate, stalled and wasted_tokens with a share (99%);
// tokens_per_second, goodput and goodput_tokens with a rate (500/s; plain 500 is the same);
// amplification and leaks with a number; distributions with a duration, which needs its unit. All
// but leaks may also be compared with "N% of baseline". == and != are for what can be counted:
// leaks, amplification, and shares of 0% and 100%. Claims that are always or never true are refused.
//
// wasted_tokens is the share of all output tokens received that nobody got: those of attempts that did not serve, and
// of requests that failed in the end (results.Sample.Wasted). tokens_per_second counts what arrived, also for users who
// left later, but not in such attempts. Users who left count in the times of the tokens that they had seen, or as
// infinite in the ttft if they gave up waiting for one; not in e2e, success and goodput. leaks can hold
// only where some answer carried its own nonce: where none does, another's would not have been seen either.
//
// What begins with server. is what the stack's servers tell of all their traffic, ours or not, on their pages of metrics;
// labels select pages by theirs. What they count as a failure is theirs to say: vLLM's includes users who left, and
// knows nothing of what was refused before it. Their times are by buckets, as PromQL's histogram_quantile has it, and
// have no max and min. server.running and server.waiting are requests and server.kv_usage a share, as each reading
// shows it: of several pages the sum, and the fullest cache. Claims about servers are undecided where a page was not
// read, where counters began anew, and where the servers counted no request.
//
// A Claim is made by ParseClaim; its zero value is no claim.
type Claim struct {
	// Text is the claim as the plan has it.
	Text string
	Condition
	// During is the phase that the claim is about; Recovery for recovery(…).
	During results.Phase
	// Within is recovery(…)'s bound, and 0 for every other claim. Strictly: it was written with <.
	Within   time.Duration
	Strictly bool
}

// A Condition compares a metric with a value.
type Condition struct {
	// Worst is the label whose worst value must satisfy the condition; "": it is about all samples.
	Worst  string
	Metric Metric
	Op     Op
	Value  Value
}

// A Metric is what is measured.
type Metric struct {
	// Name as in the grammar: success, ttft.
	Name string
	// Stat of a distribution; "" for all others. p99 has Quantile 0.99.
	Stat     string
	Quantile float64
	// Over is stalled's duration.
	Over time.Duration
	// Labels select samples; empty: all.
	Labels results.Labels
}

// An Op compares.
type Op string

// holds reports whether a op b. What differs by less than floats can say is equal: 99.9 % of 1000
// requests are 999.
func (o Op) holds(a, b float64) bool {
	if math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b)) && !math.IsInf(a, 0) {
		a = b
	}
	switch o {
	case ">=":
		return a >= b
	case ">":
		return a > b
	case "<=":
		return a <= b
	case "<":
		return a < b
	case "==":
		return a == b
	case "!=":
		return a != b
	default:
		return false
	}
}

// floor reports whether o asks for much: it is violated from below.
func (o Op) floor() bool { return o == ">=" || o == ">" }

// A Value is what a metric is compared with.
type Value struct {
	// Number is a percentage for Percent and OfBaseline, per second for PerSecond, seconds for Time.
	Number float64
	Unit   Unit
	// OfBaseline: Number percent of the same metric's value in baseline.
	OfBaseline bool
}

// A Unit is what a Value's number counts.
type Unit uint8

// Units.
const (
	Plain Unit = iota
	Percent
	PerSecond
	Time
)

// String gives 99%, 500/s, 3, 2s or 80% of baseline.
func (v Value) String() string {
	number := strconv.FormatFloat(v.Number, 'f', -1, 64)
	switch {
	case v.OfBaseline:
		return number + "% of baseline"
	case v.Unit == Percent:
		return number + "%"
	case v.Unit == PerSecond:
		return number + "/s"
	case v.Unit == Time:
		return v.duration().String()
	default:
		return number
	}
}

// duration of a Time, to the nanosecond from which it was read.
func (v Value) duration() time.Duration {
	return time.Duration(v.Number*float64(time.Second) + 0.5)
}

// fraction is what to compare a measurement with: shares as 0..1, times in seconds. It is not for OfBaseline.
func (v Value) fraction() float64 {
	if v.Unit == Percent {
		return v.Number / 100
	}
	return v.Number
}

// String gives p99(ttft{tier="paid"}).
func (m Metric) String() string {
	switch {
	case m.Name == "stalled":
		return fmt.Sprintf("stalled(%s)%s", m.Over, m.Labels)
	case m.Stat != "":
		return fmt.Sprintf("%s(%s%s)", m.Stat, m.Name, m.Labels)
	default:
		return m.Name + m.Labels.String()
	}
}

// String gives the condition as the grammar has it.
func (c Condition) String() string {
	expr := c.Metric.String()
	if c.Worst != "" {
		expr = fmt.Sprintf("worst(%s, %s)", c.Worst, expr)
	}
	return fmt.Sprintf("%s %s %s", expr, c.Op, c.Value)
}

// String gives the claim in one canonical form; ParseClaim reads it back as the same claim.
func (c Claim) String() string {
	if c.Within > 0 {
		return fmt.Sprintf("recovery(%s) %s %s", c.Condition, c.within(), c.Within)
	}
	return fmt.Sprintf("%s during %s", c.Condition, c.During)
}

// within is the operator of recovery(…).
func (c Claim) within() Op {
	if c.Strictly {
		return "<"
	}
	return "<="
}

// Recovers reports whether c is a recovery(…) claim.
func (c Claim) Recovers() bool { return c.Within > 0 }

// Absolute reports whether c can be checked without a baseline to compare with. An absolute claim
// about the fault phase must hold in baseline too, or nothing is injected.
func (c Claim) Absolute() bool { return !c.Value.OfBaseline }

// UnmarshalText is ParseClaim.
func (c *Claim) UnmarshalText(text []byte) error {
	x, err := ParseClaim(string(text))
	if err != nil {
		return err
	}
	*c = x
	return nil
}

// A Guard ends the run early. It reads as the breach: success < 50% for 5s is breached when success
// was under 50 % in each second that had data, over 5 s. It sees finished requests only, and one
// that saw none end in the fault phase is undecided.
type Guard struct {
	// Text is the guard as the plan has it.
	Text string
	Condition
	// For is how long the condition must be true. At least one second, the guard's resolution.
	For time.Duration
}

// String gives the guard in one canonical form, which ParseGuard reads back as the same guard.
func (g Guard) String() string { return fmt.Sprintf("%s for %s", g.Condition, g.For) }

// UnmarshalText is ParseGuard.
func (g *Guard) UnmarshalText(text []byte) error {
	x, err := ParseGuard(string(text))
	if err != nil {
		return err
	}
	*g = x
	return nil
}

// A class says what a metric is compared with, and how it is judged.
type class uint8

const (
	shareClass        class = iota + 1 // of requests: success, error_rate, stalled
	rateClass                          // per second
	ratioClass                         // amplification
	tokenClass                         // a share of tokens: wasted_tokens
	countClass                         // leaks
	distributionClass                  // times
	levelClass                         // what a server's gauge shows: a number
	fillClass                          // and a share
)

// A metricDef is one word of the vocabulary.
type metricDef struct {
	name  string
	class class
	guard bool // finished requests tell it, so guards may use it
	wants want // the distribution that must be kept for it
}

// metricDefs is the vocabulary, in the order in which messages list it.
func metricDefs() []metricDef {
	return []metricDef{
		{"success", shareClass, true, 0},
		{"error_rate", shareClass, true, 0},
		{"stalled", shareClass, false, wantStall},
		{"tokens_per_second", rateClass, false, 0},
		{"goodput", rateClass, false, 0},
		{"goodput_tokens", rateClass, false, 0},
		{"amplification", ratioClass, true, 0},
		{"wasted_tokens", tokenClass, true, 0},
		{"leaks", countClass, true, 0},
		{"ttft", distributionClass, true, wantTTFT},
		{"ttft_sent", distributionClass, false, wantTTFTSent},
		{"itl", distributionClass, false, wantITL},
		{"tpot", distributionClass, false, wantTPOT},
		{"e2e", distributionClass, true, wantE2E},
		{"e2e_sent", distributionClass, false, wantE2ESent},
		{"stall", distributionClass, false, wantStall},
		{"lag", distributionClass, false, wantLag},
	}
}

// def finds a metric by name; ok is false for what is none.
func def(name string) (m metricDef, ok bool) {
	all := append(metricDefs(), serverDefs()...)
	i := slices.IndexFunc(all, func(m metricDef) bool { return m.name == name })
	if i < 0 {
		return metricDef{}, false
	}
	return all[i], true
}

func (m Metric) class() class {
	d, _ := def(m.Name) // the zero class for the zero Metric
	return d.class
}

// share reports whether m is one: of requests, of tokens, or of a cache.
func (m Metric) share() bool {
	return m.class() == shareClass || m.class() == tokenClass || m.class() == fillClass
}

// spread reports whether a metric has many values at a time, of which a statistic makes one.
func (d metricDef) spread() bool {
	return d.class == distributionClass || d.class == levelClass || d.class == fillClass
}

func (m Metric) wants() want {
	d, _ := def(m.Name)
	return d.wants
}

// quantileOf reads p99 as 0.99; ok is false for what is no percentile between 0 and 100.
func quantileOf(stat string) (q float64, ok bool) {
	digits, isP := strings.CutPrefix(stat, "p")
	if !isP || digits == "" || !isDigit(digits[0]) || strings.HasSuffix(digits, ".") {
		return 0, false
	}
	x, err := strconv.ParseFloat(digits, 64)
	if err != nil || x <= 0 || x >= 100 {
		return 0, false
	}
	return x / 100, true
}
