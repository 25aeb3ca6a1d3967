package results_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/failwhale/failwhale/results"
)

var inf = math.Inf(1)

// Three digits, and a unit that fits after rounding: never 1000 ms.
func TestSecondsString(t *testing.T) {
	for _, tt := range []struct {
		in   float64
		want string
	}{
		{0, "0 s"},
		{inf, "inf"},
		{1.2345, "1.23 s"},
		{0.0456, "45.6 ms"},
		{0.00456, "4.56 ms"},
		{0.1234, "123 ms"},
		{0.99949, "999 ms"},
		{0.9996, "1.00 s"},
		{0.000012, "12.0 µs"},
		{0.0009996, "1.00 ms"},
		{4e-10, "0.00 µs"},
		{59.96, "60.0 s"},
		{99.96, "100 s"},
		{12345.6, "12346 s"},
	} {
		if got := results.Seconds(tt.in).String(); got != tt.want {
			t.Errorf("Seconds(%v).String() = %q; want %q", tt.in, got, tt.want)
		}
	}
}

// Never must survive JSON, which has no infinity.
func TestSecondsJSON(t *testing.T) {
	for _, tt := range []struct {
		in   results.Seconds
		want string
	}{
		{results.Seconds(inf), `"inf"`},
		{0, "0"},
		{2, "2"},
		{100, "100"},
		{0.0456, "0.0456"},
		{0.10012345678912, "0.100123457"},
	} {
		got, err := json.Marshal(tt.in)
		if err != nil || string(got) != tt.want {
			t.Errorf("json.Marshal(Seconds(%v)) = (%s, %v); want (%s, nil)", float64(tt.in), got, err, tt.want)
			continue
		}
		var back results.Seconds
		if err := json.Unmarshal(got, &back); err != nil || (back != tt.in && math.Abs(float64(back-tt.in)) > 1e-9) {
			t.Errorf("json.Unmarshal(%s) = (%v, %v); want (%v, nil)", got, float64(back), err, float64(tt.in))
		}
	}
	if got, err := json.Marshal(results.Seconds(math.NaN())); err == nil {
		t.Errorf("json.Marshal(Seconds(NaN)) = (%s, nil); want an error", got)
	}
	var s results.Seconds
	if err := json.Unmarshal([]byte(`"soon"`), &s); err == nil {
		t.Errorf(`json.Unmarshal("soon") = (%v, nil); want an error`, s)
	}
}

// No data gives no figures, and does not panic.
func TestDistributionZeroValue(t *testing.T) {
	var d results.Distribution
	if got, want := d.Quantiles(), (results.Quantiles{}); got != want {
		t.Errorf("Distribution{}.Quantiles() = %+v; want %+v", got, want)
	}
	if got := d.CountAtMost(1); got != 0 {
		t.Errorf("Distribution{}.CountAtMost(1) = %d; want 0", got)
	}
	var e results.Distribution
	d.Merge(&e)
	d.Merge(nil)
	if d.N() != 0 {
		t.Errorf("Distribution{}.Merge(&Distribution{}), then N() = %d; want 0", d.N())
	}
}

// The sketch's error never shows where the answer is known exactly.
func TestDistributionOneValue(t *testing.T) {
	var d results.Distribution
	d.Add(0.123456789)
	want := results.Quantiles{N: 1, Mean: 0.123456789, P50: 0.123456789, P90: 0.123456789, P99: 0.123456789, Max: 0.123456789}
	if got := d.Quantiles(); got != want {
		t.Errorf("Quantiles() of one value = %+v; want %+v", got, want)
	}
}

// Failures are in the quantiles, at their exact rank.
func TestDistributionInfinite(t *testing.T) {
	var d results.Distribution
	for range 98 {
		d.Add(1)
	}
	d.Add(inf)
	d.Add(math.NaN())
	for _, tt := range []struct{ q, want float64 }{{0, 1}, {0.5, 1}, {0.98, 1}, {0.981, inf}, {0.99, inf}, {1, inf}} {
		if got := d.Quantile(tt.q); got != tt.want {
			t.Errorf("98 of 1 and 2 of +Inf: Quantile(%v) = %v; want %v", tt.q, got, tt.want)
		}
	}
	if got := d.Mean(); got != 1 {
		t.Errorf("Mean() = %v; want 1, of the finite values", got)
	}
	if got := d.Max(); got != inf {
		t.Errorf("Max() = %v; want +Inf", got)
	}
	if got := d.Infinite(); got != 2 {
		t.Errorf("Infinite() = %d; want 2", got)
	}
	for _, tt := range []struct {
		x    float64
		want int
	}{{-1, 0}, {0, 0}, {0.9, 0}, {1, 98}, {1e9, 98}, {inf, 100}, {math.NaN(), 0}} {
		if got := d.CountAtMost(tt.x); got != tt.want {
			t.Errorf("CountAtMost(%v) = %d; want %d", tt.x, got, tt.want)
		}
	}
}

// Zeros are values, and nothing is below them.
func TestDistributionZerosAndNegatives(t *testing.T) {
	var d results.Distribution
	for _, x := range []float64{0, -1, 2, 4} {
		d.Add(x)
	}
	if got := d.Quantile(0.5); got != 0 {
		t.Errorf("Quantile(0.5) of 0 0 2 4 = %v; want 0", got)
	}
	if got := d.Mean(); got != 1.5 {
		t.Errorf("Mean() of 0 0 2 4 = %v; want 1.5", got)
	}
	if got := d.CountAtMost(0); got != 2 {
		t.Errorf("CountAtMost(0) of 0 0 2 4 = %d; want 2", got)
	}
}

// The promise is 0.1 % at every quantile, over six decades, against the sorted values themselves.
func TestDistributionAccuracy(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var d, left, right results.Distribution
	values := make([]float64, 0, 20000)
	for i := range cap(values) {
		x := math.Exp(rng.NormFloat64()*3 - 4)
		values = append(values, x)
		d.Add(x)
		if i%3 == 0 {
			left.Add(x)
		} else {
			right.Add(x)
		}
	}
	left.Merge(&right)
	slices.Sort(values)
	for i := 0; i <= 1000; i++ {
		q := float64(i) / 1000
		want := values[max(1, int(math.Ceil(q*float64(len(values))-1e-6)))-1]
		for name, got := range map[string]float64{"whole": d.Quantile(q), "merged": left.Quantile(q)} {
			if math.Abs(got-want) > 0.001001*want {
				t.Errorf("%s: Quantile(%v) = %v; want %v within 0.1 %%", name, q, got, want)
			}
		}
	}
	for _, x := range []float64{1e-4, 0.01, 0.2, 3} {
		lo, _ := slices.BinarySearch(values, x*0.997)
		hi, _ := slices.BinarySearch(values, x*1.003)
		if got := d.CountAtMost(x); got < lo || got > hi {
			t.Errorf("CountAtMost(%v) = %d; want %d to %d", x, got, lo, hi)
		}
	}
	if got, want := left.Max(), values[len(values)-1]; got != want {
		t.Errorf("merged: Max() = %v; want %v exactly", got, want)
	}
}

// The store must not be walked while it grows.
func TestDistributionMergeItself(t *testing.T) {
	var d results.Distribution
	for i := range 200 {
		d.Add(float64(i))
	}
	d.Merge(&d)
	if got := d.CountAtMost(inf); got != 400 {
		t.Errorf("d.Merge(d) of 200, then CountAtMost(+Inf) = %d; want 400", got)
	}
	if got := d.Quantile(0.5); math.Abs(got-99) > 0.1 {
		t.Errorf("d.Merge(d) of 0..199, then Quantile(0.5) = %v; want 99", got)
	}
}

// Known intervals, the ends, and counts out of range.
func TestWilson(t *testing.T) {
	for _, tt := range []struct {
		s, n   int
		lo, hi float64
	}{
		{0, 0, 0, 1},
		{0, 10, 0, 0.27753},
		{10, 10, 0.72247, 1},
		{5, 10, 0.23659, 0.76341},
		{98, 100, 0.92999, 0.99450},
		{-1, 10, 0, 0.27753},
		{11, 10, 0.72247, 1},
	} {
		lo, hi := results.Wilson(tt.s, tt.n, results.Z95)
		if math.Abs(lo-tt.lo) > 1e-4 || math.Abs(hi-tt.hi) > 1e-4 {
			t.Errorf("Wilson(%d, %d, Z95) = (%.5f, %.5f); want (%.5f, %.5f)", tt.s, tt.n, lo, hi, tt.lo, tt.hi)
		}
		// The bounds are the proportions from which what was seen is just z standard errors away.
		if seen := float64(tt.s) / float64(tt.n); tt.n > 0 && 0 < seen && seen < 1 {
			for _, p := range []float64{lo, hi} {
				if z := math.Abs(seen-p) / math.Sqrt(p*(1-p)/float64(tt.n)); math.Abs(z-results.Z95) > 1e-9 {
					t.Errorf("Wilson(%d, %d, Z95) has the bound %v, which is %v standard errors away", tt.s, tt.n, p, z)
				}
			}
		}
	}
}

// The least n holds and one fewer does not.
func TestMinSamplesProportion(t *testing.T) {
	for _, tt := range []struct {
		p    float64
		want int
	}{{-1, 1}, {0, 1}, {0.5, 4}, {0.9, 35}, {0.95, 73}, {0.99, 381}, {0.999, 3838}, {1, math.MaxInt}, {2, math.MaxInt}} {
		got := results.MinSamplesProportion(tt.p)
		if got != tt.want {
			t.Errorf("MinSamplesProportion(%v) = %d; want %d", tt.p, got, tt.want)
		}
		if tt.p <= 0 || tt.p >= 1 {
			continue
		}
		if lo, _ := results.Wilson(got, got, results.Z95); lo < tt.p {
			t.Errorf("MinSamplesProportion(%v) = %d, whose lower bound is %v; want at least %v", tt.p, got, lo, tt.p)
		}
		if lo, _ := results.Wilson(got-1, got-1, results.Z95); lo >= tt.p {
			t.Errorf("MinSamplesProportion(%v) = %d, but %d do already", tt.p, got, got-1)
		}
	}
}

// Three samples beyond the quantile, without a step up from 1 − 0.99.
func TestMinSamplesQuantile(t *testing.T) {
	for _, tt := range []struct {
		q    float64
		want int
	}{{-1, 3}, {0, 3}, {0.5, 6}, {0.9, 30}, {0.95, 60}, {0.99, 300}, {0.999, 3000}, {0.9999, 30000}, {1, math.MaxInt}} {
		if got := results.MinSamplesQuantile(tt.q); got != tt.want {
			t.Errorf("MinSamplesQuantile(%v) = %d; want %d", tt.q, got, tt.want)
		}
	}
}

// The judge adds one value for each gap of each stream.
func BenchmarkDistributionAdd(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	gaps := make([]float64, 4096)
	for i := range gaps {
		gaps[i] = math.Abs(0.02 + 0.001*rng.NormFloat64())
	}
	var d results.Distribution
	i := 0
	for b.Loop() {
		d.Add(gaps[i&4095])
		i++
	}
}

// A failure counts as a time that never came.
func ExampleDistribution() {
	var d results.Distribution
	for _, ttft := range []float64{0.2, 0.3, 0.4, math.Inf(1)} {
		d.Add(ttft)
	}
	fmt.Println(results.Seconds(d.Quantile(0.5)), results.Seconds(d.Quantile(0.99)), d.N())
	// Output: 300 ms inf 4
}
