package results

import "time"

// A Reading is what one source of figures said of itself at one moment, on the run's clock.
type Reading struct {
	// At is when its answer had been read; Took how long the asking took.
	At   time.Duration `json:"at_ns"`
	Took time.Duration `json:"took_ns,omitempty"`
	// Source is the name of the stack's metrics, or Self.
	Source string `json:"source"`
	// Labels say whose figures they are.
	Labels Labels `json:"labels,omitempty"`
	// Error says why there are none. Empty: there are.
	Error string `json:"error,omitempty"`
	// Values are gauges and counters, by signal.
	Values map[string]float64 `json:"values,omitempty"`
	// Histograms, by signal.
	Histograms map[string]Histogram `json:"histograms,omitempty"`
}

// Self is the source of a Reading that this process took of itself.
const Self = "failwhale"

// A Histogram is a cumulative Prometheus histogram, in seconds.
type Histogram struct {
	Count uint64  `json:"count"`
	Sum   float64 `json:"sum"`
	// Bounds are the upper bounds of the buckets, rising, without +Inf; Counts how many values were at most that.
	Bounds []float64 `json:"bounds,omitempty"`
	Counts []uint64  `json:"counts,omitempty"`
}
