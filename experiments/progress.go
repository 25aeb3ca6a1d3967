package experiments

import (
	"math"
	"strings"
	"sync"
	"time"
	"unicode"

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
	// NoLoad: none is put on, and what follows of requests is nothing.
	NoLoad bool
	// InFlight counts requests that were sent and have not ended; Finished those that ended so far.
	InFlight, Finished int
	TokensPerSecond    float64
	// ErrorRate is 0..1 of the requests that ended lately; NaN if none did.
	ErrorRate float64
	// TTFT99 is over the requests that ended lately; NaN if none did.
	TTFT99 results.Seconds
	// Faults are the ids in force.
	Faults []string
	// Failing is the commonest error while no request at all was served and some have failed; else "".
	Failing string
}

// snapshotWindow is long enough for a p99 of a hundred requests a second, short enough to show a change at once.
const snapshotWindow = 2 * time.Second

// recent is a sink that remembers what the samples of the last window were like.
type recent struct {
	mu       sync.Mutex
	finished int
	served   bool           // a request was
	errors   map[string]int // while none was; a bounded number
	ends     []ending       // oldest first
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
	r.fail(s)
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
	s.Finished, s.Failing = r.finished, r.commonest()
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

// fail keeps the error of a sample while none was served. mu is held.
func (r *recent) fail(s *results.Sample) {
	switch {
	case r.served:
	case s.Outcome == results.Complete:
		r.served, r.errors = true, nil
	case s.Counted() && (r.errors[s.Error] > 0 || len(r.errors) < maxErrorTexts):
		if r.errors == nil {
			r.errors = map[string]int{}
		}
		r.errors[s.Error]++
	}
}

// failingWidth is how much of an error is worth a line of progress.
const failingWidth = 200

// commonest is the most frequent error, on one line; the first in the alphabet of several. mu is held.
func (r *recent) commonest() string {
	best := ""
	for text, n := range r.errors {
		if most := r.errors[best]; n > most || n == most && text < best {
			best = text
		}
	}
	clean := strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) {
			return ' '
		}
		return c
	}, best)
	if all := []rune(clean); len(all) > failingWidth {
		clean = string(all[:failingWidth]) + "…"
	}
	return strings.Join(strings.Fields(clean), " ")
}
