package results_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/failwhale/failwhale/results"
)

// What a log costs on the disk and in CPU, at 100 chunks a sample of a token each 20 ms. It
// reports compressed bytes a chunk, and how long one sample takes to add and to read.
func BenchmarkLog(b *testing.B) {
	for _, jitter := range []time.Duration{100 * time.Microsecond, 500 * time.Microsecond, 3 * time.Millisecond} {
		b.Run(fmt.Sprintf("jitter=%s", jitter), func(b *testing.B) {
			dir, round := b.TempDir(), 0
			rng := rand.New(rand.NewPCG(1, 2))
			samples := make([]*results.Sample, 2000)
			for i := range samples {
				samples[i] = streamed(rng, 100, jitter)
				samples[i].Index = uint64(i)
			}
			for b.Loop() {
				path := filepath.Join(dir, strconv.Itoa(round))
				round++
				start := time.Now()
				writeAll(b, path, samples)
				wrote := time.Since(start)
				info, err := os.Stat(path)
				if err != nil {
					b.Fatal(err)
				}
				start = time.Now()
				read := 0
				for _, err := range results.ReadLog(path) {
					if err != nil {
						b.Fatal(err)
					}
					read++
				}
				if read != len(samples) {
					b.Fatalf("ReadLog gave %d samples; want %d", read, len(samples))
				}
				b.ReportMetric(float64(info.Size())/float64(100*len(samples)), "B/chunk")
				b.ReportMetric(float64(wrote.Nanoseconds())/float64(len(samples)), "ns/written")
				b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(len(samples)), "ns/read")
			}
		})
	}
}

// writeAll flushes as often as a run of 100 requests a second does.
func writeAll(b *testing.B, path string, samples []*results.Sample) {
	b.Helper()
	log, err := results.CreateLog(path)
	if err != nil {
		b.Fatal(err)
	}
	for i, s := range samples {
		if err := log.Add(results.Record{Sample: s}); err != nil {
			b.Fatal(err)
		}
		if i%100 == 99 {
			if err := log.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
}
