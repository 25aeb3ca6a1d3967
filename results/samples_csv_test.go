package results_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
)

// csvRows writes samples and reads them back, by the names of the columns.
func csvRows(t *testing.T, c func(*bytes.Buffer) *results.SamplesCSV, samples ...*results.Sample) []map[string]string {
	t.Helper()
	var out bytes.Buffer
	sink := c(&out)
	for _, rec := range []results.Record{{Header: &results.Header{}}, {Event: &results.Event{}}} {
		if err := sink.Add(rec); err != nil {
			t.Fatalf("Add: %v", err)
		}
	}
	for _, s := range samples {
		if err := sink.Add(results.Record{Sample: s}); err != nil {
			t.Fatalf("Add: %v", err)
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	all, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatalf("read back: %v", err)
	}
	if diff := cmp.Diff(results.CSVColumns(), all[0]); diff != "" {
		t.Errorf("the first row (-want +got):\n%s", diff)
	}
	var rows []map[string]string
	for _, row := range all[1:] {
		named := map[string]string{}
		for i, name := range all[0] {
			if row[i] != "" && row[i] != "0" {
				named[name] = row[i]
			}
		}
		rows = append(rows, named)
	}
	return rows
}

// A row for each way that a request can go, with what never came left empty.
func TestSamplesCSV(t *testing.T) {
	full := replied(results.Complete, 0, 2, 80, 500, 100, 300, 300, 400)
	full.Chunks[0].Coalesced = true // with the role's: no gap is lost by it
	full.Index, full.FirstByte, full.Finish = 7, 70*ms, "stop"
	full.Usage = results.Usage{Prompt: 11, Cached: 5, Output: 9, Reasoning: 4, Source: results.UsageServer}
	full.Labels = results.Labels{"tier": "paid", "region": `e"ast`}
	full.Attempts, full.Reconnects = []results.Attempt{{Endpoint: "west", Prompt: 11, Output: 3}, {Endpoint: "east"}}, 1
	full.Bytes, full.Conversation, full.Turn, full.Echoed, full.Hedged, full.Unstreamed = 2048, 5, 2, true, true, false
	cut := replied(results.Truncated, 1000, 1001, 0, 1500, 1100)
	cut.Error = "=cmd|' /C calc'!A0\r\nand \x1b[31mmore"
	unsent := &results.Sample{Due: 2000 * ms, Done: 2100 * ms, Outcome: results.Deadline, Error: "-1", Labels: results.Labels{"tier": "＝1"}}
	cancelled := &results.Sample{Due: 2000 * ms, Done: 2100 * ms, Outcome: results.Cancelled, Left: "=time"}
	first := &results.Sample{Due: 2000 * ms, Sent: 2000 * ms, Done: 2100 * ms, Outcome: results.Complete, Unstreamed: true, Turn: 1}
	got := csvRows(t, func(b *bytes.Buffer) *results.SamplesCSV {
		c := results.NewSamplesCSV(b)
		c.Phase = func(s *results.Sample) results.Phase {
			if s.Due == 0 {
				return results.Baseline
			}
			return ""
		}
		return c
	}, full, cut, unsent, cancelled, first)
	want := []map[string]string{
		{
			"index": "7", "phase": "baseline", "due_at": "0.000000", "sent_at": "0.002000", "first_byte_at": "0.070000", "role_at": "0.080000",
			"first_token_at": "0.100000", "last_token_at": "0.400000", "done_at": "0.500000",
			"ttft": "0.100000", "ttft_sent": "0.098000", "e2e": "0.400000", "e2e_sent": "0.398000", "tpot": "0.075000", "itl_mean": "0.150000",
			"stall": "0.200000", "lag": "0.002000", "chunks": "4", "coalesced": "1", "tokens": "9", "tokens_counted_by": "server",
			"prompt_tokens": "11", "cached_tokens": "5", "output_tokens": "9", "reasoning_tokens": "4",
			"status": "200", "outcome": "complete", "finish": "stop", "tries": "3", "reconnects": "1", "labels": `{"region":"e\"ast","tier":"paid"}`,
			"bytes": "2048", "conversation": "5", "turn": "2", "echoed": "1", "hedged": "1", "failovers": "1",
			"received_tokens": "8", "wasted_tokens": "3", "wasted_prompt_tokens": "11",
		},
		{
			"due_at": "1.000000", "sent_at": "1.001000", "first_token_at": "1.100000", "last_token_at": "1.100000", "done_at": "1.500000",
			"ttft": "0.100000", "ttft_sent": "0.099000", "e2e": "inf", "e2e_sent": "inf", "stall": "0.400000", "lag": "0.001000",
			"chunks": "1", "tokens": "1", "status": "200", "outcome": "truncated", "error": "'=cmd|' /C calc'!A0 and [31mmore", "tries": "1",
			"received_tokens": "1", "wasted_tokens": "1",
		},
		{
			"due_at": "2.000000", "done_at": "2.100000", "ttft": "inf", "ttft_sent": "inf", "e2e": "inf", "e2e_sent": "inf", "lag": "inf",
			"outcome": "deadline", "error": "'-1", "tries": "1", "labels": `{"tier":"＝1"}`,
		},
		{"due_at": "2.000000", "done_at": "2.100000", "outcome": "cancelled", "tries": "1", "left": "'=time"},
		{
			"due_at": "2.000000", "sent_at": "2.000000", "done_at": "2.100000", "e2e": "0.100000", "e2e_sent": "0.100000", "lag": "0.000000",
			"outcome": "complete", "tries": "1", "turn": "1", "unstreamed": "1",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// Whatever a server says, no field begins like a formula or breaks its line.
func TestSamplesCSVGuards(t *testing.T) {
	for _, text := range []string{"=1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "＋1", "－1", "＠1"} {
		got := csvRows(t, func(b *bytes.Buffer) *results.SamplesCSV { return results.NewSamplesCSV(b) }, &results.Sample{Error: text, Finish: text})
		for _, name := range []string{"error", "finish"} {
			if field := got[0][name]; !strings.HasPrefix(field, "'") || strings.ContainsAny(field, "\t\r\n") {
				t.Errorf("%s %q is written %q; want an apostrophe in front", name, text, field)
			}
		}
	}
}

// An error is told by the next Add, or by Close, and then always.
func TestSamplesCSVTellsErrors(t *testing.T) {
	c := results.NewSamplesCSV(brokenPipe{})
	if err := c.Add(results.Record{Sample: &results.Sample{}}); err != nil {
		t.Errorf("Add = %v; want nil: nothing was written so far", err)
	}
	for range 2 {
		if err := c.Close(); !errors.Is(err, errBroken) {
			t.Errorf("Close to a broken pipe = %v; want %v", err, errBroken)
		}
	}
	if err := c.Add(results.Record{Sample: &results.Sample{}}); !errors.Is(err, errBroken) {
		t.Errorf("Add after that = %v; want %v", err, errBroken)
	}
	long := &results.Sample{Error: strings.Repeat("x", 100_000)}
	c = results.NewSamplesCSV(brokenPipe{})
	if err := errors.Join(c.Add(results.Record{Sample: long}), c.Add(results.Record{Sample: long})); !errors.Is(err, errBroken) {
		t.Errorf("Add of a lot to a broken pipe = %v; want %v", err, errBroken)
	}
}
