package results

import "time"

// ServerStats are what the servers behind some labels say of themselves in one phase, beside what we saw of
// requests with the same labels. Theirs are differences between readings, of which each is counted to the
// phase in the middle of which it was made; what a server counted between its last reading and its death is lost.
type ServerStats struct {
	Phase Phase `json:"phase"`
	// Labels say whose figures they are; none: everybody's. Pages with the same labels are taken together.
	Labels Labels `json:"labels,omitempty"`
	// Sources are the names of the pages, Server the kinds of server that they are of: vllm.
	Sources []string `json:"sources"`
	Server  string   `json:"server,omitempty"`
	// Readings counts those that had figures. Error is the last reason why one had none.
	Readings int    `json:"readings"`
	Error    string `json:"error,omitempty"`
	// Restarts counts how often a page's counters began anew.
	Restarts int `json:"restarts,omitempty"`
	// Running and Waiting are requests, over all pages; KVUsage is a share, of the fullest.
	Running Level `json:"running,omitzero"`
	Waiting Level `json:"waiting,omitzero"`
	KVUsage Level `json:"kv_usage,omitzero"`
	// TTFT counts from the request's arrival at the server.
	TTFT      ServerTimes `json:"ttft,omitzero"`
	ITL       ServerTimes `json:"itl,omitzero"`
	TPOT      ServerTimes `json:"tpot,omitzero"`
	E2E       ServerTimes `json:"e2e,omitzero"`
	QueueTime ServerTimes `json:"queue_time,omitzero"`
	// Counts are by how much counters have grown, by signal: output_tokens, preemptions.
	Counts map[string]float64 `json:"counts,omitempty"`
	// Ours is what we saw meanwhile.
	Ours OursStats `json:"ours"`
	// Apart is the mean of Ours.TTFT less that of TTFT: what lies between us and the server.
	Apart Seconds `json:"apart,omitzero"`
	// Notes say what differences may mean, where they are large.
	Notes []string `json:"notes,omitempty"`
}

// OursStats are our figures by the moment, as a server's are: of whatever happened within the phase.
type OursStats struct {
	// TTFT is from Sent to the first token, of the requests whose first token came within the phase, without
	// those that were retried.
	TTFT Quantiles `json:"ttft_sent"`
	// Tokens arrived within the phase.
	Tokens float64 `json:"tokens"`
}

// A Level is what a gauge showed over a phase. N readings; with 0 nothing is known.
type Level struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50"`
	Max float64 `json:"max"`
}

// ServerTimes are a server's lengths of time. The mean is exact, quantiles are from buckets and may not be known.
type ServerTimes struct {
	N    uint64         `json:"n"`
	Mean Seconds        `json:"mean"`
	P50  BucketQuantile `json:"p50,omitzero"`
	P99  BucketQuantile `json:"p99,omitzero"`
}

// Times sums a histogram up.
func (h Histogram) Times() ServerTimes {
	return ServerTimes{N: h.Count, Mean: Seconds(h.Mean()), P50: h.Quantile(0.50), P99: h.Quantile(0.99)}
}

// SelfStats are what this process says of itself, over all judged phases.
type SelfStats struct {
	// Pauses counts how often the garbage collector stopped everything; P99 and Longest are by the runtime's
	// buckets, which are a fifth wide.
	Pauses  uint64         `json:"gc_pauses"`
	P99     BucketQuantile `json:"gc_pause_p99"`
	Longest Seconds        `json:"gc_pause_max"`
	// HeapMax is in bytes, GoroutinesMax a count, CPU the process's user and system time.
	HeapMax       float64       `json:"heap_max_bytes"`
	GoroutinesMax float64       `json:"goroutines_max"`
	CPU           time.Duration `json:"cpu_ns"`
}
