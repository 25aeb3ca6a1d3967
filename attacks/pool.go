package attacks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/http2"

	"github.com/failwhale/failwhale/results"
)

const (
	// connectTimeout bounds one connection attempt, TLS included. A SYN that is lost three
	// times still fits (1 + 2 + 4 s), a host that drops packets does not hold a client for its whole deadline.
	connectTimeout = 10 * time.Second
	// minWindow and maxWindow bound a connection's window: see stale. The least is what a loaded
	// machine's scheduler may take between a packet and us; the most is longer than any way around the
	// earth, and a server that had the request and died in less is rare.
	minWindow = 5 * time.Millisecond
	maxWindow = 500 * time.Millisecond
	// synTimeout is when a SYN that was lost is sent again (RFC 6298, 2.1): a connect that took longer
	// tells nothing of the way's length.
	synTimeout = time.Second
	// neverKept is how many connections in a row must have been found closed, each made after the one
	// before was found so, and none of the pool's ever used twice, for a server that never keeps them.
	neverKept = 3
	// maxIdle is how long a connection may wait for the next request. Servers close theirs earlier
	// (llama.cpp after 5 s) or much later.
	maxIdle = 90 * time.Second
	// readBuffer is a socket read's most bytes: some thirty chunks of a token.
	readBuffer = 8 << 10
	// maxHead bounds a response's head, as net/http does.
	maxHead = 10 << 20
)

// A dialFunc is net.Dialer.DialContext.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// A pool keeps the connections to one endpoint: as many as there are streams at a
// time, the one that was used last first. It is safe for concurrent use.
//
// Some servers close after each stream while they promise to keep the connection. Each of theirs that is
// used again is a race with the news, which our own machine may lose if it is busy. So once a server has
// shown that it never keeps one (neverKept), none is used again for the rest of the attack. A server that
// has ever served a second request is never taken for that, nor is one whose connections all went at once.
type pool struct {
	dial  dialFunc
	addr  string
	tls   *tls.Config // nil: none
	clock results.Clock
	proxy string // what to say of a proxy variable that is set; or ""

	buffers *buffers
	wire    wire
	mux     *mux // of HTTP/2; nil: it is HTTP/1.1

	mu     sync.Mutex
	idle   []*link
	closed bool
	kept   bool          // a connection has served a second request
	gone   int           // connections found closed in a row, counted as neverKept says
	goneAt time.Duration // when the last of them was
}

// A wire is how clients connect: those of one wire share a pool.
type wire struct {
	http2 bool
	read  ByteRate
	most  int // requests of a connection; 0: as many as it serves
}

// wire is that of c.
func (c *Client) wire() wire {
	return wire{http2: c.HTTP2, read: c.Read, most: c.RequestsPerConnection}
}

// A link is one connection and the state of HTTP/1.1 on it. One request has it at a time.
type link struct {
	sock   *socket
	tap    *tap          // over it
	in     *feed         // over tap
	below  *feed         // under TLS; nil: there is none
	pace   *pace         // of the lower one of the two; nil: it is not slow
	window time.Duration // see stale
	uses   int
	born   time.Duration
	idleAt time.Duration
}

// tlsError marks a failure after the connection stood and before TLS did.
type tlsError struct{ error }

func (e tlsError) Unwrap() error { return e.error }

// newPools makes the pool of each client.
func (cfg *Config) newPools(u *url.URL, roots *tls.Config, clients []Client) []*pool {
	all := make([]*pool, len(clients))
	shared := map[wire]*pool{}
	for i := range clients {
		w := clients[i].wire()
		if shared[w] == nil {
			shared[w] = newPool(u, roots, cfg.Clock, w)
			shared[w].proxy = proxyNote(u.Scheme, cfg.LookupEnv)
		}
		all[i] = shared[w]
	}
	return all
}

func newPool(u *url.URL, roots *tls.Config, clock results.Clock, w wire) *pool {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	p := &pool{dial: newDialer(w).DialContext, addr: net.JoinHostPort(u.Hostname(), port), clock: clock, buffers: &buffers{}, wire: w}
	if u.Scheme == "https" {
		p.tls = roots.Clone()
		p.tls.ServerName = u.Hostname()
		p.tls.NextProtos = []string{"http/1.1"}
	}
	if w.http2 {
		p.mux = newMux(p)
		if p.tls != nil {
			p.tls.NextProtos = []string{http2.NextProtoTLS}
		}
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
		old := p.clock.Now()-l.idleAt >= maxIdle
		if !old && quiet(l.sock.Conn) {
			return l, nil
		}
		l.close()
		if !old {
			p.lost(l)
		}
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
	p.kept = p.kept || l.uses > 1
	if p.closed || p.gone >= neverKept || p.wire.most > 0 && l.uses >= p.wire.most {
		l.close()
		return
	}
	p.idle = append(p.idle, l)
}

// lost counts a connection that the server had closed while it was idle. See neverKept.
func (p *pool) lost(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept || p.gone > 0 && l.born < p.goneAt {
		return
	}
	p.gone++
	p.goneAt = p.clock.Now()
	if p.gone >= neverKept {
		p.drop()
	}
}

// drop ends the idle connections. mu is held.
func (p *pool) drop() {
	for _, l := range p.idle {
		l.close()
	}
	p.idle = nil
}

// close ends the idle connections, and those that are still to come back.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.drop()
	p.mu.Unlock()
	if p.mux != nil {
		p.mux.close()
	}
}

func (p *pool) connect(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var began atomic.Int64 // when the SYN left: a name has been looked up by then
	mark := func() { began.Store(int64(p.clock.Now())) }
	mark()
	conn, err := p.dial(context.WithValue(ctx, dialMark{}, mark), "tcp", p.addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w%s", err, p.proxy)
	}
	l := &link{sock: &socket{Conn: conn, clock: p.clock}, born: p.clock.Now()}
	l.window = windowOf(l.born - time.Duration(began.Load()))
	if p.mux == nil { // else each stream has its own
		l.pace = newPace(p.wire.read, p.clock)
	}
	l.tap = &tap{conn: l.sock, sock: l.sock}
	if p.tls != nil {
		if err := p.secure(ctx, l); err != nil {
			return nil, tlsError{fmt.Errorf("make TLS: %w", errors.Join(err, l.sock.Close()))}
		}
	} else {
		l.tap.pace = l.pace
	}
	l.in = newFeed(l.tap, p.buffers)
	return l, nil
}

// secure makes TLS over a connection. A slow reader is slow below it, where its reads are stamped.
func (p *pool) secure(ctx context.Context, l *link) error {
	l.below = newFeed(&tap{conn: l.sock, sock: l.sock, room: math.MaxInt64, pace: l.pace}, p.buffers)
	secure := tls.Client(&fedConn{l.sock, l.below}, p.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		return err
	}
	if chosen := secure.ConnectionState().NegotiatedProtocol; p.mux != nil && chosen != http2.NextProtoTLS {
		return fmt.Errorf("the server does not speak HTTP/2 (by ALPN it chose %q): leave http2 out", chosen)
	}
	l.tap.conn = secure
	return nil
}

// A dialMark is the context's key to what newDialer calls.
type dialMark struct{}

// newDialer returns a dialer that tells connect when it begins with an address, after the lookup of its name. The
// kernel keeps little for a slow reader, so that the server feels it; over HTTP/2 a stream's window does that.
func newDialer(w wire) *net.Dialer {
	return &net.Dialer{ControlContext: func(ctx context.Context, _, _ string, raw syscall.RawConn) error {
		var err error
		if w.read > 0 && !w.http2 {
			failed := raw.Control(func(fd uintptr) { err = limitBuffer(fd, slowBuffer) })
			err = errors.Join(err, failed)
		}
		if mark, ok := ctx.Value(dialMark{}).(func()); ok {
			mark()
		}
		return err
	}}
}

// windowOf is the window of a connection whose making took so long, which is one way there and back.
func windowOf(connect time.Duration) time.Duration {
	if connect >= synTimeout {
		return minWindow
	}
	return min(max(connect, minWindow), maxWindow)
}

// drained reports whether nothing is left that came and was not asked for.
func (l *link) drained() bool {
	return len(l.in.window()) == 0 && (l.below == nil || len(l.below.window()) == 0)
}

// close ends the connection, without the word by which TLS ends: the server may not be reading, and we
// would wait to say it. That it fails is no news: nothing is owed on it.
func (l *link) close() { _ = l.sock.Close() }

// interrupt wakes whatever waits on the connection.
func (l *link) interrupt() { _ = l.tap.conn.SetDeadline(time.Unix(1, 0)) }

// response reads the head of the response to what was sent; the body's next bytes are those of in.
func (l *link) response() (*http.Response, error) {
	if err := l.in.fill(); err != nil { // waits, and holds nothing meanwhile
		return nil, err
	}
	lines := l.in.buffers.lines(l.in)
	defer l.in.buffers.putLines(lines)
	for {
		resp, err := http.ReadResponse(lines, nil)
		if err != nil {
			return nil, err
		}
		// Never read, and never closed, which would read it to its end: a body takes its place.
		resp.Body = http.NoBody
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			l.tap.unbound()
			l.uses++
			return resp, nil
		}
	}
}

// stale reports whether the failure of a request was an old connection's, so that the server cannot
// have begun to work on it.
//
// A server that closed before our request reached it sent the news before that, so the news is here
// no later than one way there and back after our bytes left: that is the proof, and the connection's
// own making measured how long the way is (not less than minWindow, for our machine may be slow to
// notice). A server that had the request and died needs that time as well, and on top of it the time that
// it took to read it. A request that could not be written whole is timed from where its write began: a
// server that reads part of a long prompt and dies later has begun.
func (l *link) stale() bool {
	t := l.tap
	from := t.wrote
	if from == 0 {
		from = t.began
	}
	return l.uses > 0 && t.first == 0 && t.failure != nil && !brokeTLS(t.failure) && t.failedAt-from <= l.window
}
