package refstack

import (
	"bytes"
	"io"
	"sync"
)

// prefixed passes whole lines on, each with a prefix, so that the output of
// several processes can be told apart. It is used by one goroutine at a time.
type prefixed struct {
	out    io.Writer
	prefix string
	rest   []byte // a line that has not ended
}

// maxLine is after how many bytes a line is passed on although it has not ended.
const maxLine = 16 << 10

// Write takes everything. What the other end cannot take is lost: a log is no reason to stop a process.
func (p *prefixed) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		line, rest, ended := bytes.Cut(b, []byte{'\n'})
		p.rest = append(p.rest, line...)
		if b = rest; ended || len(p.rest) > maxLine {
			p.flush()
		}
	}
	return n, nil
}

// flush passes on what has come of a line.
func (p *prefixed) flush() {
	if len(p.rest) == 0 {
		return
	}
	_, _ = p.out.Write(append(append([]byte(p.prefix), p.rest...), '\n')) // see Write
	p.rest = p.rest[:0]
}

// locked lets several goroutines write, a whole write at a time.
type locked struct {
	mu  sync.Mutex
	out io.Writer
}

// Write writes b.
func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(b)
}
