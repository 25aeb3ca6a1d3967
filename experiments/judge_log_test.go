package experiments_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

const everyKind = `slo: {ttft: 500ms, itl: 100ms}
guards: [p90(ttft) > 2s for 3s, success < 20% for 2s]
hypotheses:
  - success >= 90% during fault
  - worst(tier, success) >= 50% during fault
  - worst(region, p90(ttft{tier="paid"})) < 150% of baseline during fault
  - p99(itl) < 200ms during fault
  - mean(e2e) < 10s during recovery
  - stalled(500ms) <= 20% during fault
  - tokens_per_second >= 50% of baseline during fault
  - goodput >= 10/s during fault
  - goodput_tokens >= 10% of baseline during recovery
  - amplification <= 3 during fault
  - leaks == 0 during fault
  - recovery(p90(ttft) < 1s) < 5s
  - recovery(tokens_per_second >= 50% of baseline) < 5s
  - max(lag) < 1s during baseline
`

// random is a sample such as no server would send: every time to the nanosecond, every outcome.
func random(rng *rand.Rand) *results.Sample {
	at := func(mean float64) time.Duration { return time.Duration(rng.ExpFloat64() * mean * float64(time.Second)) }
	x := &results.Sample{
		Due: time.Duration(rng.Int64N(int64(sec(loadEnd)))), Outcome: results.Outcome(rng.IntN(len(results.Outcomes()) + 1)),
		Status: []int{0, 200, 429, 503}[rng.IntN(4)], Reconnects: rng.IntN(2), Attempts: make([]results.Attempt, rng.IntN(3)),
		Labels: results.Labels{"tier": []string{"paid", "free"}[rng.IntN(2)]},
	}
	if rng.IntN(2) == 0 {
		x.Outcome = results.Complete
	}
	if rng.IntN(3) > 0 {
		x.Labels["region"] = []string{"east", "west", "b\xff\xfed"}[rng.IntN(3)]
	}
	if x.Outcome != results.Complete {
		x.Error = fmt.Sprintf("it %s \xff %d", x.Outcome, rng.IntN(50))
	}
	x.Sent = x.Due + at(0.001)
	x.Done = x.Sent + at(0.2)
	for range rng.IntN(12) {
		x.Chunks = append(x.Chunks, results.Chunk{At: x.Done, Tokens: 1 + rng.IntN(3), Coalesced: len(x.Chunks) > 0 && rng.IntN(5) == 0})
		x.Done += at(0.05)
	}
	if rng.IntN(3) == 0 {
		x.Usage = results.Usage{Output: rng.IntN(30), Source: results.UsageServer}
	}
	return x
}

// script.judge compares the report of the live judge with that of the log.
func TestTheLogGivesTheLiveJudgesReport(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			s := newScript(everyKind)
			for range 600 {
				s.add(random(rng))
			}
			switch seed % 4 {
			case 1:
				s.cutAt(rng.Float64() * loadEnd)
				s.killed = true
			case 2:
				s.say(17, results.Event{Kind: results.EventGuard, Claim: "success < 20% for 2s", Detail: "random"})
			}
			s.judge(t)
		})
	}
}

// What cannot be judged is an error and never a report.
func TestJudgeLogRefusesWhatIsNoLog(t *testing.T) {
	header := results.Record{Header: &results.Header{Version: results.LogVersion, Plan: onePlan + anyClaim}}
	edited := func(edit func(*results.Header)) results.Record {
		h := *header.Header
		edit(&h)
		return results.Record{Header: &h}
	}
	broken := errors.New("disk on fire")
	type entry struct {
		rec results.Record
		err error
	}
	for _, tc := range []struct {
		name string
		log  []entry
		want string
	}{
		{"empty", nil, "judge: the log is empty"},
		{"no header", []entry{{rec: results.Record{Event: &results.Event{Kind: results.EventEnd}}}}, "judge: the log does not begin with a header"},
		{"two headers", []entry{{rec: header}, {rec: header}}, "judge: the log has a second header: it holds two runs"},
		{"torn before the header", []entry{{err: results.ErrTorn}}, "judge: log is torn"},
		{"unreadable", []entry{{rec: header}, {err: broken}}, "judge: disk on fire"},
		{"of a later version", []entry{{rec: edited(func(h *results.Header) { h.Version = 99 })}}, "judge: log is of version 99"},
		{"with a bad plan", []entry{{rec: edited(func(h *results.Header) { h.Plan = "experiment: x\n" })}}, "judge: load the log's plan: experiment.yaml:1:1: phases: is missing"},
		{"with a bad override", []entry{{rec: edited(func(h *results.Header) { h.Overrides = map[string]string{"seed": "x"} })}}, `judge: override seed: "x" is not`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			report, err := experiments.JudgeLog(func(yield func(results.Record, error) bool) {
				for _, e := range tc.log {
					if !yield(e.rec, e.err) {
						return
					}
				}
			})
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("JudgeLog = %v, %v; want an error that begins with %q", report, err, tc.want)
			}
		})
	}
}

// A log stays readable when a kind of fault or of load goes, and shows the settings that it was made with.
func TestJudgeLogNeedsNoKindsAndKeepsOverrides(t *testing.T) {
	s := newScript(anyClaim)
	s.plan = strings.Replace(s.plan, "region.kill: {id: f, region: east}", "meteor: {id: f, crater: 3}", 1)
	s.plan = strings.Replace(s.plan, "constant: {rate: 100/s}", "sawtooth: {teeth: 7}", 1)
	s.steady(20)
	records := s.records()
	records[0].Header.Overrides = map[string]string{"resilience": "flawed", "seed": "7"}
	records[0].Header.Seed = 7
	report, err := experiments.JudgeLog(replay(records))
	if err != nil {
		t.Fatalf("JudgeLog: %v", err)
	}
	if report.Exit != results.ExitHeld || report.Seed != 7 || report.Overrides["resilience"] != "flawed" || report.Faults[0].Kind != "meteor" {
		t.Errorf("report = exit %d (%s), seed %d, overrides %v, faults %v; want 0, 7, flawed, meteor", report.Exit, report.Why, report.Seed, report.Overrides, report.Faults)
	}
}

func replay(records []results.Record) iter.Seq2[results.Record, error] {
	return func(yield func(results.Record, error) bool) {
		for _, rec := range records {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// No data never reads as success.
func TestAReportBeforeAnythingHappenedIsUndecided(t *testing.T) {
	r := experiments.NewJudge(load(t, onePlan+everyKind)).Report()
	if r.Verdict != results.Undecided || r.Exit != results.ExitUndecided || !r.Torn {
		t.Errorf("report = %s, exit %d, torn %t; want undecided, 4, torn", r.Verdict, r.Exit, r.Torn)
	}
	for _, f := range r.Findings {
		if f.Verdict != results.Undecided || f.Why == "" {
			t.Errorf("finding = %+v; want undecided, with a reason", f)
		}
	}
	if _, err := json.Marshal(r); err != nil {
		t.Errorf("marshal report: %v", err)
	}
}

// samples yields n samples of a hundred chunks over the whole of an ordinary run, without keeping one.
func samples(n int, each func(*results.Sample)) {
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range n {
		due := sec(warm) + time.Duration(i)*(sec(loadEnd)-sec(warm))/time.Duration(n)
		x := &results.Sample{
			Index: uint64(i), Due: due, Sent: due, Status: 200, Outcome: results.Complete, Chunks: make([]results.Chunk, 100),
			Labels: results.Labels{
				"tier": []string{"paid", "free"}[i%2], "region": []string{"east", "west", "central"}[i%3],
				"tenant": fmt.Sprint("t", i%1000), "replica": fmt.Sprint("r", i%12), "model": "m", "session": fmt.Sprint(i),
			},
		}
		at := due + sec(0.05+0.1*rng.ExpFloat64())
		for k := range x.Chunks {
			at += sec(0.001 + 0.02*rng.ExpFloat64())
			x.Chunks[k] = results.Chunk{At: at, Tokens: 1}
		}
		x.Done = at
		each(x)
	}
}

// judgeMany feeds a judge with n samples and an ordinary run's events, and gives the heap that it holds.
func judgeMany(tb testing.TB, n int) (held uint64, r *results.Report) {
	tb.Helper()
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	s := newScript(everyKind)
	judge := experiments.NewJudge(load(tb, s.plan))
	add := func(rec results.Record) {
		if err := judge.Add(rec); err != nil {
			tb.Fatal(err)
		}
	}
	events := s.records()
	samples(n, func(x *results.Sample) {
		for len(events) > 0 && (events[0].Event == nil || events[0].Event.At <= x.Done) {
			add(events[0])
			events = events[1:]
		}
		add(results.Record{Sample: x})
	})
	for _, rec := range events {
		add(rec)
	}
	after := heap()
	r = judge.Report()
	return after - min(before, after), r
}

// What a judge holds does not grow with the samples: ten times as many, in the same hundred-odd slices,
// may fill up more bins of the same sketches and no more.
func TestAJudgeKeepsNoSamples(t *testing.T) {
	few, _ := judgeMany(t, 1_000)
	many, r := judgeMany(t, 10_000)
	t.Logf("1 000 samples: %d KiB; 10 000 samples: %d KiB", few>>10, many>>10)
	const sample = 100 * 24 // bytes of its chunks alone
	if limit := few + 10_000*sample/2; many > limit {
		t.Errorf("a judge of 10000 samples holds %d bytes, and of 1000 %d; want at most %d", many, few, limit)
	}
	if n := r.Phases[0].Requests + r.Phases[1].Requests + r.Phases[2].Requests; n != 10_000 {
		t.Errorf("it counted %d requests; want 10000", n)
	}
}

// A million samples of a hundred chunks: run it with -bench Million -benchtime 1x.
func BenchmarkJudgeAMillionSamples(b *testing.B) {
	if testing.Short() {
		b.Skip("takes half a minute")
	}
	const n = 1_000_000
	for b.Loop() {
		held, r := judgeMany(b, n)
		b.ReportMetric(float64(held)/(1<<20), "MiB-held")
		if len(r.Findings) == 0 {
			b.Fatal("no findings")
		}
	}
}
