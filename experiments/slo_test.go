package experiments_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

// What a user writes after --slo, and what it says where that is no SLO.
func TestParseSLO(t *testing.T) {
	for _, tt := range []struct {
		text, err string
		want      experiments.SLO
		back      string // as String writes it
	}{
		{text: "ttft=2s,tpot=100ms", want: experiments.SLO{TTFT: 2 * time.Second, TPOT: 100 * time.Millisecond}, back: "ttft=2s,tpot=100ms"},
		{
			text: " stall = 1m , itl=50ms, e2e=2h", back: "e2e=2h,stall=1m,itl=50ms",
			want: experiments.SLO{E2E: 2 * time.Hour, Stall: time.Minute, ITL: 50 * time.Millisecond},
		},
		{text: "e2e=1m30s", want: experiments.SLO{E2E: 90 * time.Second}, back: "e2e=1m30s"},
		{text: " "},
		{text: "ttft", err: `slo: "ttft" is not of the form metric=time: write ttft=2s`},
		{text: "ttft=2s,", err: `slo: "" is not of the form metric=time: write ttft=2s`},
		{text: "tfft=2s", err: `slo: no bound is called "tfft": there are ttft, tpot, e2e, stall, itl; did you mean ttft?`},
		{text: "ttft=2s,ttft=3s", err: "slo: ttft stands twice"},
		{text: "ttft=200", err: "slo: ttft: 200 has no unit: write 200s, or 200ms"},
		{text: "ttft=fast", err: `slo: ttft: "fast" is not a duration: write it like 500ms, 15s or 1m30s`},
		{text: "ttft=-1s", err: "slo: ttft=-1s: nothing is that fast: write ttft=2s"},
		{text: "ttft=0s", err: "slo: ttft=0s: nothing is that fast: write ttft=2s"},
	} {
		got, err := experiments.ParseSLO(tt.text)
		if (err != nil || tt.err != "") && (err == nil || err.Error() != tt.err) {
			t.Errorf("ParseSLO(%q) error = %v; want %q", tt.text, err, tt.err)
		}
		if got != tt.want || got.String() != tt.back {
			t.Errorf("ParseSLO(%q) = %+v, String %q; want %+v, %q", tt.text, got, got, tt.want, tt.back)
		}
	}
}

// Goodput, and which bound cost most of it: a request may miss several, one that failed misses none.
func TestReportCountsTheSLO(t *testing.T) {
	s := newScript("slo: {ttft: 150ms, tpot: 30ms, itl: 30ms, stall: 1s}\n" + anyClaim)
	s.load(4, 5, 10, served)
	s.load(5, 6, 2, late(0.2))
	slow := served(6)
	for i := range slow.Chunks {
		slow.Chunks[i].At = sec(6.2 + 0.05*float64(i))
	}
	slow.Done = slow.Chunks[9].At
	s.add(slow, failed(6, 7, results.Reset))
	p := phaseOf(t, s.judge(t), results.Baseline)
	want := &results.SLOStats{
		Goodput: 10 / p.Duration.Seconds(), Met: 10, Share: 10.0 / 14,
		Missed: []results.MissedBound{{Bound: "ttft", Count: 3}, {Bound: "tpot", Count: 1}, {Bound: "itl", Count: 1}},
	}
	if diff := gocmp.Diff(want, p.SLO); diff != "" {
		t.Errorf("baseline's SLO differs (-want +got):\n%s", diff)
	}
	if r := newScript(anyClaim).judge(t); r.SLO != "" || phaseOf(t, r, results.Baseline).SLO != nil {
		t.Errorf("a plan without an slo reports %q and %+v; want neither", r.SLO, phaseOf(t, r, results.Baseline).SLO)
	}
}

// An answer in one piece has no TTFT, and keeps no bound on it by that: its user waits for all of it.
func TestReportCountsTheSLOOfAnswersInOnePiece(t *testing.T) {
	s := newScript("slo: {ttft: 150ms, tpot: 30ms}\n" + anyClaim)
	for i, took := range []float64{0.1, 0.14, 0.16, 3} {
		x := served(4 + float64(i)/10)
		x.Unstreamed, x.Chunks, x.Done = true, nil, x.Due+sec(took)
		s.add(x)
	}
	p := phaseOf(t, s.judge(t), results.Baseline)
	want := []results.MissedBound{{Bound: "ttft", Count: 2}}
	if p.SLO == nil || p.SLO.Met != 2 || !gocmp.Equal(want, p.SLO.Missed) {
		t.Errorf("SLO of answers after 0.1, 0.14, 0.16 and 3 s = %+v; want 2 met and %+v missed", p.SLO, want)
	}
}

// An attack has nothing before its load, so its goodput is of all that were due, also what ended after the load did.
func TestGoodputOfAnAttack(t *testing.T) {
	j := experiments.NewJudge(&experiments.Plan{
		SLO: experiments.SLO{TTFT: time.Second}, Phases: experiments.PhaseSpec{Baseline: experiments.Length{For: 10 * time.Second}},
	})
	events := map[float64]results.EventKind{0: results.EventPhase, 10: results.EventLoadEnd}
	for _, at := range []float64{0, 10} {
		if err := j.Add(results.Record{Event: &results.Event{At: sec(at), Kind: events[at], Phase: results.Baseline}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		s := served(float64(i) / 2)
		s.Chunks = []results.Chunk{{At: s.Due + time.Second, Tokens: 1}} // just within the bound
		s.Done = max(s.Chunks[0].At, sec(9.9+float64(i)/20))             // most of them after the end
		if err := j.Add(results.Record{Sample: s}); err != nil {
			t.Fatal(err)
		}
	}
	p := phaseOf(t, j.Report(), results.Baseline)
	if want := (&results.SLOStats{Goodput: 2, Met: 20, Share: 1}); !gocmp.Equal(want, p.SLO) {
		t.Errorf("SLO of 20 requests in 10 s = %+v; want %+v", p.SLO, want)
	}
}

// Reasoning that a server keeps to itself comes in no chunk and in no second.
func TestReportCountsWhatArrived(t *testing.T) {
	s := newScript(anyClaim)
	hidden := served(5)
	hidden.Usage = results.Usage{Output: 910, Reasoning: 900, Source: results.UsageServer}
	s.add(hidden)
	p := phaseOf(t, s.judge(t), results.Baseline)
	if want := 10 / p.Duration.Seconds(); p.TokensPerChunk != 1 || p.TokensPerSecond != want {
		t.Errorf("10 chunks of 910 tokens, 900 of them hidden: %v a chunk, %v/s; want 1, %v", p.TokensPerChunk, p.TokensPerSecond, want)
	}
}

// Who counted the tokens, and how many chunks came in one read with another.
func TestReportSaysHowTokensWereCounted(t *testing.T) {
	s := newScript(anyClaim)
	s.load(4, 5, 3, served)
	byChunks := served(5)
	byChunks.Usage = results.Usage{Output: 10, Source: results.UsageChunks}
	for i := range byChunks.Chunks {
		byChunks.Chunks[i].Coalesced = i%2 == 1
	}
	silent := served(6)
	silent.Usage = results.Usage{}
	s.add(byChunks, silent, failed(6, 7, results.Reset))
	p := phaseOf(t, s.judge(t), results.Baseline)
	want := map[results.UsageSource]int{results.UsageServer: 3, results.UsageChunks: 1, "unknown": 1}
	if diff := gocmp.Diff(want, p.CountedBy); diff != "" {
		t.Errorf("CountedBy differs (-want +got):\n%s", diff)
	}
	if p.Coalesced != 0.1 {
		t.Errorf("Coalesced = %v; want 0.1: 5 of 50 chunks", p.Coalesced)
	}
}
