package calibrate_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/failwhale/failwhale/attacks/calibrate"
)

// BenchmarkLevel is one level of a calibration: the errors, and what a chunk costs (-cpuprofile says where).
func BenchmarkLevel(b *testing.B) {
	for _, streams := range []int{250, 1000} {
		b.Run(fmt.Sprint(streams), func(b *testing.B) {
			b.Setenv(asServer, "1")
			for b.Loop() {
				c, err := calibrate.Run(b.Context(), calibrate.Config{Server: []string{os.Args[0]}, Streams: []int{streams}})
				if err != nil {
					b.Fatal(err)
				}
				l := c.Levels[0]
				b.ReportMetric(float64(l.TTFT.P50)*1e6, "ttft-p50-µs")
				b.ReportMetric(float64(l.TTFT.P99)*1e6, "ttft-p99-µs")
				b.ReportMetric(float64(l.ITL.P50)*1e6, "itl-p50-µs")
				b.ReportMetric(float64(l.ITL.P99)*1e6, "itl-p99-µs")
				b.ReportMetric(l.ChunksPerCPUSecond, "chunks/cpu-s")
				b.ReportMetric(l.OtherCores, "others-cores")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}
