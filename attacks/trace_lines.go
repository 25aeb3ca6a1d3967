package attacks

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds a line of a trace, and with it what one may take of memory: the blocks of the longest prompt
// come to about a megabyte.
const maxLine = 8 << 20

// lines cuts a file into lines. A line is valid until the next one is read.
type lines struct {
	r          *bufio.Reader
	n          int   // lines read, empty ones too
	start, end int64 // of the last one, in bytes from the start
	long       []byte
}

// next returns the next line that is not empty, without its end; io.EOF: there is none.
func (l *lines) next() ([]byte, error) {
	for {
		line, err := l.raw()
		if err != nil {
			return nil, err
		}
		l.n++
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
}

// raw returns the next line with its end, if it has one.
func (l *lines) raw() ([]byte, error) {
	l.start = l.end
	part, err := l.r.ReadSlice('\n')
	l.end += int64(len(part))
	if err == nil { // nearly always
		return part, nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return part, whole(part, err)
	}
	l.long = append(l.long[:0], part...)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(l.long) > maxLine {
			l.n++
			return nil, fmt.Errorf("is longer than %d MB", maxLine>>20)
		}
		part, err = l.r.ReadSlice('\n')
		l.end += int64(len(part))
		l.long = append(l.long, part...)
	}
	return l.long, whole(l.long, err)
}

// whole forgives the last line that it has no end.
func whole(line []byte, err error) error {
	if errors.Is(err, io.EOF) && len(line) > 0 {
		return nil
	}
	return err
}
