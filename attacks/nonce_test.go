package attacks_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// Nonces are unique, of one form, tell their request, and give away none by a slip of a digit.
func TestNonces(t *testing.T) {
	for _, run := range []string{"0123abcd", "x", "00000000-long-id", "0123ABCD"} {
		cfg, _ := config("http://127.0.0.1:1")
		cfg.Run = run
		a := newAttack(t, cfg)
		seen := map[string]bool{}
		for i := range uint64(20_000) {
			n := a.Nonce(i)
			if nonceIn.FindString(n) != n || seen[n] || a.NonceIndex(n) != i {
				t.Fatalf("run %q: nonce %d is %q, of request %d", run, i, n, a.NonceIndex(n))
			}
			seen[n] = true
		}
		slips := 0
		for i := range uint64(1000) {
			n := []byte(a.Nonce(i))
			n[len(n)-1] ^= 1 // another hex digit: 0 and 1, a and `, but ` is none
			if seen[string(n)] {
				slips++
			}
		}
		if slips > 0 {
			t.Errorf("run %q: %d of 1000 slips of a digit give another request's nonce", run, slips)
		}
	}
	cfg, _ := config("http://127.0.0.1:1")
	if n := newAttack(t, cfg).Nonce(0); !strings.HasPrefix(n, "fw-0123abcd-") {
		t.Errorf("the run is not in %q", n)
	}
}

// Nonces are found however the text is cut, also right after a false start, and others are not.
func TestFindNonces(t *testing.T) {
	const run = "0000000f"
	a, b := "fw-0000000f-0123456789ab", "fw-0000000f-ffffffffffff"
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{a, []string{a}},
		{"hello " + a + ".", []string{a}},
		{a + b, []string{a, b}},
		{a + "0" + b, []string{a, b}},
		{"fw-" + a, []string{a}},
		{"fw-0000000" + a, []string{a}},
		{"fw-0000000fw-0000000f-0123456789ab", []string{a}},
		{"fw-0000000f-0123456789" + a, []string{a}},
		{"fw-0000000f-012345678f" + a[1:], []string{a}},
		{"ffw-0000000f-0123456789ab", []string{a}},
		{"fw-0000000f-0123456789aX", nil},
		{"fw-0000000f-0123456789AB", nil},
		{"fw-00000000-0123456789ab", nil},
		{"fw-0000000f 0123456789ab", nil},
	} {
		for i := range len(tt.text) + 1 {
			if diff := cmp.Diff(tt.want, attacks.FindNonces(run, tt.text[:i], tt.text[i:])); diff != "" {
				t.Errorf("%q cut at %d (-want +got):\n%s", tt.text, i, diff)
			}
		}
		if diff := cmp.Diff(tt.want, attacks.FindNonces(run, strings.Split(tt.text, "")...)); diff != "" {
			t.Errorf("%q byte by byte (-want +got):\n%s", tt.text, diff)
		}
	}
}

// FuzzFindNonces compares with a regular expression on the whole text.
func FuzzFindNonces(f *testing.F) {
	const run = "0000000f"
	ofRun := regexp.MustCompile(`fw-` + run + `-[0-9a-f]{12}`)
	f.Add("fw-0000000fw-0000000f-0123456789abfw-0000000f-0123", uint8(5))
	f.Add("fw-0000000f-012345678fw-0000000f-0123456789abcfw-0000000f-fffffffffffffw-0000000f-ffffffffffff", uint8(2))
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		var pieces []string
		for rest := text; rest != ""; {
			n := min(len(rest), int(size)+1)
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		want := ofRun.FindAllString(text, -1)
		if diff := cmp.Diff(want, attacks.FindNonces(run, pieces...)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", pieces, diff)
		}
	})
}

// A response that carries another user's nonce is a leak, wherever and however it carries it.
func TestLeaks(t *testing.T) {
	escape := func(s string) string {
		var b strings.Builder
		for _, c := range s {
			fmt.Fprintf(&b, `\u%04x`, c)
		}
		return b.String()
	}
	chunk := func(field, json string) string {
		return targetstest.Data(`{"choices":[{"index":0,"delta":{"` + field + `":` + json + `}}]}`)
	}
	tail := targetstest.Finish("stop") + targetstest.Done + targetstest.StreamEnd
	head := targetstest.StreamHead
	refuse := func(status, body string) string { return targetstest.Reply(status, "application/json", "", body) }
	for _, tt := range []struct {
		name  string
		reply func(own, other, slip string) string
		want  results.Outcome
	}{
		{"none", func(_, _, _ string) string { return head + targetstest.Token("hi") + tail }, results.Complete},
		{"own", func(own, _, _ string) string { return head + targetstest.Token(own) + tail }, results.Complete},
		{"other", func(_, other, _ string) string { return head + targetstest.Token(other) + tail }, results.WrongUser},
		{"own and other", func(own, other, _ string) string {
			return head + targetstest.Token(own) + targetstest.Token(" "+other) + tail
		}, results.WrongUser},
		{"over two chunks", func(_, other, _ string) string {
			return head + targetstest.Token("x"+other[:9]) + targetstest.Token(other[9:]+"y") + tail
		}, results.WrongUser},
		{"byte by byte", func(_, other, _ string) string {
			all := head
			for _, c := range other {
				all += targetstest.Token(string(c))
			}
			return all + tail
		}, results.WrongUser},
		{"escaped", func(_, other, _ string) string { return head + chunk("content", `"`+escape(other)+`"`) + tail }, results.WrongUser},
		{"escaped over two chunks", func(_, other, _ string) string {
			return head + chunk("content", `"`+escape(other[:5])+`"`) + chunk("content", `"`+escape(other[5:])+`"`) + tail
		}, results.WrongUser},
		{"in reasoning", func(_, other, _ string) string { return head + chunk("reasoning", `"`+other+`"`) + tail }, results.WrongUser},
		{"in reasoning between text", func(_, other, _ string) string {
			return head + chunk("reasoning", `"`+other[:8]+`"`) + targetstest.Token("hi") + chunk("reasoning", `"`+other[8:]+`"`) + tail
		}, results.WrongUser},
		{"in a tool call", func(_, other, _ string) string {
			return head + chunk("tool_calls", `[{"function":{"arguments":"{\"q\":\"`+other+`\"}"}}]`) + tail
		}, results.WrongUser},
		{"half of it in text and half in reasoning", func(_, other, _ string) string {
			return head + targetstest.Token(other[:8]) + chunk("reasoning", `"`+other[8:]+`"`) + tail
		}, results.Complete},
		{"of another run", func(_, other, _ string) string {
			return head + targetstest.Token("fw-99999999"+other[11:]) + tail
		}, results.Complete},
		{"a slip of the pen", func(_, _, slip string) string { return head + targetstest.Token(slip) + tail }, results.Complete},
		{"and then a cut", func(_, other, _ string) string { return head + targetstest.Token(other) + targetstest.StreamEnd }, results.WrongUser},
		{"and then an error", func(_, other, _ string) string {
			return head + targetstest.Token(other) + targetstest.Data(`{"error":"x"}`) + tail
		}, results.WrongUser},
		{"own in a refusal", func(own, _, _ string) string { return refuse("400 Bad Request", "cannot read "+own) }, results.HTTPStatus},
		{"in a refusal", func(_, other, _ string) string {
			return refuse("400 Bad Request", `{"error":{"message":"cannot read `+other+`"}}`)
		}, results.WrongUser},
		{"in a refusal that is no JSON", func(_, other, _ string) string {
			return refuse("502 Bad Gateway", "<html>"+strings.Repeat("x", 5000)+other)
		}, results.WrongUser},
		{"escaped in a refusal", func(_, other, _ string) string {
			return refuse("429 Too Many Requests", `{"error":"cannot read `+escape(other)+`"}`)
		}, results.WrongUser},
		{"in an error in the stream", func(_, other, _ string) string {
			return head + targetstest.Data(`{"error":{"message":"cannot read `+other+`"}}`) + tail
		}, results.WrongUser},
		{"escaped in an error in the stream", func(_, other, _ string) string {
			return head + targetstest.Data(`{"error":"cannot read `+escape(other)+`"}`) + tail
		}, results.WrongUser},
		{"far into an error in the stream", func(_, other, _ string) string {
			return head + targetstest.Data(`{"error":"`+strings.Repeat("x", 5000)+other+`"}`) + tail
		}, results.WrongUser},
		{"in an error field", func(_, other, _ string) string {
			return head + targetstest.Chunk("error: "+strings.Repeat("x", 5000)+other+"\n\n") + tail
		}, results.WrongUser},
		{"in what is no chunk", func(_, other, _ string) string {
			return head + targetstest.Data(strings.Repeat("x", 5000)+other) + tail
		}, results.WrongUser},
		{"in a line that is no field", func(_, other, _ string) string {
			return head + targetstest.Chunk("<p>"+other+"</p>\n\n") + tail
		}, results.WrongUser},
		{"in an answer that does not stream", func(_, other, _ string) string {
			return targetstest.Reply("200 OK", "application/json", "", `{"choices":[{"message":{"content":"`+other+`"},"finish_reason":"stop"}]}`)
		}, results.WrongUser},
		{"in an error that does not stream", func(_, other, _ string) string {
			return targetstest.Reply("200 OK", "application/json", "", `{"error":"`+escape(other)+`"}`)
		}, results.WrongUser},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var first atomic.Value // the nonce of the first request
			server := targetstest.New(t, func(r targetstest.Request) targetstest.Script {
				own := nonceIn.FindString(string(r.Body))
				if r.Index == 0 {
					first.Store(own)
					return echo(r)
				}
				other, ok := first.Load().(string)
				if !ok {
					t.Error("the second request came first")
				}
				return send(tt.reply(own, other, own[:12]+"9999"+own[16:]))
			})
			cfg, sink := config(server.URL())
			cfg.Profile.Constant.Rate = 10 // the first is served before the second asks
			got := attackUntil(t, cfg, sink, 2)
			if got[1].Outcome != tt.want || got[1].Leak() != (tt.want == results.WrongUser) {
				t.Errorf("outcome %s: %s; want %s", got[1].Outcome, got[1].Error, tt.want)
			}
			if got[1].Leak() && !strings.Contains(got[1].Error, "request 0") {
				t.Errorf("error %q does not name request 0", got[1].Error)
			}
		})
	}
}
