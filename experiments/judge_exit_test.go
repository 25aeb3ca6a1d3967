package experiments_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

const four = `guards: [success < 10% for 5s]
hypotheses:
  - success >= 99% during baseline
  - success >= 99% during fault
  - success >= 99% during recovery
  - recovery(success >= 99%) < 5s
`

func isFault(e results.Event) bool { return e.Fault != "" }

// Each way in which a run can end: its verdict, its code, its reason, and what became of the claims about
// baseline, fault, recovery and the time to recover, and of the guard: h(eld), r(efuted), u(ndecided).
func TestRunsEnd(t *testing.T) {
	lateness := func(s *script) {
		for i, x := range s.samples {
			if i%50 == 0 {
				x.Sent += sec(0.06)
			}
		}
	}
	brokenUnderFault := func(s *script) {
		s.load(12, 14, 100, reset)
	}
	drift := func(s *script) {
		s.change(results.EventReverted, func(e *results.Event) { e.Restored, e.Detail = results.RestoredDrift, "version 9 is not ours" })
	}
	interrupt := func(s *script) {
		s.drop(func(e results.Event) bool { return e.At > sec(15) })
		revertAt(s, 15)
		s.say(15.2, results.Event{Kind: results.EventInterrupt, Detail: "SIGINT"})
		s.say(15.3, results.Event{Kind: results.EventLoadEnd})
		s.say(15.4, results.Event{Kind: results.EventEnd})
	}
	gate := func(s *script) {
		s.drop(func(e results.Event) bool { return e.At > sec(9) })
		s.say(9.1, results.Event{Kind: results.EventGate, Claim: "success >= 99% during fault", Detail: "refuted in baseline"})
		s.say(9.2, results.Event{Kind: results.EventLoadEnd})
		s.say(9.3, results.Event{Kind: results.EventEnd})
	}
	injectFails := func(s *script) {
		s.drop(func(e results.Event) bool { return e.At > sec(10) })
		s.say(10.5, results.Event{Kind: results.EventInjectFailed, Fault: "f", Detail: "no such region"})
		s.say(10.6, results.Event{Kind: results.EventReverted, Fault: "f", Restored: results.RestoredUnneed})
		s.say(10.7, results.Event{Kind: results.EventLoadEnd})
		s.say(10.8, results.Event{Kind: results.EventEnd})
	}
	for _, tc := range []struct {
		name    string
		change  []func(s *script)
		verdict results.Verdict
		exit    results.Exit
		claims  string
		why     string
	}{
		{"as planned", nil, results.Held, 0, "hhhhh", "all 4 hypotheses held, and no guard was breached"},
		{"refuted", []func(*script){brokenUnderFault}, results.Refuted, 1, "hrhhh", "success >= 99% during fault: 84"},
		{"several refuted", []func(*script){brokenUnderFault, func(s *script) { s.load(22, 27, 100, reset) }}, results.Refuted, 1, "hrrrh", ", and 2 more"},
		{"generator-bound", []func(*script){lateness}, results.Undecided, 4, "uuuuh", "generator-bound: 14 of 672 requests of the baseline phase were sent over 50ms late (p99 60.0 ms), so the figures"},
		{"generator-bound decides over refuted", []func(*script){brokenUnderFault, lateness}, results.Undecided, 4, "uuuuh", "generator-bound: "},
		{
			"no evidence",
			[]func(*script){func(s *script) { s.drop(func(e results.Event) bool { return e.Kind == results.EventEvidence }) }},
			results.Undecided, 4, "huuuh", "there is no evidence that fault f touched anything",
		},
		{
			"evidence that could not be read",
			[]func(*script){func(s *script) {
				s.change(results.EventEvidence, func(e *results.Event) { e.Evidence, e.Detail = nil, "connection refused" })
			}},
			results.Undecided, 4, "huuuh", "there is no evidence that fault f touched anything: connection refused",
		},
		{
			"touched nothing",
			[]func(*script){func(s *script) { s.change(results.EventEvidence, func(e *results.Event) { e.Evidence.Touched = 0 }) }},
			results.Undecided, 4, "huuuh", "fault f touched nothing: 0 requests met the dead region",
		},
		{
			"touched nothing decides over refuted",
			[]func(*script){brokenUnderFault, func(s *script) {
				s.change(results.EventEvidence, func(e *results.Event) { e.Evidence.Touched = 0 })
			}},
			results.Undecided, 4, "huuuh", "fault f touched nothing",
		},
		{"never injected", []func(*script){func(s *script) { s.drop(isFault) }}, results.Undecided, 4, "huuuh", "fault f was never injected"},
		{"not in force", []func(*script){injectFails}, results.Undecided, 5, "huuuh", "fault f could not be put in force: no such region"},
		{
			"not even prepared",
			[]func(*script){func(s *script) {
				s.events = nil
				s.say(0.1, results.Event{Kind: results.EventInjectFailed, Fault: "f", Detail: "no such region"})
				s.say(0.2, results.Event{Kind: results.EventLoadEnd})
				s.say(0.3, results.Event{Kind: results.EventEnd})
			}},
			results.Undecided, 5, "uuuuu", "fault f could not be put in force: no such region",
		},
		{"drifted", []func(*script){drift}, results.Undecided, 6, "hhhhh", "fault f: drifted: version 9 is not ours"},
		{"drifted and refuted", []func(*script){drift, brokenUnderFault}, results.Refuted, 6, "hrhhh", "fault f: drifted: version 9 is not ours"},
		{
			"not restored",
			[]func(*script){func(s *script) {
				s.change(results.EventReverted, func(e *results.Event) { e.Restored = results.RestoredFailed })
			}},
			results.Undecided, 6, "hhhhh", "fault f: failed",
		},
		{
			"not restored at first",
			[]func(*script){func(s *script) {
				s.change(results.EventReverted, func(e *results.Event) { e.Restored = results.RestoredFailed })
				s.say(30, results.Event{Kind: results.EventReverted, Fault: "f", Restored: results.RestoredOK})
			}},
			results.Held, 0, "hhhhh", "all 4",
		},
		{
			"never reverted",
			[]func(*script){func(s *script) { s.drop(func(e results.Event) bool { return e.Kind == results.EventReverted }) }},
			results.Undecided, 6, "hhuuh", "fault f was injected and never reverted",
		},
		{"not steady", []func(*script){gate}, results.Undecided, 3, "huuuh", "nothing was injected, the baseline was not steady: success >= 99% during fault: refuted in baseline"},
		{
			"not steady, whatever the claims say",
			[]func(*script){gate, func(s *script) {
				s.change(results.EventGate, func(e *results.Event) { e.Claim, e.Detail = "", "a request has been under way for 9s" })
			}},
			results.Undecided, 3, "huuuh", "nothing was injected, the baseline was not steady: a request has been under way for 9s",
		},
		{"interrupted", []func(*script){interrupt}, results.Undecided, 130, "huuuu", "interrupted (SIGINT); every fault was reverted"},
		{
			"interrupted in baseline",
			[]func(*script){func(s *script) {
				s.cutAt(5)
				s.say(6, results.Event{Kind: results.EventInterrupt})
				s.say(7, results.Event{Kind: results.EventLoadEnd})
				s.say(8, results.Event{Kind: results.EventEnd})
			}},
			results.Undecided, 130, "uuuuu", "interrupted before anything was injected",
		},
		{"interrupted and refuted", []func(*script){interrupt, brokenUnderFault}, results.Refuted, 130, "hruuu", "interrupted (SIGINT)"},
		{"interrupted and drifted", []func(*script){interrupt, drift}, results.Undecided, 6, "huuuu", "fault f: drifted"},
		{
			"guard breached",
			[]func(*script){func(s *script) {
				s.drop(func(e results.Event) bool { return e.At > sec(15) })
				s.say(15, results.Event{Kind: results.EventGuard, Claim: "success < 10% for 5s", Detail: "down"})
				revertAt(s, 15)
				s.say(15.3, results.Event{Kind: results.EventLoadEnd})
				s.say(15.4, results.Event{Kind: results.EventEnd})
			}},
			results.Refuted, 1, "huuur", "success < 10% for 5s (breached at 15s: down)",
		},
		{
			"the run itself went wrong",
			[]func(*script){func(s *script) {
				s.drop(func(e results.Event) bool { return e.At > sec(25) })
				s.say(25, results.Event{Kind: results.EventError, Detail: "the reaper died"})
				s.say(25.1, results.Event{Kind: results.EventLoadEnd})
				s.say(25.4, results.Event{Kind: results.EventEnd})
			}},
			results.Undecided, 4, "huuuu", "the run itself went wrong: the reaper died",
		},
		{
			"interrupted while what hangs drains",
			[]func(*script){func(s *script) {
				s.say(33, results.Event{Kind: results.EventInterrupt, Detail: "SIGINT"})
				s.load(18, 20, 100, func(due float64) *results.Sample { return failed(due, 33.1, results.Cancelled) })
			}},
			results.Undecided, 130, "huuuu", "interrupted (SIGINT); every fault was reverted",
		},
		{"killed under the fault", []func(*script){func(s *script) { s.cutAt(18); s.killed = true }}, results.Undecided, 4, "uuuuu", "the log ends before the run did and before f was reverted: run `failwhale revert`; if it finds nothing to undo, the reaper has undone it"},
		{"killed under the fault, and refuted", []func(*script){brokenUnderFault, func(s *script) { s.cutAt(18); s.killed = true }}, results.Refuted, 1, "uruuu", "success >= 99% during fault"},
		{"killed at the very end", []func(*script){func(s *script) { s.cutAt(35); s.killed = true }}, results.Undecided, 4, "uuuuu", "the log ends before the run did"},
		{"a proper log without an end", []func(*script){func(s *script) { s.cutAt(35) }}, results.Undecided, 4, "uuuuu", "the log ends before the run did"},
		{"not in force decides over the gate", []func(*script){gate, injectFails}, results.Undecided, 5, "huuuh", "fault f could not be put in force"},
		{"no traffic at all", []func(*script){func(s *script) { s.samples = nil }}, results.Undecided, 4, "uuuuu", "no request of the baseline phase tells"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(four)
			s.load(3.01, loadEnd-0.4, 100, served)
			for _, change := range tc.change {
				change(s)
			}
			r := s.judge(t)
			claims := ""
			for _, f := range r.Findings {
				claims += f.Verdict.String()[:1]
			}
			if r.Verdict != tc.verdict || r.Exit != tc.exit || claims != tc.claims || !strings.Contains(r.Why, tc.why) {
				t.Errorf("judged %s, exit %d, %s: %s\nwant %s, exit %d, %s: %s", r.Verdict, r.Exit, claims, r.Why, tc.verdict, tc.exit, tc.claims, tc.why)
				for _, f := range r.Findings {
					t.Logf("%s: %s %s: %s", f.Claim, f.Verdict, f.Observed, f.Why)
				}
			}
			if r.Torn != (tc.name == "a proper log without an end" || s.killed) {
				t.Errorf("Torn = %t", r.Torn)
			}
		})
	}
}

// revertAt tells of a revert.
func revertAt(s *script, at float64) {
	s.say(at, results.Event{Kind: results.EventEvidence, Fault: "f", Evidence: &results.Evidence{Touched: 1}})
	s.say(at, results.Event{Kind: results.EventRevert, Fault: "f"})
	s.say(at+0.1, results.Event{Kind: results.EventReverted, Fault: "f", Restored: results.RestoredOK})
}

// Absolute claims about the fault phase must hold in baseline; others are not its concern.
func TestTheGateLetsOnlyASteadyBaselinePass(t *testing.T) {
	const claims = `slo: {ttft: 1s}
hypotheses:
  - success >= 99% during fault
  - p99(ttft) < 2s during fault
  - tokens_per_second >= 990/s during fault
  - success >= 100% during recovery
  - tokens_per_second >= 200% of baseline during fault
  - recovery(success >= 99%) < 5s
`
	for _, tc := range []struct {
		name string
		fill func(s *script)
		want []string
	}{
		// Streams of the warm-up end in baseline as those of baseline end after it: the rate is that of the load.
		{"steady", func(s *script) { s.load(0, 10, 100, served) }, nil},
		{"failing", func(s *script) { s.load(0, 10, 100, served); s.load(4, 5, 20, reset) }, []string{"success >= 99% during fault", "p99(ttft) < 2s during fault"}},
		{"slow", func(s *script) { s.load(0, 10, 100, served); s.load(4, 5, 20, late(3)) }, []string{"p99(ttft) < 2s during fault"}},
		{"too little", func(s *script) { s.load(9, 10, 100, served) }, []string{"success >= 99% during fault", "p99(ttft) < 2s during fault", "tokens_per_second >= 990/s during fault"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(claims)
			tc.fill(s)
			s.drop(func(e results.Event) bool { return e.At > sec(9) })
			s.cutAt(9.99)
			judge, _ := s.live(t)
			var got []string
			for _, f := range judge.Gate() {
				got = append(got, f.Claim)
				if f.Verdict == results.Held {
					t.Errorf("Gate gives %+v, which held", f)
				}
			}
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("Gate() is about %q; want %q", got, tc.want)
			}
		})
	}
}

// A phase that lasts until it has samples counts its own, with the labels asked for.
func TestReachedCountsThePhasesOwnSamples(t *testing.T) {
	s := newScript("hypotheses: [success >= 1% during fault]\n")
	s.plan = strings.Replace(s.plan, "warmup: 3s, baseline: 7s", `warmup: {until: samples >= 3, max: 1m}, baseline: {until: 'samples{tier="paid"} >= 2', max: 1m}`, 1)
	paid := func(due float64) *results.Sample {
		x := served(due)
		x.Labels = results.Labels{"tier": "paid"}
		return x
	}
	s.add(served(1), served(1), failed(1, 2, results.Cancelled), served(2.9), served(5), served(5), paid(6), paid(7))
	judge := experiments.NewJudge(load(t, s.plan))
	for _, rec := range s.records() {
		if rec.Sample == nil {
			if err := judge.Add(rec); err != nil {
				t.Fatal(err)
			}
			continue
		}
		before := [2]bool{judge.Reached(results.Warmup), judge.Reached(results.Baseline)}
		if err := judge.Add(rec); err != nil {
			t.Fatal(err)
		}
		now := [2]bool{judge.Reached(results.Warmup), judge.Reached(results.Baseline)}
		want := [2]bool{rec.Sample.Due >= sec(2.9), rec.Sample.Due >= sec(7)}
		if now != want {
			t.Errorf("after the sample due at %s Reached = %v (before: %v); want %v", rec.Sample.Due, now, before, want)
		}
	}
	if judge.Reached(results.Fault) {
		t.Errorf("Reached(fault) = true; want false: its length is fixed")
	}
}

// A plan may have no faults, as one that lost them has: what holds says so.
func TestAPlanWithoutFaultsSaysSo(t *testing.T) {
	s := newScript("hypotheses: [success >= 99% during fault]\n")
	s.plan = strings.Replace(s.plan, "faults: [region.kill: {id: f, region: east}]\n", "", 1)
	s.events = slices.DeleteFunc(s.events, func(e results.Event) bool { return e.Fault != "" })
	s.steady(100)
	if rep := s.judge(t); rep.Verdict != results.Held || rep.Why != "the hypothesis held; the plan has no faults" {
		t.Errorf("verdict %s, %q; want held, and that there were no faults", rep.Verdict, rep.Why)
	}
}
