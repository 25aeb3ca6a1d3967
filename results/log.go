package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	// flushEvery bounds what a kill -9 loses. A flush a second costs no space that can be
	// measured; one for each line would cost a quarter.
	flushEvery = time.Second
	// flushAt bounds what waits in memory between two flushes.
	flushAt = 1 << 20
)

// A Log is a run's file: JSON, a record a line, in one zstd frame. It is a Sink, safe for
// concurrent use. Add only appends to memory: a goroutine of the log's own compresses and writes,
// each second and whenever a megabyte waits, so that no stream waits for a disk. Sync puts all
// that was added on the disk before it returns. Close ends the goroutine and the file.
type Log struct {
	mu      sync.Mutex // guards the fields down to the blank line; held for no I/O
	pending []byte     // lines not yet handed to zstd
	closed  bool
	err     error // the first that a write gave: the log is of no use after it

	out   sync.Mutex // held while writing, and taken before mu
	file  *os.File
	zstd  *zstd.Encoder
	spare []byte // the buffer that was written last

	wake     chan struct{} // capacity 1: pending has grown past flushAt
	stop     chan struct{} // closed by Close
	finished sync.WaitGroup
}

var _ Sink = (*Log)(nil)

// CreateLog creates the file, which must not exist. Whoever creates a log closes it.
func CreateLog(path string) (*Log, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	encoder, err := zstd.NewWriter(file, zstd.WithEncoderConcurrency(1))
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create log: %w", err), file.Close())
	}
	l := &Log{file: file, zstd: encoder, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	l.finished.Go(l.flushing)
	return l, nil
}

// syncDir makes a new name in dir survive a crash of the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// flushing runs until Close.
func (l *Log) flushing() {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
		case <-l.wake:
		}
		if l.flush(false) != nil {
			return // Add, Sync and Close tell it
		}
	}
}

// Add appends a record. An error is that of an earlier write too: the disk is full, say.
func (l *Log) Add(rec Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("add to log: %w", os.ErrClosed)
	}
	if l.err != nil {
		return l.err
	}
	line, err := appendRecord(l.pending, rec)
	if err != nil {
		return fmt.Errorf("add to log: %w", err)
	}
	l.pending = line
	if len(l.pending) >= flushAt {
		select {
		case l.wake <- struct{}{}:
		default: // it was woken already
		}
	}
	return nil
}

func appendRecord(b []byte, rec Record) ([]byte, error) {
	if rec.Sample != nil && rec.Event == nil && rec.Header == nil {
		b = rec.Sample.appendJSON(append(b, `{"sample":`...))
		return append(b, "}\n"...), nil
	}
	line, err := json.Marshal(rec)
	if err != nil {
		return b, err
	}
	return append(append(b, line...), '\n'), nil
}

// Sync puts every record that was added on the disk. A Recorder calls it after each event that
// says where the harm stands.
func (l *Log) Sync() error { return l.flush(true) }

// flush writes what is pending so that it can be read whatever happens next.
func (l *Log) flush(durable bool) error {
	l.out.Lock()
	defer l.out.Unlock()
	l.mu.Lock()
	lines, err, closed := l.pending, l.err, l.closed
	l.pending = l.spare[:0]
	l.mu.Unlock()
	l.spare = lines
	switch {
	case err != nil:
		return err
	case closed && len(lines) == 0:
		return nil
	}
	if err := l.write(lines, durable); err != nil {
		return l.fail(err)
	}
	return nil
}

func (l *Log) write(lines []byte, durable bool) error {
	if len(lines) > 0 {
		if _, err := l.zstd.Write(lines); err != nil {
			return err
		}
		if err := l.zstd.Flush(); err != nil {
			return err
		}
	}
	if durable {
		return l.file.Sync()
	}
	return nil
}

// fail keeps the first error of the file.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf("write log: %w", err)
	}
	return l.err
}

// Close writes what is left, on the disk, and closes the file. Further calls do nothing and
// return what the first returned.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		defer l.mu.Unlock()
		return l.err
	}
	l.closed = true
	l.mu.Unlock()
	close(l.stop)
	l.finished.Wait()

	err := l.flush(false)
	l.out.Lock()
	defer l.out.Unlock()
	// After an error too: zstd's Close frees, and the file must be closed.
	if closing := errors.Join(l.zstd.Close(), l.file.Sync(), l.file.Close()); err == nil && closing != nil {
		return l.fail(closing)
	}
	return err
}
