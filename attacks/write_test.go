package attacks_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// narrow listens on loopback and hands each connection, with small buffers, to serve, which ends it.
func narrow(t *testing.T, serve func(conn net.Conn)) (url string) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if tcp, ok := conn.(*net.TCPConn); ok && tcp.SetReadBuffer(64<<10) == nil {
				go func() {
					defer func() { _ = conn.Close() }()
					serve(conn)
				}()
			}
		}
	}()
	return "http://" + l.Addr().String()
}

// readHead reads a request up to its body.
func readHead(conn net.Conn) (in *bufio.Reader, length int64) {
	in = bufio.NewReaderSize(conn, 16)
	r, err := http.ReadRequest(in)
	if err != nil {
		return in, 0
	}
	return in, r.ContentLength
}

// A prompt that is longer than what the kernel holds is written while the answer is read: a server that
// refuses it early is heard, whether it then closes, hangs, or reads on.
func TestALongPromptIsHeardOutEarly(t *testing.T) {
	tooLong := targetstest.Reply("413 Content Too Large", "application/json", "", `{"error":{"message":"prompt is too long"}}`)
	for _, tt := range []struct {
		name  string
		serve func(conn net.Conn, in io.Reader, length int64)
		want  results.Outcome
		error string
	}{
		{"refused, and hangs", func(conn net.Conn, _ io.Reader, _ int64) {
			_, _ = io.WriteString(conn, tooLong)
			<-t.Context().Done() // without reading
		}, results.HTTPStatus, "prompt is too long"},
		{"refused, and reads on", func(conn net.Conn, in io.Reader, _ int64) {
			_, _ = io.WriteString(conn, tooLong)
			_, _ = io.Copy(io.Discard, in)
		}, results.HTTPStatus, "prompt is too long"},
		{"refused, and ends its side", func(conn net.Conn, _ io.Reader, _ int64) {
			_, _ = io.WriteString(conn, strings.Replace(tooLong, "\r\n", "\r\nConnection: close\r\n", 1))
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			<-t.Context().Done()
		}, results.HTTPStatus, "prompt is too long"},
		{"read to its end", func(conn net.Conn, in io.Reader, length int64) {
			if n, _ := io.CopyN(io.Discard, in, length); n == length {
				_, _ = io.WriteString(conn, targetstest.Answer("a"))
			}
		}, results.Complete, ""},
		{"answered before it was read", func(conn net.Conn, in io.Reader, length int64) {
			_, _ = io.WriteString(conn, targetstest.StreamHead+targetstest.Token("a"))
			_, _ = io.CopyN(io.Discard, in, length)
			_, _ = io.WriteString(conn, targetstest.Token("b")+targetstest.Finish("stop")+targetstest.Done+targetstest.StreamEnd)
		}, results.Complete, ""},
		{"answered and not read", func(conn net.Conn, _ io.Reader, _ int64) {
			_, _ = io.WriteString(conn, targetstest.Answer("a"))
			<-t.Context().Done()
		}, results.Complete, ""},
		{"hung up on", func(net.Conn, io.Reader, int64) {}, results.Reset, "closed|reset"},
		{"neither read nor answered", func(net.Conn, io.Reader, int64) { <-t.Context().Done() }, results.Deadline, "deadline"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := narrow(t, func(conn net.Conn) {
				in, length := readHead(conn)
				tt.serve(conn, in, length)
			})
			cfg, sink := config(url)
			cfg.Profile.Constant.Rate = 1e-6
			cfg.Workload = attacks.Workload{{PromptTokens: attacks.Length{Fixed: 500_000}, OutputTokens: attacks.Length{Fixed: 4}}}
			cfg.Clients = []attacks.Client{{Deadline: 30 * time.Second}}
			if tt.want == results.Deadline {
				cfg.Clients[0].Deadline = 300 * time.Millisecond
			}
			a := newAttack(t, cfg)
			a.SetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
				var d net.Dialer
				conn, err := d.DialContext(ctx, network, addr)
				if tcp, ok := conn.(*net.TCPConn); ok {
					err = errors.Join(err, tcp.SetWriteBuffer(64<<10))
				}
				return conn, err
			})
			a.BeginFor(results.Baseline, time.Millisecond)
			wait := run(t, a)
			got := sink.wait(t, 1)[0]
			a.Stop()
			wait()
			fits := false
			for part := range strings.SplitSeq(tt.error, "|") {
				fits = fits || strings.Contains(got.Error, part)
			}
			if got.Outcome != tt.want || !fits {
				t.Errorf("outcome %s: %q; want %s: %q", got.Outcome, got.Error, tt.want, tt.error)
			}
		})
	}
}
