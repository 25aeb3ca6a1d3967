package attacks

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// A Trace replays a recording: its times, and its lengths where the workload is not written. See doc.go for the
// formats, which are known by their first line.
type Trace struct {
	// File is the recording, as it is or gzipped; a relative path counts from the working directory. Required.
	File string `yaml:"file" json:"file"`
	// Speed replays it so many times as fast. Optional; default 1.
	Speed float64 `yaml:"speed" json:"speed,omitempty"`
	// Start and End cut out a part, in the recording's time since its first request, or since 0 in our own format.
	// What is due at End is left out. Optional; default all of it.
	Start time.Duration `yaml:"start" json:"start,omitempty"`
	End   time.Duration `yaml:"end" json:"end,omitempty"`
	// Keep thins it out: each request stays with this probability, and those that stay keep their times. Optional;
	// default all of them.
	Keep Share `yaml:"keep" json:"keep,omitempty"`
}

// Validate returns what is wrong with t, or nil. It does not read the file.
func (t Trace) Validate() []error {
	var errs []error
	if t.File == "" {
		errs = append(errs, errors.New("file is missing: write file: trace.csv"))
	}
	if !(t.Speed >= 0 && t.Speed <= math.MaxInt32) {
		errs = append(errs, fmt.Errorf("speed %v is not over 0: write 60 to replay an hour in a minute", t.Speed))
	}
	if t.Start < 0 {
		errs = append(errs, fmt.Errorf("start %s is negative: write 1h", t.Start))
	}
	if t.End != 0 && t.End <= t.Start {
		errs = append(errs, fmt.Errorf("end %s is not after start %s", t.End, t.Start))
	}
	if !(t.Keep >= 0 && t.Keep <= 1) {
		errs = append(errs, fmt.Errorf("keep %s is not over 0%% and up to 100%%: write 10%%", t.Keep))
	}
	return errs
}

// String says it in words.
func (t Trace) String() string {
	text := "trace " + filepath.Base(t.File)
	if t.Start != 0 {
		text += fmt.Sprintf(" from %s", t.Start)
	}
	if t.End != 0 {
		text += fmt.Sprintf(" to %s", t.End)
	}
	if t.Speed != 0 && t.Speed != 1 {
		text += fmt.Sprintf(" at %v×", t.Speed)
	}
	if t.Keep != 0 && t.Keep != 1 {
		text += fmt.Sprintf(", thinned to %s", t.Keep)
	}
	return text
}
func (t Trace) span() time.Duration { return 0 }
func (t Trace) ends() bool          { return true }

// A mark is where in a trace a replay begins.
type mark struct {
	zero   int64 // the time that counts as 0, ns on the trace's clock: that of the first request of all; in our own format, 0
	offset int64 // of the line with the first request that is replayed; 0 in a gzipped file, where nobody can go to
	line   int   // the number of lines before it
}

// find looks for the beginning, so that no phase has to: a day into a trace of a week is seconds away.
func (t *Trace) find() (mark, error) {
	r, err := t.open()
	if err != nil {
		return mark{}, err
	}
	defer r.close()
	if err = r.read(); err != nil {
		return mark{}, r.empty(err, "holds no request")
	}
	m := mark{zero: r.row.at}
	if _, ours := r.format.(own); ours {
		m.zero = 0
	}
	for r.row.at-m.zero < int64(t.Start) {
		if err = r.read(); err != nil {
			return mark{}, r.empty(err, fmt.Sprintf("holds no request at %s or after: it ends at %s", t.Start, time.Duration(r.row.at-m.zero)))
		}
	}
	if t.End != 0 && r.row.at-m.zero >= int64(t.End) {
		return mark{}, fmt.Errorf("trace %s: holds no request from %s to %s", t.File, t.Start, t.End)
	}
	if r.seekable {
		m.offset, m.line = r.lines.start, r.lines.n-1
	}
	return m, nil
}

// A replay gives the arrivals of a trace.
type replay struct {
	*reader
	trace *Trace
	zero  int64
	rng   *rand.Rand
}

// replay begins at a mark that find has made.
func (t *Trace) replay(m mark, rng *rand.Rand) (*replay, error) {
	r, err := t.open()
	if err != nil {
		return nil, err
	}
	if m.offset > 0 {
		if err = r.jump(m); err != nil {
			r.close()
			return nil, err
		}
	}
	return &replay{reader: r, trace: t, zero: m.zero, rng: rng}, nil
}

func (r *replay) next() (Arrival, bool, error) {
	for {
		if err := r.read(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return Arrival{}, false, err
		}
		since := r.row.at - r.zero
		switch {
		case since < int64(r.trace.Start):
			continue
		case r.trace.End != 0 && since >= int64(r.trace.End):
			return Arrival{}, false, nil
		case r.trace.Keep != 0 && r.rng.Float64() >= float64(r.trace.Keep):
			continue
		}
		at := since - int64(r.trace.Start)
		if speed := r.trace.Speed; speed != 0 && speed != 1 {
			// Of the time since the start and never of the gap: rounding does not add up.
			scaled := math.Round(float64(at) / speed)
			if !(scaled < float64(forever)) {
				return Arrival{}, false, nil
			}
			at = int64(scaled)
		}
		return Arrival{At: time.Duration(at), Shape: &r.row.shape}, true, nil
	}
}

// A row is one request of a trace.
type row struct {
	at    int64 // ns, on the trace's own clock
	shape Shape
}

// A format reads the lines of one kind of trace. It keeps nothing of a line.
type format interface {
	read(line []byte, into *row) error
}

// A reader reads a trace row by row.
type reader struct {
	name     string
	file     *os.File
	seekable bool // the bytes of file are those of the trace
	lines    *lines
	format   format
	held     []byte // a first line that is a row already
	row      row    // the last that was read
	begun    bool   // row was read
}

// open opens the file and recognises its format.
func (t *Trace) open() (*reader, error) {
	info, err := os.Stat(t.File) // before open, which waits for ever where somebody has named a pipe
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open trace: %s is not a file: every phase reads it from its start", t.File)
	}
	file, err := os.Open(t.File)
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	r := &reader{name: t.File, file: file}
	if err = r.recognise(); err != nil {
		r.close()
		return nil, r.fault(err)
	}
	return r, nil
}

// buffered is what is read at a time.
const buffered = 256 << 10

func (r *reader) recognise() error {
	raw := bufio.NewReaderSize(r.file, buffered)
	r.lines = &lines{r: raw}
	r.seekable = true
	if magic, err := raw.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		unzipped, err := gzip.NewReader(raw)
		if err != nil {
			return fmt.Errorf("unzip: %w", err)
		}
		r.lines.r, r.seekable = bufio.NewReaderSize(unzipped, buffered), false
	}
	first, err := r.lines.next()
	first = bytes.TrimPrefix(first, []byte(byteOrderMark))
	if errors.Is(err, io.EOF) {
		return errors.New("is empty")
	} else if err != nil {
		return err
	}
	if len(first) == 0 {
		return errUnknown()
	}
	var isRow bool
	if r.format, isRow, err = recognise(first); isRow {
		r.held = first
	}
	return err
}

// jump goes on at a mark.
func (r *reader) jump(m mark) error {
	if _, err := r.file.Seek(m.offset, io.SeekStart); err != nil {
		return r.fault(err)
	}
	r.lines.r.Reset(r.file)
	r.lines.start, r.lines.end, r.lines.n, r.held = m.offset, m.offset, m.line, nil
	return nil
}

// read reads the next row; io.EOF: there is none.
func (r *reader) read() error {
	line := r.held
	if line != nil {
		r.held = nil
	} else {
		var err error
		if line, err = r.lines.next(); err != nil {
			if errors.Is(err, io.EOF) {
				return io.EOF
			}
			return r.fault(err)
		}
	}
	before := r.row.at
	if err := r.format.read(line, &r.row); err != nil {
		return r.fault(err)
	}
	if r.begun && r.row.at < before {
		return r.fault(fmt.Errorf("is %s earlier than the line before it: sort the trace by time", time.Duration(before-r.row.at)))
	}
	r.begun = true
	return r.row.shape.check(r)
}

// check bounds lengths, and makes them 1 where the trace has 0: an answer that never came, of which nobody knows
// how long it would have been. It was asked for all the same.
func (s *Shape) check(r *reader) error {
	for _, n := range []*int{&s.PromptTokens, &s.OutputTokens} {
		if *n < 0 || *n > maxTokens {
			return r.fault(fmt.Errorf("a length of %d tokens is not between 0 and %d", *n, maxTokens))
		}
		*n = max(1, *n)
	}
	return nil
}

// empty says what a trace lacks that ended, or what else was wrong with it.
func (r *reader) empty(err error, text string) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("trace %s: %s", r.name, text)
	}
	return err
}

// fault puts err at the line that was read last.
func (r *reader) fault(err error) error {
	return fmt.Errorf("trace %s: line %d: %w", r.name, max(1, r.lines.n), err)
}

func (r *reader) close() {
	_ = r.file.Close() // of a file that was only read it tells nothing
}
