package results

import (
	"encoding/json"
	"errors"
	"sync"
	"time"
)

// LogVersion is the version of the log's format. A log of version 1 will stay
// readable by every later release.
const LogVersion = 1

// A Record is one line of the log: exactly one of its fields is set.
type Record struct {
	Header *Header `json:"header,omitempty"`
	Sample *Sample `json:"sample,omitempty"`
	Event  *Event  `json:"event,omitempty"`
	// Reading is what a server, or this process, says of itself.
	Reading *Reading `json:"reading,omitempty"`
}

// A Header is the first record: everything needed to judge the rest again.
type Header struct {
	Version int `json:"version"`
	// Started is the wall time at which the run's clock read 0.
	Started time.Time `json:"started"`
	// Experiment is the plan's name. Plan is the experiment file's own text: it
	// holds secrets as ${ENV} references only.
	Experiment string `json:"experiment"`
	Plan       string `json:"plan"`
	// Overrides are command-line settings that change the plan (resilience, seed).
	Overrides map[string]string `json:"overrides,omitempty"`
	Seed      uint64            `json:"seed"`
	// Environment describes the machine and program; Stack what was tested, without secrets.
	Environment map[string]string `json:"environment,omitempty"`
	Stack       json.RawMessage   `json:"stack,omitempty"`
}

// A Sink takes records. Add may keep the record; the caller must not change it after.
type Sink interface{ Add(Record) error }

// A Clock counts from the start of a run, on the monotonic clock. Its zero value is not usable.
type Clock struct{ start time.Time }

// NewClock starts a clock at 0.
func NewClock() Clock { return Clock{start: time.Now()} }

// Started is the wall time of 0.
func (c Clock) Started() time.Time { return c.start }

// Now is the time since the start.
func (c Clock) Now() time.Duration { return time.Since(c.start) }

// At converts a time that carries a monotonic reading.
func (c Clock) At(t time.Time) time.Duration { return t.Sub(c.start) }

// A Syncer is a Sink that can put all that it was given on a disk.
type Syncer interface {
	Sink
	Sync() error
}

// A Recorder joins samples and events in one order and hands them to its sinks.
// It is safe for concurrent use. An error of a sink does not keep the record
// from the others.
type Recorder struct {
	clock Clock
	mu    sync.Mutex
	sinks []Sink
}

// NewRecorder returns a recorder on clock that feeds sinks, in this order.
func NewRecorder(clock Clock, sinks ...Sink) *Recorder {
	return &Recorder{clock: clock, sinks: sinks}
}

// Add hands on a header or a sample as it is.
func (r *Recorder) Add(rec Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.add(rec)
}

// Event stamps e, hands it on and returns it. The stamp is taken under the lock: no
// sample that ended later than the stamp has been handed on before it. An event that
// says where the harm stands is on the disk (of every Syncer) when Event returns;
// samples do not wait for that.
func (r *Recorder) Event(e Event) (Event, error) {
	e, err := r.stamp(e)
	if !e.Kind.durable() {
		return e, err
	}
	errs := []error{err}
	for _, s := range r.sinks {
		if s, ok := s.(Syncer); ok {
			errs = append(errs, s.Sync())
		}
	}
	return e, errors.Join(errs...)
}

func (r *Recorder) stamp(e Event) (Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.At = r.clock.Now()
	return e, r.add(Record{Event: &e})
}

func (r *Recorder) add(rec Record) error {
	var errs []error
	for _, s := range r.sinks {
		errs = append(errs, s.Add(rec))
	}
	return errors.Join(errs...)
}
