package experiments

import (
	"math"
	"slices"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A want is a set of distributions that a tally keeps: a sketch costs memory and time, so a claim
// keeps only its own.
type want uint8

const (
	wantTTFT want = 1 << iota
	wantTTFTSent
	wantITL
	wantTPOT
	wantE2E
	wantStall
	wantLag
	wantE2ESent
	distributions = iota

	// wantReport is what PhaseStats shows, and the lag; wantSlice what it shows of a slice.
	wantReport = wantSlice | wantTTFTSent | wantE2ESent | wantLag
	wantSlice  = wantTTFT | wantITL | wantTPOT | wantE2E | wantStall
)

// A tally counts everything about one selection of samples in one window, in scalars and sketches:
// phases, slices, claims and windows of a recovery are all made of it. It never keeps a sample. The
// zero value keeps no distribution.
type tally struct {
	wants want
	// Requests that belong here.
	requests, complete, cancelled int
	cut, refused, leaks           int
	reconnects                    int
	clients                       clientTally
	outcomes, cutBy               [int(results.Cancelled) + 1]int // cutBy: of those that are in cut
	countedBy                     [len(usageSources)]int
	kept                          int            // complete within the SLO
	missed                        [sloBounds]int // complete, and not within that bound
	lengths                       [distributions]results.Distribution
	streams                       time.Duration // of complete requests, Sent to Done, summed
	// What happened here, to whichever requests: tokens by arrival, met and done by completion.
	tokens, goodTokens float64
	whole              float64 // of tokens, those of answers in one piece
	chunks, coalesced  int     // arrivals that brought the others; chunks that came with the one before
	met                int     // complete within the SLO
	doneTokens         float64
	doneGoodTokens     float64
}

// A reading is what one sample says, worked out once for all tallies that it goes to.
type reading struct {
	sample   *results.Sample
	counted  bool
	complete bool
	met      bool
	missed   [sloBounds]bool      // by a complete request
	values   [distributions]value // but for the ITL
	gaps     []float64
	tokens   float64               // of the whole stream
	belongs  phase                 // where the request counts
	done     phase                 // where it ended
	arrived  [judgedPhases]arrival // where its chunks came
}

// A value is one metric of one sample, in seconds.
type value struct {
	seconds float64
	counts  bool
}

// An arrival is what came in one window.
type arrival struct {
	tokens, whole     float64 // whole: of tokens, those of an answer in one piece
	chunks, coalesced int
}

// usageSources are those that a report tells apart, best first; all others count as the last, which is none.
var usageSources = [...]results.UsageSource{ //nolint:gochecknoglobals // a closed set, never written
	results.UsageServer, results.UsageContinuous, results.UsageTokenizer, results.UsageChunks, "",
}

// value is one metric; the zero value, which does not count, for the ITL.
func (r *reading) value(w want) value {
	for i, v := range r.values {
		if w == 1<<i {
			return v
		}
	}
	return value{}
}

// tells reports whether the request has a say in a metric of finished requests: users who left have one in what
// they had seen until then, and those that the end of the run cancelled in none.
func (r *reading) tells(m Metric) bool {
	return r.counted || r.value(m.wants()).counts || m.class() == tokenClass || m.class() == ratioClass && r.sample.Leaver()
}

// request counts a sample that belongs here.
func (t *tally) request(r *reading) {
	s := r.sample
	t.outcomes[min(s.Outcome, results.Cancelled)]++
	t.reconnects += s.Reconnects
	if !r.counted {
		t.cancelled++
	} else {
		t.requests++
	}
	t.clients.request(s)
	if r.complete {
		t.complete++
		t.streams += max(0, s.Done-s.Sent)
	}
	if s.FailedWith2xx() {
		t.cut++
		t.cutBy[min(s.Outcome, results.Cancelled)]++
	}
	if r.counted && r.tokens > 0 {
		t.countedBy[sourceIndex(s.Usage.Source)]++
	}
	if r.met {
		t.kept++
	}
	for i, missed := range r.missed {
		if missed {
			t.missed[i]++
		}
	}
	if s.Refused() {
		t.refused++
	}
	if s.Leak() {
		t.leaks++
	}
	for i := range t.lengths {
		if r.values[i].counts && t.wants&(1<<i) != 0 {
			t.lengths[i].Add(r.values[i].seconds)
		}
	}
	if t.wants&wantITL != 0 {
		for _, gap := range r.gaps {
			t.of(wantITL).Add(gap)
		}
	}
}

func sourceIndex(s results.UsageSource) int {
	if i := slices.Index(usageSources[:], s); i >= 0 {
		return i
	}
	return len(usageSources) - 1
}

// arrive counts tokens that came here.
func (t *tally) arrive(a arrival, complete bool) {
	t.tokens += a.tokens
	t.whole += a.whole
	t.chunks += a.chunks
	t.coalesced += a.coalesced
	if complete {
		t.goodTokens += a.tokens
	}
}

// finish counts a sample that ended here, with all of its tokens.
func (t *tally) finish(r *reading) {
	t.doneTokens += r.tokens
	if r.complete {
		t.doneGoodTokens += r.tokens
	}
	if r.met {
		t.met++
	}
}

// of is the distribution of one want.
func (t *tally) of(w want) *results.Distribution {
	for i := range t.lengths {
		if w == 1<<i {
			return &t.lengths[i]
		}
	}
	return new(results.Distribution)
}

// merge adds all that o counted.
func (t *tally) merge(o *tally) {
	t.requests += o.requests
	t.complete += o.complete
	t.cancelled += o.cancelled
	t.cut += o.cut
	t.refused += o.refused
	t.leaks += o.leaks
	t.clients.merge(&o.clients)
	t.reconnects += o.reconnects
	for i := range t.outcomes {
		t.outcomes[i] += o.outcomes[i]
		t.cutBy[i] += o.cutBy[i]
	}
	for i := range t.countedBy {
		t.countedBy[i] += o.countedBy[i]
	}
	t.kept += o.kept
	for i := range t.missed {
		t.missed[i] += o.missed[i]
	}
	for i := range t.lengths {
		if t.wants&(1<<i) != 0 {
			t.lengths[i].Merge(&o.lengths[i])
		}
	}
	t.streams += o.streams
	t.tokens += o.tokens
	t.goodTokens += o.goodTokens
	t.whole += o.whole
	t.chunks += o.chunks
	t.coalesced += o.coalesced
	t.met += o.met
	t.doneTokens += o.doneTokens
	t.doneGoodTokens += o.doneGoodTokens
}

// A trio is one selection in all judged phases.
type trio [judgedPhases]tally

func newTrio(w want) *trio {
	t := new(trio)
	for i := range t {
		t[i].wants = w
	}
	return t
}

// add counts a reading where it belongs.
func (t *trio) add(r *reading) {
	if r.belongs != nowhere {
		t[r.belongs].request(r)
	}
	for p, a := range r.arrived {
		if a != (arrival{}) {
			t[p].arrive(a, r.complete)
		}
	}
	if r.done != nowhere {
		t[r.done].finish(r)
	}
}

// merge adds all that o counted, phase by phase.
func (t *trio) merge(o *trio) {
	for i := range t {
		t[i].merge(&o[i])
	}
}

// requests is how many belong to any phase.
func (t *trio) requests() int {
	n := 0
	for i := range t {
		n += t[i].requests + t[i].cancelled
	}
	return n
}

// A reader works out readings. It keeps its buffers from sample to sample.
type reader struct {
	slo    SLO
	line   *timeline
	sample results.Sample
	chunks []results.Chunk
	gaps   []float64
	out    reading
}

// read works out one sample as the log has it: the live judge must come to the very judgement that
// `failwhale report` will. The reading is good until the next call.
func (rd *reader) read(s *results.Sample) *reading {
	rd.sample = s.AsLogged(rd.chunks)
	if s = &rd.sample; s.Chunks != nil {
		rd.chunks = s.Chunks
	}
	r := &rd.out
	*r = reading{sample: s, counted: s.Counted(), complete: s.Outcome == results.Complete}
	r.values = [distributions]value{ // in the order of the wants
		inSeconds(s.TTFT()), inSeconds(s.TTFTSent()),
		{},
		inSeconds(s.TPOT()), inSeconds(s.E2E()), inSeconds(s.Stall()), inSeconds(s.Lag()),
		inSeconds(s.E2ESent()),
	}
	rd.gaps = rd.gaps[:0]
	for gap := range s.Gaps() {
		rd.gaps = append(rd.gaps, gap.Seconds())
	}
	r.gaps = rd.gaps
	r.belongs, r.done = rd.line.belongs(s), rd.line.at(s.Done)
	rd.arrivals(r)
	if r.complete {
		r.missed = rd.slo.misses(r)
		r.met = r.missed == [sloBounds]bool{}
	}
	return r
}

func inSeconds(d time.Duration, inf, counts bool) value {
	if inf {
		return value{math.Inf(1), counts}
	}
	return value{d.Seconds(), counts}
}

// arrivals sorts the chunks into windows. All tokens of an answer in one piece arrive at its end, and say nothing of chunks.
func (rd *reader) arrivals(r *reading) {
	if r.sample.Unstreamed {
		r.tokens = float64(r.sample.Received())
		if r.done != nowhere {
			r.arrived[r.done] = arrival{tokens: r.tokens, whole: r.tokens}
		}
		return
	}
	weight := weightOf(r.sample)
	for i, c := range r.sample.Chunks {
		tokens := float64(c.Tokens) * weight
		r.tokens += tokens
		p := rd.line.at(c.At)
		if p == nowhere {
			continue
		}
		r.arrived[p].tokens += tokens
		if i == 0 || !c.Coalesced {
			r.arrived[p].chunks++
		} else {
			r.arrived[p].coalesced++
		}
	}
}

// weightOf is how many received tokens a token of a chunk stands for: the server's count may be finer
// than its chunks.
func weightOf(s *results.Sample) float64 {
	sum := 0
	for _, c := range s.Chunks {
		sum += c.Tokens
	}
	if sum <= 0 {
		return 1
	}
	return float64(s.Received()) / float64(sum)
}
