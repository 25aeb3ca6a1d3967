package experiments

import (
	"math"
	"sync"
	"time"

	"github.com/failwhale/failwhale/results"
)

// What a run does beside the business of a phase.
const (
	Preparing = "preparing"
	Undoing   = "undoing"
	Draining  = "draining" // no further requests; those under way come to their end
)

// A Snapshot is how a run goes right now. Rates are over the last two seconds.
type Snapshot struct {
	Phase results.Phase
	// Doing is Preparing, Undoing, Draining, or "" for the phase itself.
	Doing string
	// Left of the phase; 0 where it ends by a condition or has ended.
	Left time.Duration
	// InFlight counts requests that were sent and have not ended; Finished those that ended so far.
	InFlight, Finished int
	TokensPerSecond    float64
	// ErrorRate is 0..1 of the requests that ended lately; NaN if none did.
	ErrorRate float64
	// TTFT99 is over the requests that ended lately; NaN if none did.
	TTFT99 results.Seconds
	// Faults are the ids in force.
	Faults []string
}

// snapshotWindow is long enough for a p99 of a hundred requests a second, short enough to show a change at once.
const snapshotWindow = 2 * time.Second

// recent is a sink that remembers what the samples of the last window were like.
type recent struct {
	mu       sync.Mutex
	finished int
	ends     []ending // oldest first
}

// An ending is all that recent keeps of a sample.
type ending struct {
	done            time.Duration
	counted, failed bool
	ttft            float64 // seconds; NaN: does not count
}

// Add keeps a sample's end; other records are not its concern.
func (r *recent) Add(rec results.Record) error {
	s := rec.Sample
	if s == nil || !s.Counted() && !s.Leaver() {
		return nil
	}
	e := ending{done: s.Done, counted: s.Counted(), failed: s.Outcome != results.Complete, ttft: math.NaN()}
	if d, inf, counts := s.TTFT(); counts {
		e.ttft = d.Seconds()
		if inf {
			e.ttft = math.Inf(1)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finished++
	r.ends = append(r.ends, e)
	return nil
}

// fill writes the window's figures into s and forgets what is older.
func (r *recent) fill(s *Snapshot, now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := 0
	for old < len(r.ends) && r.ends[old].done < now-snapshotWindow {
		old++
	}
	r.ends = append(r.ends[:0], r.ends[old:]...)
	s.Finished = r.finished
	s.ErrorRate, s.TTFT99 = math.NaN(), results.Seconds(math.NaN())
	if len(r.ends) == 0 {
		return
	}
	var ttft results.Distribution
	counted, failed := 0, 0
	for _, e := range r.ends {
		if e.counted {
			counted++
		}
		if e.counted && e.failed {
			failed++
		}
		if !math.IsNaN(e.ttft) {
			ttft.Add(e.ttft)
		}
	}
	if counted > 0 {
		s.ErrorRate = float64(failed) / float64(counted)
	}
	if ttft.N() > 0 {
		s.TTFT99 = results.Seconds(ttft.Quantile(0.99))
	}
}
