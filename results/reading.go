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
	// Server is the kind of server by the names of its figures, as in vllm; several are joined by +.
	Server string `json:"server,omitempty"`
	// Error says why there are none. Empty: there are.
	Error string `json:"error,omitempty"`
	// Values are gauges and counters, by signal. All are finite.
	Values map[string]float64 `json:"values,omitempty"`
	// Histograms, by signal.
	Histograms map[string]Histogram `json:"histograms,omitempty"`
}

// Self is the source of a Reading that this process took of itself.
const Self = "failwhale"

// Signals of a server, whatever it calls them itself: first gauges, of what is so at the moment, then counters of what
// has come together since the server began, then histograms, in seconds.
const (
	SignalRunning = "running"         // requests in the batch
	SignalWaiting = "waiting"         // requests in the queue
	SignalKV      = "kv_usage"        // share of the KV cache that is in use, 0..1
	SignalHitRate = "prefix_hit_rate" // share of the prompt tokens found in the prefix cache, 0..1, as the server averages it
	SignalStarted = "started"         // when the server's process began, in seconds since 1970

	SignalDone         = "requests_done"
	SignalFailed       = "requests_failed"
	SignalPreempted    = "preemptions"
	SignalPromptTokens = "prompt_tokens"
	SignalOutputTokens = "output_tokens"
	SignalHits         = "prefix_hits"    // prompt tokens found in the prefix cache
	SignalQueries      = "prefix_queries" // prompt tokens looked for

	SignalTTFT  = "ttft"       // arrival at the server to its first token
	SignalITL   = "itl"        // between two tokens
	SignalTPOT  = "tpot"       // mean time per token of a request
	SignalE2E   = "e2e"        // arrival to last token
	SignalQueue = "queue_time" // arrival to the batch
)

// Signals of Self.
const (
	SignalGC         = "gc_pause"    // histogram: how long the garbage collector stopped everything
	SignalHeap       = "heap_bytes"  // gauge
	SignalGoroutines = "goroutines"  // gauge
	SignalCPU        = "cpu_seconds" // counter: user and system time of the process
)

// Gauge reports whether a signal among a Reading's Values says what is so at the moment. The others are counters.
func Gauge(signal string) bool {
	switch signal {
	case SignalRunning, SignalWaiting, SignalKV, SignalHitRate, SignalStarted, SignalHeap, SignalGoroutines:
		return true
	default:
		return false
	}
}
