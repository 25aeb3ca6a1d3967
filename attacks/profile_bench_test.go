package attacks_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
)

// BenchmarkDue draws arrivals of every kind, an arrival an operation: 10 million in a second are 100 ns each. They
// are never held, so that the bytes of an operation are none.
func BenchmarkDue(b *testing.B) {
	rate := attacks.Rate(1000)
	long := 1000 * time.Hour
	for _, bench := range []struct {
		name    string
		profile attacks.Profile
	}{
		{"constant", attacks.Profile{Constant: &attacks.Constant{Rate: rate}}},
		{"poisson", attacks.Profile{Poisson: &attacks.Poisson{Rate: rate}}},
		{"gamma-bursts", attacks.Profile{Gamma: &attacks.Gamma{Rate: rate, CV: 3}}},
		{"gamma-calm", attacks.Profile{Gamma: &attacks.Gamma{Rate: rate, CV: 0.5}}},
		{"ramp", attacks.Profile{Ramp: &attacks.Ramp{To: rate, Over: long}}},
		{"step", attacks.Profile{Step: &attacks.Step{Steps: []attacks.Level{{Rate: 1, For: time.Minute}, {Rate: rate}}}}},
		{"spike", attacks.Profile{Spike: &attacks.Spike{Rate: rate, At: time.Second, For: long}}},
		{"sine", attacks.Profile{Sine: &attacks.Sine{Rate: rate, Amplitude: rate, Period: time.Minute}}},
		{"sine-even", attacks.Profile{Sine: &attacks.Sine{Rate: rate, Amplitude: rate / 2, Period: time.Minute, Even: true}}},
		{"composed", attacks.Profile{
			Poisson: &attacks.Poisson{Rate: rate},
			Plus:    []attacks.Part{{Profile: attacks.Profile{Spike: &attacks.Spike{Rate: rate, For: long}}, During: results.Baseline}},
		}},
		{"trace-azure", attacks.Profile{Trace: &attacks.Trace{Speed: 60}}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			if bench.profile.Trace != nil {
				bench.profile.Trace.File = madeAzure(b, b.N+1)
			}
			b.ReportAllocs()
			b.ResetTimer()
			n := 0
			for _, err := range bench.profile.Arrivals(results.Baseline, 1) {
				if err != nil {
					b.Fatal(err)
				}
				if n++; n == b.N {
					break
				}
			}
			if n != b.N {
				b.Fatalf("%d arrivals, want %d", n, b.N)
			}
		})
	}
}

// madeAzure writes a trace of so many requests.
func madeAzure(tb testing.TB, rows int) string {
	tb.Helper()
	file, err := os.Create(filepath.Join(tb.TempDir(), "azure.csv"))
	if err != nil {
		tb.Fatal(err)
	}
	w := bufio.NewWriter(file)
	fmt.Fprint(w, "TIMESTAMP,ContextTokens,GeneratedTokens\r\n")
	at := time.Date(2023, 11, 16, 18, 15, 46, 680590000, time.UTC)
	for i := range rows {
		fmt.Fprintf(w, "%s,%d,%d\r\n", at.Format("2006-01-02 15:04:05.0000000"), 100+i%4000, 1+i%400)
		at = at.Add(time.Duration(1+i%7) * 1234500)
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	if err := file.Close(); err != nil {
		tb.Fatal(err)
	}
	return file.Name()
}
