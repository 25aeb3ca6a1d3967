package attacks_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// one sends a single request by client and returns its sample.
func one(t *testing.T, url string, client attacks.Client) *results.Sample {
	t.Helper()
	return oneAt(t, targets.Endpoint{URL: url}, client)
}

func oneAt(t *testing.T, at targets.Endpoint, client attacks.Client) *results.Sample {
	t.Helper()
	cfg, sink := config(at.URL)
	cfg.Endpoint = at
	cfg.Profile.Constant.Rate = 1e-6
	cfg.Clients = []attacks.Client{client}
	a := newAttack(t, cfg)
	a.Begin(results.Baseline)
	wait := run(t, a)
	got := sink.wait(t, 1)
	a.Stop()
	wait()
	if all := sink.sorted(); len(all) != 1 {
		t.Fatalf("%d samples of one request", len(all))
	}
	return got[0]
}

// A way is one way in which an answer can go.
type way struct {
	name   string
	script targetstest.Script
	want   results.Outcome
	error  string // is in the sample's error
	client attacks.Client
}

const (
	content = `{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}`
	finish  = `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	aLine   = "data: " + content + "\n\n"
	end     = "data: " + finish + "\n\ndata: [DONE]\n\n"
)

func send(texts ...string) targetstest.Script {
	return targetstest.Script{targetstest.Send(strings.Join(texts, ""))}
}

// stream is a chunked stream of these events, each in an HTTP chunk, with its proper end.
func stream(events ...string) targetstest.Script {
	var b strings.Builder
	for _, e := range events {
		b.WriteString(targetstest.Chunk(e))
	}
	return send(targetstest.StreamHead, b.String(), targetstest.StreamEnd)
}

// plain is an event stream without framing that ends with the connection.
func plain(text string) targetstest.Script {
	return append(send(targetstest.Head("200 OK", "text/event-stream"), text), targetstest.FIN())
}

func then(s targetstest.Script, steps ...targetstest.Step) targetstest.Script {
	return append(slices.Clone(s), steps...)
}

// goodWays end well, each as some server ends it.
func goodWays() []way {
	usage := `data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":1}}` + "\n\n"
	tool := `data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}` + "\n\n"
	calls := targetstest.Data(`{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"tool_calls":[{"id":"chatcmpl-tool-1","type":"function","index":0,"function":{"name":"get_weather"}}]},"logprobs":null,"finish_reason":null}]}`)
	for _, piece := range []string{`{\"city`, `\": \"`, `Oslo\"}`} {
		calls += targetstest.Data(`{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"` + piece + `"}}]},"logprobs":null,"finish_reason":null}]}`)
	}
	ways := []way{
		{name: "vLLM", script: send(targetstest.Answer("a", "b"))},
		{name: "no usage", script: stream(aLine, end)},
		{name: "usage before DONE", script: stream(aLine, "data: "+finish+"\n\n", usage, "data: [DONE]\n\n")},
		{name: "usage in the finish chunk", script: stream(aLine, strings.Replace(end, `"stop"}]`, `"stop"}],"usage":{"completion_tokens":1,"prompt_tokens":4}`, 1))},
		{name: "usage of zeros", script: stream(aLine, strings.Replace(end, `"stop"}]`, `"stop"}],"usage":{"completion_tokens":0,"prompt_tokens":0}`, 1))},
		{name: "CRLF lines", script: stream(strings.ReplaceAll(aLine+end, "\n", "\r\n"))},
		{name: "CR lines", script: stream(strings.ReplaceAll(aLine+end, "\n", "\r"))},
		{name: "no space", script: stream(strings.ReplaceAll(aLine+end, "data: ", "data:"))},
		{name: "comments", script: stream(": ping\n\n", aLine, ":\n\n", end)},
		{name: "BOM", script: stream("\ufeff"+aLine, end)},
		{name: "one HTTP chunk", script: stream(aLine + end)},
		{name: "no last blank line", script: stream(aLine, strings.TrimRight(end, "\n"))},
		{name: "connection is the end", script: plain(aLine + end)},
		{name: "content length", script: send(targetstest.Reply("200 OK", "text/event-stream; charset=utf-8", "", aLine+end))},
		{name: "no content type", script: send("HTTP/1.1 200 OK\r\nContent-Length: ", "197\r\n\r\n", aLine+end, strings.Repeat("\n", 197-len(aLine+end)))},
		{name: "HTTP/1.0", script: then(send("HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"+aLine+end), targetstest.FIN())},
		{name: "201", script: send(strings.Replace(targetstest.Answer("a"), "200 OK", "201 Created", 1))},
		{name: "100 Continue first", script: send("HTTP/1.1 100 Continue\r\n\r\n", targetstest.Answer("a"))},
		{name: "103 Early Hints first", script: send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", targetstest.Answer("a"))},
		{name: "reasoning only", script: stream(strings.ReplaceAll(aLine, "content", "reasoning_content"), end)},
		{name: "tool call only", script: stream(tool, strings.Replace(end, "stop", "tool_calls", 1))},
		{name: "tool calls as vLLM streams them", script: send(targetstest.StreamHead, targetstest.Role(), calls, targetstest.Finish("tool_calls"), targetstest.Usage(180, 40), targetstest.Done, targetstest.StreamEnd)},
		{name: "unknown event and field", script: stream("event: ping\ndata: {}\n\n", "x-trace: 1\n", aLine, end)},
		{name: "error null", script: stream(strings.Replace(aLine, "{", `{"error":null,`, 1), end)},
		{name: "trailers", script: send(strings.TrimSuffix(targetstest.Answer("a"), "\r\n") + "X-Sum: 1\r\n\r\n")},
		{name: "chunk extension", script: send(strings.Replace(targetstest.Answer("a"), "\r\n\r\n", "\r\n\r\n3;a=b\r\n: x\r\n2\r\n\n\n\r\n", 1))},
		{name: "a megabyte in one event", script: stream(strings.Replace(aLine, "hi", strings.Repeat("x", 1<<20), 1), end)},
		{name: "speculation: many tokens a chunk", script: stream(strings.Replace(aLine, "hi", "and so on and on and on ...", 1), strings.Replace(end, `"stop"}]`, `"stop"}],"usage":{"completion_tokens":9,"prompt_tokens":1}`, 1))},
		{name: "smooth output: many chunks a token", script: stream(strings.Repeat(aLine, 4), strings.Replace(end, `"stop"}]`, `"stop"}],"usage":{"completion_tokens":1,"prompt_tokens":1}`, 1))},
		{name: "a nonce and little else", script: stream(strings.Replace(aLine, "hi", "fw-0123abcd-0123456789ab", 1), strings.Replace(end, `"stop"}]`, `"stop"}],"usage":{"completion_tokens":24,"prompt_tokens":1}`, 1))},
		{name: "short words", script: stream(strings.Repeat(strings.Replace(aLine, "hi", " a", 1), 100), strings.Replace(end, `"stop"}]`, `"stop"}],"usage":{"completion_tokens":100,"prompt_tokens":1}`, 1))},
		{name: "hidden reasoning", script: stream(aLine, strings.Replace(end, `"stop"}]`, `"stop"}],"usage":{"completion_tokens":901,"prompt_tokens":1,"completion_tokens_details":{"reasoning_tokens":900}}`, 1))},
		{name: "a slow one within its idle limit", script: targetstest.Script{
			targetstest.Send(targetstest.StreamHead), targetstest.Pause(100 * time.Millisecond), targetstest.Send(targetstest.Chunk(": ping\n\n")),
			targetstest.Pause(100 * time.Millisecond), targetstest.Send(targetstest.Chunk(aLine) + targetstest.Chunk(end) + targetstest.StreamEnd),
		}, client: attacks.Client{Idle: 20 * time.Second}},
	}
	for i := range ways {
		ways[i].want = results.Complete
	}
	return ways
}

// inBandWays carry an error inside a 200, and then pretend that all is well.
func inBandWays() []way {
	boom := `{"error":{"message":"boom","code":500}}`
	ways := []way{
		{name: "error data", script: stream(aLine, "data: "+boom+"\n\n", end)},
		{name: "error data at once", script: stream("data: "+boom+"\n\n", "data: [DONE]\n\n")},
		{name: "error data and a clean end", script: stream(aLine, "data: "+boom+"\n\n")},
		{name: "error data and a cut", script: then(send(targetstest.StreamHead, targetstest.Chunk(aLine), targetstest.Data(boom)), targetstest.RST())},
		{name: "error field", script: stream("error: {\"message\":\"boom\"}\n\n", end)},
		{name: "error event", script: stream(aLine, "event: error\ndata: "+boom+"\n\n", end)},
		{name: "error event with text", script: stream("event: error\ndata: boom\n\n", end)},
		{name: "error after DONE", script: stream(aLine, end, "data: "+boom+"\n\n")},
		{name: "error beside content", script: stream(strings.Replace(aLine, "{", `{"error":"boom",`, 1), end)},
		{name: "error in a choice", script: stream(strings.Replace(aLine, `"index"`, `"error":{"message":"boom"},"index"`, 1), end)},
		{name: "FastAPI detail", script: stream("data: {\"detail\":\"boom\"}\n\n", "data: [DONE]\n\n")},
		{name: "old vLLM", script: stream("data: {\"object\":\"error\",\"message\":\"boom\"}\n\n", "data: [DONE]\n\n")},
		{name: "bare line", script: stream(aLine, "{\"error\":\"boom\"}\n")},
		{name: "JSON instead of a stream", script: send(targetstest.Reply("200 OK", "application/json", "", boom))},
		{name: "error and then silence", script: then(send(targetstest.StreamHead, targetstest.Data(boom)), targetstest.Hang()), client: attacks.Client{Deadline: 200 * time.Millisecond}},
	}
	for i := range ways {
		ways[i].want, ways[i].error = results.StreamError, "boom"
	}
	for _, reason := range []string{"error", "abort"} {
		ways = append(ways, way{name: "finish_reason " + reason, script: stream(aLine, strings.Replace(end, "stop", reason, 1)), want: results.StreamError, error: reason})
	}
	return ways
}

// cutWays begin as a good answer and do not end as one.
func cutWays() []way {
	head := targetstest.StreamHead + targetstest.Chunk(aLine)
	short := targetstest.Reply("200 OK", "text/event-stream", "", aLine+end)
	quick := attacks.Client{Deadline: 200 * time.Millisecond}
	return []way{
		{name: "FIN after a token", script: then(send(head), targetstest.FIN()), want: results.Reset, error: "inside the response"},
		{name: "RST after a token", script: then(send(head), targetstest.Pause(50*time.Millisecond), targetstest.RST()), want: results.Reset, error: "reset"},
		{name: "FIN within a chunk", script: then(send(head, "40\r\ndata: {"), targetstest.FIN()), want: results.Reset},
		{name: "FIN within a head", script: then(send("HTTP/1.1 200 OK\r\nContent-"), targetstest.FIN()), want: results.Reset},
		{name: "FIN after a head", script: then(send(targetstest.StreamHead), targetstest.FIN()), want: results.Reset},
		{name: "FIN before a head", script: targetstest.Script{targetstest.FIN()}, want: results.Reset, error: "before a response"},
		{name: "RST before a head", script: targetstest.Script{targetstest.RST()}, want: results.Reset},
		{name: "FIN instead of the chunked end", script: then(send(strings.TrimSuffix(targetstest.Answer("a"), targetstest.StreamEnd)), targetstest.FIN()), want: results.Reset},
		{name: "FIN within the chunked end", script: then(send(strings.TrimSuffix(targetstest.Answer("a"), "\r\n")), targetstest.FIN()), want: results.Reset},
		{name: "short of its content length", script: then(send(short[:len(short)-5]), targetstest.FIN()), want: results.Reset},
		{name: "clean end after a token", script: stream(aLine), want: results.Truncated, error: "without a finish reason and without [DONE]"},
		{name: "clean end, no framing", script: plain(aLine), want: results.Truncated},
		{name: "clean end within an event", script: stream(aLine, aLine[:30]), want: results.Truncated},
		{name: "no DONE", script: stream(aLine, "data: "+finish+"\n\n"), want: results.Truncated, error: "without [DONE]"},
		{name: "no finish_reason", script: stream(aLine, "data: [DONE]\n\n"), want: results.Truncated, error: "without a finish reason"},
		{name: "killed runner of Ollama", script: stream(aLine, strings.Replace(aLine, "hi", "", 1)), want: results.Truncated},
		{name: "DONE alone", script: stream("data: [DONE]\n\n"), want: results.Truncated},
		{name: "nothing in a stream", script: stream(), want: results.Truncated},
		{name: "nothing at all", script: send(targetstest.Reply("200 OK", "text/event-stream", "", "")), want: results.Truncated},
		{name: "204", script: send("HTTP/1.1 204 No Content\r\n\r\n"), want: results.Truncated},
		{name: "only comments", script: stream(": ping\n\n"), want: results.Truncated},
		{name: "silence before a head", script: targetstest.Script{targetstest.Hang()}, want: results.Deadline, client: quick},
		{name: "silence after a head", script: then(send(targetstest.StreamHead), targetstest.Hang()), want: results.Deadline, client: quick},
		{name: "silence after a token", script: then(send(head), targetstest.Hang()), want: results.Deadline, error: "deadline", client: quick},
		{name: "silence after DONE", script: then(send(strings.TrimSuffix(targetstest.Answer("a"), targetstest.StreamEnd)), targetstest.Hang()), want: results.Deadline, client: quick},
		{name: "idle before a head", script: targetstest.Script{targetstest.Hang()}, want: results.IdleTimeout, client: attacks.Client{Idle: 100 * time.Millisecond}},
		{name: "idle after a token", script: then(send(head), targetstest.Hang()), want: results.IdleTimeout, error: "as long as", client: attacks.Client{Idle: 100 * time.Millisecond}},
	}
}

// wrongWays end in order and are no answers.
func wrongWays() []way {
	count := func(tokens, chunks string) targetstest.Script {
		return stream(chunks, strings.Replace(end, `"stop"}]`, `"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":`+tokens+`}`, 1))
	}
	return []way{
		{name: "no token", script: stream(end), want: results.Empty},
		{name: "a role and no token", script: send(targetstest.Answer()), want: results.Empty, error: "not one token"},
		{name: "null content", script: stream(strings.Replace(aLine, `"hi"`, "null", 1), end), want: results.Empty},
		{name: "text missing", script: count("500", aLine), want: results.LengthMismatch, error: "500 tokens"},
		{name: "half of the text missing", script: count("100", strings.Repeat(strings.Replace(aLine, "hi", " word", 1), 25)), want: results.LengthMismatch, error: "125 bytes"},
		{name: "no tokens counted", script: count("0", aLine), want: results.LengthMismatch},
		{name: "text many times", script: count("2", strings.Repeat(aLine, 100)), want: results.LengthMismatch},
		{name: "garbage data", script: stream(aLine, "data: hello\n\n", end), want: results.Malformed, error: "hello"},
		{name: "cut JSON inside a stream", script: stream(aLine, "data: {\"choices\":[{\n\n", end), want: results.Malformed},
		{name: "HTML in a stream", script: stream(aLine, "<html>oops</html>\n", end), want: results.Malformed, error: "<html>"},
		{name: "HTML", script: send(targetstest.Reply("200 OK", "text/html", "", "<html>hello")), want: results.Malformed, error: "<html>hello"},
		{name: "JSON without a stream", script: send(targetstest.Reply("200 OK", "application/json", "", `{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}`)), want: results.Malformed},
		{name: "NDJSON", script: send(targetstest.Reply("200 OK", "application/x-ndjson", "", "{\"done\":false}\n{\"done\":true}\n")), want: results.Malformed},
		{name: "NDJSON as a stream", script: stream("{\"done\":false}\n", "{\"done\":true}\n"), want: results.Malformed},
		{name: "compressed", script: send(targetstest.Reply("200 OK", "text/event-stream", "Content-Encoding: gzip\r\n", "\x1f\x8b\x08")), want: results.Malformed, error: "gzip"},
		{name: "no HTTP", script: then(send("SSH-2.0-OpenSSH_9.2\r\n"), targetstest.Hang()), want: results.Malformed},
		{name: "chunk length is none", script: then(send(targetstest.StreamHead, "zz\r\n"), targetstest.Hang()), want: results.Malformed, error: "chunk length"},
		{name: "chunk runs over", script: then(send(targetstest.StreamHead, "2\r\nabcd\r\n"), targetstest.Hang()), want: results.Malformed},
		{name: "chunk length overflows", script: then(send(targetstest.StreamHead, "fffffffffffffffff\r\n"), targetstest.Hang()), want: results.Malformed},
		{name: "endless event", script: then(send(targetstest.StreamHead, "7fffffff\r\ndata: ", strings.Repeat("x", 17<<20)), targetstest.Hang()), want: results.Malformed, error: "longer than"},
		{name: "endless head", script: then(send("HTTP/1.1 200 OK\r\n", strings.Repeat("X-A: b\r\n", 11<<20/8)), targetstest.Hang()), want: results.Malformed},
	}
}

// refusedWays have a status that says what they are.
func refusedWays() []way {
	refuse := func(status, body string) targetstest.Script {
		return send(targetstest.Reply(status, "application/json", "", body))
	}
	return []way{
		{name: "429", script: refuse("429 Too Many Requests", `{"error":{"message":"slow down"}}`), want: results.RateLimited, error: "slow down"},
		{name: "500", script: refuse("500 Internal Server Error", `{"error":{"code":500,"message":"oops","type":"server_error"}}`), want: results.HTTPStatus, error: "oops (server_error, 500)"},
		{name: "502 of a proxy", script: refuse("502 Bad Gateway", "<html>Bad Gateway</html>"), want: results.HTTPStatus, error: "<html>"},
		{name: "503 and a cut body", script: then(send("HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nbusy"), targetstest.FIN()), want: results.HTTPStatus, error: "busy"},
		{name: "504 without a body", script: refuse("504 Gateway Timeout", ""), want: results.HTTPStatus, error: "504 Gateway Timeout"},
		{name: "400", script: refuse("400 Bad Request", `{"detail":"bad"}`), want: results.HTTPStatus, error: "bad"},
		{name: "401", script: refuse("401 Unauthorized", ""), want: results.HTTPStatus},
		{name: "403 and an endless body", script: then(send("HTTP/1.1 403 Forbidden\r\n\r\n", strings.Repeat("x", 1<<20)), targetstest.Hang()), want: results.HTTPStatus, error: "xxx"},
		{name: "302 is not followed", script: send(targetstest.Reply("302 Found", "text/plain", "Location: /elsewhere\r\n", "moved")), want: results.HTTPStatus, error: "302 Found: moved"},
		{name: "307 is not followed", script: send(targetstest.Reply("307 Temporary Redirect", "text/plain", "Location: /elsewhere\r\n", "")), want: results.HTTPStatus},
		{name: "500 that streams well", script: send(strings.Replace(targetstest.Answer("a"), "200 OK", "500 Oops", 1)), want: results.HTTPStatus},
		{name: "101", script: then(send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), targetstest.FIN()), want: results.HTTPStatus},
	}
}

// tlsWays are those in which only TLS can end.
func tlsWays() []way {
	head := targetstest.StreamHead + targetstest.Chunk(aLine)
	good := targetstest.Answer("a")
	return []way{
		{name: "good", script: send(good), want: results.Complete},
		{name: "no close_notify before a head", script: targetstest.Script{targetstest.BareFIN()}, want: results.Reset, error: "before a response"},
		{name: "no close_notify after a token", script: then(send(head), targetstest.BareFIN()), want: results.Reset, error: "inside the response"},
		{name: "no close_notify instead of the chunked end", script: then(send(strings.TrimSuffix(good, targetstest.StreamEnd)), targetstest.BareFIN()), want: results.Reset},
		{name: "no record before a head", script: targetstest.Script{targetstest.SendBare("HTTP/1.1 400 Bad Request\r\n\r\n"), targetstest.BareFIN()}, want: results.TLS},
		{name: "no record after a token", script: then(send(head), targetstest.SendBare("HTTP/1.1 400 Bad Request\r\n\r\n"), targetstest.BareFIN()), want: results.TLS},
		{name: "an alert in the clear", script: then(send(head), targetstest.SendBare("\x15\x03\x03\x00\x02\x02\x50"), targetstest.BareFIN()), want: results.TLS},
		{name: "a record that does not verify", script: then(send(head), targetstest.SendBare("\x17\x03\x03\x00\x20"+strings.Repeat("x", 32)), targetstest.BareFIN()), want: results.TLS},
	}
}

// Every way a stream can go has its one name, and none but the good ones is complete. TLS changes no name.
func TestOutcomes(t *testing.T) {
	ways := slices.Concat(goodWays(), inBandWays(), cutWays(), wrongWays(), refusedWays())
	testWays(t, ways, "", false)
	if len(ways) < 35 {
		t.Errorf("%d ways, want at least 35", len(ways))
	}
}

// What ends a connection under TLS has the name that it has without.
func TestOutcomesOverTLS(t *testing.T) {
	testWays(t, slices.Concat(cutWays(), tlsWays()), "", true)
}

// testWays tries all ways in the dialect of that name; "": the one that is there without.
func testWays(t *testing.T, ways []way, dialect string, secure bool) {
	t.Helper()
	names := map[string]bool{}
	for _, w := range ways {
		if names[w.name] {
			t.Errorf("two ways are called %q", w.name)
		}
		names[w.name] = true
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			if w.client.Deadline > 0 || w.client.Idle > 0 {
				// Under fake time: however slow the machine, the request is there before its client tires.
				synctest.Test(t, func(t *testing.T) { w.overPipe(t, dialect, secure) })
				return
			}
			serve := targetstest.New
			if secure {
				serve = targetstest.NewTLS
			}
			server := serve(t, targetstest.Always(w.script...))
			w.check(t, oneAt(t, targets.Endpoint{URL: server.URL(), CA: server.CA(), Dialect: dialect}, w.client), server)
		})
	}
}

// overPipe makes one request without a network, and compares.
func (w way) overPipe(t *testing.T, dialect string, secure bool) {
	t.Helper()
	serve := targetstest.NewPipe
	if secure {
		serve = targetstest.NewPipeTLS
	}
	server := serve(t, targetstest.Always(w.script...))
	w.check(t, onePipe(t, server, func(cfg *attacks.Config) {
		cfg.Endpoint.Dialect, cfg.Clients = dialect, []attacks.Client{w.client}
	}, server.Dial), server)
}

func (w way) check(t *testing.T, got *results.Sample, server *targetstest.Server) {
	t.Helper()
	if got.Outcome != w.want || !strings.Contains(got.Error, w.error) || (got.Error == "") != (w.want == results.Complete) {
		t.Errorf("outcome %s, error %q; want %s, %q", got.Outcome, got.Error, w.want, w.error)
	}
	if n := len(server.Requests()); n != 1 {
		t.Errorf("the server saw %d requests, want 1", n)
	}
}

// A client tires over sockets as it does over pipes, however far its request has come by then.
func TestClientsTireOverSockets(t *testing.T) {
	hang := targetstest.Always(targetstest.Send(targetstest.StreamHead+targetstest.Chunk(aLine)), targetstest.Hang())
	for name, serve := range both() {
		for want, client := range map[results.Outcome]attacks.Client{
			results.Deadline: {Deadline: 200 * time.Millisecond}, results.IdleTimeout: {Idle: 100 * time.Millisecond},
		} {
			t.Run(fmt.Sprint(name, " ", want), func(t *testing.T) {
				t.Parallel()
				server := serve(t, hang)
				if got := oneAt(t, targets.Endpoint{URL: server.URL(), CA: server.CA()}, client); got.Outcome != want || got.Error == "" {
					t.Errorf("outcome %s, error %q; want %s", got.Outcome, got.Error, want)
				}
			})
		}
	}
}
