package wire_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/targets/wire"
)

// pipes is a network of net.Pipes, so that a synctest bubble can own all of it.
type pipes struct {
	clients, upstreams chan net.Conn
	closed             chan struct{}
	once               sync.Once
}

func newPipes() *pipes {
	return &pipes{make(chan net.Conn), make(chan net.Conn, 16), make(chan struct{}), sync.Once{}}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.clients:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{Port: 1} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	p.upstreams <- far
	return near, nil
}

// connect gives both outer ends of a new connection through the proxy.
func (p *pipes) connect() (client, upstream net.Conn) {
	client, near := net.Pipe()
	p.clients <- near
	return client, <-p.upstreams
}

// A bench is a proxy whose link "db" is connected through pipes, in a bubble of its own.
type bench struct {
	*testing.T
	*pipes
	proxy *wire.Proxy
}

// bubble runs f with a bench.
func bubble(t *testing.T, f func(b bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		proxy := wire.New(wire.Config{
			Listen: func(context.Context, string, string) (net.Listener, error) { return p, nil },
			Dial:   p.dial,
		})
		if _, err := proxy.Add(wire.Link{Name: "db", Listen: "x:0", Upstream: "y:1"}); err != nil {
			t.Fatalf("Add(db) = %v", err)
		}
		f(bench{t, p, proxy})
		if err := proxy.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	})
}

func set(t *testing.T, p *wire.Proxy, f wire.Fault) {
	t.Helper()
	if f.ID == "" {
		f.ID = "f"
	}
	if f.Lease == 0 {
		f.Lease = time.Minute
	}
	if _, err := p.SetFault("db", f); err != nil {
		t.Fatalf("SetFault(db, %+v) = %v, want nil", f, err)
	}
}

// send writes text at once, and returns when it arrived at the other end.
func send(t *testing.T, from, to net.Conn, text string) time.Duration {
	t.Helper()
	start := time.Now()
	go func() {
		if _, err := from.Write([]byte(text)); err != nil {
			t.Errorf("Write(%q) = %v", text, err)
		}
	}()
	buf := make([]byte, len(text))
	if _, err := io.ReadFull(to, buf); err != nil {
		t.Fatalf("read %q: %v", text, err)
	}
	if got := string(buf); got != text {
		t.Fatalf("read %q, want %q", got, text)
	}
	return time.Since(start)
}

// A fault, its change and its end are felt on a connection that was open before.
func TestLatencyComesAndGoesOnALiveConnection(t *testing.T) {
	bubble(t, func(b bench) {
		client, upstream := b.connect()
		for _, step := range []struct {
			name     string
			fault    wire.Fault
			up, down time.Duration
		}{
			{"no fault", wire.Fault{}, 0, 0},
			{"down by default", wire.Fault{Latency: 70 * time.Millisecond}, 0, 70 * time.Millisecond},
			{"up", wire.Fault{Latency: 30 * time.Millisecond, Direction: wire.Up}, 30 * time.Millisecond, 0},
			{"both, each in full", wire.Fault{Latency: time.Second, Direction: wire.Both}, time.Second, time.Second},
			{"cleared", wire.Fault{}, 0, 0},
		} {
			if step.fault.Latency == 0 {
				if _, err := b.proxy.ClearFault("db", "f"); err != nil {
					b.Fatalf("%s: ClearFault(db, f) = %v", step.name, err)
				}
			} else {
				set(b.T, b.proxy, step.fault)
			}
			if got := send(b.T, client, upstream, "question"); got != step.up {
				b.Errorf("%s: up took %s, want %s", step.name, got, step.up)
			}
			if got := send(b.T, upstream, client, "answer"); got != step.down {
				b.Errorf("%s: down took %s, want %s", step.name, got, step.down)
			}
		}
	})
}

// stream writes a byte every gap and returns when each arrived, counted from the first write.
func stream(t *testing.T, from io.Writer, to io.Reader, n int, gap time.Duration) []time.Duration {
	t.Helper()
	start := time.Now()
	go func() {
		for range n {
			if _, err := from.Write([]byte{'x'}); err != nil {
				t.Errorf("write: %v", err)
			}
			time.Sleep(gap)
		}
	}()
	at := make([]time.Duration, n)
	for i := range at {
		if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
			t.Fatalf("read byte %d: %v", i, err)
		}
		at[i] = time.Since(start)
	}
	time.Sleep(gap) // the writer's last
	return at
}

// Delays do not add up behind each other.
func TestLatencyShiftsAStreamByAConstant(t *testing.T) {
	bubble(t, func(b bench) {
		client, upstream := b.connect()
		set(b.T, b.proxy, wire.Fault{Latency: 100 * time.Millisecond})
		got := stream(b.T, upstream, client, 50, 20*time.Millisecond)
		for i, at := range got {
			if want := 100*time.Millisecond + time.Duration(i)*20*time.Millisecond; at != want {
				b.Fatalf("chunk %d arrived at %s, want %s: the delay must not add up", i, at, want)
			}
		}
	})
}

// A repeated run sees the same delays, and none outside of latency ± jitter.
func TestJitterIsSeededAndBounded(t *testing.T) {
	run := func(seed uint64) (at []time.Duration) {
		bubble(t, func(b bench) {
			client, upstream := b.connect()
			set(b.T, b.proxy, wire.Fault{Latency: 50 * time.Millisecond, Jitter: 40 * time.Millisecond, Seed: seed})
			at = stream(b.T, upstream, client, 200, 200*time.Millisecond)
		})
		return at
	}
	first, again, other := run(7), run(7), run(8)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the same seed gave other delays (-first +again):\n%s", diff)
	}
	if cmp.Equal(first, other) {
		t.Errorf("seeds 7 and 8 gave the same delays: %v", first[:5])
	}
	var low, high int
	for i, at := range first {
		delay := at - time.Duration(i)*200*time.Millisecond
		if delay < 10*time.Millisecond || delay > 90*time.Millisecond {
			t.Errorf("chunk %d was delayed by %s, want 50ms ± 40ms", i, delay)
		}
		if delay < 50*time.Millisecond {
			low++
		} else {
			high++
		}
	}
	if low < 70 || high < 70 { // of 200, seeded: this cannot flake
		t.Errorf("%d delays below the middle and %d above, want about as many", low, high)
	}
}

// Nobody has to come and free what a dead run held back.
func TestBytesInFlightGoThroughWhenTheFaultEnds(t *testing.T) {
	for name, end := range map[string]func(bench){
		"lease expires": func(bench) {},
		"cleared": func(b bench) {
			time.Sleep(5*time.Second - time.Nanosecond) // just before the lease's end
			if _, err := b.proxy.ClearFault("db", "f"); err != nil {
				b.Errorf("ClearFault(db, f) = %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b bench) {
				client, upstream := b.connect()
				set(b.T, b.proxy, wire.Fault{Latency: time.Hour, Lease: 5 * time.Second})
				start := time.Now()
				go func() {
					for _, part := range []string{"one ", "two ", "three"} {
						if _, err := upstream.Write([]byte(part)); err != nil {
							b.Errorf("Write(%q) = %v", part, err)
						}
						time.Sleep(time.Second)
					}
				}()
				go end(b)
				buf := make([]byte, len("one two three"))
				if _, err := io.ReadFull(client, buf); err != nil || string(buf) != "one two three" {
					b.Errorf("read %q, %v; want all three parts in order", buf, err)
				}
				if got := time.Since(start).Round(time.Microsecond); got != 5*time.Second {
					b.Errorf("the parts arrived after %s, want 5s: when the fault ended", got)
				}
				if got := send(b.T, upstream, client, "after"); got != 0 {
					b.Errorf("after the fault a chunk took %s, want 0", got)
				}
			})
		})
	}
}

// A late renewal must not bring back what was undone meanwhile.
func TestLeaseIsRenewedButNeverRevived(t *testing.T) {
	bubble(t, func(b bench) {
		f := wire.Fault{ID: "mine", Lease: 3 * time.Second, Latency: time.Millisecond}
		renew := f
		renew.Renew = true
		if _, err := b.proxy.SetFault("db", renew); !errors.Is(err, wire.ErrLapsed) {
			b.Errorf("SetFault(renew) before any fault = %v, want ErrLapsed", err)
		}
		set(b.T, b.proxy, f)
		for range 5 {
			time.Sleep(2 * time.Second)
			if _, err := b.proxy.SetFault("db", renew); err != nil {
				b.Fatalf("SetFault(renew) within the lease = %v", err)
			}
		}
		s, err := b.proxy.SetFault("db", wire.Fault{ID: "theirs", Lease: time.Second, Latency: time.Second})
		if !errors.Is(err, wire.ErrHeld) {
			b.Errorf("SetFault(theirs) = %+v, %v; want ErrHeld", s, err)
		}
		if _, err := b.proxy.ClearFault("db", "theirs"); !errors.Is(err, wire.ErrHeld) {
			b.Errorf("ClearFault(theirs) while mine holds = %v, want ErrHeld", err)
		}
		time.Sleep(3 * time.Second)
		if _, err := b.proxy.SetFault("db", renew); !errors.Is(err, wire.ErrLapsed) {
			b.Errorf("SetFault(renew) at the lease's end = %v, want ErrLapsed", err)
		}
		if _, err := b.proxy.ClearFault("db", "mine"); err != nil {
			b.Errorf("ClearFault(mine) after its end = %v, want nil: it is idempotent", err)
		}
		if s := b.proxy.Links()[0]; s.Fault != nil {
			b.Errorf("Links()[0].Fault = %+v, want none", s.Fault)
		}
	})
}

// A proxy that delays must not eat the memory of the machine.
func TestAFullQueueStopsReadingAndLosesNothing(t *testing.T) {
	bubble(t, func(b bench) {
		client, upstream := b.connect()
		set(b.T, b.proxy, wire.Fault{Latency: time.Hour, Lease: time.Minute})
		block := make([]byte, 64<<10)
		const blocks = wire.MaxHeld/(64<<10) + 10
		written := make(chan int, blocks)
		go func() {
			for i := range blocks {
				if _, err := upstream.Write(block); err != nil {
					b.Errorf("write block %d: %v", i, err)
					return
				}
				written <- i
			}
		}()
		synctest.Wait()
		if n := len(written); n > wire.MaxHeld/(64<<10)+1 {
			b.Errorf("%d blocks of 64 KiB were taken while all are held back, want at most MaxHeld", n)
		}
		if n, err := io.ReadFull(client, make([]byte, blocks*len(block))); err != nil {
			b.Errorf("read %d of %d bytes after the lease: %v", n, blocks*len(block), err)
		}
	})
}

// Close waits for no delay.
func TestCloseEndsWhatWaits(t *testing.T) {
	bubble(t, func(b bench) {
		client, upstream := b.connect()
		set(b.T, b.proxy, wire.Fault{Latency: time.Hour})
		if _, err := upstream.Write([]byte("held")); err != nil {
			b.Fatal(err)
		}
		if err := b.proxy.Close(); err != nil {
			b.Errorf("Close() = %v, want nil", err)
		}
		if _, err := client.Read(make([]byte, 1)); err == nil {
			b.Error("Read after Close = nil error, want one")
		}
		if _, err := b.proxy.Add(wire.Link{Name: "late"}); !errors.Is(err, net.ErrClosed) {
			b.Errorf("Add after Close = %v, want ErrClosed", err)
		}
	})
}
