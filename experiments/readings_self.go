package experiments

import (
	"context"
	"math"
	"runtime/metrics"
	"syscall"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A selfReader says what this process itself went through: a pause of its own garbage collector makes every
// token that arrives meanwhile look late.
type selfReader struct {
	clock   results.Clock
	sink    results.Sink
	samples []metrics.Sample // in the order of newSelfReader
}

func newSelfReader(clock results.Clock, sink results.Sink) *selfReader {
	return &selfReader{clock: clock, sink: sink, samples: []metrics.Sample{
		{Name: "/sched/pauses/total/gc:seconds"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/sched/goroutines:goroutines"},
	}}
}

// run takes a reading at once, each second, and when ctx ends. The error is the sink's.
func (s *selfReader) run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		if err := s.sink.Add(results.Record{Reading: s.read()}); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// read costs some 20 µs and stops nothing.
func (s *selfReader) read() *results.Reading {
	metrics.Read(s.samples)
	r := &results.Reading{
		At: s.clock.Now(), Source: results.Self,
		Values: map[string]float64{}, Histograms: map[string]results.Histogram{},
	}
	if v := s.samples[0].Value; v.Kind() == metrics.KindFloat64Histogram {
		r.Histograms[results.SignalGC] = cumulative(v.Float64Histogram())
	}
	for i, signal := range []string{results.SignalHeap, results.SignalGoroutines} {
		if v := s.samples[i+1].Value; v.Kind() == metrics.KindUint64 {
			r.Values[signal] = float64(v.Uint64())
		}
	}
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil {
		r.Values[results.SignalCPU] = time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
	}
	return r
}

// cumulative turns the runtime's histogram, whose bucket i lies between bounds i and i+1, into ours. The runtime
// tells no sum: it is estimated by the buckets' middles, and by their nearer bound where they are open.
func cumulative(from *metrics.Float64Histogram) results.Histogram {
	var h results.Histogram
	for i, n := range from.Counts {
		h.Count += n
		low, high := from.Buckets[i], from.Buckets[i+1]
		switch {
		case math.IsInf(high, 1):
			h.Sum += float64(n) * low
			continue
		case math.IsInf(low, -1):
			low = high
		}
		h.Sum += float64(n) * (low + high) / 2
		if high > 0 {
			h.Bounds, h.Counts = append(h.Bounds, high), append(h.Counts, h.Count)
		}
	}
	return h.Compact()
}
