package attacks_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// writeOn writes lines of an endless answer, and counts the bytes that it could write.
func writeOn(wrote *atomic.Int64) targetstest.Step {
	return func(_ context.Context, c net.Conn) error {
		text := strings.Repeat(aLine, 50)
		for {
			n, err := c.Write([]byte(text))
			wrote.Add(int64(n))
			if err != nil {
				return err
			}
		}
	}
}

// A slow reader takes what it is said to, in portions, and the server feels it: what it could write is what the
// sample says, to the byte over a pipe, and to the window over HTTP/2. That it waits is not the server's silence.
func TestSlowReaders(t *testing.T) {
	const deadline = 10 * time.Second
	client := attacks.Client{Deadline: deadline, Idle: 20 * time.Millisecond}
	for _, rate := range []attacks.ByteRate{1, 100, 1000, 64_000} {
		synctest.Test(t, func(t *testing.T) {
			var wrote atomic.Int64
			server := targetstest.NewPipe(t, targetstest.Always(
				targetstest.Send(targetstest.Head("200 OK", "text/event-stream")), writeOn(&wrote)))
			got := onePipe(t, server, func(cfg *attacks.Config) {
				client.Read = rate
				cfg.Clients = []attacks.Client{client}
			}, server.Dial)
			checkSlow(t, got, rate, deadline)
			if wrote.Load() != got.Bytes {
				t.Errorf("at %d B/s the server wrote %d bytes, the sample has %d", rate, wrote.Load(), got.Bytes)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			var wrote atomic.Int64
			server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true}, func(s *targetstest.Stream2) {
				s.Stream()
				wrote.Store(int64(s.Write(strings.Repeat(aLine, 20_000), 1000)))
			})
			got := attack2(t, server, time.Millisecond, func(cfg *attacks.Config) {
				cfg.Clients[0] = client
				cfg.Clients[0].HTTP2, cfg.Clients[0].Read = true, rate
			})[0]
			checkSlow(t, got, rate, deadline)
			if ahead := wrote.Load() - got.Bytes; ahead < 0 || ahead > 4<<10 {
				t.Errorf("at %d B/s the server wrote %d bytes, the sample has %d; want at most 4096 more", rate, wrote.Load(), got.Bytes)
			}
		})
	}
}

// checkSlow checks what a slow reader has of an endless answer that was ended by its deadline.
func checkSlow(t *testing.T, s *results.Sample, rate attacks.ByteRate, deadline time.Duration) {
	t.Helper()
	most := int64(rate) * int64(deadline/time.Second)
	if s.Outcome != results.Deadline || s.Bytes > most || s.Bytes < most*9/10-1 {
		t.Errorf("at %d B/s: %s, %s, with %d bytes in %s; want its deadline, with %d or a little less", rate, s.Outcome, s.Error, s.Bytes, deadline, most)
	}
	for i, c := range s.Chunks { // chunk i ends with byte (i+1)*len(aLine)
		if least := time.Duration(i+1) * time.Duration(len(aLine)) * time.Second / time.Duration(rate); c.At-s.Sent < least-50*time.Millisecond {
			t.Fatalf("at %d B/s chunk %d of %d bytes each came after %s, want %s", rate, i, len(aLine), c.At-s.Sent, least)
		}
	}
}

// Silence is still found where a slow reader has taken all there is.
func TestSlowReadersTireOfSilence(t *testing.T) {
	for name, serve := range bothPipes() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := serve(t, targetstest.Always(targetstest.Send(targetstest.StreamHead+targetstest.Chunk(aLine)), targetstest.Hang()))
				got := onePipe(t, server, func(cfg *attacks.Config) {
					cfg.Clients = []attacks.Client{{Read: 50, Idle: time.Second, Deadline: 30 * time.Second}}
				}, server.Dial)
				took := time.Duration(len(targetstest.Chunk(aLine))) * time.Second / 50
				if got.Outcome != results.IdleTimeout || got.Done-got.Sent > took+1200*time.Millisecond || len(got.Chunks) != 1 {
					t.Errorf("%s: %s after %s, with %d chunks; want idle_timeout a second after %s", got.Outcome, got.Error, got.Done-got.Sent, len(got.Chunks), took)
				}
			})
		})
	}
}

// Slow readers get whole answers, over sockets and TLS, and their connections are used again.
func TestSlowReadersGetTheirAnswers(t *testing.T) {
	for name, serve := range both() {
		t.Run(name, func(t *testing.T) {
			server := serve(t, echo)
			cfg, sink := config(server.URL())
			cfg.Endpoint.CA = server.CA()
			cfg.Clients = []attacks.Client{{Read: 20_000}}
			for _, s := range inTurn(t, cfg, sink, 5, func(int) {}) {
				if s.Outcome != results.Complete || len(s.Chunks) != 4 {
					t.Errorf("sample %d is %s: %s, with %d chunks; want complete with 4", s.Index, s.Outcome, s.Error, len(s.Chunks))
				}
			}
			if server.Accepts() != 1 {
				t.Errorf("%d connections, want 1", server.Accepts())
			}
		})
	}
}

// Over a socket the server is stopped as well: it is ahead of the reader by what both kernels keep.
func TestAServerFeelsSlowReaders(t *testing.T) {
	for name, serve := range both() {
		t.Run(name, func(t *testing.T) {
			var wrote atomic.Int64
			const kept = 64 << 10 // of the server's kernel, which doubles what it is asked for, and of ours
			server := serve(t, targetstest.Always(
				func(_ context.Context, c net.Conn) error {
					if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
						c = secure.NetConn()
					}
					if tcp, ok := c.(*net.TCPConn); ok {
						return tcp.SetWriteBuffer(4 << 10)
					}
					return nil
				},
				targetstest.Send(targetstest.Head("200 OK", "text/event-stream")), writeOn(&wrote)))
			got := oneAt(t, targets.Endpoint{URL: server.URL(), CA: server.CA()}, attacks.Client{Read: 20_000, Deadline: 2 * time.Second})
			if got.Outcome != results.Deadline || got.Bytes == 0 || got.Bytes > 40_000 {
				t.Errorf("%s: %s with %d bytes; want its deadline, with at most 40000", got.Outcome, got.Error, got.Bytes)
			}
			server.Close()
			if ahead := wrote.Load() - got.Bytes; ahead < 0 || ahead > kept {
				t.Errorf("the server wrote %d bytes, the sample has %d; want at most %d more", wrote.Load(), got.Bytes, kept)
			}
			t.Logf("%d bytes taken in 2 s at 20000 B/s, %d written", got.Bytes, wrote.Load())
		})
	}
}

// An answer that a slow reader has begun to read is not one that the server is late with.
func TestSlowReadersDoNotHang(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script targetstest.Script
		oldest time.Duration
	}{
		{"reading", targetstest.Script{targetstest.Send(targetstest.StreamHead + targetstest.Token("x")), targetstest.Hang()}, 0},
		{"without a head", targetstest.Script{targetstest.Hang()}, time.Second - time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := targetstest.NewPipe(t, targetstest.Always(tt.script...))
				cfg, _ := config(server.URL())
				cfg.Clients = []attacks.Client{{Deadline: 2 * time.Second, Read: 1000}}
				a := newAttack(t, cfg)
				a.SetDial(server.Dial)
				a.Begin(results.Baseline)
				wait := run(t, a)
				time.Sleep(time.Second - time.Millisecond)
				a.Stop()
				synctest.Wait()
				if got := a.Live(); got.Oldest != tt.oldest || got.InFlight != 100 {
					t.Errorf("Live() = %+v; want 100 under way, the oldest for %s", got, tt.oldest)
				}
				wait()
			})
		})
	}
}

// A client that gives up its connection after so many requests makes as many as that comes to. Others keep theirs.
func TestConnectionChurn(t *testing.T) {
	for _, tt := range []struct{ most, want int }{{0, 1}, {1, 10}, {3, 4}, {10, 1}, {100, 1}} {
		for _, speaks2 := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				change := func(cfg *attacks.Config) {
					cfg.Clients = []attacks.Client{{HTTP2: speaks2, RequestsPerConnection: tt.most}}
				}
				var got []*results.Sample
				var accepts, ended int
				if speaks2 {
					server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true}, good)
					got = attack2(t, server, 100*time.Millisecond, change)
					accepts, ended = server.Accepts(), server.Ended()
				} else {
					server := targetstest.NewPipe(t, echo)
					cfg, sink := config(server.URL())
					change(&cfg)
					a := newAttack(t, cfg)
					a.SetDial(server.Dial)
					a.BeginFor(results.Baseline, 100*time.Millisecond)
					wait := run(t, a)
					time.Sleep(time.Second)
					ended = server.Ended()
					a.Stop()
					wait()
					got, accepts = sink.sorted(), server.Accepts()
				}
				for _, s := range got {
					if s.Outcome != results.Complete || s.Reconnects != 0 {
						t.Errorf("sample %d is %s after %d reconnects: %s", s.Index, s.Outcome, s.Reconnects, s.Error)
					}
				}
				if len(got) != 10 || accepts != tt.want || tt.most > 0 && ended < 10/tt.most {
					t.Errorf("http2 %t, %d requests a connection: %d requests on %d connections, %d ended; want 10 on %d",
						speaks2, tt.most, len(got), accepts, ended, tt.want)
				}
			})
		}
	}
}

// Clients who connect in different ways share no connection; those who connect in the same way do.
func TestClientsShareConnectionsOfTheirKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, echo)
		cfg, sink := config(server.URL())
		cfg.Clients = []attacks.Client{{Tier: "a"}, {Tier: "b"}, {Tier: "slow", Read: 50_000}, {Tier: "churns", RequestsPerConnection: 50}}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		a.BeginFor(results.Baseline, 300*time.Millisecond)
		wait := run(t, a)
		time.Sleep(time.Minute)
		a.Stop()
		wait()
		kinds := map[int]map[string]bool{}
		for _, r := range server.Requests() {
			for _, s := range sink.sorted() {
				if a.Nonce(s.Index) == nonceIn.FindString(string(r.Body)) {
					if kinds[r.Conn] == nil {
						kinds[r.Conn] = map[string]bool{}
					}
					kinds[r.Conn][strings.Trim(s.Labels["tier"], "ab")] = true
				}
			}
		}
		for conn, of := range kinds {
			if len(of) != 1 {
				t.Errorf("connection %d had clients of %v", conn, of)
			}
		}
		if len(kinds) < 3 {
			t.Errorf("%d connections, want one of each kind at least", len(kinds))
		}
	})
}
