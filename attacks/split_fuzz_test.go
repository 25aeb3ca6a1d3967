package attacks_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A readsConn is a connection whose other side has said all that it will, each of its words one read.
type readsConn struct {
	net.Conn // nil: no more of it is used
	reads    [][]byte
}

// Read gives the rest of one read.
func (c *readsConn) Read(p []byte) (int, error) {
	if len(c.reads) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.reads[0])
	if c.reads[0] = c.reads[0][n:]; len(c.reads[0]) == 0 {
		c.reads = c.reads[1:]
	}
	return n, nil
}

// Write takes all.
func (*readsConn) Write(p []byte) (int, error) { return len(p), nil }

// SetDeadline does nothing: nothing ever waits.
func (*readsConn) SetDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (*readsConn) SetWriteDeadline(time.Time) error { return nil }

// Close does nothing.
func (*readsConn) Close() error { return nil }

// cut cuts text into pieces of the lengths that by says, in turn: each of its bytes is one less.
func cut(text string, by []byte) (pieces [][]byte) {
	for i := 0; len(text) > 0; i++ {
		n := len(text)
		if len(by) > 0 {
			n = min(n, int(by[i%len(by)])+1)
		}
		pieces = append(pieces, []byte(text[:n]))
		text = text[n:]
	}
	return pieces
}

// framed makes a response of a body, in the way that how says: as it is, in HTTP chunks, or it is the response.
func framed(s *speech, how uint8, body string, by []byte) string {
	switch how % 3 {
	case 0:
		return targetstest.Head("200 OK", s.mediaType) + body
	case 1:
		var b strings.Builder
		b.WriteString(s.head())
		backwards := slices.Clone(by)
		slices.Reverse(backwards)
		for _, piece := range cut(body, backwards) {
			b.WriteString(targetstest.Chunk(string(piece)))
		}
		return b.String() + targetstest.StreamEnd
	default:
		return body
	}
}

// seen is all of a sample that is not a matter of how the bytes came.
func seen(s *results.Sample) *results.Sample {
	once := func(d time.Duration) time.Duration { return min(d, 1) }
	s.Due, s.Sent, s.Done, s.FirstByte, s.Role = 0, 0, 0, once(s.FirstByte), once(s.Role)
	for i := range s.Chunks {
		s.Chunks[i].At, s.Chunks[i].Coalesced = 0, false
	}
	return s
}

// The law: a stream gives the same sample, but for times and marks, however it was cut into reads.
func FuzzSplitsGiveTheSameSample(f *testing.F) {
	all := speeches()
	for i, s := range all {
		for how := range uint8(3) {
			add := func(events ...string) {
				text := sum(events...)
				if how == 2 {
					text = s.head() + s.chunks(events...) + targetstest.StreamEnd
				}
				f.Add(uint8(i), how, text, []byte{0})
				f.Add(uint8(i), how, text, []byte{2, 40, 7})
			}
			whole := s.say(3, s.texts("a", " é\n", "c\"")...)
			add(whole...)
			add(whole[:len(whole)-1]...)
			add(strings.ReplaceAll(sum(whole...), "\n", "\r\n"))
			add(s.say(2, s.inBand[0], s.garbage[0])...)
			if s.reasoning != nil {
				add(s.say(9, slices.Concat([]string{s.reasoning("x")}, s.tool)...)...)
			}
		}
	}
	for name, is := range placed() {
		text, err := os.ReadFile(filepath.Join(captures, name))
		if err != nil || strings.HasSuffix(name, ".jsonl") || len(text) > 5000 {
			continue
		}
		i := slices.IndexFunc(all, func(s speech) bool { return s.dialect == is.dialect })
		f.Add(uint8(i), uint8(2), string(text), []byte{200, 3})
	}
	var engines []*attacks.Attack
	for _, s := range all {
		cfg, _ := config("http://pipe.test")
		cfg.Endpoint.Dialect, cfg.Endpoint.Labels = s.dialect.Name(), map[string]targets.Label{"region": {Header: "X-Region"}}
		a, err := attacks.New(cfg)
		if err != nil {
			f.Fatal(err)
		}
		engines = append(engines, a)
	}
	own := engines[0].Nonce(0) // which all of them have
	for i, s := range all {
		for _, id := range []string{own, strings.ReplaceAll(own, "-", `\u002d`)} {
			text := sum(s.say(2, s.texts("a", id[:9], id[9:])...)...)
			f.Add(uint8(i), uint8(0), text, []byte{2, 40, 7})
			f.Add(uint8(i), uint8(1), text, []byte{2, 40, 7})
		}
		f.Add(uint8(i), uint8(2), s.head()+"20\r\n: a\nb", []byte(s.head())) // it ends within an HTTP chunk
	}
	f.Fuzz(func(t *testing.T, which, how uint8, body string, by []byte) {
		s, a := &all[int(which)%len(all)], engines[int(which)%len(all)]
		response := framed(s, how, body, by)
		read := func(by []byte) *results.Sample {
			a.SetDial(func(context.Context, string, string) (net.Conn, error) {
				return &readsConn{reads: cut(response, by)}, nil
			})
			got, err := a.One(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return seen(got)
		}
		whole := read(nil)
		for _, by := range [][]byte{by, {0}} {
			if diff := cmp.Diff(whole, read(by)); diff != "" {
				t.Fatalf("%s: %q cut by %v (-whole +cut):\n%s", s.dialect.Name(), response, by, diff)
			}
		}
	})
}
