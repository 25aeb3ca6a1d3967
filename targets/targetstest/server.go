package targetstest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// A Request is what a server saw of one request.
type Request struct {
	// Index counts requests from 0, Conn the connections that they came on.
	Index, Conn int
	// At is when the request had been read whole.
	At     time.Time
	Method string
	Path   string
	Header http.Header
	Body   []byte
}

// A Handler chooses the script that answers a request.
type Handler func(Request) Script

// Always answers every request by the same steps.
func Always(steps ...Step) Handler { return func(Request) Script { return steps } }

// InTurn answers the first request by the first script and so on; the last one
// answers whatever comes after.
func InTurn(scripts ...Script) Handler {
	return func(r Request) Script { return scripts[min(r.Index, len(scripts)-1)] }
}

// A Server listens on loopback and plays scripts. It is safe for concurrent use.
type Server struct {
	handle   Handler
	talk     func(conn net.Conn, n int) // instead of HTTP/1.1; nil: that
	listener net.Listener               // nil: a Server of NewPipe
	ctx      context.Context
	stop     context.CancelFunc
	wg       sync.WaitGroup
	tls      *tls.Config // nil: none
	ca       string

	mu       sync.Mutex
	accepts  int
	ended    int
	requests []Request
	problems []error
}

// New starts a server that ends with the test. Whatever is under test has to be done by then.
func New(tb testing.TB, handle Handler) *Server {
	tb.Helper()
	return listen(tb, newServer(tb, handle))
}

// NewTLS is New over TLS.
func NewTLS(tb testing.TB, handle Handler) *Server {
	tb.Helper()
	s := newServer(tb, handle)
	s.tls, s.ca = selfSigned(tb)
	return listen(tb, s)
}

// NewPipeTLS is NewPipe over TLS.
func NewPipeTLS(tb testing.TB, handle Handler) *Server {
	tb.Helper()
	s := newServer(tb, handle)
	s.tls, s.ca = selfSigned(tb)
	// They are sent when the handshake ends, before the client reads: over a pipe both would wait to write.
	s.tls.SessionTicketsDisabled = true
	return s
}

func listen(tb testing.TB, s *Server) *Server {
	tb.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(s.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("listen: %v", err)
	}
	s.listener = l
	s.wg.Go(s.accept)
	return s
}

// NewPipe returns a server that can only be reached through its Dial, over
// in-memory pipes: it works inside a synctest bubble. A reset is a close there.
func NewPipe(tb testing.TB, handle Handler) *Server {
	tb.Helper()
	return newServer(tb, handle)
}

func newServer(tb testing.TB, handle Handler) *Server {
	tb.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{handle: handle, ctx: ctx, stop: stop}
	tb.Cleanup(func() {
		s.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, err := range s.problems {
			tb.Errorf("scripted server: %v", err)
		}
	})
	return s
}

// Addr is host:port.
func (s *Server) Addr() string {
	if s.listener == nil {
		return "pipe.test:80"
	}
	return s.listener.Addr().String()
}

// URL is the server's root.
func (s *Server) URL() string {
	if s.tls != nil {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}

// CA is a file with the certificate to trust, in PEM; "" without TLS.
func (s *Server) CA() string { return s.ca }

// Ended counts the connections that the server has closed, whoever ended them.
func (s *Server) Ended() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// Accepts counts the connections so far.
func (s *Server) Accepts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepts
}

// Requests returns the requests so far, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Dial connects to the server without a network, for any address.
func (s *Server) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := errors.Join(ctx.Err(), s.ctx.Err()); err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	near, far := net.Pipe()
	s.mu.Lock()
	n := s.accepts
	s.accepts++
	s.mu.Unlock()
	s.wg.Go(func() { s.serve(far, n) })
	return near, nil
}

// Close ends every connection and waits for the scripts. It may be called twice.
func (s *Server) Close() {
	s.stop()
	if s.listener != nil {
		if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.problem(err)
		}
	}
	s.wg.Wait()
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.problem(err)
			}
			return
		}
		s.mu.Lock()
		n := s.accepts
		s.accepts++
		s.mu.Unlock()
		s.wg.Go(func() { s.serve(conn, n) })
	}
}

// serve answers the requests of one connection until a script ends it, or the client does.
func (s *Server) serve(conn net.Conn, n int) {
	if s.tls != nil {
		conn = tls.Server(conn, s.tls)
	}
	hangUp := func() { _ = conn.Close() } // whatever ends first; a second close is no news
	defer func() {
		hangUp()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended++
	}()
	defer context.AfterFunc(s.ctx, hangUp)()
	if s.talk != nil {
		s.talk(conn, n)
		return
	}
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		req := Request{Conn: n, At: time.Now(), Method: r.Method, Path: r.URL.Path, Header: r.Header, Body: body}
		s.mu.Lock()
		req.Index = len(s.requests)
		s.requests = append(s.requests, req)
		s.mu.Unlock()
		for _, step := range s.handle(req) {
			if step(s.ctx, conn) != nil {
				return
			}
		}
	}
}

func (s *Server) problem(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, err)
}
