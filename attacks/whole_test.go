package attacks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A letter is how the servers of a dialect without streams answer.
type letter struct {
	dialect targets.Dialect
	good    string   // with a usage of 5 tokens of prompt
	lesser  []string // also good, without a usage
	none    []string // of the dialect, and without a result
	garbage []string
	text    func(text string) string // an answer that has this text, as JSON writes it; nil: none has
	large   func(bytes int) string   // an answer of so many bytes, and some more
}

func letters() []letter {
	return []letter{
		{
			dialect: targets.OpenAIEmbeddings{},
			good:    `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2e-3]}],"usage":{"prompt_tokens":5,"total_tokens":5}}`,
			lesser:  []string{`{"data":[{"embedding":"AACAPw=="}]}`},
			none:    []string{`{"data":[]}`, `{"data":[{"embedding":null}]}`, `{"data":[{"embedding":[]}]}`},
			garbage: []string{`{"data":"x"}`, `{"data":[{"embedding":{}}]}`, `{"data":[{"embedding":[1,null]}]}`, `{"object":"list"}`, `[[1]]`},
			large:   func(n int) string { return `{"data":[{"embedding":[` + strings.Repeat("1,", n/2) + `1]}]}` },
		},
		{
			dialect: targets.OpenAIImages{},
			good:    `{"created":1,"data":[{"b64_json":"aGk="}],"usage":{"input_tokens":5,"output_tokens":7}}`,
			lesser:  []string{`{"created":1,"data":[{"url":"http://h/1.png","revised_prompt":"a whale"}]}`},
			none:    []string{`{"data":[]}`, `{"data":[{"b64_json":null}]}`, `{"data":[{"b64_json":""}]}`},
			garbage: []string{`{"data":"x"}`, `{"data":[{"b64_json":{}}]}`, `{"created":1}`, `[]`},
			text:    func(text string) string { return `{"data":[{"url":"http://h/1.png","revised_prompt":"` + text + `"}]}` },
			large:   func(n int) string { return `{"data":[{"b64_json":"` + strings.Repeat("f", n) + `"}]}` },
		},
		{
			dialect: targets.OpenAITranscriptions{},
			good:    `{"text":"hi","usage":{"type":"tokens","input_tokens":5,"output_tokens":7}}`,
			lesser:  []string{`{"text":"hi","usage":{"type":"duration","seconds":3}}`, `{"text":""}`},
			garbage: []string{`{"text":null}`, `{"text":7}`, `{"segments":[]}`, `"hi"`},
			text:    func(text string) string { return `{"text":"` + text + `"}` },
			large:   func(n int) string { return `{"text":"` + strings.Repeat("f", n) + `"}` },
		},
	}
}

const kind = "application/json"

func reply(body string) targetstest.Script {
	return send(targetstest.Reply("200 OK", kind, "", body))
}

// chunkedHead begins an answer in one piece that comes in HTTP chunks.
var chunkedHead = strings.Replace(targetstest.StreamHead, "text/event-stream", kind, 1)

func inChunks(body string) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(7, len(body))
		b.WriteString(targetstest.Chunk(body[:n]))
		body = body[n:]
	}
	return b.String()
}

func (l *letter) goodWays() []way {
	ways := []way{
		{name: "content length", script: reply(l.good)},
		{name: "chunked", script: send(chunkedHead, inChunks(l.good), targetstest.StreamEnd)},
		{name: "connection is the end", script: then(send(targetstest.Head("200 OK", kind), l.good), targetstest.FIN())},
		{name: "charset", script: send(targetstest.Reply("200 OK", kind+"; charset=utf-8", "", l.good))},
		{name: "plain text", script: send(targetstest.Reply("200 OK", "text/plain", "", l.good))},
		{name: "no content type", script: send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(l.good), l.good))},
		{name: "201", script: send(targetstest.Reply("201 Created", kind, "", l.good))},
		{name: "identity", script: send(targetstest.Reply("200 OK", kind, "Content-Encoding: identity\r\n", l.good))},
		{name: "line ends around it", script: reply("\n" + l.good + "\r\n")},
		{name: "error null", script: reply(strings.Replace(l.good, "{", `{"error":null,`, 1))},
		{name: "slow", script: then(send(chunkedHead, inChunks(l.good[:9])), targetstest.Pause(50*time.Millisecond), targetstest.Send(inChunks(l.good[9:])+targetstest.StreamEnd))},
		{name: "keepalive blanks", script: send(chunkedHead, strings.Repeat(targetstest.Chunk(" "), 9), inChunks(l.good), targetstest.StreamEnd)},
		{name: "large", script: reply(l.large(8 << 20))},
	}
	for i, body := range l.lesser {
		ways = append(ways, way{name: fmt.Sprintf("lesser %d", i), script: reply(body)})
	}
	for i := range ways {
		ways[i].want = results.Complete
	}
	return ways
}

func (l *letter) badWays() []way {
	half := l.good[:len(l.good)/2]
	quick := attacks.Client{Deadline: 200 * time.Millisecond}
	ways := []way{
		{name: "short of its content length", script: then(send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(l.good), half)), targetstest.FIN()), want: results.Reset, error: "inside the response"},
		{name: "whole and short of its content length", script: then(send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(l.good)+1, l.good)), targetstest.FIN()), want: results.Reset},
		{name: "FIN within chunks", script: then(send(chunkedHead, inChunks(half)), targetstest.FIN()), want: results.Reset},
		{name: "FIN instead of the chunked end", script: then(send(chunkedHead, inChunks(l.good)), targetstest.FIN()), want: results.Reset},
		{name: "RST", script: then(send(chunkedHead, inChunks(half)), targetstest.Pause(50*time.Millisecond), targetstest.RST()), want: results.Reset, error: "reset"},
		{name: "FIN after a head", script: then(send(chunkedHead), targetstest.FIN()), want: results.Reset},
		{name: "blanks and FIN", script: then(send(chunkedHead, targetstest.Chunk(" ")), targetstest.FIN()), want: results.Reset},
		{name: "half and the connection's end", script: then(send(targetstest.Head("200 OK", kind), half), targetstest.FIN()), want: results.Truncated, error: "is cut"},
		{name: "half and a proper end", script: send(chunkedHead, inChunks(half), targetstest.StreamEnd), want: results.Truncated},
		{name: "half by its length", script: reply(half), want: results.Truncated},
		{name: "nothing", script: reply(""), want: results.Truncated, error: "before it began"},
		{name: "204", script: send("HTTP/1.1 204 No Content\r\n\r\n"), want: results.Truncated},
		{name: "silence before a head", script: targetstest.Script{targetstest.Hang()}, want: results.Deadline, client: quick},
		{name: "silence within", script: then(send(chunkedHead, inChunks(half)), targetstest.Hang()), want: results.Deadline, client: quick},
		{name: "silence after the answer", script: then(send(chunkedHead, inChunks(l.good)), targetstest.Hang()), want: results.Deadline, client: quick},
		{name: "idle within", script: then(send(chunkedHead, inChunks(half)), targetstest.Hang()), want: results.IdleTimeout, client: attacks.Client{Idle: 100 * time.Millisecond}},
		{name: "error object", script: reply(boom), want: results.StreamError, error: "boom"},
		{name: "error beside a result", script: reply(strings.Replace(l.good, "{", `{"error":"boom",`, 1)), want: results.StreamError, error: "boom"},
		{name: "old vLLM", script: reply(`{"object":"error","message":"boom"}`), want: results.StreamError, error: "boom"},
		{name: "FastAPI", script: reply(`{"detail":"boom"}`), want: results.StreamError, error: "boom"},
		{name: "error and then silence", script: then(send(chunkedHead, targetstest.Chunk(boom)), targetstest.Hang()), want: results.StreamError, error: "boom", client: quick},
		{name: "HTML", script: send(targetstest.Reply("200 OK", "text/html", "", "<html>hello")), want: results.Malformed, error: "<html>hello"},
		{name: "HTML as JSON", script: reply("<html>hello"), want: results.Malformed, error: "<html>hello"},
		{name: "a stream", script: send(targetstest.Answer("a")), want: results.Malformed, error: "text/event-stream"},
		{name: "a chat", script: reply(`{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}`), want: results.Malformed},
		{name: "compressed", script: send(targetstest.Reply("200 OK", kind, "Content-Encoding: gzip\r\n", "\x1f\x8b\x08")), want: results.Malformed, error: "gzip"},
		{name: "compressed in silence", script: reply("\x1f\x8b\x08"), want: results.Malformed},
		{name: "two answers", script: reply(l.good + l.good), want: results.Malformed},
		{name: "chunk length is none", script: then(send(chunkedHead, "zz\r\n"), targetstest.Hang()), want: results.Malformed, error: "chunk length"},
		{name: "429", script: send(targetstest.Reply("429 Too Many Requests", kind, "", boom)), want: results.RateLimited, error: "boom"},
		{name: "500", script: send(targetstest.Reply("500 Oops", kind, "", boom)), want: results.HTTPStatus, error: "boom"},
		{name: "500 with a good answer", script: send(targetstest.Reply("500 Oops", kind, "", l.good)), want: results.HTTPStatus},
	}
	if l.dialect.Name() == "openai-images" { // one that is too long is read by no dialect
		ways = append(ways, way{name: "endless", script: then(send(chunkedHead, "7fffffff\r\n", l.large(65<<20)), targetstest.Hang()), want: results.Malformed, error: "longer than"})
	}
	for i, body := range l.none {
		ways = append(ways, way{name: fmt.Sprintf("no result %d", i), script: reply(body), want: results.Empty, error: "no result"})
	}
	for i, body := range l.garbage {
		ways = append(ways, way{name: fmt.Sprintf("garbage %d", i), script: reply(body), want: results.Malformed})
	}
	return ways
}

// An answer in one piece has its one name in each way that it can go, and no bad one is complete.
func TestOutcomesOfWholeAnswers(t *testing.T) {
	for _, l := range letters() {
		t.Run(l.dialect.Name(), func(t *testing.T) {
			testWays(t, append(l.goodWays(), l.badWays()...), l.dialect.Name(), false)
		})
	}
}

// What a sample says of an answer in one piece: nothing of tokens that came, the server's count, and that it is none of a stream.
func TestWholeSample(t *testing.T) {
	for _, l := range letters() {
		t.Run(l.dialect.Name(), func(t *testing.T) {
			server := targetstest.New(t, targetstest.InTurn(reply(l.good), targetstest.Script{targetstest.FIN()}))
			at := targets.Endpoint{URL: server.URL(), Dialect: l.dialect.Name()}
			got := oneAt(t, at, attacks.Client{FirstToken: time.Nanosecond}) // it has no first token to wait for
			if got.Outcome != results.Complete || !got.Unstreamed || got.Chunks != nil || got.Role != 0 || got.Finish != "stop" ||
				got.Bytes != int64(len(l.good)) || !slices.IsSorted([]time.Duration{1, got.Sent, got.FirstByte, got.Done}) {
				t.Errorf("sample %+v; want complete, unstreamed, no chunks, %d bytes", got, len(l.good))
			}
			want := results.Usage{Prompt: 5, Source: results.UsageServer}
			if l.dialect.Name() != "openai-embeddings" {
				want.Output = 7
			}
			if got.Usage != want {
				t.Errorf("usage %+v; want %+v", got.Usage, want)
			}
			if got := oneAt(t, at, attacks.Client{}); got.Outcome != results.Reset || !got.Unstreamed {
				t.Errorf("outcome %s, unstreamed %t; want reset of an unstreamed one", got.Outcome, got.Unstreamed)
			}
			asked := server.Requests()[0]
			request, err := l.dialect.Encode(targets.Prompt{Model: "m"})
			contentType := request.ContentType
			if contentType == "" {
				contentType = kind
			}
			if err != nil || asked.Path != request.Path || asked.Header.Get("Accept") != kind || asked.Header.Get("Content-Type") != contentType {
				t.Errorf("the server was asked %s %v", asked.Path, asked.Header)
			}
		})
	}
}

// Another user's nonce is found wherever an answer has it: in its text, also escaped, in a field that we do not know,
// in an error, in an answer that is cut. Our own is welcome.
func TestLeaksInWholeAnswers(t *testing.T) {
	escaped := func(nonce string) string { return strings.Replace(nonce, "f", `\u0066`, 1) }
	for _, l := range letters() {
		answers := map[string]func(nonce string) targetstest.Script{
			"unknown field": func(nonce string) targetstest.Script {
				return reply(strings.Replace(l.good, "{", `{"id":"`+nonce+`",`, 1))
			},
			"error":         func(nonce string) targetstest.Script { return reply(`{"error":"` + nonce + `"}`) },
			"escaped error": func(nonce string) targetstest.Script { return reply(`{"error":"` + escaped(nonce) + `"}`) },
			"refusal":       func(nonce string) targetstest.Script { return send(targetstest.Reply("400 Bad", kind, "", nonce)) },
			"HTML": func(nonce string) targetstest.Script {
				return send(targetstest.Reply("200 OK", "text/html", "", nonce))
			},
			"cut": func(nonce string) targetstest.Script {
				return then(send(chunkedHead, targetstest.Chunk(`{"id":"`+nonce)), targetstest.FIN())
			},
		}
		answers["before megabytes"] = func(nonce string) targetstest.Script {
			return reply(strings.Replace(l.large(1<<20), "{", `{"id":"`+nonce[:11]+nonce+`",`, 1))
		}
		if l.text != nil {
			answers["text"] = func(nonce string) targetstest.Script { return reply(l.text("a " + nonce)) }
			answers["escaped text"] = func(nonce string) targetstest.Script { return reply(l.text("a " + escaped(nonce))) }
			answers["after a false start"] = func(nonce string) targetstest.Script { return reply(l.text(nonce[:12] + nonce)) }
		}
		for name, answer := range answers {
			t.Run(l.dialect.Name()+" "+name, func(t *testing.T) {
				t.Parallel()
				var nonce atomic.Value // of the first request, which is also in the second's answer
				server := targetstest.New(t, func(targetstest.Request) targetstest.Script {
					return answer(nonce.Load().(string)) //nolint:errcheck,forcetypeassert // it is stored before the first
				})
				cfg, sink := config(server.URL())
				cfg.Endpoint.Dialect, cfg.Profile = l.dialect.Name(), attacks.Profile{Concurrency: &attacks.Concurrency{Users: 1}}
				a := newAttack(t, cfg)
				nonce.Store(a.Nonce(0))
				a.Begin(results.Baseline)
				wait := run(t, a)
				sink.wait(t, 2)
				a.Stop()
				wait()
				got := sink.sorted()
				if got[0].Outcome == results.WrongUser || got[1].Outcome != results.WrongUser || !strings.Contains(got[1].Error, "request 0") {
					t.Errorf("outcomes %s: %s, and %s: %s; want the second wrong_user of request 0", got[0].Outcome, got[0].Error, got[1].Outcome, got[1].Error)
				}
			})
		}
	}
}

// The request's own nonce is no leak but an echo, and another's is found also behind megabytes.
func TestEchoesInWholeAnswers(t *testing.T) {
	for _, l := range letters()[:2] { // a transcription's prompt is not sent
		for _, pad := range []int{4, 1 << 20} {
			server := targetstest.New(t, func(r targetstest.Request) targetstest.Script {
				own := nonceIn.FindString(string(r.Body))
				return reply(strings.Replace(l.large(pad), "{", `{"id":"`+own+`",`, 1))
			})
			got := oneAt(t, targets.Endpoint{URL: server.URL(), Dialect: l.dialect.Name()}, attacks.Client{})
			if got.Outcome != results.Complete || !got.Echoed {
				t.Errorf("%s, %d bytes: %s %q, echoed: %t; want complete and echoed", l.dialect.Name(), pad, got.Outcome, got.Error, got.Echoed)
			}
		}
	}
}

// A client that hedges keeps the answer that is whole first, and fails over from one that is not.
func TestWholeAnswersHedgedAndFailedOver(t *testing.T) {
	l := letters()[0]
	late := targetstest.New(t, targetstest.InTurn(then(send(chunkedHead, inChunks(l.good[:9])), targetstest.Hang()), reply(l.good)))
	got := oneAt(t, targets.Endpoint{URL: late.URL(), Dialect: l.dialect.Name()}, attacks.Client{Hedge: 50 * time.Millisecond})
	if got.Outcome != results.Complete || len(got.Attempts) != 1 || got.Attempts[0].Outcome != results.Cancelled {
		t.Errorf("hedged: %s %q, attempts %+v; want complete, and a cancelled attempt", got.Outcome, got.Error, got.Attempts)
	}
	broken := targetstest.New(t, targetstest.Always(reply(l.good[:9])...))
	other := targetstest.New(t, targetstest.Always(reply(l.good)...))
	cfg, sink := config(broken.URL())
	cfg.Endpoint.Dialect = l.dialect.Name()
	cfg.Others = map[string]targets.Endpoint{"other": {URL: other.URL(), Dialect: l.dialect.Name()}}
	cfg.Clients = []attacks.Client{{Failover: &attacks.Failover{To: []string{"other"}}}}
	a := newAttack(t, cfg)
	a.Begin(results.Baseline)
	wait := run(t, a)
	first := sink.wait(t, 1)[0]
	a.Stop()
	wait()
	if first.Outcome != results.Complete || len(first.Attempts) != 1 || first.Attempts[0].Outcome != results.Truncated || first.Labels["endpoint"] != "other" {
		t.Errorf("failed over: %s %q, attempts %+v, labels %v; want complete at other", first.Outcome, first.Error, first.Attempts, first.Labels)
	}
}

// Over HTTP/2 an answer in one piece has the same names, and an upload of megabytes arrives whole.
func TestWholeAnswersOverHTTP2(t *testing.T) {
	for _, l := range letters() {
		half := l.good[:len(l.good)/2]
		head := func(s *targetstest.Stream2) { s.Head(200, "content-type", kind) }
		for name, tt := range map[string]struct {
			answer targetstest.Handler2
			want   results.Outcome
		}{
			"good":  {func(s *targetstest.Stream2) { head(s); s.Data(l.good[:9]); s.Last(l.good[9:]) }, results.Complete},
			"half":  {func(s *targetstest.Stream2) { head(s); s.Last(half) }, results.Truncated},
			"reset": {func(s *targetstest.Stream2) { head(s); s.Data(half); s.Reset(http2.ErrCodeInternal) }, results.Reset},
			"short": {func(s *targetstest.Stream2) {
				s.Head(200, "content-type", kind, "content-length", length(l.good))
				s.Last(half)
			}, results.Malformed},
			"error": {func(s *targetstest.Stream2) { head(s); s.Last(boom) }, results.StreamError},
		} {
			t.Run(l.dialect.Name()+" "+name, func(t *testing.T) {
				t.Parallel()
				server := targetstest.NewHTTP2(t, targetstest.HTTP2{}, tt.answer)
				cfg, sink := config(server.URL())
				cfg.Clients, cfg.Profile.Constant.Rate = []attacks.Client{{HTTP2: true}}, 1e-6
				cfg.Workload = attacks.Workload{{Dialect: l.dialect.Name(), PromptTokens: attacks.Length{Fixed: 600}, OutputTokens: attacks.Length{Fixed: 1}}}
				got := attackUntil(t, cfg, sink, 1)[0]
				if got.Outcome != tt.want || !got.Unstreamed {
					t.Errorf("outcome %s, error %q; want %s", got.Outcome, got.Error, tt.want)
				}
				if asked := server.Requests()[0]; l.text != nil && l.none == nil && len(asked.Body) < 600*3200 {
					t.Errorf("the server has %d bytes of a minute of sound", len(asked.Body))
				}
			})
		}
	}
}

// A service has all its features under load at once, each asked in its own way; what has no tokens is unstreamed.
func TestFeaturesOfAService(t *testing.T) {
	var by [3]atomic.Int64 // uploads, requests with tools, others
	server := targetstest.New(t, func(r targetstest.Request) targetstest.Script {
		switch r.Path {
		case "/v1/embeddings":
			return reply(letters()[0].good)
		case "/v1/images/generations":
			return reply(letters()[1].good)
		case "/v1/audio/transcriptions":
			post := &http.Request{Method: r.Method, Header: r.Header, Body: io.NopCloser(bytes.NewReader(r.Body))}
			if err := post.ParseMultipartForm(8 << 20); err != nil {
				t.Errorf("ParseMultipartForm() = %v", err)
			} else if f := post.MultipartForm; f.Value["model"][0] != "tiny" || f.Value["response_format"][0] != "json" || f.File["file"][0].Size < 900_000 {
				t.Errorf("form %v, a file of %d bytes; want model tiny, json, 29 s of sound", f.Value, f.File["file"][0].Size)
			}
			by[0].Add(1)
			return reply(letters()[2].good)
		}
		if bytes.Contains(r.Body, []byte(`"tools":[{"function":{`)) {
			by[1].Add(1)
		} else {
			by[2].Add(1)
		}
		return echo(r)
	})
	cfg, sink := config(server.URL())
	cfg.Endpoint.Model, cfg.Profile.Constant.Rate = "tiny", 30 // a fifth of them are a megabyte each
	cfg.Workload = attacks.Workload{{Preset: attacks.ChatShort}, {Preset: attacks.Embeddings}, {Preset: attacks.Image}, {Preset: attacks.Audio}, {Preset: attacks.Tools}}
	seen := map[string]int{}
	for _, s := range attackUntil(t, cfg, sink, 60) {
		feature := s.Labels["feature"]
		whole := feature == attacks.Embeddings || feature == attacks.Image || feature == attacks.Audio
		if s.Outcome != results.Complete || s.Unstreamed != whole || (s.Chunks == nil) != whole {
			t.Errorf("%s: %s %q, unstreamed: %t, %d chunks", feature, s.Outcome, s.Error, s.Unstreamed, len(s.Chunks))
		}
		seen[feature]++
	}
	if len(seen) != 5 || by[0].Load() == 0 || by[1].Load() == 0 || by[2].Load() == 0 {
		t.Errorf("samples %v, the server saw %d uploads, %d with tools and %d others", seen, by[0].Load(), by[1].Load(), by[2].Load())
	}
}

// What a dialect cannot ask is known before anything is sent.
func TestAFeatureThatADialectHasNot(t *testing.T) {
	for want, class := range map[string]attacks.Class{
		"openai-completions has no tools": {Preset: attacks.Tools, Dialect: "openai-completions"},
		"the field file is the sound":     {Preset: attacks.Audio, Body: map[string]any{"file": "x"}},
	} {
		cfg, _ := config("http://127.0.0.1:1")
		cfg.Workload = attacks.Workload{class}
		if _, err := attacks.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New with %+v = %v; want %s", class, err, want)
		}
	}
}

// Where nobody answers in words, nobody is asked a question, for an id, or for more: whether the class says how it is
// asked or the endpoint does.
func TestClassesWithoutWords(t *testing.T) {
	asked := attacks.Class{
		Golden: []attacks.Golden{{Ask: "?", Contains: "!"}}, Canary: true, PromptTokens: attacks.Length{Fixed: 10}, OutputTokens: attacks.Length{Fixed: 1},
	}
	talk := attacks.Class{Turns: &attacks.Turns{Count: attacks.Length{Fixed: 3}}}
	for _, name := range []string{"openai-embeddings", "openai-images", "openai-transcriptions"} {
		for wants, class := range map[string]attacks.Class{"golden canary": asked, "turns": talk} {
			cfg, _ := config("http://127.0.0.1:1")
			cfg.Endpoint.Dialect, cfg.Workload = name, attacks.Workload{class}
			_, byEndpoint := attacks.New(cfg)
			class.Dialect = name
			for _, err := range []error{byEndpoint, errors.Join(class.Validate()...)} {
				for want := range strings.FieldsSeq(wants) {
					if want += " needs a model that answers in words, and " + name; err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%+v: %v; want %s", class, err, want)
					}
				}
			}
			class.Dialect = "openai-chat"
			if errs := class.Validate(); errs != nil {
				t.Errorf("%+v: %v; want nothing wrong", class, errs)
			}
		}
	}
}

// The law of streams holds here too: an answer gives the same sample however it was cut into reads.
func FuzzSplitsOfWholeAnswers(f *testing.F) {
	all := letters()
	var engines []*attacks.Attack
	for i, l := range all {
		for _, body := range slices.Concat([]string{l.good, l.good[:20], boom, " "}, l.lesser, l.none, l.garbage) {
			f.Add(uint8(i), true, body, []byte{0})
			f.Add(uint8(i), false, body, []byte{2, 40, 7})
		}
		cfg, _ := config("http://pipe.test")
		cfg.Endpoint.Dialect = l.dialect.Name()
		a, err := attacks.New(cfg)
		if err != nil {
			f.Fatal(err)
		}
		engines = append(engines, a)
	}
	f.Fuzz(func(t *testing.T, which uint8, chunked bool, body string, by []byte) {
		a := engines[int(which)%len(engines)]
		response := targetstest.Head("200 OK", kind) + body
		if chunked {
			response = chunkedHead + inChunks(body) + targetstest.StreamEnd
		}
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
		want := read(nil)
		if diff := cmp.Diff(want, read(by)); diff != "" {
			t.Fatalf("%q in reads of %v (-one read +got):\n%s", response, by, diff)
		}
		if want.Outcome == results.Complete && !bytes.HasPrefix(bytes.TrimSpace([]byte(strings.TrimPrefix(body, "\ufeff"))), []byte("{")) {
			t.Fatalf("%q is complete", body)
		}
	})
}
