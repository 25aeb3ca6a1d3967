package targetstest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An HTTP2 is how a Server2 speaks. Its zero value is prior knowledge over a socket, with no settings but the defaults.
type HTTP2 struct {
	// Pipe, not a socket; TLS, with ALPN.
	Pipe, TLS bool
	// Settings are sent at first.
	Settings []http2.Setting
	// Silent sends none, nor anything else by itself.
	Silent bool
	// Early answers once a request's head is there; else once it is there whole.
	Early bool
	// Keep does not let a client send more than the first windows have room for; else what was read is made up for.
	Keep bool
}

// A Handler2 answers one request. It has a goroutine of its own; the stream is as it leaves it.
type Handler2 func(*Stream2)

// A Reset is a stream that a client ended.
type Reset struct {
	Conn   int
	Stream uint32
	Code   http2.ErrCode
	At     time.Time
}

// A GoAway is a client's word that it ends a connection.
type GoAway struct {
	Conn int
	// Last is the last stream of the server's that the client took.
	Last uint32
	Code http2.ErrCode
	At   time.Time
}

// A Server2 is a Server that speaks HTTP/2, frame by frame. It is safe for concurrent use.
type Server2 struct {
	*Server
	how    HTTP2
	answer Handler2

	resets  []Reset // guarded by the Server's mu
	goAways []GoAway
	acks    int
}

// NewHTTP2 starts a server that ends with the test. Whatever is under test has to be done by then.
func NewHTTP2(tb testing.TB, how HTTP2, answer Handler2) *Server2 {
	tb.Helper()
	s := &Server2{Server: newServer(tb, nil), how: how, answer: answer}
	s.talk = s.converse
	if how.TLS {
		s.tls, s.ca = selfSigned(tb)
		s.tls.NextProtos = []string{http2.NextProtoTLS}
		s.tls.SessionTicketsDisabled = how.Pipe // see NewPipeTLS
	}
	if !how.Pipe {
		listen(tb, s.Server)
	}
	return s
}

// Resets returns the streams that clients have ended, in order.
func (s *Server2) Resets() []Reset {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.resets)
}

// GoAways returns the connections that clients have ended in order, in the order in which they did.
func (s *Server2) GoAways() []GoAway {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.goAways)
}

// Acks counts the settings and pings that clients have acknowledged.
func (s *Server2) Acks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acks
}

// A conn2 is a connection of a Server2.
type conn2 struct {
	*Server2
	net.Conn
	n   int // as Request.Conn
	ctx context.Context

	mu      sync.Mutex // of what is written, and of windows
	framer  *http2.Framer
	block   bytes.Buffer
	hpack   *hpack.Encoder
	streams map[uint32]*Stream2
	window  int64
	first   int64
	muted   bool
	heeded  bool          // the client has acknowledged the first settings; of the reading goroutine alone
	changed chan struct{} // closed and replaced when a window grows
}

// A Stream2 is one request and its answer. What cannot be written because the client has left is left out.
type Stream2 struct {
	// Request is what was read when the handler was called.
	Request
	// ID of the stream.
	ID uint32

	conn   *conn2
	ctx    context.Context // ends with the stream, if the client ends it
	end    context.CancelFunc
	window int64
	body   bytes.Buffer
	wrote  int
	takes  int // the window that it began with
	ahead  int // what the client sent and was not given back; guarded by the connection's mu
}

// converse answers the requests of one connection until the client leaves, or a handler ends it.
func (s *Server2) converse(conn net.Conn, n int) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	c := &conn2{
		Server2: s, Conn: conn, n: n, ctx: ctx, framer: http2.NewFramer(conn, conn), streams: map[uint32]*Stream2{},
		window: 65535, first: 65535, changed: make(chan struct{}),
	}
	c.framer.AllowIllegalWrites = true
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.hpack = hpack.NewEncoder(&c.block)
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer cancel()
	if secure, ok := conn.(*tls.Conn); ok && secure.HandshakeContext(ctx) != nil {
		return
	}
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	if !s.how.Silent {
		c.write(func(f *http2.Framer) error { return f.WriteSettings(s.how.Settings...) })
	}
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return
		}
		c.take(f, &handlers)
	}
}

// write writes frames, and nothing else between them.
func (c *conn2) write(frames func(*http2.Framer) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.muted {
		_ = frames(c.framer) // the client has left
	}
}

// later writes where the client may be writing as well, over a pipe.
func (c *conn2) later(handlers *sync.WaitGroup, frames func(*http2.Framer) error) {
	handlers.Go(func() { c.write(frames) })
}

func (c *conn2) take(f http2.Frame, handlers *sync.WaitGroup) {
	id := f.Header().StreamID
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		s := &Stream2{ID: id, conn: c, window: c.first, takes: c.takes()}
		s.ctx, s.end = context.WithCancel(c.ctx)
		s.Conn, s.Method, s.Path, s.Header = c.n, f.PseudoValue("method"), f.PseudoValue("path"), http.Header{}
		s.Header.Set("Host", f.PseudoValue("authority"))
		for _, field := range f.RegularFields() {
			s.Header.Add(field.Name, field.Value)
		}
		c.mu.Lock()
		c.streams[id] = s
		c.mu.Unlock()
		if f.StreamEnded() || c.how.Early {
			c.serve(s, handlers)
		}
	case *http2.DataFrame:
		c.data(f, handlers)
	case *http2.RSTStreamFrame:
		c.Server.mu.Lock()
		c.resets = append(c.resets, Reset{Conn: c.n, Stream: id, Code: f.ErrCode, At: time.Now()})
		c.Server.mu.Unlock()
		c.mu.Lock()
		defer c.mu.Unlock()
		if s := c.streams[id]; s != nil {
			s.end()
		}
	case *http2.GoAwayFrame:
		c.Server.mu.Lock()
		defer c.Server.mu.Unlock()
		c.goAways = append(c.goAways, GoAway{Conn: c.n, Last: f.LastStreamID, Code: f.ErrCode, At: time.Now()})
	case *http2.SettingsFrame:
		c.settings(f, handlers)
	case *http2.PingFrame:
		if f.IsAck() {
			c.acked()
		} else if data := f.Data; !c.how.Silent {
			c.later(handlers, func(f *http2.Framer) error { return f.WritePing(true, data) })
		}
	case *http2.WindowUpdateFrame:
		c.mu.Lock()
		defer c.mu.Unlock()
		if s := c.streams[id]; id == 0 {
			c.window += int64(f.Increment)
		} else if s != nil {
			s.window += int64(f.Increment)
		}
		c.grown()
	}
}

func (c *conn2) data(f *http2.DataFrame, handlers *sync.WaitGroup) {
	c.mu.Lock()
	s := c.streams[f.StreamID]
	c.mu.Unlock()
	if s == nil {
		return
	}
	c.mu.Lock()
	s.body.Write(f.Data())
	c.mu.Unlock()
	if n := f.Length; !c.how.Keep && !c.how.Silent && n > 0 {
		c.mu.Lock()
		s.ahead += int(n)
		over := s.ahead - s.takes
		c.mu.Unlock()
		if over > 0 {
			c.problem(fmt.Errorf("stream %d: the client sent %d bytes more than its window has room for", s.ID, over))
		}
		c.later(handlers, func(f *http2.Framer) error {
			s.ahead -= int(n)
			return errors.Join(f.WriteWindowUpdate(0, n), f.WriteWindowUpdate(s.ID, n))
		})
	}
	if f.StreamEnded() && !c.how.Early {
		c.serve(s, handlers)
	}
}

// takes is the window that a stream of the client's begins with: that of the settings once it has acknowledged them.
func (c *conn2) takes() int {
	for _, s := range c.how.Settings {
		if s.ID == http2.SettingInitialWindowSize && c.heeded {
			return int(s.Val)
		}
	}
	return 65535
}

func (c *conn2) settings(f *http2.SettingsFrame, handlers *sync.WaitGroup) {
	if f.IsAck() {
		c.heeded = true
		c.acked()
		return
	}
	if first, ok := f.Value(http2.SettingInitialWindowSize); ok {
		c.mu.Lock()
		c.first = int64(first)
		c.mu.Unlock()
	}
	if !c.how.Silent {
		c.later(handlers, (*http2.Framer).WriteSettingsAck)
	}
}

func (c *conn2) acked() {
	c.Server.mu.Lock()
	defer c.Server.mu.Unlock()
	c.acks++
}

// grown wakes who waits for a window. mu is held.
func (c *conn2) grown() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// serve runs the handler.
func (c *conn2) serve(s *Stream2, handlers *sync.WaitGroup) {
	s.At, s.Body = time.Now(), slices.Clone(s.body.Bytes())
	c.Server.mu.Lock()
	s.Index = len(c.requests)
	c.requests = append(c.requests, s.Request)
	c.Server.mu.Unlock()
	handlers.Go(func() { c.answer(s) })
}

// Pause does nothing for so long, or until the client has left.
func (s *Stream2) Pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}

// Hang does nothing until the client ends the stream or leaves.
func (s *Stream2) Hang() { <-s.ctx.Done() }

// Got is how much of the request's body is there by now.
func (s *Stream2) Got() int {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.body.Len()
}

// Mute has nothing more written on the whole connection, and hangs.
func (s *Stream2) Mute() {
	s.conn.mu.Lock()
	s.conn.muted = true
	s.conn.mu.Unlock()
	s.Hang()
}

// fields writes HEADERS.
func (s *Stream2) fields(end bool, fields ...string) {
	s.conn.write(func(f *http2.Framer) error {
		s.conn.block.Reset()
		var errs []error
		for pair := range slices.Chunk(fields, 2) {
			errs = append(errs, s.conn.hpack.WriteField(hpack.HeaderField{Name: pair[0], Value: pair[1]}))
		}
		return errors.Join(append(errs, f.WriteHeaders(http2.HeadersFrameParam{
			StreamID: s.ID, BlockFragment: s.conn.block.Bytes(), EndHeaders: true, EndStream: end,
		}))...)
	})
}

// Head writes a head: a status, and names and values in turn.
func (s *Stream2) Head(status int, fields ...string) {
	s.fields(false, append([]string{":status", strconv.Itoa(status)}, fields...)...)
}

// Stream writes the head of an event stream.
func (s *Stream2) Stream() { s.Head(http.StatusOK, "content-type", "text/event-stream") }

// Only writes a head that is all of the answer.
func (s *Stream2) Only(status int, fields ...string) {
	s.fields(true, append([]string{":status", strconv.Itoa(status)}, fields...)...)
}

// Trailers end the answer.
func (s *Stream2) Trailers(fields ...string) { s.fields(true, fields...) }

// More writes fields that are no end: of a head that is not one.
func (s *Stream2) More(fields ...string) { s.fields(false, fields...) }

// Data writes each text in a frame of its own, whatever the windows.
func (s *Stream2) Data(texts ...string) {
	for _, text := range texts {
		s.conn.write(func(f *http2.Framer) error { return f.WriteData(s.ID, false, []byte(text)) })
	}
}

// Padded is Data with so much padding.
func (s *Stream2) Padded(text string, pad int) {
	s.conn.write(func(f *http2.Framer) error { return f.WriteDataPadded(s.ID, false, []byte(text), make([]byte, pad)) })
}

// Last writes text in the frame that ends the stream.
func (s *Stream2) Last(text string) {
	s.conn.write(func(f *http2.Framer) error { return f.WriteData(s.ID, true, []byte(text)) })
}

// Write writes text in frames of up to size bytes, as the client's windows have room, until the client leaves. It
// returns how much it could write, ever.
func (s *Stream2) Write(text string, size int) int {
	for len(text) > 0 && s.ctx.Err() == nil {
		s.conn.mu.Lock()
		n := int(min(int64(len(text)), int64(size), s.window, s.conn.window))
		changed := s.conn.changed
		if n > 0 {
			if s.conn.framer.WriteData(s.ID, false, []byte(text[:n])) == nil {
				s.wrote += n
			}
			s.window -= int64(n)
			s.conn.window -= int64(n)
			text = text[n:]
			s.conn.mu.Unlock()
			continue
		}
		s.conn.mu.Unlock()
		select {
		case <-changed:
		case <-s.ctx.Done():
		}
	}
	return s.wrote
}

// Reset ends the stream.
func (s *Stream2) Reset(code http2.ErrCode) {
	s.conn.write(func(f *http2.Framer) error { return f.WriteRSTStream(s.ID, code) })
}

// GoAway says which stream is the last one that was taken.
func (s *Stream2) GoAway(last uint32, code http2.ErrCode, why string) {
	s.conn.write(func(f *http2.Framer) error { return f.WriteGoAway(last, code, []byte(why)) })
}

// Frame writes any frame, of any kind.
func (s *Stream2) Frame(kind http2.FrameType, flags http2.Flags, id uint32, payload string) {
	s.conn.write(func(f *http2.Framer) error { return f.WriteRawFrame(kind, flags, id, []byte(payload)) })
}

// Raw writes bytes, whether or not they are frames, in one write.
func (s *Stream2) Raw(text string) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	_, _ = io.WriteString(s.conn.Conn, text) // the client has left
}

// FIN ends the connection in order: what was sent arrives, and then an end. What the client still sends is read until it
// leaves, too: a socket that is closed with something unread is reset.
func (s *Stream2) FIN() { s.Cut("") }

// Cut writes bytes and FIN, and nothing of the server's own between them or after.
func (s *Stream2) Cut(text string) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.conn.muted = true
	_, _ = io.WriteString(s.conn.Conn, text) // the client has left
	tcp, socket := bare(s.conn.Conn).(*net.TCPConn)
	if !socket {
		_ = s.conn.Close()
		return
	}
	if secure, is := s.conn.Conn.(*tls.Conn); is {
		_ = secure.CloseWrite()
	}
	_ = tcp.CloseWrite()
}

// RST ends it by a reset.
func (s *Stream2) RST() { _ = RST()(s.ctx, s.conn.Conn) }
