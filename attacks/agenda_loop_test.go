package attacks_test

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// slow answers after so long.
func slow(d time.Duration) targetstest.Handler {
	return func(r targetstest.Request) targetstest.Script {
		return append(targetstest.Script{targetstest.Pause(d)}, echo(r)...)
	}
}

// underWay is how many samples were under way at a time.
func underWay(all []*results.Sample, at time.Duration) (n int) {
	for _, s := range all {
		if s.Sent <= at && at < s.Done {
			n++
		}
	}
	return n
}

// Each user of a closed loop sends when its last request has ended, and not before; a new phase adds none; when the
// load stops nothing more is sent.
func TestClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, slow(300*time.Millisecond))
		cfg, sink := config(server.URL())
		cfg.Profile = attacks.Profile{Concurrency: &attacks.Concurrency{Users: 7}}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		start := cfg.Clock.Now()
		for _, p := range []results.Phase{results.Warmup, results.Baseline} {
			a.Begin(p)
			time.Sleep(1100 * time.Millisecond)
		}
		a.BeginFor(results.Fault, 1100*time.Millisecond)
		time.Sleep(2 * time.Second) // it ends by itself
		if a.Exhausted() {
			t.Error("Exhausted() = true of a closed loop")
		}
		a.Stop()
		wait()
		all := sink.sorted()
		// Of 3.3 s, each user sends at 0, 0.3, … 3.0.
		if len(all) != 7*11 {
			t.Errorf("%d requests of 7 users, want 77", len(all))
		}
		for i, s := range all {
			if s.Due != s.Sent || s.Outcome != results.Complete {
				t.Errorf("sample %d was due at %s and sent at %s, %s; want one time, and complete", i, s.Due, s.Sent, s.Outcome)
			}
			if since := s.Sent - start; since%(300*time.Millisecond) != 0 || since > 3300*time.Millisecond {
				t.Errorf("sample %d was sent after %s", i, since)
			}
			if n := underWay(all, s.Sent); n > 7 {
				t.Errorf("%d requests were under way at %s, want 7", n, s.Sent-start)
			}
		}
	})
}

// A user whose request failed at once waits, and one whose request took its time to fail does not: a dead server is not
// met with all that this machine can do.
func TestClosedLoopOfFailures(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fails time.Duration
		want  int // requests of a user in 3 s
	}{{"refused", 0, 30}, {"in half the time", 50 * time.Millisecond, 30}, {"slowly", 300 * time.Millisecond, 10}} {
		synctest.Test(t, func(t *testing.T) {
			cfg, sink := config("http://server")
			cfg.Profile = attacks.Profile{Concurrency: &attacks.Concurrency{Users: 20}}
			a := newAttack(t, cfg)
			var dials atomic.Int64
			a.SetDial(func(ctx context.Context, _, _ string) (net.Conn, error) {
				if dials.Add(1) > 10_000 { // in no time at all: fake time would stand still
					<-ctx.Done()
				}
				time.Sleep(tt.fails)
				return nil, syscall.ECONNREFUSED
			})
			wait := run(t, a)
			a.BeginFor(results.Baseline, 3*time.Second)
			time.Sleep(3 * time.Second)
			a.Stop()
			wait()
			if got := len(sink.sorted()); got != 20*tt.want {
				t.Errorf("%s: %d requests of 20 users in 3 s, want %d", tt.name, got, 20*tt.want)
			}
		})
	}
}

// Users arrive over the ramp, in each phase anew.
func TestClosedLoopRamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, slow(100*time.Millisecond))
		cfg, sink := config(server.URL())
		cfg.Profile = attacks.Profile{Concurrency: &attacks.Concurrency{Users: 10, Ramp: 10 * time.Second}}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		var began []time.Duration
		for _, p := range []results.Phase{results.Baseline, results.Fault} {
			began = append(began, cfg.Clock.Now())
			a.Begin(p)
			time.Sleep(15 * time.Second)
		}
		a.Stop()
		wait()
		all := sink.sorted()
		for _, begin := range began {
			for second := range 15 {
				at := begin + time.Duration(second)*time.Second + 950*time.Millisecond
				if got, want := underWay(all, at), min(second+1, 10); got != want {
					t.Errorf("%d users after %s, want %d", got, at-begin, want)
				}
			}
		}
	})
}

// The requests of a closed loop are the same in each phase, in the order in which they are sent.
func TestClosedLoopSaysTheSame(t *testing.T) {
	said := phases(t, func(c *attacks.Config) {
		c.Profile = attacks.Profile{Concurrency: &attacks.Concurrency{Users: 1}}
		c.Workload = attacks.Workload{{Preset: attacks.ChatShort}}
		c.Sink = limited{c.Sink, 3 * time.Millisecond}
	}, results.Baseline, results.Fault)
	n := min(len(said[0]), len(said[1]), 100)
	if n < 100 {
		t.Fatalf("%d and %d requests", len(said[0]), len(said[1]))
	}
	for i := range n {
		if said[0][i].Body != said[1][i].Body || said[0][i].Client != said[1][i].Client {
			t.Errorf("request %d differs between the phases", i)
		}
	}
}

// limited is a sink that takes its time, as every server would: without, a loop turns in no time at all.
type limited struct {
	results.Sink
	each time.Duration
}

// Add hands on r.
func (l limited) Add(r results.Record) error {
	time.Sleep(l.each)
	return l.Sink.Add(r)
}

// A schedule that ends says so once all of it is due, and not when a phase is cut short; the next phase has it anew.
func TestExhausted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, echo)
		cfg, sink := config(server.URL())
		cfg.Profile = attacks.Profile{Spike: &attacks.Spike{Rate: 100, At: time.Second, For: time.Second, Even: true}}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		var counts []int
		for _, phase := range []struct {
			length    time.Duration
			exhausted bool
		}{{1900 * time.Millisecond, false}, {2100 * time.Millisecond, true}, {1900 * time.Millisecond, false}} {
			before := len(sink.sorted())
			a.BeginFor(results.Baseline, phase.length)
			time.Sleep(phase.length)
			synctest.Wait()
			if got := a.Exhausted(); got != phase.exhausted {
				t.Errorf("Exhausted() = %t after %s, want %t", got, phase.length, phase.exhausted)
			}
			counts = append(counts, len(sink.sorted())-before)
		}
		a.Stop()
		wait()
		if want := []int{90, 100, 90}; !slices.Equal(counts, want) {
			t.Errorf("the phases had %v requests, want %v", counts, want)
		}
	})
}

// What a trace has centuries later is never due, in a late phase as in the first.
func TestAGapOfCenturies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, echo)
		cfg, sink := config(server.URL())
		tr := trace(t, `{"timestamp":0,"input_length":50,"output_length":4}`+"\n"+
			`{"timestamp":9223372036854,"input_length":50,"output_length":4}`+"\n")
		cfg.Profile = attacks.Profile{Trace: &tr}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		for _, p := range []results.Phase{results.Baseline, results.Fault} {
			a.Begin(p)
			time.Sleep(time.Minute)
		}
		a.Stop()
		wait()
		if n := len(sink.sorted()); n != 2 || a.Exhausted() {
			t.Errorf("%d requests in two phases, Exhausted() = %t; want the first of each, and not at its end", n, a.Exhausted())
		}
	})
}

// A mistake in a trace ends the attack when it comes to it, and what was due before is sent.
func TestABrokenTraceEndsTheAttack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, echo)
		cfg, sink := config(server.URL())
		tr := trace(t, `{"timestamp":0,"input_length":50,"output_length":4}`+"\n"+
			`{"timestamp":500,"input_length":50,"output_length":4}`+"\n"+`{"timestamp":-1}`)
		cfg.Profile = attacks.Profile{Trace: &tr}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		a.Begin(results.Baseline)
		err := a.Run(t.Context())
		if err == nil || err.Error() != "trace "+tr.File+`: line 3: timestamp: "-1" is not a number of 0 or more` {
			t.Errorf("Run = %v; want the trace's line 3", err)
		}
		if n := len(sink.sorted()); n != 2 {
			t.Errorf("%d requests were sent, want 2", n)
		}
	})
}
