package experiments_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"iter"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

// sec is a moment or a length in seconds.
func sec(x float64) time.Duration { return time.Duration(x * float64(time.Second)) }

// A script is a run made by hand: its records, put in the order in which a recorder writes them.
type script struct {
	plan     string
	events   []results.Event
	samples  []*results.Sample
	readings []*results.Reading
	killed   bool   // the log is torn after the last record
	stack    string // of the header, as JSON
}

// The marks of an ordinary run of a plan with one fault named f.
const (
	warm     = 3  // baseline begins
	inject   = 10 // Inject is called
	forced   = 11 // and returns
	revert   = 20 // Revert is called
	reverted = 21 // and returns
	loadEnd  = 31
	over     = 40
)

const onePlan = `experiment: one
seed: 1
stack: {reference: {}}
attack: {profile: {constant: {rate: 100/s}}, clients: [{tier: paid}, {tier: free}]}
phases: {warmup: 3s, baseline: 7s, fault: 10s, recovery: 10s}
faults: [region.kill: {id: f, region: east}]
`

// newScript is an ordinary run, without samples so far. more is the rest of the plan: its hypotheses.
func newScript(more string) *script {
	s := &script{plan: onePlan + more}
	s.say(0, results.Event{Kind: results.EventPhase, Phase: results.Warmup})
	s.say(warm, results.Event{Kind: results.EventPhase, Phase: results.Baseline})
	s.say(inject-0.001, results.Event{Kind: results.EventPhase, Phase: results.Fault})
	s.fault("f", inject, forced, revert, reverted)
	s.say(reverted+0.001, results.Event{Kind: results.EventPhase, Phase: results.Recovery})
	s.say(loadEnd, results.Event{Kind: results.EventLoadEnd})
	s.say(over, results.Event{Kind: results.EventEnd})
	return s
}

func (s *script) say(at float64, e results.Event) {
	e.At = sec(at)
	s.events = append(s.events, e)
}

// fault tells the story of one fault that works.
func (s *script) fault(id string, inject, forced, revert, reverted float64) {
	e := results.Event{Fault: id, FaultKind: "region.kill"}
	with := func(at float64, kind results.EventKind, change func(*results.Event)) {
		e := e
		e.Kind = kind
		if change != nil {
			change(&e)
		}
		s.say(at, e)
	}
	with(inject, results.EventInject, nil)
	with(forced, results.EventInjected, func(e *results.Event) { e.Detail = "pid 7 is gone" })
	with(revert-0.01, results.EventEvidence, func(e *results.Event) {
		e.Evidence = &results.Evidence{Touched: 42, What: "requests met the dead region"}
	})
	with(revert, results.EventRevert, nil)
	with(reverted, results.EventReverted, func(e *results.Event) { e.Restored = results.RestoredOK })
}

// drop removes events.
func (s *script) drop(which func(results.Event) bool) {
	s.events = slices.DeleteFunc(s.events, which)
}

// change edits the events of one kind.
func (s *script) change(kind results.EventKind, edit func(*results.Event)) {
	for i := range s.events {
		if s.events[i].Kind == kind {
			edit(&s.events[i])
		}
	}
}

// cutAt ends the story: nothing later than at is told.
func (s *script) cutAt(at float64) {
	s.drop(func(e results.Event) bool { return e.At > sec(at) })
	s.samples = slices.DeleteFunc(s.samples, func(x *results.Sample) bool { return x.Done > sec(at) })
}

// served is a complete request that was due at a moment: first token after 0.1 s, ten tokens 0.02 s apart.
func served(due float64) *results.Sample {
	x := &results.Sample{
		Due: sec(due), Sent: sec(due), Status: 200, Outcome: results.Complete,
		Usage: results.Usage{Output: 10, Source: results.UsageServer}, Echoed: true,
	}
	for i := range 10 {
		x.Chunks = append(x.Chunks, results.Chunk{At: sec(due + 0.1 + 0.02*float64(i)), Tokens: 1})
	}
	x.Done = x.Chunks[9].At
	return x
}

// failed is a request that ended without a token.
func failed(due, done float64, o results.Outcome) *results.Sample {
	return &results.Sample{Due: sec(due), Sent: sec(due), Done: sec(done), Outcome: o, Error: "it " + o.String()}
}

func (s *script) add(samples ...*results.Sample) { s.samples = append(s.samples, samples...) }

// read adds what a page of metrics said.
func (s *script) read(r *results.Reading) { s.readings = append(s.readings, r) }

// load adds rate requests a second that are due in [from, to), each as sample makes it.
func (s *script) load(from, to, rate float64, sample func(due float64) *results.Sample) {
	for i := 0; ; i++ {
		due := from + float64(i)/rate
		if due >= to-1e-9 {
			return
		}
		s.add(sample(due))
	}
}

// steady loads the whole run with requests that are served.
func (s *script) steady(rate float64) { s.load(0, loadEnd, rate, served) }

// records are in the order of a recorder: a sample that ended after an event comes after it.
func (s *script) records() []results.Record {
	all := []results.Record{{Header: &results.Header{
		Version: results.LogVersion, Started: time.Date(2024, 11, 8, 12, 0, 0, 0, time.UTC), Experiment: "one", Plan: s.plan, Seed: 1, Stack: json.RawMessage(s.stack),
	}}}
	type timed struct {
		at  time.Duration
		rec results.Record
	}
	var rest []timed
	for i := range s.events {
		rest = append(rest, timed{s.events[i].At, results.Record{Event: &s.events[i]}})
	}
	for _, r := range s.readings {
		rest = append(rest, timed{r.At, results.Record{Reading: r}})
	}
	for i, x := range s.samples {
		x.Index = uint64(i)
		rest = append(rest, timed{x.Done, results.Record{Sample: x}})
	}
	slices.SortStableFunc(rest, func(a, b timed) int { return cmp.Compare(a.at, b.at) })
	for _, x := range rest {
		all = append(all, x.rec)
	}
	return all
}

// judge judges the script live, and again from its log, which must come to the same.
func (s *script) judge(t *testing.T) *results.Report {
	t.Helper()
	judge, _ := s.live(t)
	report := judge.Report()
	again, err := experiments.JudgeLog(s.log(t))
	if err != nil {
		t.Fatalf("JudgeLog: %v", err)
	}
	wantSame(t, report, again)
	return report
}

// live feeds a judge with all records.
func (s *script) live(t *testing.T) (*experiments.Judge, []results.Record) {
	t.Helper()
	judge := experiments.NewJudge(load(t, s.plan))
	records := s.records()
	for _, rec := range records {
		if err := judge.Add(rec); err != nil {
			t.Fatalf("Add: %v", err)
		}
	}
	return judge, records
}

// log writes the records to a log and reads them back.
func (s *script) log(t *testing.T) iter.Seq2[results.Record, error] {
	t.Helper()
	path := t.TempDir() + "/run.jsonl.zst"
	log, err := results.CreateLog(path)
	if err != nil {
		t.Fatalf("CreateLog: %v", err)
	}
	for _, rec := range s.records() {
		if err := log.Add(rec); err != nil {
			t.Fatalf("Add: %v", err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	return func(yield func(results.Record, error) bool) {
		for rec, err := range results.ReadLog(path) {
			if !yield(rec, err) {
				return
			}
		}
		if s.killed {
			yield(results.Record{}, results.ErrTorn)
		}
	}
}

// wantSame compares reports by their JSON, which is what anybody sees of them.
func wantSame(t *testing.T, live, log *results.Report) {
	t.Helper()
	if diff := gocmp.Diff(lines(t, live), lines(t, log)); diff != "" {
		t.Errorf("the live judge and that of the log differ (-live +log):\n%s", diff)
	}
}

func lines(t *testing.T, r *results.Report) []string {
	t.Helper()
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatalf("marshal report: %v", err)
	}
	var all []string
	for line := range bytes.Lines(text) {
		all = append(all, string(line))
	}
	return all
}

// finding picks the one about a claim.
func finding(t *testing.T, r *results.Report, claim string) results.Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Claim == claim {
			return f
		}
	}
	t.Fatalf("no finding for %q among %v", claim, r.Findings)
	return results.Finding{}
}

// phaseOf picks the figures of one phase.
func phaseOf(t *testing.T, r *results.Report, p results.Phase) results.PhaseStats {
	t.Helper()
	for _, s := range r.Phases {
		if s.Phase == p {
			return s
		}
	}
	t.Fatalf("no figures of phase %s among %v", p, r.Phases)
	return results.PhaseStats{}
}
