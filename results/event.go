package results

import "time"

// A Phase is a part of a run. The zero value is no phase.
type Phase string

// Phases of a run, in order. Warmup counts nowhere.
const (
	Warmup   Phase = "warmup"
	Baseline Phase = "baseline"
	Fault    Phase = "fault"
	Recovery Phase = "recovery"
)

// JudgedPhases returns the phases that hypotheses may name, in order.
func JudgedPhases() []Phase { return []Phase{Baseline, Fault, Recovery} }

// An EventKind says what happened.
type EventKind string

// Kinds of events, roughly in the order in which a run has them.
const (
	EventPhase        EventKind = "phase"         // Phase began: the schedule says so
	EventInject       EventKind = "inject"        // Inject of Fault was called: harm may begin now
	EventInjected     EventKind = "injected"      // Inject returned: the harm is in force
	EventInjectFailed EventKind = "inject_failed" // Inject or Prepare returned an error
	EventEvidence     EventKind = "evidence"      // what Fault has touched so far
	EventRevert       EventKind = "revert"        // Revert of Fault was called
	EventReverted     EventKind = "reverted"      // Revert returned: Restored says how
	EventGuard        EventKind = "guard"         // a guard was breached: Claim, Detail
	EventGate         EventKind = "gate"          // the baseline was not steady: nothing is injected
	EventBudget       EventKind = "budget"        // the attack's budget was used up: of what, in Detail
	EventInterrupt    EventKind = "interrupt"     // a signal ended the run early
	EventError        EventKind = "error"         // the run itself went wrong: Detail
	EventLoadEnd      EventKind = "load_end"      // no further request will be sent
	EventEnd          EventKind = "end"           // the last record of a run that ended in order
)

// durable reports whether the event says where the harm stands: a log without it would be judged wrongly.
func (k EventKind) durable() bool {
	switch k {
	case EventInject, EventInjected, EventInjectFailed, EventRevert, EventReverted:
		return true
	default:
		return false
	}
}

// An Event is one thing that the run did or saw. A Recorder stamps At.
type Event struct {
	At    time.Duration `json:"at"` // ns since the start of the run
	Kind  EventKind     `json:"kind"`
	Phase Phase         `json:"phase,omitempty"`
	// Fault is the id in the plan; FaultKind its kind, as in region.kill.
	Fault     string `json:"fault,omitempty"`
	FaultKind string `json:"fault_kind,omitempty"`
	// Claim is the text of a guard or hypothesis.
	Claim    string    `json:"claim,omitempty"`
	Detail   string    `json:"detail,omitempty"`
	Evidence *Evidence `json:"evidence,omitempty"`
	Restored Restored  `json:"restored,omitempty"`
}

// Evidence is what a fault has touched so far. Zero: nothing, and the
// experiment is undecided.
type Evidence struct {
	// Touched counts what What names: requests delayed, processes killed, readers of a bad config.
	Touched int64 `json:"touched"`
	// What is a sentence without a full stop: "chunks delayed by the proxy".
	What string `json:"what"`
}

// Restored says what became of an undo.
type Restored string

// Ends of an undo. The zero value means that none was tried.
const (
	RestoredOK     Restored = "restored"   // put back, and read back
	RestoredUnneed Restored = "not needed" // nothing was there to undo
	RestoredDrift  Restored = "drifted"    // someone else changed it meanwhile: left alone
	RestoredFailed Restored = "failed"     // harm may remain
)

// Harmless reports whether nothing of ours remains.
func (r Restored) Harmless() bool { return r == RestoredOK || r == RestoredUnneed }
