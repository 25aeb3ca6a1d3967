package calibrate_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks/calibrate"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/perfect"
)

const ms = int64(time.Millisecond)

// origin is what the common clock reads when the client's reads 0.
const origin = 1_000_000 * ms

// pairOf is an answer with the sample of it: the request was sent at sent ms, the server had it up ms later, wrote
// its first chunk 50 ms after that and then one each 20 ms, and the client saw chunk k delays[k] ms after its write.
func pairOf(id uint64, sent, up int64, delays ...int64) (*results.Sample, perfect.Answer) {
	s := &results.Sample{
		Due: time.Duration((sent - 1) * ms), Sent: time.Duration(sent * ms), Outcome: results.Complete,
		Labels: results.Labels{"stamp": fmt.Sprint(id)},
	}
	a := perfect.Answer{ID: id, Read: origin + (sent+up)*ms, Whole: true}
	a.Due = a.Read + 50*ms - 2*ms // written 2 ms late
	for k, delay := range delays {
		wrote := a.Read + 50*ms + int64(k)*20*ms
		a.Writes = append(a.Writes, wrote)
		s.Chunks = append(s.Chunks, results.Chunk{At: time.Duration(wrote - origin + delay*ms), Tokens: 1})
	}
	return s, a
}

// near allows for what a Distribution rounds.
func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 0.002*math.Abs(want)+1e-9 {
		t.Errorf("%s is %v; want %v", what, got, want)
	}
}

// Errors are the client's lengths of time less the server's, whatever the clocks read.
func TestJoin(t *testing.T) {
	j := calibrate.Join{Origin: origin, From: origin + 100*ms, To: origin + 300*ms, Interval: 20 * time.Millisecond}
	s, a := pairOf(7, 100, 3, 4, 4, 10, 5)
	j.Add([]*results.Sample{s}, []perfect.Answer{a})
	if j.Requests != 1 || j.Failed != 0 {
		t.Fatalf("Requests, Failed = %d, %d (%s); want 1 and 0", j.Requests, j.Failed, j.Why)
	}
	near(t, "ttft error", j.TTFT.Max(), 0.007) // 3 ms up and 4 ms down
	if n := j.ITL.N(); n != 3 {
		t.Errorf("%d gaps; want 3", n)
	}
	near(t, "itl error, least", j.ITL.Quantile(0), 0)
	near(t, "itl error, median", j.ITL.Quantile(0.5), 0.005) // 10 to 5 is 5 ms too short
	near(t, "itl error, most", j.ITL.Max(), 0.006)           // 4 to 10 is 6 ms too long
	near(t, "delay", j.Delay.Max(), 0.010)
	near(t, "lag", j.Lag.Max(), 0.001)
	near(t, "late", j.Late.Max(), 0.002)
}

// What is measured is what the window holds, by the stamps that cannot be off: when we sent, when the server wrote.
func TestJoinWindow(t *testing.T) {
	j := calibrate.Join{Origin: origin, From: origin + 100*ms, To: origin + 200*ms, Interval: 20 * time.Millisecond}
	early, a := pairOf(1, 20, 0, 1, 1, 1, 1) // sent before: writes at 70, 90, 110 and 130
	late, b := pairOf(2, 160, 0, 9, 9, 9)    // sent within: writes at 210 and later
	j.Add([]*results.Sample{early, late}, []perfect.Answer{b, a})
	if j.Requests != 1 || j.TTFT.N() != 1 || j.ITL.N() != 2 || j.Delay.N() != 2 || j.Late.N() != 2 {
		t.Errorf("requests %d, ttft %d, itl %d, delay %d, late %d; want 1, 1, 2, 2, 2",
			j.Requests, j.TTFT.N(), j.ITL.N(), j.Delay.N(), j.Late.N())
	}
}

// A request that was under way as the window began, and failed in it, counts: what it did not see is no good figure.
// One that had failed before does not.
func TestJoinCountsEarlierRequestsThatFail(t *testing.T) {
	for _, tt := range []struct {
		done int64
		want int
	}{{99, 0}, {100, 1}} {
		j := calibrate.Join{Origin: origin, From: origin + 100*ms, To: origin + 200*ms, Interval: 20 * time.Millisecond}
		s, a := pairOf(1, 20, 0, 1, 1)
		s.Outcome, s.Error, s.Done = results.Reset, "gone", time.Duration(tt.done*ms)
		j.Add([]*results.Sample{s}, []perfect.Answer{a})
		if j.Requests != tt.want || j.Failed != tt.want {
			t.Errorf("done at %d ms: Requests, Failed = %d, %d; want %d of both", tt.done, j.Requests, j.Failed, tt.want)
		}
	}
}

// Whatever is not as the server wrote it is a failure, and no error is made of it.
func TestJoinFailures(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*results.Sample, *perfect.Answer)
		why   string
	}{
		{"not complete", func(s *results.Sample, _ *perfect.Answer) { s.Outcome, s.Error = results.Reset, "gone" }, "reset: gone"},
		{"no stamps", func(_ *results.Sample, a *perfect.Answer) { a.ID = 9 }, "the server has no stamps of it"},
		{"no label", func(s *results.Sample, _ *perfect.Answer) { s.Labels = nil }, "the server has no stamps of it"},
		{"a chunk less", func(s *results.Sample, _ *perfect.Answer) { s.Chunks = s.Chunks[1:] }, "the server wrote 2 chunks and the client saw 1"},
	} {
		j := calibrate.Join{Origin: origin, From: origin, To: origin + 1000*ms, Interval: 20 * time.Millisecond}
		s, a := pairOf(1, 100, 0, 1, 1)
		tt.spoil(s, &a)
		j.Add([]*results.Sample{s}, []perfect.Answer{a})
		if j.Failed != 1 || j.Why != tt.why || j.TTFT.N()+j.ITL.N()+j.Delay.N() != 0 {
			t.Errorf("%s: Failed, Why = %d, %q with %d figures; want 1, %q and none", tt.name, j.Failed, j.Why, j.TTFT.N()+j.ITL.N()+j.Delay.N(), tt.why)
		}
	}
}
