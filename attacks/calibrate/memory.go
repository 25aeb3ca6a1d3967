package calibrate

import (
	"context"
	"errors"
	"fmt"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/perfect"
)

// A Memory is what one stream needs of it.
type Memory struct {
	// Streams that ran at a time.
	Streams int `json:"streams"`
	// PromptBytes and Chunks of each, about.
	PromptBytes int `json:"prompt_bytes"`
	Chunks      int `json:"chunks"`
	// ResidentPerStream is by how much resident memory was more at its most than before the attack, in bytes a
	// stream. It holds what the garbage collector had not collected: with GOGC at its default that may be as much
	// as what lives. The kernel's socket buffers are not in it.
	ResidentPerStream int64 `json:"resident_per_stream_bytes"`
	// LivePerStream is what of it is live heap and stacks, as the collector saw it at most.
	LivePerStream int64 `json:"live_per_stream_bytes"`
	// Failed requests, and the first reason.
	Failed int    `json:"failed"`
	Why    string `json:"why,omitempty"`
}

// A stream of the memory level: long answers, slow enough that no core is short: 30,000 chunks a second at 9,000
// streams. All begin within memoryRamp and live for 60 s, so that all are under way, and the first nearly at
// their end, when the memory is read.
const (
	memoryRamp         = 10 * time.Second
	memoryInterval     = 300 * time.Millisecond
	memoryTokens       = 200
	memoryPromptTokens = 900
	memoryPromptBytes  = 4 << 10 // with the JSON around it, somewhat less
)

func memoryTakes() time.Duration {
	return memoryRamp + perfect.Timing{Interval: memoryInterval}.Mean(memoryTokens)
}

// memory measures the memory of a stream.
func memory(ctx context.Context, cfg Config) (*Memory, error) {
	streams := cfg.Memory
	cfg.Timing = perfect.Timing{Prefill: cfg.Timing.Prefill, Interval: memoryInterval}
	cfg.Tokens = memoryTokens
	at := &bench{cfg: cfg, rate: attacks.Rate(float64(streams) / memoryRamp.Seconds()), prompt: memoryPromptTokens}
	if err := at.open(ctx); err != nil {
		return nil, err
	}
	defer at.close()
	before, err := resident()
	if err != nil {
		return nil, err
	}
	live := inUse()
	at.attack.BeginFor(results.Baseline, memoryRamp)
	at.start(ctx)
	m := &Memory{Streams: streams, PromptBytes: memoryPromptBytes, Chunks: memoryTokens}
	var most, alive, inFlight int64
	look := func() {
		if now, err := resident(); err == nil {
			most = max(most, now)
		}
		alive, inFlight = max(alive, inUse()), max(inFlight, at.attack.Live().InFlight)
	}
	if err := at.wait(ctx, cfg.mean(), look); err != nil { // until the first answers end
		return nil, err
	}
	at.attack.Stop()
	m.ResidentPerStream, m.LivePerStream = max(0, most-before)/int64(streams), max(0, alive-live)/int64(streams)
	if inFlight != int64(streams) {
		m.Why = fmt.Sprintf("only %d ran at a time", inFlight)
	}
	if err := at.drain(ctx); err != nil {
		return nil, err
	}
	for _, s := range at.samples {
		if s.Outcome != results.Complete {
			m.Failed++
			m.Why = fmt.Sprintf("%s: %s", s.Outcome, s.Error)
		}
	}
	return m, nil
}

// inUse is this process's heap that was alive when it was last collected, and its stacks, in bytes.
func inUse() int64 {
	read := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(read)
	return int64(read[0].Value.Uint64() + read[1].Value.Uint64())
}

// files is how many open files a process has beside its connections, and then some.
const files = 100

// checkLimits says which limit of this machine is too low for so many streams. (Go's os package raises the limit of
// open files to the most that the process may have as it starts.)
func checkLimits(streams int) error {
	var errs []error
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil && limit.Cur < uint64(streams+files) {
		errs = append(errs, fmt.Errorf("%d streams need %d open files, and this process may have %d: raise the limit (ulimit -Hn %d), or measure fewer",
			streams, streams+files, limit.Cur, streams+files))
	}
	if ports := localPorts(); ports > 0 && ports < streams {
		errs = append(errs, fmt.Errorf("%d streams need as many local ports, and this machine gives out %d: widen net.ipv4.ip_local_port_range, or measure fewer",
			streams, ports))
	}
	return errors.Join(errs...)
}
