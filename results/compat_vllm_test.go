package results_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/failwhale/failwhale/results"
)

// replied is a request of status 200; the first chunk is the role's where role is more than 0. Times in ms.
func replied(o results.Outcome, due, sent, role, done int, chunks ...int) *results.Sample {
	at := func(x int) time.Duration { return time.Duration(x) * ms }
	s := &results.Sample{Due: at(due), Sent: at(sent), Role: at(role), Done: at(done), Status: 200, Outcome: o}
	for i, c := range chunks {
		s.Chunks = append(s.Chunks, results.Chunk{At: at(c), Tokens: 1, Coalesced: i > 0 && c == chunks[i-1]})
	}
	return s
}

func vllmSamples() []*results.Sample {
	counted := replied(results.Complete, 0, 100, 200, 450, 300, 400, 400)
	counted.Usage = results.Usage{Prompt: 10, Output: 3, Source: results.UsageServer}
	refused := replied(results.HTTPStatus, 1000, 1000, 0, 1100)
	refused.Status = 500
	created := replied(results.Complete, 1000, 1000, 0, 1300, 1200)
	created.Status = 201
	return []*results.Sample{
		counted,
		replied(results.Truncated, 900, 1000, 0, 1700, 1500, 1600),
		replied(results.StreamError, 2000, 2000, 2200, 2300), // after the role chunk
		replied(results.StreamError, 2000, 2000, 0, 2300),    // before any chunk
		replied(results.Reset, 1000, 1000, 0, 1400, 1300),
		replied(results.Cancelled, 1000, 1000, 0, 1400, 1300),
		refused, created,
		left(results.LeftTokens, 110), whole(results.Complete, 200, 300), // these are not in it
	}
}

func vllmReport(t *testing.T, v *results.VLLM, samples []*results.Sample) results.VLLMReport {
	t.Helper()
	for _, s := range samples {
		if err := v.Add(results.Record{Sample: s}); err != nil {
			t.Fatalf("Add: %v", err)
		}
	}
	for _, rec := range []results.Record{{Event: &results.Event{}}, {Header: &results.Header{}}} {
		if err := v.Add(rec); err != nil {
			t.Fatalf("Add: %v", err)
		}
	}
	return v.Report()
}

// Worked out by hand from vLLM's code.
func TestVLLMByHand(t *testing.T) {
	got := vllmReport(t, &results.VLLM{TTFT: 150 * ms}, vllmSamples())
	goodput := 1 / 2.3
	want := results.VLLMReport{
		Prompts: 7, Completed: 3, Failed: 4, Duration: 2.3, InputTokens: 10, OutputTokens: 3 + 2 + 1,
		RequestThroughput: 3 / 2.3, RequestGoodput: &goodput, OutputThroughput: 6 / 2.3, TotalThroughput: 16 / 2.3,
		// Seconds from the first send: 4 chunks in the first, 2 in the second, 1 in the third; the second request was
		// under way in the first and the second, the third in the second and the third.
		PeakOutput: 4, PeakConcurrency: 2,
		// 100, 500 and 200 ms; 100 and 100; 100, 100, 0 and 100; 300, 600 and 200.
		MeanTTFT: 800. / 3, MedianTTFT: 200, StdTTFT: 169.967, P99TTFT: 494,
		MeanTPOT: 100, MedianTPOT: 100, P99TPOT: 100,
		MeanITL: 75, MedianITL: 100, StdITL: 43.301, P99ITL: 100,
		MeanE2EL: 1100. / 3, MedianE2EL: 300, StdE2EL: 169.967, P99E2EL: 594,
		Wrong: []results.OutcomeStats{{Outcome: results.StreamError, Count: 1}, {Outcome: results.Truncated, Count: 1}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0.0011, 0.001)); diff != "" {
		t.Errorf("Report (-want +got):\n%s", diff)
	}
}

// What a user sees, and what a script that reads vLLM's result file does.
func TestVLLMWrites(t *testing.T) {
	r := vllmReport(t, &results.VLLM{TTFT: 150 * ms}, vllmSamples())
	var text, doc bytes.Buffer
	if err := r.Write(&text, nil); err != nil {
		t.Fatalf("Write: %v", err)
	}
	golden(t, "vllm.golden", text.Bytes())
	for rate, want := range map[float64]string{
		3: "(2.3 s), ours over the 1.0 s of load; 6 tokens in all, of which 50 % came after the load had ended.",
		6: "(2.3 s), ours over the 1.0 s of load.",
	} {
		text.Reset()
		own := &results.Report{Phases: []results.PhaseStats{{Phase: results.Baseline, Duration: time.Second, TokensPerSecond: rate}}}
		if err := r.Write(&text, own); err != nil || !strings.Contains(strings.ReplaceAll(text.String(), "\n", " "), want) {
			t.Errorf("Write beside a load of %g tokens/s = %v:\n%s\nwant it to say %q", rate, err, text.String(), want)
		}
	}
	text.Reset()
	if err := r.WriteJSON(&doc, attacked()); err != nil {
		t.Fatalf("WriteJSON: %v", err)
	}
	var keys map[string]any
	if err := json.Unmarshal(doc.Bytes(), &keys); err != nil {
		t.Fatalf("json.Unmarshal of WriteJSON: %v", err)
	}
	for _, key := range []string{
		"completed", "duration", "failed", "max_concurrent_requests", "max_output_tokens_per_s", "mean_e2el_ms", "mean_itl_ms",
		"mean_tpot_ms", "mean_ttft_ms", "median_e2el_ms", "median_itl_ms", "median_tpot_ms", "median_ttft_ms", "num_prompts", "output_throughput",
		"p99_e2el_ms", "p99_itl_ms", "p99_tpot_ms", "p99_ttft_ms", "request_goodput", "request_throughput", "std_e2el_ms", "std_itl_ms", "std_tpot_ms",
		"std_ttft_ms", "total_input_tokens", "total_output_tokens", "total_token_throughput", "failwhale",
	} {
		if _, ok := keys[key]; !ok {
			t.Errorf("WriteJSON has no key %q", key)
		}
	}
	var none results.VLLM
	empty := none.Report()
	text.Reset()
	if err := empty.Write(&text, nil); err != nil {
		t.Fatalf("Write of nothing: %v", err)
	}
	golden(t, "vllm-none.golden", text.Bytes())
	if err := empty.Write(brokenPipe{}, nil); err == nil {
		t.Error("Write to a broken pipe = nil; want an error")
	}
	if err := empty.WriteJSON(brokenPipe{}, attacked()); err == nil {
		t.Error("WriteJSON to a broken pipe = nil; want an error")
	}
}

// One pass over sketches comes to what vLLM's code does with all values in hand.
func TestVLLMAgainstAllValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var samples []*results.Sample
	var ttft, itl, e2el []float64
	starts, ends := []int{}, []int{}
	for i := range 2000 {
		sent := i * 20
		at := sent + 20 + rng.IntN(400)
		s := replied(results.Complete, sent, sent, at, 0)
		ttft = append(ttft, float64(at-sent))
		for range 1 + rng.IntN(50) {
			gap := rng.IntN(60)
			at += gap
			s.Chunks = append(s.Chunks, results.Chunk{At: time.Duration(at) * ms, Tokens: 1, Coalesced: gap == 0})
			itl = append(itl, float64(gap))
		}
		e2el = append(e2el, float64(at-sent))
		s.Done = time.Duration(at) * ms
		starts, ends = append(starts, sent), append(ends, at)
		samples = append(samples, s)
	}
	got := vllmReport(t, &results.VLLM{}, samples)
	for _, m := range []struct {
		name                   string
		all                    []float64
		mean, median, std, p99 float64
	}{
		{"ttft", ttft, got.MeanTTFT, got.MedianTTFT, got.StdTTFT, got.P99TTFT},
		{"itl", itl, got.MeanITL, got.MedianITL, got.StdITL, got.P99ITL},
		{"e2el", e2el, got.MeanE2EL, got.MedianE2EL, got.StdE2EL, got.P99E2EL},
	} {
		slices.Sort(m.all)
		n, mean, std := float64(len(m.all)), 0.0, 0.0
		for _, x := range m.all {
			mean += x / n
		}
		for _, x := range m.all {
			std += (x - mean) * (x - mean) / n
		}
		percentile := func(q float64) float64 {
			below, part := math.Modf(q * (n - 1))
			return m.all[int(below)]*(1-part) + m.all[min(int(below)+1, len(m.all)-1)]*part
		}
		want := []float64{mean, percentile(0.5), math.Sqrt(std), percentile(0.99)}
		if diff := cmp.Diff(want, []float64{m.mean, m.median, m.std, m.p99}, cmpopts.EquateApprox(0.005, 0)); diff != "" {
			t.Errorf("%s: mean, median, std, p99 (-want +got):\n%s", m.name, diff)
		}
	}
	perSecond := map[int]int{}
	for i := range starts {
		for second := starts[i] / 1000; second <= ends[i]/1000; second++ {
			perSecond[second]++
		}
	}
	if most := slices.Max(slices.Collect(maps.Values(perSecond))); got.PeakConcurrency != most {
		t.Errorf("PeakConcurrency = %d; want %d", got.PeakConcurrency, most)
	}
}

// A request that begins and ends with others between, over seconds in which nothing happens, is under way in all of them.
func TestVLLMPeaksOverSilence(t *testing.T) {
	got := vllmReport(t, &results.VLLM{}, []*results.Sample{
		replied(results.Complete, 0, 0, 0, 9000, 100, 9000),
		replied(results.Complete, 0, 200, 0, 300, 250),
		replied(results.Complete, 5000, 5000, 0, 5200, 5100),
		replied(results.Complete, 5300, 5300, 0, 5500, 5400),
	})
	if got.PeakConcurrency != 3 || got.PeakOutput != 2 {
		t.Errorf("peaks = %d requests, %v chunks; want 3 in the sixth second, 2", got.PeakConcurrency, got.PeakOutput)
	}
}
