package results_test

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/failwhale/failwhale/results"
)

// attacked is the report of an attack under which everything went well.
func attacked() *results.Report {
	return &results.Report{
		Version: 1, Experiment: "attack", Stack: "http://127.0.0.1:8000", Exit: results.ExitHeld,
		Started: time.Date(2026, 11, 22, 14, 47, 3, 0, time.UTC), Duration: 30700 * ms, Seed: 1,
		Phases: []results.PhaseStats{{
			Phase: results.Baseline, Duration: 30 * time.Second, Requests: 1500, Complete: 1500, Success: 1,
			TokensPerSecond: 2512.4, GoodputTokens: 2512.4, TokensPerChunk: 1.002, Coalesced: 0.002, Amplification: 1,
			CountedBy: map[results.UsageSource]int{results.UsageServer: 1500},
			TTFT:      quantiles(1500, 0.0912, 0.131, 0.207, 0.31), TTFTSent: quantiles(1500, 0.0911, 0.1308, 0.206, 0.31),
			ITL: quantiles(72144, 0.0201, 0.0222, 0.0263, 0.0911), TPOT: quantiles(1500, 0.0203, 0.021, 0.0219, 0.023),
			E2E: quantiles(1500, 1.07, 1.21, 1.36, 1.6), E2ESent: quantiles(1500, 1.07, 1.21, 1.36, 1.6),
			Stall:    quantiles(1500, 0.031, 0.04, 0.0621, 0.0911),
			Outcomes: []results.OutcomeStats{{Outcome: results.Complete, Count: 1500}},
		}},
		Lag: quantiles(1500, 0.000083, 0.0002, 0.00211, 0.0093),
	}
}

// attackedInVain is that of one under which hardly anything did.
func attackedInVain() *results.Report {
	r := attacked()
	r.SLO = "ttft=200ms,tpot=30ms"
	p := &r.Phases[0]
	p.Requests, p.Complete, p.Success, p.Cancelled, p.Refused, p.Infinite = 1490, 1001, 1001.0/1490, 10, 102, 250
	p.CutAfter200, p.FailedWith2xx = 137, []results.OutcomeStats{
		{Outcome: results.Truncated, Count: 100},
		{Outcome: results.StreamError, Count: 30},
		{Outcome: results.WrongUser, Count: 7},
	}
	p.Leaks, p.Answers, p.Echoed, p.Amplification, p.Reconnects = 7, 1138, 1130, 1.21, 4
	p.Attempts = &results.AttemptStats{Requests: 1490, Attempts: 1803, Lost: []results.LostStats{
		{Outcome: results.HTTPStatus, Status: 503, Count: 180}, {Outcome: results.RateLimited, Count: 133},
	}}
	p.TokensPerChunk, p.Coalesced = 3.2, 0.31
	p.CountedBy = map[results.UsageSource]int{
		results.UsageServer: 1001, results.UsageContinuous: 20, results.UsageTokenizer: 40, results.UsageChunks: 77, "unknown": 2,
	}
	p.TTFT, p.TTFTSent = quantiles(1388, 0.214, 0, 0, 0), quantiles(1388, 0.114, 0, 0, 0)
	p.E2E, p.E2ESent = quantiles(1388, 1.41, 0, 0, 0), quantiles(1388, 1.31, 0, 0, 0)
	p.SLO = &results.SLOStats{
		Goodput: 23.4, Met: 703, Share: 703.0 / 1490, Missed: []results.MissedBound{{Bound: "ttft", Count: 290}, {Bound: "tpot", Count: 12}},
	}
	p.Outcomes = []results.OutcomeStats{
		{Outcome: results.Complete, Count: 1001},
		{Outcome: results.HTTPStatus, Count: 250, Error: "500 Internal Server Error: the conversation could not be stored (server_error, session_store_unavailable): " +
			"dial tcp 10.3.0.17:6379: connect: connection refused after 3 attempts, giving up; the session store's primary is in region east, and region east does not answer"},
		{Outcome: results.RateLimited, Count: 102, Error: "429 Too Many Requests"},
		{Outcome: results.Truncated, Count: 100, Error: "stream ended without finish_reason and [DONE]"},
		{Outcome: results.StreamError, Count: 30, Error: "engine died: \x1b[31mCUDA error\x1b[0m\nout of memory"},
		{Outcome: results.WrongUser, Count: 7, Error: "nonce of request 17 in the answer to request 18"},
		{Outcome: results.Cancelled, Count: 10},
	}
	for _, s := range []struct {
		value   string
		success float64
	}{{"free", 0.41}, {"paid", 0.93}} {
		it := slice("tier", s.value, results.Baseline, 745, s.success, 1.2, 1200)
		it.ITL, it.E2E, it.Stall = p.ITL, p.E2E, p.Stall
		it.SLO = &results.SLOStats{Share: s.success / 2}
		r.Slices = append(r.Slices, it)
	}
	return r
}

// attackedByUsers is that of one whose clients do all that clients can.
func attackedByUsers() *results.Report {
	r := attacked()
	p := &r.Phases[0]
	p.Cancelled, p.Unstreamed, p.Answers, p.Amplification = 70, 90, 1410, 1.24
	r.NoEcho = "no answer carried its own nonce: a swap would not have been seen (write canary: true)"
	p.Attempts, p.Wasted, p.Conversations, p.Left = clients()
	p.Outcomes = append(p.Outcomes, results.OutcomeStats{Outcome: results.Cancelled, Count: 70})
	return r
}

// Who reads slowly by plan finds several chunks at a time: nobody else is to blame, or perhaps not.
func TestLoadBlamesNobodyForItsOwnSlowReaders(t *testing.T) {
	for readers, want := range map[results.SlowReaders]string{
		"":               "31.0 % of the chunks came in one read with the chunk before: something on the way held them back, or this machine was busy; their gaps",
		results.SlowAll:  "the chunk before: our clients read slowly by plan (read), and find several at a time; their gaps",
		results.SlowSome: "the chunk before: some of our clients read slowly by plan (read), and find several at a time; or something on the way held",
	} {
		r := attackedInVain()
		r.SlowReaders = readers
		var b strings.Builder
		if err := r.WriteLoad(&b, results.TableOptions{Width: 300}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) {
			t.Errorf("readers %q: WriteLoad does not say %q:\n%s", readers, want, b.String())
		}
	}
}

// A retry budget may be so small that there is no second attempt at all, and only it to tell of.
func TestLoadCountsSuppressedRetries(t *testing.T) {
	r := attacked()
	r.Phases[0].Attempts = &results.AttemptStats{Requests: 1490, Attempts: 1490, Suppressed: 12}
	var b strings.Builder
	if err := r.WriteLoad(&b, results.TableOptions{Width: 200}); err != nil {
		t.Fatal(err)
	}
	if want := "1490 for 1490 requests (1.00); 12 retries not made for the retry budget\n"; !strings.Contains(b.String(), want) {
		t.Errorf("WriteLoad does not say %q:\n%s", want, b.String())
	}
}

// One screen of at most 110 columns and 50 lines, whatever befell.
func TestWriteLoad(t *testing.T) {
	bound := attacked()
	bound.Exit, bound.Why = results.ExitUndecided, "generator-bound: 31 of 1500 requests of the baseline phase were sent over 50ms late (p99 81 ms), so the figures tell of this machine and not of the stack"
	cut := attacked()
	cut.Exit, cut.Phases[0].TokensPerChunk = results.ExitInterrupted, 0.5
	cut.Phases[0].Cancelled, cut.Phases[0].Left = 8, []results.LeftStats{{Way: results.LeftTokens, Count: 3}}
	cut.Phases[0].Outcomes = append(cut.Phases[0].Outcomes, results.OutcomeStats{Outcome: results.Cancelled, Count: 8})
	deaf := attacked()
	deaf.Phases[0] = results.PhaseStats{
		Phase: results.Baseline, Duration: 30 * time.Second, Requests: 1500, Infinite: 1500, Amplification: 1, TTFT: quantiles(1500, 0, 0, 0, 0),
		Outcomes: []results.OutcomeStats{{Outcome: results.Connect, Count: 1500, Error: "dial tcp 127.0.0.1:1: connect: connection refused"}},
	}
	deaf.Phases[0].TTFT.Mean = 0 // of no finite value
	for name, tt := range map[string]struct {
		report *results.Report
		opts   results.TableOptions
	}{
		"load":             {attacked(), results.TableOptions{}},
		"load-bad":         {attackedInVain(), results.TableOptions{}},
		"load-bad-wide":    {attackedInVain(), results.TableOptions{Width: 160}},
		"load-bad-narrow":  {attackedInVain(), results.TableOptions{Width: 60}},
		"load-deaf":        {deaf, results.TableOptions{}},
		"load-late":        {bound, results.TableOptions{Color: true}},
		"load-interrupted": {cut, results.TableOptions{}},
		"load-users":       {attackedByUsers(), results.TableOptions{}},
		"load-none":        {&results.Report{Exit: results.ExitUndecided, Why: "nothing was sent"}, results.TableOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := tt.report.WriteLoad(&out, tt.opts); err != nil {
				t.Fatalf("WriteLoad: %v", err)
			}
			golden(t, name+".golden", out.Bytes())
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if len(lines) > 50 && tt.opts.Width == 0 {
				t.Errorf("it has %d lines; want at most 50", len(lines))
			}
			for _, line := range lines {
				if n := utf8.RuneCountInString(line); n > max(110, tt.opts.Width) && !tt.opts.Color {
					t.Errorf("line %q has %d columns", line, n)
				}
				if strings.TrimRight(line, " \t") != line {
					t.Errorf("line %q has a trailing space", line)
				}
			}
			if strings.Contains(out.String(), "\x1b[31mCUDA") || !tt.opts.Color && strings.Contains(out.String(), "\x1b") {
				t.Error("an escape sequence that nobody asked for reached the terminal")
			}
		})
	}
	if err := attacked().WriteLoad(brokenPipe{}, results.TableOptions{}); err == nil {
		t.Error("WriteLoad to a broken pipe = nil; want an error")
	}
}

// A timing error is that of tokens: where none came there is none.
func TestTimed(t *testing.T) {
	for name, tt := range map[string]struct {
		report *results.Report
		want   bool
	}{
		"tokens":  {attacked(), true},
		"none":    {&results.Report{Phases: []results.PhaseStats{{Requests: 3, TTFT: quantiles(3, 0, 0, 0, 0), E2E: quantiles(3, 1, 1, 1, 1)}}}, false},
		"nothing": {&results.Report{}, false},
	} {
		if got := tt.report.Timed(); got != tt.want {
			t.Errorf("%s: Timed() = %t; want %t", name, got, tt.want)
		}
	}
}

// From Sent is shown beside from Due where our own lateness shows, and not else.
func TestTheTableShowsOurLateness(t *testing.T) {
	r := refuted()
	for i := range r.Phases {
		r.Phases[i].TTFTSent, r.Phases[i].E2ESent = r.Phases[i].TTFT, r.Phases[i].E2E
	}
	shows := func() bool {
		var out bytes.Buffer
		if err := r.WriteTable(&out, results.TableOptions{}); err != nil {
			t.Fatalf("WriteTable: %v", err)
		}
		return strings.Contains(out.String(), "ttft_sent p99")
	}
	if shows() {
		t.Error("the table shows ttft_sent where it is ttft")
	}
	r.Phases[0].TTFTSent.P99 -= 0.02
	if !shows() {
		t.Error("the table shows no ttft_sent where it is 20 ms less than ttft")
	}
}
