package attacks_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
)

// frames2 is an answer as frames: settings, a head, and one frame for each text.
func frames2(texts ...string) string {
	frame := func(kind, flags byte, id uint32, payload string) string {
		head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
		return string(binary.BigEndian.AppendUint32(append(head, flags), id)) + payload
	}
	all := frame(4, 0, 0, "") + frame(1, 4, 1, "\x88")
	for i, text := range texts {
		flags := byte(0)
		if i == len(texts)-1 {
			flags = 1
		}
		all += frame(0, flags, 1, text)
	}
	return all
}

// endsStream reports whether a frame of stream 1 ends it.
func endsStream(text string) bool {
	for len(text) >= 9 {
		length := int(text[0])<<16 | int(text[1])<<8 | int(text[2])
		kind, flags, id := text[3], text[4], binary.BigEndian.Uint32([]byte(text[5:9]))&(1<<31-1)
		if id == 1 && kind <= 1 && flags&1 == 1 {
			return true
		}
		text = text[min(len(text), 9+length):]
	}
	return false
}

// Whatever a server sends, in whatever pieces: nothing panics, nothing goes on past the deadline, and nothing is
// complete but a stream that was ended, with the terminal.
func FuzzFrames(f *testing.F) {
	whole := frames2(aLine, aLine, end)
	f.Add(whole, 9)
	f.Add(whole[:len(whole)-1], 1)
	f.Add(frames2(aLine), 100)
	for at := 3; at < len(whole); at += 7 {
		f.Add(whole[:at]+"\xff"+whole[at+1:], at)
	}
	f.Add("HTTP/1.1 200 OK\r\n\r\n", 3)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		synctest.Test(t, func(t *testing.T) {
			cfg, sink := config("http://pipe.test")
			cfg.Clients = []attacks.Client{{HTTP2: true, Deadline: time.Second}}
			a := newAttack(t, cfg)
			a.SetDial(func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				go func() { _, _ = io.Copy(io.Discard, far) }()
				go func() {
					at := max(0, min(cut, len(text)))
					_, _ = io.WriteString(far, text[:at])
					time.Sleep(time.Millisecond)
					_, _ = io.WriteString(far, text[at:])
					if cut%2 == 0 {
						_ = far.Close()
					}
				}()
				return near, nil
			})
			a.BeginFor(results.Baseline, time.Millisecond)
			wait := run(t, a)
			time.Sleep(time.Minute)
			a.Stop()
			wait()
			got := sink.sorted()
			if len(got) != 1 || got[0].Done-got[0].Sent > time.Second {
				t.Fatalf("%d samples, the first done after %s; want 1 within its deadline", len(got), got[0].Done-got[0].Sent)
			}
			s := got[0]
			if (s.Error == "") != (s.Outcome == results.Complete) || s.Outcome == results.Unknown {
				t.Errorf("%s with error %q", s.Outcome, s.Error)
			}
			if s.Outcome == results.Complete && (!endsStream(text) || !strings.Contains(text, "[DONE]")) {
				t.Errorf("complete: %q", text)
			}
		})
	})
}
