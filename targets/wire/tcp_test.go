package wire_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/failwhale/failwhale/targets/wire"
)

// hang is how long a test waits for what must happen before it says that it hangs.
const hang = 30 * time.Second

// check fails a step that nothing should be wrong with.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// echo gives everything back. Its peer may reset the connection at the end of a test.
func echo(c *net.TCPConn) error {
	_, err := io.Copy(c, c)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// ping expects its four bytes back.
func ping(t *testing.T, c *net.TCPConn) {
	t.Helper()
	_, err := io.WriteString(c, "ping")
	check(t, err)
	if n, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Errorf("echo gave %d of 4 bytes: %v", n, err)
	}
}

// serve runs handle for each connection of a loopback listener.
func serve(t *testing.T, handle func(*net.TCPConn) error) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				if tcp, ok := c.(*net.TCPConn); ok {
					check(t, handle(tcp))
				}
				check(t, c.Close())
			})
		}
	})
	t.Cleanup(func() { check(t, ln.Close()); wg.Wait() })
	return ln.Addr().String()
}

func proxyTo(t *testing.T, cfg wire.Config, upstream string) (*wire.Proxy, string) {
	t.Helper()
	p := wire.New(cfg)
	addr, err := p.Add(wire.Link{Name: "db", Listen: "127.0.0.1:0", Upstream: upstream})
	if err != nil {
		t.Fatalf("Add(db) = %v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return p, addr
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	to, err := net.ResolveTCPAddr("tcp", addr)
	check(t, err)
	c, err := net.DialTCP("tcp", nil, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, c.Close()) })
	check(t, c.SetDeadline(time.Now().Add(hang)))
	return c
}

// A peer that has said all it has to say still gets its answer.
func TestHalfCloseIsPassedOn(t *testing.T) {
	// The upstream answers only once the question has ended.
	upstream := serve(t, func(c *net.TCPConn) error {
		question, err := io.ReadAll(c)
		if err != nil {
			return err
		}
		_, err = c.Write(bytes.ToUpper(question))
		return err
	})
	p, addr := proxyTo(t, wire.Config{}, upstream)
	for _, fault := range []bool{false, true} {
		if fault {
			set(t, p, wire.Fault{Latency: 20 * time.Millisecond, Direction: wire.Both})
		}
		c := dial(t, addr)
		_, err := io.WriteString(c, "question")
		check(t, err)
		check(t, c.CloseWrite())
		if got, err := io.ReadAll(c); string(got) != "QUESTION" || err != nil {
			t.Errorf("fault %t: after CloseWrite read %q, %v; want QUESTION and a clean end", fault, got, err)
		}
	}
}

// A crash behind the proxy must not look like a clean end.
func TestAResetIsPassedOnAsOne(t *testing.T) {
	upstream := serve(t, func(c *net.TCPConn) error {
		_, err := io.ReadFull(c, make([]byte, 1))
		check(t, c.SetLinger(0))
		return err
	})
	_, addr := proxyTo(t, wire.Config{}, upstream)
	c := dial(t, addr)
	_, err := io.WriteString(c, "x")
	check(t, err)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read after the upstream's reset = %v, want ECONNRESET", err)
	}
}

// An upstream that does not answer delays nobody else, and not Close.
func TestABlackHoleKeepsNobodyElseWaiting(t *testing.T) {
	upstream := serve(t, echo)
	dialling := make(chan struct{})
	var first sync.Once
	dialer := func(ctx context.Context, network, addr string) (net.Conn, error) {
		hole := false
		first.Do(func() { hole = true })
		if !hole {
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
		close(dialling)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	p, addr := proxyTo(t, wire.Config{Dial: dialer, DialTimeout: time.Hour}, upstream)
	stuck := dial(t, addr)
	<-dialling
	ping(t, dial(t, addr))
	if err := p.Close(); err != nil {
		t.Errorf("Close() beside a dial that hangs = %v", err)
	}
	if _, err := stuck.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Read of a connection whose dial failed = %v, want a reset", err)
	}
}

// Who connects to a dead upstream is not served an empty answer.
func TestADeadUpstreamIsAReset(t *testing.T) {
	may := make(chan struct{}) // until then the client's own connect could meet the reset
	refused := func(_ context.Context, _, _ string) (net.Conn, error) {
		<-may
		return nil, syscall.ECONNREFUSED
	}
	p, addr := proxyTo(t, wire.Config{Dial: refused}, "127.0.0.1:1")
	c := dial(t, addr)
	close(may)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read with a dead upstream = %v, want ECONNRESET", err)
	}
	if got := p.Links()[0].DialErrors; got != 1 {
		t.Errorf("DialErrors = %d, want 1", got)
	}
}

// TestEveryByteArrives sends megabytes both ways over several connections while
// faults come, change and expire.
func TestEveryByteArrives(t *testing.T) {
	const size, conns = 4 << 20, 4
	// The upstream sends its own data and gives back the digest of what it got.
	upstream := serve(t, func(c *net.TCPConn) error {
		var wg sync.WaitGroup
		sum := sha256.New()
		wg.Go(func() { _, err := io.CopyN(sum, c, size); check(t, err) })
		_, err := io.Copy(c, io.LimitReader(rand.NewChaCha8([32]byte{1}), size))
		check(t, err)
		wg.Wait()
		_, err = c.Write(sum.Sum(nil))
		return err
	})
	p, addr := proxyTo(t, wire.Config{}, upstream)
	stop, toggled := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { toggled <- n }()
		for ; ; n++ {
			f := wire.Fault{ID: "f", Lease: 15 * time.Millisecond, Latency: time.Duration(1+n%7) * time.Millisecond, Jitter: time.Millisecond, Direction: wire.Both}
			if _, err := p.SetFault("db", f); err != nil {
				t.Errorf("SetFault(%+v) = %v", f, err)
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(n%3*10) * time.Millisecond): // some leases run out
			}
			if n%4 == 0 {
				_, err := p.ClearFault("db", "f")
				check(t, err)
			}
		}
	}()
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() { exchange(t, dial(t, addr), size, byte(10+i)) })
	}
	wg.Wait()
	close(stop)
	s := p.Links()[0]
	if n := <-toggled; n == 0 || s.Down.Delayed == 0 || s.Up.Delayed == 0 {
		t.Errorf("after %d changes of the fault: %+v; want chunks delayed both ways, or this test shows nothing", n, s)
	}
	if want := int64(conns * (size + sha256.Size)); s.Down.Bytes != want || s.Up.Bytes != conns*size {
		t.Errorf("counted %d bytes up and %d down, want %d and %d", s.Up.Bytes, s.Down.Bytes, conns*size, want)
	}
}

func exchange(t *testing.T, c *net.TCPConn, size int64, seed byte) {
	t.Helper()
	sent := sha256.New()
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.MultiWriter(c, sent), io.LimitReader(rand.NewChaCha8([32]byte{seed}), size))
		done <- err
	}()
	want, got := sha256.New(), sha256.New()
	_, err := io.Copy(want, io.LimitReader(rand.NewChaCha8([32]byte{1}), size))
	check(t, err)
	if n, err := io.CopyN(got, c, size); err != nil || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("received %d bytes, %v; want %d that are those sent", n, err, size)
	}
	digest, err := io.ReadAll(c)
	if werr := <-done; werr != nil || err != nil || !bytes.Equal(digest, sent.Sum(nil)) {
		t.Errorf("the upstream received other bytes than were sent: %x (read: %v, write: %v), want %x", digest, err, werr, sent.Sum(nil))
	}
}
