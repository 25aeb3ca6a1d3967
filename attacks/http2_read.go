package attacks

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"golang.org/x/net/http2"
)

// read reads frames until the connection fails, and returns how.
func (c *conn2) read() (err error) {
	defer func() {
		if said := recover(); said != nil {
			err = &panicError{panicked("an HTTP/2 connection", said)}
		}
	}()
	for err == nil {
		err = c.readFrame()
	}
	if _, ours := errors.AsType[*panicError](err); ours {
		return err
	}
	failure, at := c.link.tap.failure, c.link.tap.failedAt
	if ended(failure) {
		c.hush()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case ended(failure) && wasReset(c.unsaid):
		failure = c.unsaid
	case failure == nil && c.unsaid != nil && errors.Is(err, os.ErrDeadlineExceeded):
		failure, at = c.unsaid, c.clock.Now()
	}
	if failure != nil {
		note := c.goAway
		if !c.settled {
			note = " (it said nothing of HTTP/2: if the server does not speak that, leave http2 out)"
		}
		return &lostError{failure, at, note}
	}
	return &brokenError{err.Error()}
}

// readFrame reads one frame. A DATA frame's content is handed on as it comes.
func (c *conn2) readFrame() error {
	h, err := c.in.ReadFrameHeader()
	switch {
	case errors.Is(err, http2.ErrFrameTooLarge) && !c.settled: // letters, most likely: those of HTTP/1.1, of HTML
		return fmt.Errorf("the server does not speak HTTP/2 (%w): leave http2 out", err)
	case err != nil:
		return err
	}
	stamp := time.Duration(c.link.sock.last.Load())
	if !c.settled && h.Type != http2.FrameSettings {
		return fmt.Errorf("the first frame is %s and not SETTINGS", h.Type)
	}
	if h.Type == http2.FrameData {
		return c.data(h)
	}
	f, err := c.in.ReadFrameForHeader(h)
	if wrong, is := errors.AsType[http2.StreamError](err); is {
		return c.refuse(wrong.StreamID, wrong)
	}
	if err != nil {
		if detail := c.in.ErrorDetail(); detail != nil {
			err = fmt.Errorf("%w: %w", err, detail)
		}
		return err
	}
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return c.headers(f, stamp)
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.PingFrame:
		return c.ping(f)
	case *http2.GoAwayFrame:
		c.goneAway(f)
	case *http2.RSTStreamFrame:
		return c.reset(f, stamp)
	case *http2.WindowUpdateFrame:
		return c.widen(f, stamp)
	case *http2.PushPromiseFrame:
		return errors.New("the server pushes, which it was told not to")
	}
	return nil
}

// stream finds that of a frame; nil: it has ended, and what still comes of it is of no use.
func (c *conn2) stream(id uint32) (*stream2, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id%2 == 0 || id >= c.nextID {
		return nil, fmt.Errorf("a frame of stream %d, which was not opened", id)
	}
	return c.streams[id], nil
}

// refuse ends a stream on which the server broke the rules; the connection lives on.
func (c *conn2) refuse(id uint32, why error) error {
	s, err := c.stream(id)
	if s == nil || err != nil {
		return err
	}
	s.hear(0)
	c.mu.Lock()
	s.drop()
	c.say(c.out.WriteRSTStream(id, http2.ErrCodeProtocol))
	c.mu.Unlock()
	s.finish(&brokenError{why.Error()})
	return c.flooded()
}

func (c *conn2) headers(f *http2.MetaHeadersFrame, stamp time.Duration) error {
	s, err := c.stream(f.StreamID)
	if s == nil || err != nil {
		return err
	}
	s.hear(stamp)
	c.mu.Lock()
	c.served = true
	c.mu.Unlock()
	if err = s.respond(f, stamp); err == nil && f.StreamEnded() {
		err = s.endOfStream()
	}
	if err != nil {
		return c.refuse(f.StreamID, err)
	}
	s.tell()
	return nil
}

// data hands on the content of a DATA frame. What is not content of an open stream is taken at once.
func (c *conn2) data(h http2.FrameHeader) error {
	s, err := c.stream(h.StreamID)
	if err != nil {
		return err
	}
	left, pad := int(h.Length), 0
	c.mu.Lock()
	c.room -= int64(left)
	over := c.room < 0
	c.mu.Unlock()
	if over {
		return errors.New("more was sent than the connection's window has room for")
	}
	if h.Flags.Has(http2.FlagDataPadded) {
		var n [1]byte
		if left == 0 {
			return errors.New("a padded frame of no length")
		}
		if _, err := io.ReadFull(c.link.in, n[:]); err != nil {
			return err
		}
		if pad = int(n[0]); pad > left-1 {
			return errors.New("more padding than frame")
		}
		left -= pad + 1
	}
	if s != nil {
		if err := s.admit(int(h.Length), left); err != nil {
			if err := c.refuse(h.StreamID, err); err != nil {
				return err
			}
		}
		s.hear(time.Duration(c.link.sock.last.Load()))
	}
	lost, err := c.pass(s, left)
	if err != nil {
		return err
	}
	if _, err := c.pass(nil, pad); err != nil {
		return err
	}
	return c.dataRead(s, h, left, lost)
}

// dataRead is the end of a DATA frame with so much content, of which so much nobody wanted.
func (c *conn2) dataRead(s *stream2, h http2.FrameHeader, content, lost int) error {
	around := int(h.Length) - content
	c.mu.Lock()
	c.repay(around + lost)
	c.mu.Unlock()
	if s == nil {
		return nil
	}
	ended := h.Flags.Has(http2.FlagDataEndStream)
	if around > 0 && !ended {
		s.mu.Lock()
		s.room += int64(around)
		s.mu.Unlock()
		c.mu.Lock()
		c.say(c.out.WriteWindowUpdate(h.StreamID, uint32(around)))
		c.mu.Unlock()
	}
	if ended {
		if err := s.endOfStream(); err != nil {
			return c.refuse(h.StreamID, err)
		}
	}
	return c.flooded()
}

// pass hands on n bytes as they come, each with the stamp of its read; to nobody if s is nil. lost is how many nobody wanted.
func (c *conn2) pass(s *stream2, n int) (lost int, err error) {
	in := c.link.in
	for n > 0 {
		if len(in.window()) == 0 {
			if err := in.fill(); err != nil {
				return lost, err
			}
		}
		piece := in.window()
		piece = piece[:min(len(piece), n)]
		stamp, reads := time.Duration(c.link.sock.last.Load()), c.link.sock.reads
		if s == nil || !s.deliver(piece, stamp, reads) {
			lost += len(piece)
		}
		n -= len(piece)
		in.skip(len(piece))
	}
	return lost, nil
}

func (c *conn2) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	c.mu.Lock()
	limit, changed := c.limit, !c.settled
	if changed {
		limit = mostStreams
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingMaxConcurrentStreams:
			limit, changed = int(min(s.Val, math.MaxInt32)), true
		case http2.SettingInitialWindowSize:
			return c.setFirst(int64(s.Val))
		case http2.SettingHeaderTableSize:
			c.hpack.SetMaxDynamicTableSize(min(s.Val, tableSize))
		case http2.SettingMaxHeaderListSize:
			c.longest = uint64(s.Val)
		default: // those are not about us
		}
		return nil
	})
	c.limit, c.settled = limit, true
	if err == nil {
		c.say(c.out.WriteSettingsAck())
	}
	c.mu.Unlock()
	if changed {
		c.mux.learn(limit)
	}
	if err != nil {
		return err
	}
	return c.flooded()
}

// setFirst changes the windows of open streams by as much as that of those to come (RFC 9113, 6.9.2). mu is held.
func (c *conn2) setFirst(first int64) error {
	for _, s := range c.streams {
		if s.window += first - c.first; s.window > maxSendWindow {
			return errors.New("SETTINGS make a window too large")
		}
	}
	c.first = first
	return nil
}

func (c *conn2) ping(f *http2.PingFrame) error {
	if !f.IsAck() {
		c.mu.Lock()
		c.say(c.out.WritePing(true, f.Data))
		c.mu.Unlock()
	}
	return c.flooded()
}

// flooded is the error of a server that wants more answers than it reads.
func (c *conn2) flooded() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.unsent) > maxUnsent {
		return fmt.Errorf("the server wants answers and leaves %d bytes of them unread", len(c.unsent))
	}
	return nil
}

// goneAway lets no further stream begin. Those above the last one that the server has taken were never begun.
func (c *conn2) goneAway(f *http2.GoAwayFrame) {
	c.mu.Lock()
	c.last = true
	c.goAway = fmt.Sprintf(" (GOAWAY %s", f.ErrCode)
	if said := f.DebugData(); len(said) > 0 {
		c.goAway += fmt.Sprintf(": %q", said[:min(len(said), maxDebug)])
	}
	c.goAway += ")"
	var dropped []*stream2
	for id, s := range c.streams {
		if id > f.LastStreamID {
			s.drop()
			dropped = append(dropped, s)
		}
	}
	note, over := c.goAway, c.over()
	c.mu.Unlock()
	for _, s := range dropped {
		s.finish(&droppedError{note})
	}
	if over {
		c.end(errUnused)
	}
}

func (c *conn2) reset(f *http2.RSTStreamFrame, stamp time.Duration) error {
	s, err := c.stream(f.StreamID)
	if s == nil || err != nil {
		return err
	}
	s.hear(stamp)
	c.mu.Lock()
	s.drop()
	c.mu.Unlock()
	s.finish(&resetError{f.ErrCode})
	return nil
}

// widen lets us write more.
func (c *conn2) widen(f *http2.WindowUpdateFrame, stamp time.Duration) error {
	if f.StreamID == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.window += int64(f.Increment); c.window > maxSendWindow {
			return errors.New("WINDOW_UPDATE makes the connection's window too large")
		}
		c.wake.Signal()
		return nil
	}
	s, err := c.stream(f.StreamID)
	if s == nil || err != nil {
		return err
	}
	s.hear(stamp)
	c.mu.Lock()
	s.window += int64(f.Increment)
	over := s.window > maxSendWindow
	c.wake.Signal()
	c.mu.Unlock()
	if over {
		return c.refuse(f.StreamID, errors.New("WINDOW_UPDATE makes the stream's window too large"))
	}
	return nil
}
