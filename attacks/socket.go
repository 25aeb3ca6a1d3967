package attacks

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/failwhale/failwhale/results"
)

// Stamps say when the bytes of an answer came from the kernel. One goroutine reads that answer; only last may
// be read by others.
type stamps struct {
	last  atomic.Int64 // when bytes came last, since the start of the run; or until when a slow reader takes none
	reads int          // reads that brought bytes, ever
}

// A socket is a connection that stamps its reads. Under TLS it is the one below, so a stamp is
// when bytes came from the kernel and not when they were decrypted.
type socket struct {
	net.Conn
	clock results.Clock
	stamps
}

// Read stamps.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if n > 0 {
		s.stamp()
	}
	return n, err
}

func (s *socket) stamp() {
	s.reads++
	s.last.Store(int64(s.clock.Now()))
}

// hold says that nothing is taken before then, so that nobody takes it for silence.
func (s *stamps) hold(until time.Duration) {
	for {
		last := s.last.Load()
		if last >= int64(until) || s.last.CompareAndSwap(last, int64(until)) {
			return
		}
	}
}

// A tap is what HTTP reads from and writes to: the connection, after TLS took out what is its own.
// What became of a request is judged here. Below it the handshake's tickets would pass for the first
// byte of a response, and the record by which a server closes TLS in order for a piece of one.
type tap struct {
	conn net.Conn // sock, or TLS over it
	sock *socket
	room int64 // bytes that may still be read: it bounds a head
	pace *pace // of a slow reader; nil: it takes all there is

	first    time.Duration // when the current request's first byte came; 0: not yet
	began    time.Duration // when its write began
	wrote    time.Duration // when that returned; 0: it has not, or it failed
	writing  chan written  // of a write that goes on; nil: none does
	failure  error         // the first error that the network made, not we
	failedAt time.Duration
}

var errHeadTooLong = fmt.Errorf("head is longer than %d bytes", maxHead)

// Read notes the first byte and the first failure.
func (t *tap) Read(p []byte) (int, error) {
	if t.room <= 0 {
		return 0, errHeadTooLong
	}
	p = p[:min(int64(len(p)), t.room)]
	if t.pace != nil {
		if !t.pace.wait(&t.sock.stamps) {
			return 0, os.ErrDeadlineExceeded // as interrupt will have it
		}
		p = p[:min(len(p), t.pace.portion())]
	}
	n, err := t.conn.Read(p)
	if t.pace != nil {
		t.pace.took(n)
	}
	t.count(n, err)
	return n, err
}

// park is Read for a feed that holds no buffer: it has one again once there is something to read.
func (t *tap) park(f *feed) (int, error) {
	if t.room <= 0 {
		return 0, errHeadTooLong
	}
	f.got, f.gotErr = 0, nil
	err := f.raw.Read(f.onData)
	if err == nil {
		err = f.gotErr
	}
	t.count(f.got, err)
	return f.got, err
}

func (t *tap) count(n int, err error) {
	t.room -= int64(n)
	if n > 0 && t.first == 0 {
		t.first = time.Duration(t.sock.last.Load())
	}
	t.note(err)
}

// wholeWrite is how many bytes an idle connection takes without waiting for the other side to read:
// the buffer that Linux gives a socket at first (tcp(7), tcp_wmem), the smallest in service.
const wholeWrite = 16 << 10

// A written is how the write of a request ended.
type written struct {
	at  time.Duration
	err error
}

// send writes a request, and forgets what the one before has left. One that the kernel may not take at
// once is written while the response is read: a server that refuses a long prompt need not read it.
// Whoever sends must settle, too, once the response is read or the connection closed.
func (t *tap) send(request []byte) {
	t.first, t.wrote, t.room = 0, 0, maxHead
	t.began = t.sock.clock.Now()
	if len(request) <= wholeWrite {
		t.sent(t.write(request))
		return
	}
	writing := make(chan written, 1)
	t.writing = writing
	go func() { writing <- t.write(request) }()
}

func (t *tap) write(request []byte) written {
	_, err := t.conn.Write(request)
	return written{t.sock.clock.Now(), err}
}

func (t *tap) sent(w written) {
	if w.err == nil {
		t.wrote = w.at
	}
	t.note(w.err)
}

// settle waits for a write that goes on, and returns its error. After the connection's close that takes no time.
func (t *tap) settle() error {
	if t.writing == nil {
		return nil
	}
	w := <-t.writing
	t.writing = nil
	t.sent(w)
	return w.err
}

// settleTime is how long a write may go on once its answer has been read to the end. If the other side has
// read it all, it is over, and just the news is still to come.
const settleTime = 10 * time.Millisecond

// settled reports whether the request was written whole, and waits no longer than settleTime.
func (t *tap) settled() bool {
	if t.writing == nil {
		return true
	}
	err := t.conn.SetWriteDeadline(time.Now().Add(settleTime))
	return errors.Join(err, t.settle(), t.conn.SetWriteDeadline(time.Time{})) == nil
}

// unbound lifts the bound: what follows the head is the body's affair.
func (t *tap) unbound() { t.room = math.MaxInt64 }

// note keeps the first error that is not of our own making: a deadline that we set, or our Close.
func (t *tap) note(err error) {
	if err == nil || t.failure != nil || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return
	}
	t.failure, t.failedAt = err, t.sock.clock.Now()
}

// cause is how the network ended the exchange, once nothing is read any more.
func (t *tap) cause() error {
	if t.writing != nil && ended(t.failure) {
		_ = t.conn.SetWriteDeadline(time.Now()) // of a connection that is over: settle has what became of the write
		if err := t.settle(); wasReset(err) {
			t.failure = err
		}
	}
	return t.failure
}

// wasReset reports whether the other side reset the connection. The kernel says so once, to a read or a write, whichever
// is first; to a read after it, the connection just ends.
func wasReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// ended reports whether the connection was closed, whether or not TLS was ended first.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// brokeTLS reports whether an established connection failed in TLS itself: bytes that are no record,
// a record that does not verify, an alert. An alert is of no exported type but over QUIC: crypto/tls
// wraps it, and names the side that gave up.
func brokeTLS(err error) bool {
	var header tls.RecordHeaderError
	var alert tls.AlertError
	var op *net.OpError
	return errors.As(err, &header) || errors.As(err, &alert) ||
		errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}

// ownLimit says which limit of this machine, and not of the server, kept us from a connection, and what
// to do about it; or "". An address that is not available is a lack of ports only over IPv4: over IPv6 it
// is also what a machine without an IPv6 address says of localhost.
func ownLimit(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE),
		errors.As(err, &dns) && strings.HasSuffix(dns.Err, syscall.EMFILE.Error()): // net makes a text of it
		return "raise this machine's limit of open files (ulimit -n 65536), or lower the rate"
	case errors.Is(err, syscall.EADDRNOTAVAIL) && errors.As(err, &op):
		if to, ok := op.Addr.(*net.TCPAddr); ok && to.IP.To4() != nil {
			return "widen this machine's range of local ports (net.ipv4.ip_local_port_range), or lower the rate"
		}
	}
	return ""
}
