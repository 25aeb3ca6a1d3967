package attacks_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
)

func take(p attacks.Profile, seed uint64, n int) []time.Duration {
	var out []time.Duration
	for a, err := range p.Arrivals(results.Baseline, seed) {
		if err != nil {
			panic(err)
		}
		if out = append(out, a.At); len(out) == n {
			break
		}
	}
	return out
}

// Constant is constant: no gap differs by more than the nanosecond that a clock can tell.
func TestConstant(t *testing.T) {
	p := attacks.Profile{Constant: &attacks.Constant{Rate: 30}}
	for k, d := range take(p, 1, 100_000) {
		if want := time.Duration(math.Round(float64(k) * 1e9 / 30)); d != want {
			t.Fatalf("request %d is due at %s, want %s", k, d, want)
		}
	}
}

// Poisson gaps have the mean of the rate, its spread, and no memory.
func TestPoisson(t *testing.T) {
	const n = 200_000
	due := take(attacks.Profile{Poisson: &attacks.Poisson{Rate: 200}}, 7, n)
	var sum, squares, product, last float64
	for i := 1; i < n; i++ {
		gap := (due[i] - due[i-1]).Seconds() * 200
		sum, squares, product, last = sum+gap, squares+gap*gap, product+gap*last, gap
		if gap < 0 {
			t.Fatalf("request %d is due before the one before it", i)
		}
	}
	mean := sum / n
	if sd := math.Sqrt(squares/n - mean*mean); math.Abs(mean-1) > 0.01 || math.Abs(sd-1) > 0.02 {
		t.Errorf("gaps have mean %.4f and standard deviation %.4f of 1/rate, want 1 and 1", mean, sd)
	}
	if corr := product/n - mean*mean; math.Abs(corr) > 0.02 {
		t.Errorf("neighbouring gaps have correlation %.4f, want 0", corr)
	}
	if !slices.Equal(due[:1000], take(attacks.Profile{Poisson: &attacks.Poisson{Rate: 200}}, 7, 1000)) {
		t.Error("equal seeds gave different times")
	}
}
