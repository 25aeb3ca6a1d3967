package attacks

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"sync"
	"syscall"
)

// A feed hands out what came from a connection. It differs from a bufio.Reader in that it holds a buffer
// only while there is something in it: a stream waits for its server nearly all of its time, and with
// thousands of streams their buffers would be the most of our memory. Over TLS it holds one while it waits.
type feed struct {
	tap     *tap
	buffers *buffers
	raw     syscall.RawConn // nil: there is none, or TLS is between
	onData  func(fd uintptr) bool
	got     int   // bytes of onData's read
	gotErr  error // and its error

	buf  []byte // nil: none is held
	r, w int    // buf[r:w] is what came and was not taken
	err  error  // came together with bytes: it is for the next fill
}

// buffers are those that no connection holds. They are for concurrent use; the zero value has none yet.
type buffers struct{ reads, heads sync.Pool }

func (b *buffers) get() []byte {
	if buf, ok := b.reads.Get().(*[readBuffer]byte); ok {
		return buf[:]
	}
	return make([]byte, readBuffer)
}

func (b *buffers) put(buf []byte) { b.reads.Put((*[readBuffer]byte)(buf)) }

// lines returns a reader for the lines of a head.
func (b *buffers) lines(f *feed) *bufio.Reader {
	if r, ok := b.heads.Get().(*bufio.Reader); ok {
		r.Reset((*lineFeed)(f))
		return r
	}
	return bufio.NewReader((*lineFeed)(f))
}

func (b *buffers) putLines(r *bufio.Reader) {
	r.Reset(nil)
	b.heads.Put(r)
}

// newFeed reads what comes through tap.
func newFeed(t *tap, free *buffers) *feed {
	f := &feed{tap: t, buffers: free}
	if sys, ok := t.sock.Conn.(syscall.Conn); ok && canPark && t.pace == nil && t.conn == net.Conn(t.sock) {
		if raw, err := sys.SyscallConn(); err == nil {
			f.raw, f.onData = raw, f.readNow
		}
	}
	return f
}

// window is what came and was not taken. It is valid until the next call of skip or fill.
func (f *feed) window() []byte { return f.buf[f.r:f.w] }

// skip takes the first n bytes of the window.
func (f *feed) skip(n int) {
	f.r += n
	if f.r == f.w && f.buf != nil {
		f.buffers.put(f.buf)
		f.buf, f.r, f.w = nil, 0, 0
	}
}

// maxEmptyReads is how often a read may bring nothing, as in bufio.
const maxEmptyReads = 100

// fill waits until the window is longer, or there is an error: bufio.ErrBufferFull if it has no room.
func (f *feed) fill() error {
	if f.err != nil {
		return f.err
	}
	if f.r > 0 {
		f.w = copy(f.buf, f.buf[f.r:f.w])
		f.r = 0
	}
	for range maxEmptyReads {
		n, err := f.read()
		f.w += n
		if n > 0 {
			f.err = err
			return nil
		}
		if err != nil {
			f.skip(0)
			return err
		}
	}
	return io.ErrNoProgress
}

// read reads once, behind the window.
func (f *feed) read() (int, error) {
	switch {
	case f.buf == nil && f.raw != nil:
		return f.tap.park(f)
	case f.buf == nil:
		f.buf = f.buffers.get()
	case f.w == len(f.buf):
		return 0, bufio.ErrBufferFull
	}
	return f.tap.Read(f.buf[f.w:])
}

// readNow is what the runtime's poller calls whenever there may be something to read. It takes a
// buffer for the moment, and returns false if there was nothing after all.
func (f *feed) readNow(fd uintptr) bool {
	buf := f.buffers.get()
	n, again, err := readFD(fd, buf[:min(int64(len(buf)), f.tap.room)])
	if again || n <= 0 {
		f.buffers.put(buf)
	} else {
		f.tap.sock.stamp()
		f.buf = buf
	}
	f.got, f.gotErr = max(n, 0), err
	return !again
}

// Read takes what there is, or waits.
func (f *feed) Read(p []byte) (int, error) {
	if f.r == f.w {
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.window())
	f.skip(n)
	return n, nil
}

// A lineFeed gives up to the end of a line. So who reads the lines of a head by it, through whatever
// buffer, holds nothing of what follows the head.
type lineFeed feed

// Read takes what there is of a line, or waits.
func (l *lineFeed) Read(p []byte) (int, error) {
	f := (*feed)(l)
	if f.r == f.w {
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	have := f.window()
	if i := bytes.IndexByte(have, '\n'); i >= 0 {
		have = have[:i+1]
	}
	n := copy(p, have)
	f.skip(n)
	return n, nil
}

// A fedConn is a connection whose reads are those of a feed. TLS reads from it: by itself it reads a few
// hundred bytes at first, so that what came together would be read, and stamped, as if it had not.
type fedConn struct {
	net.Conn
	feed *feed
}

// Read is the feed's.
func (c *fedConn) Read(p []byte) (int, error) { return c.feed.Read(p) }
