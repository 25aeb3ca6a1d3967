package results_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
)

// hist is a histogram of values, with all of its buckets.
func hist(bounds []float64, values ...float64) results.Histogram {
	h := results.Histogram{Bounds: slices.Clone(bounds), Counts: make([]uint64, len(bounds))}
	for _, x := range values {
		h.Count++
		h.Sum += x
		for i, b := range bounds {
			if x <= b {
				h.Counts[i]++
			}
		}
	}
	return h
}

var byTens = []float64{0.001, 0.01, 0.1, 1, 10}

// A quantile lies where PromQL's histogram_quantile has it: evenly within its bucket, from 0 in the first, at the last
// bound past it.
func TestHistogramQuantile(t *testing.T) {
	inf := results.Seconds(math.Inf(1))
	for _, tc := range []struct {
		name string
		h    results.Histogram
		q    float64
		want results.BucketQuantile
	}{
		{"empty", hist(byTens), 0.5, results.BucketQuantile{}},
		{"no buckets", results.Histogram{Count: 3, Sum: 3}, 0.5, results.BucketQuantile{}},
		{"the middle of a bucket", hist(byTens, 0.05, 0.05), 0.5, results.BucketQuantile{Value: 0.055, From: 0.01, To: 0.1}},
		{"the end of a bucket", hist(byTens, 0.05, 5), 0.5, results.BucketQuantile{Value: 0.1, From: 0.01, To: 0.1}},
		{"the first bucket", hist(byTens, 0.0005), 0.5, results.BucketQuantile{Value: 0.0005, From: 0, To: 0.001}},
		{"past the last bound", hist(byTens, 5, 50, 50), 0.9, results.BucketQuantile{Value: 10, From: 10, To: inf}},
		{"over empty buckets", hist(byTens, 0.0005, 5), 0.75, results.BucketQuantile{Value: 5.5, From: 1, To: 10}},
	} {
		for _, h := range []results.Histogram{tc.h, tc.h.Compact()} {
			got := h.Quantile(tc.q)
			same := func(a, b results.Seconds) bool { return a == b || math.Abs(float64(a-b)) < 1e-12 }
			if !same(got.Value, tc.want.Value) || !same(got.From, tc.want.From) || !same(got.To, tc.want.To) {
				t.Errorf("%s: %+v.Quantile(%g) = %+v; want %+v", tc.name, h, tc.q, got, tc.want)
			}
		}
	}
}

// What is left out of a compact histogram can be told from the rest: differences, sums and quantiles stay the same.
func TestHistogramArithmetic(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		values := make([]float64, 3*rng.IntN(8))
		for i := range values {
			values[i] = 30 * math.Pow(rng.Float64(), 9)
		}
		first := len(values) / 3
		before, added, now := hist(byTens, values[:first]...), hist(byTens, values[first:]...), hist(byTens, values...)
		got, restarted := now.Compact().Since(before.Compact())
		if restarted {
			t.Fatalf("%+v.Since(%+v) says that it restarted", now, before)
		}
		sum := before.Compact().Plus(got)
		for _, q := range []float64{0.01, 0.5, 0.99} {
			if got.Quantile(q) != added.Quantile(q) || sum.Quantile(q) != now.Quantile(q) {
				t.Errorf("%+v.Since(%+v) = %+v with quantile(%g) %+v; want %+v", now, before, got, q, got.Quantile(q), added.Quantile(q))
			}
		}
		if got.Count != added.Count || math.Abs(got.Sum-added.Sum) > 1e-9 || sum.Count != now.Count {
			t.Errorf("%+v.Since(%+v) = %+v; want %+v", now, before, got, added)
		}
	}
}

// Whatever has become less began anew, and counts from nothing.
func TestHistogramRestarts(t *testing.T) {
	before := hist(byTens, 0.05, 0.05, 5)
	for name, now := range map[string]results.Histogram{
		"fewer values":               hist(byTens, 0.05),
		"fewer values in one bucket": hist(byTens, 5, 5, 5, 5),
	} {
		if got, restarted := now.Since(before); !restarted || got.Count != now.Count {
			t.Errorf("%s: Since = %+v, %t; want all of it, restarted", name, got, restarted)
		}
	}
	if got, restarted := before.Since(results.Histogram{}); restarted || got.Count != 3 || got.Quantile(0.99) != before.Quantile(0.99) {
		t.Errorf("Since(nothing) = %+v, %t; want all of it, not restarted", got, restarted)
	}
}

// Buckets that are not those of before say nothing of what was added; its number and its sum are known all the same.
func TestHistogramOfOtherBuckets(t *testing.T) {
	before := hist(byTens, 0.05, 0.05, 5)
	bare := results.Histogram{Count: 3, Sum: 5.1}
	for _, tc := range []struct {
		name        string
		now, before results.Histogram
	}{
		{"none any more", results.Histogram{Count: 5, Sum: 6.1}, before},
		{"none before", hist(byTens, 0.05, 0.05, 5, 0.5, 0.5), bare},
		{"finer ones", hist([]float64{0.001, 0.01, 0.06, 0.07, 0.1, 1, 10}, 0.05, 0.05, 5, 0.5, 0.5), before},
		{"ones beyond the last", hist([]float64{1, 10}, 5, 5, 5, 5, 5), hist([]float64{0.1}, 5, 5, 5)},
		{"a sum that trembles", results.Histogram{Count: 5, Sum: 5.1 - 1e-12}, bare},
	} {
		got, restarted := tc.now.Compact().Since(tc.before.Compact())
		if restarted || got.Count != 2 || math.Abs(got.Sum-max(0, tc.now.Sum-tc.before.Sum)) > 1e-9 || len(got.Bounds) > 0 {
			t.Errorf("%s: Since = %+v, %t; want two values and no buckets, not restarted", tc.name, got, restarted)
		}
	}
	if got, restarted := (results.Histogram{Count: 5, Sum: 1}).Since(bare); !restarted || got.Count != 5 {
		t.Errorf("a sum that is less: Since = %+v, %t; want all of it, restarted", got, restarted)
	}
}

// A server that changes its bounds each time cannot make a report grow.
func TestHistogramIsBounded(t *testing.T) {
	var all results.Histogram
	for i := range 2000 {
		all = all.Plus(hist([]float64{float64(i + 1)}, 0.5))
	}
	if all.Count != 2000 || len(all.Bounds) > 500 {
		t.Errorf("2000 histograms of one bound each come to %d values in %d buckets; want 2000 in at most 500", all.Count, len(all.Bounds))
	}
}

// The longest value is at most its bucket's bound.
func TestHistogramMost(t *testing.T) {
	for _, tc := range []struct {
		h    results.Histogram
		want float64
	}{{results.Histogram{}, 0}, {hist(byTens, 0.05, 0.5), 1}, {hist(byTens, 50), math.Inf(1)}} {
		if got := tc.h.Most(); got != tc.want {
			t.Errorf("%+v.Most() = %v; want %v", tc.h, got, tc.want)
		}
	}
}

// The log gives back what a server said, to the bit.
func TestReadingsAreLogged(t *testing.T) {
	want := results.Reading{
		At: 1234567891, Took: 4567, Source: "east", Labels: results.Labels{"region": "east"}, Server: "vllm",
		Values:     map[string]float64{results.SignalKV: 1.0 / 3, results.SignalOutputTokens: 1e15 + 1},
		Histograms: map[string]results.Histogram{results.SignalTTFT: hist(byTens, 0.1, 0.2, 0.3).Compact()},
	}
	failed := results.Reading{At: 2 * time.Second, Source: "east", Error: "GET http://h/metrics: connection refused"}
	path := filepath.Join(t.TempDir(), "log")
	log, err := results.CreateLog(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []results.Reading{want, failed} {
		if err := log.Add(results.Record{Reading: &r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	var got []results.Reading
	for rec, err := range results.ReadLog(path) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, *rec.Reading)
	}
	if diff := cmp.Diff([]results.Reading{want, failed}, got); diff != "" {
		t.Errorf("readings in the log (-want +got):\n%s", diff)
	}
}

// A report's JSON says so where a server's median is past its last bucket.
func TestBucketQuantileJSON(t *testing.T) {
	text, err := json.Marshal(hist(byTens, 50).Times())
	if want := `{"n":1,"mean":50,"p50":{"value":10,"from":10,"to":"inf"},"p99":{"value":10,"from":10,"to":"inf"}}`; err != nil || string(text) != want {
		t.Errorf("Marshal = %s, %v; want %s", text, err, want)
	}
}
