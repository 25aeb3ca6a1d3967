package results_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// quantiles are of n values; 0 or less is +Inf.
func quantiles(n int, p50, p90, p99, most float64) results.Quantiles {
	sec := func(x float64) results.Seconds {
		if x <= 0 {
			x = math.Inf(1)
		}
		return results.Seconds(x)
	}
	return results.Quantiles{N: n, Mean: sec(p50), P50: sec(p50), P90: sec(p90), P99: sec(p99), Max: sec(most)}
}

func slice(label, value string, phase results.Phase, n int, success, ttft, tokens float64) results.SliceStats {
	return results.SliceStats{Label: label, Value: value, PhaseStats: results.PhaseStats{
		Phase: phase, Requests: n, Complete: int(float64(n) * success), Success: success, TokensPerSecond: tokens,
		TTFT: quantiles(n, ttft/2, ttft/1.5, ttft, ttft*2),
	}}
}

// refuted is the report of a run in which a bad config reached every region.
func refuted() *results.Report {
	return &results.Report{
		Version: 1, Experiment: "a bad router config reaches every region",
		About: "Reproduces 2024-11-08.", Stack: "reference stack stack-662a7cce, flawed, queue=hardened", Verdict: results.Refuted, Exit: results.ExitRefuted,
		Why:     `success{tier="paid"} >= 99% during fault: 51.2 % of 998 requests, and the baseline had 100 %`,
		Started: time.Date(2026, 11, 22, 14, 47, 3, 0, time.UTC), Duration: 58312 * ms, Seed: 20241108,
		Overrides: map[string]string{"resilience": "flawed"},
		Findings: []results.Finding{
			{
				Claim: `success{tier="paid"} >= 99% during fault`, Verdict: results.Refuted, Observed: "51.2 %", Bound: ">= 99 %", N: 998,
				Why: "487 of 998 failed, 361 of them reset",
			},
			{
				Claim: "tokens_per_second >= 80% of baseline during fault", Verdict: results.Refuted, Observed: "52.4 %", Bound: ">= 80 %", N: 2003,
				Why: "2471 tokens/s against 4716 tokens/s in the baseline",
			},
			{
				Claim: `p99(ttft{tier="paid",region="east"}) < 2s during fault`, Verdict: results.Undecided, Observed: "inf", Bound: "< 2 s", N: 212,
				Why: "a p99 needs 300 samples and has 212: lengthen the fault phase, or raise the rate",
			},
			{Claim: "recovery(success >= 99%) < 10s", Verdict: results.Held, Observed: "4.2 s", Bound: "< 10 s", N: 1487},
		},
		Phases: []results.PhaseStats{
			{
				Phase: results.Baseline, Duration: 15 * time.Second, Requests: 1503, Complete: 1503, Success: 1,
				TokensPerSecond: 4716.2, GoodputTokens: 4716.2, TokensPerChunk: 1.0004, Amplification: 1, Reconnects: 2,
				TTFT: quantiles(1503, 0.0912, 0.131, 0.207, 0.31), ITL: quantiles(72144, 0.0201, 0.0222, 0.0263, 0.0911),
				TPOT: quantiles(1503, 0.0203, 0.021, 0.0219, 0.023), E2E: quantiles(1503, 1.07, 1.21, 1.36, 1.6),
				Stall:    quantiles(1503, 0.031, 0.04, 0.0621, 0.0911),
				Outcomes: []results.OutcomeStats{{Outcome: results.Complete, Count: 1503}},
			},
			{
				Phase: results.Fault, Duration: 20 * time.Second, Requests: 2003, Complete: 1031, Success: 1031.0 / 2003,
				CutAfter200: 412, Refused: 102, Infinite: 458, TokensPerSecond: 2471.3, GoodputTokens: 2120.8, TokensPerChunk: 1.0021,
				Amplification: 1.417,
				TTFT:          quantiles(1901, 0.214, 0, 0, 0), ITL: quantiles(49530, 0.0207, 0.0291, 0.0719, 9.98),
				TPOT: quantiles(1443, 0.0212, 0.025, 0.0334, 0.041), E2E: quantiles(1901, 1.41, 0, 0, 0),
				Stall: quantiles(1443, 0.0412, 0.2, 8.312, 9.98),
				Outcomes: []results.OutcomeStats{
					{Outcome: results.Complete, Count: 1031},
					{Outcome: results.Reset, Count: 623, Error: "read tcp 127.0.0.1:40312->127.0.0.1:18081: connection reset by peer while reading the body"},
					{Outcome: results.StreamError, Count: 147, Error: "engine died: \x1b[31mCUDA error\x1b[0m\nout of memory"},
					{Outcome: results.RateLimited, Count: 102, Error: "429 Too Many Requests"},
					{Outcome: results.Truncated, Count: 100, Error: "the stream ended without [DONE]"},
				},
			},
			{
				Phase: results.Recovery, Duration: 15 * time.Second, Requests: 1498, Complete: 1491, Success: 1491.0 / 1498,
				CutAfter200: 7, TokensPerSecond: 4690.1, GoodputTokens: 4671.9, TokensPerChunk: 1.0004, Amplification: 1.009,
				TTFT: quantiles(1498, 0.0931, 0.14, 0.913, 1.9), ITL: quantiles(71520, 0.0201, 0.0222, 0.0271, 0.61),
				TPOT: quantiles(1491, 0.0203, 0.021, 0.0225, 0.03), E2E: quantiles(1498, 1.08, 1.3, 2.11, 0),
				Stall: quantiles(1491, 0.031, 0.04, 0.0713, 0.61),
				Outcomes: []results.OutcomeStats{
					{Outcome: results.Complete, Count: 1491}, {Outcome: results.Truncated, Count: 7, Error: "the stream ended without [DONE]"},
				},
			},
		},
		Slices: []results.SliceStats{
			slice("tier", "free", results.Baseline, 751, 1, 0.201, 2355),
			slice("tier", "paid", results.Baseline, 752, 1, 0.209, 2361),
			slice("tier", "free", results.Fault, 1005, 0.5174, 0, 1235),
			slice("tier", "paid", results.Fault, 998, 0.512, 0, 1236),
			slice("region", "east", results.Baseline, 501, 1, 0.203, 1573),
			slice("region", "west", results.Baseline, 501, 1, 0.207, 1570),
			slice("region", "central", results.Baseline, 501, 1, 0.204, 1573),
			slice("region", "west", results.Fault, 1120, 0.9902, 1.31, 1241),
			slice("region", "central", results.Fault, 603, 0.31, 4.2, 1230),
			slice("region", "", results.Fault, 280, 0, 0, 0),
		},
		Faults: []results.FaultReport{
			{
				ID: "cfg", Kind: "config.push", Injected: 20004 * ms, InForce: 20017 * ms, RevertedAt: 40022 * ms,
				Evidence: &results.Evidence{Touched: 3, What: "readers took up the pushed document of router_config"}, Restored: results.RestoredOK,
			},
			{
				ID: "east", Kind: "region.kill", Injected: 25000 * ms, InForce: 25004 * ms, RevertedAt: 40035 * ms,
				Evidence: &results.Evidence{Touched: 212, What: "requests met region east's failure at the edge"}, Restored: results.RestoredOK,
			},
		},
		Events: []results.Event{
			{At: 5 * time.Second, Kind: results.EventPhase, Phase: results.Baseline},
			{At: 31200 * ms, Kind: results.EventGuard, Claim: "success < 50% for 5s", Detail: "42.0 % of 502 requests"},
		},
		Lag:        quantiles(5004, 0.000083, 0.0002, 0.00211, 0.0093),
		MeanStream: 1080 * ms,
	}
}

// harmed is the report of a run that was killed and left something behind, on many tenants.
func harmed() *results.Report {
	r := refuted()
	r.Verdict, r.Exit, r.Torn = results.Undecided, results.ExitHarm, true
	r.Why = "region.kill east could not be reverted: supervisor at 127.0.0.1:7001 does not answer"
	r.Findings = r.Findings[2:3]
	r.Faults[0].Restored, r.Faults[0].Detail = results.RestoredDrift, "router_config was changed to revision 9 by someone else: left alone"
	r.Faults[1] = results.FaultReport{
		ID: "east", Kind: "region.kill", Injected: 25 * time.Second, InForce: 25004 * ms, Restored: results.RestoredFailed,
		Error: "revert region.kill: start region east: Post \"http://127.0.0.1:7001/v1/processes/region-east/start\": dial tcp 127.0.0.1:7001: connect: connection refused",
	}
	r.Faults = append(r.Faults, results.FaultReport{ID: "late", Kind: "dependency.latency", Error: "never due: the run ended before"})
	r.Events = append(r.Events, results.Event{At: 33 * time.Second, Kind: results.EventInterrupt, Detail: "SIGTERM"})
	r.Phases[1].Leaks = 3
	r.Slices = nil
	for i := range 30 {
		tenant := fmt.Sprintf("t%02d", i)
		r.Slices = append(
			r.Slices, slice("tenant", tenant, results.Baseline, 50, 1, 0.2, 150),
			slice("tenant", tenant, results.Fault, 66, 0.5+float64(i)/60, 1.5, 80),
		)
	}
	return r
}

// clients are what clients may have done, of every kind.
func clients() (*results.AttemptStats, *results.WasteStats, *results.ConversationStats, []results.LeftStats) {
	return &results.AttemptStats{Requests: 1560, Attempts: 1934, Hedges: 30, HedgesWon: 11, Failovers: 45, Suppressed: 118, Lost: []results.LostStats{
			{Outcome: results.HTTPStatus, Status: 503, Count: 180},
			{Outcome: results.RateLimited, Count: 60},
			{Outcome: results.Reset, Count: 50},
			{Outcome: results.Cancelled, Count: 30},
			{Outcome: results.Connect, Count: 29},
			{Outcome: results.HTTPStatus, Status: 500, Count: 20},
			{Outcome: results.IdleTimeout, Count: 5},
		}},
		&results.WasteStats{Output: 5210, Of: 75321, Share: 5210.0 / 75321, Prompt: 18000},
		&results.ConversationStats{Begun: 210, Turns: 603, Failed: 12},
		[]results.LeftStats{
			{Way: results.LeftStart, Count: 10, WithoutToken: 10}, {Way: results.LeftTokens, Count: 20}, {Way: results.LeftTime, Count: 33, WithoutToken: 8},
		}
}

// withUsers is refuted, with clients that do all that clients can, and more tenants than can be told apart.
func withUsers() *results.Report {
	r := refuted()
	for i := range r.Phases {
		r.Phases[i].Answers, r.Phases[i].Echoed = 1000, 993-i
	}
	p := &r.Phases[1]
	p.Cancelled, p.Unstreamed = 67, 90
	p.Attempts, p.Wasted, p.Conversations, p.Left = clients()
	r.Phases[2].Attempts = &results.AttemptStats{Requests: 1498, Attempts: 1511, Lost: []results.LostStats{{Outcome: results.IdleTimeout, Count: 12}, {Outcome: results.Connect, Count: 1}}}
	r.Slices = nil
	for i := range 50 {
		r.Slices = append(r.Slices, slice("tenant", fmt.Sprintf("t%02d", i), results.Fault, 20, 0.5+float64(i)/100, 1.5, 80))
	}
	r.Slices = append(r.Slices, slice("tenant", results.OtherValue, results.Fault, 900, 0.97, 1.5, 80), slice("tenant", results.NoValue, results.Fault, 90, 0.2, 1.5, 80))
	r.Slices[len(r.Slices)-1].Given = true
	return r
}

// unsteady is the report of a run that injected nothing.
func unsteady() *results.Report {
	r := refuted()
	r.Verdict, r.Exit, r.Overrides = results.Undecided, results.ExitNotSteady, nil
	r.Why = `success{tier="paid"} >= 99% during fault does not hold in baseline: 92.1 % of 752`
	r.Phases, r.Slices, r.Faults = r.Phases[:1], r.Slices[:2], nil
	r.Findings = []results.Finding{{
		Claim: `success{tier="paid"} >= 99% during fault`, Observed: "92.1 %", Bound: ">= 99 %", N: 752,
		Why: "judged over the baseline: it must hold before anything is broken",
	}}
	r.Events = []results.Event{{At: 20 * time.Second, Kind: results.EventGate, Claim: `success{tier="paid"} >= 99%`, Detail: "92.1 % of 752"}}
	return r
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./results -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; go test ./results -update rewrites it):\n%s", path, diff)
	}
}

// What a user sees: golden screens, of at most 110 columns, without trailing spaces.
func TestWriteTable(t *testing.T) {
	for _, tt := range []struct {
		name   string
		report *results.Report
		opts   results.TableOptions
	}{
		{"refuted", refuted(), results.TableOptions{}},
		{"refuted-color", refuted(), results.TableOptions{Color: true}},
		{"harm", harmed(), results.TableOptions{}},
		{"users", withUsers(), results.TableOptions{}},
		{"unsteady", unsteady(), results.TableOptions{}},
		{"zero", &results.Report{}, results.TableOptions{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := tt.report.WriteTable(&out, tt.opts); err != nil {
				t.Fatalf("WriteTable: %v", err)
			}
			golden(t, tt.name+".golden", out.Bytes())
			for line := range strings.Lines(out.String()) {
				line = strings.TrimSuffix(line, "\n")
				if strings.TrimRight(line, " \t") != line {
					t.Errorf("line %q has a trailing space", line)
				}
				if n := utf8.RuneCountInString(line); n > 110 && !tt.opts.Color {
					t.Errorf("line %q has %d columns; want at most 110", line, n)
				}
				if !tt.opts.Color && strings.Contains(line, "\x1b") {
					t.Errorf("line %q has an escape; no colour was asked for", line)
				}
			}
			if strings.Contains(out.String(), "\x1b[31mCUDA") {
				t.Error("a server's escape sequence reached the terminal")
			}
		})
	}
}

// Golden too: other programs read it.
func TestWriteJSON(t *testing.T) {
	for name, r := range map[string]*results.Report{"refuted.json": refuted(), "zero.json": {}, "users.json": attackedByUsers()} {
		var out, again bytes.Buffer
		if err := r.WriteJSON(&out); err != nil {
			t.Fatalf("%s: WriteJSON: %v", name, err)
		}
		golden(t, name+".golden", out.Bytes())
		var back results.Report
		if err := json.Unmarshal(out.Bytes(), &back); err != nil {
			t.Fatalf("%s: json.Unmarshal of WriteJSON: %v", name, err)
		}
		if err := back.WriteJSON(&again); err != nil || again.String() != out.String() {
			t.Errorf("%s: WriteJSON of what was read back (%v) (-want +got):\n%s", name, err, cmp.Diff(out.String(), again.String()))
		}
	}
	var out bytes.Buffer
	if err := (&results.Report{Phases: []results.PhaseStats{{Success: math.NaN()}}}).WriteJSON(&out); err == nil {
		t.Error("WriteJSON of a NaN = nil; want an error")
	}
}

// A table alone, as the lists of drills and faults use it.
func TestTable(t *testing.T) {
	var out bytes.Buffer
	err := results.Table(&out, []string{"kind", "what it does"}, [][]string{
		{"region.kill", "kills\ta region's\nprocess"}, {"config_push"}, {"µ", "writes a\x1b[31m bad config"},
	})
	want := strings.Join([]string{
		" kind         what it does",
		"───────────────────────────────────────",
		" region.kill  kills a region's process",
		" config_push",
		" µ            writes a [31m bad config",
		"",
	}, "\n")
	if diff := cmp.Diff(want, out.String()); err != nil || diff != "" {
		t.Errorf("Table = %v (-want +got):\n%s", err, diff)
	}
}

// What to do depends on what became of the faults.
func TestTheTableAdvises(t *testing.T) {
	const (
		undo = "Something may still be broken: see FAULTS, and run `failwhale revert`."
		left = "drifted: someone else changed it meanwhile, and it was left as it is: the original is in the journal's entry."
		look = "run `failwhale revert`; if it finds nothing to undo, the reaper has undone it"
	)
	fault := func(injected time.Duration, r results.Restored) results.FaultReport {
		return results.FaultReport{ID: "f", Kind: "config.push", Injected: injected, Restored: r}
	}
	never := fault(0, "")
	for name, tc := range map[string]struct {
		report results.Report
		want   []string
	}{
		"held":     {results.Report{Faults: []results.FaultReport{fault(1, results.RestoredOK)}}, nil},
		"drifted":  {results.Report{Exit: results.ExitHarm, Faults: []results.FaultReport{fault(1, results.RestoredDrift), never}}, []string{left}},
		"failed":   {results.Report{Exit: results.ExitHarm, Faults: []results.FaultReport{fault(1, results.RestoredFailed), never}}, []string{undo}},
		"in force": {results.Report{Exit: results.ExitHarm, Faults: []results.FaultReport{fault(1, "")}}, []string{undo}},
		"both": {
			results.Report{Exit: results.ExitHarm, Faults: []results.FaultReport{fault(1, results.RestoredDrift), fault(1, results.RestoredFailed)}},
			[]string{undo, left},
		},
		"killed":               {results.Report{Torn: true, Exit: results.ExitRefuted, Faults: []results.FaultReport{fault(1, "")}}, []string{look}},
		"killed, and said so":  {results.Report{Torn: true, Why: "so " + results.AfterAKill, Faults: []results.FaultReport{fault(1, "")}}, []string{look}},
		"killed before a harm": {results.Report{Torn: true, Exit: results.ExitUndecided, Faults: []results.FaultReport{never}}, nil},
	} {
		var out bytes.Buffer
		if err := tc.report.WriteTable(&out, results.TableOptions{}); err != nil {
			t.Fatalf("%s: WriteTable: %v", name, err)
		}
		text := strings.Join(strings.Fields(out.String()), " ")
		for _, words := range []string{undo, left, look} {
			want := 0
			if slices.Contains(tc.want, words) {
				want = 1
			}
			if got := strings.Count(text, words); got != want {
				t.Errorf("%s: the table says %d times %q; want %d\n%s", name, got, words, want, out.String())
			}
		}
	}
}

type brokenPipe struct{}

var errBroken = errors.New("broken pipe")

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

// A writer's error is told.
func TestTablesTellErrors(t *testing.T) {
	r := refuted()
	for name, err := range map[string]error{
		"WriteTable": r.WriteTable(brokenPipe{}, results.TableOptions{}),
		"WriteJSON":  r.WriteJSON(brokenPipe{}),
		"Table":      results.Table(brokenPipe{}, []string{"a"}, nil),
	} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s to a broken pipe = %v; want %v", name, err, errBroken)
		}
	}
}

// Shares never look like none or all when they are not.
func TestPercent(t *testing.T) {
	for _, tt := range []struct {
		in   float64
		want string
	}{
		{0, "0 %"},
		{1, "100 %"},
		{0.972, "97.2 %"},
		{0.9996, "99.96 %"},
		{0.999999, "99.9999 %"},
		{0.0004, "0.04 %"},
		{0.00001, "0.001 %"},
		{1.04, "104.0 %"},
		{0.5, "50.0 %"},
		{1e-15, "0.000000000 %"},
		{math.NaN(), "–"},
	} {
		if got := results.Percent(tt.in); got != tt.want {
			t.Errorf("Percent(%v) = %q; want %q", tt.in, got, tt.want)
		}
	}
}

// A reason that the headline has is not repeated under every hypothesis; one answer is no answers.
func TestTheHeadlinesReasonIsSaidOnce(t *testing.T) {
	const why = "fault f could not be put in force"
	r := &results.Report{Why: why, EarlyLeaks: 1, Findings: []results.Finding{{Claim: "a", Why: why}, {Claim: "b", Why: why}, {Claim: "c", Why: "another"}}}
	var out bytes.Buffer
	if err := r.WriteTable(&out, results.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Count(text, why) != 1 || !strings.Contains(text, "another") || !strings.Contains(text, "\n1 ANSWER WAS ANOTHER USER'S: 1 in warmup\n") {
		t.Errorf("want %q once, another reason, and one leak in the warm-up:\n%s", why, text)
	}
}
