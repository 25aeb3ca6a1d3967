package results_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
)

// memory is a Sink that keeps what it is given; with a Sync it is a Syncer.
type memory struct {
	recs  []results.Record
	err   error
	syncs []int // how many records it had at each Sync
}

func (m *memory) Add(rec results.Record) error {
	m.recs = append(m.recs, rec)
	return m.err
}

func (m *memory) Sync() error {
	m.syncs = append(m.syncs, len(m.recs))
	return nil
}

type reentrant struct {
	memory
	recorder *results.Recorder
}

func (r *reentrant) Sync() error {
	return r.recorder.Add(results.Record{Sample: &results.Sample{}})
}

// Events are stamped in the order in which they are handed on; those that say where the harm
// stands are on the disk at once, and no others.
func TestRecorderSyncsFaultEvents(t *testing.T) {
	var m memory
	r := results.NewRecorder(results.NewClock(), &m)
	for _, kind := range []results.EventKind{
		results.EventPhase, results.EventInject, results.EventInjected, results.EventEvidence,
		results.EventRevert, results.EventReverted, results.EventInjectFailed, results.EventEnd,
	} {
		if _, err := r.Event(results.Event{Kind: kind}); err != nil {
			t.Fatalf("Event(%s): %v", kind, err)
		}
	}
	if diff := cmp.Diff([]int{2, 3, 5, 6, 7}, m.syncs); diff != "" {
		t.Errorf("records at each Sync (-want +got):\n%s", diff)
	}
	for i, rec := range m.recs[1:] {
		if rec.Event.At < m.recs[i].Event.At {
			t.Errorf("event %d is stamped %s, before the one that came earlier at %s", i+1, rec.Event.At, m.recs[i].Event.At)
		}
	}
}

// A broken sink is told, and keeps nothing from the others.
func TestRecorderTellsErrors(t *testing.T) {
	broken, whole := memory{err: errors.New("disk full")}, memory{}
	r := results.NewRecorder(results.NewClock(), &broken, &whole)
	if err := r.Add(results.Record{Sample: &results.Sample{}}); !errors.Is(err, broken.err) {
		t.Errorf("Add with a broken sink = %v; want %v", err, broken.err)
	}
	if _, err := r.Event(results.Event{Kind: results.EventInject}); !errors.Is(err, broken.err) {
		t.Errorf("Event with a broken sink = %v; want %v", err, broken.err)
	}
	if len(whole.recs) != 2 || len(whole.syncs) != 1 {
		t.Errorf("the other sink got %d records and %d syncs; want 2 and 1", len(whole.recs), len(whole.syncs))
	}
}

// Samples do not wait for a disk: while one syncs, the recorder takes more.
func TestRecorderIsFreeWhileSyncing(t *testing.T) {
	s := &reentrant{}
	s.recorder = results.NewRecorder(results.NewClock(), s)
	if _, err := s.recorder.Event(results.Event{Kind: results.EventInject}); err != nil {
		t.Fatalf("Event: %v", err)
	}
	if len(s.recs) != 2 {
		t.Errorf("records = %d; want the event and the sample that came while it was synced", len(s.recs))
	}
}
