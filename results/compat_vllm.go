package results

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A VLLM is a Sink that says of the same requests what `vllm bench serve --backend openai-chat` would
// have said, by its definitions, which are not ours (vllm/benchmarks/serve.py and lib/endpoint_request_func.py
// as of autumn 2026):
//
//   - Successful is a status of exactly 200 in whose stream at least one chunk came that has choices, and no
//     exception: so a stream that was cut in order, an error event after the first chunk, another user's answer.
//     What we gave up (idle_timeout, deadline) is failed here; vLLM would have waited for up to six hours.
//     What we cancelled, by plan or at the end of the run, is in neither, tokens and all; nor is what asked for an
//     answer in one piece: that backend asks for streams alone.
//   - TTFT runs from when the request was sent to the first such chunk, also if that is the role's and carries no text.
//   - ITL are the gaps between all such chunks, pooled, whatever they carry, also between chunks of one read.
//   - TPOT is (latency − TTFT) / (output tokens − 1), of answers with more than one token.
//   - E2EL runs to the last such chunk.
//   - Peaks: chunks in the fullest second, and requests that were under way at any time of the same second, which are
//     many more than were so at once. Seconds count from the first send, here to 10 ms.
//   - Rates divide by the time from when the first request was due until the last one ended.
//
// What cannot be told from a Sample: a finish_reason that comes in a chunk of its own ends vLLM's E2EL and
// is one more ITL, and here is neither. Where no usage came vLLM tokenizes the text, and here Sample.Tokens counts.
// Prompt tokens are those of the usage. A retried request counts once, from its first send, with the tokens of its last attempt;
// vLLM retries and hedges none. The turns of a conversation are requests like all others.
// Means and deviations are exact, quantiles to 0.1 %, between two values as numpy has them.
//
// The zero value is ready. It keeps no sample, is not safe for concurrent use, and Add never fails.
type VLLM struct {
	// TTFT, TPOT and E2EL are bounds of goodput, as --goodput has them. Optional; with none there is no goodput.
	TTFT, TPOT, E2EL time.Duration

	failed, good          int
	wrong                 map[Outcome]int // successful, and yet not complete
	input, output         int
	ttft, tpot, itl, e2el vllmMetric
	due, done             time.Duration // the first and the last
	any                   bool
	ticks                 map[int64]vllmTick
}

// vllmTick is what peaks are counted by. It bounds what they cost: two numbers a tick, however many requests.
type vllmTick struct{ chunks, starts, ends int }

const vllmTickLength = 10 * time.Millisecond

// A vllmMetric holds one of the four.
type vllmMetric struct {
	Distribution
	squares float64 // sum of squared deviations from the running mean, after Welford
	average float64
}

func (m *vllmMetric) add(d time.Duration) {
	x := max(0, d.Seconds())
	m.Add(x)
	delta := x - m.average
	m.average += delta / float64(m.N())
	m.squares += delta * (x - m.average)
}

// Add counts a sample; other records are not its concern.
func (v *VLLM) Add(rec Record) error {
	s := rec.Sample
	if s == nil || !s.Counted() || s.Unstreamed {
		return nil
	}
	if !v.any || s.Due < v.due {
		v.due = s.Due
	}
	v.any, v.done = true, max(v.done, s.Done)
	first, rest, ok := vllmChunks(s)
	if !ok {
		v.failed++
		return nil
	}
	if s.Outcome != Complete {
		if v.wrong == nil {
			v.wrong = map[Outcome]int{}
		}
		v.wrong[s.Outcome]++
	}
	last := first
	for _, c := range rest {
		v.itl.add(c.At - last)
		last = c.At
	}
	tokens := max(1, s.Tokens())
	var tpot time.Duration
	if tokens > 1 {
		tpot = (last - first) / time.Duration(tokens-1)
		v.tpot.add(tpot)
	}
	v.ttft.add(first - s.Sent)
	v.e2el.add(last - s.Sent)
	v.input += s.Usage.Prompt
	v.output += tokens
	if (v.TTFT == 0 || first-s.Sent <= v.TTFT) && (v.TPOT == 0 || tpot <= v.TPOT) && (v.E2EL == 0 || last-s.Sent <= v.E2EL) {
		v.good++
	}
	v.peaks(s.Sent, first, rest, last)
	return nil
}

// vllmChunks are the chunks with choices: when the first came, and the rest. ok is false where vLLM counts
// the request as failed.
func vllmChunks(s *Sample) (first time.Duration, rest []Chunk, ok bool) {
	switch s.Outcome {
	case Complete, StreamError, Truncated, Empty, LengthMismatch, WrongUser, WrongAnswer:
	default:
		return 0, nil, false // an exception, or nothing came
	}
	switch {
	case s.Status != http.StatusOK:
		return 0, nil, false
	case s.Role != 0:
		return s.Role, s.Chunks, true
	case len(s.Chunks) > 0:
		return s.Chunks[0].At, s.Chunks[1:], true
	default:
		return 0, nil, false
	}
}

// peaks notes what happened when.
func (v *VLLM) peaks(sent, first time.Duration, rest []Chunk, last time.Duration) {
	if v.ticks == nil {
		v.ticks = map[int64]vllmTick{}
	}
	at := func(d time.Duration, change func(*vllmTick)) {
		n := int64(d / vllmTickLength)
		tick := v.ticks[n]
		change(&tick)
		v.ticks[n] = tick
	}
	chunk := func(t *vllmTick) { t.chunks++ }
	at(sent, func(t *vllmTick) { t.starts++ })
	at(last, func(t *vllmTick) { t.ends++ })
	at(first, chunk)
	for _, c := range rest {
		at(c.At, chunk)
	}
}

// peak gives the most chunks in a second, counted from the first start, and the most requests in one.
func (v *VLLM) peak() (chunks float64, requests int) {
	var now vllmTick // of a second: its chunks and ends, and what had started by its end and not ended before it
	begin, second := int64(-1), int64(0)
	for _, n := range slices.Sorted(maps.Keys(v.ticks)) {
		if begin < 0 { // nothing comes before the first start
			begin = n
		}
		if s := (n - begin) / int64(time.Second/vllmTickLength); s != second {
			now, second = vllmTick{starts: now.starts - now.ends}, s
		}
		tick := v.ticks[n]
		now = vllmTick{now.chunks + tick.chunks, now.starts + tick.starts, now.ends + tick.ends}
		chunks, requests = max(chunks, float64(now.chunks)), max(requests, now.starts)
	}
	return chunks, requests
}

// VLLMReport is what vLLM's benchmark says at its end. Its JSON has the keys of vLLM's own result file,
// so that scripts which read that can read this.
type VLLMReport struct {
	Prompts           int      `json:"num_prompts"`
	Duration          float64  `json:"duration"` // seconds
	Completed         int      `json:"completed"`
	Failed            int      `json:"failed"`
	InputTokens       int      `json:"total_input_tokens"`
	OutputTokens      int      `json:"total_output_tokens"`
	RequestThroughput float64  `json:"request_throughput"`
	RequestGoodput    *float64 `json:"request_goodput"` // null: no bounds were given
	OutputThroughput  float64  `json:"output_throughput"`
	TotalThroughput   float64  `json:"total_token_throughput"`
	PeakOutput        float64  `json:"max_output_tokens_per_s"` // chunks, not tokens
	PeakConcurrency   int      `json:"max_concurrent_requests"`

	MeanTTFT   float64 `json:"mean_ttft_ms"`
	MedianTTFT float64 `json:"median_ttft_ms"`
	StdTTFT    float64 `json:"std_ttft_ms"`
	P99TTFT    float64 `json:"p99_ttft_ms"`
	MeanTPOT   float64 `json:"mean_tpot_ms"`
	MedianTPOT float64 `json:"median_tpot_ms"`
	StdTPOT    float64 `json:"std_tpot_ms"`
	P99TPOT    float64 `json:"p99_tpot_ms"`
	MeanITL    float64 `json:"mean_itl_ms"`
	MedianITL  float64 `json:"median_itl_ms"`
	StdITL     float64 `json:"std_itl_ms"`
	P99ITL     float64 `json:"p99_itl_ms"`
	MeanE2EL   float64 `json:"mean_e2el_ms"`
	MedianE2EL float64 `json:"median_e2el_ms"`
	StdE2EL    float64 `json:"std_e2el_ms"`
	P99E2EL    float64 `json:"p99_e2el_ms"`

	// Wrong are the outcomes of the requests in Completed that were not complete, most frequent first. vLLM has no
	// such thing.
	Wrong []OutcomeStats `json:"completed_but_not_complete"`
}

// Report is what the samples so far come to.
func (v *VLLM) Report() VLLMReport {
	r := VLLMReport{
		Completed: v.ttft.N(), Failed: v.failed, InputTokens: v.input, OutputTokens: v.output,
		Duration: (v.done - v.due).Seconds(), Wrong: []OutcomeStats{},
	}
	r.Prompts = r.Completed + r.Failed
	r.PeakOutput, r.PeakConcurrency = v.peak()
	rate := func(n int) float64 {
		if r.Duration <= 0 {
			return 0
		}
		return float64(n) / r.Duration
	}
	r.RequestThroughput, r.OutputThroughput, r.TotalThroughput = rate(r.Completed), rate(v.output), rate(v.input+v.output)
	if v.TTFT != 0 || v.TPOT != 0 || v.E2EL != 0 {
		goodput := rate(v.good)
		r.RequestGoodput = &goodput
	}
	r.MeanTTFT, r.MedianTTFT, r.StdTTFT, r.P99TTFT = v.ttft.figures()
	r.MeanTPOT, r.MedianTPOT, r.StdTPOT, r.P99TPOT = v.tpot.figures()
	r.MeanITL, r.MedianITL, r.StdITL, r.P99ITL = v.itl.figures()
	r.MeanE2EL, r.MedianE2EL, r.StdE2EL, r.P99E2EL = v.e2el.figures()
	for _, o := range Outcomes() {
		if n := v.wrong[o]; n > 0 {
			r.Wrong = append(r.Wrong, OutcomeStats{Outcome: o, Count: n})
		}
	}
	slices.SortStableFunc(r.Wrong, func(a, b OutcomeStats) int { return b.Count - a.Count })
	return r
}

// figures are in milliseconds; all are 0 where nothing was measured.
func (m *vllmMetric) figures() (mean, median, std, p99 float64) {
	if m.N() > 0 {
		std = math.Sqrt(m.squares / float64(m.N()))
	}
	return m.Mean() * 1e3, m.percentile(0.5) * 1e3, std * 1e3, m.percentile(0.99) * 1e3
}

// percentile lies between the two values nearest to its place, as numpy's default method has it.
func (m *vllmMetric) percentile(q float64) float64 {
	if m.N() == 0 {
		return 0
	}
	at := q * float64(m.N()-1)
	below := math.Floor(at)
	nth := func(i float64) float64 { return m.Quantile(min(1, (i+0.5)/float64(m.N()))) }
	low := nth(below)
	return low + (at-below)*(nth(below+1)-low)
}

// lateShare is how many of the tokens may come after a load's end before that must be said beside rates.
const lateShare = 0.1

// span says over which time the rates are taken, and beside it over which ours of the same load are, if own is of a
// load alone.
func (r *VLLMReport) span(own *Report) string {
	if own == nil || len(own.Phases) != 1 || r.Completed == 0 || own.Phases[0].Duration <= 0 {
		return ""
	}
	p := &own.Phases[0]
	said := fmt.Sprintf(" Its rates are over the whole time until the last answer (%s), ours over the %s of load", at(time.Duration(r.Duration*float64(time.Second))), at(p.Duration))
	late := 1 - p.TokensPerSecond*p.Duration.Seconds()/float64(max(1, r.OutputTokens))
	if late > lateShare {
		said += fmt.Sprintf("; %d tokens in all, of which %.0f %% came after the load had ended", r.OutputTokens, 100*late)
	}
	return said + "."
}

// Write says what differs from our own figures, then prints the block that vLLM's benchmark ends with. own is the
// report of the same requests; nil: it is not compared with.
func (r *VLLMReport) Write(w io.Writer, own *Report) error {
	var b bytes.Buffer
	wrong := 0
	for _, o := range r.Wrong {
		wrong += o.Count
	}
	said := "By vllm bench's definitions no request was successful."
	if r.Completed > 0 {
		said = fmt.Sprintf("By vllm bench's definitions %d requests were successful; %s of them were not complete%s.", r.Completed, part(wrong, r.Completed), kinds(r.Wrong))
	}
	said += " Its clock starts at the send, not when a request was due; a role chunk ends its TTFT; its ITL has the gap before every chunk, also within one read." + r.span(own)
	for _, line := range wrap(said, screenWidth) {
		fmt.Fprintln(&b, line)
	}
	fmt.Fprintln(&b, vllmRule(" Serving Benchmark Result ", "="))
	count := func(name string, n int) { fmt.Fprintf(&b, "%-40s %-10d\n", name+":", n) }
	figure := func(name string, x float64) { fmt.Fprintf(&b, "%-40s %-10.2f\n", name+":", x) }
	count("Successful requests", r.Completed)
	count("Failed requests", r.Failed)
	figure("Benchmark duration (s)", r.Duration)
	count("Total input tokens", r.InputTokens)
	count("Total generated tokens", r.OutputTokens)
	figure("Request throughput (req/s)", r.RequestThroughput)
	if r.RequestGoodput != nil {
		figure("Request goodput (req/s)", *r.RequestGoodput)
	}
	figure("Output token throughput (tok/s)", r.OutputThroughput)
	figure("Peak output token throughput (tok/s)", r.PeakOutput)
	figure("Peak concurrent requests", float64(r.PeakConcurrency))
	figure("Total token throughput (tok/s)", r.TotalThroughput)
	for _, m := range []struct {
		title, name       string
		mean, median, p99 float64
	}{
		{"Time to First Token", "TTFT", r.MeanTTFT, r.MedianTTFT, r.P99TTFT},
		{"Time per Output Token (excl. 1st token)", "TPOT", r.MeanTPOT, r.MedianTPOT, r.P99TPOT},
		{"Inter-token Latency", "ITL", r.MeanITL, r.MedianITL, r.P99ITL},
		{"End-to-end Latency", "E2EL", r.MeanE2EL, r.MedianE2EL, r.P99E2EL},
	} {
		fmt.Fprintln(&b, vllmRule(m.title, "-"))
		figure("Mean "+m.name+" (ms)", m.mean)
		figure("Median "+m.name+" (ms)", m.median)
		figure("P99 "+m.name+" (ms)", m.p99)
	}
	fmt.Fprintln(&b, strings.Repeat("=", vllmWidth))
	_, err := w.Write(trimLines(b.Bytes()))
	return err
}

// vllmWidth is how wide vLLM's block is.
const vllmWidth = 50

// vllmRule centres a title in a rule.
func vllmRule(title, rule string) string {
	left := (vllmWidth - len(title)) / 2
	return strings.Repeat(rule, left) + title + strings.Repeat(rule, vllmWidth-left-len(title))
}

// WriteJSON writes vLLM's keys, and our own report beside them as "failwhale".
func (r *VLLMReport) WriteJSON(w io.Writer, own *Report) error {
	return writeIndented(w, struct {
		*VLLMReport
		Own *Report `json:"failwhale"`
	}{r, own.listed()})
}
