package attacks_test

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// onePipe sends one request over a pipe, under fake time, and returns its sample.
func onePipe(t *testing.T, server *targetstest.Server, change func(*attacks.Config), dial func(context.Context, string, string) (net.Conn, error)) *results.Sample {
	t.Helper()
	cfg, sink := config(server.URL())
	cfg.Endpoint.CA = server.CA()
	cfg.Profile.Constant.Rate = 1e-6
	change(&cfg)
	a := newAttack(t, cfg)
	a.SetDial(dial)
	a.BeginFor(results.Baseline, time.Millisecond)
	wait := run(t, a)
	time.Sleep(time.Minute)
	a.Stop()
	wait()
	synctest.Wait() // for what the server's script noted
	return sink.sorted()[0]
}

// An event is stamped with the socket read that brought the last byte it needs, and marked if that read had
// brought another one before it: in every framing, in one HTTP chunk or in several, with TLS and without.
func TestStampsInEveryDialect(t *testing.T) {
	framings := map[string]struct {
		head  func(s *speech) string
		chunk func(text string) string
		end   string
	}{
		"chunked":    {(*speech).head, targetstest.Chunk, targetstest.StreamEnd},
		"no framing": {func(s *speech) string { return targetstest.Head("200 OK", s.mediaType) }, func(text string) string { return text }, ""},
		"content length": {func(s *speech) string {
			return strings.Replace(targetstest.Head("200 OK", s.mediaType), "\r\n", "\r\nContent-Length: 5000\r\n", 1)
		}, func(text string) string { return text }, strings.Repeat("\n", 5000)},
	}
	for _, s := range speeches() {
		for how, f := range framings {
			for over, serve := range bothPipes() {
				t.Run(s.dialect.Name()+" "+how+" "+over, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						n := strings.Count(sum(s.begin...), `"sequence_number"`)
						number := func(text string) string { // goes on with the numbers of s.begin
							for ; strings.Contains(text, "SEQ"); n++ {
								text = strings.Replace(text, "SEQ", string(rune('0'+n)), 1)
							}
							return text
						}
						together := number(s.text("a") + s.text("b"))
						c, d := number(s.text("c")), number(s.text("d"))
						end := f.chunk(number(strings.Join(s.end(4), ""))) + f.end
						cChunk, dChunk := f.chunk(c), f.chunk(d)
						half := strings.Index(cChunk, c) + len(c)/2
						last := strings.LastIndex(dChunk, "\n") - len(dChunk) // before the line end that completes d
						if strings.HasSuffix(dChunk, "\r\n") {
							last = strings.LastIndex(dChunk[:len(dChunk)-2], "\n") - len(dChunk)
						}
						if f.end != "" && how == "content length" {
							end = end[:5000-len(sum(s.begin...)+together+c+d)]
						}
						server := serve(t, targetstest.Always(
							targetstest.Send(f.head(&s)+f.chunk(sum(s.begin...)+"\n")), targetstest.Pause(50*time.Millisecond),
							targetstest.Send(f.chunk(together)+cChunk[:half]), targetstest.Pause(200*time.Millisecond),
							targetstest.Send(cChunk[half:]+dChunk[:len(dChunk)+last]), targetstest.Pause(30*time.Millisecond),
							targetstest.Send(dChunk[len(dChunk)+last:]), targetstest.Pause(30*time.Millisecond),
							targetstest.Send(end), targetstest.FIN(),
						))
						got := onePipe(t, server, func(cfg *attacks.Config) { cfg.Endpoint.Dialect = s.dialect.Name() }, server.Dial)
						want := []results.Chunk{
							{At: got.Due + 50*time.Millisecond, Tokens: 1},
							{At: got.Due + 50*time.Millisecond, Tokens: 1, Coalesced: true},
							{At: got.Due + 250*time.Millisecond, Tokens: 1},
							{At: got.Due + 280*time.Millisecond, Tokens: 1},
						}
						if !slices.Equal(got.Chunks, want) || got.Outcome != results.Complete {
							t.Errorf("%s: %s, chunks %+v from %s; want complete, %+v", got.Outcome, got.Error, got.Chunks, got.Due, want)
						}
					})
				})
			}
		}
	}
}

// A glued connection reads whatever comes within a millisecond at once, as a kernel does for who is slow.
type glued struct{ net.Conn }

// Read waits for something and then for what follows.
func (g glued) Read(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = g.Conn.Read(p[n:])
		n += more
		if deadline := g.SetReadDeadline(time.Now().Add(time.Millisecond)); deadline != nil {
			return n, deadline
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || n > 0 {
		err = g.SetReadDeadline(time.Time{})
	}
	return n, err
}

// What came in one read is marked as such under TLS, too, where each event has a record of its own.
func TestRecordsOfOneReadAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("x", 900)
		server := targetstest.NewPipeTLS(t, targetstest.Always(
			targetstest.Send(targetstest.StreamHead), targetstest.Pause(50*time.Millisecond),
			targetstest.SendEach(0, targetstest.Token(long), targetstest.Token(long), targetstest.Token(long)), targetstest.Pause(50*time.Millisecond),
			targetstest.Send(targetstest.Token("d")+targetstest.Finish("stop")+targetstest.Done+targetstest.StreamEnd),
		))
		got := onePipe(t, server, func(*attacks.Config) {}, func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := server.Dial(ctx, network, addr)
			return glued{conn}, err
		})
		var marks []bool
		for _, c := range got.Chunks {
			marks = append(marks, c.Coalesced)
		}
		if !slices.Equal(marks, []bool{false, true, true, false}) || got.Outcome != results.Complete {
			t.Errorf("%s: %s, coalesced %v; want the second and third of four", got.Outcome, got.Error, marks)
		}
	})
}
