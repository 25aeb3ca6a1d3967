package experiments

import (
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A Judge comes to a run's verdict from its records, which it takes one by one as a results.Sink:
// live from the run's recorder, or later from its log. It is a pure function of the records, in
// their order: both give the same report. It keeps counts and sketches and never a sample,
// and of each page of metrics the last reading.
//
// A Judge is safe for concurrent use. Its methods but Add only look.
type Judge struct {
	mu     sync.Mutex
	plan   *Plan
	header *results.Header
	line   *timeline
	reader reader
	all    *overall
	claims []*claimTrack
	guards []*guardTrack
	faults []*faultStory
	events []results.Event
	beside *servers
	self   itself
	// until counts the samples that may end a phase.
	until      map[results.Phase]int
	earlyLeaks int // of requests that count in no phase
	torn       bool
}

// NewJudge returns a judge of runs of plan, which must not change any more.
func NewJudge(plan *Plan) *Judge {
	j := &Judge{
		plan: plan, line: newTimeline(plan), all: newOverall(), until: map[results.Phase]int{}, beside: newServers(plan.Attack.slowReaders()),
	}
	j.reader = reader{slo: plan.SLO, line: j.line}
	for _, c := range plan.Hypotheses {
		j.claims = append(j.claims, newClaimTrack(c, plan.gives))
	}
	for _, g := range plan.Guards {
		j.guards = append(j.guards, newGuardTrack(g))
	}
	for _, f := range plan.Faults {
		j.faults = append(j.faults, &faultStory{report: results.FaultReport{ID: f.ID, Kind: f.Kind}})
	}
	return j
}

// Add takes the next record. It keeps nothing of a sample. The error is always nil.
func (j *Judge) Add(rec results.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if rec.Header != nil {
		header := *rec.Header
		j.header = &header
		j.beside.open(header.Stack)
		j.openServers(header.Stack)
	}
	if rec.Event != nil {
		j.event(rec.Event)
	}
	if rec.Sample != nil {
		j.sample(rec.Sample)
	}
	if r := rec.Reading; r != nil && r.Source == results.Self {
		j.self.reading(r, j.line)
	} else if r != nil {
		if j.plan.Attack.None {
			j.line.last = max(j.line.last, r.At) // no sample tells how far the run is
		}
		j.follow(j.beside.reading(r, j.line))
	}
	return nil
}

func (j *Judge) sample(s *results.Sample) {
	r := j.reader.read(s)
	j.line.last = max(j.line.last, r.sample.Done)
	if r.belongs == nowhere && r.sample.Leak() {
		j.earlyLeaks++
	}
	if r.counted {
		p := results.Warmup
		if r.belongs != nowhere {
			p = r.belongs.name()
		}
		if r.sample.Labels.Match(j.plan.Phases.Of(p).Until.Labels) {
			j.until[p]++
		}
	}
	j.all.add(r)
	j.beside.sample(r, j.line)
	for _, t := range j.claims {
		if t.server == nil {
			t.add(r, j.line)
		}
	}
	for _, t := range j.guards {
		if t.server == nil {
			t.add(r)
		}
	}
}

func (j *Judge) event(e *results.Event) {
	j.line.event(e)
	for _, f := range j.faults {
		if f.report.ID == e.Fault {
			f.event(e)
		}
	}
	for _, g := range j.guards {
		g.event(e)
	}
	switch e.Kind {
	case results.EventPhase, results.EventGuard, results.EventGate, results.EventBudget, results.EventInterrupt,
		results.EventError, results.EventLoadEnd, results.EventEnd:
		j.events = append(j.events, *e)
	default: // the faults' own, which are in their reports
	}
}

// loadAlone reports whether the records are those of Attack.
func (j *Judge) loadAlone() bool { return j.plan.Phases.Fault.Limit() == 0 }

// Gate judges every absolute claim about the fault phase by the baseline so far: each must be Held,
// or nothing may be injected; nor may it be under a guard about servers whom no page tells of. It
// returns those that are not, in the order of the plan; none: go on.
//
// Streams that are still under way have brought tokens that no finished sample tells of, so rates
// are taken from the samples that ended in baseline, with all of their tokens.
func (j *Judge) Gate() []results.Finding {
	j.mu.Lock()
	defer j.mu.Unlock()
	var unsteady []results.Finding
	for _, t := range j.claims {
		if t.claim.During != results.Fault || !t.claim.Absolute() {
			continue
		}
		f := j.weigh(t, inBaseline, true)
		if f.verdict == results.Undecided && j.byFailover(t.claim.Metric.Labels["endpoint"]) {
			continue // its endpoint has no traffic, or hardly any, until another fails
		}
		if f.verdict != results.Held {
			unsteady = append(unsteady, f.finding(t.claim))
		}
	}
	for _, g := range j.guards {
		if why := g.unseeing(); why != "" {
			unsteady = append(unsteady, results.Finding{Guard: true, Claim: g.guard.Text, Bound: g.bound(), Why: why})
		}
	}
	return unsteady
}

// byFailover reports whether an endpoint is asked only by those whom another one has failed.
func (j *Judge) byFailover(endpoint string) bool {
	front := j.plan.front()
	return front != "" && endpoint != "" && endpoint != front
}

// Breached returns the first guard that is breached, at a time of the run's clock, and true; or
// false. The finding's Why is fit for the EventGuard's Detail, its Claim for the event's Claim.
func (j *Judge) Breached(now time.Duration) (results.Finding, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, g := range j.guards {
		if b := g.breach(now); b.came {
			return g.refuted(b), true
		}
	}
	return results.Finding{}, false
}

// Reached reports whether a phase has the samples that its Until asks for. It is false for a phase
// of a fixed length.
func (j *Judge) Reached(p results.Phase) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	want := j.plan.Phases.Of(p).Until.Samples
	return want > 0 && j.until[p] >= want
}

// JudgeLog judges a run again from its log: the plan, the overrides and the seed are in the header.
// A torn log gives a report of what is there, in which nothing has held. An error means that there
// is nothing to judge, or that the log cannot be read.
func JudgeLog(records iter.Seq2[results.Record, error]) (*results.Report, error) {
	return JudgeLogInto(records, func(results.Record, results.Phase) error { return nil })
}

// JudgeLogInto is JudgeLog, and hands on every record in its order. A sample comes with the phase in which it
// counts: warmup, which counts nowhere, baseline, fault or recovery; other records with none. An error of export ends it.
func JudgeLogInto(records iter.Seq2[results.Record, error], export func(results.Record, results.Phase) error) (*results.Report, error) {
	var j *Judge
	for rec, err := range records {
		switch {
		case errors.Is(err, results.ErrTorn) && j != nil:
			j.torn = true
			continue
		case err != nil:
			return nil, fmt.Errorf("judge: %w", err)
		case j == nil && rec.Header == nil:
			return nil, errors.New("judge: the log does not begin with a header")
		case j == nil:
			if j, err = newLogJudge(rec.Header); err != nil {
				return nil, fmt.Errorf("judge: %w", err)
			}
		case rec.Header != nil:
			return nil, errors.New("judge: the log has a second header: it holds two runs")
		}
		if err := errors.Join(j.Add(rec), export(rec, j.phaseOf(rec.Sample))); err != nil {
			return nil, fmt.Errorf("judge: %w", err)
		}
	}
	if j == nil {
		return nil, errors.New("judge: the log is empty")
	}
	return j.Report(), nil
}

// phaseOf is where a sample counts; "" of none.
func (j *Judge) phaseOf(s *results.Sample) results.Phase {
	if s == nil {
		return ""
	}
	if p := j.line.belongs(s); p != nowhere {
		return p.name()
	}
	return results.Warmup
}

func newLogJudge(h *results.Header) (*Judge, error) {
	if h.Version < 1 || h.Version > results.LogVersion {
		return nil, fmt.Errorf("log is of version %d, and this program reads 1 to %d", h.Version, results.LogVersion)
	}
	plan, err := Load("experiment.yaml", []byte(h.Plan), LoadOptions{judging: true})
	if err != nil {
		return nil, fmt.Errorf("load the log's plan: %w", err)
	}
	if err := plan.Override(h.Overrides); err != nil {
		return nil, err
	}
	return NewJudge(plan), nil
}
