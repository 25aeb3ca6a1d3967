package attacks_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// inTurn begins n requests, each once the one before has ended and then() has returned.
func inTurn(t *testing.T, cfg attacks.Config, sink *samples, n int, then func(i int)) []*results.Sample {
	t.Helper()
	cfg.Profile = attacks.Profile{Constant: &attacks.Constant{Rate: 1e-6}} // the first is due at once
	a := newAttack(t, cfg)
	wait := run(t, a)
	for i := range n {
		a.Begin(results.Baseline)
		sink.wait(t, i+1)
		then(i)
	}
	a.Stop()
	wait()
	return sink.sorted()
}

// until returns once done does, or fails the test.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for start := time.Now(); !done(); time.Sleep(time.Millisecond) {
		if time.Since(start) > hang {
			t.Fatalf("no %s in %s", what, hang)
		}
	}
}

// llama.cpp closes after every stream while it promises to keep the connection. Where the news is here
// in time, that costs nothing at all.
func TestAServerThatClosesAfterEachStreamCostsNothing(t *testing.T) {
	for name, serve := range both() {
		t.Run(name, func(t *testing.T) {
			server := serve(t, func(r targetstest.Request) targetstest.Script { return append(echo(r), targetstest.FIN()) })
			cfg, sink := config(server.URL())
			cfg.Endpoint.CA = server.CA()
			got := inTurn(t, cfg, sink, 10, func(i int) {
				until(t, "close", func() bool { return server.Ended() > i })
			})
			for _, s := range got {
				if s.Outcome != results.Complete || s.Reconnects != 0 || s.Error != "" {
					t.Errorf("sample %d is %s after %d reconnects: %s; want complete after none", s.Index, s.Outcome, s.Reconnects, s.Error)
				}
			}
			if n := len(server.Requests()); n != len(got) || server.Accepts() != n {
				t.Errorf("the server saw %d requests on %d connections, want %d on as many", n, server.Accepts(), len(got))
			}
		})
	}
}

// both are servers over sockets, without TLS and with it.
func both() map[string]func(testing.TB, targetstest.Handler) *targetstest.Server {
	return map[string]func(testing.TB, targetstest.Handler) *targetstest.Server{"plain": targetstest.New, "TLS": targetstest.NewTLS}
}

// bothPipes are the same over pipes.
func bothPipes() map[string]func(testing.TB, targetstest.Handler) *targetstest.Server {
	return map[string]func(testing.TB, targetstest.Handler) *targetstest.Server{"plain": targetstest.NewPipe, "TLS": targetstest.NewPipeTLS}
}

// Where the news is late each time, connections are used again until it is plain that the server keeps none.
// A pipe cannot be asked, so the news is always late.
func TestAServerThatNeverKeepsAConnectionIsLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, func(r targetstest.Request) targetstest.Script { return append(echo(r), targetstest.FIN()) })
		cfg, sink := config(server.URL())
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		a.BeginFor(results.Baseline, time.Second)
		wait := run(t, a)
		time.Sleep(2 * time.Second)
		a.Stop()
		wait()
		for _, s := range sink.sorted() {
			want := 0
			if s.Index >= 1 && s.Index <= 3 {
				want = 1
			}
			if s.Outcome != results.Complete || s.Reconnects != want || s.Error != "" {
				t.Errorf("sample %d is %s after %d reconnects: %q; want complete after %d", s.Index, s.Outcome, s.Reconnects, s.Error, want)
			}
		}
		if n := len(server.Requests()); n != 100 || server.Accepts() != 100 {
			t.Errorf("%d requests on %d connections, want 100 on 100", n, server.Accepts())
		}
	})
}

// A server whose connections all went at once, and one that kept some before, may keep them again.
func TestAServerThatRestartsIsNotTakenForOneThatKeepsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, func(r targetstest.Request) targetstest.Script {
			script := append(targetstest.Script{targetstest.Pause(100 * time.Millisecond)}, echo(r)...)
			if r.Index < 10 { // overlap: ten connections, none of which had served before
				script = append(script, targetstest.FIN())
			}
			return script
		})
		cfg, sink := config(server.URL())
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		a.BeginFor(results.Baseline, 100*time.Millisecond)
		wait := run(t, a)
		for range 20 {
			time.Sleep(500 * time.Millisecond)
			a.BeginFor(results.Fault, 10*time.Millisecond)
		}
		time.Sleep(time.Second)
		a.Stop()
		wait()
		if got := sink.sorted(); len(got) != 30 || server.Accepts() != 11 {
			t.Errorf("%d requests on %d connections; want 30 on 10 that went and 1 that stayed", len(got), server.Accepts())
		}
	})
}

// A server that takes a request and dies 300 ms into its prefill costs it, on a new connection and
// on one that had served before.
func TestAServerThatDiesInPrefillCostsEachRequest(t *testing.T) {
	for name, end := range map[string]targetstest.Step{"FIN": targetstest.FIN(), "RST": targetstest.RST()} {
		for over, serve := range both() {
			t.Run(name+" "+over, func(t *testing.T) {
				server := serve(t, func(r targetstest.Request) targetstest.Script {
					if r.Index == 0 {
						return echo(r)
					}
					return targetstest.Script{targetstest.Pause(300 * time.Millisecond), end}
				})
				cfg, sink := config(server.URL())
				cfg.Endpoint.CA = server.CA()
				a := newAttack(t, cfg) // for its nonces
				got := inTurn(t, cfg, sink, 3, func(int) {})
				seen := map[string]targetstest.Request{}
				for _, r := range server.Requests() {
					seen[nonceIn.FindString(string(r.Body))] = r
				}
				if len(seen) != 3 || len(server.Requests()) != 3 {
					t.Fatalf("the server saw %d requests of %d turns, want 3 of 3: something was sent twice", len(server.Requests()), len(seen))
				}
				for _, s := range got {
					r := seen[a.Nonce(s.Index)]
					if r.Index == 0 {
						continue
					}
					if s.Outcome != results.Reset || s.Reconnects != 0 {
						t.Errorf("sample %d is %s after %d reconnects: %s; want reset after none", s.Index, s.Outcome, s.Reconnects, s.Error)
					}
					if served := r.Conn == 0; served != (r.Index == 1) {
						t.Errorf("request %d came on connection %d; want the first again, then a new one", r.Index, r.Conn)
					}
				}
			})
		}
	}
}

// The rule for a stale connection, with the time of the failure and the way's length under control.
func TestStaleConnection(t *testing.T) {
	for _, tt := range []struct {
		name       string
		connect    time.Duration // the way there and back
		after      time.Duration // the reused connection fails so long after it got the request
		head       string        // after this much of a response
		want       results.Outcome
		reconnects int
	}{
		{"at once", 0, 0, "", results.Complete, 1},
		{"after 4 ms", 0, 4 * time.Millisecond, "", results.Complete, 1},
		{"after 6 ms", 0, 6 * time.Millisecond, "", results.Reset, 0},
		{"after a byte", 0, 0, "H", results.Reset, 0},
		{"far away after 90 ms", 100 * time.Millisecond, 90 * time.Millisecond, "", results.Complete, 1},
		{"far away after 110 ms", 100 * time.Millisecond, 110 * time.Millisecond, "", results.Reset, 0},
		{"the bound", 900 * time.Millisecond, 510 * time.Millisecond, "", results.Reset, 0},
		{"under the bound", 900 * time.Millisecond, 490 * time.Millisecond, "", results.Complete, 1},
		{"a lost SYN", 1005 * time.Millisecond, 6 * time.Millisecond, "", results.Reset, 0},
	} {
		for over, serve := range bothPipes() {
			t.Run(tt.name+" "+over, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := serve(t, func(r targetstest.Request) targetstest.Script {
						if r.Index == 1 {
							return targetstest.Script{targetstest.Send(tt.head), targetstest.Pause(tt.after), targetstest.FIN()}
						}
						return echo(r)
					})
					cfg, sink := config(server.URL())
					cfg.Endpoint.CA = server.CA()
					a := newAttack(t, cfg)
					a.SetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
						time.Sleep(tt.connect)
						return server.Dial(ctx, network, addr)
					})
					wait := run(t, a)
					for range 2 {
						a.BeginFor(results.Baseline, 10*time.Millisecond)
						time.Sleep(10 * time.Second)
					}
					a.Stop()
					wait()
					got := sink.sorted()
					if len(got) != 2 || got[0].Outcome != results.Complete || got[1].Outcome != tt.want || got[1].Reconnects != tt.reconnects {
						t.Errorf("samples %+v; want complete, then %s after %d reconnects", got, tt.want, tt.reconnects)
					}
					for _, s := range got {
						if (s.Error == "") != (s.Outcome == results.Complete) {
							t.Errorf("sample %d is %s with error %q", s.Index, s.Outcome, s.Error)
						}
					}
				})
			})
		}
	}
}

// A server that reads part of a long prompt on a connection that it had kept, and dies later, has begun.
func TestAPromptReadInPartIsNotSentAgain(t *testing.T) {
	for _, tt := range []struct {
		after time.Duration
		want  results.Outcome
	}{{300 * time.Millisecond, results.Reset}, {3 * time.Millisecond, results.Complete}} {
		t.Run(tt.after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := targetstest.NewPipe(t, echo)
				var dials atomic.Int64
				cfg, sink := config(server.URL())
				cfg.Workload = attacks.Workload{{PromptTokens: attacks.Length{Fixed: 10_000}, OutputTokens: attacks.Length{Fixed: 4}}}
				a := newAttack(t, cfg)
				a.SetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := server.Dial(ctx, network, addr)
					if dials.Add(1) > 1 {
						return conn, err
					}
					return &dyingConn{Conn: conn, after: tt.after, dead: make(chan struct{})}, err
				})
				wait := run(t, a)
				for range 2 {
					a.BeginFor(results.Baseline, 10*time.Millisecond)
					time.Sleep(10 * time.Second)
				}
				a.Stop()
				wait()
				got := sink.sorted()
				if len(got) != 2 || got[0].Outcome != results.Complete || got[1].Outcome != tt.want {
					t.Errorf("samples %+v, %+v; want complete, then %s", *got[0], *got[len(got)-1], tt.want)
				}
			})
		})
	}
}

// A dyingConn takes one write; its second is taken in part, and the other side is gone some time later.
type dyingConn struct {
	net.Conn
	after  time.Duration
	writes atomic.Int64
	dead   chan struct{}
}

// Write takes it all, or dies.
func (c *dyingConn) Write(p []byte) (int, error) {
	if c.writes.Add(1) == 1 {
		return c.Conn.Write(p)
	}
	time.Sleep(c.after)
	close(c.dead)
	_ = c.Close() // wakes Read
	return len(p) / 2, &net.OpError{Op: "write", Err: syscall.ECONNRESET}
}

// Read finds the other side gone after that.
func (c *dyingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	select {
	case <-c.dead:
		return 0, io.EOF
	default:
		return n, err
	}
}

// Streams are not held to a few connections per host, as net/http's idle ones are, and all are used again.
func TestConnectionsAreNotCapped(t *testing.T) {
	const streams = 50
	var mu sync.Mutex
	arrived, gate := 0, make(chan struct{})
	server := targetstest.New(t, func(r targetstest.Request) targetstest.Script {
		mu.Lock()
		defer mu.Unlock()
		mine := gate
		if arrived++; arrived%streams == 0 {
			close(gate)
			gate = make(chan struct{})
		}
		return append(targetstest.Script{func(ctx context.Context, _ net.Conn) error {
			select {
			case <-mine:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}, echo(r)...)
	})
	cfg, sink := config(server.URL())
	cfg.Profile.Constant.Rate = 1000
	a := newAttack(t, cfg)
	wait := run(t, a)
	for round := range 2 {
		a.BeginFor(results.Baseline, streams*time.Millisecond)
		sink.wait(t, (round+1)*streams)
	}
	a.Stop()
	wait()
	for _, s := range sink.sorted() {
		if s.Outcome != results.Complete {
			t.Errorf("sample %d is %s: %s", s.Index, s.Outcome, s.Error)
		}
	}
	if server.Accepts() != streams || len(server.Requests()) != 2*streams {
		t.Errorf("%d requests on %d connections, want %d on %d", len(server.Requests()), server.Accepts(), 2*streams, streams)
	}
}
