package attacks_test

import (
	"context"
	"regexp"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// samples is a sink that keeps what it gets.
type samples struct {
	mu  sync.Mutex
	all []*results.Sample
}

// Add keeps a sample.
func (s *samples) Add(r results.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, r.Sample)
	return nil
}

// sorted returns the samples so far in the order of the agenda.
func (s *samples) sorted() []*results.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.all)
	slices.SortFunc(out, func(a, b *results.Sample) int { return int(a.Index) - int(b.Index) })
	return out
}

// hang is longer than anything takes on a slow machine, and ends what does not end.
const hang = 3 * time.Minute

// wait returns once n samples have come.
func (s *samples) wait(t *testing.T, n int) []*results.Sample {
	t.Helper()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if got := s.sorted(); len(got) >= n {
			return got
		}
		if time.Since(start) > hang {
			t.Fatalf("only %d of %d samples came in %s", len(s.sorted()), n, hang)
		}
	}
}

// config is an attack on url: one request every 10 ms.
func config(url string) (attacks.Config, *samples) {
	sink := &samples{}
	return attacks.Config{
		Endpoint: targets.Endpoint{URL: url}, Profile: attacks.Profile{Constant: &attacks.Constant{Rate: 100}},
		Seed: 1, Clock: results.NewClock(), Sink: sink, Run: "0123abcd",
	}, sink
}

func newAttack(t *testing.T, cfg attacks.Config) *attacks.Attack {
	t.Helper()
	a, err := attacks.New(cfg)
	if err != nil {
		t.Fatalf("New(%+v) = %v", cfg, err)
	}
	return a
}

// run runs a and returns a function that waits for its end.
func run(t *testing.T, a *attacks.Attack) (wait func()) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := a.Run(t.Context()); err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
	t.Cleanup(wg.Wait) // also of a test that has given up
	return wg.Wait
}

var nonceIn = regexp.MustCompile(`fw-[0-9a-f]{8}-[0-9a-f]{12}`)

// echo answers as the reference stack does: the request's nonce, and some words.
func echo(r targetstest.Request) targetstest.Script {
	return targetstest.Script{targetstest.Send(targetstest.Answer(nonceIn.FindString(string(r.Body)), " and", " so", " on"))}
}

// A whole attack over real sockets: every request is served, and connections are used again.
func TestAttack(t *testing.T) {
	server := targetstest.New(t, echo)
	cfg, sink := config(server.URL())
	cfg.Clients = []attacks.Client{{Tier: "paid", Share: 0.5}, {Tier: "free", Share: 0.5}}
	a := newAttack(t, cfg)
	a.Begin(results.Baseline)
	wait := run(t, a)
	sink.wait(t, 40)
	a.Stop()
	wait()
	got := sink.sorted()
	tiers := map[string]int{}
	for i, s := range got {
		if s.Index != uint64(i) || s.Outcome != results.Complete || len(s.Chunks) != 4 || s.Usage.Output != 4 {
			t.Errorf("sample %d: %+v; want index %d, complete, 4 chunks, 4 tokens", i, s, i)
		}
		if !slices.IsSorted([]time.Duration{1, s.Due, s.Sent, s.FirstByte, s.Chunks[0].At, s.Chunks[3].At, s.Done}) {
			t.Errorf("sample %d: times out of order: %+v", i, s)
		}
		tiers[s.Labels["tier"]]++
	}
	if tiers["paid"]+tiers["free"] != len(got) || tiers["paid"] == 0 || tiers["free"] == 0 {
		t.Errorf("tiers %v of %d requests; want both, and only these", tiers, len(got))
	}
	if n := server.Accepts(); n > len(got)/2 {
		t.Errorf("%d connections for %d requests, one at a time; want them used again", n, len(got))
	}
	live := a.Live()
	if live.Sent != int64(len(got)) || live.InFlight != 0 || live.Complete != live.Sent || live.Tokens != 4*live.Sent {
		t.Errorf("Live() = %+v after %d requests of 4 tokens", live, len(got))
	}
	seen := map[string]bool{}
	for _, r := range server.Requests() {
		seen[nonceIn.FindString(string(r.Body))] = true
		for name := range r.Header {
			if regexp.MustCompile(`^(X-Vegeta|X-Failwhale)`).MatchString(name) {
				t.Errorf("header %s is on the wire", name)
			}
		}
	}
	if len(seen) != len(got) || seen[""] {
		t.Errorf("%d different nonces in %d requests", len(seen), len(got))
	}
}

// Five minutes of load pass at once under fake time, and nothing in them is late.
func TestAttackUnderFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, targetstest.Always(
			targetstest.Send(targetstest.StreamHead), targetstest.Pause(100*time.Millisecond),
			targetstest.SendEach(20*time.Millisecond, targetstest.Token("a"), targetstest.Token("b"), targetstest.Token("c")),
			targetstest.Send(targetstest.Finish("stop")+targetstest.Usage(9, 3)+targetstest.Done+targetstest.StreamEnd),
		))
		cfg, sink := config(server.URL())
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		time.Sleep(time.Second) // before the first phase nothing is due
		a.Begin(results.Baseline)
		begin := cfg.Clock.Now()
		time.Sleep(300*time.Second - time.Millisecond)
		a.Stop()
		stopped := time.Now()
		wait()
		if d := time.Since(stopped); d > time.Second {
			t.Errorf("Run returned %s after Stop; want a stream's length", d)
		}
		got := sink.sorted()
		if len(got) != 30000 {
			t.Fatalf("%d requests in 300 s at 100/s, want 30000", len(got))
		}
		for i, s := range got {
			due := begin + time.Duration(i)*10*time.Millisecond
			lag, _, _ := s.Lag()
			ttft, _, _ := s.TTFT()
			if s.Due != due || lag != 0 || ttft != 100*time.Millisecond || s.Outcome != results.Complete {
				t.Fatalf("sample %d = %+v; want due %s, lag 0, ttft 100ms, complete", i, s, due)
			}
			if gap := s.Chunks[2].At - s.Chunks[1].At; gap != 20*time.Millisecond || s.Chunks[1].Coalesced {
				t.Fatalf("sample %d: gap %s, coalesced %t; want 20ms, false", i, gap, s.Chunks[1].Coalesced)
			}
		}
	})
}

// hanging is a server that sends a token and then nothing.
func hanging(t *testing.T) *targetstest.Server {
	t.Helper()
	return targetstest.NewPipe(t, targetstest.Always(
		targetstest.Send(targetstest.StreamHead+targetstest.Token("a")), targetstest.Hang()))
}

// What is left when the run's context ends is cancelled, and at once.
func TestAttackIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := hanging(t)
		cfg, sink := config(server.URL())
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		a.Begin(results.Baseline)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		time.Sleep(time.Second - time.Millisecond)
		cancel()
		at := time.Now()
		if err := <-done; err == nil || time.Since(at) != 0 {
			t.Errorf("Run = %v after %s; want ctx's error at once", err, time.Since(at))
		}
		got := sink.sorted()
		if len(got) != 100 {
			t.Errorf("%d samples, want 100", len(got))
		}
		for _, s := range got {
			if s.Outcome != results.Cancelled || len(s.Chunks) != 1 {
				t.Errorf("sample %+v; want cancelled after a chunk", s)
			}
		}
	})
}

// What is left when the schedule ends runs on to its own deadline, and the oldest request is told while it does.
func TestStreamsOutliveStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := hanging(t)
		cfg, sink := config(server.URL())
		cfg.Clients = []attacks.Client{{Deadline: 10 * time.Second}}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		if got := a.Live(); got != (attacks.Live{}) {
			t.Errorf("Live() = %+v before the first request", got)
		}
		a.Begin(results.Baseline)
		wait := run(t, a)
		time.Sleep(time.Second - time.Millisecond)
		a.Stop()
		a.Begin(results.Fault) // does nothing any more
		synctest.Wait()
		if got := a.Live(); got.Oldest != time.Second-time.Millisecond || got.InFlight != 100 {
			t.Errorf("Live() = %+v; want 100 under way, the oldest for 999ms", got)
		}
		time.Sleep(9*time.Second + 500*time.Millisecond)
		synctest.Wait() // the first 50 have ended
		if got := a.Live(); got.Oldest > 10*time.Second || got.Oldest < 9980*time.Millisecond {
			t.Errorf("Live() = %+v; want the oldest under way for nearly its deadline", got)
		}
		wait()
		if got := a.Live(); got.Oldest != 0 || got.InFlight != 0 {
			t.Errorf("Live() = %+v after the last request", got)
		}
		for _, s := range sink.sorted() {
			if s.Outcome != results.Deadline || s.Error == "" || s.Done-s.Sent != 10*time.Second {
				t.Errorf("sample %+v; want deadline after 10s", s)
			}
		}
	})
}
