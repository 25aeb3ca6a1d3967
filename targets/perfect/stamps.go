package perfect

import (
	"encoding/gob"
	"fmt"
	"io"
	"time"
)

// Header is the response header with the id by which an answer's stamps are found.
const Header = "X-Stamp"

// Stamps are what the server noted since it was last asked.
type Stamps struct {
	// Answers whose chunks have all been written, or whose connection has ended, in no order. Whoever has read the end
	// of an answer finds it here.
	Answers []Answer
	// CPU is what the server's process has used since it started, in user and kernel mode.
	CPU time.Duration
}

// An Answer is when one request came and when its chunks went. Times are CLOCK_MONOTONIC, in nanoseconds.
type Answer struct {
	// ID is the one in the answer's header.
	ID uint64
	// Read is when the last byte of the request had been read.
	Read int64
	// Due is when the first chunk was to be written. The others follow at the server's interval.
	Due int64
	// Writes are when each chunk with a token was handed to the kernel. A broken connection has fewer.
	Writes []int64
	// Whole: all of its chunks were written.
	Whole bool
}

// Lateness is how much later than planned chunk k was written.
func (a *Answer) Lateness(k int, interval time.Duration) time.Duration {
	return time.Duration(a.Writes[k] - a.Due - int64(k)*int64(interval))
}

func (s *Stamps) encode(w io.Writer) error { return gob.NewEncoder(w).Encode(s) }

func decodeStamps(r io.Reader) (*Stamps, error) {
	var s Stamps
	if err := gob.NewDecoder(r).Decode(&s); err != nil {
		return nil, fmt.Errorf("read the server's stamps: %w", err)
	}
	return &s, nil
}
