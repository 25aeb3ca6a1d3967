package wire

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// MaxHeld is how many bytes one direction of one connection holds back before it stops to read.
const MaxHeld = 8 << 20

// A pump carries one direction of a connection. Its reader goroutine writes a
// chunk itself while nothing is held back; else a drain goroutine does, until
// it has caught up. So there is one writer at any time, and the order is kept.
type pump struct {
	link     *link
	conn     *conn
	way      Direction
	flow     *flow
	src, dst net.Conn
	number   uint64 // of the connection in its link: part of the jitter's seed

	rng   *rand.Rand // of the fault named by rngID; the reader's
	rngID string

	wg    sync.WaitGroup // drain
	space chan struct{}  // signalled when the drain took something out of a full queue

	mu       sync.Mutex
	queue    []chunk
	held     int
	draining bool
}

// A chunk is what one read gave, or how the stream ended.
type chunk struct {
	data []byte
	end  end
	at   time.Time // of its arrival
	u    float64   // its share of the jitter, even in [-1, 1)
}

// An end is how a stream ends.
type end uint8

const (
	open     end = iota
	finished     // the peer closed its side: so will we
	broken       // the peer reset the connection: so will we
)

func newPump(l *link, c *conn, way Direction, number uint64) *pump {
	p := &pump{link: l, conn: c, way: way, number: number, space: make(chan struct{}, 1)}
	if way == Up {
		p.src, p.dst, p.flow = c.client, c.upstream, &l.up
	} else {
		p.src, p.dst, p.flow = c.upstream, c.client, &l.down
	}
	return p
}

// run reads until the stream's end, and returns once all was written.
func (p *pump) run() {
	defer p.wg.Wait()
	buf := make([]byte, 32<<10)
	for {
		n, err := p.src.Read(buf)
		now := time.Now()
		if n > 0 && !p.take(chunk{data: buf[:n], at: now}) {
			return
		}
		if err != nil {
			p.take(chunk{end: endOf(err), at: now})
			return
		}
	}
}

func endOf(err error) end {
	if errors.Is(err, io.EOF) {
		return finished
	}
	return broken
}

// take passes a chunk on, or holds it back; false: the connection is over.
func (p *pump) take(c chunk) bool {
	f := p.link.current(c.at)
	c.u = p.draw(f)
	delay := f.delay(p.way, c.u)
	p.mu.Lock()
	if !p.draining && delay <= 0 {
		p.mu.Unlock()
		return p.deliver(c)
	}
	c.data = append([]byte(nil), c.data...) // the reader's buffer is used again
	p.queue = append(p.queue, c)
	p.held += len(c.data)
	full := p.held >= MaxHeld
	if !p.draining {
		p.draining = true
		p.wg.Go(p.drain)
	}
	p.mu.Unlock()
	if delay > 0 && c.end == open {
		p.flow.delayed.Add(1)
		f.delayed.Add(1)
	}
	return !full || p.await()
}

// await blocks until there is space in the queue; false: the connection is over.
func (p *pump) await() bool {
	for {
		select {
		case <-p.space:
		case <-p.conn.done:
			return false
		}
		p.mu.Lock()
		full := p.held >= MaxHeld
		p.mu.Unlock()
		if !full {
			return true
		}
	}
}

// drain writes what is held back, each chunk when it is due, until nothing is.
func (p *pump) drain() {
	for {
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.queue, p.draining = nil, false
			p.mu.Unlock()
			return
		}
		c := p.queue[0]
		p.mu.Unlock()
		p.wait(c)
		ok := p.deliver(c)
		p.mu.Lock()
		p.queue[0].data = nil
		p.queue = p.queue[1:]
		p.held -= len(c.data)
		p.mu.Unlock()
		select {
		case p.space <- struct{}{}:
		default: // the reader has not taken the last signal yet
		}
		if !ok {
			return // still draining: nothing may be written any more
		}
	}
}

// wait returns when c is due under the fault then in force, or at once when none is.
func (p *pump) wait(c chunk) {
	for {
		now := time.Now()
		f := p.link.current(now)
		left := c.at.Add(f.delay(p.way, c.u)).Sub(now)
		if f == nil || left <= 0 {
			return
		}
		t := time.NewTimer(left)
		select {
		case <-t.C:
		case <-f.ended: // replaced, cleared or expired: look again
		case <-p.conn.done:
			t.Stop()
			return
		}
		t.Stop()
	}
}

// deliver writes c, or passes the stream's end on; false: the connection is over.
func (p *pump) deliver(c chunk) bool {
	switch c.end {
	case finished:
		if w, ok := p.dst.(interface{ CloseWrite() error }); ok {
			_ = w.CloseWrite() // fails only if the peer is gone, which the other pump sees
			return false
		}
		p.conn.close() // no half-close on this transport
		return false
	case broken:
		p.conn.abort()
		return false
	case open:
	}
	if _, err := p.dst.Write(c.data); err != nil {
		p.conn.abort()
		return false
	}
	p.flow.bytes.Add(int64(len(c.data)))
	p.flow.chunks.Add(1)
	return true
}

// draw gives the next share of the jitter. Numbers depend on the fault's seed, the
// connection's number, the direction and how many chunks came under this fault: so
// a repeated run draws the same.
func (p *pump) draw(f *force) float64 {
	if f == nil || f.Jitter == 0 {
		return 0
	}
	if p.rng == nil || p.rngID != f.ID {
		stream := p.number << 1
		if p.way == Up {
			stream |= 1
		}
		p.rng, p.rngID = rand.New(rand.NewPCG(f.Seed, stream)), f.ID // not for secrets
	}
	return 2*p.rng.Float64() - 1
}
