package experiments_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// The marks of a long run: half a minute of each phase.
const (
	longInject   = 33
	longReverted = 63
	longEnd      = 93
)

// longScript is an ordinary run of a plan with one fault.
func longScript(more string) *script {
	s := &script{plan: onePlan + more, stack: twoPages}
	s.say(0, results.Event{Kind: results.EventPhase, Phase: results.Warmup})
	s.say(warm, results.Event{Kind: results.EventPhase, Phase: results.Baseline})
	s.say(longInject-0.001, results.Event{Kind: results.EventPhase, Phase: results.Fault})
	s.fault("f", longInject, longInject+1, longReverted-1, longReverted)
	s.say(longReverted+0.001, results.Event{Kind: results.EventPhase, Phase: results.Recovery})
	s.say(longEnd, results.Event{Kind: results.EventLoadEnd})
	s.say(longEnd+1, results.Event{Kind: results.EventEnd})
	return s
}

// A vllmPage is a page of metrics by its lines: what comes before the last space, and the figure.
type vllmPage map[string]float64

const (
	ttftName = "vllm:time_to_first_token_seconds"
	served1  = `vllm:request_success_total{finished_reason="stop"}`
	aborted1 = `vllm:request_success_total{finished_reason="abort"}`
	tokens1  = "vllm:generation_tokens_total"
	running1 = "vllm:num_requests_running"
	waiting1 = "vllm:num_requests_waiting"
	cache1   = "vllm:kv_cache_usage_perc"
)

// busyPage is what a server shows that has served so many requests, 25 a second.
func busyPage(n float64) vllmPage {
	return vllmPage{
		running1: 3, waiting1: 1, cache1: 0.25, served1: n, aborted1: 0, tokens1: 10 * n,
		ttftName + `_bucket{le="0.1"}`: 0, ttftName + `_bucket{le="0.5"}`: n, ttftName + `_bucket{le="+Inf"}`: n,
		ttftName + "_sum": 0.2 * n, ttftName + "_count": n,
	}
}

// text is what a server answers.
func (p vllmPage) text() string {
	all := "# TYPE " + ttftName + " histogram\n"
	for _, line := range slices.Sorted(maps.Keys(p)) {
		all += line + " " + strconv.FormatFloat(p[line], 'f', -1, 64) + "\n"
	}
	return all
}

// without leaves lines out.
func (p vllmPage) without(lines ...string) string {
	maps.DeleteFunc(p, func(line string, _ float64) bool {
		return slices.ContainsFunc(lines, func(start string) bool { return strings.HasPrefix(line, start) })
	})
	return p.text()
}

// with sets one line.
func (p vllmPage) with(line string, x float64) string {
	p[line] = x
	return p.text()
}

// An answer is what a page answers at a second instead of what is so; "": nothing is read.
type answer func(page string, at float64) string

const refusal = "connection refused"

// answers reads two servers each second, by the way that readings go.
func (s *script) answers(t *testing.T, change answer) {
	t.Helper()
	for at := 1.0; at <= longEnd+1; at++ {
		for _, page := range []string{"east", "west"} {
			text := change(page, at)
			r := results.Reading{}
			switch text {
			case "":
				continue
			case refusal:
				r.Error = refusal
			default:
				var err error
				if r, err = targets.ParseMetrics([]byte(text)); err != nil {
					r = results.Reading{Error: err.Error()}
				}
			}
			r.At, r.Source, r.Labels = sec(at), page, results.Labels{"region": page}
			s.read(&r)
		}
	}
}

func well(_ string, at float64) string { return busyPage(25 * at).text() }

// between has the page of east answer otherwise for some time.
func between(from, to float64, otherwise func(at float64) string) answer {
	return func(page string, at float64) string {
		if page != "east" || at < from || at >= to {
			return well(page, at)
		}
		return otherwise(at)
	}
}

const (
	ofShare   = "server.success >= 99% during fault"
	ofRate    = "server.requests_per_second >= 80% of baseline during fault"
	ofMost    = "server.requests_per_second <= 100/s during fault"
	ofTimes   = "p90(server.ttft) <= 1s during fault"
	ofMean    = "mean(server.ttft) <= 1s during fault"
	ofQueue   = "max(server.waiting) <= 5 during fault"
	ofCache   = "max(server.kv_usage) <= 90% during fault"
	ofOthers  = "recovery(server.success >= 99%) < 5s"
	ofReturn  = "recovery(p90(server.ttft) <= 1s) < 5s"
	ofFew     = "recovery(max(server.waiting) <= 5) < 5s"
	neverFail = "server.error_rate > 5% for 2s"
	neverSlow = "p90(server.ttft) > 0.5s for 2s"
	neverIdle = "server.requests_per_second < 40/s for 1s"
	neverMost = "server.requests_per_second > 60/s for 2s"
	neverFull = "max(server.kv_usage) > 90% for 2s"
)

// judgeText judges a claim or a guard.
func judgeText(t *testing.T, text string, change answer) results.Finding {
	t.Helper()
	more := "hypotheses: ['" + text + "']\n"
	if strings.Contains(text, "s for ") || strings.Contains(text, "% for ") {
		more = "hypotheses: [server.success >= 1% during baseline]\nguards: ['" + text + "']\n"
	}
	s := longScript(more)
	s.answers(t, change)
	return finding(t, s.judge(t), text)
}

// Where servers tell what is so, all of this holds: else no test below could tell why it does not.
func TestWhatServersTellHolds(t *testing.T) {
	for _, text := range []string{
		ofShare, ofRate, ofMost, ofTimes, ofMean, ofQueue, ofCache, ofOthers, ofReturn, ofFew, neverFail, neverSlow, neverIdle, neverMost, neverFull,
	} {
		if f := judgeText(t, text, well); f.Verdict != results.Held {
			t.Errorf("%s: %s, %s (%s); want held", text, f.Verdict, f.Observed, f.Why)
		}
	}
}

// Nor does it hold where the budget was used up before faults were in force, or none was.
func TestServersHoldNothingOfARunThatWasNone(t *testing.T) {
	for name, change := range map[string]func(s *script){
		"the budget was used up in baseline": func(s *script) {
			s.say(15, results.Event{Kind: results.EventBudget, Detail: "1,000 requests"})
		},
		"no evidence":     func(s *script) { s.drop(func(e results.Event) bool { return e.Kind == results.EventEvidence }) },
		"the log is torn": func(s *script) { s.cutAt(longEnd); s.killed = true },
	} {
		for _, text := range []string{ofShare, ofRate, ofMost, ofTimes, ofQueue, ofOthers} {
			s := longScript("hypotheses: ['" + text + "']\nguards: [" + neverFail + "]\n")
			s.answers(t, well)
			change(s)
			r := s.judge(t)
			if f := r.Findings[0]; f.Verdict != results.Undecided || r.Verdict != results.Undecided {
				t.Errorf("%s: %s: %s, %s (%s), and the run %s; want both undecided", name, text, f.Verdict, f.Observed, f.Why, r.Verdict)
			}
			if f := r.Findings[1]; name != "no evidence" && f.Verdict != results.Undecided {
				t.Errorf("%s: the guard: %s (%s); want undecided", name, f.Verdict, f.Why)
			}
		}
	}
}

// What held above is undecided where a page does not tell what was so.
func TestNothingHoldsThatNobodyKnows(t *testing.T) {
	at := func(seconds float64) func(float64) vllmPage {
		return func(float64) vllmPage { return busyPage(25 * seconds) }
	}
	now := func(at float64) vllmPage { return busyPage(25 * at) }
	llama := func(float64) string { return "llamacpp:requests_processing 1\nllamacpp:requests_deferred 0\n" }
	hangs := func(since float64) func(float64) string {
		return func(now float64) string { return at(since)(now).with(waiting1, min(4, now-since)) }
	}
	stale := func(since float64) func(float64) string {
		return func(now float64) string { return at(since)(now).text() }
	}
	drop := func(lines ...string) func(float64) string {
		return func(at float64) string { return now(at).without(lines...) }
	}
	buckets, bucketless := ttftName+"_bucket{le=\"0", "it was counted without buckets"
	for _, tc := range []struct {
		name   string
		change answer
		texts  []string
		says   string
	}{
		{
			"a web page",
			between(40, 45, func(float64) string { return "<html><body>502 Bad Gateway</body></html>" }),
			[]string{ofShare, ofMost, ofTimes, ofQueue, neverFail, neverSlow},
			"not all of the fault phase is known: text format parsing error",
		},
		{"an empty page", between(40, 45, func(float64) string { return "\n" }), []string{ofShare, ofCache, neverFull}, "the page has no metrics"},
		{
			"half a page",
			between(40, 45, func(at float64) string { return now(at).text()[:len("# TYPE "+ttftName)] }),
			[]string{ofShare, ofTimes, neverFail},
			"the page has no metrics",
		},
		{
			"half a page, cut between two lines", between(40, 41, drop(served1, aborted1, tokens1, ttftName)),
			[]string{ofShare, ofMost, ofTimes, ofMean, neverFail, neverIdle},
			"it ceased to tell",
		},
		{"a page without failures", between(40, 41, drop(aborted1)), []string{ofShare, neverFail}, "it ceased to tell requests failed"},
		{"the page of another", between(40, 99, llama), []string{ofShare, ofMost, ofTimes}, "it ceased to tell"},
		{
			"always the page of another", between(0, 99, llama),
			[]string{ofShare, ofRate, ofMost, ofTimes, ofOthers, ofReturn, neverFail, neverSlow, neverIdle},
			"the page east does not tell it: llama.cpp has no",
		},
		{
			"no figure", between(40, 41, func(at float64) string {
				return strings.ReplaceAll(now(at).text(), cache1+" 0.25", cache1+" NaN")
			}),
			[]string{ofCache, neverFull},
			"it ceased to tell kv usage",
		},
		{
			"no figure at the end", between(60, 99, func(at float64) string {
				return strings.ReplaceAll(now(at).text(), waiting1+" 1", waiting1+" +Inf")
			}),
			[]string{ofQueue, ofFew},
			"it ceased to tell waiting",
		},
		{
			"a sum that is none", between(40, 41, func(at float64) string {
				return strings.ReplaceAll(now(at).text(), ttftName+"_sum", ttftName+"_sum NaN\n# ")
			}),
			[]string{ofTimes, ofMean, neverSlow},
			"it ceased to tell ttft",
		},
		{"no buckets any more", between(40, 99, drop(buckets)), []string{neverSlow, ofReturn}, bucketless},
		{"never any buckets", between(0, 99, drop(buckets)), []string{neverSlow}, bucketless},
		{
			"counters that begin anew", between(45, 99, func(x float64) string { return now(x - 45).text() }),
			[]string{ofShare, ofMost, ofTimes, ofMean, neverFail, neverSlow},
			"its counters began anew",
		},
		{
			"one of them begins anew, and grows", between(45, 99, func(x float64) string { return now(x).with(aborted1, -1) }),
			[]string{ofShare, neverFail},
			"its counters began anew",
		},
		{"a page that is gone", between(45, 99, func(float64) string { return refusal }), []string{ofShare, ofMost, ofTimes, ofQueue, ofOthers, neverFail, neverIdle}, refusal},
		{"a page that was never there", between(0, 99, func(float64) string { return refusal }), []string{ofShare, ofMost, ofTimes, ofQueue, ofOthers, neverFail, neverIdle}, refusal},
		{"a clock that jumps over the fault", between(31, 65, func(float64) string { return "" }), []string{ofShare, ofMost, ofTimes, ofQueue, ofOthers, neverFail}, "over the border of two phases"},
		{"a stale page", between(33, 99, stale(33)), []string{ofShare, ofMost, ofTimes, ofQueue, ofCache, ofOthers, ofFew, neverFail, neverFull}, "the page east counted nothing for 30s of the fault phase"},
		{"a page that is stale for some time", between(43, 55, stale(43)), []string{ofShare, ofQueue, neverFail}, "counted nothing for 11s of the fault phase"},
		{"a server that hangs", between(43, 99, hangs(43)), []string{ofShare, ofMost, ofTimes, ofQueue, ofCache, neverFail, neverSlow}, "or its server hangs"},
		{"a server that hangs when it should have recovered", between(70, 99, hangs(70)), []string{ofOthers, ofReturn, ofFew, neverFail}, "of the recovery phase while requests ran or waited"},
		{
			"a stale page in baseline", func(_ string, at float64) string {
				if at > 15 && at < 30 {
					at = 15
				}
				return busyPage(25 * at).text()
			}, []string{ofRate}, "of the baseline phase while requests ran or waited",
		},
		{
			"nobody asks", func(_ string, at float64) string {
				p := busyPage(25 * min(at, 32))
				p[running1], p[waiting1] = 0, 0
				return p.text()
			}, []string{ofShare, ofMost, ofTimes, ofQueue, ofCache, ofOthers, ofFew}, "it touched nobody",
		},
	} {
		for _, text := range tc.texts {
			says := tc.says
			if strings.HasPrefix(text, "recovery") {
				says = strings.Replace(says, "counted nothing for 30s of the fault phase", "counted nothing for", 1)
			}
			if tc.name == "no buckets any more" && text == ofReturn { // in its very last phase it began with none
				says = "no request"
			}
			if f := judgeText(t, text, tc.change); f.Verdict != results.Undecided || !strings.Contains(f.Why, says) {
				t.Errorf("%s: %s: %s, %s (%s); want undecided, %q", tc.name, text, f.Verdict, f.Observed, f.Why, says)
			}
		}
	}
}

// What one page tells for sure refutes, whatever another does not tell; and what nobody knows refutes nothing.
func TestBreachesAreSeenBesidePagesThatTellNothing(t *testing.T) {
	gone := func(float64) string { return refusal }
	stale := func(float64) string { return busyPage(43 * 25).text() }
	llama := func(float64) string { return "llamacpp:requests_processing 1\nllamacpp:tokens_predicted_total 5\n" }
	beside := func(east func(float64) string, west func(p vllmPage, at float64)) answer {
		return func(page string, at float64) string {
			if page == "east" && at >= 43 {
				return east(at)
			}
			p := busyPage(25 * at)
			if page == "west" && at >= 43 {
				west(p, at)
			}
			return p.text()
		}
	}
	fails := func(p vllmPage, at float64) { p[served1], p[aborted1] = 43*25, 25*(at-43) }
	full := func(p vllmPage, _ float64) { p[cache1] = 0.95 }
	queues := func(p vllmPage, _ float64) { p[waiting1] = 9 }
	floods := func(p vllmPage, at float64) { p[served1] = 43*25 + 500*(at-43) }
	more := func(p vllmPage, at float64) { p[served1] = 43*25 + 40*(at-43) }
	slow := func(p vllmPage, _ float64) { p[ttftName+`_bucket{le="0.5"}`] = 43 * 25 }
	quiet := func(p vllmPage, at float64) { p[served1] = 43*25 + 5*(at-43) }
	for _, tc := range []struct {
		name, text string
		change     answer
		want       results.Verdict
	}{
		{"failures beside a stale page", ofShare, beside(stale, fails), results.Refuted},
		{"failures beside a page that is gone, by a guard", neverFail, beside(gone, fails), results.Refuted},
		{"a full cache", ofCache, beside(gone, full), results.Refuted},
		{"a full cache, by a guard", neverFull, beside(gone, full), results.Refuted},
		{"a queue", ofQueue, beside(gone, queues), results.Refuted},
		{"a flood beside a page that is gone", ofMost, beside(gone, floods), results.Refuted},
		{"a flood beside the page of another", ofMost, beside(llama, floods), results.Refuted},
		{"past the last bucket, which ends at the bar", neverSlow, beside(stale, slow), results.Refuted},
		{"past the last bucket, which ends at the bar, for long", "p90(server.ttft) <= 0.5s during fault", beside(stale, slow), results.Refuted},
		{"past the last bucket, which ends before the bar", "recovery(p90(server.ttft) <= 1s) < 5s", beside(stale, slow), results.Undecided},
		{"past the last bucket, by a guard beyond", "p90(server.ttft) > 1s for 2s", beside(stale, slow), results.Undecided},
		{"a flood beside a page that is gone, by a guard", neverMost, beside(gone, floods), results.Refuted},
		{"no flood beside a page that is gone, by a guard", neverMost, beside(gone, more), results.Undecided},
		{"few requests beside a page that is gone", neverIdle, beside(gone, quiet), results.Undecided},
		{"few requests", neverIdle, beside(func(at float64) string { return busyPage(25 * at).text() }, quiet), results.Refuted},
		{"a second without a reading", neverIdle, between(45, 46, func(float64) string { return "" }), results.Held},
	} {
		if f := judgeText(t, tc.text, tc.change); f.Verdict != tc.want {
			t.Errorf("%s: %s: %s, %s (%s); want %s", tc.name, tc.text, f.Verdict, f.Observed, f.Why, tc.want)
		}
	}
}

// A series that is missing for a reading has not counted from nothing when it is back.
func TestASeriesThatComesBackIsCountedOn(t *testing.T) {
	s := longScript("hypotheses: [server.success >= 1% during baseline]\n")
	s.answers(t, between(20, 21, func(at float64) string { return busyPage(25*at).without(served1, ttftName) }))
	st := serverOf(t, s.judge(t), "east", results.Baseline)
	if n := st.Counts[results.SignalDone]; n != 30*25 && n != 29*25 || st.TTFT.N != uint64(n) || st.Restarts != 0 {
		t.Errorf("east served %v in baseline, of which %d have a TTFT, with %d restarts; want 25 a second, 0", n, st.TTFT.N, st.Restarts)
	}
}

// A guard to which no page tells anything guards nothing: under it nothing may be injected.
func TestTheGateWantsGuardsThatSee(t *testing.T) {
	for _, tc := range []struct {
		name   string
		guard  string
		change answer
		why    string
	}{
		{"pages that tell", neverFail, well, ""},
		{"one page is gone", neverFail, between(0, 99, func(float64) string { return refusal }), ""},
		{"all pages are gone", neverFail, func(string, float64) string { return refusal }, "none of the pages that it watches answers: connection refused"},
		{"all pages went", neverFail, func(page string, at float64) string {
			if at > 20 {
				return refusal
			}
			return well(page, at)
		}, "none of the pages that it watches answers: connection refused"},
		{"no page has it", "p90(server.e2e) > 5s for 2s", well, "no page of east, west tells it: vllm has no e2e"},
		{"no page has it yet", "p90(server.e2e) > 5s for 2s", func(string, float64) string { return running1 + " 0\n" }, ""},
		{"no page has the label", `server.error_rate{region="central"} > 5% for 2s`, well, "no page of metrics has the labels"},
		{"a guard of ours", "success < 10% for 2s", func(string, float64) string { return refusal }, ""},
	} {
		s := longScript("hypotheses: [success >= 1% during recovery]\nguards: ['" + tc.guard + "']\n")
		s.answers(t, tc.change)
		s.cutAt(longInject - 0.5)
		s.readings = slices.DeleteFunc(s.readings, func(r *results.Reading) bool { return r.At >= sec(longInject) })
		judge, _ := s.live(t)
		why := ""
		for _, f := range judge.Gate() {
			if f.Claim != tc.guard || f.Verdict != results.Undecided {
				t.Errorf("%s: Gate() gives %+v; want the guard, undecided", tc.name, f)
			}
			why = f.Why
		}
		if (why == "") != (tc.why == "") || !strings.Contains(why, tc.why) {
			t.Errorf("%s: Gate() says %q; want %q", tc.name, why, tc.why)
		}
	}
}
