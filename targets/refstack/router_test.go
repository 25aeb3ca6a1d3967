package refstack_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/failwhale/failwhale/targets/refstack"
)

// Each policy, on loads that tell them apart.
func TestRouterPick(t *testing.T) {
	const rr, lot = refstack.RoundRobin, refstack.LeastOutstandingTokens
	even := []refstack.ReplicaLoad{{}, {}, {}}
	uneven := []refstack.ReplicaLoad{{Outstanding: 300}, {Outstanding: 20}, {Outstanding: 100}}
	full := []refstack.ReplicaLoad{{Outstanding: 300}, {Outstanding: 20, Full: true}, {Outstanding: 100}}
	for name, c := range map[string]struct {
		policy refstack.Policy
		loads  []refstack.ReplicaLoad
		want   []int
	}{
		"round-robin goes round":                {rr, even, []int{0, 1, 2, 0}},
		"round-robin does not look at the load": {rr, uneven, []int{0, 1, 2, 0}},
		"round-robin skips what is full":        {rr, full, []int{0, 2, 0, 2}},
		"least takes turns on a tie":            {lot, even, []int{0, 1, 2, 0}},
		"least takes the least":                 {lot, uneven, []int{1, 1, 1, 1}},
		"least skips what is full":              {lot, full, []int{2, 2, 2, 2}},
		"nothing is free":                       {lot, []refstack.ReplicaLoad{{Full: true}}, []int{-1, -1}},
		"nothing is there":                      {rr, nil, []int{-1}},
	} {
		t.Run(name, func(t *testing.T) {
			var r refstack.Router
			got := make([]int, len(c.want))
			for i := range got {
				got[i] = r.Pick(c.policy, c.loads)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%d times Pick(%s, %+v) = %v, want %v", len(got), c.policy, c.loads, got, c.want)
			}
		})
	}
}

// fleet runs engines behind a router in virtual time, without a queue before them.
type fleet struct {
	now     time.Duration
	engines []*refstack.Engine
	clocks  []float64
	ends    []time.Duration // of the step under way; 0: idle
	ttfts   []float64       // seconds
	served  []int           // requests, by engine
}

func newFleet(clocks ...float64) *fleet {
	f := &fleet{clocks: clocks, ends: make([]time.Duration, len(clocks)), served: make([]int, len(clocks))}
	for range clocks {
		f.engines = append(f.engines, refstack.NewEngine(refstack.Llama8BH100(), refstack.EngineLimits{}))
	}
	return f
}

// until lets time pass, step by step, in order.
func (f *fleet) until(t time.Duration) {
	for {
		next := -1
		for i, end := range f.ends {
			if end > 0 && end <= t && (next < 0 || end < f.ends[next]) {
				next = i
			}
		}
		if next < 0 {
			f.now = t
			return
		}
		f.now = f.ends[next]
		f.engines[next].End()
		f.begin(next)
	}
}

func (f *fleet) begin(i int) {
	f.ends[i] = 0
	if d, ok := f.engines[i].Begin(f.clocks[i]); ok {
		f.ends[i] = f.now + d
	}
}

func (f *fleet) send(t *testing.T, i, prompt, output int) {
	t.Helper()
	sent := f.now
	f.served[i]++
	s := &refstack.Sequence{Prompt: prompt, Output: output, OnToken: func(s *refstack.Sequence) {
		if s.Emitted() == 1 {
			f.ttfts = append(f.ttfts, (f.now - sent).Seconds())
		}
	}}
	if err := f.engines[i].Add(s); err != nil {
		t.Fatal(err)
	}
	if f.ends[i] == 0 {
		f.begin(i)
	}
}

// attack sends Poisson arrivals of 1,000 tokens in and 50 out.
func (f *fleet) attack(t *testing.T, policy refstack.Policy, rate float64, d time.Duration) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var router refstack.Router
	loads := make([]refstack.ReplicaLoad, len(f.engines))
	for at := time.Duration(0); at < d; at += time.Duration(rng.ExpFloat64() / rate * 1e9) {
		f.until(at)
		for i, e := range f.engines {
			loads[i].Outstanding = refstack.Outstanding(e.Stats())
		}
		f.send(t, router.Pick(policy, loads), 1000, 50)
	}
	f.until(f.now + time.Hour)
}

func p99(values []float64) float64 {
	slices.Sort(values)
	return values[int(math.Ceil(0.99*float64(len(values))))-1]
}

// One of four GPUs is locked to 300 of 1980 MHz. Round-robin gives it a quarter
// of the work, which is more than it can do; least outstanding tokens gives it
// what it can.
func TestRouterStraggler(t *testing.T) {
	tails := map[refstack.Policy]float64{}
	for _, policy := range []refstack.Policy{refstack.RoundRobin, refstack.LeastOutstandingTokens} {
		healthy := newFleet(1, 1, 1, 1)
		healthy.attack(t, policy, 33, 20*time.Second)
		f := newFleet(300.0/refstack.NominalMHz, 1, 1, 1)
		f.attack(t, policy, 33, 20*time.Second)
		tails[policy] = p99(f.ttfts)
		t.Logf("%s: p99 TTFT %.3f s, healthy %.3f s; served %v", policy, tails[policy], p99(healthy.ttfts), f.served)
		if h := p99(healthy.ttfts); h > 0.2 {
			t.Errorf("%s: p99 TTFT of healthy replicas = %.3f s, want at most 0.2", policy, h)
		}
	}
	if rr, least := tails[refstack.RoundRobin], tails[refstack.LeastOutstandingTokens]; rr < 3*least || least > 0.6 {
		t.Errorf("p99 TTFT = %.3f s round-robin and %.3f s least outstanding: want at least three times, and at most 0.6", rr, least)
	}
}
