package results_test

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/failwhale/failwhale/results"
)

// Servers stand beside us, a line for each phase; what is not known is a dash, and what is the same in several is said once.
func TestServerTable(t *testing.T) {
	theirs := results.ServerTimes{N: 40, Mean: 0.0249, P50: results.BucketQuantile{Value: 0.0298, From: 0.02, To: 0.04}}
	ours := results.OursStats{TTFT: quantiles(40, 0.0251, 0.03, 0.04, 0.05), Tokens: 1034}
	fewer := "it counts fewer tokens than came to us"
	r := results.Report{
		Version: 1, Experiment: "x", Started: time.Unix(0, 0),
		Self:   &results.SelfStats{Pauses: 41, P99: results.BucketQuantile{Value: 0.0002, To: 0.0003}, Longest: 0.0009},
		Phases: []results.PhaseStats{{Phase: results.Baseline}, {Phase: results.Fault}},
		Server: []results.ServerStats{
			{
				Phase: results.Baseline, Labels: results.Labels{"region": "east"}, Sources: []string{"e"}, Readings: 10, TTFT: theirs, Ours: ours, Apart: 0.0002,
				Waiting: results.Level{N: 10, P50: 1, Max: 3}, KVUsage: results.Level{N: 10, Max: 0.421},
				Counts: map[string]float64{results.SignalOutputTokens: 1030}, Notes: []string{fewer},
			},
			{
				Phase: results.Fault, Labels: results.Labels{"region": "east"}, Sources: []string{"e"}, Restarts: 1, TTFT: theirs, Ours: ours, Apart: -0.0002,
				Notes: []string{fewer}, Error: "GET http://e/metrics: connection \x1b[31mrefused",
			},
			{Phase: results.Baseline, Sources: []string{"a", "b"}},
			{Phase: results.Baseline, Sources: []string{"gone"}, Error: "connection refused"},
			{Phase: results.Baseline, Labels: results.Labels{"region": "a-region-with-a-name-that-is-far-too-long"}, Sources: []string{"c"}},
		},
	}
	r.Server[1].TTFT.P50 = results.BucketQuantile{Value: 80, From: 80, To: results.Seconds(math.Inf(1))}
	var out strings.Builder
	if err := r.WriteTable(&out, results.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(out.String(), "SERVER")
	const want = `  its own figures beside ours: ttft from arrival there, and from sent; p50 by buckets; waiting, kv: most
                               ttft mean     ours    apart      p50     ours  tokens  ours  waiting      kv
────────────────────────────────────────────────────────────────────────────────────────────────────────────
 region=east         baseline    24.9 ms  25.1 ms  +200 µs  29.8 ms  25.1 ms    1030  1034        3  42.1 %
                     fault       24.9 ms  25.1 ms  -200 µs  >80.0 s  25.1 ms       –  1034        –       –
 2 pages             baseline          –        –        –        –        –       –     0        –       –
 region…ar-too-long  baseline          –        –        –        –        –       –     0        –       –
   region=east in baseline, region=east in fault: it counts fewer tokens than came to us
   region=east in fault: its counters began anew
   region=east in fault: not always to be read: GET http://e/metrics: connection [31mrefused
   gone in baseline: never read: connection refused
`
	if table != want {
		t.Errorf("the table is\n%s\nwant\n%s", table, want)
	}
	for line := range strings.Lines(table) {
		if n := utf8.RuneCountInString(line); n > 111 {
			t.Errorf("a line of %d characters: %s", n, line)
		}
	}
	out.Reset()
	r.Server = r.Server[:1]
	if err := r.WriteLoad(&out, results.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	_, table, _ = strings.Cut(out.String(), "SERVER")
	const load = `  its own figures beside ours: ttft from arrival there, and from sent; p50 by buckets; waiting, kv: most
              ttft mean     ours    apart      p50     ours  tokens  ours  waiting      kv
───────────────────────────────────────────────────────────────────────────────────────────
 region=east    24.9 ms  25.1 ms  +200 µs  29.8 ms  25.1 ms    1030  1034        3  42.1 %
   region=east: it counts fewer tokens than came to us
`
	if table != load {
		t.Errorf("the table of a load is\n%s\nwant\n%s", table, load)
	}
	if want := "our own garbage collector: 41 pauses, p99 200 µs, longest 900 µs\n"; !strings.Contains(out.String(), want) {
		t.Errorf("the report lacks %q:\n%s", want, out.String())
	}
}

// Where no load of ours was put on, there is nothing beside a server's own figures.
func TestServerTableWithoutALoad(t *testing.T) {
	r := results.Report{
		Version: 1, Experiment: "x", NoLoad: true, Started: time.Unix(0, 0), Phases: []results.PhaseStats{{Phase: results.Baseline}},
		Server: []results.ServerStats{
			{
				Phase: results.Baseline, Sources: []string{"b"}, Readings: 10,
				TTFT:   results.ServerTimes{N: 40, Mean: 0.0249, P50: results.BucketQuantile{Value: 0.0298, From: 0.02, To: 0.04}},
				Counts: map[string]float64{results.SignalOutputTokens: 1030, results.SignalDone: 38, results.SignalFailed: 2},
			},
			{Phase: results.Fault, Sources: []string{"b"}, Readings: 10, Counts: map[string]float64{results.SignalDone: 12}},
		},
	}
	var out strings.Builder
	if err := r.WriteTable(&out, results.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(out.String(), "SERVER")
	const want = `  its own figures: ttft from arrival there; p50 by buckets; waiting, kv: most
              done  failed  ttft mean      p50  tokens  waiting  kv
────────────────────────────────────────────────────────────────────
 b  baseline    38       2    24.9 ms  29.8 ms    1030        –   –
    fault       12       –          –        –       –        –   –
`
	if table != want {
		t.Errorf("the table is\n%s\nwant\n%s", table, want)
	}
}

// Of pages that never answered there is a sentence, and no row of dashes.
func TestServersThatWereNeverReadHaveNoRow(t *testing.T) {
	r := results.Report{Server: []results.ServerStats{{Phase: results.Baseline, Sources: []string{"a"}, Error: "connection refused"}}}
	var out strings.Builder
	if err := r.WriteLoad(&out, results.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, got, _ := strings.Cut(out.String(), "SERVER"); got != "\n   a: never read: connection refused\n" {
		t.Errorf("below SERVER is %q; want why it was never read, and nothing else", got)
	}
}
