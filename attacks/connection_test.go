package attacks_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// attackUntil runs cfg until n samples have come.
func attackUntil(t *testing.T, cfg attacks.Config, sink *samples, n int) []*results.Sample {
	t.Helper()
	a := newAttack(t, cfg)
	a.Begin(results.Baseline)
	wait := run(t, a)
	sink.wait(t, n)
	a.Stop()
	wait()
	return sink.sorted()
}

// Under TLS, too, the first byte is that of the response, and not of the handshake's tickets.
func TestFirstByteOverTLS(t *testing.T) {
	server := targetstest.NewTLS(t, func(r targetstest.Request) targetstest.Script {
		return append(targetstest.Script{targetstest.Pause(100 * time.Millisecond)}, echo(r)...)
	})
	got := oneAt(t, targets.Endpoint{URL: server.URL(), CA: server.CA()}, attacks.Client{})
	if got.Outcome != results.Complete || got.FirstByte-got.Sent < 100*time.Millisecond {
		t.Errorf("%s: %s, first byte after %s; want complete, and at least 100ms", got.Outcome, got.Error, got.FirstByte-got.Sent)
	}
}

// Limits of our own machine are not the server's failures: the attack ends and says what to do.
func TestOurOwnLimitsEndTheAttack(t *testing.T) {
	at := func(ip string) *net.TCPAddr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 80} }
	for _, tt := range []struct {
		name string
		err  error
		want string // in Run's error; "": it is the server's
	}{
		{"EMFILE", os.NewSyscallError("socket", syscall.EMFILE), "ulimit -n"},
		{"ENFILE", os.NewSyscallError("socket", syscall.ENFILE), "ulimit -n"},
		{"EMFILE of a lookup", &net.DNSError{Err: "dial udp 127.0.0.1:53: socket: " + syscall.EMFILE.Error(), Name: "h"}, "ulimit -n"},
		{"no port", &net.OpError{Op: "dial", Addr: at("10.0.0.1"), Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}, "ip_local_port_range"},
		{"no IPv6", &net.OpError{Op: "dial", Addr: at("::1"), Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}, ""},
		{"refused", &net.OpError{Op: "dial", Addr: at("10.0.0.1"), Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, sink := config("http://pipe.test")
				a := newAttack(t, cfg)
				a.SetDial(func(context.Context, string, string) (net.Conn, error) { return nil, tt.err })
				a.BeginFor(results.Baseline, time.Second)
				done := make(chan error)
				go func() { done <- a.Run(t.Context()) }()
				time.Sleep(2 * time.Second)
				a.Stop()
				err, got := <-done, sink.sorted()
				if tt.want == "" {
					if err != nil || len(got) != 100 || got[0].Outcome != results.Connect {
						t.Errorf("Run = %v after %d samples, the first %+v; want none, 100, connect", err, len(got), got[0])
					}
					return
				}
				if err == nil || !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Run = %v, want %v and %q", err, tt.err, tt.want)
				}
				if len(got) > 1 || got[0].Outcome != results.Cancelled || got[0].Error == "" {
					t.Errorf("%d samples, the first %+v; want one that is cancelled", len(got), got[0])
				}
			})
		})
	}
}

// A fresh connection is never stale, even if it fails at once: one replacement, and no loop.
func TestAFreshConnectionIsNotStale(t *testing.T) {
	server := targetstest.New(t, targetstest.Always(targetstest.FIN()))
	got := one(t, server.URL(), attacks.Client{})
	if got.Outcome != results.Reset || got.Reconnects != 0 || server.Accepts() != 1 {
		t.Errorf("%s, %d reconnects, %d connections; want reset, 0, 1", got.Outcome, got.Reconnects, server.Accepts())
	}
}

// A connection whose response was not read to a proper end is never used again.
func TestAConnectionWithLeftoversIsNotUsedAgain(t *testing.T) {
	for name, script := range map[string]targetstest.Script{
		"bytes after the end": send(targetstest.Answer("a"), "HTTP/1.1 200 OK\r\n"),
		"Connection: close":   send(strings.Replace(targetstest.Answer("a"), "\r\n", "\r\nConnection: close\r\n", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			server := targetstest.New(t, targetstest.Always(script...))
			cfg, sink := config(server.URL())
			got := attackUntil(t, cfg, sink, 5)
			for _, s := range got {
				if s.Outcome != results.Complete || s.Reconnects != 0 {
					t.Errorf("sample %+v; want complete without a reconnect", s)
				}
			}
			if server.Accepts() != len(got) {
				t.Errorf("%d connections for %d requests, want one each", server.Accepts(), len(got))
			}
		})
	}
}

// What keeps us from a connection has its own names.
func TestNoConnection(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	notTLS := targetstest.New(t, targetstest.Always(targetstest.FIN()))
	for _, tt := range []struct {
		name, url string
		want      results.Outcome
	}{
		{"refused", free, results.Connect},
		{"no such host", "http://no-such-host.invalid", results.DNS},
		{"no TLS", strings.Replace(notTLS.URL(), "http:", "https:", 1), results.TLS},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := one(t, tt.url, attacks.Client{Deadline: 20 * time.Second})
			if got.Outcome != tt.want || got.Error == "" || got.Status != 0 || got.FirstByte != 0 || got.Done == 0 {
				t.Errorf("sample %+v; want %s", got, tt.want)
			}
		})
	}
}

// A stamp is when the socket read returned, also where the network cut within an
// HTTP chunk: a token does not wait for the one after it.
func TestStampsAreThoseOfTheSocketReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := targetstest.Token("a"), targetstest.Token("b"), targetstest.Token("c")
		server := targetstest.NewPipe(t, targetstest.Always(
			targetstest.Send(targetstest.StreamHead), targetstest.Pause(50*time.Millisecond),
			targetstest.Send(a+b[:len(b)/2]), targetstest.Pause(200*time.Millisecond),
			targetstest.Send(b[len(b)/2:]+c[:2]), targetstest.Pause(30*time.Millisecond),
			targetstest.Send(c[2:]+targetstest.Token("d")+targetstest.Finish("stop")+targetstest.Done+targetstest.StreamEnd),
		))
		cfg, sink := config(server.URL())
		cfg.Profile.Constant.Rate = 1e-6
		a1 := newAttack(t, cfg)
		a1.SetDial(server.Dial)
		a1.Begin(results.Baseline)
		wait := run(t, a1)
		time.Sleep(time.Second)
		a1.Stop()
		wait()
		got := sink.sorted()[0]
		want := []results.Chunk{
			{At: got.Due + 50*time.Millisecond, Tokens: 1},
			{At: got.Due + 250*time.Millisecond, Tokens: 1},
			{At: got.Due + 280*time.Millisecond, Tokens: 1},
			{At: got.Due + 280*time.Millisecond, Tokens: 1, Coalesced: true},
		}
		for i, chunk := range got.Chunks {
			if i >= len(want) || chunk != want[i] {
				t.Errorf("chunk %d = %+v, want %+v", i, chunk, want)
			}
		}
		if got.FirstByte != got.Due || got.Outcome != results.Complete {
			t.Errorf("sample %+v; want the first byte at %s, and complete", got, got.Due)
		}
	})
}

// What the server counts decides how many tokens a chunk has, chunk by chunk if it says so.
func TestTokensOfAChunk(t *testing.T) {
	each := func(n string) string {
		return strings.Replace(aLine, `null}]`, `null}],"usage":{"prompt_tokens":5,"completion_tokens":`+n+`}`, 1)
	}
	total := func(n string) string {
		return strings.Replace(end, `"stop"}]`, `"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":`+n+`}`, 1)
	}
	for _, tt := range []struct {
		name   string
		script targetstest.Script
		want   []int
		usage  results.Usage
	}{
		{"not counted", stream(aLine, aLine, end), []int{1, 1}, results.Usage{Output: 2, Source: results.UsageChunks}},
		{"one each", stream(aLine, aLine, total("2")), []int{1, 1}, results.Usage{Prompt: 5, Output: 2, Source: results.UsageServer}},
		{"and an end of turn", stream(aLine, aLine, total("3")), []int{1, 2}, results.Usage{Prompt: 5, Output: 3, Source: results.UsageServer}},
		{"two and a half each", stream(aLine, aLine, aLine, aLine, total("10")), []int{2, 3, 2, 3}, results.Usage{Prompt: 5, Output: 10, Source: results.UsageServer}},
		{"counted in each", stream(each("1"), each("4"), each("5"), total("5")), []int{1, 3, 1}, results.Usage{Prompt: 5, Output: 5, Source: results.UsageServer}},
		{"fewer than chunks", stream(aLine, aLine, total("1")), []int{1, 1}, results.Usage{Prompt: 5, Output: 1, Source: results.UsageServer}},
		{"cut before it was counted", stream(aLine, aLine), []int{1, 1}, results.Usage{Output: 2, Source: results.UsageChunks}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := one(t, targetstest.New(t, targetstest.Always(tt.script...)).URL(), attacks.Client{})
			var tokens []int
			for _, c := range got.Chunks {
				tokens = append(tokens, c.Tokens)
			}
			if len(tokens) != len(tt.want) || got.Usage != tt.usage {
				t.Fatalf("tokens %v, usage %+v; want %v, %+v", tokens, got.Usage, tt.want, tt.usage)
			}
			for i := range tokens {
				if tokens[i] != tt.want[i] {
					t.Errorf("tokens %v, want %v", tokens, tt.want)
				}
			}
		})
	}
}

// Labels are fixed or what the server says; a header that is not there gives none.
func TestLabels(t *testing.T) {
	server := targetstest.New(t, targetstest.Always(targetstest.Send(
		strings.Replace(targetstest.Answer("a"), "\r\n", "\r\nX-Region: east\r\n", 1))))
	cfg, sink := config(server.URL())
	cfg.Endpoint.Labels = map[string]targets.Label{
		"region": {Header: "x-region"}, "replica": {Header: "X-Replica"}, "model": {Value: "tiny"},
	}
	cfg.Clients = []attacks.Client{{Tier: "paid"}}
	got := attackUntil(t, cfg, sink, 2)
	for _, s := range got {
		if s.Labels.String() != `{model="tiny", region="east", tier="paid"}` {
			t.Errorf("Labels = %s", s.Labels)
		}
	}
	got[0].Labels["x"] = "y"
	if got[1].Labels["x"] != "" {
		t.Error("two samples share their labels")
	}
}
