package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// MaxLease is the longest lease that a proxy grants: what a holder that died can leave behind.
const MaxLease = time.Minute

// Errors of a link's fault. A Client returns them as a Proxy does.
var (
	ErrUnknown = errors.New("unknown link")                         // the proxy has no link of that name
	ErrHeld    = errors.New("link is held by another fault")        // another id's lease runs
	ErrLapsed  = errors.New("fault is no longer in force")          // Renew came after the lease's end, or after it was cleared
	ErrInvalid = errors.New("fault is not one that can be applied") // a field is missing or out of range
)

// A Fault is what a link is made to do. Its JSON has durations as "100ms".
type Fault struct {
	// ID names its holder; another ID's fault is refused while this one's lease runs. Required.
	ID string
	// Lease is how long it stays in force unless it is set again. Required; at most MaxLease.
	Lease time.Duration
	// Renew refuses to put it in force anew: it must still be. Optional; default false.
	Renew bool
	// Latency is added to every chunk. Required.
	Latency time.Duration
	// Jitter varies Latency, evenly, by up to this much either way. Optional; at most Latency.
	Jitter time.Duration
	// Direction is delayed, each way by the whole Latency. Optional; default Down.
	Direction Direction
	// Seed of the jitter. Each connection and direction draws its own numbers from it. Optional.
	Seed uint64
}

type faultJSON struct {
	ID        string    `json:"id"`
	Lease     string    `json:"lease"`
	Renew     bool      `json:"renew,omitempty"`
	Latency   string    `json:"latency"`
	Jitter    string    `json:"jitter,omitempty"`
	Direction Direction `json:"direction,omitempty"`
	Seed      uint64    `json:"seed,omitempty"`
}

// MarshalJSON writes durations as text.
func (f Fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(faultJSON{f.ID, f.Lease.String(), f.Renew, f.Latency.String(), f.Jitter.String(), f.Direction, f.Seed})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Fault) UnmarshalJSON(text []byte) error {
	var j faultJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	*f = Fault{ID: j.ID, Renew: j.Renew, Direction: j.Direction, Seed: j.Seed}
	for _, d := range []struct {
		name, text string
		to         *time.Duration
	}{{"lease", j.Lease, &f.Lease}, {"latency", j.Latency, &f.Latency}, {"jitter", j.Jitter, &f.Jitter}} {
		if d.text == "" {
			continue
		}
		v, err := time.ParseDuration(d.text)
		if err != nil {
			return fmt.Errorf("%s %q isn't a duration: write 100ms", d.name, d.text)
		}
		*d.to = v
	}
	return nil
}

// check returns an error that wraps ErrInvalid, and fills in the direction.
func (f *Fault) check() error {
	if f.Direction == "" {
		f.Direction = Down
	}
	switch {
	case f.ID == "":
		return fmt.Errorf("%w: it has no id", ErrInvalid)
	case f.Lease <= 0 || f.Lease > MaxLease:
		return fmt.Errorf("%w: lease %s isn't between 1ns and %s", ErrInvalid, f.Lease, MaxLease)
	case f.Latency <= 0:
		return fmt.Errorf("%w: latency %s isn't more than 0; to end a fault, delete it", ErrInvalid, f.Latency)
	case f.Jitter < 0 || f.Jitter > f.Latency:
		return fmt.Errorf("%w: jitter %s isn't between 0 and the latency of %s", ErrInvalid, f.Jitter, f.Latency)
	}
	return f.Direction.UnmarshalText([]byte(f.Direction))
}

// A force is a Fault while it is in force. It is never changed: a renewal
// replaces it.
type force struct {
	Fault
	expires time.Time
	ended   chan struct{} // closed by the link when this force was replaced, cleared or ran out
	delayed *atomic.Int64 // chunks held back under this ID; renewals share it
}

// delay is how long after its arrival a chunk is due; u is even in [-1, 1). A nil force delays nothing.
func (f *force) delay(d Direction, u float64) time.Duration {
	if f == nil || (f.Direction != Both && f.Direction != d) {
		return 0
	}
	return f.Latency + time.Duration(u*float64(f.Jitter))
}
