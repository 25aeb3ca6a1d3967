package attacks

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A socket is a connection that stamps its reads and writes. Under TLS it is the
// one below, so a stamp is when bytes came from the kernel and not when they were
// decrypted. One goroutine uses it; only last may be read by others.
type socket struct {
	net.Conn
	clock results.Clock
	last  atomic.Int64 // when bytes came last, since the start of the run

	reads    int           // reads that brought bytes, ever
	first    time.Duration // when the current request's first byte came; 0: not yet
	wrote    time.Duration // when the current request's last write returned; 0: none did
	failure  error         // the first error that the network made, not we
	failedAt time.Duration
}

// begin forgets what the request before has left.
func (s *socket) begin() { s.first, s.wrote = 0, 0 }

// Read stamps.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	now := s.clock.Now()
	if n > 0 {
		s.reads++
		s.last.Store(int64(now))
		if s.first == 0 {
			s.first = now
		}
	}
	s.note(err, now)
	return n, err
}

// Write stamps.
func (s *socket) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	now := s.clock.Now()
	if err == nil {
		s.wrote = now
	}
	s.note(err, now)
	return n, err
}

// note keeps the first error that is not of our own making: a deadline that we set, or our Close.
func (s *socket) note(err error, now time.Duration) {
	if err == nil || s.failure != nil || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return
	}
	s.failure, s.failedAt = err, now
}
