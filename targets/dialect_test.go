package targets_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// delta is a copy of a targets.Delta whose texts can be compared.
type delta struct {
	Role, Done            bool
	Text, Reasoning, Tool string
	Finish, Err           string
	Usage                 *results.Usage
}

func copyDelta(d *targets.Delta) delta {
	return delta{
		Role: d.Role, Done: d.Done, Text: string(d.Text), Reasoning: string(d.Reasoning), Tool: string(d.Tool),
		Finish: d.Finish, Err: d.Err, Usage: d.Usage,
	}
}

// decode feeds one stream's text to dec and returns every delta; an error stands as its own text.
func decode(tb testing.TB, framing targets.Framing, dec targets.Decoder, stream string) []delta {
	tb.Helper()
	s := targets.Splitter{Framing: framing}
	var out []delta
	yield := func(e *targets.Event) error {
		out = append(out, decodeEvent(dec, e))
		return nil
	}
	if err := s.Split([]byte(stream), yield); err != nil {
		tb.Fatalf("Split(%q) = %v", stream, err)
	}
	if err := s.End(yield); err != nil {
		tb.Fatalf("End() = %v", err)
	}
	return out
}

func decodeEvent(dec targets.Decoder, e *targets.Event) delta {
	var d targets.Delta
	if err := dec.Decode(e, &d); err != nil {
		return delta{Err: "MALFORMED " + err.Error()}
	}
	return copyDelta(&d)
}

// Every kind of chunk and every shape of an error that servers send.
func TestOpenAIDecode(t *testing.T) {
	for _, tt := range []struct {
		name, stream string
		want         delta
	}{
		{"content", `data: {"choices":[{"index":0,"delta":{"content":" hi"},"finish_reason":null}]}`, delta{Role: true, Text: " hi"}},
		{"escapes", `data: {"choices":[{"delta":{"content":"\u0066w-\n\"\\\ud834\udd1e"}}]}`, delta{Role: true, Text: "fw-\n\"\\𝄞"}},
		{"role only", `data: {"choices":[{"delta":{"role":"assistant","content":""}}]}`, delta{Role: true}},
		{"role with null", `data: {"choices":[{"delta":{"role":"assistant","content":null}}]}`, delta{Role: true}},
		{"role and content", `data: {"choices":[{"delta":{"role":"assistant","content":"x"}}]}`, delta{Role: true, Text: "x"}},
		{"no delta", `data: {"choices":[{"index":0}]}`, delta{Role: true}},
		{"null delta", `data: {"choices":[{"index":0,"delta":null}]}`, delta{Role: true}},
		{"parts", `data: {"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]}`, delta{Role: true, Text: "ab"}},
		{"refusal", `data: {"choices":[{"delta":{"refusal":"I can't"}}]}`, delta{Role: true, Text: "I can't"}},
		{"reasoning", `data: {"choices":[{"delta":{"reasoning":"hm"}}]}`, delta{Role: true, Reasoning: "hm"}},
		{"reasoning_content", `data: {"choices":[{"delta":{"reasoning_content":"hm","content":null}}]}`, delta{Role: true, Reasoning: "hm"}},
		{"both names", `data: {"choices":[{"delta":{"reasoning":"hm","reasoning_content":"hm"}}]}`, delta{Role: true, Reasoning: "hm"}},
		{"tool name", `data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"add","arguments":""}}]}}]}`, delta{Role: true, Tool: "add"}},
		{"tool arguments", `data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}`, delta{Role: true, Tool: `{"a":`}},
		{"old function call", `data: {"choices":[{"delta":{"function_call":{"arguments":"1"}}}]}`, delta{Role: true, Tool: "1"}},
		{"finish", `data: {"choices":[{"delta":{},"finish_reason":"stop"}]}`, delta{Role: true, Finish: "stop"}},
		{"finish with text", `data: {"choices":[{"delta":{"content":"."},"finish_reason":"length"}]}`, delta{Role: true, Text: ".", Finish: "length"}},
		{"empty finish is none", `data: {"choices":[{"delta":{"content":"."},"finish_reason":""}]}`, delta{Role: true, Text: "."}},
		{
			"usage in the finish chunk", `data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":5}}`,
			delta{Role: true, Finish: "stop", Usage: &results.Usage{Prompt: 3, Output: 5, Source: results.UsageServer}},
		},
		{
			"usage in its own chunk", `data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":4}}}`,
			delta{Usage: &results.Usage{Prompt: 3, Cached: 2, Output: 5, Reasoning: 4, Source: results.UsageServer}},
		},
		{
			"usage in a content chunk", `data: {"choices":[{"delta":{"content":"x"}}],"usage":{"completion_tokens":1,"prompt_tokens_details":null}}`,
			delta{Role: true, Text: "x", Usage: &results.Usage{Output: 1, Source: results.UsageServer}},
		},
		{
			"continuous usage of a role chunk", `data: {"choices":[{"delta":{"role":"assistant","content":""}}],"usage":{"prompt_tokens":14,"completion_tokens":0}}`,
			delta{Role: true, Usage: &results.Usage{Prompt: 14, Source: results.UsageServer}},
		},
		{"usage of zeros is none", `data: {"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":0,"completion_tokens":0}}`, delta{Role: true, Text: "x"}},
		{"null usage", `data: {"choices":[{"delta":{"content":"x"}}],"usage":null,"error":null}`, delta{Role: true, Text: "x"}},
		{"done", `data: [DONE]`, delta{Done: true}},
		{"done without space", `data:[DONE]`, delta{Done: true}},
		{"done with more", "data:  [DONE] ", delta{Done: true}},
		{"two choices", `data: {"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"},"finish_reason":"stop"}]}`, delta{Role: true, Text: "ab", Finish: "stop"}},
		{"metadata", `data: {"id":"x","object":"chat.completion.chunk"}`, delta{}},
		{"ping event", "event: ping\ndata: {}", delta{}},
		{"other event that is no JSON", "event: ping\ndata: 12:00", delta{}},
		{"event without data", "event: message", delta{}},
		{"unknown field", "trace-id: 7\ndata: [DONE]", delta{Done: true}},

		{"error object", `data: {"error":{"code":500,"message":"boom","type":"server_error"}}`, delta{Err: "boom (server_error, 500)"}},
		{"error text", `data: {"error":"boom"}`, delta{Err: "boom"}},
		{"error number", `data: {"error":500}`, delta{Err: "500"}},
		{"error true", `data: {"error":true}`, delta{Err: "true"}},
		{"error object without a message", `data: {"error":{"reason":"x"}}`, delta{Err: `{"reason":"x"}`}},
		{"error false is none", `data: {"error":false,"choices":[]}`, delta{}},
		{
			"error beside choices", `data: {"error":{"message":"boom"},"choices":[{"delta":{"content":"x"},"finish_reason":"error"}]}`,
			delta{Role: true, Text: "x", Finish: "error", Err: "boom"},
		},
		{"error in a choice", `data: {"choices":[{"delta":{},"error":{"message":"boom","code":502}}]}`, delta{Role: true, Err: "boom (502)"}},
		{"finish error", `data: {"choices":[{"delta":{},"finish_reason":"error"}]}`, delta{Role: true, Finish: "error", Err: `finish_reason "error"`}},
		{"finish abort", `data: {"choices":[{"delta":{},"finish_reason":"abort"}]}`, delta{Role: true, Finish: "abort", Err: `finish_reason "abort"`}},
		{"old vLLM", `data: {"object":"error","message":"boom","code":400}`, delta{Err: "boom"}},
		{"FastAPI", `data: {"detail":"boom"}`, delta{Err: "boom"}},
		{"TGI", `data: {"error":"Request failed during generation","error_type":"generation"}`, delta{Err: "Request failed during generation"}},
		{"event error", "event: error\ndata: {\"error\":{\"message\":\"boom\"}}", delta{Err: "boom"}},
		{"event error flat", "event: error\ndata: {\"message\":\"boom\",\"code\":\"x\"}", delta{Err: "boom (x)"}},
		{"event error text", "event: error\ndata: boom", delta{Err: "boom"}},
		{"event error alone", "event: error", delta{Err: "error without a text"}},
		{"error field", `error: {"code":500,"message":"boom","type":"server_error"}`, delta{Err: "boom (server_error, 500)"}},
		{"error field text", `error: boom`, delta{Err: "boom"}},
		{"bare JSON error", `{"error":"an error was encountered"}`, delta{Err: "an error was encountered"}},

		{"text", `data: hello`, delta{Err: `MALFORMED data is no JSON object: "hello"`}},
		{"number", `data: 42`, delta{Err: `MALFORMED data is no JSON object: "42"`}},
		{"empty", `data:`, delta{Err: `MALFORMED data is no JSON object: ""`}},
		{"bare JSON", `{"model":"tiny","message":{"content":"x"}}`, delta{Err: `MALFORMED line is no field of an event stream: "{\"model\":\"tiny\",\"message\":{\"content\":\"x\"}}"`}},
		{"HTML", `<html><body>`, delta{Err: `MALFORMED line is no field of an event stream: "<html><body>"`}},
		{"status line", `HTTP/1.1 500 Oops`, delta{Err: `MALFORMED line is no field of an event stream: "HTTP/1.1 500 Oops"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := decode(t, targets.ServerSentEvents, targets.OpenAIChat{}.Decoder(), tt.stream+"\n\n")
			if diff := cmp.Diff([]delta{tt.want}, got); diff != "" {
				t.Errorf("Decode(%s) (-want +got):\n%s", tt.stream, diff)
			}
		})
	}
	for name, data := range map[string]string{
		"cut JSON": `{"choices":[{"del`, "number as content": `{"choices":[{"delta":{"content":5}}]}`,
		"two objects": `{"choices":[]}{"choices":[]}`, "text as usage": `{"usage":"x"}`,
	} {
		t.Run(name, func(t *testing.T) {
			got := decode(t, targets.ServerSentEvents, targets.OpenAIChat{}.Decoder(), "data: "+data+"\n\n")
			if len(got) != 1 || !strings.HasPrefix(got[0].Err, "MALFORMED data is no chunk") {
				t.Errorf("Decode(%s) = %+v, want an error", data, got)
			}
		})
	}
}

// People write base URLs in every way.
func TestJoinURL(t *testing.T) {
	const path = "/v1/chat/completions"
	for base, want := range map[string]string{
		"http://h:1":                            "http://h:1/v1/chat/completions",
		"http://h:1/":                           "http://h:1/v1/chat/completions",
		"http://h:1/v1":                         "http://h:1/v1/chat/completions",
		"https://h/v1/":                         "https://h/v1/chat/completions",
		"https://h/api/v1":                      "https://h/api/v1/chat/completions",
		"https://h/api":                         "https://h/api/v1/chat/completions",
		"https://h/v1/chat/completions":         "https://h/v1/chat/completions",
		"https://h/openai/v1/chat/completions/": "https://h/openai/v1/chat/completions",
		"http://[::1]:80":                       "http://[::1]:80/v1/chat/completions",
		"http://h":                              "http://h/v1/chat/completions",
		"http://h/v1":                           "http://h/v1/chat/completions",
		"http://h/v1/":                          "http://h/v1/chat/completions",
		"http://h/v2":                           "http://h/v2/chat/completions",
		"http://h/v1beta":                       "http://h/v1beta/chat/completions",
		"http://h/vault":                        "http://h/vault/v1/chat/completions",
		"http://h/v1?api-version=1":             "http://h/v1/chat/completions?api-version=1",
		"http://h/a%2Fb/v1/":                    "http://h/a%2Fb/v1/chat/completions",
		"https://api.perplexity.ai/chat/completions":                                              "https://api.perplexity.ai/chat/completions",
		"https://g.googleapis.com/v1beta/openai":                                                  "https://g.googleapis.com/v1beta/openai/chat/completions",
		"https://g.googleapis.com/v1beta/openai/":                                                 "https://g.googleapis.com/v1beta/openai/chat/completions",
		"https://r.openai.azure.com/openai/deployments/d?api-version=2024-10-21":                  "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
		"https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21": "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
	} {
		got, err := targets.JoinURL(base, path)
		if err != nil || got.String() != want {
			t.Errorf("JoinURL(%q, %q) = %v, %v; want %s", base, path, got, err, want)
		}
	}
	for _, base := range []string{"", "h:1", "localhost", "ftp://h", "http://", "http://h#x", "http://h/%zz"} {
		if got, err := targets.JoinURL(base, path); err == nil {
			t.Errorf("JoinURL(%q, %q) = %v; want an error", base, path, got)
		}
	}
	for _, base := range []string{
		"http://u:sesame@h#x", "http://sesame@h#x", "http://h?key=sesame#x", "http://h#sesame", "user:sesame@h", "http:sesame@h",
		"ftp://u:sesame@h", "http://u:sesame@", "http://u:sesame@h:port", "http://u:sesame@h/\x7f", "?key=sesame", "http://u:%sesame@h", "http://u:sesame/x@h",
	} {
		if got, err := targets.JoinURL(base, path); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("JoinURL(%q, %q) = %v, %v; want an error without what is secret", base, path, got, err)
		}
	}
}

// An unknown name is told the known ones.
func TestDialectNamed(t *testing.T) {
	for _, name := range []string{"", "openai-chat"} {
		if d, err := targets.DialectNamed(name); err != nil || d.Name() != "openai-chat" {
			t.Errorf("DialectNamed(%q) = %v, %v; want openai-chat", name, d, err)
		}
	}
	if _, err := targets.DialectNamed("smoke"); err == nil || !strings.Contains(err.Error(), "openai-chat") {
		t.Errorf(`DialectNamed("smoke") = %v; want an error that lists the names`, err)
	}
}

// A refusal is told in the server's own words, up to a bound.
func TestErrorText(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":{"message":"server busy","type":"api_error","param":null,"code":null}}`: "server busy (api_error)",
		`{"error":"model not found"}`:             "model not found",
		`{"object":"error","message":"too long"}`: "too long",
		`{"detail":[{"msg":"bad"}]}`:              `[{"msg":"bad"}]`,
		`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}`: "Overloaded (overloaded_error)",
		`{"type":"error","message":"boom","code":"server_error"}`:                                          "boom",
		`{"message":"no such route"}`:       "no such route",
		"404 page not found\n":              "404 page not found",
		"":                                  "",
		"<html>" + strings.Repeat("x", 400): "<html>" + strings.Repeat("x", 294) + "…",
		"bad \xff":                          "bad \uFFFD",
	} {
		if got := targets.ErrorText([]byte(body)); got != want {
			t.Errorf("ErrorText(%q) = %q; want %q", body, got, want)
		}
	}
}

// A 2xx with a body that is no stream may be an error all the same, and an answer none.
func TestInBandError(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"model is loading"}`:                                   "model is loading",
		`{"error":{"message":"boom","type":"server_error"}}`:             "boom (server_error)",
		`{"type":"error","error":{"type":"api_error","message":"boom"}}`: "boom (api_error)",
		`{"type":"error","code":"server_error","message":"boom"}`:        "boom",
		`{"type":"error"}`:                    "an error without a text",
		`{"object":"error","message":"boom"}`: "boom",
		`{"detail":"boom"}`:                   "boom",
		`{"object":"response","status":"completed","error":null,"usage":{}}`:      "",
		`{"type":"message","content":[{"type":"text","text":"hi"}],"usage":{}}`:   "",
		`{"choices":[{"message":{"content":"hi"}}],"detail":"x"}`:                 "",
		`{"model":"m","message":{"role":"assistant","content":"hi"},"done":true}`: "",
		`[]`: "", `hello`: "", ``: "",
	} {
		if got := targets.InBandError([]byte(body)); got != want {
			t.Errorf("InBandError(%s) = %q; want %q", body, got, want)
		}
	}
}
