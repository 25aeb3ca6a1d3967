package attacks_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A job is what a request does, without what makes it this one: its nonce.
type job struct {
	After  time.Duration // since its phase began
	Client string
	Body   string
}

// phases runs an attack under fake time and returns the jobs of each phase.
func phases(t *testing.T, change func(*attacks.Config), order ...results.Phase) (jobs [][]job) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, echo)
		cfg, sink := config(server.URL())
		cfg.Profile = attacks.Profile{Poisson: &attacks.Poisson{Rate: 50}}
		cfg.Workload = attacks.Workload{{Preset: attacks.Chat}}
		cfg.Clients = []attacks.Client{{Tier: "paid", Share: 0.3}, {Tier: "free"}}
		change(&cfg)
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		var began []time.Duration
		for _, p := range order {
			began = append(began, cfg.Clock.Now())
			a.Begin(p)
			time.Sleep(2 * time.Second)
		}
		a.Stop()
		wait()
		requests := server.Requests()
		slices.SortFunc(requests, func(a, b targetstest.Request) int { return a.At.Compare(b.At) })
		jobs = make([][]job, len(order))
		for i, s := range sink.sorted() {
			n := len(began) - 1
			for s.Due < began[n] {
				n--
			}
			body := nonceIn.ReplaceAllString(string(requests[i].Body), "NONCE")
			jobs[n] = append(jobs[n], job{After: s.Due - began[n], Client: s.Labels["tier"], Body: body})
			if lag, _, _ := s.Lag(); lag != 0 {
				t.Errorf("sample %d is %s late under fake time", i, lag)
			}
		}
	})
	return jobs
}

// Equal seeds do equal work: phase by phase within a run, and run by run. Another seed and the
// warm-up do other work.
func TestEqualSeedsGiveEqualWork(t *testing.T) {
	same := func(*attacks.Config) {}
	got := phases(t, same, results.Warmup, results.Baseline, results.Fault, results.Recovery)
	for i, p := range []string{"fault", "recovery"} {
		if diff := cmp.Diff(got[1], got[2+i]); diff != "" {
			t.Errorf("baseline and %s differ (-baseline +%s):\n%s", p, p, diff)
		}
	}
	if n := len(got[1]); n < 50 || n > 200 {
		t.Errorf("%d requests in 2 s at 50/s", n)
	}
	if cmp.Equal(got[0], got[1]) || got[0][0].Body == got[1][0].Body || got[0][0].After == got[1][0].After {
		t.Error("the warm-up did the work of the baseline")
	}
	again := phases(t, func(c *attacks.Config) { c.Run = "other" }, results.Warmup, results.Baseline)
	if diff := cmp.Diff(got[:2], again); diff != "" {
		t.Errorf("another run differs:\n%s", diff)
	}
	other := phases(t, func(c *attacks.Config) { c.Seed = 2 }, results.Baseline)
	if other[0][0].Body == got[1][0].Body || other[0][0].After == got[1][0].After {
		t.Error("another seed did the same work")
	}
	// A change to one thing that is drawn leaves the others as they were.
	faster := phases(t, func(c *attacks.Config) { c.Profile.Poisson.Rate = 100 }, results.Baseline)
	for i, j := range got[1][:20] {
		if faster[0][i].Body != j.Body || faster[0][i].Client != j.Client || (faster[0][i].After-j.After/2).Abs() > 2 {
			t.Errorf("at twice the rate request %d is %+v, want %+v in half the time", i, faster[0][i], j)
		}
	}
}

// What was due before Stop is sent, however late we are, and nothing else.
func TestABacklogIsSent(t *testing.T) {
	server := targetstest.New(t, echo)
	cfg, sink := config(server.URL())
	a := newAttack(t, cfg)
	a.Begin(results.Baseline)
	time.Sleep(100 * time.Millisecond) // nobody runs it yet
	a.Begin(results.Fault)
	time.Sleep(50 * time.Millisecond)
	a.Stop()
	stopped := cfg.Clock.Now()
	run(t, a)()
	got := sink.sorted()
	if len(got) < 14 {
		t.Fatalf("%d requests, want those of 150 ms at 100/s", len(got))
	}
	for _, s := range got {
		if lag, _, _ := s.Lag(); s.Due > stopped || lag == 0 || s.Outcome != results.Complete {
			t.Errorf("sample %+v; want it due before %s, late, and complete", s, stopped)
		}
	}
}

// An attack whose samples cannot be kept ends, and says why.
func TestASinkThatFailsEndsTheAttack(t *testing.T) {
	server := targetstest.New(t, echo)
	cfg, _ := config(server.URL())
	full := errors.New("disk full")
	cfg.Sink = sinkFunc(func(results.Record) error { return full })
	a := newAttack(t, cfg)
	a.Begin(results.Baseline)
	if err := a.Run(t.Context()); !errors.Is(err, full) {
		t.Errorf("Run = %v, want %v", err, full)
	}
}

// A panicDialect panics over the first event of each answer.
type panicDialect struct{ targets.OpenAIChat }

type panicDecoder struct{}

// Decoder returns a decoder that panics.
func (panicDialect) Decoder() targets.Decoder { return panicDecoder{} }

// Decode panics.
func (panicDecoder) Decode(*targets.Event, *targets.Delta) error { panic("hostile bytes") }

// A mute panics over the first prompt that is more than New's own.
type mute struct{ targets.OpenAIChat }

// Encode panics.
func (d mute) Encode(p targets.Prompt) (targets.Request, error) {
	if len(p.Messages) > 0 {
		panic("speechless")
	}
	return d.OpenAIChat.Encode(p)
}

// A panic over a prompt, over what a server sent, or in the sink, ends the attack and not the process,
// with its stack.
func TestAPanicEndsTheAttack(t *testing.T) {
	for name, change := range map[string]func(*attacks.Config){
		"Encode": func(c *attacks.Config) { c.Dialect = mute{} },
		"Decode": func(c *attacks.Config) { c.Dialect = panicDialect{} },
		"Add":    func(c *attacks.Config) { c.Sink = sinkFunc(func(results.Record) error { panic("full") }) },
	} {
		t.Run(name, func(t *testing.T) {
			server := targetstest.New(t, echo)
			cfg, _ := config(server.URL())
			change(&cfg)
			a := newAttack(t, cfg)
			a.Begin(results.Baseline)
			err := a.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), "panic") || !strings.Contains(err.Error(), name+"(") || !strings.Contains(err.Error(), ".go:") {
				t.Errorf("Run = %v; want a panic and its stack with %s", err, name)
			}
			if live := a.Live(); live.InFlight != 0 || live.Oldest != 0 || live.Sent == 0 && name != "Encode" {
				t.Errorf("Live() = %+v after the end; want nothing under way", live)
			}
		})
	}
}

type sinkFunc func(results.Record) error

// Add calls f.
func (f sinkFunc) Add(r results.Record) error { return f(r) }
