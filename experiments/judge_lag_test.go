package experiments_test

import (
	"strings"
	"testing"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

// delay sends some of the requests that are due in [from, to) 60 ms late: each nth.
func (s *script) delay(from, to float64, nth int) {
	i := 0
	for _, x := range s.samples {
		if x.Due < sec(from) || x.Due >= sec(to) {
			continue
		}
		if i%nth == 0 {
			x.Sent = x.Due + sec(0.06)
		}
		i++
	}
}

// A phase that was late decides nothing, however punctual the others were.
func TestEachPhaseMustBeOnTime(t *testing.T) {
	for _, tc := range []struct {
		name string
		fill func(s *script)
		want string // of the report's Why; empty: held
	}{
		{"on time", func(s *script) { s.load(3.01, loadEnd-0.4, 100, served) }, ""},
		{
			"late in each phase, by less than it takes",
			func(s *script) { s.load(3.01, loadEnd-0.4, 100, served); s.delay(0, loadEnd, 150) }, "",
		},
		{
			"late under the fault",
			func(s *script) { s.load(3.01, loadEnd-0.4, 100, served); s.delay(12, 14, 10) },
			"generator-bound: 20 of 1128 requests of the fault phase were sent over 50ms late (p99 60.0 ms), so the figures tell of this machine and not of the stack",
		},
		{
			"late in recovery",
			func(s *script) { s.load(3.01, loadEnd-0.4, 100, served); s.delay(22, 24, 10) },
			"of the recovery phase",
		},
		{
			"the first phase that was late is named",
			func(s *script) { s.load(3.01, loadEnd-0.4, 100, served); s.delay(5, 9, 10); s.delay(22, 24, 5) },
			"of the baseline phase",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(four)
			tc.fill(s)
			r := s.judge(t)
			judge, _ := s.live(t)
			switch said := judge.GeneratorBound(); {
			case tc.want == "" && (said != "" || r.Exit != results.ExitHeld):
				t.Errorf("GeneratorBound() = %q and exit %d; want none and 0", said, r.Exit)
			case tc.want != "" && (r.Exit != results.ExitUndecided || r.Why != said || !strings.Contains(said, tc.want)):
				t.Errorf("GeneratorBound() = %q, exit %d: %s\nwant %q in both, exit 4", said, r.Exit, r.Why, tc.want)
			}
			if r.Lag.N < 2700 {
				t.Errorf("Lag.N = %d; want all requests", r.Lag.N)
			}
		})
	}
}

// Of a handful of requests, a single late one is an accident; two are a habit.
func TestFewRequestsMayHaveOneThatIsLate(t *testing.T) {
	for n, tc := range map[int]struct {
		late int
		want bool
	}{5: {1, false}, 19: {1, false}, 18: {2, true}, 20: {1, true}} {
		s := newScript(four)
		s.load(4, 5, float64(n), served)
		for _, x := range s.samples[:tc.late] {
			x.Sent += sec(0.06)
		}
		judge, _ := s.live(t)
		if got := judge.GeneratorBound(); (got != "") != tc.want {
			t.Errorf("GeneratorBound() with %d of %d late = %q; want said: %t", tc.late, n, got, tc.want)
		}
	}
}

// A run that stops after baseline because of its own lateness says so once, and what ends later does not
// change the reason.
func TestARunThatStopsForItsOwnLatenessSaysWhy(t *testing.T) {
	s := newScript(four)
	s.load(3.01, 9.9, 100, served)
	s.delay(0, 9, 60)
	before := *s
	before.drop(func(e results.Event) bool { return e.At > sec(9) })
	before.samples = s.samples[:len(s.samples)-100]
	judge, _ := before.live(t)
	why := judge.GeneratorBound()
	if !strings.HasPrefix(why, "generator-bound: ") {
		t.Fatalf("GeneratorBound() = %q; want that it was", why)
	}
	s.events = before.events
	s.say(9.1, results.Event{Kind: results.EventError, Detail: why})
	s.say(9.2, results.Event{Kind: results.EventLoadEnd})
	s.say(12, results.Event{Kind: results.EventEnd})
	r := s.judge(t)
	if r.Verdict != results.Undecided || r.Exit != results.ExitUndecided || r.Why != why {
		t.Errorf("judged %s, exit %d: %s\nwant undecided, exit 4: %s", r.Verdict, r.Exit, r.Why, why)
	}
	for _, f := range r.Findings {
		if f.Verdict == results.Refuted || strings.Contains(f.Why, "went wrong") {
			t.Errorf("%s: %s: %s; want generator-bound", f.Claim, f.Verdict, f.Why)
		}
	}
}

// What streams under way had brought is not known once a log is torn or a phase is cut: a rate is neither
// held nor refuted by the rest.
func TestRatesOfWhatWasCutAreUndecided(t *testing.T) {
	const rates = `slo: {ttft: 1s}
guards: [success < 10%% for 5s]
hypotheses:
  - tokens_per_second >= 5000/s during fault
  - goodput >= 5000/s during fault
  - goodput_tokens <= 5/s during fault
  - tokens_per_second >= 500%% of baseline during fault
  - worst(tier, tokens_per_second) >= 5000/s during fault
  - success >= 99%% during fault
`
	cut := func(s *script) {
		s.cutAt(15)
		s.say(15, results.Event{Kind: results.EventGuard, Claim: "success < 10% for 5s", Detail: "down"})
		revertAt(s, 15.1)
		s.say(15.3, results.Event{Kind: results.EventLoadEnd})
		s.say(15.4, results.Event{Kind: results.EventEnd})
	}
	for _, tc := range []struct {
		name string
		end  func(s *script)
		want results.Verdict
		why  string
	}{
		{"whole", func(*script) {}, results.Refuted, ""},
		{"torn", func(s *script) { s.cutAt(15); s.killed = true }, results.Undecided, "the tokens of streams that were under way are not known: the log was torn"},
		{"torn after load", func(s *script) { s.cutAt(35); s.killed = true }, results.Undecided, "the tokens of streams that were under way are not known: the log was torn"},
		{"cut", cut, results.Undecided, "the tokens of streams that were under way are not known: guard success < 10% for 5s ended the run"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(strings.ReplaceAll(rates, "%%", "%"))
			s.load(3.01, loadEnd-0.4, 100, func(due float64) *results.Sample {
				x := served(due)
				x.Labels = results.Labels{"tier": "paid"}
				if due > 12 && due < 13 {
					x.Outcome = results.Truncated
				}
				return x
			})
			tc.end(s)
			for i, f := range s.judge(t).Findings[:6] {
				if i == 5 { // refuted by what is there
					if f.Verdict != results.Refuted {
						t.Errorf("%s: %s; want refuted", f.Claim, f.Verdict)
					}
				} else if f.Verdict != tc.want || !strings.HasPrefix(f.Why, tc.why) {
					t.Errorf("%s: %s: %s\nwant %s: %s", f.Claim, f.Verdict, f.Why, tc.want, tc.why)
				}
			}
		})
	}
}

// The milliseconds between the last Revert and the end of load are no recovery phase.
func TestAPlanWithoutRecoveryHasNoSuchColumn(t *testing.T) {
	for _, recovers := range []bool{true, false} {
		s := newScript("hypotheses: [success >= 99% during fault]\n")
		if !recovers {
			s.plan = strings.Replace(s.plan, ", recovery: 10s", "", 1)
			s.drop(func(e results.Event) bool { return e.Phase == results.Recovery || e.Kind == results.EventLoadEnd })
			s.say(reverted+0.01, results.Event{Kind: results.EventLoadEnd})
		}
		i := 0
		s.load(3.01, reverted, 100, func(due float64) *results.Sample {
			x := served(due)
			x.Labels = results.Labels{"tier": []string{"paid", "free"}[i%2]}
			i++
			return x
		})
		r := s.judge(t)
		want := 2
		if recovers {
			want = 3
		}
		if len(r.Phases) != want || len(r.Slices) != 2*want || r.Exit != results.ExitHeld {
			t.Errorf("with recovery %t: %d phases, %d slices, exit %d; want %d, %d, 0", recovers, len(r.Phases), len(r.Slices), r.Exit, want, 2*want)
		}
	}
}

// A report says what was tested, and no secret.
func TestTheReportNamesTheStack(t *testing.T) {
	for _, tc := range []struct{ header, want string }{
		{"", ""},
		{`{"version":1,"id":"stack-662a7cce","reference":{"resilience":"flawed","knobs":{"edge":"flawed","router":"flawed","config":"flawed","sessions":"flawed","queue":"flawed"}}}`, "reference stack stack-662a7cce, flawed"},
		{`{"version":1,"id":"stack-1","reference":{"resilience":"flawed","knobs":{"edge":"hardened","router":"flawed","queue":"hardened"}}}`, "reference stack stack-1, flawed, edge=hardened, queue=hardened"},
		{`{"version":1,"id":"stack-1","reference":{}}`, "reference stack stack-1, hardened"},
		{`{"version":1,"id":"x","endpoints":{"b":{"url":"http://127.0.0.1:1"},"a":{"url":"https://me:pw@gateway:8443/v1?key=SECRET#x"}}}`, "a https://gateway:8443/v1, b http://127.0.0.1:1"},
		{`{"version":1,"id":"x","endpoints":{"":{"url":"http://127.0.0.1:1/v1"},"bad":{"url":"http://me:SECRET@[::"}}}`, "http://127.0.0.1:1/v1, bad"},
	} {
		s := newScript("hypotheses: [success >= 99% during fault]\n")
		s.stack = tc.header
		s.load(4, 5, 10, served)
		if got := s.judge(t).Stack; got != tc.want {
			t.Errorf("Stack of %s = %q; want %q", tc.header, got, tc.want)
		}
	}
}

// One is one.
func TestSummaryCounts(t *testing.T) {
	one := load(t, minimal)
	two := load(t, strings.Replace(minimal, "[success >= 99% during fault]", "[success >= 99% during fault, success >= 99% during recovery]", 1))
	for plan, want := range map[*experiments.Plan]string{one: ", 1 hypothesis", two: ", 2 hypotheses"} {
		if got := plan.Summary(); !strings.HasSuffix(got, want) {
			t.Errorf("Summary() = %q; want an end of %q", got, want)
		}
	}
}
