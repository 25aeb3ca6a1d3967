package perfect

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tick is the least time between two rounds of writes. A sleep for each of 50,000 writes a second would
	// cost as much as the writes; so a chunk is up to a tick late, which its stamp knows.
	tick = 100 * time.Microsecond
	// retry is when a write is tried again for which the socket had no room.
	retry = time.Millisecond
)

// A stream is an answer that is being written. The writer has it until done is closed.
type stream struct {
	Answer
	interval time.Duration
	tokens   int
	due      int64 // of the next write

	raw   syscall.RawConn
	write func(fd uintptr) bool // set once: a closure for each write would be garbage
	out   []byte                // what write writes, and leaves of it
	err   error                 // of write

	first, chunk, tail []byte
	ended              bool // the tail has been begun
	done               chan struct{}
}

func newStream(raw syscall.RawConn) *stream {
	s := &stream{raw: raw, done: make(chan struct{})}
	s.write = func(fd uintptr) bool {
		n, err := unix.Write(int(fd), s.out)
		if err != nil {
			n = 0
		}
		s.out, s.err = s.out[n:], err
		return true // also where there is no room: nobody may keep the writer waiting
	}
	return s
}

// next writes what is due at now. It returns false once there is nothing left to write.
func (s *stream) next(now int64) bool {
	if len(s.out) == 0 {
		switch k := len(s.Writes); {
		case s.ended:
			return false
		case k == s.tokens:
			s.out, s.ended = s.tail, true
		case k == 0:
			s.out, s.Writes = s.first, append(s.Writes, now)
		default:
			s.out, s.Writes = s.chunk, append(s.Writes, now)
		}
	}
	if err := s.raw.Write(s.write); err != nil {
		return false
	}
	switch {
	case errors.Is(s.err, unix.EAGAIN), errors.Is(s.err, unix.EINTR), s.err == nil && len(s.out) > 0:
		s.due = now + int64(retry)
	case s.err != nil:
		return false
	case len(s.Writes) < s.tokens: // else the tail is due at once, in a write of its own
		s.due = s.Due + int64(len(s.Writes))*int64(s.interval)
	}
	return true
}

// A writer writes the streams that it is given, each chunk at its time, from one goroutine: one for each
// stream, with a timer each, would cost more than the writes.
type writer struct {
	base Timebase
	keep func(*stream) // takes each stream's stamps, once

	mu    sync.Mutex
	added []*stream
	wake  chan struct{} // capacity 1: there is something in added

	queue queue // run's own
}

func newWriter(base Timebase, keep func(*stream)) *writer {
	return &writer{base: base, keep: keep, wake: make(chan struct{}, 1)}
}

// add hands over a stream.
func (w *writer) add(s *stream) {
	w.mu.Lock()
	w.added = append(w.added, s)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		w.take()
		round := w.base.Now()
		for len(w.queue) > 0 && w.queue[0].due <= round { // what is due later waits: where all are late, a round still ends
			w.step(w.queue[0], w.base.Now())
		}
		w.wait(ctx, timer, round+int64(tick))
	}
}

func (w *writer) take() {
	w.mu.Lock()
	added := w.added
	w.added = nil
	w.mu.Unlock()
	for _, s := range added {
		heap.Push(&w.queue, s)
	}
}

func (w *writer) step(s *stream, now int64) {
	if len(s.out) == 0 && len(s.Writes) == s.tokens && !s.Whole {
		s.Whole = true
		w.keep(s) // before the tail: a client that has read its answer must find the stamps of it
	}
	if s.next(now) {
		heap.Fix(&w.queue, 0)
		return
	}
	heap.Pop(&w.queue)
	if !s.Whole {
		w.keep(s)
	}
	close(s.done)
}

// wait returns when the next write is due, but not before earliest, or when there is a new stream.
func (w *writer) wait(ctx context.Context, timer *time.Timer, earliest int64) {
	at := w.base.Now() + int64(time.Hour)
	if len(w.queue) > 0 {
		at = max(w.queue[0].due, earliest)
	}
	if left := at - w.base.Now() - fine; left > 0 {
		timer.Reset(time.Duration(left))
		select {
		case <-timer.C:
		case <-w.wake:
			return
		case <-ctx.Done():
			return
		}
	}
	sleepUntil(at)
}

// A queue is a heap of streams, the one whose write is due next first.
type queue []*stream

// Len is part of heap.Interface.
func (q queue) Len() int { return len(q) }

// Less is part of heap.Interface.
func (q queue) Less(i, j int) bool { return q[i].due < q[j].due }

// Swap is part of heap.Interface.
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push is part of heap.Interface.
func (q *queue) Push(x any) {
	if s, ok := x.(*stream); ok { // only take pushes
		*q = append(*q, s)
	}
}

// Pop is part of heap.Interface.
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}
