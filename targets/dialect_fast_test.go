package targets_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/targets"
)

// A shape is a chunk of a server in service, with the places of its text and its number marked.
type shape struct {
	dialect targets.Dialect
	name    string // of its event
	data    string
	fast    bool // it can be learned
}

func shapes() []shape {
	chat, completions, responses := targets.OpenAIChat{}, targets.OpenAICompletions{}, targets.OpenAIResponses{}
	messages, ollama := targets.AnthropicMessages{}, targets.OllamaChat{}
	const delta, block = "response.output_text.delta", "content_block_delta"
	return []shape{
		{chat, "", `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"TEXT"},"logprobs":null,"finish_reason":null}],"token_ids":null}`, true},
		{chat, "", `{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"TEXT"}}],"created":1795312420,"id":"chatcmpl-Z","model":"tiny","object":"chat.completion.chunk"}`, true},
		{chat, "", `{"id":"chatcmpl-12","choices":[{"index":0,"delta":{"role":"assistant","content":"TEXT"},"finish_reason":null}]}`, true},
		{chat, "", `{"choices": [{"index": 0, "delta": {"content": "TEXT"}, "finish_reason": null}], "usage": null}`, true},
		{chat, "", `{"choices":[{"delta":{"reasoning_content":"TEXT","content":null}}]}`, true},
		{chat, "", `{"choices":[{"delta":{"reasoning":"TEXT"}}]}`, true},
		{chat, "", `{"choices":[{"delta":{"reasoning":"TEXT","reasoning_content":"b"}}]}`, true},
		{chat, "", `{"choices":[{"delta":{"content":"TEXT"}}],"obfuscation":"RANDOM"}`, true},
		{chat, "message", `{"choices":[{"delta":{"content":"TEXT"}}]}`, true},
		{chat, "", `{"choices":[{"delta":{"content":"TEXT"}}],"usage":{"prompt_tokens":0,"completion_tokens":0}}`, true},
		{chat, "", `{"choices":[{"delta":{"content":"TEXT"}}],"sequence_number":NUMBER}`, false},
		{chat, "", `{"choices":[{"delta":{"content":"TEXT"}}],"usage":{"completion_tokens":1}}`, false},
		{chat, "", `{"choices":[{"delta":{"content":"TEXT"},"finish_reason":"stop"}]}`, false},
		{chat, "", `{"x":{"content":"TEXT"},"choices":[{"delta":{"content":"TEXT"}}]}`, false},
		{chat, "", `{"x":"\"content\":\"TEXT\"","choices":[{"delta":{"content":"TEXT"}}]}`, false},
		{chat, "", `{"choices":[{"delta":{"content":"TEXT","content":"TEXT"}}]}`, false},
		{chat, "", `{"choices":[{"delta":{"content":"TEXT"}},{"delta":{"content":"b"}}]}`, false},
		{chat, "", `{"choices":[{"delta":{"refusal":"TEXT","content":""}}]}`, false},
		{chat, "", `{"error":"TEXT","choices":[]}`, false},
		{completions, "", `{"id":"cmpl-1","object":"text_completion","created":1,"choices":[{"text":"TEXT","index":0,"finish_reason":null}],"model":"tiny","usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}`, true},
		{completions, "", `{"choices":[{"index":0,"text":"TEXT","logprobs":null,"finish_reason":null}]}`, true},
		{completions, "", `{"text":"TEXT","choices":[{"text":"TEXT"}]}`, false},
		{responses, delta, `{"content_index":0,"delta":"TEXT","item_id":"msg_1","logprobs":[],"output_index":0,"sequence_number":NUMBER,"type":"response.output_text.delta"}`, true},
		{responses, delta, `{"type":"response.output_text.delta","sequence_number":NUMBER,"item_id":"m","delta":"TEXT","obfuscation":"RANDOM"}`, true},
		{responses, "response.reasoning_text.delta", `{"type": "response.reasoning_text.delta", "sequence_number": NUMBER, "delta": "TEXT"}`, true},
		{responses, delta, `{"type":"response.output_text.delta","item_id":"m","delta":"TEXT"}`, true},
		{responses, "", `{"type":"response.output_text.delta","sequence_number":NUMBER,"delta":"TEXT"}`, true},
		{responses, delta, `{"delta":"TEXT"}`, true},
		{responses, delta, `{"type":"response.output_text.delta","x":{"sequence_number":NUMBER},"sequence_number":NUMBER,"delta":"TEXT"}`, false},
		{responses, delta, `{"type":"response.output_text.delta","x":{"sequence_number":NUMBER},"sequence_number":7,"delta":"TEXT"}`, false},
		{responses, delta, `{"type":"response.output_text.delta","sequence_number":"NUMBER","delta":"TEXT"}`, false},
		{responses, "response.function_call_arguments.delta", `{"type":"response.function_call_arguments.delta","sequence_number":NUMBER,"delta":"TEXT"}`, false},
		{messages, block, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"TEXT"}}`, true},
		{messages, block, `{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"TEXT"},"index":0}`, true},
		{messages, "", `{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "TEXT"} }`, true},
		{messages, block, `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"TEXT"}}`, false},
		{messages, block, `{"type":"content_block_delta","delta":{"text":"TEXT","thinking":"TEXT"}}`, false},
		{ollama, "", `{"model":"tiny","created_at":"RANDOM","message":{"role":"assistant","content":"TEXT"},"done":false}`, true},
		{ollama, "", `{"model":"tiny","created_at":"RANDOM","message":{"role":"assistant","content":"","thinking":"TEXT"},"done":false}`, true},
		{ollama, "", `{"model":"tiny","created_at":"RANDOM","message":{"role":"assistant","content":"TEXT"},"done":true}`, false},
		{ollama, "", `{"message":{"content":"TEXT"},"created_at":"RANDOM","x":{"created_at":"RANDOM"}}`, false},
	}
}

// event is the shape as a server sends it, with this text and number.
func (s shape) event(data, text, random string, number int) string {
	data = strings.NewReplacer("TEXT", text, "RANDOM", random, "NUMBER", fmt.Sprint(number)).Replace(data)
	switch {
	case s.dialect.Framing() == targets.Lines:
		return data + "\n"
	case s.name != "":
		return "event: " + s.name + "\ndata: " + data + "\n\n"
	}
	return "data: " + data + "\n\n"
}

// fastEqualsFull checks that decoders which learn read each event as one does that forgets, and
// returns how many of them were read whole.
func fastEqualsFull(t *testing.T, d targets.Dialect, events ...string) (fast int) {
	t.Helper()
	full, learned, byBytes := targets.Forgetful(d), d.Decoder(), d.Decoder()
	whole, ok := byBytes.(targets.WholeReader)
	if !ok {
		t.Fatalf("the decoder of %s is no WholeReader", d.Name())
	}
	for i, e := range events {
		want := decode(t, d.Framing(), full, e)
		if diff := cmp.Diff(want, decode(t, d.Framing(), learned, e)); diff != "" {
			t.Fatalf("%s: event %d of %q (-full +learned):\n%s", d.Name(), i, events, diff)
		}
		var got []delta
		var out targets.Delta
		if whole.ReadWhole([]byte(e), &out) {
			got = []delta{copyDelta(&out)}
			fast++
		} else {
			got = decode(t, d.Framing(), byBytes, e)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s: event %d of %q (-full +whole):\n%s", d.Name(), i, events, diff)
		}
	}
	return fast
}

// What servers send most is learned from one chunk, whatever changes in it, and what cannot be learned is not.
func TestFastPathIsTaken(t *testing.T) {
	for _, s := range shapes() {
		var events []string
		for i, text := range []string{"a", " b", "é", "𝄞", "content", "c"} {
			events = append(events, s.event(s.data, text, "r"+text, 7+i))
		}
		want := 0
		if s.fast {
			want = len(events) - 1
		}
		if got := fastEqualsFull(t, s.dialect, events...); got != want {
			t.Errorf("%s: %d of %d events like %s were read whole, want %d", s.dialect.Name(), got, len(events), s.data, want)
		}
	}
}

// What a decoder has learned never changes what it reads.
func TestFastPathEqualsFullDecode(t *testing.T) {
	texts := []string{
		"a", " b", "content", "c", "", "é", "𝄞", `\n`, `\u0041`, `"`, `\`, `x"},{"content":"y`, "\x01", "\xff", "\x7f",
		`a","finish_reason":"stop`, "TEXTx", "x", "xx", "plain",
	}
	for _, s := range shapes() {
		first, second, next := s.event(s.data, "a", "b", 7), s.event(s.data, " b", "c", 8), s.event(s.data, "plain", "x", 10)
		var third []string
		for _, text := range texts {
			third = append(third, s.event(s.data, text, "", 9), s.event(s.data, "a", text, 9))
		}
		for _, number := range []string{"09", "9.0", "9e0", "-9", "null", `"9"`, "18446744073709551625", "10", "8", "0"} {
			third = append(third, s.event(strings.ReplaceAll(s.data, "NUMBER", number), "a", "b", 0))
		}
		for _, data := range []string{"[DONE]", `{"choices":[{"delta":{},"finish_reason":"stop"}]}`, s.data + " ", " " + s.data, s.data + "{}"} {
			third = append(third, s.event(data, "a", "b", 9))
		}
		for _, before := range []string{"event: error\n", "event: x\n", "error: boom\n", ": c\n", "id: 1\n", "data: \n"} {
			third = append(third, before+s.event(s.data, "a", "b", 9))
		}
		for _, e := range third {
			fastEqualsFull(t, s.dialect, first, second, e, next)
		}
		fastEqualsFull(t, s.dialect, third...)
	}
}

// A server that gives each event one number does not count, and its events are learned all the same.
func TestFastPathWithoutACount(t *testing.T) {
	const e = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":0,\"delta\":\"a\"}\n\n"
	if got := fastEqualsFull(t, targets.OpenAIResponses{}, e, e, e, e); got != 2 {
		t.Errorf("%d of 4 events were read whole, want the last 2", got)
	}
}

// An object over several lines is not learned: what is like it on the wire may be something else.
func TestFastPathKnowsNoLines(t *testing.T) {
	const lines = "data: {\ndata: \"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
	fastEqualsFull(t, targets.OpenAIChat{}, lines, lines, strings.Replace(lines, "{\ndata: ", "{\n", 1))
}

// The law: a decoder that has learned reads as one that has not.
func FuzzFastPathEqualsFullDecode(f *testing.F) {
	all := shapes()
	for i, s := range all {
		f.Add(byte(i), s.data, "hello", all[(i+1)%len(all)].data, ` "`)
	}
	f.Fuzz(func(t *testing.T, kind byte, data, text, other, second string) {
		s := all[int(kind)%len(all)]
		quoted, err := json.Marshal(second)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		fill := func(data, text string) string {
			n++
			return s.event(data, text, second, n)
		}
		fastEqualsFull(t, s.dialect, fill(data, text), fill(data, "b"), fill(data, second), fill(other, "b"), fill(data, text),
			data, fill(data, strings.Trim(string(quoted), `"`)))
	})
}

// What the fast path saves, for the chunks that servers send most.
func BenchmarkDecode(b *testing.B) {
	seen := map[string]bool{}
	for _, s := range shapes() {
		if seen[s.dialect.Name()] {
			continue
		}
		seen[s.dialect.Name()] = true
		event := func(number int) *targets.Event {
			data := strings.NewReplacer("TEXT", " hello", "RANDOM", "2026-11-22T02:07:13.018331459Z", "NUMBER", fmt.Sprint(number)).Replace(s.data)
			return &targets.Event{Name: []byte(s.name), Data: []byte(data)}
		}
		for name, dec := range map[string]targets.Decoder{"plain": s.dialect.Decoder(), "full": targets.Forgetful(s.dialect)} {
			b.Run(s.dialect.Name()+"/"+name, func(b *testing.B) {
				var d targets.Delta
				// A server that does not count gives a number again.
				first, again := event(7), event(7)
				for range 2 {
					if err := dec.Decode(first, &d); err != nil {
						b.Fatal(err)
					}
				}
				for b.Loop() {
					if err := dec.Decode(again, &d); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
