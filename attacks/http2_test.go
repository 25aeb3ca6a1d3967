package attacks_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A way2 is one way in which an answer over HTTP/2 can go.
type way2 struct {
	name   string
	answer targetstest.Handler2
	want   results.Outcome
	error  string // is in the sample's error
	client attacks.Client
	how    targetstest.HTTP2
	times  int // how often the server sees the request; 0: once
}

// good answers well.
func good(s *targetstest.Stream2) {
	s.Stream()
	s.Data(aLine, aLine)
	s.Last(end)
}

// goodWays2 end well, each as some server ends it.
func goodWays2() []way2 {
	ways := []way2{
		{name: "good", answer: good},
		{name: "an empty last frame", answer: func(s *targetstest.Stream2) { s.Stream(); s.Data(aLine, end); s.Last("") }},
		{name: "trailers", answer: func(s *targetstest.Stream2) { s.Stream(); s.Data(aLine, end); s.Trailers("x-sum", "1") }},
		{name: "content length", answer: func(s *targetstest.Stream2) {
			s.Head(200, "content-type", "text/event-stream", "content-length", length(aLine+end))
			s.Last(aLine + end)
		}},
		{name: "padded", answer: func(s *targetstest.Stream2) {
			s.Stream()
			s.Padded(aLine, 255)
			s.Padded("", 0)
			s.Padded(end, 0)
			s.Last("")
		}},
		{name: "empty frames", answer: func(s *targetstest.Stream2) { s.Stream(); s.Data("", "", aLine, ""); s.Last(end) }},
		{name: "a frame a byte", answer: func(s *targetstest.Stream2) { s.Stream(); s.Data(strings.Split(aLine+end, "")...); s.Last("") }},
		{name: "100 and 103 first", answer: func(s *targetstest.Stream2) { s.Head(100); s.Head(103, "link", "x"); good(s) }},
		{name: "a reset once it is whole", answer: func(s *targetstest.Stream2) { good(s); s.Reset(http2.ErrCodeNo) }},
		{name: "GOAWAY that lets it go on", answer: func(s *targetstest.Stream2) { s.GoAway(s.ID, http2.ErrCodeNo, ""); good(s); s.FIN() }},
		{name: "frames of no meaning", answer: func(s *targetstest.Stream2) {
			s.Frame(0xfa, 0xff, s.ID, "grease")
			s.Frame(http2.FramePriority, 0, s.ID, "\x00\x00\x00\x00\x10")
			good(s)
		}},
		{name: "a ping and new settings", answer: func(s *targetstest.Stream2) {
			s.Frame(http2.FramePing, 0, 0, "failwhal")
			s.Frame(http2.FrameSettings, 0, 0, "\x00\x04\x00\x10\x00\x00")
			good(s)
		}},
		{name: "an unknown setting", answer: good, how: targetstest.HTTP2{Settings: []http2.Setting{{ID: 0x99, Val: 7}}}},
		{name: "a head of 500 KB", answer: func(s *targetstest.Stream2) { bigHead(s, 500<<10); s.Data(aLine); s.Last(end) }},
		{name: "a megabyte in frames of 16 KB", answer: func(s *targetstest.Stream2) {
			s.Stream()
			s.Write(strings.Replace(aLine, "hi", strings.Repeat("x", 1<<20), 1), 16<<10)
			s.Last(end)
		}},
		{name: "refused once", times: 2, answer: func(s *targetstest.Stream2) {
			if s.Index == 0 {
				s.Reset(http2.ErrCodeRefusedStream)
				return
			}
			good(s)
		}},
		{name: "given up before it once", times: 2, answer: func(s *targetstest.Stream2) {
			if s.Index == 0 {
				s.GoAway(s.ID-1, http2.ErrCodeNo, "")
				return
			}
			good(s)
		}},
		{name: "answered before it was read", answer: good, how: targetstest.HTTP2{Early: true}},
	}
	for i := range ways {
		ways[i].want = results.Complete
	}
	return ways
}

func length(text string) string {
	b := make([]byte, 0, 8)
	for n := len(text); n > 0; n /= 10 {
		b = append(b, byte('0'+n%10))
	}
	slices.Reverse(b)
	return string(b)
}

// bigHead writes a head of a good stream that is about so long, in HEADERS and CONTINUATION, with no frame between them.
func bigHead(s *targetstest.Stream2, size int) {
	const each = 1000
	var b strings.Builder
	b.WriteString("\x88") // :status 200, of the static table
	for range size / each {
		b.WriteString("\x00\x01a\x7f" + string([]byte{0x80 | (each-127)&0x7f, (each - 127) >> 7}) + strings.Repeat("x", each)) // a literal, not Huffman's
	}
	block := b.String()
	const most = 16 << 10
	kind := http2.FrameHeaders
	var head strings.Builder
	frames := http2.NewFramer(&head, nil)
	frame := func(flags http2.Flags, fields string) {
		if err := frames.WriteRawFrame(kind, flags, s.ID, []byte(fields)); err != nil {
			panic(err) // a Builder takes all
		}
	}
	for len(block) > most {
		frame(0, block[:most])
		block, kind = block[most:], http2.FrameContinuation
	}
	frame(http2.FlagHeadersEndHeaders, block)
	s.Raw(head.String())
}

// cutWays2 begin as a good answer and do not end as one.
func cutWays2() []way2 {
	begun := func(then func(*targetstest.Stream2)) targetstest.Handler2 {
		return func(s *targetstest.Stream2) { s.Stream(); s.Data(aLine); then(s) }
	}
	quick := attacks.Client{Deadline: 200 * time.Millisecond}
	ways := []way2{
		{name: "FIN after a token", answer: begun((*targetstest.Stream2).FIN), want: results.Reset, error: "inside the response"},
		{name: "RST after a token", answer: begun((*targetstest.Stream2).RST), want: results.Reset, error: "was reset"},
		{name: "FIN instead of END_STREAM", answer: begun(func(s *targetstest.Stream2) { s.Data(end); s.FIN() }), want: results.Reset},
		{name: "FIN within a frame", answer: begun(func(s *targetstest.Stream2) { s.Cut("\x00\x00\x40\x00\x01\x00\x00\x00\x01data: {") }), want: results.Reset},
		{name: "FIN within a frame's head", answer: begun(func(s *targetstest.Stream2) { s.Cut("\x00\x00") }), want: results.Reset},
		{name: "FIN before a head", answer: (*targetstest.Stream2).FIN, want: results.Reset, error: "before a response"},
		{name: "FIN before SETTINGS", answer: (*targetstest.Stream2).FIN, how: targetstest.HTTP2{Silent: true}, want: results.Reset, error: "response (it said nothing of HTTP/2: "},
		{name: "RST before a head", answer: (*targetstest.Stream2).RST, want: results.Reset, error: "was reset"},
		{name: "FIN after a head", answer: func(s *targetstest.Stream2) { s.Stream(); s.FIN() }, want: results.Reset, error: "inside the response"},
		{name: "GOAWAY and FIN", answer: begun(func(s *targetstest.Stream2) { s.GoAway(s.ID, http2.ErrCodeEnhanceYourCalm, "too_many_pings"); s.FIN() }), want: results.Reset, error: `GOAWAY ENHANCE_YOUR_CALM: "too_many_pings"`},
		{name: "given up each time", times: 3, answer: func(s *targetstest.Stream2) { s.GoAway(0, http2.ErrCodeNo, "bye") }, want: results.Reset, error: "before the request began (GOAWAY NO_ERROR"},
		{name: "refused each time", times: 3, answer: func(s *targetstest.Stream2) { s.Reset(http2.ErrCodeRefusedStream) }, want: results.Reset, error: "REFUSED_STREAM"},
		{name: "refused after a token", answer: begun(func(s *targetstest.Stream2) { s.Reset(http2.ErrCodeRefusedStream) }), want: results.Reset, error: "REFUSED_STREAM"},
		{name: "NO_ERROR before END_STREAM", answer: begun(func(s *targetstest.Stream2) { s.Data(end); s.Reset(http2.ErrCodeNo) }), want: results.Reset, error: "NO_ERROR"},
		{name: "an unknown code", answer: begun(func(s *targetstest.Stream2) { s.Reset(0x77) }), want: results.Reset, error: "0x77"},
		{name: "clean end after a token", answer: begun(func(s *targetstest.Stream2) { s.Last("") }), want: results.Truncated, error: "without a finish reason and without [DONE]"},
		{name: "clean end by trailers", answer: begun(func(s *targetstest.Stream2) { s.Trailers("grpc-status", "14") }), want: results.Truncated},
		{name: "no DONE", answer: begun(func(s *targetstest.Stream2) { s.Last("data: " + finish + "\n\n") }), want: results.Truncated, error: "without [DONE]"},
		{name: "END_STREAM in HEADERS", answer: func(s *targetstest.Stream2) { s.Only(200, "content-type", "text/event-stream") }, want: results.Truncated},
		{name: "204", answer: func(s *targetstest.Stream2) { s.Only(204) }, want: results.Truncated},
		{name: "silence before a head", answer: (*targetstest.Stream2).Hang, want: results.Deadline, client: quick},
		{name: "silence after a head", answer: func(s *targetstest.Stream2) { s.Stream(); s.Hang() }, want: results.Deadline, client: quick},
		{name: "silence after DONE", answer: begun(func(s *targetstest.Stream2) { s.Data(end); s.Hang() }), want: results.Deadline, client: quick},
		{name: "idle before a head", answer: (*targetstest.Stream2).Hang, want: results.IdleTimeout, client: attacks.Client{Idle: 100 * time.Millisecond}},
		{name: "idle after a token", answer: begun((*targetstest.Stream2).Hang), want: results.IdleTimeout, client: attacks.Client{Idle: 100 * time.Millisecond}},
		{name: "pings are no answer", answer: begun(func(s *targetstest.Stream2) {
			for range 6 {
				s.Pause(50 * time.Millisecond)
				s.Frame(http2.FramePing, 0, 0, "failwhal")
			}
			s.Hang()
		}), want: results.IdleTimeout, client: attacks.Client{Idle: 100 * time.Millisecond}},
		{name: "an error and a reset", answer: begun(func(s *targetstest.Stream2) { s.Data("data: {\"error\":\"boom\"}\n\n"); s.Reset(http2.ErrCodeInternal) }), want: results.StreamError, error: "boom"},
	}
	for _, code := range []http2.ErrCode{
		http2.ErrCodeProtocol, http2.ErrCodeInternal, http2.ErrCodeFlowControl, http2.ErrCodeStreamClosed, http2.ErrCodeCancel,
		http2.ErrCodeEnhanceYourCalm, http2.ErrCodeInadequateSecurity, http2.ErrCodeHTTP11Required,
	} {
		ways = append(ways, way2{name: code.String(), answer: begun(func(s *targetstest.Stream2) { s.Reset(code) }), want: results.Reset, error: "stream was reset: " + code.String()},
			way2{name: code.String() + " before a head", answer: func(s *targetstest.Stream2) { s.Reset(code) }, want: results.Reset, error: code.String()})
	}
	return ways
}

// wrongWays2 are no answers, or no HTTP/2.
func wrongWays2() []way2 {
	raw := func(text string) targetstest.Handler2 { return func(s *targetstest.Stream2) { s.Raw(text); s.Hang() } }
	frame := func(kind http2.FrameType, flags http2.Flags, id uint32, payload string) targetstest.Handler2 {
		return func(s *targetstest.Stream2) { s.Stream(); s.Frame(kind, flags, id, payload); s.Hang() }
	}
	sized := func(n, text string) targetstest.Handler2 {
		return func(s *targetstest.Stream2) {
			s.Head(200, "content-type", "text/event-stream", "content-length", n)
			s.Data(aLine, end)
			s.Last(text)
		}
	}
	ways := []way2{
		{name: "short of its content length", answer: sized("5000", ""), error: "content length"},
		{name: "longer than its content length", answer: sized("5", ""), error: "content length"},
		{name: "content length is none", answer: sized("many", ""), error: "content length"},
		{name: "HTTP/1.1", answer: raw("HTTP/1.1 400 Bad Request\r\n\r\n"), how: targetstest.HTTP2{Silent: true}, error: "HTTP/1.1 header): leave http2 out"},
		{name: "no HTTP", answer: raw("SSH-2.0-OpenSSH_9.2\r\n"), how: targetstest.HTTP2{Silent: true}, error: "does not speak HTTP/2"},
		{name: "no settings", answer: good, how: targetstest.HTTP2{Silent: true}, error: "the first frame is HEADERS and not SETTINGS"},
		{name: "no status", answer: func(s *targetstest.Stream2) { s.More("content-type", "text/event-stream"); s.Last(end) }, error: "status"},
		{name: "a status that is none", answer: func(s *targetstest.Stream2) { s.More(":status", "ok"); s.Last(end) }, error: "status"},
		{name: "101", answer: func(s *targetstest.Stream2) { s.Head(101); s.Hang() }, error: "101"},
		{name: "103 ends it", answer: func(s *targetstest.Stream2) { s.Only(103) }, error: "103"},
		{name: "content before a head", answer: func(s *targetstest.Stream2) { s.Data(aLine); s.Last(end) }, error: "before a head"},
		{name: "a second head", answer: func(s *targetstest.Stream2) { s.Stream(); s.Head(200); s.Last(end) }, error: "second head"},
		{name: "a status in trailers", answer: func(s *targetstest.Stream2) { s.Stream(); s.Data(aLine, end); s.Only(200) }, error: "second head"},
		{name: "an upper-case header", answer: func(s *targetstest.Stream2) { s.Head(200, "Content-Type", "text/event-stream"); s.Last(end) }},
		{name: "a header of HTTP/1.1", answer: func(s *targetstest.Stream2) { s.Head(200, "connection", "close"); s.Last(end) }, error: "header connection"},
		{name: "a header with a line end", answer: func(s *targetstest.Stream2) { s.Head(200, "x", "a\r\nb"); s.Last(end) }},
		{name: "a head that is too long", answer: func(s *targetstest.Stream2) { bigHead(s, 1100<<10); s.Hang() }},
		{name: "an endless head", answer: func(s *targetstest.Stream2) { bigHead(s, 8<<20); s.Hang() }},
		{name: "endless information", answer: func(s *targetstest.Stream2) {
			for range 40_000 {
				s.Head(103, "link", "x")
			}
			s.Hang()
		}, error: "longer than"},
		{name: "HPACK that is none", answer: frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, "\xff\xff\xff\xff\xff")},
		{name: "HEADERS within a head", answer: func(s *targetstest.Stream2) {
			s.Frame(http2.FrameHeaders, 0, s.ID, "\x88")
			s.Frame(http2.FrameData, 0, s.ID, "x")
			s.Hang()
		}},
		{name: "CONTINUATION of nothing", answer: frame(http2.FrameContinuation, 4, 1, "\x88")},
		{name: "a stream that is not open", answer: frame(http2.FrameData, 0, 7, "x"), error: "stream 7"},
		{name: "a stream of the server's", answer: frame(http2.FrameHeaders, 4, 2, "\x88"), error: "stream 2"},
		{name: "a push", answer: frame(http2.FramePushPromise, 4, 1, "\x00\x00\x00\x02\x88"), error: "push"},
		{name: "a frame that is too large", answer: raw("\x00\x40\x01\x00\x00\x00\x00\x00\x01"), error: "large"},
		{name: "more padding than frame", answer: frame(http2.FrameData, http2.FlagDataPadded, 1, "\x05abc"), error: "padding"},
		{name: "padding without a length", answer: frame(http2.FrameData, http2.FlagDataPadded, 1, ""), error: "padded"},
		{name: "a ping of five bytes", answer: frame(http2.FramePing, 0, 0, "hello")},
		{name: "settings of five bytes", answer: frame(http2.FrameSettings, 0, 0, "hello")},
		{name: "a window that is too large", answer: frame(http2.FrameSettings, 0, 0, "\x00\x04\x80\x00\x00\x00")},
		{name: "a window of nothing more", answer: frame(http2.FrameWindowUpdate, 0, 1, "\x00\x00\x00\x00")},
		{name: "a window that overflows", answer: frame(http2.FrameWindowUpdate, 0, 1, "\x7f\xff\xff\xff"), error: "too large"},
		{name: "the connection's window overflows", answer: frame(http2.FrameWindowUpdate, 0, 0, "\x7f\xff\xff\xff"), error: "too large"},
		{name: "more than the window", answer: func(s *targetstest.Stream2) {
			s.Stream()
			s.Data(slices.Repeat([]string{strings.Repeat("x", 16<<10)}, 2000)...)
			s.Hang()
		}, client: attacks.Client{Read: 100}, error: "window"},
		{name: "an endless event", answer: func(s *targetstest.Stream2) {
			s.Stream()
			s.Write("data: "+strings.Repeat("x", 17<<20), 16<<10)
			s.Hang()
		}, error: "longer than"},
		{name: "HTML", answer: func(s *targetstest.Stream2) { s.Head(200, "content-type", "text/html"); s.Last("<html>hello") }, error: "<html>hello"},
		{name: "garbage data", answer: func(s *targetstest.Stream2) { s.Stream(); s.Data(aLine, "data: hello\n\n"); s.Last(end) }, error: "hello"},
	}
	for i := range ways {
		ways[i].want = results.Malformed
	}
	return append(ways,
		way2{name: "no token", answer: func(s *targetstest.Stream2) { s.Stream(); s.Last(end) }, want: results.Empty},
		way2{name: "429", answer: func(s *targetstest.Stream2) { s.Head(429); s.Last("{\"error\":{\"message\":\"slow down\"}}") }, want: results.RateLimited, error: "429 Too Many Requests: slow down"},
		way2{name: "503", answer: func(s *targetstest.Stream2) { s.Only(503) }, want: results.HTTPStatus, error: "503 Service Unavailable"},
		way2{name: "503 and a reset", answer: func(s *targetstest.Stream2) { s.Head(503); s.Data("busy"); s.Reset(http2.ErrCodeCancel) }, want: results.HTTPStatus, error: "busy"},
		way2{name: "413 before it was read", answer: func(s *targetstest.Stream2) { s.Head(413); s.Last("too long"); s.Reset(http2.ErrCodeNo) }, how: targetstest.HTTP2{Early: true, Keep: true}, want: results.HTTPStatus, error: "too long"},
	)
}

// Every way a stream of HTTP/2 can go has the name that it has over HTTP/1.1, and none but the good ones is complete.
func TestOutcomesOverHTTP2(t *testing.T) { testWays2(t, false) }

// TLS changes no name.
func TestOutcomesOverHTTP2AndTLS(t *testing.T) { testWays2(t, true) }

func testWays2(t *testing.T, secure bool) {
	t.Helper()
	ways := slices.Concat(goodWays2(), cutWays2(), wrongWays2())
	names := map[string]bool{}
	for _, w := range ways {
		if names[w.name] {
			t.Errorf("two ways are called %q", w.name)
		}
		names[w.name] = true
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			w.how.TLS, w.client.HTTP2 = secure, true
			if w.client.Deadline > 0 || w.client.Idle > 0 {
				// Under fake time: however slow the machine, the request is there before its client tires.
				w.how.Pipe = true
				synctest.Test(t, w.test)
				return
			}
			w.test(t)
		})
	}
	if len(ways) < 80 {
		t.Errorf("%d ways, want at least 80", len(ways))
	}
}

// test makes one request, and compares.
func (w way2) test(t *testing.T) {
	t.Helper()
	server := targetstest.NewHTTP2(t, w.how, w.answer)
	var got *results.Sample
	if w.how.Pipe {
		got = attack2(t, server, time.Millisecond, func(cfg *attacks.Config) { cfg.Clients = []attacks.Client{w.client} })[0]
	} else {
		got = oneAt(t, targets.Endpoint{URL: server.URL(), CA: server.CA()}, w.client)
	}
	if got.Outcome != w.want || !strings.Contains(got.Error, w.error) || (got.Error == "") != (w.want == results.Complete) {
		t.Errorf("outcome %s, error %q; want %s, %q", got.Outcome, got.Error, w.want, w.error)
	}
	want := max(1, w.times)
	if n := len(server.Requests()); n != want || got.Reconnects != want-1 {
		t.Errorf("the server saw %d requests, with %d reconnects; want %d", n, got.Reconnects, want)
	}
}

// What is asked over HTTP/2 is what is asked over HTTP/1.1.
func TestRequestsAreThoseOfHTTP1(t *testing.T) {
	old := targetstest.New(t, echo)
	server := targetstest.NewHTTP2(t, targetstest.HTTP2{}, good)
	for at, client := range map[string]attacks.Client{old.URL(): {}, server.URL(): {HTTP2: true}} {
		if got := oneAt(t, targets.Endpoint{URL: at + "/v1", Headers: map[string]string{"X-Org": "us"}}, client); got.Outcome != results.Complete {
			t.Errorf("%s: %s", got.Outcome, got.Error)
		}
	}
	want, got := old.Requests()[0], server.Requests()[0]
	got.Header.Del("Host")
	if got.Method != http.MethodPost || got.Path != want.Path || string(got.Body) != string(want.Body) || len(got.Header) != len(want.Header) {
		t.Errorf("%s %s %v %s; want %s %s %v %s", got.Method, got.Path, got.Header, got.Body, want.Method, want.Path, want.Header, want.Body)
	}
	for name, values := range want.Header {
		if !slices.Equal(got.Header[name], values) {
			t.Errorf("header %s is %q, want %q", name, got.Header[name], values)
		}
	}
}

// A server that speaks no HTTP/2 over TLS is one whose TLS did not come to stand, and the sample says why.
func TestAServerWithoutHTTP2(t *testing.T) {
	server := targetstest.NewTLS(t, echo)
	got := oneAt(t, targets.Endpoint{URL: server.URL(), CA: server.CA()}, attacks.Client{HTTP2: true})
	if got.Outcome != results.TLS || !strings.Contains(got.Error, "does not speak HTTP/2") || len(server.Requests()) != 0 {
		t.Errorf("%s: %s after %d requests; want tls, and that it does not speak HTTP/2", got.Outcome, got.Error, len(server.Requests()))
	}
}

// attack2 runs a whole attack on a scripted server over pipes, under fake time: for so long, and then until all has ended.
func attack2(t *testing.T, server *targetstest.Server2, length time.Duration, change func(*attacks.Config)) []*results.Sample {
	t.Helper()
	cfg, sink := config(server.URL())
	cfg.Endpoint.CA = server.CA()
	cfg.Clients = []attacks.Client{{HTTP2: true}}
	change(&cfg)
	a := newAttack(t, cfg)
	a.SetDial(server.Dial)
	a.BeginFor(results.Baseline, length)
	wait := run(t, a)
	time.Sleep(length + 2*time.Minute)
	a.Stop()
	wait()
	synctest.Wait() // for what the server's handler noted
	return sink.sorted()
}

// Each stream has its own stamps, to the nanosecond: those of the reads that brought its bytes, however many others
// are between them on the connection; and marks, for what one read brought.
func TestStampsOverHTTP2(t *testing.T) {
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true, TLS: secure}, func(s *targetstest.Stream2) {
				s.Stream()
				apart := 70*time.Millisecond + time.Duration(s.Index)*time.Millisecond
				for range 10 {
					s.Pause(apart)
					s.Data(aLine)
				}
				s.Last(end)
			})
			got := attack2(t, server, 100*time.Millisecond, func(*attacks.Config) {})
			if len(got) != 10 || server.Accepts() != 1 {
				t.Errorf("%d samples on %d connections; want 10 on 1", len(got), server.Accepts())
			}
			for i, s := range got {
				apart := 70*time.Millisecond + time.Duration(i)*time.Millisecond
				if s.Outcome != results.Complete || len(s.Chunks) != 10 || s.Bytes != int64(10*len(aLine)+len(end)) {
					t.Fatalf("sample %d is %s: %s, with %d chunks, %d bytes", i, s.Outcome, s.Error, len(s.Chunks), s.Bytes)
				}
				for k, c := range s.Chunks {
					if want := s.Sent + time.Duration(k+1)*apart; c.At != want || c.Coalesced {
						t.Errorf("sample %d: chunk %d is %+v, want it at %s", i, k, c, want)
					}
				}
			}
		})
	}
}

// The events of a frame that comes in pieces have each the stamp of the piece that completes it; those of one piece,
// in one frame or in two, are marked.
func TestStampsWithinAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frame := func(s *targetstest.Stream2, text string) string {
			return "\x00" + string([]byte{byte(len(text) >> 8), byte(len(text))}) + "\x00\x00\x00\x00\x00" + string([]byte{byte(s.ID)}) + text
		}
		server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true}, func(s *targetstest.Stream2) {
			s.Stream()
			s.Pause(50 * time.Millisecond)
			three := frame(s, aLine+aLine+aLine)
			cut := len(three) - len(aLine) - 5
			s.Raw(three[:cut])
			s.Pause(50 * time.Millisecond)
			s.Raw(three[cut:] + frame(s, aLine)) // completes two, and brings another
			s.Pause(50 * time.Millisecond)
			s.Data(aLine)
			s.Last(end)
		})
		s := attack2(t, server, time.Millisecond, func(*attacks.Config) {})[0]
		at := func(ms int) time.Duration { return s.Sent + time.Duration(ms)*time.Millisecond }
		want := []results.Chunk{
			{At: at(50), Tokens: 1},
			{At: at(100), Tokens: 1},
			{At: at(100), Tokens: 1, Coalesced: true},
			{At: at(100), Tokens: 1, Coalesced: true},
			{At: at(150), Tokens: 1},
		}
		if s.Outcome != results.Complete || !slices.Equal(s.Chunks, want) {
			t.Errorf("%s: %s, chunks %+v; want %+v", s.Outcome, s.Error, s.Chunks, want)
		}
	})
}
