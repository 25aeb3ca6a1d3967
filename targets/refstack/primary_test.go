package refstack_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/failwhale/failwhale/targets/refstack"
)

// The session store speaks Redis, and beyond its cap refuses as Redis does:
// a line, and the end of the connection. A connection that ends makes room.
func TestPrimaryCap(t *testing.T) {
	p := refstack.NewPrimary(refstack.PrimaryRules{Service: time.Millisecond, Connect: time.Microsecond, Connections: 2})
	ctx, cancel := context.WithCancel(t.Context())
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, ln) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v, want nil after its context ended", err)
		}
	}()

	first, second := dialRedis(t, ln.Addr()), dialRedis(t, ln.Addr())
	if got := first.ask("SET", "k", "v"); got != "+OK" {
		t.Errorf("SET k v = %q, want +OK", got)
	}
	if got := second.ask("GET", "k"); got != "$1 v" {
		t.Errorf("GET k on another connection = %q, want v", got)
	}
	if got := dialRedis(t, ln.Addr()).line(); got != "-ERR max number of clients reached" {
		t.Errorf("the third connection is told %q, want Redis's refusal", got)
	}
	if p.Open() != 2 || p.Refused() != 1 {
		t.Errorf("Open, Refused = %d, %d, want 2, 1", p.Open(), p.Refused())
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for p.Open() > 1 {
		time.Sleep(time.Millisecond)
	}
	if got := dialRedis(t, ln.Addr()).ask("GET", "k"); got != "$1 v" {
		t.Errorf("GET k on a connection in the room of one that ended = %q, want v", got)
	}
}

// A redisConn is a connection without a client library's retries.
type redisConn struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dialRedis(t *testing.T, addr net.Addr) *redisConn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &redisConn{c, t, bufio.NewReader(c)}
}

// ask sends a command and returns the answer, a bulk string as "$n text".
func (c *redisConn) ask(args ...string) string {
	c.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := c.Write([]byte(b.String())); err != nil {
		c.t.Fatal(err)
	}
	answer := c.line()
	if strings.HasPrefix(answer, "$") {
		answer += " " + c.line()
	}
	return answer
}

func (c *redisConn) line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read from the store: %v", err)
	}
	return strings.TrimSpace(line)
}
