package targets_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/targets"
)

// Every stream of lines gives its lines, whole, byte by byte, and cut in two anywhere.
func TestSplitterLines(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		name, stream string
		want         []event
	}{
		{"nothing", "", nil},
		{"two", "{\"a\":1}\n{\"b\":2}\n", []event{{Data: `{"a":1}`}, {Data: `{"b":2}`}}},
		{"CRLF", "{}\r\n[]\r\n", []event{{Data: "{}"}, {Data: "[]"}}},
		{"empty lines", "\n\r\n{}\n\n\r\n[]\n\n", []event{{Data: "{}"}, {Data: "[]"}}},
		{"a CR is no end", "{\r}\r\r\n\r", []event{{Data: "{\r}\r"}, {Data: "\r", Torn: true}}},
		{"nothing is trimmed", " {} \t\n", []event{{Data: " {} \t"}}},
		{"no last line end", "{}\n{\"a", []event{{Data: "{}"}, {Data: `{"a`, Torn: true}}},
		{"BOM", "\xef\xbb\xbf{}\n", []event{{Data: "{}"}}},
		{"half a BOM", "\xef\xbb{}\n", []event{{Data: "\xef\xbb{}"}}},
		{"a BOM's start only", "\xef\xbb", []event{{Data: "\xef\xbb", Torn: true}}},
		{"no fields here", "data: {}\n: c\nevent: x\n\n", []event{{Data: "data: {}"}, {Data: ": c"}, {Data: "event: x"}}},
		{"a megabyte", long + "\nb\n", []event{{Data: long}, {Data: "b"}}},
		{"UTF-8, nul and bad UTF-8 pass", "жёλ€𝄞\n\x00\xff\n", []event{{Data: "жёλ€𝄞"}, {Data: "\x00\xff"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stream := []byte(tt.stream)
			if diff := cmp.Diff(tt.want, splitAs(t, targets.Lines, stream)); diff != "" {
				t.Errorf("Split(%.80q) in one read (-want +got):\n%s", stream, diff)
			}
			every := make([]int, 0, min(len(stream), 4096))
			for i := range min(len(stream), 4096) {
				every = append(every, i)
				if len(stream) < 200 {
					if diff := cmp.Diff(tt.want, splitAs(t, targets.Lines, stream, i)); diff != "" {
						t.Errorf("Split(%.80q) cut at %d (-want +got):\n%s", stream, i, diff)
					}
				}
			}
			if diff := cmp.Diff(tt.want, splitAs(t, targets.Lines, stream, every...)); diff != "" {
				t.Errorf("Split(%.80q) byte by byte (-want +got):\n%s", stream, diff)
			}
		})
	}
}

// A line is bounded as an event is, however it comes, and each on its own.
func TestSplitterBoundsALine(t *testing.T) {
	yield := func(*targets.Event) error { return nil }
	for _, size := range []int{targets.MaxEvent + 2, 64 << 10} {
		long := []byte(strings.Repeat("x", targets.MaxEvent) + "\nx")
		feed := func(stream []byte) error {
			s := targets.Splitter{Framing: targets.Lines}
			for from := 0; from < len(stream); from += size {
				if err := s.Split(stream[from:min(from+size, len(stream))], yield); err != nil {
					return err
				}
			}
			return s.End(yield)
		}
		if err := feed(long); err != nil {
			t.Errorf("a line of MaxEvent in reads of %d: %v", size, err)
		}
		if err := feed(append([]byte{'x'}, long...)); !errors.Is(err, targets.ErrEventTooLong) {
			t.Errorf("a longer line in reads of %d: got %v, want %v", size, err, targets.ErrEventTooLong)
		}
	}
}

// AtStart is true between two lines, and nowhere else.
func TestAtStartOfLines(t *testing.T) {
	s := targets.Splitter{Framing: targets.Lines}
	yield := func(*targets.Event) error { return nil }
	for _, step := range []struct {
		read string
		want bool
	}{{"{}\n", true}, {"{", false}, {"}\r", false}, {"\n", true}, {"\n", true}, {"{}\n{}", false}, {"\n", true}} {
		if err := s.Split([]byte(step.read), yield); err != nil {
			t.Fatalf("Split(%q) = %v", step.read, err)
		}
		if got := s.AtStart(); got != step.want {
			t.Errorf("after %q AtStart = %t, want %t", step.read, got, step.want)
		}
	}
}

// referenceLines splits a whole stream the slow and obvious way.
func referenceLines(stream string) (out []event) {
	stream = strings.TrimPrefix(stream, "\xef\xbb\xbf")
	for line := range strings.Lines(stream) {
		whole, ended := strings.CutSuffix(line, "\n")
		if ended {
			whole = strings.TrimSuffix(whole, "\r")
		}
		if whole != "" {
			out = append(out, event{Data: whole, Torn: !ended})
		}
	}
	return out
}

// The law: any cut of a stream into reads gives the lines of the whole.
func FuzzSplitterLines(f *testing.F) {
	f.Add("{}\r\n\n{\r}\n[", uint64(1))
	f.Add("\xef\xbb\xbf\r\r\n\xef\xbb\xbf\n\r", uint64(2))
	f.Fuzz(func(t *testing.T, stream string, seed uint64) {
		if len(stream) > 4096 {
			return
		}
		want := referenceLines(stream)
		if diff := cmp.Diff(want, splitAs(t, targets.Lines, []byte(stream))); diff != "" {
			t.Fatalf("one read of %q (-want +got):\n%s", stream, diff)
		}
		cuts := someCuts(len(stream), rand.New(rand.NewPCG(seed, 0)))
		if diff := cmp.Diff(want, splitAs(t, targets.Lines, []byte(stream), cuts...)); diff != "" {
			t.Fatalf("%q cut at %v (-want +got):\n%s", stream, cuts, diff)
		}
	})
}
