package results

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
)

// Seconds is a length of time in a report; +Inf means never.
type Seconds float64

// String gives three digits and a unit: "1.23 s", "45.6 ms", "12.0 µs", "0 s", "inf".
func (s Seconds) String() string {
	x := float64(s)
	switch abs := math.Abs(x); {
	case math.IsInf(x, 1):
		return "inf"
	case x == 0:
		return "0 s"
	case abs < 0.9995e-3:
		return digits(x*1e6) + " µs"
	case abs < 0.9995:
		return digits(x*1e3) + " ms"
	default:
		return digits(x) + " s"
	}
}

// digits writes x with three digits; those before the point are never dropped.
func digits(x float64) string {
	switch abs := math.Abs(x); {
	case abs < 9.995:
		return strconv.FormatFloat(x, 'f', 2, 64)
	case abs < 99.95:
		return strconv.FormatFloat(x, 'f', 1, 64)
	default:
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
}

// MarshalJSON writes a number to the nanosecond, or "inf". A NaN is an error.
func (s Seconds) MarshalJSON() ([]byte, error) {
	x := float64(s)
	if math.IsInf(x, 1) {
		return []byte(`"inf"`), nil
	}
	if math.IsNaN(x) || math.IsInf(x, -1) {
		return nil, fmt.Errorf("write seconds: %v is no length of time", x)
	}
	text := strconv.AppendFloat(nil, x, 'f', 9, 64)
	text = bytes.TrimRight(text, "0")
	return bytes.TrimSuffix(text, []byte(".")), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Seconds) UnmarshalJSON(text []byte) error {
	if string(text) == `"inf"` {
		*s = Seconds(math.Inf(1))
		return nil
	}
	x, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Errorf(`read seconds: %s is neither a number nor "inf"`, text)
	}
	*s = Seconds(x)
	return nil
}

// relativeAccuracy is DDSketch's promise for every quantile: 0.1 %.
const relativeAccuracy = 0.001

// A Distribution holds any number of lengths of time, in seconds, in a few kilobytes where they are
// alike and in about 100 where they go from microseconds to hours. The zero value is empty and ready. N, Mean, Max, zeros and infinities are exact; quantiles and counts
// between are to 0.1 % of the value. It is not safe for concurrent use.
type Distribution struct {
	index            *mapping.CubicallyInterpolatedMapping // nil until the first finite positive value
	bins             *store.BufferedPaginatedStore
	zeros, positives int
	infinite         int
	sum, least, most float64 // of the finite values; least and most of the positive ones
}

// Add counts one value. Below zero counts as zero; +Inf (never) and NaN count as +Inf, so that
// no mistake reads as a fast answer.
func (d *Distribution) Add(seconds float64) {
	switch {
	case math.IsInf(seconds, 1) || math.IsNaN(seconds):
		d.infinite++
		return
	case seconds <= 0:
		d.zeros++
		return
	}
	d.open()
	if d.positives == 0 {
		d.least, d.most = seconds, seconds
	}
	d.positives++
	d.sum += seconds
	d.least, d.most = min(d.least, seconds), max(d.most, seconds)
	d.bins.Add(d.index.Index(d.within(seconds)))
}

// open makes the sketch's parts on first use: a zero Distribution costs nothing.
func (d *Distribution) open() {
	if d.bins != nil {
		return
	}
	index, err := mapping.NewCubicallyInterpolatedMapping(relativeAccuracy)
	if err != nil {
		panic(err) // only for an accuracy outside (0, 1)
	}
	d.index, d.bins = index, store.NewBufferedPaginatedStore()
}

// within moves a value into what the mapping can index, 1e-308 to 1e308.
func (d *Distribution) within(x float64) float64 {
	return min(max(x, d.index.MinIndexableValue()), d.index.MaxIndexableValue())
}

// N is how many values were added, with the infinite ones.
func (d *Distribution) N() int { return d.zeros + d.positives + d.infinite }

// Infinite is how many of them were +Inf.
func (d *Distribution) Infinite() int { return d.infinite }

// Mean is that of the finite values; 0 if there is none.
func (d *Distribution) Mean() float64 {
	if d.zeros+d.positives == 0 {
		return 0
	}
	return d.sum / float64(d.zeros+d.positives)
}

// Max is the largest value, +Inf among them; 0 if there is none.
func (d *Distribution) Max() float64 {
	if d.infinite > 0 {
		return math.Inf(1)
	}
	return d.most
}

// Quantile is the smallest value that at least the share q of all values do not exceed (nearest
// rank): with 2 of 100 values infinite, Quantile(0.98) is finite and Quantile(0.99) is +Inf.
// q is clamped to 0..1; of an empty Distribution it is 0.
func (d *Distribution) Quantile(q float64) float64 {
	n := d.N()
	if n == 0 {
		return 0
	}
	// A product such as 0.07 × 100 = 7.000000000000001 must not step up one rank.
	rank := int(math.Ceil(q*float64(n) - 1e-9*float64(n)))
	rank = min(max(rank, 1), n)
	switch {
	case rank <= d.zeros:
		return 0
	case rank > d.zeros+d.positives:
		return math.Inf(1)
	case rank == d.zeros+d.positives:
		return d.most
	}
	x := d.index.Value(d.bins.KeyAtRank(float64(rank - d.zeros - 1)))
	return min(max(x, d.least), d.most)
}

// CountAtMost is how many values are x or less. A value within 0.1 % of x may be counted on
// either side of it; the least, the greatest, zero and +Inf are exact.
func (d *Distribution) CountAtMost(x float64) int {
	switch {
	case math.IsInf(x, 1):
		return d.N()
	case x < 0 || math.IsNaN(x):
		return 0
	case d.positives == 0 || x < d.least:
		return d.zeros
	case x >= d.most:
		return d.zeros + d.positives
	}
	last, below := d.index.Index(x), 0.0
	d.bins.ForEach(func(index int, count float64) bool {
		if index <= last {
			below += count
		}
		return false
	})
	return d.zeros + int(below)
}

// Merge adds every value of other, which stays as it is. A nil other adds nothing.
func (d *Distribution) Merge(other *Distribution) {
	if other == nil || other.N() == 0 {
		return
	}
	d.zeros += other.zeros
	d.infinite += other.infinite
	if other.positives == 0 {
		return
	}
	d.open()
	if d.positives == 0 {
		d.least, d.most = other.least, other.most
	}
	d.positives += other.positives
	d.sum += other.sum
	d.least, d.most = min(d.least, other.least), max(d.most, other.most)
	if d == other { // merging a store into itself while it is walked is undefined
		d.bins.MergeWith(other.bins.Copy())
		return
	}
	d.bins.MergeWith(other.bins)
}

// Quantiles returns the figures that reports show.
func (d *Distribution) Quantiles() Quantiles {
	return Quantiles{
		N: d.N(), Mean: Seconds(d.Mean()), Max: Seconds(d.Max()),
		P50: Seconds(d.Quantile(0.50)), P90: Seconds(d.Quantile(0.90)), P99: Seconds(d.Quantile(0.99)),
	}
}

// Z95 is the standard score of a two-sided 95 % interval.
const Z95 = 1.959964

// Wilson is the score interval of a proportion of which successes of n were seen (Wilson 1927,
// without continuity correction). Unlike the normal interval it has width at 0 and at 1.
// n of 0 says nothing: it gives 0 and 1. successes is clamped to 0..n.
func Wilson(successes, n int, z float64) (lo, hi float64) {
	if n <= 0 {
		return 0, 1
	}
	p := float64(min(max(successes, 0), n)) / float64(n)
	size, zz := float64(n), z*z
	center := (p + zz/(2*size)) / (1 + zz/size)
	half := z / (1 + zz/size) * math.Sqrt(p*(1-p)/size+zz/(4*size*size))
	return max(0, center-half), min(1, center+half)
}

// MinSamplesProportion is the least n at which n successes of n show a proportion of p or more by
// Wilson's lower bound at 95 %: 381 for 0.99. It is at least 1, and math.MaxInt for p of 1 or
// more: no number of samples shows that nothing ever fails.
func MinSamplesProportion(p float64) int {
	if p >= 1 || math.IsNaN(p) {
		return math.MaxInt
	}
	// At n of n Wilson's lower bound is n/(n+z²).
	return atLeastOne(max(p, 0) * Z95 * Z95 / (1 - p))
}

// MinSamplesQuantile is the least n that leaves three samples beyond the quantile q: 300 for 0.99.
// It is math.MaxInt for q of 1 or more.
func MinSamplesQuantile(q float64) int {
	if q >= 1 || math.IsNaN(q) {
		return math.MaxInt
	}
	return atLeastOne(3 / (1 - max(q, 0)))
}

// atLeastOne rounds up to a count, forgiving what division by 1 − 0.99 adds.
func atLeastOne(x float64) int {
	if x >= math.MaxInt/2 {
		return math.MaxInt
	}
	return max(1, int(math.Ceil(x*(1-1e-9))))
}
