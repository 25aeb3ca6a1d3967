package targets_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A recording is a stream as some server sends it, and what it says in sum.
type recording struct {
	name    string
	dialect targets.Dialect
	stream  string
	want    sum
}

// A sum is what a client makes of a stream: all its text, its first end and its first faults, its last usage.
type sum struct {
	Text, Reasoning, Tool string
	Finish                string
	Done                  bool
	Usage                 *results.Usage
	Err, Malformed        string
}

// total adds deltas up.
func total(deltas []delta) (s sum) {
	for _, d := range deltas {
		malformed, bad := strings.CutPrefix(d.Err, "MALFORMED ")
		switch {
		case bad && s.Malformed == "":
			s.Malformed = malformed
		case !bad && s.Err == "":
			s.Err = d.Err
		}
		s.Text, s.Reasoning, s.Tool = s.Text+d.Text, s.Reasoning+d.Reasoning, s.Tool+d.Tool
		s.Done = s.Done || d.Done
		if s.Finish == "" {
			s.Finish = d.Finish
		}
		if d.Usage != nil {
			s.Usage = d.Usage
		}
	}
	return s
}

// tokens is a usage by the server.
func tokens(prompt, output int) *results.Usage {
	return &results.Usage{Prompt: prompt, Output: output, Source: results.UsageServer}
}

// corpus is every recording.
func corpus() []recording {
	return slices.Concat(chatCorpus(), completionsCorpus(), responsesCorpus(), messagesCorpus(), ollamaCorpus())
}

// byReads decodes a stream as the intake does: what comes in one read is tried whole where an event may begin.
func byReads(tb testing.TB, d targets.Dialect, dec targets.Decoder, reads ...string) []delta {
	tb.Helper()
	var out []delta
	s := targets.Splitter{Framing: d.Framing()}
	whole, _ := dec.(targets.WholeReader)
	yield := func(e *targets.Event) error {
		out = append(out, decodeEvent(dec, e))
		return nil
	}
	var plain targets.Delta
	for _, read := range reads {
		b := []byte(read)
		if whole != nil && s.AtStart() && whole.ReadWhole(b, &plain) {
			out = append(out, copyDelta(&plain))
		} else if err := s.Split(b, yield); err != nil {
			tb.Fatalf("Split(%q) = %v", b, err)
		}
		for i := range b { // a read's buffer is used again
			b[i] = '#'
		}
	}
	if err := s.End(yield); err != nil {
		tb.Fatalf("End() = %v", err)
	}
	return out
}

// cut cuts a stream into reads.
func cut(stream string, cuts ...int) (reads []string) {
	from := 0
	for _, to := range append(cuts, len(stream)) {
		reads = append(reads, stream[from:to])
		from = to
	}
	return reads
}

// events cuts a stream into one read an event, as most servers send it.
func events(d targets.Dialect, stream string) []string {
	end := "\n\n"
	if d.Framing() == targets.Lines {
		end = "\n"
	}
	return strings.SplitAfter(stream, end)
}

// Every recording says what it says, in one read, event by event, byte by byte, and cut in two.
func TestCorpus(t *testing.T) {
	for _, r := range corpus() {
		t.Run(r.dialect.Name()+"/"+r.name, func(t *testing.T) {
			want := byReads(t, r.dialect, targets.Forgetful(r.dialect), r.stream)
			if diff := cmp.Diff(r.want, total(want)); diff != "" {
				t.Errorf("%.300q (-want +got):\n%s", r.stream, diff)
			}
			ways := [][]string{{r.stream}, events(r.dialect, r.stream)}
			if len(r.stream) < 4096 {
				var every []int
				for at := range len(r.stream) {
					every = append(every, at)
					if at%23 == 0 {
						ways = append(ways, cut(r.stream, at))
					}
				}
				ways = append(ways, cut(r.stream, every...))
			}
			for _, reads := range ways {
				if diff := cmp.Diff(want, byReads(t, r.dialect, r.dialect.Decoder(), reads...)); diff != "" {
					t.Fatalf("in reads of %.300q (-full in one +got):\n%s", reads, diff)
				}
			}
		})
	}
}

// The law: however a stream comes in reads, it decodes as the whole does without anything learned.
func FuzzAnySplitDecodesAlike(f *testing.F) {
	isWhole := func(d targets.Dialect) bool { return d.Framing() == targets.Whole } // which no Splitter cuts
	all := slices.DeleteFunc(targets.Dialects(), isWhole)
	for _, r := range corpus() {
		if len(r.stream) < 4096 {
			i := slices.IndexFunc(all, func(d targets.Dialect) bool { return d.Name() == r.dialect.Name() })
			f.Add(byte(i), r.stream, uint64(len(r.stream)))
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, stream string, seed uint64) {
		if len(stream) > 4096 {
			return
		}
		d := all[int(kind)%len(all)]
		want := byReads(t, d, targets.Forgetful(d), stream)
		cuts := someCuts(len(stream), rand.New(rand.NewPCG(seed, 0)))
		for _, reads := range [][]string{{stream}, events(d, stream), cut(stream, cuts...)} {
			if diff := cmp.Diff(want, byReads(t, d, d.Decoder(), reads...)); diff != "" {
				t.Fatalf("%s in reads of %q (-full in one +got):\n%s", d.Name(), reads, diff)
			}
		}
	})
}
