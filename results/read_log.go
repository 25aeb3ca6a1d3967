package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/klauspost/compress/zstd"
)

// ErrTorn ends the reading of a log that has no proper end: its writer was killed, or still
// writes. Every record that came before is good.
var ErrTorn = errors.New("log is torn: its writer was killed, or still writes")

// ReadLog yields the records of a file in order. An error is yielded once, at the end, with a
// zero Record: errors.Is(err, ErrTorn) if the log just stops. The file is open only while the
// sequence is ranged over, and each range reads it anew. The records are the caller's.
func ReadLog(path string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		file, err := os.Open(path)
		if err != nil {
			yield(Record{}, fmt.Errorf("read log: %w", err))
			return
		}
		stopped := false
		for rec, err := range ReadLogFrom(file) {
			if stopped = !yield(rec, err); stopped {
				break
			}
		}
		if err := file.Close(); err != nil && !stopped {
			yield(Record{}, fmt.Errorf("read log: %w", err))
		}
	}
}

// ReadLogFrom is ReadLog of what r yields, which it can do once.
func ReadLogFrom(r io.Reader) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		// One goroutine, in order: what was decoded before an error is never lost to it.
		decoder, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			yield(Record{}, fmt.Errorf("read log: %w", err))
			return
		}
		defer decoder.Close()
		lines := lineReader{in: bufio.NewReaderSize(decoder, 64<<10)}
		for n := 1; ; n++ {
			rec, err := lines.next()
			switch {
			case errors.Is(err, io.EOF) && n > 1:
				return
			case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
				err = ErrTorn
			}
			if err != nil {
				yield(Record{}, fmt.Errorf("read log: record %d: %w", n, err))
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// A lineReader reads a record a line. Lines may have any length: a header holds a whole plan.
type lineReader struct {
	in   *bufio.Reader
	line []byte
}

// next gives io.EOF at a proper end and io.ErrUnexpectedEOF within a line or a zstd frame.
func (l *lineReader) next() (Record, error) {
	l.line = l.line[:0]
	for {
		part, err := l.in.ReadSlice('\n')
		l.line = append(l.line, part...)
		switch {
		case err == nil:
			return decodeRecord(l.line)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(l.line) > 0:
			return Record{}, io.ErrUnexpectedEOF
		default:
			return Record{}, err
		}
	}
}

func decodeRecord(line []byte) (Record, error) {
	// Straight into the sample, as most lines are one: every level that encoding/json goes down
	// scans all that is below once more.
	if text, ok := bytes.CutPrefix(line, []byte(`{"sample":`)); ok {
		if text, ok = bytes.CutSuffix(text, []byte("}\n")); ok {
			s := new(Sample)
			if s.UnmarshalJSON(text) == nil {
				return Record{Sample: s}, nil
			}
		}
	}
	var rec Record
	if err := json.Unmarshal(line, &rec); err != nil {
		return Record{}, err
	}
	if h := rec.Header; h != nil && h.Version > LogVersion {
		return Record{}, fmt.Errorf("log is of version %d, and this program reads up to %d: use a newer failwhale", h.Version, LogVersion)
	}
	if rec == (Record{}) {
		return Record{}, errors.New("it is neither header, sample nor event")
	}
	return rec, nil
}
