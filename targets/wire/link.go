package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A link accepts connections and holds at most one fault.
type link struct {
	Link
	proxy    *Proxy
	listener net.Listener
	wg       sync.WaitGroup        // serve, and one handle for each connection
	force    atomic.Pointer[force] // nil: passes through. Written under mu only.

	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
	expiry *time.Timer // of force; nil: none yet

	accepted, dialErrors atomic.Int64
	up, down             flow
}

// A flow counts what went one way through a link.
type flow struct{ bytes, chunks, delayed atomic.Int64 }

// current is the fault in force at now, or nil. The expiry timer may be late: the lease is not.
func (l *link) current(now time.Time) *force {
	f := l.force.Load()
	if f == nil || !now.Before(f.expires) {
		return nil
	}
	return f
}

func (l *link) set(f Fault, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	cur := l.current(now)
	switch {
	case l.closed:
		return net.ErrClosed
	case cur != nil && cur.ID != f.ID:
		return fmt.Errorf("%w: %q for another %s", ErrHeld, cur.ID, cur.expires.Sub(now).Round(time.Millisecond))
	case cur == nil && f.Renew:
		return ErrLapsed
	}
	next := &force{Fault: f, expires: now.Add(f.Lease), ended: make(chan struct{}), delayed: new(atomic.Int64)}
	if cur != nil {
		next.delayed = cur.delayed
	}
	l.replace(next)
	l.expiry = time.AfterFunc(f.Lease, func() { l.expire(next) })
	return nil
}

func (l *link) clear(id string, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cur := l.current(now); cur != nil && cur.ID != id {
		return fmt.Errorf("%w: %q", ErrHeld, cur.ID)
	}
	l.replace(nil)
	return nil
}

func (l *link) expire(f *force) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.force.Load() == f {
		l.replace(nil)
	}
}

// replace swaps the force and wakes every chunk that waits under the old one. l.mu is held.
func (l *link) replace(next *force) {
	if l.expiry != nil {
		l.expiry.Stop()
	}
	if old := l.force.Swap(next); old != nil {
		close(old.ended)
	}
}

// serve accepts until the listener is closed. It never dials: an upstream that
// does not answer must not keep other clients waiting.
func (l *link) serve() {
	for {
		c, err := l.listener.Accept()
		if err == nil {
			n := l.accepted.Add(1)
			l.wg.Go(func() { l.handle(c, uint64(n)) })
			continue
		}
		if errors.Is(err, net.ErrClosed) || !pause(l.proxy.ctx, 10*time.Millisecond) { // out of descriptors: some will be free again
			return
		}
	}
}

// pause reports whether d passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// handle serves one connection until both of its directions have ended.
func (l *link) handle(client net.Conn, number uint64) {
	ctx, cancel := context.WithTimeout(l.proxy.ctx, l.proxy.cfg.DialTimeout)
	upstream, err := l.proxy.cfg.Dial(ctx, "tcp", l.Upstream)
	cancel()
	if err != nil {
		l.dialErrors.Add(1)
		reset(client) // not a clean end: nothing was served
		return
	}
	c := &conn{client: client, upstream: upstream, done: make(chan struct{})}
	if !l.register(c) {
		c.abort()
		return
	}
	var wg sync.WaitGroup
	wg.Go(newPump(l, c, Up, number).run)
	wg.Go(newPump(l, c, Down, number).run)
	wg.Wait()
	c.close()
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

func (l *link) register(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.conns[c] = struct{}{}
	}
	return !l.closed
}

func (l *link) close() error {
	l.mu.Lock()
	l.closed = true
	l.replace(nil)
	for c := range l.conns {
		c.abort()
	}
	l.mu.Unlock()
	err := l.listener.Close()
	l.wg.Wait()
	if errors.Is(err, net.ErrClosed) { // closed before
		return nil
	}
	return err
}

// A conn is the two ends of one proxied connection.
type conn struct {
	client, upstream net.Conn
	done             chan struct{} // closed with the conn
	once             sync.Once
}

// close ends what is left of both ends in order.
func (c *conn) close() {
	c.once.Do(func() {
		close(c.done)
		_ = c.client.Close()   // both directions have ended: nothing is left to lose
		_ = c.upstream.Close() // likewise
	})
}

// abort resets both ends, as a peer's reset would have done without a proxy between them.
func (c *conn) abort() {
	c.once.Do(func() {
		close(c.done)
		reset(c.client)
		reset(c.upstream)
	})
}

func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // fails only on a dead connection
	}
	_ = c.Close() // the connection is given up: there is no one to tell
}
