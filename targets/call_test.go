package targets_test

import (
	"strings"
	"testing"

	"github.com/failwhale/failwhale/targets"
)

// Calls and their results, as each dialect's servers take them back. One without tools keeps the text.
func TestEncodeCalls(t *testing.T) {
	f, g := targets.Call{ID: "c1", Name: "f", Arguments: `{"a": 1}`}, targets.Call{ID: "c2", Name: "g"}
	talk := []targets.Message{
		{Role: "user", Content: "a"},
		{Role: "assistant", Calls: []targets.Call{f, g}},
		{Role: "tool", Content: "b", Of: &f},
		{Role: "tool", Content: "c", Of: &g},
		{Role: "assistant", Content: "d"},
		{Role: "user", Content: "e"},
	}
	for dialect, want := range map[targets.Dialect]string{
		targets.OpenAIChat{}: `"messages":[{"role":"user","content":"a"},{"content":null,"role":"assistant","tool_calls":[` +
			`{"function":{"arguments":"{\"a\": 1}","name":"f"},"id":"c1","type":"function"},{"function":{"arguments":"{}","name":"g"},"id":"c2","type":"function"}]},` +
			`{"content":"b","role":"tool","tool_call_id":"c1"},{"content":"c","role":"tool","tool_call_id":"c2"},{"role":"assistant","content":"d"},{"role":"user","content":"e"}]`,
		targets.OpenAICompletions{}: `"prompt":"a\n\n\n\nb\n\nc\n\nd\n\ne"`,
		targets.OpenAIResponses{}: `"input":[{"role":"user","content":"a"},{"arguments":"{\"a\": 1}","call_id":"c1","name":"f","type":"function_call"},` +
			`{"arguments":"{}","call_id":"c2","name":"g","type":"function_call"},{"call_id":"c1","output":"b","type":"function_call_output"},` +
			`{"call_id":"c2","output":"c","type":"function_call_output"},{"role":"assistant","content":"d"},{"role":"user","content":"e"}]`,
		targets.AnthropicMessages{}: `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[` +
			`{"id":"c1","input":{"a":1},"name":"f","type":"tool_use"},{"id":"c2","input":{},"name":"g","type":"tool_use"}]},` +
			`{"role":"user","content":[{"content":"b","tool_use_id":"c1","type":"tool_result"},{"content":"c","tool_use_id":"c2","type":"tool_result"}]},` +
			`{"role":"assistant","content":"d"},{"role":"user","content":"e"}]`,
		targets.OllamaChat{}: `"messages":[{"role":"user","content":"a"},{"content":"","role":"assistant","tool_calls":[` +
			`{"function":{"arguments":{"a":1},"name":"f"}},{"function":{"arguments":{},"name":"g"}}]},` +
			`{"content":"b","role":"tool","tool_name":"f"},{"content":"c","role":"tool","tool_name":"g"},{"role":"assistant","content":"d"},{"role":"user","content":"e"}]`,
	} {
		r, err := dialect.Encode(targets.Prompt{Model: "m", MaxTokens: 7, Messages: talk})
		if err != nil || !strings.Contains(string(r.Body), want) {
			t.Errorf("%s: Encode = %s, %v\nwant %s in it", dialect.Name(), r.Body, err, want)
		}
	}
}

// What some servers would refuse in a history for ever is told apart.
func TestCallSound(t *testing.T) {
	for arguments, want := range map[string]bool{
		"": true, "{}": true, ` {"a":[1]} `: true, "null": true, `{"a":"b`: false, "[]": false, `"{}"`: false, "{} {}": false,
	} {
		if got := (&targets.Call{Name: "f", Arguments: arguments}).Sound(); got != want {
			t.Errorf("Sound of arguments %q = %v", arguments, got)
		}
	}
	if (&targets.Call{ID: "c", Arguments: "{}"}).Sound() {
		t.Error("a call of no tool is sound")
	}
}
