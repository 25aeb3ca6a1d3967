package perfect

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Timing says when a server writes.
type Timing struct {
	// Prefill is the time from a request to its first token. Up to an Interval is added to it, another for each
	// answer, so that the writes of many spread evenly.
	Prefill time.Duration
	// Interval is the time from a token to the next. Required.
	Interval time.Duration
}

// Validate says what is wrong with t, or nil.
func (t Timing) Validate() error {
	if t.Interval <= 0 || t.Prefill < 0 {
		return fmt.Errorf("a prefill of %s and an interval of %s make no schedule: write 50ms and 20ms", t.Prefill, t.Interval)
	}
	return nil
}

// Mean is how long an answer of so many tokens takes, on average.
func (t Timing) Mean(tokens int) time.Duration {
	return t.Prefill + t.Interval/2 + time.Duration(max(0, tokens-1))*t.Interval
}

const (
	maxTokens  = 1 << 16 // of an answer: its stamps are set aside before it begins
	maxBody    = 8 << 20 // of a request
	readBuffer = 8 << 10
)

// A server answers on the connections of one listener.
type server struct {
	timing  Timing
	base    Timebase
	writers []*writer
	ids     atomic.Uint64

	mu    sync.Mutex
	ended []Answer
	conns map[net.Conn]struct{}
	over  bool
}

// Serve answers on l until ctx ends, and returns once nothing of it is left. It closes l.
func Serve(ctx context.Context, l net.Listener, timing Timing) error {
	if err := timing.Validate(); err != nil {
		return err
	}
	base, err := NewTimebase()
	if err != nil {
		return err
	}
	s := &server{timing: timing, base: base, conns: map[net.Conn]struct{}{}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	for range max(1, runtime.NumCPU()/4) { // where there are few cores, the client needs them more
		w := newWriter(base, s.keep)
		s.writers = append(s.writers, w)
		all.Go(func() { w.run(ctx) })
	}
	var closing error
	all.Go(func() {
		<-ctx.Done()
		closing = s.close(l)
	})
	for {
		conn, err := l.Accept()
		if err != nil {
			stopped := ctx.Err() != nil
			cancel()
			all.Wait()
			if stopped {
				return closing
			}
			return fmt.Errorf("accept: %w", err)
		}
		if s.open(conn) {
			all.Go(func() { s.converse(ctx, conn) })
		}
	}
}

func (s *server) open(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		_ = conn.Close()
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

// close ends the listener and every connection.
func (s *server) close(l net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for conn := range s.conns {
		_ = conn.Close() // nothing is owed on it
	}
	return l.Close()
}

// keep takes the stamps of an answer.
func (s *server) keep(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, st.Answer)
}

// stamps returns what was noted since it was last asked.
func (s *server) stamps() *Stamps {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // fails for no arguments that we give
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &Stamps{Answers: s.ended, CPU: time.Duration(u.Utime.Nano() + u.Stime.Nano())}
	s.ended = nil
	return out
}

// A stamped connection notes when bytes came last.
type stamped struct {
	net.Conn
	base Timebase
	last int64
}

// Read stamps.
func (c *stamped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.last = c.base.Now()
	}
	return n, err
}

// converse answers the requests of a connection, one after the other, until it ends.
func (s *server) converse(ctx context.Context, conn net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
		_ = conn.Close()
	}()
	c := &stamped{Conn: conn, base: s.base}
	in := bufio.NewReaderSize(c, readBuffer)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(io.LimitReader(req.Body, maxBody+1))
		if err != nil || len(body) > maxBody {
			return
		}
		if err := s.answer(ctx, conn, req, body, c.last); err != nil || req.Close {
			return
		}
	}
}

var errConnection = errors.New("the connection ended in an answer")

// answer answers one request, whose last byte came at read.
func (s *server) answer(ctx context.Context, conn net.Conn, req *http.Request, body []byte, read int64) error {
	switch {
	case req.Method == http.MethodGet && req.URL.Path == stampsPath:
		// Its end is that of the connection: nobody counts these bytes.
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n"); err != nil {
			return err
		}
		return errors.Join(s.stamps().encode(conn), errConnection)
	case req.Method != http.MethodPost || req.URL.Path != chatPath:
		return refuse(conn, http.StatusNotFound, "only POST "+chatPath+" and GET "+stampsPath+" are served")
	}
	ask, err := readAsk(body)
	if err != nil {
		return refuse(conn, http.StatusBadRequest, err.Error())
	}
	st, err := s.stream(conn, ask, read)
	if err != nil {
		return err
	}
	s.writers[st.ID%uint64(len(s.writers))].add(st)
	select {
	case <-st.done:
		if !st.ended || len(st.out) > 0 {
			return errConnection
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stream makes the answer to ask.
func (s *server) stream(conn net.Conn, ask ask, read int64) (*stream, error) {
	tcp, ok := conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("%T has no descriptor", conn)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	st := newStream(raw)
	st.ID = s.ids.Add(1)
	// The multiples of the golden ratio spread over an interval as evenly as can be, however many there are.
	_, part := math.Modf(float64(st.ID) * math.Phi)
	st.Read = read
	st.Due = read + int64(s.timing.Prefill) + int64(part*float64(s.timing.Interval))
	st.due, st.interval, st.tokens = st.Due, s.timing.Interval, ask.tokens()
	st.Writes = make([]int64, 0, st.tokens)
	st.first, st.chunk, st.tail = compose(st.ID, st.tokens, ask)
	return st, nil
}

func refuse(conn net.Conn, status int, why string) error {
	body, err := json.Marshal(map[string]any{"error": map[string]string{"message": why, "type": "invalid_request_error"}})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), len(body), body)
	return err
}
