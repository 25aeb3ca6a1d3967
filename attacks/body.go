package attacks

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// A body hands out a response's body piece by piece, as it comes from the socket.
//
// net/http's own body would do but for one thing: once it has the head of the
// next HTTP chunk it waits for all of that chunk before it returns the one before.
// Where a network or a proxy cuts within a chunk, a token would be stamped with the
// time at which the token after it was complete.
type body struct {
	in      *feed
	chunked bool
	left    int64 // bytes until the end, or until the end of the chunk; -1: the connection's end is the body's
	inChunk bool  // the chunk's data is read, its line end is not
	err     error // by which reading ended: next returns it when all that came before is handed out
	out     int   // bytes that next or line has handed out and that are still in in
}

var (
	errFraming   = errors.New("chunked body is malformed")
	errBodyShort = errors.New("body ends early")
)

// newBody reads the body that belongs to resp from in.
func newBody(resp *http.Response, in *feed) *body {
	switch {
	case resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified:
		return &body{in: in}
	case slices.Contains(resp.TransferEncoding, "chunked"):
		return &body{in: in, chunked: true}
	}
	return &body{in: in, left: resp.ContentLength}
}

// next returns what has come since, at least a byte, and waits only if nothing has,
// or nothing that could end an event. The piece is valid until the next call. The
// error is io.EOF at the proper end.
func (b *body) next() ([]byte, error) {
	b.taken()
	if b.chunked && b.left == 0 {
		err := b.nextChunk()
		b.taken()
		if err != nil {
			return nil, err
		}
	}
	if b.left == 0 {
		return nil, io.EOF
	}
	if err := b.await(); err != nil {
		if b.left > 0 && errors.Is(err, io.EOF) {
			err = errBodyShort
		}
		return nil, err
	}
	piece := b.in.window()
	if b.left >= 0 {
		piece = piece[:min(int64(len(piece)), b.left)]
		b.left -= int64(len(piece))
	}
	b.out = len(piece)
	return piece, nil
}

// taken lets go of what was handed out.
func (b *body) taken() {
	b.in.skip(b.out)
	b.out = 0
}

// await waits until something has come. Where a read ended within an HTTP chunk it
// goes on to wait for the rest while what is there has no line's end: no event ends
// in it, and an event that is handed out in one piece is the cheaper to read.
func (b *body) await() error {
	if b.err != nil {
		return b.err
	}
	for {
		have := b.in.window()
		if len(have) > 0 && (!b.chunked || int64(len(have)) >= b.left || len(have) == readBuffer ||
			bytes.IndexByte(have, '\n') >= 0 || bytes.IndexByte(have, '\r') >= 0) {
			return nil
		}
		if err := b.in.fill(); err != nil {
			if len(have) > 0 && b.err == nil {
				b.err = err // for the next call: what came is handed out, however it was cut
				return nil
			}
			return err
		}
	}
}

// nextChunk reads up to the next chunk's data, or past the end of the body.
func (b *body) nextChunk() error {
	if b.inChunk {
		if line, err := b.line(); err != nil || len(line) > 0 {
			return orFraming(err, "data runs over its length")
		}
		b.inChunk = false
	}
	line, err := b.line()
	if err != nil {
		return err
	}
	n, ok := chunkLength(line)
	if !ok {
		return fmt.Errorf("%w: chunk length %q", errFraming, line[:min(len(line), 32)])
	}
	if n > 0 {
		b.left, b.inChunk = n, true
		return nil
	}
	for { // trailers
		if line, err = b.line(); err != nil || len(line) == 0 {
			b.chunked = false
			return err
		}
	}
}

// chunkLength reads hex digits, up to an extension or blanks.
func chunkLength(line []byte) (n int64, ok bool) {
	for i, c := range line {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return n, i > 0 && (c == ';' || c == ' ' || c == '\t')
		}
		if n >= 1<<56 {
			return 0, false
		}
		n = n<<4 | int64(c)
	}
	return n, len(line) > 0
}

// line reads a line that ends in CRLF, and returns it without. It is valid until the next read.
func (b *body) line() ([]byte, error) {
	b.taken()
	for {
		have := b.in.window()
		if i := bytes.IndexByte(have, '\n'); i >= 0 {
			line := have[:i+1]
			b.out = len(line)
			if len(line) < 2 || line[len(line)-2] != '\r' {
				return nil, fmt.Errorf("%w: line %q does not end in CRLF", errFraming, line[:min(len(line), 32)])
			}
			return line[:len(line)-2], nil
		}
		if err := b.in.fill(); err != nil {
			switch {
			case errors.Is(err, io.EOF):
				err = errBodyShort
			case errors.Is(err, bufio.ErrBufferFull):
				err = fmt.Errorf("%w: line is longer than %d bytes", errFraming, readBuffer)
			}
			return nil, err
		}
	}
}

func orFraming(err error, what string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", errFraming, what)
}
