package attacks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A stream2 is one request and its answer on an HTTP/2 connection. The connection's goroutines hand over to the one
// that it belongs to: it opens the stream, reads from it and closes it.
type stream2 struct {
	conn *conn2
	ctx  context.Context // of who waits for the answer
	news chan struct{}   // has room for one: something is there, or has changed
	came stamps          // when its frames came: for who waits for silence to end
	id   uint32          // 0: it was not opened

	// Guarded by the connection's mu.
	body   []byte // what is still to be written
	window int64  // of what the server takes of it
	opened time.Duration
	wrote  time.Duration // when the last of the request was written; 0: not yet

	mu       sync.Mutex
	head     *http.Response // nil: not yet
	headSize int            // bytes of heads so far: of those before it, too
	in       batch
	room     int64 // what the server may still send
	expect   int64 // bytes of content that are still to come; -1: it did not say
	heard    bool  // any frame of it came
	fate     error // how it ended: io.EOF in order; nil: it has not
	shut     bool  // nobody reads it any more

	// Of the one to whom it belongs.
	later  bool // the connection had served another one before
	headAt time.Duration
	taken  stamps // of what next handed out
	have   batch
	small  []byte // for pieces of a large batch; nil: there was none
	owed   int    // bytes taken that the server has not been told of
	pace   *pace
}

// A batch is what came of a body, with the stamps of the reads that brought it.
type batch struct {
	buf   []byte
	spans []span
	at    int // buf[at:] was not taken
	span  int // it begins in spans[span]
}

// A span of a batch is what one socket read brought.
type span struct {
	end   int
	stamp time.Duration
	reads int
}

// maxSpare is the largest buffer that a stream keeps while it waits, and maxSpans how many reads it keeps room for: some
// eight chunks of a token, each by its own. With thousands of streams, what one burst took would be most of our memory.
const (
	maxSpare = 2 << 10
	maxSpans = 16
)

// add copies p.
func (b *batch) add(p []byte, stamp time.Duration, reads int) {
	b.buf = append(b.buf, p...)
	if n := len(b.spans); n > 0 && b.spans[n-1].reads == reads {
		b.spans[n-1].end = len(b.buf)
		return
	}
	b.spans = append(b.spans, span{len(b.buf), stamp, reads})
}

// cut takes up to limit bytes that one read brought.
func (b *batch) cut(limit int) (piece []byte, of span) {
	of = b.spans[b.span]
	end := min(of.end, b.at+limit)
	piece = b.buf[b.at:end]
	b.at = end
	if end == of.end {
		b.span++
	}
	return piece, of
}

func (b *batch) left() int { return len(b.buf) - b.at }

// clear empties b, and keeps its memory if that is little.
func (b *batch) clear() {
	if cap(b.buf) > maxSpare || cap(b.spans) > maxSpans {
		*b = batch{}
	}
	b.buf, b.spans, b.at, b.span = b.buf[:0], b.spans[:0], 0, 0
}

// A resetError is a stream's end by the server.
type resetError struct{ code http2.ErrCode }

// Error names the code.
func (e *resetError) Error() string { return fmt.Sprintf("stream was reset: %s", e.code) }

// A brokenError is what came and is no HTTP/2. It does not unwrap, as a lostError does not.
type brokenError struct{ why string }

// Error says what came.
func (e *brokenError) Error() string { return e.why }

// A droppedError is the end of a stream that the server will not begin: its GOAWAY says so, or came before it.
type droppedError struct{ why string }

// Error says what the server said.
func (e *droppedError) Error() string {
	return "connection was given up before the request began" + e.why
}

// A longHeadError is the end of a stream that was not opened: its header list is longer than the server takes.
type longHeadError struct{ size, longest uint64 }

// Error says both sizes, and what to do.
func (e *longHeadError) Error() string {
	return fmt.Sprintf("request was not sent: its headers have %d bytes as HTTP/2 counts them (name + value + 32 each), and the server takes %d: "+
		"send fewer headers or shorter ones, or leave http2 out", e.size, e.longest)
}

// A lostError is the end of a stream by that of its connection. It does not unwrap: an io.EOF of the network is no
// proper end of a stream.
type lostError struct {
	failure error // of the network
	at      time.Duration
	note    string // what the server had said before
}

// Error is the network's.
func (e *lostError) Error() string { return e.failure.Error() + e.note }

// parseRequest makes of a request as HTTP/1.1 writes it what HTTP/2 sends: its header list, and its body.
func parseRequest(text []byte, scheme string) (fields []hpack.HeaderField, body []byte) {
	head, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	lines := strings.Split(string(head), "\r\n")
	method, rest, _ := strings.Cut(lines[0], " ")
	path, _, _ := strings.Cut(rest, " ")
	fields = append(make([]hpack.HeaderField, 0, len(lines)+3), hpack.HeaderField{Name: ":method", Value: method},
		hpack.HeaderField{Name: ":scheme", Value: scheme}, hpack.HeaderField{Name: ":authority"}, hpack.HeaderField{Name: ":path", Value: path})
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		switch name = strings.ToLower(name); {
		case name == "host":
			fields[2].Value = value
		case !ofConnection(name):
			fields = append(fields, hpack.HeaderField{Name: name, Value: value})
		}
	}
	return fields, body
}

// listSize is the length of a header list as a server counts it against its SETTINGS (RFC 9113, 6.5.2).
func listSize(fields []hpack.HeaderField) (size uint64) {
	for _, f := range fields {
		size += uint64(f.Size())
	}
	return size
}

// await returns when done does, which is asked with mu held, or when the stream has ended or nobody waits any longer.
func (s *stream2) await(done func() bool) error {
	for {
		s.mu.Lock()
		ok, fate := done(), s.fate
		s.mu.Unlock()
		switch {
		case ok:
			return nil
		case fate != nil:
			return fate
		}
		select {
		case <-s.news:
		case <-s.ctx.Done():
			return fmt.Errorf("wait for the server: %w", context.Cause(s.ctx))
		}
	}
}

// tell wakes the one to whom the stream belongs.
func (s *stream2) tell() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// written waits until the request is written whole, and reports whether it was.
func (s *stream2) written() bool {
	return s.await(func() bool { return s.sentAll() }) == nil
}

// response waits for the head of the response.
func (s *stream2) response() (*http.Response, error) {
	if err := s.await(func() bool { return s.head != nil }); err != nil {
		if err == io.EOF { //nolint:errorlint // it is ours, and never wrapped
			err = errors.New("stream ended without a response")
		}
		return nil, err
	}
	return s.head, nil
}

// next returns what one read has brought, or part of it, and waits where nothing has come. See content.
func (s *stream2) next() ([]byte, error) {
	if s.have.left() == 0 {
		s.have.clear()
		err := s.await(func() bool {
			if s.in.left() == 0 {
				return false
			}
			s.in, s.have = s.have, s.in
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	if s.pace != nil {
		return s.nextSlowly()
	}
	piece, of := s.have.cut(maxSpare)
	if cap(s.have.buf) > maxSpare { // who decodes may hold on to a part of a piece, and so to all of the batch
		if s.small == nil {
			s.small = make([]byte, maxSpare)
		}
		piece = s.small[:copy(s.small, piece)]
	}
	s.taken.last.Store(int64(of.stamp))
	s.taken.reads = of.reads
	s.owe(len(piece))
	return piece, nil
}

// nextSlowly takes the next portion when it is due. Its stamp is when it was taken, as of a socket that is read slowly.
func (s *stream2) nextSlowly() ([]byte, error) {
	if !s.pace.wait(&s.came) {
		return nil, context.Cause(s.ctx)
	}
	piece, _ := s.have.cut(s.pace.portion())
	s.pace.took(len(piece))
	s.taken.last.Store(int64(s.conn.clock.Now()))
	s.taken.reads++
	s.owe(len(piece))
	return piece, nil
}

// owe lets the server send as much again as was taken.
func (s *stream2) owe(n int) {
	s.owed += n
	if s.owed < s.conn.mux.window/2 {
		return
	}
	s.mu.Lock()
	s.room += int64(s.owed)
	over := s.fate != nil
	s.mu.Unlock()
	s.conn.owe(s, s.owed, over)
	s.owed = 0
}

// finish ends what comes.
func (s *stream2) finish(fate error) {
	s.mu.Lock()
	if s.fate == nil {
		s.fate = fate
	}
	s.mu.Unlock()
	s.tell()
}

// answered reports whether anything of the server's about this stream came.
func (s *stream2) answered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

// hear notes that a frame of it came.
func (s *stream2) hear(stamp time.Duration) {
	s.came.hold(stamp)
	s.mu.Lock()
	s.heard = true
	s.mu.Unlock()
}

// ofConnection reports whether a header has no place in HTTP/2 (RFC 9113, 8.2.2).
func ofConnection(name string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// respond takes the fields of a HEADERS frame: of a head, of one that is only information, or of trailers.
func (s *stream2) respond(f *http2.MetaHeadersFrame, stamp time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, field := range f.Fields {
		s.headSize += int(field.Size())
	}
	switch {
	case f.Truncated, s.headSize > maxHeaderList:
		return fmt.Errorf("head is longer than %d bytes", maxHeaderList)
	case s.fate != nil:
		return nil
	case s.head != nil && (!f.StreamEnded() || len(f.PseudoFields()) > 0):
		return errors.New("a second head")
	case s.head != nil:
		return nil
	}
	resp, err := responseOf(f) //nolint:bodyclose // the stream is the body
	if err != nil {
		return err
	}
	if resp.StatusCode < 200 {
		if f.StreamEnded() || resp.StatusCode == http.StatusSwitchingProtocols {
			return fmt.Errorf("status %d ends a stream", resp.StatusCode)
		}
		return nil
	}
	s.head, s.expect, s.headAt = resp, resp.ContentLength, stamp
	return nil
}

// responseOf makes a response of a head's fields, which the framer has checked one by one.
func responseOf(f *http2.MetaHeadersFrame) (*http.Response, error) {
	code, err := strconv.Atoi(f.PseudoValue("status"))
	if status := f.PseudoValue("status"); err != nil || len(status) != 3 || code < 100 {
		return nil, fmt.Errorf("status %q", status)
	}
	h := make(http.Header, len(f.Fields))
	for _, field := range f.RegularFields() {
		if ofConnection(field.Name) {
			return nil, fmt.Errorf("header %s is not one of HTTP/2", field.Name)
		}
		h.Add(field.Name, field.Value)
	}
	length := int64(-1)
	if said := h.Values("Content-Length"); len(said) > 0 {
		n, err := strconv.ParseUint(said[0], 10, 63)
		if err != nil || len(said) > 1 {
			return nil, fmt.Errorf("content length %q", said)
		}
		length = int64(n)
	}
	return &http.Response{
		Status: strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code))), StatusCode: code, Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: h, ContentLength: length, Body: http.NoBody,
	}, nil
}

// admit counts a DATA frame against what the server may send.
func (s *stream2) admit(length, content int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room -= int64(length)
	switch {
	case s.fate != nil || s.shut:
		return nil
	case s.head == nil:
		return errors.New("content before a head")
	case s.room < 0:
		return fmt.Errorf("more was sent than the window of %d bytes has room for", s.conn.mux.window)
	case s.expect >= 0 && int64(content) > s.expect:
		return errors.New("content is longer than its content length")
	case s.expect > 0:
		s.expect -= int64(content)
	}
	return nil
}

// deliver hands over content; false: nobody wants it.
func (s *stream2) deliver(p []byte, stamp time.Duration, reads int) bool {
	s.came.hold(stamp)
	s.mu.Lock()
	wanted := s.fate == nil && !s.shut
	if wanted {
		s.in.add(p, stamp, reads)
	}
	s.mu.Unlock()
	if wanted {
		s.tell()
	}
	return wanted
}

// endOfStream is END_STREAM: the answer's proper end, if all of it is there.
func (s *stream2) endOfStream() error {
	s.mu.Lock()
	head, missing := s.head, s.expect
	s.mu.Unlock()
	switch {
	case head == nil:
		return errors.New("stream ended without a response")
	case missing > 0 && head.StatusCode != http.StatusNotModified:
		return fmt.Errorf("%w: %d bytes of its content length are missing", errBodyShort, missing)
	}
	s.finish(io.EOF)
	return nil
}
