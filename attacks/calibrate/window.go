package calibrate

import (
	"math"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"

	"github.com/failwhale/failwhale/results"
)

// A window is the time in which a level is measured, and what this process did meanwhile.
type window struct {
	bench    *bench
	from, to int64         // CLOCK_MONOTONIC
	cpu      time.Duration // that this process has used
	busy     time.Duration // that all processes have used
	tokens   int64
	pauses   metrics.Float64Histogram

	looks, inFlight int64
	resident        int64 // the most
}

func (b *bench) watch() *window {
	return &window{bench: b, from: b.base.Now(), cpu: cpu(), busy: busy(), tokens: b.attack.Live().Tokens, pauses: pauses()}
}

// look notes what can only be seen meanwhile.
func (w *window) look() {
	w.looks++
	w.inFlight += w.bench.attack.Live().InFlight
	if now, err := resident(); err == nil {
		w.resident = max(w.resident, now)
	}
}

// close ends the window and returns what is known of the level by then.
func (w *window) close() *Level {
	w.look()
	w.to = w.bench.base.Now()
	used := (cpu() - w.cpu).Seconds()
	chunks := float64(w.bench.attack.Live().Tokens - w.tokens) // a chunk is a token here
	l := &Level{
		InFlight: float64(w.inFlight) / float64(w.looks), ChunksPerSecond: chunks / w.length().Seconds(), Cores: used / w.length().Seconds(),
		OtherCores: max(0, (busy()-w.busy).Seconds()-used) / w.length().Seconds(), // the server's are still among them
	}
	if used > 0 {
		l.ChunksPerCPUSecond = chunks / used
	}
	l.GC = since(w.pauses, pauses())
	return l
}

func (w *window) length() time.Duration { return time.Duration(w.to - w.from) }

// cpu is what this process has used, in user and kernel mode.
func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // fails for no arguments that we give
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// pauses are those of the garbage collector since the process began.
func pauses() metrics.Float64Histogram {
	read := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(read)
	if read[0].Value.Kind() != metrics.KindFloat64Histogram {
		return metrics.Float64Histogram{} // a runtime that does not say
	}
	return *read[0].Value.Float64Histogram()
}

// since is what came to a histogram, each value at the upper bound of its bucket.
func since(before, after metrics.Float64Histogram) results.Quantiles {
	var d results.Distribution
	for i, n := range after.Counts {
		upper := after.Buckets[i+1]
		if math.IsInf(upper, 1) {
			upper = after.Buckets[i]
		}
		if i < len(before.Counts) {
			n -= before.Counts[i]
		}
		for range n {
			d.Add(upper)
		}
	}
	return d.Quantiles()
}
