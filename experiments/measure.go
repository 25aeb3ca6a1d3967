package experiments

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
)

// How many samples a claim needs before it can hold. Below, it is undecided, unless what is there
// already refutes it (see refutes).
const (
	// everySample is for claims about each single request (100%, 0%, max, min): no number of
	// samples proves them of a service; as many as a claim of 99 % needs make them worth saying of a run.
	everySample = 381
	// A claim about leaks is one: the first leak refutes leaks == 0, and only many requests without
	// one say anything.
	//
	// minMean is where the mean of skewed values is roughly normal: also that of attempts per request, and the share of
	// its tokens that a request threw away.
	//
	// A rate (tokens_per_second, goodput) is no mean of samples, but a count over a time that is known.
	minMean = 30
)

// measure gives a metric's value in a window of some length, and how many samples spoke. Shares are
// 0..1, rates per second, times in seconds. ok is false if there is nothing to measure.
func measure(m Metric, t *tally, length time.Duration) (x float64, n int, ok bool) {
	perSecond := func(count float64, n int) (float64, int, bool) {
		return count / length.Seconds(), n, length > 0
	}
	share := func(count, of int) (float64, int, bool) {
		return float64(count) / float64(of), of, of > 0
	}
	switch m.Name {
	case "success":
		return share(t.complete, t.requests)
	case "error_rate":
		return share(t.requests-t.complete, t.requests)
	case "stalled":
		d := t.of(wantStall)
		return share(d.N()-d.CountAtMost(m.Over.Seconds()), d.N())
	case "tokens_per_second":
		return perSecond(t.tokens, t.requests+t.clients.plans)
	case "goodput_tokens":
		return perSecond(t.goodTokens, t.requests)
	case "goodput":
		return perSecond(float64(t.met), t.requests)
	case "amplification":
		return share(t.clients.tries, t.clients.asked)
	case "wasted_tokens": // of tokens, and each request is one sample of its own: they stand and fall together
		x, _, ok := share(t.clients.wasted, t.clients.drawn)
		return x, t.clients.drew, ok
	case "leaks":
		return float64(t.leaks), t.requests, t.requests > 0
	default:
		return measureLengths(m, t.of(m.wants()))
	}
}

func measureLengths(m Metric, d *results.Distribution) (x float64, n int, ok bool) {
	n = d.N()
	switch {
	case n == 0:
		return 0, 0, false
	case m.Quantile > 0:
		return d.Quantile(m.Quantile), n, true
	case m.Stat == "max":
		return d.Max(), n, true
	case m.Stat == "min":
		return d.Quantile(0), n, true
	case d.Infinite() > 0: // the mean of what was never served is not that of the rest
		return math.Inf(1), n, true
	default:
		return d.Mean(), n, true
	}
}

// needed is how many samples the comparison of m with bar needs.
func needed(m Metric, op Op, bar float64) int {
	switch {
	case m.class() == shareClass:
		p := bar
		if !op.floor() {
			p = 1 - bar
		}
		if op == "==" || op == "!=" || p >= 1 {
			return everySample
		}
		return results.MinSamplesProportion(max(p, 0))
	case m.Quantile > 0:
		return results.MinSamplesQuantile(max(m.Quantile, 1-m.Quantile))
	case m.class() == tokenClass && (bar <= 0 || bar >= 1):
		return everySample
	case m.Stat == "mean", m.Name == "amplification", m.class() == tokenClass:
		return minMean
	case m.Stat != "", m.Name == "leaks":
		return everySample
	default:
		return 1
	}
}

// refutes reports whether fewer samples than needed already refute the comparison: where the share
// of bad samples is over what the claim allows by Wilson's bound at 95 %, or where the claim is
// about every sample and one is bad, or where what only grows is past its bar.
func refutes(m Metric, op Op, bar float64, t *tally) bool {
	x, n, ok := measure(m, t, 0)
	if !ok || op == "!=" || op.holds(x, bar) {
		return false
	}
	switch {
	case m.class() == shareClass:
		if needed(m, op, bar) == everySample && (bar <= 0 || bar >= 1) {
			return true
		}
		lo, hi := results.Wilson(int(math.Round(x*float64(n))), n, results.Z95)
		return op.floor() && hi < bar || !op.floor() && lo > bar
	case m.class() == tokenClass:
		return bar <= 0 || bar >= 1
	case m.Quantile > 0:
		d := t.of(m.wants())
		bad, allowed := n-d.CountAtMost(bar), 1-m.Quantile
		if op.floor() {
			bad, allowed = d.CountAtMost(bar), m.Quantile
		}
		lo, _ := results.Wilson(bad, n, results.Z95)
		return lo > allowed
	case m.Name == "leaks":
		return op == "<" || op != ">=" && op != ">" && x > bar
	case m.Stat == "max":
		return !op.floor()
	case m.Stat == "min":
		return op.floor()
	default:
		return math.IsInf(x, 1)
	}
}

// figure writes a value of m with its unit, as tables show it.
func figure(m Metric, x float64) string {
	switch m.class() {
	case shareClass, tokenClass:
		return results.Percent(x)
	case rateClass:
		return significant(x) + "/s"
	case distributionClass:
		return results.Seconds(x).String()
	default:
		return significant(x)
	}
}

// significant writes three digits and never drops those before the point.
func significant(x float64) string {
	switch {
	case math.Abs(x) >= 100 || x == math.Trunc(x):
		return strconv.FormatFloat(math.Round(x), 'f', 0, 64)
	default:
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
}

// told is a sentence on what is behind a measurement.
func told(m Metric, t *tally) string {
	switch m.class() {
	case shareClass:
		if m.Name == "stalled" {
			return ""
		}
		return failures(t)
	case distributionClass:
		d := t.of(m.wants())
		if d.Infinite() == 0 {
			return ""
		}
		switch m.Name {
		case "ttft", "ttft_sent":
			return withoutToken(d, t.clients.gaveUp())
		case "lag":
			return fmt.Sprintf("%d of %d were never sent", d.Infinite(), d.N())
		default:
			return fmt.Sprintf("%d of %d failed and count as infinite", d.Infinite(), d.N())
		}
	case ratioClass:
		return fmt.Sprintf("%d attempts for %d requests", t.clients.tries, t.clients.asked)
	case tokenClass:
		return fmt.Sprintf("%d of %d tokens were of attempts that did not serve or of requests that failed", t.clients.wasted, t.clients.drawn)
	case countClass:
		if t.leaks > 0 {
			return fmt.Sprintf("%d of %d answers carried another user's nonce", t.leaks, t.clients.answers)
		}
		return fmt.Sprintf("%d of %d answers carried their own nonce", t.clients.echoed, t.clients.answers)
	default:
		return ""
	}
}

// withoutToken says which requests have no first token.
func withoutToken(d *results.Distribution, gaveUp int) string {
	if gaveUp == 0 {
		return fmt.Sprintf("%d of %d failed without a first token and count as infinite", d.Infinite(), d.N())
	}
	return fmt.Sprintf("%d of %d had no first token and count as infinite: %d failed, %d users gave up waiting", d.Infinite(), d.N(), d.Infinite()-gaveUp, gaveUp)
}

// blind reports whether 0 leaks say nothing: where no answer carries its own nonce, none would have carried another's.
func blind(m Metric, echoed int) bool { return m.class() == countClass && echoed == 0 }

// failures says how requests failed: "42 of 1500 failed: 30 reset, 12 truncated".
func failures(t *tally) string {
	failed := t.requests - t.complete
	if failed == 0 {
		return ""
	}
	var kinds []string
	for _, o := range outcomeStats(&t.outcomes, nil) {
		if o.Outcome != results.Complete && o.Outcome != results.Cancelled && len(kinds) < 3 {
			kinds = append(kinds, fmt.Sprintf("%d %s", o.Count, o.Outcome))
		}
	}
	return fmt.Sprintf("%d of %d failed: %s", failed, t.requests, strings.Join(kinds, ", "))
}
