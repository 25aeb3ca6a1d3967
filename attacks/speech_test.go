package attacks_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A speech is how the servers of a dialect say things: each string is one event, whole.
type speech struct {
	dialect   targets.Dialect
	begin     []string                  // before the first token
	text      func(text string) string  // a token
	reasoning func(text string) string  // nil: the dialect has none
	tool      []string                  // a call; nil: the dialect has none
	end       func(output int) []string // a proper end that counts so many tokens, the terminal last
	unmarked  int                       // how many of end's last events can be missing one by one: each is a cut
	inBand    []string                  // errors, each with "boom" in it
	garbage   []string                  // what no server of the dialect says
	mediaType string                    // of its streams
	wrong     string                    // media type of another's
}

// sum joins events, and numbers them where the dialect does.
func sum(events ...string) string {
	all := strings.Join(events, "")
	for n := 0; strings.Contains(all, "SEQ"); n++ {
		all = strings.Replace(all, "SEQ", fmt.Sprint(n), 1)
	}
	return all
}

func sse(data string) string { return "data: " + data + "\n\n" }

// named is an event whose data names it again.
func named(kind, rest string) string {
	return fmt.Sprintf("event: %s\ndata: {\"type\":%q%s}\n\n", kind, kind, rest)
}

const boom = `{"error":{"message":"boom","type":"server_error","code":500}}`

func speeches() []speech {
	return []speech{chatSpeech(), completionsSpeech(), responsesSpeech(), messagesSpeech(), ollamaSpeech()}
}

func chatSpeech() speech {
	delta := func(rest, finish string) string {
		return sse(`{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{` + rest + `},"finish_reason":` + finish + `}]}`)
	}
	return speech{
		dialect: targets.OpenAIChat{}, mediaType: "text/event-stream", wrong: "application/x-ndjson",
		begin:     []string{delta(`"role":"assistant","content":""`, "null")},
		text:      func(text string) string { return delta(fmt.Sprintf(`"content":%q`, text), "null") },
		reasoning: func(text string) string { return delta(fmt.Sprintf(`"reasoning":%q`, text), "null") },
		tool:      []string{delta(`"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]`, "null"), delta(`"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]`, "null")},
		end: func(output int) []string {
			return []string{delta("", `"stop"`), sse(fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":%d}}`, output)), sse("[DONE]")}
		},
		unmarked: 3,
		inBand:   []string{sse(boom), "error: {\"message\":\"boom\"}\n\n", "event: error\ndata: boom\n\n", sse(`{"object":"error","message":"boom"}`), boom + "\n"},
		garbage:  []string{sse("hello"), sse(`{"choices":[{`), sse(`{"choices":5}`), "<html>\n"},
	}
}

func completionsSpeech() speech {
	chunk := func(text, finish string) string {
		return sse(fmt.Sprintf(`{"id":"cmpl-1","object":"text_completion","choices":[{"index":0,"text":%q,"finish_reason":%s}]}`, text, finish))
	}
	return speech{
		dialect: targets.OpenAICompletions{}, mediaType: "text/event-stream", wrong: "application/x-ndjson",
		text: func(text string) string { return chunk(text, "null") },
		end: func(output int) []string {
			return []string{chunk("", `"length"`), sse(fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":%d}}`, output)), sse("[DONE]")}
		},
		unmarked: 3,
		inBand:   []string{sse(boom), "error: {\"message\":\"boom\"}\n\n", "event: error\ndata: boom\n\n", sse(`{"detail":"boom"}`), boom + "\n"},
		garbage:  []string{sse("hello"), sse(`{"choices":[{`), sse(`{"choices":[{"text":5}]}`), "<html>\n"},
	}
}

func responsesSpeech() speech {
	event := func(kind, rest string) string { return named(kind, `,"sequence_number":SEQ`+rest) }
	last := func(kind, status, rest string) string {
		return event("response."+kind, `,"response":{"id":"resp_1","status":"`+status+`"`+rest+`}`)
	}
	return speech{
		dialect: targets.OpenAIResponses{}, mediaType: "text/event-stream", wrong: "application/x-ndjson",
		begin: []string{
			last("created", "in_progress", ""), last("in_progress", "in_progress", ""),
			event("response.output_item.added", `,"output_index":0,"item":{"type":"message","role":"assistant","content":[]}`),
			event("response.content_part.added", `,"item_id":"msg_1","part":{"type":"output_text","text":""}`),
		},
		text: func(text string) string {
			return event("response.output_text.delta", fmt.Sprintf(`,"item_id":"msg_1","output_index":0,"content_index":0,"delta":%q`, text))
		},
		reasoning: func(text string) string {
			return event("response.reasoning_text.delta", fmt.Sprintf(`,"item_id":"rs_1","delta":%q`, text))
		},
		tool: []string{
			event("response.output_item.added", `,"output_index":0,"item":{"type":"function_call","name":"f","arguments":""}`),
			event("response.function_call_arguments.delta", `,"item_id":"fc_1","delta":"{}"`),
			event("response.function_call_arguments.done", `,"item_id":"fc_1","arguments":"{}"`),
		},
		end: func(output int) []string {
			return []string{
				event("response.output_text.done", `,"item_id":"msg_1","text":"all of it"`),
				last("completed", "completed", fmt.Sprintf(`,"usage":{"input_tokens":9,"output_tokens":%d,"output_tokens_details":{"reasoning_tokens":0}}`, output)),
			}
		},
		unmarked: 1,
		inBand: []string{
			event("error", `,"code":"server_error","message":"boom","param":null`), last("failed", "failed", `,"error":{"code":"server_error","message":"boom"}`),
			sse(boom), "event: error\ndata: boom\n\n", last("completed", "failed", `,"error":{"message":"boom"}`),
		},
		garbage: []string{sse("hello"), sse(`{"type":"response.output_text.delta","delta":5}`), sse(`{"type":`), "<html>\n"},
	}
}

func messagesSpeech() speech {
	piece := func(kind, key, text string) string {
		return named("content_block_delta", fmt.Sprintf(`,"index":0,"delta":{"type":%q,%q:%q}`, kind, key, text))
	}
	return speech{
		dialect: targets.AnthropicMessages{}, mediaType: "text/event-stream", wrong: "application/x-ndjson",
		begin: []string{
			named("message_start", `,"message":{"id":"msg_1","type":"message","role":"assistant","content":[],"usage":{"input_tokens":9,"output_tokens":1}}`),
			named("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`), named("ping", ""),
		},
		text:      func(text string) string { return piece("text_delta", "text", text) },
		reasoning: func(text string) string { return piece("thinking_delta", "thinking", text) },
		tool: []string{
			named("content_block_start", `,"index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}`), piece("input_json_delta", "partial_json", "{}"),
		},
		end: func(output int) []string {
			return []string{
				named("content_block_stop", `,"index":0`),
				named("message_delta", fmt.Sprintf(`,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":%d}`, output)),
				named("message_stop", ""),
			}
		},
		unmarked: 2,
		inBand:   []string{named("error", `,"error":{"type":"overloaded_error","message":"boom"}`), sse(boom), "event: error\ndata: boom\n\n"},
		garbage:  []string{sse("hello"), "event: message_stop\ndata: ok\n\n", named("content_block_delta", `,"delta":"x"`), "<html>\n"},
	}
}

func ollamaSpeech() speech {
	line := func(message, rest string) string {
		return `{"model":"m","created_at":"2026-11-22T02:07:13.01833Z","message":{"role":"assistant"` + message + `}` + rest + "}\n"
	}
	return speech{
		dialect: targets.OllamaChat{}, mediaType: "application/x-ndjson", wrong: "text/event-stream",
		text: func(text string) string { return line(fmt.Sprintf(`,"content":%q`, text), `,"done":false`) },
		reasoning: func(text string) string {
			return line(fmt.Sprintf(`,"content":"","thinking":%q`, text), `,"done":false`)
		},
		tool: []string{line(`,"content":"","tool_calls":[{"function":{"name":"f","arguments":{}}}]`, `,"done":false`)},
		end: func(output int) []string {
			return []string{line(`,"content":""`, fmt.Sprintf(`,"done":true,"done_reason":"stop","prompt_eval_count":9,"eval_count":%d`, output))}
		},
		unmarked: 1,
		inBand:   []string{`{"error":"boom"}` + "\n", boom + "\n", line(`,"content":"x"`, `,"done":false,"error":"boom"`)},
		garbage:  []string{"hello\n", "{\"message\":\n", `{"message":5}` + "\n", "<html>\n", sse("[DONE]")},
	}
}

// head is that of a chunked stream of the dialect.
func (s *speech) head() string {
	return strings.Replace(targetstest.StreamHead, "text/event-stream", s.mediaType, 1)
}

// say is a whole answer in events: what comes before the first token, what is given, and the end.
func (s *speech) say(output int, events ...string) []string {
	return slices.Concat(s.begin, events, s.end(output))
}

// texts are the events of these tokens.
func (s *speech) texts(tokens ...string) (events []string) {
	for _, t := range tokens {
		events = append(events, s.text(t))
	}
	return events
}

// stream is a chunked stream of these events, each in an HTTP chunk of its own, with its proper end.
func (s *speech) stream(events ...string) targetstest.Script {
	return send(s.head(), s.chunks(events...), targetstest.StreamEnd)
}

// chunks are the events, numbered, each in an HTTP chunk of its own.
func (s *speech) chunks(events ...string) string { return strings.Join(s.pieces(events...), "") }

// pieces are those chunks one by one.
func (s *speech) pieces(events ...string) (pieces []string) {
	n := 0
	for _, e := range events {
		for ; strings.Contains(e, "SEQ"); n++ {
			e = strings.Replace(e, "SEQ", fmt.Sprint(n), 1)
		}
		pieces = append(pieces, targetstest.Chunk(e))
	}
	return pieces
}
