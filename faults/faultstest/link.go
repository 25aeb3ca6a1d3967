package faultstest

import (
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/wire"
)

// A Link is a wire proxy with one link, "db", to a server that gives everything back.
type Link struct {
	// Proxy itself, to look at and to put other faults on.
	Proxy *wire.Proxy
	api   *httptest.Server
	conn  net.Conn // through the link, open all along
}

// NewLink serves until the test's end.
func NewLink(t *testing.T) *Link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback answers at once
	must(t, err)
	var wg sync.WaitGroup
	wg.Go(func() { echo(ln, &wg) })
	l := &Link{Proxy: wire.New(wire.Config{})}
	addr, err := l.Proxy.Add(wire.Link{Name: "db", Listen: "127.0.0.1:0", Upstream: ln.Addr().String()})
	must(t, err)
	l.api = httptest.NewServer(l.Proxy)
	l.conn, err = net.Dial("tcp", addr) //nolint:noctx // likewise
	must(t, err)
	t.Cleanup(func() {
		_ = l.conn.Close() // the test has read what it wanted
		l.api.Close()
		must(t, l.Proxy.Close())
		must(t, ln.Close())
		wg.Wait()
	})
	return l
}

func echo(ln net.Listener, wg *sync.WaitGroup) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			_, _ = io.Copy(c, c) // the proxy may reset it
			_ = c.Close()        // likewise
		})
	}
}

// Spec binds the link to a role.
func (l *Link) Spec() targets.Dependency {
	return targets.Dependency{Control: l.api.URL, Links: []string{"db"}}
}

// Ping sends a byte over a connection that was open before any fault, waits for it to come
// back, and returns how long that took.
func (l *Link) Ping(t *testing.T) time.Duration {
	t.Helper()
	start := time.Now()
	_, err := l.conn.Write([]byte{1})
	must(t, err)
	_, err = io.ReadFull(l.conn, make([]byte, 1))
	must(t, err)
	return time.Since(start)
}

// Fault is the id of the fault in force, or "".
func (l *Link) Fault() string {
	if f := l.Proxy.Links()[0].Fault; f != nil {
		return f.Fault.ID
	}
	return ""
}
