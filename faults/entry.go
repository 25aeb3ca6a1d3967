package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// EntryVersion is the version of an entry's JSON.
const EntryVersion = 1

// A State is how far an entry has come.
type State string

// States of an entry, in order. All but Closed are open: harm may be there.
const (
	Intended  State = "intended"  // Prepare is done; Inject may have begun
	InForce   State = "in force"  // Inject returned
	Reverting State = "reverting" // Revert was called
	Failed    State = "failed"    // Revert could not; it will be tried again
	Closed    State = "closed"    // Restored says how it ended
)

// An Entry is one fault in the journal: everything that any process needs to undo it.
type Entry struct {
	Version int `json:"version"`
	// Seq orders the entries of a journal, oldest first.
	Seq uint64 `json:"seq"`
	// Run and ID name it: an ID is unique in its run.
	Run string `json:"run"`
	ID  string `json:"id"`
	// Kind names the fault, and Fault is its JSON as it was after the last step.
	Kind  string          `json:"kind"`
	Fault json.RawMessage `json:"fault"`
	// Owner is the process that armed it.
	Owner targets.ProcessID `json:"owner"`
	// Handle is the stack that it harms.
	Handle targets.Handle `json:"handle"`
	// Resources is what it changes, whatever stack that is part of.
	Resources []string `json:"resources,omitempty"`
	// At is its offset in the fault phase, for people.
	At time.Duration `json:"at_ns,omitempty"`
	// TTL is its time to live, and Deadline when that ends.
	TTL      time.Duration `json:"ttl_ns"`
	Begun    time.Time     `json:"begun"`
	Deadline time.Time     `json:"deadline"`

	State State `json:"state"`
	// Restored is the end of the last Revert. Detail explains it, or the state.
	Restored results.Restored `json:"restored,omitempty"`
	Detail   string           `json:"detail,omitempty"`
	// History are all of its steps, oldest first.
	History []Step `json:"history"`
}

// A Step is one transition of an entry.
type Step struct {
	At       time.Time         `json:"at"`
	By       targets.ProcessID `json:"by"`
	State    State             `json:"state"`
	Restored results.Restored  `json:"restored,omitempty"`
	Detail   string            `json:"detail,omitempty"`
}

// Open reports whether harm of the entry may be there.
func (e Entry) Open() bool { return e.State != Closed }

// unfinished reports whether Inject may have been called and did not return in order.
func (e Entry) unfinished() bool {
	return !slices.ContainsFunc(e.History, func(s Step) bool { return s.State == InForce })
}

// String names the entry for people: fault cfg (config.push) of run 20060102T150405Z-x.
func (e Entry) String() string { return fmt.Sprintf("fault %s (%s) of run %s", e.ID, e.Kind, e.Run) }

// step moves the entry and writes its history.
func (e *Entry) step(by targets.ProcessID, s Step) {
	s.At, s.By = time.Now().UTC(), by
	s.Detail = oneLine(s.Detail)
	e.State, e.Restored, e.Detail = s.State, s.Restored, s.Detail
	e.History = append(e.History, s)
}

func (e Entry) check() error {
	switch {
	case e.Version != EntryVersion:
		return fmt.Errorf("it has version %d, this failwhale reads %d", e.Version, EntryVersion)
	case e.Seq == 0 || e.Run == "" || e.ID == "" || e.Kind == "" || len(e.Fault) == 0 || e.State == "":
		return errors.New("it is no entry of this journal")
	}
	return nil
}

// oneLine is what errors.Join has put on several.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "; ") }

// fileName is made of the entry's names, as far as a file name can have them.
func (e Entry) fileName() string {
	return fmt.Sprintf("%06d-%s-%s.json", e.Seq, plain(e.Run), plain(e.ID))
}

func plain(name string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '_'
	}, name)
	return safe[:min(len(safe), 60)]
}
