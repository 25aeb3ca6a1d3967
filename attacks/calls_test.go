package attacks_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A caller is how a dialect's servers call tools, and how they are answered.
type caller struct {
	speech   speech
	key      string   // of the request's messages
	calls    []string // two calls: of f with {"a":1}, and of g without arguments
	cut      []string // one of f that is cut short
	answered []string // the messages that tell of the two calls after a text, and of their results
}

func callers() []caller {
	chat := func(calls string) string {
		return sse(`{"choices":[{"index":0,"delta":{"tool_calls":[` + calls + `]}}]}`)
	}
	item := func(at, rest string) string {
		return named("response.output_item.added", `,"sequence_number":SEQ,"output_index":`+at+`,"item":{"type":`+rest+`}`)
	}
	arguments := func(at, text string) string {
		return named("response.function_call_arguments.delta", `,"sequence_number":SEQ,"output_index":`+at+`,"delta":"`+text+`"`)
	}
	block := func(at, rest string) string {
		return named("content_block_start", `,"index":`+at+`,"content_block":{`+rest+`,"input":{}}`)
	}
	input := func(at, text string) string {
		return named("content_block_delta", `,"index":`+at+`,"delta":{"type":"input_json_delta","partial_json":"`+text+`"}`)
	}
	line := func(calls string) string {
		return `{"message":{"role":"assistant","content":"","tool_calls":[` + calls + `]},"done":false}` + "\n"
	}
	return []caller{
		{
			speech: chatSpeech(), key: "messages",
			calls: []string{
				chat(`{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}`),
				chat(`{"index":0,"function":{"arguments":"{\"a\""}},{"index":1,"id":"c2","function":{"name":"g"}}`),
				chat(`{"index":0,"id":"c1","function":{"name":"f","arguments":":"}}`), chat(`{"index":0,"id":"r7","function":{"arguments":"1}"}}`),
			},
			cut: []string{chat(`{"id":"c3","function":{"name":"f","arguments":"{\"a"}}`)},
			answered: []string{
				`{"role":"assistant","content":"I look","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},` +
					`{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]}`,
				`{"role":"tool","tool_call_id":"c1","content":"ASKED"}`, `{"role":"tool","tool_call_id":"c2","content":"Done."}`,
			},
		},
		{ // servers that number no calls
			speech: chatSpeech(), key: "messages",
			calls: []string{
				chat(`{"index":null,"id":"c1","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"c2","function":{"name":"g","arguments":"null"}}`),
			},
			cut: []string{chat(`{"index":0,"id":7,"function":{"arguments":"{\"a"}}`)},
			answered: []string{
				`{"role":"assistant","content":"I look","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},` +
					`{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]}`,
				`{"role":"tool","tool_call_id":"c1","content":"ASKED"}`, `{"role":"tool","tool_call_id":"c2","content":"Done."}`,
			},
		},
		{
			speech: responsesSpeech(), key: "input",
			calls: []string{
				item("1", `"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":""`), arguments("1", `{\"a\":`), arguments("1", "1}"),
				item("2", `"web_search_call","id":"ws_1"`), item("3", `"mcp_call","id":"m_1","name":"theirs"`),
				item("4", `"function_call","id":"fc_2","call_id":"c2","name":"g","arguments":""`),
			},
			cut: []string{item("1", `"function_call","id":"fc_3","call_id":"c3","name":"f"`), arguments("1", `{\"a`)},
			answered: []string{
				`{"role":"assistant","content":"I look"}`,
				`{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":1}"}`, `{"type":"function_call","call_id":"c2","name":"g","arguments":"{}"}`,
				`{"type":"function_call_output","call_id":"c1","output":"ASKED"}`, `{"type":"function_call_output","call_id":"c2","output":"Done."}`,
			},
		},
		{
			speech: messagesSpeech(), key: "messages",
			calls: []string{
				block("1", `"type":"tool_use","id":"c1","name":"f"`), input("1", ""), input("1", `{\"a\":`), input("1", `1}`),
				block("2", `"type":"server_tool_use","id":"s1","name":"web_search"`), input("2", `{}`),
				block("3", `"type":"tool_use","id":"c2","name":"g"`),
			},
			cut: []string{block("1", `"type":"tool_use","id":"c3","name":"f"`), input("1", `{\"a`)},
			answered: []string{
				`{"role":"assistant","content":[{"type":"text","text":"I look"},{"type":"tool_use","id":"c1","name":"f","input":{"a":1}},` +
					`{"type":"tool_use","id":"c2","name":"g","input":{}}]}`,
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"ASKED"},{"type":"tool_result","tool_use_id":"c2","content":"Done."}]}`,
			},
		},
		{
			speech: ollamaSpeech(), key: "messages",
			calls: []string{line(`{"function":{"name":"f","arguments":{"a":1}}}`), line(`{"id":"x","function":{"index":0,"name":"g"}}`)},
			cut:   []string{line(`{"function":{"name":"f","arguments":"{\"a"}}`)}, // no object
			answered: []string{
				`{"role":"assistant","content":"I look","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}},{"function":{"name":"g","arguments":{}}}]}`,
				`{"role":"tool","tool_name":"f","content":"ASKED"}`, `{"role":"tool","tool_name":"g","content":"Done."}`,
			},
		},
	}
}

// A conversation whose answers call tools goes on with their results, in the way of its dialect: after a turn that
// failed once more, and after calls that were cut short with a user's words.
func TestConversationsAnswerCalls(t *testing.T) {
	for _, tt := range callers() {
		s := &tt.speech
		said := carried(t, &tt,
			s.stream(s.say(3, append([]string{s.text("I look")}, tt.calls...)...)...),
			targetstest.Script{targetstest.Send(targetstest.Reply("500 Oh", "application/json", "", `{"error":{"message":"oh"}}`))},
			s.stream(s.say(1, tt.cut...)...),
			s.stream(s.say(1, s.text("bye"))...),
		)
		first := []any{said[0][len(said[0])-1]}
		var answered []any
		if err := json.Unmarshal([]byte("["+strings.Join(tt.answered, ",")+"]"), &answered); err != nil {
			t.Fatal(err)
		}
		after := append(first, answered...)
		for i, want := range [][]any{first, after, after} {
			if got := said[i][len(said[0])-1:]; !gocmp.Equal(got, want) {
				t.Errorf("%s: turn %d carries other messages (-want +got):\n%s", s.dialect.Name(), i+1, gocmp.Diff(want, got))
			}
		}
		last := said[3][len(said[0])-1+len(after):]
		want := []any{map[string]any{"role": "assistant", "content": cutText(tt.cut)}, map[string]any{"role": "user", "content": "ASKED"}}
		if !gocmp.Equal(last, want) {
			t.Errorf("%s: the turn after calls that were cut short carries others (-want +got):\n%s", s.dialect.Name(), gocmp.Diff(want, last))
		}
	}
}

// cutText is how a call that was cut short is carried on: what came of it, as text.
func cutText(events []string) string {
	switch all := strings.Join(events, ""); {
	case strings.Contains(all, `"arguments":"{\"a"}}]},"done"`):
		return `f"{\"a"`
	case !strings.Contains(all, `"f"`): // a call without a name
		return `{"a`
	default:
		return `f{"a`
	}
}

// carried runs a conversation whose turns are answered so, and returns the messages of each turn.
func carried(t *testing.T, tt *caller, answers ...targetstest.Script) (said [][]any) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, func(r targetstest.Request) targetstest.Script {
			var body map[string]json.RawMessage
			var messages []any
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Errorf("request %s: %v", r.Body, err)
			} else if err := json.Unmarshal([]byte(clean(body[tt.key])), &messages); err != nil {
				t.Errorf("messages of %s: %v", r.Body, err)
			}
			said = append(said, messages)
			return answers[len(said)-1]
		})
		cfg, sink := config(server.URL())
		cfg.Endpoint.Dialect = tt.speech.dialect.Name()
		cfg.Workload = turns(len(answers), attacks.Think{})
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		a.BeginFor(results.Baseline, 10*time.Millisecond)
		time.Sleep(time.Minute)
		a.Stop()
		wait()
		for i, s := range sink.sorted() {
			if want := i != 1; (s.Outcome == results.Complete) != want {
				t.Errorf("%s: turn %d is %s: %s", tt.speech.dialect.Name(), s.Turn, s.Outcome, s.Error)
			}
		}
	})
	if len(said) != len(answers) {
		t.Fatalf("%s: %d turns, want %d", tt.speech.dialect.Name(), len(said), len(answers))
	}
	return said
}

// clean is messages with ASKED where they have a prompt of ours.
func clean(messages []byte) string {
	return regexp.MustCompile(`"Write a story[^"]*"`).ReplaceAllString(string(messages), `"ASKED"`)
}

// Of an answer that calls without end no more is kept than answers may have.
func TestCallsAreBounded(t *testing.T) {
	tt := callers()[0]
	s := &tt.speech
	call := func(index int, arguments string) string {
		return sse(fmt.Sprintf(`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":%d,"id":"c%[1]d","function":{"name":"f","arguments":%q}}]}}]}`, index, arguments))
	}
	var many, long []string
	for i := range 200 {
		many = append(many, call(i, "{}"))
	}
	for range 40 {
		long = append(long, call(0, strings.Repeat(" ", 1<<16)))
	}
	for _, of := range []struct {
		events          []string
		messages, bytes int // that the next turn carries, at the most
	}{{many, 2 + 1 + 128, 1 << 15}, {long, 2 + 1 + 1, 1<<20 + 1<<10}} {
		said := carried(t, &tt, s.stream(s.say(len(of.events), of.events...)...), targetstest.Script{targetstest.Send("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")})
		text, err := json.Marshal(said[1])
		if n := len(said[1]); n != of.messages || len(text) > of.bytes || err != nil {
			t.Errorf("%d messages of %d bytes after an answer of %d calls, want %d of at most %d: %v", n, len(text), len(of.events), of.messages, of.bytes, err)
		}
	}
}
