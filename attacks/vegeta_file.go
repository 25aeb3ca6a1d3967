package attacks

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/failwhale/failwhale/results"
)

// A VegetaFile is a results.Sink that writes samples as `vegeta attack` writes its results, so that `vegeta report`,
// `vegeta plot` and `vegeta encode` read them:
//
//	Timestamp  the wall time at which the request was due. vegeta's own is that of its send.
//	Latency    from then to the end of the answer, so with our own lateness; of a request without an end 0
//	Code       the HTTP status of the last attempt; 0 where there was none, as in vegeta
//	Error      "" of a complete request, else the outcome and its text
//	Seq        0, 1, 2 … in the order of Timestamp: the sample's index, where there is a sample for every index
//	Attack, Method, URL   as given, and POST
//	BytesIn    what was read of the body of the last attempt
//	BytesOut   0: samples do not know it
//
// vegeta calls every status of 200 to 399 a success. Its Success ratio is therefore the share of good statuses and
// not of good answers: a stream that was cut under a 200 is in it. It is in the Error Set, too, and plotted as ERROR.
//
// A request whose client left by plan is in it like any other, or the rate would not be that of the load: with "cancelled"
// for its Error, the status that had come, if any (0 is a failure to vegeta), and a Latency that is how long its user
// stayed. An answer in one piece is what vegeta itself measures. Of retries and hedges it has the last attempt alone.
//
// `vegeta plot` takes only results whose Seq begin at 0 and have no gap, in the order of time, and a request
// is known only when it ends. So all results wait until Close, in 40 bytes each and every error text once.
//
// It is not safe for concurrent use; a Recorder calls it one by one.
type VegetaFile struct {
	attack, url string
	out         io.Writer
	started     time.Time
	blocks      [][]vegetaRow // of vegetaBlock rows each, so that none is ever copied under a lock that streams wait for
	texts       []string
	known       map[string]uint32 // places in texts
}

var _ results.Sink = (*VegetaFile)(nil)

// A vegetaRow is what is kept of a sample until Close.
type vegetaRow struct {
	index        uint64
	due, latency time.Duration
	bytes        uint64
	text         uint32
	status       uint16
}

const vegetaBlock = 4096

// NewVegetaFile returns a sink that writes to w when it is closed. attack names the series in plots, url is what was
// attacked. The run's header, which a Recorder hands on first, has its wall time: without it times count
// from the Unix epoch.
func NewVegetaFile(w io.Writer, attack, url string) *VegetaFile {
	return &VegetaFile{
		attack: attack, url: url, out: w, started: time.Unix(0, 0), texts: []string{""}, known: map[string]uint32{"": 0},
	}
}

// Add keeps a sample's result. It never fails.
func (f *VegetaFile) Add(rec results.Record) error {
	if rec.Header != nil {
		f.started = rec.Header.Started
	}
	s := rec.Sample
	if s == nil {
		return nil
	}
	if n := len(f.blocks); n == 0 || len(f.blocks[n-1]) == vegetaBlock {
		f.blocks = append(f.blocks, make([]vegetaRow, 0, vegetaBlock))
	}
	last := &f.blocks[len(f.blocks)-1]
	*last = append(*last, vegetaRow{
		index: s.Index, due: s.Due, latency: max(0, s.Done-s.Due), bytes: uint64(max(0, s.Bytes)), text: f.text(s), status: uint16(min(max(s.Status, 0), 999)),
	})
	return nil
}

// text is the place of the sample's error.
func (f *VegetaFile) text(s *results.Sample) uint32 {
	text := ""
	if s.Outcome != results.Complete {
		text = s.Outcome.String()
		if s.Error != "" {
			text += ": " + s.Error
		}
	}
	place, ok := f.known[text]
	if !ok {
		place = uint32(len(f.texts))
		f.texts, f.known[text] = append(f.texts, text), place
	}
	return place
}

// Close writes the results in order. It does not close the writer.
func (f *VegetaFile) Close() error {
	rows := slices.Concat(f.blocks...)
	f.blocks = nil
	slices.SortFunc(rows, func(a, b vegetaRow) int { return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.index, b.index)) })
	out := bufio.NewWriterSize(f.out, 64<<10)
	encode := vegeta.NewEncoder(out)
	for i, row := range rows {
		err := encode(&vegeta.Result{
			Attack: f.attack, Seq: uint64(i), Code: row.status, Timestamp: f.started.Add(row.due), Latency: row.latency,
			BytesIn: row.bytes, Error: f.texts[row.text], Method: http.MethodPost, URL: f.url,
		})
		if err != nil {
			return fmt.Errorf("write vegeta results: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write vegeta results: %w", err)
	}
	return nil
}
