package targets_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/targets"
)

// event is a copy of a targets.Event that outlives the Splitter.
type event struct {
	Name  string
	Data  string
	Bare  bool // no data line
	Torn  bool
	Other []string
}

func copyEvent(e *targets.Event) event {
	out := event{Name: string(e.Name), Data: string(e.Data), Bare: e.Data == nil, Torn: e.Torn}
	for _, f := range e.Other {
		out.Other = append(out.Other, string(f.Name)+"|"+string(f.Value)+"|"+string(f.Line))
	}
	return out
}

// split feeds a stream of server-sent events in reads that end at cuts.
func split(tb testing.TB, stream []byte, cuts ...int) []event {
	tb.Helper()
	return splitAs(tb, targets.ServerSentEvents, stream, cuts...)
}

// splitAs feeds stream in reads that end at cuts; each read is overwritten after use.
func splitAs(tb testing.TB, framing targets.Framing, stream []byte, cuts ...int) []event {
	tb.Helper()
	s := targets.Splitter{Framing: framing}
	var got []event
	collect := func(e *targets.Event) error {
		got = append(got, copyEvent(e))
		return nil
	}
	from := 0
	for _, to := range append(cuts, len(stream)) {
		read := bytes.Clone(stream[from:to])
		if err := s.Split(read, collect); err != nil {
			tb.Fatalf("Split(%q) = %v", read, err)
		}
		for i := range read {
			read[i] = '#'
		}
		from = to
	}
	if err := s.End(collect); err != nil {
		tb.Fatalf("End() = %v", err)
	}
	return got
}

// Every stream gives its events, whole, byte by byte, and cut in two anywhere.
func TestSplitter(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		name, stream string
		want         []event
	}{
		{"nothing", "", nil},
		{"one", "data: a\n\n", []event{{Data: "a"}}},
		{"two", "data: a\n\ndata: b\n\n", []event{{Data: "a"}, {Data: "b"}}},
		{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", []event{{Data: "a"}, {Data: "b"}}},
		{"CR", "data: a\r\rdata: b\r\r", []event{{Data: "a"}, {Data: "b"}}},
		{"mixed ends", "data: a\r\n\ndata: b\n\rdata: c\r\r\n", []event{{Data: "a"}, {Data: "b"}, {Data: "c"}}},
		{"no space", "data:a\n\n", []event{{Data: "a"}}},
		{"only one space goes", "data:  a \n\n", []event{{Data: " a "}}},
		{"tab stays", "data:\ta\n\n", []event{{Data: "\ta"}}},
		{"several data lines", "data: a\ndata\ndata: b\n\n", []event{{Data: "a\n\nb"}}},
		{"empty data", "data:\n\n", []event{{Data: ""}}},
		{"two empty data lines", "data\ndata\n\n", []event{{Data: "\n"}}},
		{"comments", ": ping\n\n:\ndata: a\n: b\n\n", []event{{Data: "a"}}},
		{"BOM", "\xef\xbb\xbfdata: a\n\n", []event{{Data: "a"}}},
		{"half a BOM", "\xef\xbbdata: a\n\n", []event{{Bare: true, Other: []string{"\xef\xbbdata|a|\xef\xbbdata: a"}}}},
		{"a BOM's start only", "\xef\xbb", []event{{Bare: true, Torn: true, Other: []string{"\xef\xbb||\xef\xbb"}}}},
		{"second BOM is text", "data: a\n\n\xef\xbb\xbfdata: b\n\n", []event{
			{Data: "a"}, {Bare: true, Other: []string{"\xef\xbb\xbfdata|b|\xef\xbb\xbfdata: b"}},
		}},
		{"name", "event: error\ndata: a\n\n", []event{{Name: "error", Data: "a"}}},
		{"last name wins", "event: a\nevent: b\ndata: c\n\n", []event{{Name: "b", Data: "c"}}},
		{"a name does not last", "event: a\ndata: b\n\ndata: c\n\n", []event{{Name: "a", Data: "b"}, {Data: "c"}}},
		{"name without data", "event: error\n\n", []event{{Name: "error", Bare: true}}},
		{"id and retry", "id: 7\nretry: 10\n\nid: 8\ndata: a\n\n", []event{{Data: "a"}}},
		{"error field", "error: {\"code\":500}\n\ndata: [DONE]\n\n", []event{
			{Bare: true, Other: []string{`error|{"code":500}|error: {"code":500}`}}, {Data: "[DONE]"},
		}},
		{"line without colon", "nonsense\n\n", []event{{Bare: true, Other: []string{"nonsense||nonsense"}}}},
		{"no last blank line", "data: a\n\ndata: b\n", []event{{Data: "a"}, {Data: "b"}}},
		{"no last line end", "data: a\n\ndata: b", []event{{Data: "a"}, {Data: "b", Torn: true}}},
		{"ends in CR", "data: a\n\ndata: b\r", []event{{Data: "a"}, {Data: "b"}}},
		{"a megabyte", "data: " + long + "\n\ndata: b\n\n", []event{{Data: long}, {Data: "b"}}},
		{"UTF-8", "data: жёλ€𝄞\n\n", []event{{Data: "жёλ€𝄞"}}},
		{"nul and bad UTF-8 pass", "data: \x00\xff\n\n", []event{{Data: "\x00\xff"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stream := []byte(tt.stream)
			if diff := cmp.Diff(tt.want, split(t, stream)); diff != "" {
				t.Errorf("split(%.80q) in one read (-want +got):\n%s", stream, diff)
			}
			every := make([]int, 0, min(len(stream), 4096))
			for i := range min(len(stream), 4096) {
				every = append(every, i)
				if len(stream) < 200 {
					if diff := cmp.Diff(tt.want, split(t, stream, i)); diff != "" {
						t.Errorf("split(%.80q) cut at %d (-want +got):\n%s", stream, i, diff)
					}
				}
			}
			if diff := cmp.Diff(tt.want, split(t, stream, every...)); diff != "" {
				t.Errorf("split(%.80q) byte by byte (-want +got):\n%s", stream, diff)
			}
		})
	}
}

// A server that lost its framing cannot eat our memory, however it sends.
func TestSplitterBoundsAnEvent(t *testing.T) {
	line := "data: " + strings.Repeat("x", 1<<20) + "\n"
	for _, tt := range []struct{ name, stream string }{
		{"one line", "data: " + strings.Repeat("x", targets.MaxEvent)},
		{"many lines", strings.Repeat(line, 17)},
		{"many other fields", strings.Repeat(strings.Replace(line, "data", "junk", 1), 17)},
		{"many fields of a letter", strings.Repeat("x\n", targets.MaxEvent/64)},
		{"a comment", ":" + strings.Repeat("x", targets.MaxEvent)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{len(tt.stream), 64 << 10} {
				var s targets.Splitter
				var err error
				yield := func(*targets.Event) error { return nil }
				for from := 0; from < len(tt.stream) && err == nil; from += size {
					err = s.Split([]byte(tt.stream[from:min(from+size, len(tt.stream))]), yield)
				}
				if err == nil {
					err = s.End(yield)
				}
				if !errors.Is(err, targets.ErrEventTooLong) {
					t.Errorf("reads of %d: got %v, want %v", size, err, targets.ErrEventTooLong)
				}
				if again := s.Split([]byte("data: a\n\n"), yield); !errors.Is(again, targets.ErrEventTooLong) {
					t.Errorf("after the error Split = %v, want it again", again)
				}
			}
		})
	}
}

// The reader of the events can end the stream.
func TestSplitterStopsAtTheYieldsError(t *testing.T) {
	stop := errors.New("stop")
	var s targets.Splitter
	n := 0
	err := s.Split([]byte("data: a\n\ndata: b\n\n"), func(*targets.Event) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("Split = %v after %d events, want %v after 1", err, n, stop)
	}
}

// reference splits a whole stream the slow and obvious way.
func reference(stream string) []event {
	stream = strings.TrimPrefix(stream, "\xef\xbb\xbf")
	stream = strings.ReplaceAll(strings.ReplaceAll(stream, "\r\n", "\n"), "\r", "\n")
	var out []event
	var e event
	var data []string
	begun := false
	flush := func() {
		e.Data, e.Bare = strings.Join(data, "\n"), data == nil
		if begun {
			out = append(out, e)
		}
		e, data, begun = event{}, nil, false
	}
	for line := range strings.SplitSeq(stream, "\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			flush()
		case name == "" || name == "id" || name == "retry":
		case name == "data":
			begun, data = true, append(data, value)
		case name == "event":
			begun, e.Name = true, value
		default:
			begun, e.Other = true, append(e.Other, name+"|"+value+"|"+line)
		}
	}
	// SplitSeq yields what follows the last line end, "" if nothing does.
	e.Torn = !strings.HasSuffix(stream, "\n")
	flush()
	return out
}

// someCuts are places to cut a stream at, some of them the same: a read may be empty.
func someCuts(length int, rng *rand.Rand) (cuts []int) {
	for at := 0; at < length && len(cuts) < 1000; at += rng.IntN(1 + rng.IntN(20)) {
		cuts = append(cuts, at)
	}
	return cuts
}

// The law: any cut of a stream into reads gives the events of the whole.
func FuzzSplitter(f *testing.F) {
	f.Add("data: a\r\ndata:b\r\revent: x\n\n: c\nid: 1\nerror: y\n\ndata: z", uint64(1))
	f.Add("\xef\xbb\xbfdata\n\n\rdata:  q\r\n\r\n", uint64(2))
	f.Add("\xef\xbb\n{\"error\":1}\n\nretry\n\ndata\ndata\r", uint64(3))
	f.Fuzz(func(t *testing.T, stream string, seed uint64) {
		if len(stream) > 4096 {
			return
		}
		want := reference(stream)
		if diff := cmp.Diff(want, split(t, []byte(stream))); diff != "" {
			t.Fatalf("one read of %q (-want +got):\n%s", stream, diff)
		}
		cuts := someCuts(len(stream), rand.New(rand.NewPCG(seed, 0)))
		if diff := cmp.Diff(want, split(t, []byte(stream), cuts...)); diff != "" {
			t.Fatalf("%q cut at %v (-want +got):\n%s", stream, cuts, diff)
		}
	})
}

// What an event costs that lies within one read.
func BenchmarkSplitter(b *testing.B) {
	chunk := []byte(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" hi"}}]}` + "\n\n")
	read := bytes.Repeat(chunk, 64)
	var s targets.Splitter
	n := 0
	yield := func(*targets.Event) error { n++; return nil }
	b.SetBytes(int64(len(read)))
	for b.Loop() {
		if err := s.Split(read, yield); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
}
