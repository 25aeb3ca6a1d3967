package results

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A SamplesCSV is a Sink that writes a row a request as it ends, after a first row with the names of the columns
// (CSVColumns), as RFC 4180 has it. Rows are in the order in which requests ended; due_at says when
// they were due.
//
// Times are in seconds, to the microsecond: those named ..._at since the run began, the others lengths. Of
// both an empty field means that there was none: it never came, or says nothing of this request; "inf" is
// a request that failed and counts as never, as in the metrics. Fields from elsewhere (error, finish,
// labels) have their control characters replaced by spaces, and one that a spreadsheet would take for a formula
// gets an apostrophe in front. What is so or not is 1 or 0. Which endpoint served is among the labels. Columns are added
// at the end, and keep their names and places.
//
// It is not safe for concurrent use; a Recorder calls it one by one. Close writes what is left; it does not close
// the writer.
type SamplesCSV struct {
	// Phase says where a sample counts, for the column phase. Optional; without it the column is empty, as in
	// an attack, which has no phases.
	Phase func(*Sample) Phase

	out  *bufio.Writer
	csv  *csv.Writer
	err  error
	row  []string
	head bool
}

// NewSamplesCSV returns a sink that writes to w.
func NewSamplesCSV(w io.Writer) *SamplesCSV {
	out := bufio.NewWriterSize(w, 64<<10)
	return &SamplesCSV{out: out, csv: csv.NewWriter(out)}
}

// CSVColumns are the names of the columns, in order.
func CSVColumns() []string {
	return []string{
		"index", "phase", "due_at", "sent_at", "first_byte_at", "role_at", "first_token_at", "last_token_at", "done_at",
		"ttft", "ttft_sent", "e2e", "e2e_sent", "tpot", "itl_mean", "stall", "lag",
		"chunks", "coalesced", "tokens", "tokens_counted_by",
		"prompt_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", // the usage, 0 where it does not say
		"status", "outcome", "finish", "error", "tries", "reconnects", "labels",
		"bytes", "conversation", "turn", "unstreamed", "left", "echoed", "hedged", "failovers", // conversation: empty of one that stands alone
		"received_tokens", "wasted_tokens", "wasted_prompt_tokens", // of all attempts; the columns above are the last one's
	}
}

// Add writes a sample's row; other records are not its concern. After an error it returns that one.
func (c *SamplesCSV) Add(rec Record) error {
	s := rec.Sample
	if s == nil || c.err != nil {
		return c.err
	}
	c.header()
	c.row = c.row[:0]
	add := func(fields ...string) { c.row = append(c.row, fields...) }
	phase := ""
	if c.Phase != nil {
		phase = string(c.Phase(s))
	}
	var first, last time.Duration
	coalesced := 0
	for i, chunk := range s.Chunks {
		if i == 0 {
			first = chunk.At
		}
		if last = chunk.At; i > 0 && chunk.Coalesced {
			coalesced++
		}
	}
	add(strconv.FormatUint(s.Index, 10), phase, csvSeconds(s.Due), csvAt(s.Sent), csvAt(s.FirstByte), csvAt(s.Role), csvAt(first), csvAt(last), csvAt(s.Done))
	for _, metric := range []func() (time.Duration, bool, bool){
		s.TTFT, s.TTFTSent, s.E2E, s.E2ESent, s.TPOT, s.meanGap, s.Stall, s.Lag,
	} {
		add(csvMetric(metric()))
	}
	add(strconv.Itoa(len(s.Chunks)), strconv.Itoa(coalesced), strconv.Itoa(s.Tokens()), csvText(string(s.Usage.Source)))
	for _, n := range []int{s.Usage.Prompt, s.Usage.Cached, s.Usage.Output, s.Usage.Reasoning} {
		add(strconv.Itoa(n))
	}
	add(strconv.Itoa(s.Status), s.Outcome.String(), csvText(s.Finish), csvText(s.Error), strconv.Itoa(s.Tries()), strconv.Itoa(s.Reconnects), csvLabels(s.Labels))
	conversation := ""
	if s.Turn != 0 {
		conversation = strconv.FormatUint(s.Conversation, 10)
	}
	add(strconv.FormatInt(s.Bytes, 10), conversation, strconv.Itoa(s.Turn), csvTrue(s.Unstreamed), csvText(string(s.Left)), csvTrue(s.Echoed), csvTrue(s.Hedged))
	for _, n := range []int{s.Failovers(), s.ReceivedInAll(), s.Wasted(), s.WastedPrompt()} {
		add(strconv.Itoa(n))
	}
	c.keep(c.csv.Write(c.row))
	return c.err
}

// header writes the first row, once.
func (c *SamplesCSV) header() {
	if !c.head {
		c.head = true
		c.keep(c.csv.Write(CSVColumns()))
	}
}

// keep remembers the first error.
func (c *SamplesCSV) keep(err error) {
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("write samples: %w", err)
	}
}

// Close writes what is left, and the names of the columns where no sample came.
func (c *SamplesCSV) Close() error {
	c.header()
	c.csv.Flush()
	c.keep(c.csv.Error())
	c.keep(c.out.Flush())
	return c.err
}

// csvSeconds writes a time in seconds.
func csvSeconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }

// csvAt is a moment; empty if it never came.
func csvAt(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return csvSeconds(d)
}

func csvMetric(d time.Duration, inf, counts bool) string {
	switch {
	case !counts:
		return ""
	case inf:
		return "inf"
	default:
		return csvSeconds(d)
	}
}

// meanGap is the mean of the gaps that are in the ITL.
func (s *Sample) meanGap() (d time.Duration, inf, counts bool) {
	n := 0
	for gap := range s.Gaps() {
		d += gap
		n++
	}
	if n == 0 {
		return 0, false, false
	}
	return d / time.Duration(n), false, true
}

// csvTrue is 1 or 0, as what adds columns up has it.
func csvTrue(is bool) string {
	if is {
		return "1"
	}
	return "0"
}

// csvText is one line of text that came from elsewhere and that no spreadsheet calculates with. Beside what begins
// a formula everywhere there are the wide forms of the same signs, which begin one in some languages.
func csvText(text string) string {
	text = plain(text)
	if first, _ := utf8.DecodeRuneInString(text); text != "" && strings.ContainsRune("=+-@＝＋－＠", first) {
		return "'" + text
	}
	return text
}

// csvLabels is a JSON object in the order of the names; empty if there is none.
func csvLabels(l Labels) string {
	if len(l) == 0 {
		return ""
	}
	text, err := json.Marshal(map[string]string(l))
	if err != nil {
		return "" // strings do not fail
	}
	return csvText(string(text))
}
