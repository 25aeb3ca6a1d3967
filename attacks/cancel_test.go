package attacks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A heard is what a server noted of one request: the body bytes that it could send, and when the client was gone.
type heard struct {
	bytes, tokens int
	gone          time.Time
}

// A witness answers slowly and notes what it could say. Its zero value has noted nothing.
type witness struct {
	mu  sync.Mutex
	all map[int]*heard // by the request's index
}

// answer is a step that sends tokens of one word, so long apart and the first as long after the request, until the client leaves.
func (w *witness) answer(r targetstest.Request, tokens int, apart time.Duration) targetstest.Step {
	return func(ctx context.Context, c net.Conn) error {
		note := &heard{}
		w.mu.Lock()
		if w.all == nil {
			w.all = map[int]*heard{}
		}
		w.all[r.Index] = note
		w.mu.Unlock()
		gone := make(chan time.Time, 1)
		go func() { // a client says nothing while it is answered: what ends this read is its leaving
			_, _ = c.Read(make([]byte, 1))
			gone <- time.Now()
		}()
		err := w.say(ctx, c, note, tokens, apart)
		if err == nil && tokens > 0 {
			_, err = io.WriteString(c, targetstest.Finish("stop")+targetstest.Done+targetstest.StreamEnd)
		}
		at := <-gone
		w.mu.Lock()
		defer w.mu.Unlock()
		note.gone = at
		return errors.Join(err, io.EOF)
	}
}

func (w *witness) say(ctx context.Context, c net.Conn, note *heard, tokens int, apart time.Duration) error {
	for i := range tokens {
		if err := targetstest.Pause(apart)(ctx, c); err != nil {
			return err
		}
		if i == 0 {
			if err := targetstest.Send(targetstest.StreamHead)(ctx, c); err != nil {
				return err
			}
		}
		event := targetstest.Token(" word")
		if err := targetstest.Send(event)(ctx, c); err != nil {
			return err
		}
		w.mu.Lock()
		note.tokens++
		note.bytes += len(event) - len(event[:strings.Index(event, "\r\n")]) - 4 // without its HTTP chunk's frame
		w.mu.Unlock()
	}
	return nil
}

// What a client that leaves has in its sample is what the server could tell it until then.
func TestClientsLeave(t *testing.T) {
	const apart = 100 * time.Millisecond
	for _, tt := range []struct {
		name   string
		cancel attacks.Cancel
		tokens int // that the server has
		want   results.Outcome
		left   results.Left
		chunks int
		after  time.Duration // from Sent
	}{
		{"after the first token", attacks.Cancel{AfterTokens: 1}, 10, results.Cancelled, results.LeftTokens, 1, apart},
		{"after seven tokens", attacks.Cancel{AfterTokens: 7}, 10, results.Cancelled, results.LeftTokens, 7, 7 * apart},
		{"after the last token", attacks.Cancel{AfterTokens: 10}, 10, results.Cancelled, results.LeftTokens, 10, 10 * apart},
		{"after more tokens than there are", attacks.Cancel{AfterTokens: 11}, 10, results.Complete, "", 10, 10 * apart},
		{"after a time within", attacks.Cancel{After: 350 * time.Millisecond}, 10, results.Cancelled, results.LeftTime, 3, 350 * time.Millisecond},
		{"after a time before the first", attacks.Cancel{After: 50 * time.Millisecond}, 10, results.Cancelled, results.LeftTime, 0, 50 * time.Millisecond},
		{"after a longer time", attacks.Cancel{After: 5 * time.Second}, 10, results.Complete, "", 10, 10 * apart},
		{"before the first byte", attacks.Cancel{BeforeFirstByte: true}, 10, results.Cancelled, results.LeftStart, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w witness
				server := targetstest.NewPipe(t, func(r targetstest.Request) targetstest.Script {
					return targetstest.Script{w.answer(r, tt.tokens, apart)}
				})
				cfg, sink := config(server.URL())
				cfg.Profile.Constant.Rate = 1e-6
				cfg.Clients = []attacks.Client{{Cancel: &tt.cancel, Retries: 2}}
				a := newAttack(t, cfg)
				a.SetDial(server.Dial)
				wait := run(t, a)
				time.Sleep(time.Second)
				a.Begin(results.Baseline)
				begun := time.Now()
				time.Sleep(20 * time.Second)
				a.Stop()
				wait()
				synctest.Wait()
				s := sink.sorted()[0]
				if s.Outcome != tt.want || s.Left != tt.left || len(s.Chunks) != tt.chunks || s.Done-s.Sent != tt.after || len(s.Attempts) > 0 {
					t.Errorf("%s (%s), left %q after %d chunks and %s, %d attempts before; want %s, %q after %d and %s, at once",
						s.Outcome, s.Error, s.Left, len(s.Chunks), s.Done-s.Sent, len(s.Attempts), tt.want, tt.left, tt.chunks, tt.after)
				}
				note := w.all[0]
				if n := len(server.Requests()); n != 1 || note == nil {
					t.Fatalf("the server saw %d requests", n)
				}
				if tt.want == results.Complete {
					return // it stays connected
				}
				if int64(note.bytes) != s.Bytes || note.tokens != len(s.Chunks) || note.gone.Sub(begun) != tt.after {
					t.Errorf("sample has %d bytes and %d tokens; the server could send %d and %d, until %s after the start, want %s",
						s.Bytes, len(s.Chunks), note.bytes, note.tokens, note.gone.Sub(begun), tt.after)
				}
			})
		})
	}
}

// Over real sockets the server sees the same: the request whole, and then the client's end.
func TestClientsLeaveOverSockets(t *testing.T) {
	for _, c := range []attacks.Cancel{{AfterTokens: 3}, {After: 3 * time.Second}, {BeforeFirstByte: true}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			server := targetstest.New(t, func(targetstest.Request) targetstest.Script {
				return then(send(targetstest.StreamHead, strings.Repeat(targetstest.Token(" word"), 5)), targetstest.Hang())
			})
			cfg, sink := config(server.URL())
			cfg.Profile.Constant.Rate = 200
			if c.After > 0 {
				cfg.Profile.Constant.Rate = 20 // the request and five tokens are through long before that on any machine
			}
			cfg.Workload = attacks.Workload{{PromptTokens: attacks.Length{Fixed: 8_000}, OutputTokens: attacks.Length{Fixed: 50}}} // longer than one write
			cfg.Clients = []attacks.Client{{Cancel: &c}}
			for _, s := range attackUntil(t, cfg, sink, 20) {
				want := c.AfterTokens // of the five that one write brings
				if c.After > 0 {
					want = 5
				}
				if s.Outcome != results.Cancelled || s.Left == "" || len(s.Chunks) != want || len(s.Attempts)+s.Reconnects > 0 {
					t.Errorf("sample %d: %s (%s), left %q after %d chunks; want to leave after %d", s.Index, s.Outcome, s.Error, s.Left, len(s.Chunks), want)
				}
			}
			for start := time.Now(); server.Ended() < len(sink.sorted()); time.Sleep(time.Millisecond) {
				if time.Since(start) > hang {
					t.Fatalf("%d connections ended of %d requests whose clients left", server.Ended(), len(sink.sorted()))
				}
			}
			if n := len(server.Requests()); n != len(sink.sorted()) {
				t.Errorf("the server saw %d requests of %d", n, len(sink.sorted()))
			}
		})
	}
}

// Over HTTP/2 a client that leaves resets its stream, and others go on over the connection.
func TestClientsLeaveStreamsOfHTTP2(t *testing.T) {
	for _, c := range []attacks.Cancel{{AfterTokens: 3}, {After: 3 * time.Second}, {BeforeFirstByte: true}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			server := targetstest.NewHTTP2(t, targetstest.HTTP2{}, func(s *targetstest.Stream2) {
				s.Stream()
				s.Data(strings.Repeat(aLine, 5))
				s.Hang()
			})
			cfg, sink := config(server.URL())
			cfg.Profile.Constant.Rate = 200
			if c.After > 0 {
				cfg.Profile.Constant.Rate = 20 // the request and five tokens are through long before that on any machine
			}
			cfg.Clients = []attacks.Client{{HTTP2: true, Cancel: &c}}
			a := newAttack(t, cfg)
			a.Begin(results.Baseline)
			wait := run(t, a)
			n := len(sink.wait(t, 20))
			for start := time.Now(); len(server.Resets()) < n; time.Sleep(time.Millisecond) {
				if time.Since(start) > hang {
					t.Errorf("%d streams were reset of %d that clients left", len(server.Resets()), n)
					break
				}
			}
			a.Stop()
			wait()
			all := sink.sorted()
			for _, s := range all {
				if s.Outcome != results.Cancelled || s.Left == "" || c.AfterTokens > 0 && len(s.Chunks) != 3 || c.BeforeFirstByte && len(s.Chunks) > 0 {
					t.Errorf("sample %d: %s (%s), left %q after %d chunks", s.Index, s.Outcome, s.Error, s.Left, len(s.Chunks))
				}
			}
			if n := server.Accepts(); n > 2 {
				t.Errorf("%d connections for %d streams; want them to share one", n, len(all))
			}
		})
	}
}

// Who leaves is decided by the seed: the same requests in every phase and every run, and as many as the share says.
func TestShareOfThoseWhoLeave(t *testing.T) {
	left := func(share attacks.Share) (all [2][]bool) {
		synctest.Test(t, func(t *testing.T) {
			server := targetstest.NewPipe(t, echo)
			cfg, sink := config(server.URL())
			cfg.Clients = []attacks.Client{{Cancel: &attacks.Cancel{Share: share, AfterTokens: 2}}}
			a := newAttack(t, cfg)
			a.SetDial(server.Dial)
			wait := run(t, a)
			for _, p := range []results.Phase{results.Baseline, results.Fault} {
				a.BeginFor(p, 10*time.Second)
				time.Sleep(10 * time.Second)
			}
			a.Stop()
			wait()
			for i, s := range sink.sorted() {
				all[i/1000] = append(all[i/1000], s.Left == results.LeftTokens)
			}
		})
		return all
	}
	first := left(0.2)
	n := 0
	for _, is := range first[0] {
		if is {
			n++
		}
	}
	if n < 160 || n > 240 {
		t.Errorf("%d of 1000 requests left; want about 200", n)
	}
	if diff := cmp.Diff(first[0], first[1]); diff != "" {
		t.Errorf("others left in the next phase (-first +next):\n%s", diff)
	}
	if diff := cmp.Diff(first, left(0.2)); diff != "" {
		t.Errorf("others left in the next run (-first +next):\n%s", diff)
	}
	for i, is := range left(0.5)[0] {
		if first[0][i] && !is {
			t.Errorf("request %d left with a share of 20%% and not with one of 50%%", i)
		}
	}
}
