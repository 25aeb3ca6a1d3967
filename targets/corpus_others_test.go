package targets_test

import (
	"strings"

	"github.com/failwhale/failwhale/targets"
)

// messagesCorpus has what servers do to a message.
func messagesCorpus() (all []recording) {
	add := func(name, stream string, want sum) {
		all = append(all, recording{name, targets.AnthropicMessages{}, stream, want})
	}
	event := func(kind, rest string) string {
		return "event: " + kind + "\ndata: {\"type\":\"" + kind + `"` + rest + "}\n\n"
	}
	start := func(usage string) string {
		return event("message_start", `,"message":{"id":"msg_1","type":"message","role":"assistant","content":[],"stop_reason":null,"usage":{`+usage+`}}`)
	}
	block := func(kind, rest string) string {
		return event("content_block_start", `,"index":0,"content_block":{"type":"`+kind+`"`+rest+`}`)
	}
	piece := func(kind, key, text string) string {
		return event("content_block_delta", `,"index":0,"delta":{"type":"`+kind+`","`+key+`":"`+text+`"}`)
	}
	end := func(reason, usage string) string {
		return event("content_block_stop", `,"index":0`) + event("message_delta", `,"delta":{"stop_reason":"`+reason+`","stop_sequence":null},"usage":{`+usage+`}`)
	}
	text := block("text", `,"text":""`) + piece("text_delta", "text", "a") + piece("text_delta", "text", " b") + piece("text_delta", "text", " c")
	stop := event("message_stop", "")
	good := sum{Text: "a b c", Finish: "stop", Done: true, Usage: tokens(9, 3)}
	whole := start(`"input_tokens":9,"output_tokens":1`) + text + end("end_turn", `"output_tokens":3`) + stop
	add("Anthropic", whole, good)
	add("pings", strings.ReplaceAll(whole, "event: content_block_delta", "event: ping\ndata: {\"type\": \"ping\"}\n\nevent: content_block_delta"), good)
	add("without names", strings.ReplaceAll(whole, "event: ", ": "), good)
	add("without types", strings.ReplaceAll(whole, `"type":"content_block_delta",`, ""), good)
	add("and DONE", whole+sse(done), good)
	add("unknown events and deltas", strings.Replace(whole, "event: content_block_stop", event("sparkle", `,"delta":"x","message":5`)+
		piece("citations_delta", "citation", "x")+"event: content_block_stop", 1), good)
	cached := *tokens(109, 3)
	cached.Cached = 90
	add("a cached prompt", start(`"input_tokens":9,"cache_read_input_tokens":90,"cache_creation_input_tokens":10,"output_tokens":1`)+text+
		end("end_turn", `"output_tokens":3`)+stop, sum{Text: "a b c", Finish: "stop", Done: true, Usage: &cached})
	add("all counts at the end", start(`"input_tokens":0,"output_tokens":0`)+text+
		end("end_turn", `"input_tokens":9,"cache_read_input_tokens":90,"cache_creation_input_tokens":10,"output_tokens":3`)+stop,
		sum{Text: "a b c", Finish: "stop", Done: true, Usage: &cached})
	add("an estimate first", start(`"input_tokens":4,"output_tokens":0`)+text+end("max_tokens", `"input_tokens":9,"output_tokens":3`)+stop,
		sum{Text: "a b c", Finish: "length", Done: true, Usage: tokens(9, 3)})
	add("no counts", start("")+text+end("stop_sequence", "")+stop, sum{Text: "a b c", Finish: "stop", Done: true})
	add("counts of the prompt alone", start(`"input_tokens":9,"output_tokens":1`)+text+event("message_delta", `,"delta":{"stop_reason":"end_turn"},"usage":null`)+stop,
		sum{Text: "a b c", Finish: "stop", Done: true})
	add("counts that grow", start(`"input_tokens":9`)+text+event("message_delta", `,"delta":{},"usage":{"output_tokens":2}`)+end("end_turn", `"output_tokens":3`)+stop, good)
	add("thinking", start(`"input_tokens":9`)+block("thinking", `,"thinking":"","signature":""`)+piece("thinking_delta", "thinking", "h")+piece("thinking_delta", "thinking", "m")+
		piece("signature_delta", "signature", "EqQB")+event("content_block_stop", `,"index":0`)+text+end("end_turn", `"output_tokens":3`)+stop,
		sum{Reasoning: "hm", Text: "a b c", Finish: "stop", Done: true, Usage: tokens(9, 3)})
	add("tool use", start(`"input_tokens":9`)+block("tool_use", `,"id":"t","name":"add","input":{}`)+piece("input_json_delta", "partial_json", "")+
		piece("input_json_delta", "partial_json", `{\"a\":`)+piece("input_json_delta", "partial_json", `1}`)+end("tool_use", `"output_tokens":3`)+stop,
		sum{Tool: `add{"a":1}`, Finish: "tool_calls", Done: true, Usage: tokens(9, 3)})
	add("refusal", start(`"input_tokens":9`)+end("refusal", `"output_tokens":1`)+stop, sum{Finish: "content_filter", Done: true, Usage: tokens(9, 1)})
	add("a reason of its own", start("")+text+end("pause_turn", `"output_tokens":3`)+stop, sum{Text: "a b c", Finish: "pause_turn", Done: true, Usage: tokens(0, 3)})

	overloaded := event("error", `,"error":{"type":"overloaded_error","message":"Overloaded"}`)
	add("overloaded", start(`"input_tokens":9`)+text+overloaded, sum{Text: "a b c", Err: "Overloaded (overloaded_error)"})
	add("overloaded, without a name", start(`"input_tokens":9`)+text+strings.Replace(overloaded, "event", ":", 1), sum{Text: "a b c", Err: "Overloaded (overloaded_error)"})
	add("error, then DONE", start("")+overloaded+sse(done), sum{Err: "Overloaded (overloaded_error)"})
	add("error as a chat has it", start("")+text+sse(`{"error":{"message":"boom"}}`), sum{Text: "a b c", Err: "boom"})
	add("error without a text", start("")+sse(`{"type":"error"}`), sum{Err: "an error without a text"})
	add("cut", start(`"input_tokens":9,"output_tokens":1`)+text, sum{Text: "a b c"})
	add("cut before message_stop", start(`"input_tokens":9`)+text+end("end_turn", `"output_tokens":3`), sum{Text: "a b c", Finish: "stop", Usage: tokens(9, 3)})
	add("DONE alone is no end", start("")+text+sse(done), sum{Text: "a b c"})
	add("wrong type", sse(`{"type":"content_block_delta","delta":"x"}`), sum{
		Malformed: `read content_block_delta: json: cannot unmarshal string into Go value of type targets.blockJSON: "{\"type\":\"content_block_delta\",\"delta\":\"x\"}"`,
	})
	add("text for data", "event: message_stop\ndata: ok\n\n", sum{Malformed: `data is no JSON object: "ok"`})
	return all
}

// ollamaCorpus has what Ollama does to a chat of its own.
func ollamaCorpus() (all []recording) {
	add := func(name, stream string, want sum) {
		all = append(all, recording{name, targets.OllamaChat{}, stream, want})
	}
	line := func(message, rest string) string {
		return `{"model":"m","created_at":"2026-11-22T02:07:13.01833Z","message":{"role":"assistant"` + message + `}` + rest + "}\n"
	}
	text := line(`,"content":"a"`, `,"done":false`) + line(`,"content":" b"`, `,"done":false`) + line(`,"content":" c"`, `,"done":false`)
	end := line(`,"content":""`, `,"done":true,"done_reason":"stop","total_duration":7,"prompt_eval_count":9,"prompt_eval_duration":1,"eval_count":3`)
	good := sum{Text: "a b c", Finish: "stop", Done: true, Usage: tokens(9, 3)}
	add("a chat", text+end, good)
	add("CRLF", strings.ReplaceAll(text+end, "\n", "\r\n"), good)
	add("blank lines", strings.ReplaceAll(text+end, "\n", "\n\n \n\r\n"), good)
	add("no last line end", strings.TrimSuffix(text+end, "\n"), good)
	add("stamps of other lengths", strings.Replace(text, "01833Z", "018331459Z", 1)+end, good)
	add("cut by num_predict", text+strings.Replace(end, `"stop"`, `"length"`, 1), sum{Text: "a b c", Finish: "length", Done: true, Usage: tokens(9, 3)})
	add("no reason", text+line(`,"content":""`, `,"done":true`), sum{Text: "a b c", Finish: "stop", Done: true})
	add("text in the last line", line(`,"content":"a"`, `,"done":true,"done_reason":"stop"`), sum{Text: "a", Finish: "stop", Done: true})
	add("a prompt all cached", text+line(`,"content":""`, `,"done":true,"done_reason":"stop","eval_count":3`), sum{Text: "a b c", Finish: "stop", Done: true, Usage: tokens(0, 3)})
	add("thinking", line(`,"content":"","thinking":"h"`, `,"done":false`)+line(`,"content":"","thinking":"m"`, `,"done":false`)+text+end,
		sum{Reasoning: "hm", Text: "a b c", Finish: "stop", Done: true, Usage: tokens(9, 3)})
	add("tool calls", line(`,"content":"","tool_calls":[{"function":{"index":0,"name":"add","arguments":{"a":1}}},{"function":{"name":"now","arguments":{}}}]`, `,"done":false`)+end,
		sum{Tool: `add{"a":1}now{}`, Finish: "stop", Done: true, Usage: tokens(9, 3)})
	add("load", strings.TrimSuffix(line(`,"content":""`, `,"done":true,"done_reason":"load"`), "\n"), sum{Finish: "load", Done: true})
	add("UTF-8 and escapes", line(`,"content":"ж𝄞"`, `,"done":false`)+line(`,"content":"\u0436\n"`, `,"done":false`)+end,
		sum{Text: "ж𝄞ж\n", Finish: "stop", Done: true, Usage: tokens(9, 3)})

	add("error", text+`{"error":"boom"}`+"\n", sum{Text: "a b c", Err: "boom"})
	add("error object", `{"error":{"message":"boom","code":500}}`+"\n", sum{Err: "boom (500)"})
	add("error null is none", strings.ReplaceAll(text+end, `"done":`, `"error":null,"done":`), good)
	add("cut", text, sum{Text: "a b c"})
	add("cut within a line", text+`{"model":"m","mess`, sum{Text: "a b c", Malformed: `line is no chunk of a chat: unexpected end of JSON input: "{\"model\":\"m\",\"mess"`})
	add("another dialect", sse(done), sum{Malformed: `line is no JSON object: "data: [DONE]"`})
	add("garbage", "<html>\n"+text+end, sum{Text: "a b c", Finish: "stop", Done: true, Usage: tokens(9, 3), Malformed: `line is no JSON object: "<html>"`})
	add("nothing", "", sum{})
	return all
}
