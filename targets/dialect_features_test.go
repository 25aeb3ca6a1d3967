package targets_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/targets"
)

// What a prompt may have beside its messages, in each dialect's own form.
func TestEncodeFeatures(t *testing.T) {
	zero := 0.0
	tool := targets.Tool{Name: "f", Description: "does", Parameters: map[string]any{"type": "object"}}
	for _, tt := range []struct {
		name    string
		dialect targets.Dialect
		prompt  targets.Prompt // and model m, 7 tokens, one message
		body    string
	}{
		{
			"chat",
			targets.OpenAIChat{},
			targets.Prompt{Temperature: &zero, Tools: []targets.Tool{tool}},
			`{"max_tokens":7,"messages":[{"role":"user","content":"a"}],"model":"m","stream":true,"stream_options":{"include_usage":true},"temperature":0,"tools":[{"function":{"description":"does","name":"f","parameters":{"type":"object"}},"type":"function"}]}`,
		},
		{
			"completions",
			targets.OpenAICompletions{},
			targets.Prompt{Temperature: &zero},
			`{"max_tokens":7,"model":"m","prompt":"a","stream":true,"stream_options":{"include_usage":true},"temperature":0}`,
		},
		{
			"responses",
			targets.OpenAIResponses{},
			targets.Prompt{Temperature: &zero, Tools: []targets.Tool{tool}},
			`{"input":[{"role":"user","content":"a"}],"max_output_tokens":7,"model":"m","store":false,"stream":true,"temperature":0,"tools":[{"description":"does","name":"f","parameters":{"type":"object"},"type":"function"}]}`,
		},
		{
			"messages",
			targets.AnthropicMessages{},
			targets.Prompt{Temperature: &zero, Tools: []targets.Tool{tool, {Name: "g"}}},
			`{"max_tokens":7,"messages":[{"role":"user","content":"a"}],"model":"m","stream":true,"temperature":0,"tools":[{"description":"does","input_schema":{"type":"object"},"name":"f"},{"input_schema":{"type":"object"},"name":"g"}]}`,
		},
		{
			"ollama",
			targets.OllamaChat{},
			targets.Prompt{Temperature: &zero, Tools: []targets.Tool{tool}},
			`{"messages":[{"role":"user","content":"a"}],"model":"m","options":{"num_predict":7,"temperature":0},"stream":true,"tools":[{"function":{"description":"does","name":"f","parameters":{"type":"object"}},"type":"function"}]}`,
		},
		{
			"extra under an object of ours",
			targets.OpenAIChat{},
			targets.Prompt{Extra: map[string]any{"stream_options": map[string]any{"continuous_usage_stats": true}, "seed": 1, "max_tokens": nil}},
			`{"messages":[{"role":"user","content":"a"}],"model":"m","seed":1,"stream":true,"stream_options":{"continuous_usage_stats":true,"include_usage":true}}`,
		},
		{
			"extra under options",
			targets.OllamaChat{},
			targets.Prompt{Extra: map[string]any{"options": map[string]any{"num_predict": nil, "num_ctx": 9}}},
			`{"messages":[{"role":"user","content":"a"}],"model":"m","options":{"num_ctx":9},"stream":true}`,
		},
		{"embeddings", targets.OpenAIEmbeddings{}, targets.Prompt{}, `{"input":"a","model":"m"}`},
		{"embeddings by extra", targets.OpenAIEmbeddings{}, targets.Prompt{Extra: map[string]any{"dimensions": 256}}, `{"dimensions":256,"input":"a","model":"m"}`},
		{"images", targets.OpenAIImages{}, targets.Prompt{}, `{"model":"m","n":1,"prompt":"a"}`},
		{"images by extra", targets.OpenAIImages{}, targets.Prompt{Extra: map[string]any{"size": "1024x1024", "n": 2}}, `{"model":"m","n":2,"prompt":"a","size":"1024x1024"}`},
	} {
		p := tt.prompt
		p.Model, p.MaxTokens, p.Messages = "m", 7, []targets.Message{{Role: "user", Content: "a"}}
		for range 2 { // the second finds what the first has left of Extra
			r, err := tt.dialect.Encode(p)
			if err != nil || string(r.Body) != tt.body || r.ContentType != "" {
				t.Errorf("%s: Encode() = %s, %q, %v\nwant %s", tt.name, r.Body, r.ContentType, err, tt.body)
			}
		}
	}
}

// What a dialect cannot ask is an error that names the dialect and another, and never left out in silence.
func TestEncodeWithoutFeatures(t *testing.T) {
	zero := 0.0
	armed := targets.Prompt{Model: "m", Tools: []targets.Tool{{Name: "f"}}}
	warm := targets.Prompt{Model: "m", Temperature: &zero}
	for _, tt := range []struct {
		dialect targets.Dialect
		prompt  targets.Prompt
		want    string
	}{
		{targets.OpenAICompletions{}, armed, "openai-completions has no tools"},
		{targets.OpenAIEmbeddings{}, armed, "openai-embeddings has no tools"},
		{targets.OpenAIImages{}, armed, "openai-images has no tools"},
		{targets.OpenAITranscriptions{}, armed, "openai-transcriptions has no tools"},
		{targets.OpenAIEmbeddings{}, warm, "openai-embeddings has no temperature"},
		{targets.OpenAIImages{}, warm, "openai-images has no temperature"},
	} {
		if _, err := tt.dialect.Encode(tt.prompt); err == nil || !strings.HasPrefix(err.Error(), tt.want) || !strings.Contains(err.Error(), "openai-chat") {
			t.Errorf("%s: Encode(%+v) = %v; want %s", tt.dialect.Name(), tt.prompt, err, tt.want)
		}
	}
}

// The examples of RFC 7396, appendix A, whose patches are objects.
func TestMergePatch(t *testing.T) {
	for _, tt := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"a":"b"}`, `{"a":{"b":{"c":1,"d":null}}}`, `{"a":{"b":{"c":1}}}`},
	} {
		target, patch := object(t, tt.target), object(t, tt.patch)
		got, err := json.Marshal(targets.MergePatch(target, patch))
		if err != nil || string(got) != tt.want {
			t.Errorf("MergePatch(%s, %s) = %s, %v; want %s", tt.target, tt.patch, got, err, tt.want)
		}
		if diff := cmp.Diff(object(t, tt.patch), patch); diff != "" {
			t.Errorf("MergePatch(%s, %s) changed its patch:\n%s", tt.target, tt.patch, diff)
		}
	}
}

// A value that the patch brought and the caller changes later is the only thing that the two share; what a second
// patch lays over it must not reach the first.
func TestMergePatchKeepsItsPatches(t *testing.T) {
	first := map[string]any{"a": map[string]any{"b": 1}}
	kept := maps.Clone(first)
	merged := targets.MergePatch(targets.MergePatch(map[string]any{}, first), map[string]any{"a": map[string]any{"b": 2}})
	if diff := cmp.Diff(map[string]any{"a": map[string]any{"b": 2}}, merged); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"a": map[string]any{"b": 1}}, kept); diff != "" {
		t.Errorf("the first patch (-want +got):\n%s", diff)
	}
}

func object(t *testing.T, text string) (o map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}
