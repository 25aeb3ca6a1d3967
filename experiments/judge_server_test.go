package experiments_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/results"
)

// twoPages is the handle of a stack whose two regions show metrics.
const twoPages = `{"version":1,"id":"x","endpoints":{"":{"url":"http://h"}},"metrics":{
	"east":{"url":"http://e/metrics","labels":{"region":"east"}},"west":{"url":"http://w/metrics","labels":{"region":"west"}}}}`

// A meter is a server's own count of what it has served, from which pages are read.
type meter struct {
	ttft   results.Histogram
	tokens float64
}

var meterBounds = []float64{0.025, 0.05, 0.075, 0.1, 0.25}

// serve counts a request as the server sees it.
func (m *meter) serve(ttft float64, tokens int) {
	if m.ttft.Bounds == nil {
		m.ttft = results.Histogram{Bounds: meterBounds, Counts: make([]uint64, len(meterBounds))}
	}
	m.ttft.Count++
	m.ttft.Sum += ttft
	for i, b := range meterBounds {
		if ttft <= b {
			m.ttft.Counts[i]++
		}
	}
	m.tokens += float64(tokens)
}

// reading is what the server's page says now.
func (m *meter) reading(at float64, page string, values map[string]float64) *results.Reading {
	all := map[string]float64{results.SignalOutputTokens: m.tokens}
	maps.Copy(all, values)
	h := m.ttft
	h.Counts = slices.Clone(h.Counts)
	return &results.Reading{
		At: sec(at), Source: page, Labels: results.Labels{"region": page}, Server: "vllm", Values: all,
		Histograms: map[string]results.Histogram{results.SignalTTFT: h.Compact()},
	}
}

// of says whose server served a request.
func of(region string, x *results.Sample) *results.Sample {
	x.Labels = results.Labels{"region": region}
	return x
}

// pages are two servers that see each request 20 ms after it was sent; the west's counters begin anew in the middle of
// the fault.
func pages(s *script) {
	s.stack = twoPages
	servers := map[string]*meter{"east": {}, "west": {}}
	requests := 0
	for at := 0.0; at <= loadEnd; at += 0.05 {
		region := []string{"east", "west"}[requests%2]
		s.add(of(region, served(at)))
		servers[region].serve(0.08, 10) // of the 0.1 s that we saw
		requests++
		if requests%20 > 1 {
			continue
		}
		if region == "west" && requests == 300 { // at 15 s: one died, and another took its place
			*servers["west"] = meter{}
			s.read(&results.Reading{At: sec(at), Source: "west", Labels: results.Labels{"region": "west"}, Error: "connection refused"})
			continue
		}
		s.read(servers[region].reading(at, region, map[string]float64{results.SignalWaiting: math.Floor(at), results.SignalKV: at / 100}))
	}
}

// serverOf picks what one region said in one phase.
func serverOf(t *testing.T, r *results.Report, region string, p results.Phase) results.ServerStats {
	t.Helper()
	for _, s := range r.Server {
		if s.Labels["region"] == region && s.Phase == p {
			return s
		}
	}
	t.Fatalf("no figures of %s in %s among %+v", region, p, r.Server)
	return results.ServerStats{}
}

func near(a, b, within float64) bool { return math.Abs(a-b) <= within }

// What a server counted within a phase stands beside what we saw of it within the phase.
func TestTheReportSetsServersBesideUs(t *testing.T) {
	s := newScript(anyClaim)
	pages(s)
	r := s.judge(t)
	if len(r.Server) != 6 {
		t.Fatalf("%d lines of servers' figures; want 6: two regions in three phases", len(r.Server))
	}
	base := serverOf(t, r, "east", results.Baseline)
	if base.Server != "vllm" || len(base.Sources) != 1 || base.Sources[0] != "east" || base.Readings < 6 {
		t.Errorf("baseline of east = %+v; want readings of vllm at east", base)
	}
	if ttft := base.TTFT; !near(float64(ttft.Mean), 0.08, 1e-9) || ttft.P50.From != 0.075 || ttft.P50.To != 0.1 {
		t.Errorf("TTFT of east = %+v; want a mean of 0.08 s, the median within 0.075 to 0.1", ttft)
	}
	if ours := base.Ours.TTFT; !near(float64(ours.Mean), 0.1, 2e-5) || !near(float64(base.Apart), 0.02, 2e-5) {
		t.Errorf("our TTFT = %+v, apart %s; want 0.1 s, 20 ms", ours, base.Apart)
	}
	// Seven seconds of ten requests a second, of ten tokens each.
	if theirs, ours := base.Counts[results.SignalOutputTokens], base.Ours.Tokens; !near(theirs, 700, 100) || !near(ours, 700, 20) {
		t.Errorf("tokens of east in baseline = %g, and ours %g; want about 700", theirs, ours)
	}
	if base.Waiting.Max < 8 || base.Waiting.Max > 10 || !near(base.KVUsage.Max, 0.095, 0.01) {
		t.Errorf("waiting %+v, kv %+v; want at most 9 or 10 %%, as at the end of baseline", base.Waiting, base.KVUsage)
	}
	if len(base.Notes) > 0 {
		t.Errorf("notes = %q; want none: 20 ms are within the bucket", base.Notes)
	}
}

// Counters that begin anew are counted on, in the phase in which they did, and what could not be read is told.
func TestServersCountersBeginAnew(t *testing.T) {
	s := newScript(anyClaim)
	pages(s)
	r := s.judge(t)
	fault := serverOf(t, r, "west", results.Fault)
	// A second's worth between the last reading and the death is lost.
	if got := fault.Counts[results.SignalOutputTokens]; fault.Restarts != 1 || fault.Error != "connection refused" || !near(got, 1050, 160) {
		t.Errorf("west in fault = %g tokens, %d restarts, error %q; want some 1050, 1, connection refused", got, fault.Restarts, fault.Error)
	}
	if east := serverOf(t, r, "east", results.Fault); east.Restarts != 0 || east.Error != "" {
		t.Errorf("east in fault = %+v; want no restart and no error", east)
	}
	var table strings.Builder
	if err := r.WriteTable(&table, results.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SERVER", "region=east", "region=west in fault: its counters began anew", "connection refused", "+20.0 ms"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
}

// A server that dies at a border of phases counts for the phase in which its successor is read.
func TestWhatARestartCountsIsTheLaterPhases(t *testing.T) {
	s := newScript(anyClaim)
	s.stack = twoPages
	var died, born meter
	died.serve(0.08, 100)
	born.serve(0.08, 7)
	s.read(died.reading(9.5, "east", nil))
	s.read(born.reading(10.2, "east", nil)) // their middle is in baseline
	r := s.judge(t)
	base, now := serverOf(t, r, "east", results.Baseline), serverOf(t, r, "east", results.Fault)
	if b, f := base.Counts[results.SignalOutputTokens], now.Counts[results.SignalOutputTokens]; b != 0 || f != 7 || now.Restarts != 1 {
		t.Errorf("a server that began anew by 10.2 s counts %v tokens in baseline, %v and %d restarts in the fault; want 0, 7, 1", b, f, now.Restarts)
	}
}

// What a request waited before its last try, the server that answered that one has not seen.
func TestRetriesAreNoTimesOfTheServer(t *testing.T) {
	s := newScript(anyClaim)
	s.stack = twoPages
	retried := of("east", served(5))
	retried.Attempts = []results.Attempt{{Sent: sec(5), Done: sec(5.05), Outcome: results.Connect}}
	s.add(of("east", served(4)), retried)
	var m meter
	s.read(m.reading(6, "east", nil))
	if ours := serverOf(t, s.judge(t), "east", results.Baseline).Ours; ours.TTFT.N != 1 || !near(ours.Tokens, 20, 1e-9) {
		t.Errorf("ours = %+v; want the TTFT of the one that was not retried, and the tokens of both", ours)
	}
}

// A difference that no bucket explains is said in words, with its direction and our own lag.
func TestDifferencesAreNoted(t *testing.T) {
	for _, tc := range []struct {
		name   string
		ttft   float64 // the server's
		sooner float64 // than 0.1, which ours is
		tokens int     // the server's of each request; ours are 10
		want   []string
	}{
		{"slow readers", 0.03, 0, 10, []string{"between the two lie the slow reading of all of our own clients (read), the network,"}},
		{"a slow reader", 0.03, 0, 10, []string{"between the two lie the slow reading of some of our own clients (read), the network,"}},
		{"slow readers and no difference", 0.09, 0, 10, nil},
		{"none", 0.09, 0, 10, nil},
		{"within the bucket", 0.0751, 0, 10, nil},
		{"just beyond the bucket", 0.03, 0.044, 10, nil}, // which ends at 0.05
		{"shorter", 0.03, 0, 10, []string{"is 62.5 ms shorter than ours: between the two lie the network, what stands in front of it, our own lag (p99 0 s), and requests that others served"}},
		{"longer", 0.3, 0, 10, []string{"is 150 ms longer than ours"}},
		{"fewer tokens", 0.09, 0, 5, []string{"fewer tokens than came to us: it may not have served all of them"}},
		{"more tokens", 0.09, 0, 20, []string{"more tokens than came to us"}},
		{"both", 0.03, 0, 20, []string{"shorter than ours", "more tokens"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(anyClaim)
			if strings.Contains(tc.name, "slow") {
				s.plan = strings.Replace(s.plan, "tier: paid", "tier: paid, read: 2KB/s", 1)
			}
			if strings.Contains(tc.name, "slow readers") {
				s.plan = strings.Replace(s.plan, "tier: free", "tier: free, read: 9KB/s", 1)
			}
			s.stack = twoPages
			m := &meter{}
			for i, at := 0, 0.0; at <= loadEnd; i, at = i+1, at+0.05 {
				x := of("east", served(at))
				x.Chunks[0].At -= sec(tc.sooner)
				s.add(x)
				m.serve(tc.ttft, tc.tokens)
				if i%5 == 0 {
					s.read(m.reading(at, "east", nil))
				}
			}
			notes := serverOf(t, s.judge(t), "east", results.Baseline).Notes
			if len(notes) != len(tc.want) {
				t.Fatalf("notes = %q; want %q", notes, tc.want)
			}
			for i, want := range tc.want {
				if !strings.Contains(notes[i], want) {
					t.Errorf("note %q; want it to say %q", notes[i], want)
				}
			}
		})
	}
}

// Pages with the same labels are one server to us: what they count is added, and set beside all that we saw of them.
func TestPagesWithTheSameLabelsAreTakenTogether(t *testing.T) {
	s := newScript(anyClaim)
	s.stack = `{"version":1,"id":"x","endpoints":{"":{"url":"http://h"}},"metrics":{"a":{"url":"http://a/metrics"},"b":{"url":"http://b/metrics"}}}`
	meters := map[string]*meter{"a": {}, "b": {}}
	i := 0
	for at := 0.0; at <= loadEnd; at += 0.05 {
		page := []string{"a", "b"}[i%2]
		s.add(served(at))
		meters[page].serve(0.09, 10)
		if i++; i%10 < 2 {
			r := meters[page].reading(at, page, map[string]float64{results.SignalRunning: 3})
			r.Labels = nil
			s.read(r)
		}
	}
	r := s.judge(t)
	if len(r.Server) != 3 {
		t.Fatalf("%d lines; want 3, one for each phase: %+v", len(r.Server), r.Server)
	}
	base := r.Server[0]
	if got := fmt.Sprint(base.Sources); got != "[a b]" || base.Running.Max != 6 {
		t.Errorf("baseline of %s with %g running; want [a b] and 6: three on each", got, base.Running.Max)
	}
	if theirs, ours := base.Counts[results.SignalOutputTokens], base.Ours.Tokens; !near(theirs, ours, 0.1*ours) || !near(ours, 1400, 40) {
		t.Errorf("tokens = %g, and ours %g; want 1400 of both", theirs, ours)
	}
}

// A process that says when it began has begun anew if it says another time, whatever its counters have come to since.
func TestAnotherProcessCountsFromNothing(t *testing.T) {
	s := newScript(anyClaim)
	for i, x := range []struct{ tokens, started float64 }{{100, 1000}, {150, 1000.001}, {400, 2000}, {500, 2000}} {
		s.read(&results.Reading{
			At: sec(4 + float64(i)), Source: "a", Values: map[string]float64{results.SignalOutputTokens: x.tokens, results.SignalStarted: x.started},
		})
	}
	s.steady(20)
	base := s.judge(t).Server[0]
	if got := base.Counts[results.SignalOutputTokens]; got != 50+400+100 || base.Restarts != 1 {
		t.Errorf("tokens = %g after %d restarts; want 550 after 1", got, base.Restarts)
	}
	if len(base.Notes) > 0 {
		t.Errorf("notes = %q; want none: what was lost with the process is not known", base.Notes)
	}
}

// Our own pauses of the judged phases are in the report, in JSON and beside the lag, and no server is made of them.
func TestTheReportHasOurOwnPauses(t *testing.T) {
	s := newScript(anyClaim)
	s.steady(20)
	if r := s.judge(t); r.Self != nil || len(r.Server) != 0 {
		t.Fatalf("self = %+v, server = %+v of a log without readings; want none", r.Self, r.Server)
	}
	pauses := results.Histogram{Bounds: []float64{0.0001, 0.0009, 0.5}, Counts: []uint64{0, 0, 0}}
	for at := 0; at <= loadEnd; at++ {
		switch {
		case at == 1: // in the warm-up: not ours to report
			pauses.Count++
			pauses.Counts[2]++
		case at > warm:
			pauses.Count += 2
			pauses.Counts[0]++
			pauses.Counts[1] += 2
			pauses.Counts[2] += 2
		}
		h := pauses
		h.Counts = slices.Clone(h.Counts)
		s.read(&results.Reading{
			At: sec(float64(at)), Source: results.Self, Histograms: map[string]results.Histogram{results.SignalGC: h},
			Values: map[string]float64{results.SignalHeap: 1e6 * float64(at), results.SignalCPU: 0.1 * float64(at), results.SignalGoroutines: 12},
		})
	}
	r := s.judge(t)
	if r.Self == nil || r.Self.Pauses != 56 || r.Self.Longest != 0.0009 || r.Self.HeapMax != 31e6 || !near(r.Self.CPU.Seconds(), 2.8, 1e-6) {
		t.Errorf("self = %+v; want 56 pauses of at most 0.9 ms, a heap of 31 MB, 2.8 s of CPU", r.Self)
	}
	var table strings.Builder
	if err := r.WriteTable(&table, results.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	if want := "our own garbage collector: 56 pauses, p99 884 µs, longest 900 µs"; !strings.Contains(table.String(), want) {
		t.Errorf("the table lacks %q:\n%s", want, table.String())
	}
	if len(r.Server) != 0 {
		t.Errorf("server = %+v; want none", r.Server)
	}
}
