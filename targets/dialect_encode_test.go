package targets_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/targets"
)

// The requests in bytes: servers differ in what else they accept.
func TestEncode(t *testing.T) {
	one := []targets.Message{{Role: "user", Content: "a \"b\"\n"}}
	talk := []targets.Message{
		{Role: "system", Content: "be brief"}, {Role: "user", Content: "a"}, {Role: "assistant", Content: "b"}, {Role: "user", Content: "c"},
	}
	for _, tt := range []struct {
		dialect    targets.Dialect
		messages   []targets.Message
		path, body string
	}{
		{
			targets.OpenAIChat{},
			one, "/v1/chat/completions",
			`{"max_tokens":7,"messages":[{"role":"user","content":"a \"b\"\n"}],"model":"m","stream":true,"stream_options":{"include_usage":true}}`,
		},
		{
			targets.OpenAICompletions{},
			one, "/v1/completions",
			`{"max_tokens":7,"model":"m","prompt":"a \"b\"\n","stream":true,"stream_options":{"include_usage":true}}`,
		},
		{
			targets.OpenAICompletions{},
			talk, "/v1/completions",
			`{"max_tokens":7,"model":"m","prompt":"be brief\n\na\n\nb\n\nc","stream":true,"stream_options":{"include_usage":true}}`,
		},
		{
			targets.OpenAIResponses{},
			talk[:2], "/v1/responses",
			`{"input":[{"role":"system","content":"be brief"},{"role":"user","content":"a"}],"max_output_tokens":7,"model":"m","store":false,"stream":true}`,
		},
		{
			targets.AnthropicMessages{},
			one, "/v1/messages",
			`{"max_tokens":7,"messages":[{"role":"user","content":"a \"b\"\n"}],"model":"m","stream":true}`,
		},
		{
			targets.AnthropicMessages{},
			talk, "/v1/messages",
			`{"max_tokens":7,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}],"model":"m","stream":true,"system":"be brief"}`,
		},
		{
			targets.OllamaChat{},
			one, "/api/chat",
			`{"messages":[{"role":"user","content":"a \"b\"\n"}],"model":"m","options":{"num_predict":7},"stream":true}`,
		},
	} {
		r, err := tt.dialect.Encode(targets.Prompt{Model: "m", MaxTokens: 7, Messages: tt.messages})
		if err != nil || r.Path != tt.path || string(r.Body) != tt.body {
			t.Errorf("%s: Encode(%v) = %q, %s, %v\nwant %q, %s", tt.dialect.Name(), tt.messages, r.Path, r.Body, err, tt.path, tt.body)
		}
	}
}

// A key goes where the dialect has it, and none leaves no empty header.
func TestHeaders(t *testing.T) {
	version := map[string]string{"Anthropic-Version": "2023-06-01"}
	for _, d := range targets.Dialects() {
		without, with := map[string]string(nil), map[string]string{"Authorization": "Bearer k"}
		if d.Name() == "anthropic-messages" {
			without, with = version, map[string]string{"Anthropic-Version": "2023-06-01", "X-Api-Key": "k"}
		}
		if diff := cmp.Diff(without, d.Headers("")); diff != "" {
			t.Errorf(`%s: Headers("") (-want +got):%s`, d.Name(), diff)
		}
		if diff := cmp.Diff(with, d.Headers("k")); diff != "" {
			t.Errorf(`%s: Headers("k") (-want +got):%s`, d.Name(), diff)
		}
	}
}

// Every dialect finds its way from whatever base people write.
func TestJoinURLOfEachDialect(t *testing.T) {
	for _, tt := range []struct{ path, base, want string }{
		{"/api/chat", "http://h:11434", "http://h:11434/api/chat"},
		{"/api/chat", "http://h:11434/", "http://h:11434/api/chat"},
		{"/api/chat", "http://h:11434/api", "http://h:11434/api/chat"},
		{"/api/chat", "http://h:11434/api/", "http://h:11434/api/chat"},
		{"/api/chat", "http://h:11434/api/chat", "http://h:11434/api/chat"},
		{"/api/chat", "https://gate/ollama", "https://gate/ollama/api/chat"},
		{"/api/chat", "https://gate/ollama/api", "https://gate/ollama/api/chat"},
		{"/api/chat", "https://gate/v1/ollama", "https://gate/v1/ollama/api/chat"},
		{"/api/chat", "https://gate/rapi", "https://gate/rapi/api/chat"},
		{"/v1/messages", "https://api.anthropic.com", "https://api.anthropic.com/v1/messages"},
		{"/v1/messages", "https://api.anthropic.com/v1", "https://api.anthropic.com/v1/messages"},
		{"/v1/messages", "https://gate/anthropic", "https://gate/anthropic/v1/messages"},
		{"/v1/messages", "https://gate/anthropic/v1/messages", "https://gate/anthropic/v1/messages"},
		{"/v1/responses", "https://r.openai.azure.com/openai/v1", "https://r.openai.azure.com/openai/v1/responses"},
		{"/v1/completions", "http://h:8000/v1", "http://h:8000/v1/completions"},
		{"/v1/completions", "http://h:8000/rev1", "http://h:8000/rev1/v1/completions"},
	} {
		got, err := targets.JoinURL(tt.base, tt.path)
		if err != nil || got.String() != tt.want {
			t.Errorf("JoinURL(%q, %q) = %v, %v; want %s", tt.base, tt.path, got, err, tt.want)
		}
	}
}
