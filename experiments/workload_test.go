package experiments_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/experiments"
)

// Every key of a class is read, and a list may hold names of presets beside classes.
func TestParseWorkloadClasses(t *testing.T) {
	got, err := experiments.ParseWorkload("--workload", `
- chat
- feature: code
  share: 20%
  prompt_tokens: {p50: 1469, p90: 5194, max: 7436}
  output_tokens: {min: 5, max: 50}
  prefix: {tokens: 4000, groups: 3}
  turns: {count: {min: 2, max: 5}, think: {p50: 5s, p90: 20s, max: 1m}}
  models: {base: 80%, lora-a: 20%}
  canary: true
  dialect: openai-responses
  path: /v2/ask
  body: {stream: null, question: {text: "{{prompt}}", limit: "{{max_tokens}}"}}
- preset: chat
  lengths_from: trace.csv
  golden: [{ask: "2+2", answer: 4}, {ask: "capital of France", contains: Paris}]
`)
	want := attacks.Workload{
		{Preset: "chat"},
		{
			Feature: "code", Share: 0.2, PromptTokens: attacks.Length{P50: 1469, P90: 5194, Max: 7436}, OutputTokens: attacks.Length{Min: 5, Max: 50},
			Prefix: &attacks.Prefix{Tokens: 4000, Groups: 3},
			Turns:  &attacks.Turns{Count: attacks.Length{Min: 2, Max: 5}, Think: attacks.Think{P50: 5 * time.Second, P90: 20 * time.Second, Max: time.Minute}},
			Models: map[string]attacks.Share{"base": 0.8, "lora-a": 0.2}, Canary: true, Dialect: "openai-responses", Path: "/v2/ask",
			Body: map[string]any{"stream": nil, "question": map[string]any{"text": "{{prompt}}", "limit": "{{max_tokens}}"}},
		},
		{Preset: "chat", LengthsFrom: "trace.csv", Golden: []attacks.Golden{{Ask: "2+2", Answer: "4"}, {Ask: "capital of France", Contains: "Paris"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("ParseWorkload differs, %v (-want +got):\n%s", err, diff)
	}
	if got, err = experiments.ParseWorkload("--workload", "{preset: agent, turns: {count: 3, think: 5s}}"); err != nil ||
		!cmp.Equal(*got[0].Turns, attacks.Turns{Count: attacks.Length{Fixed: 3}, Think: attacks.Think{Fixed: 5 * time.Second}}) {
		t.Errorf("ParseWorkload of fixed turns = %+v, %v", got, err)
	}
}

// A plan is warned of what it may hold and hardly means; a trace that is there and is none is a mistake.
func TestWorkloadWarnings(t *testing.T) {
	for _, tt := range []struct{ workload, profile, want string }{
		{"code", "{constant: {rate: 100/s}}", "attack.profile: spaces evenly what comes in bursts in service: write {gamma: {rate: 100/s, cv: 8}}"},
		{"[{feature: code}]", "{poisson: {rate: 100/s}}", "attack.profile: spaces as independent users do what comes in bursts in service: write {gamma: {rate: 100/s, cv: 8}}"},
		{"code", "{gamma: {rate: 100/s, cv: 8}}", ""},
		{"[code, chat]", "{constant: {rate: 100/s}}", ""},
		{
			"[chat, {preset: embeddings}, {feature: mine, preset: chat, dialect: anthropic-messages}]", "{constant: {rate: 100/s}}",
			"attack.workload[1]: is asked by openai-embeddings, and the reference stack speaks openai-chat alone: all its requests will be refused\n" +
				"attack.workload[2]: is asked by anthropic-messages, and the reference stack speaks openai-chat alone: all its requests will be refused",
		},
		{"audio", "{constant: {rate: 100/s}}", "attack.workload: is asked by openai-transcriptions, and the reference stack speaks openai-chat alone: all its requests will be refused"},
		{"{lengths_from: gone.csv}", "{constant: {rate: 100/s}}", "attack.workload.lengths_from: open trace: stat gone.csv: no such file or directory"},
		{"[chat, {lengths_from: gone.csv}]", "{constant: {rate: 100/s}}", "attack.workload[1].lengths_from: open trace: stat gone.csv: no such file or directory"},
		{
			`{preset: chat, body: {a: [{b: "{{promt}}"}], c: "{{user}} {{model}}"}}`, "{constant: {rate: 100/s}}",
			"attack.workload.body.a[0].b: has {{promt}}, which is sent as it stands; did you mean {{prompt}}?",
		},
	} {
		text := strings.Replace(minimal, "{constant: {rate: 100/s}}", tt.profile+", workload: "+tt.workload, 1)
		var got []string
		for _, w := range load(t, text).Warnings {
			if !strings.Contains(w.Text, "undecided") {
				got = append(got, w.Path+": "+w.Text)
			}
		}
		if text := strings.Join(got, "\n"); text != tt.want {
			t.Errorf("workload %s of %s: warnings %q, want %q", tt.workload, tt.profile, text, tt.want)
		}
	}
	clients := strings.Replace(minimal, "{constant: {rate: 100/s}}", "{constant: {rate: 100/s}}, clients: [{}, {http2: true}]", 1)
	if w := load(t, clients).Warnings; len(w) != 1 || w[0].Path != "attack.clients[1].http2" {
		t.Errorf("Load of a client that speaks HTTP/2 to the reference stack warns %v", w)
	}
	text := strings.Replace(minimal, "{constant: {rate: 100/s}}", "{constant: {rate: 100/s}}, workload: {lengths_from: load_test.go}", 1)
	_, err := experiments.Load("x.yaml", []byte(text), experiments.LoadOptions{})
	if err == nil || !strings.Contains(err.Error(), "attack.workload.lengths_from: trace load_test.go: line 1: is none of the formats") {
		t.Errorf("Load with lengths of a file that is no trace = %v", err)
	}
}
