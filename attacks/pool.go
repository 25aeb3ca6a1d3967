package attacks

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/failwhale/failwhale/results"
)

const (
	// connectTimeout bounds one connection attempt, TLS included. A SYN that is lost three
	// times still fits (1 + 2 + 4 s), a host that drops packets does not hold a client for its whole deadline.
	connectTimeout = 10 * time.Second
	// staleWindow is how soon after the request was written a reused connection must fail to
	// count as stale: it had been closed before, and the news crossed our request. A server
	// that had read the request and died would have had to do so within the same few milliseconds.
	staleWindow = 5 * time.Millisecond
	// maxIdle is how long a connection may wait for the next request. Servers close theirs earlier
	// (llama.cpp after 5 s) or much later.
	maxIdle = 90 * time.Second
	// readBuffer is a socket read's most bytes: some thirty chunks of a token. It is the larger part
	// of a stream's memory.
	readBuffer = 8 << 10
	// maxHead bounds a response's head, as net/http does.
	maxHead = 10 << 20
)

// A dialFunc is net.Dialer.DialContext.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// A pool keeps the connections to one endpoint: as many as there are streams at a
// time, the one that was used last first. It is safe for concurrent use.
type pool struct {
	dial  dialFunc
	addr  string
	tls   *tls.Config // nil: none
	clock results.Clock

	mu     sync.Mutex
	idle   []*link
	closed bool
}

// A link is one connection and the state of HTTP/1.1 on it. One request has it at a time.
type link struct {
	conn   net.Conn // sock, or TLS over it
	sock   *socket
	in     *bufio.Reader
	limit  *io.LimitedReader // under in: bounds a head
	uses   int
	idleAt time.Duration
}

// tlsError marks a failure after the connection stood and before TLS did.
type tlsError struct{ error }

func (e tlsError) Unwrap() error { return e.error }

func newPool(u *url.URL, roots *tls.Config, clock results.Clock, dial dialFunc) *pool {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	p := &pool{dial: dial, addr: net.JoinHostPort(u.Hostname(), port), clock: clock}
	if u.Scheme == "https" {
		p.tls = roots.Clone()
		p.tls.ServerName = u.Hostname()
		p.tls.NextProtos = []string{"http/1.1"}
	}
	return p
}

// get returns an idle connection or a new one; fresh asks for a new one.
func (p *pool) get(ctx context.Context, fresh bool) (*link, error) {
	for !fresh {
		l := p.pop()
		if l == nil {
			break
		}
		if p.clock.Now()-l.idleAt < maxIdle && quiet(l.sock.Conn) {
			return l, nil
		}
		l.close()
	}
	return p.connect(ctx)
}

func (p *pool) pop() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle) - 1
	if n < 0 {
		return nil
	}
	l := p.idle[n]
	p.idle[n] = nil
	p.idle = p.idle[:n]
	return l
}

// put takes back a connection whose response was read to its end.
func (p *pool) put(l *link) {
	l.idleAt = p.clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		l.close()
		return
	}
	p.idle = append(p.idle, l)
}

// close ends the idle connections, and those that are still to come back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, l := range p.idle {
		l.close()
	}
	p.idle = nil
}

func (p *pool) connect(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := p.dial(ctx, "tcp", p.addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	sock := &socket{Conn: conn, clock: p.clock}
	conn = sock
	if p.tls != nil {
		secure := tls.Client(sock, p.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, tlsError{fmt.Errorf("make TLS: %w", errors.Join(err, sock.Close()))}
		}
		conn = secure
	}
	limit := &io.LimitedReader{R: conn}
	return &link{conn: conn, sock: sock, limit: limit, in: bufio.NewReaderSize(limit, readBuffer)}, nil
}

// close ends the connection. That it fails is no news: nothing is owed on it.
func (l *link) close() { _ = l.conn.Close() }

// exchange writes a request and reads the head of the response; the body's next
// bytes are those of in. The request is written before anything is read: servers
// that refuse a prompt early close, or take what the kernel's buffers hold.
func (l *link) exchange(request []byte) (*http.Response, error) {
	l.sock.begin()
	l.limit.N = maxHead
	_, writeErr := l.conn.Write(request)
	for {
		// Even after a failed write: the server may have said why it stopped reading.
		resp, err := http.ReadResponse(l.in, nil)
		if err != nil {
			return nil, errors.Join(err, writeErr)
		}
		// Never read, and never closed, which would read it to its end: a body takes its place.
		resp.Body = http.NoBody
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			l.limit.N = math.MaxInt64
			l.uses++
			return resp, nil
		}
	}
}

// stale reports whether the failure of a request was an old connection's, so that
// the server cannot have begun to work on it. See staleWindow.
func (l *link) stale() bool {
	s := l.sock
	return l.uses > 0 && s.first == 0 && s.failure != nil && (s.wrote == 0 || s.failedAt-s.wrote <= staleWindow)
}
