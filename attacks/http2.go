package attacks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/net/http2"

	"github.com/failwhale/failwhale/results"
)

const (
	// streamWindow is what a server may send of an answer before we have taken any: more than a stall of ours lets
	// pile up at 1,000 tokens a second, and a bound to what one stream can make us hold.
	streamWindow = 256 << 10
	// connWindow is that of all streams of a connection. It is never the one that stops them.
	connWindow = mostStreams * streamWindow
	// assumedStreams is how many a connection takes whose server has not said yet; mostStreams, whose server sets no
	// limit. Both are net/http's.
	assumedStreams = 100
	mostStreams    = 1000
	// maxHeaderList bounds a response's head, and its trailers, as Go's own server bounds a request's.
	maxHeaderList = 1 << 20
	// maxUnsent bounds what waits to be written beside bodies: a server that wants answers has to read them.
	maxUnsent = 1 << 20
	// maxResent is how often a request goes to another connection because the server is proven not to have begun it.
	maxResent = 2
)

// A mux keeps the HTTP/2 connections of a pool. A stream goes to that which has the fewest, and to a new one where all
// are full. It is safe for concurrent use.
type mux struct {
	pool   *pool
	window int // what a server may send to a stream at first
	loops  sync.WaitGroup

	mu     sync.Mutex
	conns  []*conn2
	dials  []*dialing
	limit  int // of a connection's streams, as the server said last
	closed bool
}

// A dialing is a connection that is being made, and for how many more streams beside that which makes it.
type dialing struct {
	places int
	done   chan struct{} // closed by who makes it; then the others hold
	err    error
	own    bool // err is of who makes it: its deadline, say
}

func newMux(p *pool) *mux {
	m := &mux{pool: p, window: streamWindow, limit: assumedStreams}
	if p.wire.read > 0 {
		m.window = slowWindow
	}
	return m
}

// get reserves a place for a stream, on a connection that there is or on a new one; fresh asks for a new one.
func (m *mux) get(ctx context.Context, fresh bool) (*conn2, error) {
	for {
		m.sweep()
		m.mu.Lock()
		if !fresh {
			if c := m.roomiest(); c != nil {
				m.mu.Unlock()
				return c, nil
			}
			if d := m.join(); d != nil {
				m.mu.Unlock()
				if err := d.wait(ctx); err != nil {
					return nil, err
				}
				continue
			}
		}
		d := &dialing{places: m.limit - 1, done: make(chan struct{})}
		if most := m.pool.wire.most; most > 0 {
			d.places = min(d.places, most-1)
		}
		if fresh {
			d.places = 0
		}
		m.dials = append(m.dials, d)
		m.mu.Unlock()
		return m.dial(ctx, d)
	}
}

// roomiest reserves a place on the connection that has the fewest streams; nil: none has room. mu is held.
func (m *mux) roomiest() *conn2 {
	for {
		var best *conn2
		fewest := 0
		for _, c := range m.conns {
			if n, room := c.load(); room && (best == nil || n < fewest) {
				best, fewest = c, n
			}
		}
		if best == nil || best.reserve() {
			return best
		}
	}
}

// join takes a place of a connection that is being made; nil: there is none. mu is held.
func (m *mux) join() *dialing {
	for _, d := range m.dials {
		if d.places > 0 {
			d.places--
			return d
		}
	}
	return nil
}

// wait returns when the connection is there, or the error by which it is not.
func (d *dialing) wait(ctx context.Context) error {
	select {
	case <-d.done:
		if d.own {
			return nil
		}
		return d.err
	case <-ctx.Done():
		return fmt.Errorf("connect: %w", context.Cause(ctx))
	}
}

// dial makes a connection, with a place reserved.
func (m *mux) dial(ctx context.Context, d *dialing) (c *conn2, err error) {
	defer func() { // also where it panics
		m.mu.Lock()
		defer m.mu.Unlock()
		m.dials = slices.DeleteFunc(m.dials, func(other *dialing) bool { return other == d })
		d.err, d.own = err, ctx.Err() != nil || c == nil && err == nil
		if c != nil {
			m.conns = append(m.conns, c)
			c.start(m.closed)
		}
		close(d.done)
	}()
	l, err := m.pool.connect(ctx)
	if err != nil {
		return nil, err
	}
	c = newConn2(m, l)
	c.reserve()
	return c, nil
}

// sweep ends the connections that have been idle for long, or do not answer.
func (m *mux) sweep() {
	m.mu.Lock()
	var old []*conn2
	for _, c := range m.conns {
		if c.old() {
			old = append(old, c)
		}
	}
	m.mu.Unlock()
	for _, c := range old {
		c.end(errUnused)
	}
}

// learn keeps what a server says of how many streams it takes.
func (m *mux) learn(limit int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = max(1, limit)
}

// drop forgets a connection that has ended.
func (m *mux) drop(c *conn2) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns = slices.DeleteFunc(m.conns, func(other *conn2) bool { return other == c })
}

// close ends the connections that have no stream, and waits for their goroutines; others end with their last one.
func (m *mux) close() {
	m.mu.Lock()
	m.closed = true
	conns := slices.Clone(m.conns)
	m.mu.Unlock()
	busy := false
	for _, c := range conns {
		if c.retire() {
			c.end(errUnused)
		} else {
			busy = true
		}
	}
	if !busy {
		m.loops.Wait()
	}
}

// A panicError is a panic of a connection's goroutine: those who have a stream there panic in its place, one of whom
// ends the attack.
type panicError struct{ error }

// errUnused is how we end a connection that has no stream.
var errUnused = errors.New("the connection is no longer needed")

// overHTTP2 makes a try by a stream. It goes to another connection where the server is proven not to have begun: its
// word says so (GOAWAY, REFUSED_STREAM), or the connection was stale.
func (r *runner) overHTTP2(ctx context.Context, t *try, turn *turn, m *mux, watch *idleWatch) {
	for resent := 0; ; resent++ {
		c, err := m.get(ctx, turn.fresh)
		if err != nil {
			r.failConnect(ctx, t, err)
			return
		}
		if !r.exchange2(ctx, t, turn, c, watch) || resent == maxResent || ctx.Err() != nil {
			return
		}
		t.reconnects++
		t.outcome, t.err = results.Unknown, "" // those of the connection, not of the request
	}
}

// exchange2 runs the turn on a connection where it has a place. It reports whether the server has not begun it.
func (r *runner) exchange2(ctx context.Context, t *try, turn *turn, c *conn2, watch *idleWatch) (unbegun bool) {
	s := c.newStream(ctx)
	defer s.close()
	watch.stamps.Store(&s.came)
	t.lost = t.failStream
	request, ok := r.requestFor(t, turn)
	if !ok {
		return false
	}
	s.open(request)
	if t.leavesUnanswered(turn, &r.clients[turn.client], s.written) {
		return false
	}
	resp, err := s.response() //nolint:bodyclose // the stream is the body
	if err != nil {
		t.lost(ctx, err)
		return s.unbegun(err)
	}
	t.firstByte = s.headAt
	s.pace.begin(ctx.Done())
	_ = r.receive(ctx, t, turn, t.door, resp, s, &s.taken) // its error is in the try
	return false
}

// failStream classifies a failure of a stream: ours, the server's word, the connection's, or that what came is no HTTP/2.
func (t *try) failStream(ctx context.Context, err error) {
	var reset *resetError
	var lost *lostError
	var dropped *droppedError
	var long *longHeadError
	var ours *panicError
	switch {
	case errors.As(err, &ours):
		panic(ours)
	case t.failCause(ctx):
	case errors.As(err, &long): // as of what never reached a server
		t.fail(results.Connect, "%v", err)
	case errors.As(err, &reset), errors.As(err, &dropped):
		t.fail(results.Reset, "%v", err)
	case errors.As(err, &lost):
		t.failNetwork(lost.failure, t.status == 0)
		t.err += lost.note
	default:
		t.fail(results.Malformed, "read response: %v", err)
	}
}

// doubtTime is how long a connection may leave a ping unanswered that we sent because a stream on it heard nothing.
const doubtTime = connectTimeout

// unbegun reports whether a stream that ended without a response is proven not to have been begun: the server said so,
// or the connection was stale as that of HTTP/1.1 may be (see link.stale): it had served before, nothing of this
// stream came, and it failed within one way there and back.
func (s *stream2) unbegun(err error) bool {
	var reset *resetError
	var lost *lostError
	var dropped *droppedError
	switch {
	case errors.As(err, &dropped):
		return true
	case errors.As(err, &reset):
		return reset.code == http2.ErrCodeRefusedStream
	case errors.As(err, &lost):
		return lost.note == "" && s.later && !s.answered() && !brokeTLS(lost.failure) && lost.at-s.sentBy() <= s.conn.link.window
	}
	return false
}
