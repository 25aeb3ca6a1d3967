package attacks_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// goodIn are the ways of a dialect's answers that end well.
func (s *speech) goodIn() []way {
	hi := s.texts("a", " b", " c")
	whole := s.say(3, hi...)
	body := sum(whole...)
	ways := []way{
		{name: "good", script: s.stream(whole...)},
		{name: "one HTTP chunk", script: s.stream(body)},
		{name: "an HTTP chunk a byte", script: send(s.head(), inBytes(body), targetstest.StreamEnd)},
		{name: "connection is the end", script: then(send(targetstest.Head("200 OK", s.mediaType), body), targetstest.FIN())},
		{name: "content length", script: send(targetstest.Reply("200 OK", s.mediaType+"; charset=utf-8", "", body))},
		{name: "plain text", script: send(targetstest.Reply("200 OK", "text/plain", "", body))},
		{name: "CRLF", script: s.stream(strings.ReplaceAll(body, "\n", "\r\n"))},
		{name: "no last line end", script: s.stream(strings.TrimRight(body, "\n"))},
		{name: "a megabyte in one event", script: s.stream(s.say(300_000, s.text(strings.Repeat("word ", 1<<18)))...)},
		{name: "many tokens an event", script: s.stream(s.say(9, s.text("and so on and on and on ..."))...)},
		{name: "an event a character", script: s.stream(s.say(1, s.texts("w", "o", "r", "d")...)...)},
		{name: "escapes and UTF-8", script: s.stream(s.say(3, s.texts("é\n", "𝄞", "\"{")...)...)},
	}
	if s.reasoning != nil {
		ways = append(ways,
			way{name: "reasoning", script: s.stream(s.say(5, append([]string{s.reasoning("so"), s.reasoning(" it")}, hi...)...)...)},
			way{name: "reasoning only", script: s.stream(s.say(2, s.reasoning("so"), s.reasoning(" it"))...)})
	}
	if s.tool != nil {
		ways = append(ways,
			way{name: "tool call only", script: s.stream(s.say(40, s.tool...)...)},
			way{name: "text and a tool call", script: s.stream(s.say(60, append(slices.Clone(hi), s.tool...)...)...)})
	}
	for i := range ways {
		ways[i].want = results.Complete
	}
	return ways
}

func inBytes(text string) string {
	var b strings.Builder
	for i := range len(text) {
		b.WriteString(targetstest.Chunk(text[i : i+1]))
	}
	return b.String()
}

// inBandIn are the ways in which an answer says itself that it failed.
func (s *speech) inBandIn() (ways []way) {
	add := func(name string, script targetstest.Script, client attacks.Client) {
		ways = append(ways, way{name: name, script: script, client: client, want: results.StreamError, error: "boom"})
	}
	begun := append(slices.Clone(s.begin), s.texts("a", " b")...)
	for i, e := range s.inBand {
		add(fmt.Sprintf("error %d at once", i), s.stream(e), attacks.Client{})
		add(fmt.Sprintf("error %d after a token", i), s.stream(append(slices.Clone(begun), e)...), attacks.Client{})
		add(fmt.Sprintf("error %d and then the end", i), s.stream(slices.Concat(begun, []string{e}, s.end(2))...), attacks.Client{})
		add(fmt.Sprintf("error %d after the end", i), s.stream(append(s.say(1, s.text("a")), e)...), attacks.Client{})
		add(fmt.Sprintf("error %d and then DONE", i), s.stream(e, sse("[DONE]")), attacks.Client{})
	}
	add("error and a cut", then(send(s.head(), s.chunks(append(slices.Clone(begun), s.inBand[0])...)), targetstest.FIN()), attacks.Client{})
	add("error and silence", then(send(s.head(), s.chunks(s.inBand[0])), targetstest.Hang()), attacks.Client{Deadline: 200 * time.Millisecond})
	add("JSON instead of a stream", send(targetstest.Reply("200 OK", "application/json", "", boom)), attacks.Client{})
	return ways
}

// cutIn are the ways in which an answer begins well and stops.
func (s *speech) cutIn() []way {
	begun := append(slices.Clone(s.begin), s.texts("a", " b")...)
	head := s.head() + s.chunks(begun...)
	whole := s.say(2, s.texts("a", " b")...)
	cut := sum(whole...)
	ways := []way{
		{name: "FIN after a token", script: then(send(head), targetstest.FIN()), want: results.Reset},
		{name: "FIN within an event", script: then(send(s.head(), "400\r\n", cut[:len(cut)/2]), targetstest.FIN()), want: results.Reset},
		{name: "RST after a token", script: then(send(head), targetstest.Pause(50*time.Millisecond), targetstest.RST()), want: results.Reset},
		{name: "FIN instead of the chunked end", script: then(send(s.head(), s.chunks(whole...)), targetstest.FIN()), want: results.Reset},
		{name: "clean end after a token", script: s.stream(begun...), want: results.Truncated, error: s.dialect.Terminal()},
		{name: "clean end within an event", script: s.stream(append(slices.Clone(begun), s.text("c")[:20])...), want: results.Truncated},
		{name: "clean end, no framing", script: then(send(targetstest.Head("200 OK", s.mediaType), sum(begun...)), targetstest.FIN()), want: results.Truncated},
		{name: "DONE of another dialect", script: s.stream(append(slices.Clone(begun), ": [DONE]\n\n")...), want: results.Truncated},
		{name: "nothing in a stream", script: s.stream(), want: results.Truncated},
		{name: "what comes first and nothing else", script: s.stream(append([]string{"\n"}, s.begin...)...), want: results.Truncated},
		{name: "silence after a head", script: then(send(s.head()), targetstest.Hang()), want: results.Deadline, client: attacks.Client{Deadline: 200 * time.Millisecond}},
		{name: "silence after a token", script: then(send(head), targetstest.Hang()), want: results.Deadline, client: attacks.Client{Deadline: 200 * time.Millisecond}},
		{name: "silence after the end", script: then(send(s.head(), s.chunks(whole...)), targetstest.Hang()), want: results.Deadline, client: attacks.Client{Deadline: 200 * time.Millisecond}},
		{name: "idle after a token", script: then(send(head), targetstest.Hang()), want: results.IdleTimeout, client: attacks.Client{Idle: 100 * time.Millisecond}},
	}
	if s.dialect.Framing() == targets.Lines { // a comment is none there
		ways = slices.DeleteFunc(ways, func(w way) bool { return w.name == "DONE of another dialect" })
	}
	for n := 1; n <= s.unmarked; n++ {
		ways = append(ways, way{name: fmt.Sprintf("without the last %d events", n), script: s.stream(whole[:len(whole)-n]...), want: results.Truncated})
	}
	return ways
}

// wrongIn are the ways of what ends in order and is no answer.
func (s *speech) wrongIn() []way {
	begun := append(slices.Clone(s.begin), s.texts("a", " b")...)
	body := sum(s.say(2, s.texts("a", " b")...)...)
	ways := []way{
		{name: "not one token", script: s.stream(s.say(0)...), want: results.Empty},
		{name: "empty tokens", script: s.stream(s.say(2, s.texts("", "")...)...), want: results.Empty},
		{name: "text missing", script: s.stream(s.say(500, s.texts("a", " b")...)...), want: results.LengthMismatch, error: "500 tokens"},
		{name: "text many times", script: s.stream(s.say(2, s.texts(slices.Repeat([]string{"word "}, 100)...)...)...), want: results.LengthMismatch, error: "100 chunks"},
		{name: "another framing", script: send(targetstest.Reply("200 OK", s.wrong, "", body)), want: results.Malformed, error: s.wrong},
		{name: "JSON without a stream", script: send(targetstest.Reply("200 OK", "application/json", "", `{"id":"x","content":"hi"}`)), want: results.Malformed},
		{name: "HTML", script: send(targetstest.Reply("200 OK", "text/html", "", "<html>hello")), want: results.Malformed, error: "<html>hello"},
		{name: "compressed", script: send(targetstest.Reply("200 OK", s.mediaType, "Content-Encoding: gzip\r\n", "\x1f\x8b\x08")), want: results.Malformed, error: "gzip"},
		{name: "endless event", script: then(send(s.head(), "7fffffff\r\ndata: {", strings.Repeat("x", 17<<20)), targetstest.Hang()), want: results.Malformed, error: "longer than"},
		{name: "429", script: send(targetstest.Reply("429 Too Many Requests", "application/json", "", boom)), want: results.RateLimited, error: "boom"},
		{name: "503", script: send(targetstest.Reply("503 Busy", "application/json", "", `{"error":"boom"}`)), want: results.HTTPStatus, error: "boom"},
	}
	for i, e := range s.garbage {
		ways = append(ways, way{name: fmt.Sprintf("garbage %d", i), script: s.stream(slices.Concat(begun, []string{e}, s.end(2))...), want: results.Malformed})
	}
	return ways
}

// Every dialect's streams have their one name in each way that they can go, and no bad one is complete.
func TestOutcomesInEveryDialect(t *testing.T) {
	for _, s := range speeches() {
		t.Run(s.dialect.Name(), func(t *testing.T) {
			ways := slices.Concat(s.goodIn(), s.inBandIn(), s.cutIn(), s.wrongIn())
			testWays(t, ways, s.dialect.Name(), false)
			if len(ways) < 50 {
				t.Errorf("%d ways, want at least 50", len(ways))
			}
		})
	}
}

// In every dialect another user's nonce is found, in whatever part and however it is cut.
func TestLeaksInEveryDialect(t *testing.T) {
	for _, s := range speeches() {
		parts := map[string]func(text string) string{"text": s.text}
		if s.reasoning != nil {
			parts["reasoning"] = s.reasoning
		}
		if s.tool != nil {
			hole := s.tool[len(s.tool)-1] // the piece that has {}
			if s.dialect.Name() == "openai-responses" {
				hole = s.tool[1]
			}
			parts["tool"] = func(text string) string { return strings.Replace(hole, "{}", text, 1) }
			if s.dialect.Framing() == targets.Lines { // a call is whole there, and an object
				delete(parts, "tool")
			}
		}
		for part, say := range parts {
			t.Run(s.dialect.Name()+" "+part, func(t *testing.T) {
				t.Parallel()
				var first atomic.Value
				server := targetstest.New(t, func(r targetstest.Request) targetstest.Script {
					own := nonceIn.FindString(string(r.Body))
					if r.Index == 0 {
						first.Store(own)
						return s.stream(s.say(2, s.texts("a", own)...)...)
					}
					other, ok := first.Load().(string)
					if !ok {
						t.Error("the second request came first")
					}
					return s.stream(s.say(3, say("x"+other[:9]), say(other[9:]), s.text("y"))...)
				})
				cfg, sink := config(server.URL())
				cfg.Endpoint.Dialect = s.dialect.Name()
				cfg.Profile.Constant.Rate = 10 // the first is served before the second asks
				got := attackUntil(t, cfg, sink, 2)
				if got[0].Outcome != results.Complete || got[1].Outcome != results.WrongUser {
					t.Errorf("outcomes %s, %s: %s; want complete and wrong_user", got[0].Outcome, got[1].Outcome, got[1].Error)
				}
			})
		}
	}
}
