package attacks_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// ask sends one request for a model in a dialect and returns its sample.
func ask(t *testing.T, dialect targets.Dialect, model string, script targetstest.Script) *results.Sample {
	t.Helper()
	server := targetstest.New(t, targetstest.Always(script...))
	return oneAt(t, targets.Endpoint{URL: server.URL(), Model: model, Dialect: dialect.Name()}, attacks.Client{})
}

func tokensOf(s *results.Sample) (tokens []int) {
	for _, c := range s.Chunks {
		tokens = append(tokens, c.Tokens)
	}
	return tokens
}

// Who counts: the server, else what it counted with each chunk, else the model's tokenizer, else chunks.
func TestWhoCountsTheTokens(t *testing.T) {
	const text = "The quick brown fox jumps over the lazy dog." // 10 tokens of both vocabularies
	halves := []string{text[:20], text[20:]}
	each := func(n int) string {
		return sse(fmt.Sprintf(`{"choices":[{"index":0,"delta":{"content":"ab"}}],"usage":{"prompt_tokens":9,"completion_tokens":%d}}`, n))
	}
	chat, ollama, messages := chatSpeech(), ollamaSpeech(), messagesSpeech()
	uncounted := sse(`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`) + sse("[DONE]")
	for _, tt := range []struct {
		name   string
		s      speech
		model  string
		events []string
		want   results.Usage
		tokens []int
		as     results.Outcome
	}{
		{"server", chat, "gpt-4o", chat.say(10, chat.texts(halves...)...), results.Usage{Prompt: 9, Output: 10, Source: results.UsageServer}, []int{5, 5}, results.Complete},
		{"server, after each chunk", chat, "gpt-4o", []string{each(3), each(5), uncounted[:len(uncounted)-len(sse("[DONE]"))], sse(`{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":6}}`), sse("[DONE]")}, results.Usage{Prompt: 9, Output: 6, Source: results.UsageServer}, []int{3, 3}, results.Complete},
		{"continuous", chat, "gpt-4o", []string{each(3), each(5), uncounted}, results.Usage{Prompt: 9, Output: 5, Source: results.UsageContinuous}, []int{3, 2}, results.Complete},
		{"continuous, cut", chat, "gpt-4o", []string{each(3), each(5)}, results.Usage{Prompt: 9, Output: 5, Source: results.UsageContinuous}, []int{3, 2}, results.Truncated},
		{"tokenizer", chat, "gpt-4o", []string{chat.text(halves[0]), chat.text(halves[1]), uncounted}, results.Usage{Output: 10, Source: results.UsageTokenizer}, []int{5, 5}, results.Complete},
		{"tokenizer, cut", chat, "gpt-4o", chat.texts(halves...), results.Usage{Output: 10, Source: results.UsageTokenizer}, []int{5, 5}, results.Truncated},
		{"tokenizer, reasoning", chat, "gpt-4o", []string{chat.reasoning(halves[0]), chat.text(halves[1]), uncounted}, results.Usage{Output: 10, Source: results.UsageTokenizer}, []int{5, 5}, results.Complete},
		{"tokenizer, a character a chunk", chat, "gpt-4", append(chat.texts("w", "o", "r", "d"), uncounted), results.Usage{Output: 1, Source: results.UsageTokenizer}, []int{1, 1, 1, 1}, results.Complete},
		{"chunks", chat, "llama", []string{chat.text(halves[0]), chat.text(halves[1]), uncounted}, results.Usage{Output: 2, Source: results.UsageChunks}, []int{1, 1}, results.Complete},
		{"too much text to keep", chat, "gpt-4o", []string{chat.text(strings.Repeat("word ", 1<<18)), uncounted}, results.Usage{Output: 1, Source: results.UsageChunks}, []int{1}, results.Complete},
		{"Ollama, cut", ollama, "gpt-oss:20b", ollama.texts(halves...), results.Usage{Output: 10, Source: results.UsageTokenizer}, []int{5, 5}, results.Truncated},
		{"Anthropic's placeholder is no count", messages, "m", slices.Concat(messages.begin, messages.texts("a", "b", "c")), results.Usage{Output: 3, Source: results.UsageChunks}, []int{1, 1, 1}, results.Truncated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, tt.s.dialect, tt.model, tt.s.stream(tt.events...))
			if got.Usage != tt.want || !slices.Equal(tokensOf(got), tt.tokens) || got.Outcome != tt.as || got.Tokens() != tt.want.Output {
				t.Errorf("%s: %s, usage %+v, tokens %v, %d in all; want %s, %+v, %v", got.Outcome, got.Error, got.Usage, tokensOf(got), got.Tokens(), tt.as, tt.want, tt.tokens)
			}
		})
	}
}

// A model is known under the names that routers and dates make of it; one that is like it is not taken for it.
func TestKnownModels(t *testing.T) {
	const text = "これは日本語です。" // 5 tokens of o200k_base, 8 of cl100k_base
	for model, want := range map[string]int{
		"gpt-4o": 5, "gpt-4o-2024-08-06": 5, "openai/gpt-4o": 5, "openrouter/openai/gpt-4o-mini": 5, "GPT-4o": 5, "ft:gpt-4o-mini-2024-07-18:acme::x": 5,
		"chatgpt-4o-latest": 5, "gpt-4.1-nano": 5, "gpt-5": 5, "gpt-5-2025-08-07": 5, "gpt-5.1-codex": 5, "o1": 5, "o3-mini-2025-01-31": 5,
		"openai/gpt-oss-120b": 5, "gpt-oss:20b": 5,
		"gpt-4": 8, "gpt-4-turbo-2024-04-09": 8, "gpt-3.5-turbo": 8, "gpt-35-turbo-16k": 8, "ft:gpt-4-0613:acme::x": 8, "gpt-3.5-turbo-instruct": 8, "davinci-002": 8,
		"": 0, "default": 0, "gpt-4omni": 0, "gpt2": 0, "gpt-neo": 0, "o1-llama-8b": 0, "someone/o1": 0, "meta-llama/Llama-3.1-8B-Instruct": 0, "claude-4-sonnet": 0, "davinci": 0,
	} {
		if got := attacks.CountTokens(model, text); got != want {
			t.Errorf("%q counts %d tokens, want %d", model, got, want)
		}
	}
}

// Any text is counted, and soon: a long one in pieces, which changes nothing where there are words.
func TestCountingIsBounded(t *testing.T) {
	sentence := "It was the best of times, it was the worst of times. "
	if one, many := attacks.CountTokens("gpt-4o", sentence), attacks.CountTokens("gpt-4o", strings.Repeat(sentence, 1000)); many < 1000*(one-1) || many > 1000*one {
		t.Errorf("a sentence has %d tokens, a thousand of them %d", one, many)
	}
	for _, odd := range []string{"x", " ", "\n ", "!", "漢", "'s", "\xff", "\x00", "A ", "1"} {
		if n := attacks.CountTokens("gpt-4o", strings.Repeat(odd, 50_000)); n <= 0 {
			t.Errorf("50,000 times %q are %d tokens", odd, n)
		}
	}
	for length := 2000; length < 2100; length++ {
		if n := attacks.CountTokens("gpt-4o", strings.Repeat("x", length-1)+" "); n <= 0 {
			t.Errorf("a word of %d bytes and a blank are %d tokens", length-1, n)
		}
	}
}

// What a server counts and does not show as text is no mismatch, where it may be so.
func TestCountsOfWhatIsNotShown(t *testing.T) {
	chat, messages, responses := chatSpeech(), messagesSpeech(), responsesSpeech()
	hidden := strings.NewReplacer(`"output_tokens_details":{"reasoning_tokens":0}`, `"output_tokens_details":{"reasoning_tokens":900}`).Replace
	summary := []string{responses.reasoning("so"), responses.text("a"), responses.text(" b")}
	for _, tt := range []struct {
		name   string
		s      speech
		events []string
		want   results.Outcome
	}{
		{"Anthropic shows a summary", messages, messages.say(900, messages.reasoning("so"), messages.text("a")), results.Complete},
		{"Anthropic shows nothing of it", messages, messages.say(900, messages.text("a")), results.LengthMismatch},
		{"Anthropic's own example of a tool", messages, messages.say(89, messages.text("Okay, let's check the weather for San Francisco, CA:"), messages.tool[0], strings.Replace(messages.tool[1], "{}", `{\"location\": \"San Francisco, CA\"}`, 1)), results.Complete},
		{"Responses shows a summary", responses, strings.SplitAfter(hidden(strings.Join(responses.say(903, summary...), "\x00")), "\x00"), results.Complete},
		{"Responses shows a summary and lost the answer", responses, strings.SplitAfter(hidden(strings.Join(responses.say(1403, summary...), "\x00")), "\x00"), results.LengthMismatch},
		{"a chat shows all of it", chat, chat.say(900, chat.reasoning("so"), chat.text("a")), results.LengthMismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for i := range tt.events {
				tt.events[i] = strings.TrimSuffix(tt.events[i], "\x00")
			}
			if got := ask(t, tt.s.dialect, "m", tt.s.stream(tt.events...)); got.Outcome != tt.want {
				t.Errorf("%s: %s, usage %+v; want %s", got.Outcome, got.Error, got.Usage, tt.want)
			}
		})
	}
}
