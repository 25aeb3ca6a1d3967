package attacks

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/failwhale/failwhale/results"
)

const (
	// frameSize is the most content of a frame, ours and theirs: the least that both sides must take (RFC 9113, 4.2).
	frameSize = 16 << 10
	// initialWindow is what may be sent before anything is said about it (6.9.2); maxSendWindow, the most ever (6.9.1).
	initialWindow = 1<<16 - 1
	maxSendWindow = 1<<31 - 1
	// tableSize is the most of an HPACK table (RFC 7541).
	tableSize = 4 << 10
	// lastStream is the last id of a stream that a client may open.
	lastStream = 1<<31 - 1
	// maxDebug is how much of what a GOAWAY says is kept.
	maxDebug = 200
	// lastWords is how long a connection is read that cannot be written any more.
	lastWords = time.Second
	// partingTime is how long the last write may take of a connection that we end. Where the kernel has room it takes
	// none, and a server that does not read need not know: the end of an attack waits no longer than that.
	partingTime = 100 * time.Millisecond
)

// A conn2 is one HTTP/2 connection, with a goroutine that reads and stamps, and one that writes: what the server wants
// at once is queued and never waited for, or both sides could wait for each other.
type conn2 struct {
	mux   *mux
	link  *link
	clock results.Clock
	in    *http2.Framer // of the reading goroutine alone

	writing sync.Mutex // held while the writing goroutine writes, and until unsaid tells how that went
	mu      sync.Mutex
	wake    *sync.Cond // of the writing goroutine
	unsent  []byte     // frames in order; bodies are cut into frames by whoever writes
	out     *http2.Framer
	hpack   *hpack.Encoder
	block   []byte
	streams map[uint32]*stream2 // those that are open
	senders []*stream2          // of them, those with a body to write, in turn
	nextID  uint32
	active  int // places taken
	begun   int // and ever
	idleAt  time.Duration
	settled bool   // the server's SETTINGS came
	served  bool   // a response came
	limit   int    // of streams at a time
	longest uint64 // header list of a request that the server takes
	first   int64  // the window that a stream begins with
	window  int64  // of what the server takes of all bodies
	room    int64  // of what it may send of all answers
	owed    int    // bytes taken that it has not been told of
	last    bool   // no stream begins any more
	goAway  string
	doubted time.Duration // when a ping asked whether it is there
	unsaid  error         // of a write that failed
	parting []byte        // what is still to be written once it has ended; nil: nothing
	fate    error         // why it ended; nil: it has not
}

// appender appends what is written.
type appender []byte

// Write appends.
func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

func newConn2(m *mux, l *link) *conn2 {
	c := &conn2{
		mux: m, link: l, clock: m.pool.clock, streams: map[uint32]*stream2{}, nextID: 1, limit: assumedStreams, longest: math.MaxUint64,
		first: initialWindow, window: initialWindow, room: connWindow,
	}
	l.tap.unbound()
	c.wake = sync.NewCond(&c.mu)
	c.in = http2.NewFramer(nil, l.in)
	c.in.SetReuseFrames()
	c.in.SetMaxReadFrameSize(frameSize)
	c.in.ReadMetaHeaders = hpack.NewDecoder(tableSize, nil)
	c.in.MaxHeaderListSize = maxHeaderList
	c.out = http2.NewFramer((*appender)(&c.unsent), nil)
	c.hpack = hpack.NewEncoder((*appender)(&c.block))
	c.unsent = append(c.unsent, http2.ClientPreface...)
	c.say(c.out.WriteSettings(http2.Setting{ID: http2.SettingEnablePush}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(m.window)},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaderList}))
	c.say(c.out.WriteWindowUpdate(0, connWindow-initialWindow))
	return c
}

// start begins to write and to read. last: for the stream that has a place already, and for no other.
func (c *conn2) start(last bool) {
	c.last = last
	c.mux.loops.Go(c.write)
	c.mux.loops.Go(func() { c.end(c.read()) })
}

// say has what was queued written. Nothing that we queue fails to be a frame. mu is held.
func (c *conn2) say(err error) {
	if err != nil {
		panic(err)
	}
	c.wake.Signal()
}

// load is how many streams it has, and whether there is room for another.
func (c *conn2) load() (streams int, room bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active, c.hasRoom()
}

func (c *conn2) hasRoom() bool {
	most := c.mux.pool.wire.most
	return c.fate == nil && !c.last && c.active < c.limit && (most == 0 || c.begun < most) && c.begun < lastStream/2 &&
		c.doubted <= time.Duration(c.link.sock.last.Load())
}

// reserve takes a place. The first one is there whatever the server will say.
func (c *conn2) reserve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hasRoom() {
		return false
	}
	c.active++
	c.begun++
	return true
}

// old reports whether it has not been used for long, or does not answer. No stream begins there any more.
func (c *conn2) old() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active > 0 {
		return false
	}
	now := c.clock.Now()
	old := now-c.idleAt >= maxIdle || c.doubted > time.Duration(c.link.sock.last.Load()) && now-c.doubted >= doubtTime
	c.last = c.last || old
	return old
}

// retire lets no further stream begin, and reports whether there is none.
func (c *conn2) retire() (idle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = true
	return c.active == 0
}

// over reports whether the last stream has ended that it could have: also where the server takes none, of which each
// request would leave a connection behind. mu is held.
func (c *conn2) over() bool {
	most := c.mux.pool.wire.most
	return c.active == 0 && (c.last || c.limit == 0 || most > 0 && c.begun >= most)
}

// end ends the connection, and what is left of its streams. The first cause counts. One that is merely not needed any
// more is closed by who writes, after it has said so.
func (c *conn2) end(cause error) {
	c.mu.Lock()
	if c.fate != nil {
		c.mu.Unlock()
		return
	}
	c.fate = cause
	left := make([]*stream2, 0, len(c.streams))
	for _, s := range c.streams {
		left = append(left, s)
	}
	c.wake.Signal()
	parts := errors.Is(cause, errUnused) && c.part()
	c.mu.Unlock()
	if !parts {
		c.link.close()
	}
	c.mux.drop(c)
	for _, s := range left {
		s.finish(cause)
	}
}

// part leaves GOAWAY to be written, after all that is queued: the server pushes nothing, so the last stream of its own
// is 0. false: nothing can be written. mu is held.
func (c *conn2) part() bool {
	if c.unsaid != nil || c.link.sock.SetWriteDeadline(time.Now().Add(partingTime)) != nil {
		return false
	}
	c.say(c.out.WriteGoAway(0, http2.ErrCodeNo, nil))
	c.parting, c.unsent = c.unsent, nil
	return true
}

// newStream takes the place that was reserved.
func (c *conn2) newStream(ctx context.Context) *stream2 {
	return &stream2{
		conn: c, ctx: ctx, news: make(chan struct{}, 1), room: int64(c.mux.window), expect: -1,
		pace: newPace(c.mux.pool.wire.read, c.clock),
	}
}

// open sends a request.
func (s *stream2) open(request []byte) {
	c := s.conn
	scheme := "http"
	if c.mux.pool.tls != nil {
		scheme = "https"
	}
	fields, body := parseRequest(request, scheme)
	c.mu.Lock()
	if err := c.refuses(fields); err != nil {
		c.mu.Unlock()
		s.finish(err)
		return
	}
	s.id, s.window, s.later, s.opened = c.nextID, c.first, c.served, c.clock.Now()
	c.nextID += 2
	c.streams[s.id] = s
	c.block = c.block[:0]
	for _, f := range fields {
		c.say(c.hpack.WriteField(f))
	}
	c.writeHead(s.id, len(body) == 0)
	if s.body = body; len(body) > 0 {
		c.senders = append(c.senders, s)
	}
	c.mu.Unlock()
}

// refuses says why a request cannot be opened here, or nil. mu is held.
func (c *conn2) refuses(fields []hpack.HeaderField) error {
	if c.fate != nil {
		return c.fate
	}
	if c.goAway != "" {
		return &droppedError{c.goAway}
	}
	if size := listSize(fields); size > c.longest {
		return &longHeadError{size, c.longest}
	}
	return nil
}

// writeHead queues what is in block. mu is held.
func (c *conn2) writeHead(id uint32, endStream bool) {
	block := c.block
	n := min(len(block), frameSize)
	c.say(c.out.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: block[:n], EndStream: endStream, EndHeaders: n == len(block),
	}))
	for block = block[n:]; len(block) > 0; block = block[n:] {
		n = min(len(block), frameSize)
		c.say(c.out.WriteContinuation(id, n == len(block), block[:n]))
	}
}

// sentAll reports whether the request was written whole.
func (s *stream2) sentAll() bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.wrote != 0
}

// sentBy is when the request was written whole, or when that began.
func (s *stream2) sentBy() time.Duration {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.wrote != 0 {
		return s.wrote
	}
	return s.opened
}

// close gives up the place. A stream that has not ended on both sides is ended: the server is told that nobody waits
// for the answer, or that the rest of the request does not matter.
func (s *stream2) close() {
	s.mu.Lock()
	fate, left := s.fate, s.in.left()+s.have.left()
	s.shut = true
	s.mu.Unlock()
	c := s.conn
	c.mu.Lock()
	delete(c.streams, s.id)
	unsent := len(s.body) > 0
	s.drop()
	if c.fate == nil && s.id != 0 {
		switch {
		case fate == nil:
			c.say(c.out.WriteRSTStream(s.id, http2.ErrCodeCancel))
			c.doubt(s)
		case fate == io.EOF && unsent: //nolint:errorlint // it is ours, and never wrapped
			c.say(c.out.WriteRSTStream(s.id, http2.ErrCodeNo))
		}
		c.repay(left)
	}
	c.active--
	c.idleAt = c.clock.Now()
	over := c.over()
	c.mu.Unlock()
	if over {
		c.end(errUnused)
	}
}

// drop takes back what is not written of the body. The connection's mu is held.
func (s *stream2) drop() {
	if s.body != nil {
		s.body = nil
		s.conn.senders = slices.DeleteFunc(s.conn.senders, func(other *stream2) bool { return other == s })
	}
}

// doubt asks a server whether it is there that has said nothing since a stream began of which somebody tired. No
// stream begins there until it says something. mu is held.
func (c *conn2) doubt(s *stream2) {
	cause := context.Cause(s.ctx)
	tired := errors.Is(cause, errDeadline) || errors.Is(cause, errIdle) || errors.Is(cause, errFirstToken)
	heard := time.Duration(c.link.sock.last.Load())
	if !tired || heard >= s.opened || c.doubted > heard {
		return
	}
	c.doubted = c.clock.Now()
	c.say(c.out.WritePing(false, [8]byte{}))
}

// owe lets the server send n bytes more, of a stream and in all. over: no more is to come of the stream.
func (c *conn2) owe(s *stream2, n int, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fate != nil {
		return
	}
	if !over {
		c.say(c.out.WriteWindowUpdate(s.id, uint32(n)))
	}
	c.repay(n)
}

// repay lets the server send n bytes more in all. It is told once that is much. mu is held.
func (c *conn2) repay(n int) {
	c.owed += n
	if c.owed < connWindow/2 {
		return
	}
	c.room += int64(c.owed)
	c.say(c.out.WriteWindowUpdate(0, uint32(c.owed)))
	c.owed = 0
}

// write writes what is queued, and of each body in turn what its windows have room for, until the connection ends.
func (c *conn2) write() {
	var spare []byte
	var whole []*stream2
	for {
		text, ok := c.pick(spare, &whole)
		if !ok {
			c.link.close()
			return
		}
		if over, err := c.put(text); err != nil {
			// What came before is still to be read; that there is an end to it is not up to the server.
			if over || c.link.sock.SetReadDeadline(time.Now().Add(lastWords)) != nil {
				c.link.close()
			}
			return
		}
		now := c.clock.Now()
		c.mu.Lock()
		for _, s := range whole {
			s.wrote = now
		}
		c.mu.Unlock()
		for _, s := range whole {
			s.tell()
		}
		whole, spare = whole[:0], text[:0]
	}
}

// put writes text. That it failed lets no further stream begin; over: the connection has ended by then.
func (c *conn2) put(text []byte) (over bool, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err = c.link.tap.conn.Write(text)
	if err != nil {
		c.mu.Lock()
		c.last, c.unsaid, over = true, err, c.fate != nil
		c.mu.Unlock()
	}
	return over, err
}

// hush ends a write that goes on, and what may follow, once nothing is read any more.
func (c *conn2) hush() {
	if c.link.sock.SetWriteDeadline(time.Now()) != nil {
		c.link.close()
	}
	c.writing.Lock()
	c.writing.Unlock() //nolint:staticcheck // who wrote has said how it went
}

// pick waits for something to write and takes it; false: the connection has ended, and has said so if it could. whole
// are the streams whose body's end is in it.
func (c *conn2) pick(spare []byte, whole *[]*stream2) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.fate == nil {
		c.content(whole)
		if len(c.unsent) > 0 {
			text := c.unsent
			c.unsent = spare
			return text, true
		}
		c.wake.Wait()
	}
	text := c.parting
	c.parting = nil
	return text, text != nil
}

// content queues a frame of the body whose turn it is and that has room. mu is held.
func (c *conn2) content(whole *[]*stream2) {
	at := slices.IndexFunc(c.senders, func(s *stream2) bool { return s.window > 0 })
	if at < 0 || c.window <= 0 {
		return
	}
	s := c.senders[at]
	n := min(int64(len(s.body)), s.window, c.window, frameSize)
	last := n == int64(len(s.body))
	c.say(c.out.WriteData(s.id, last, s.body[:n]))
	s.window -= n
	c.window -= n
	c.senders = slices.Delete(c.senders, at, at+1)
	if s.body = s.body[n:]; last {
		s.body = nil
		*whole = append(*whole, s)
	} else {
		c.senders = append(c.senders, s)
	}
}
