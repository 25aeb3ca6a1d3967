package targets_test

import (
	"regexp"
	"strings"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// sse is a stream of nameless events with these payloads.
func sse(payloads ...string) string {
	return "data: " + strings.Join(payloads, "\n\ndata: ") + "\n\n"
}

// token and finish are chunks of a chat.
func token(text string) string {
	return `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"` + text + `"},"finish_reason":null}]}`
}

const (
	role   = `{"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`
	finish = `{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	usage  = `{"id":"c1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}`
	done   = `[DONE]`
)

// chatCorpus has what servers do to a chat.
func chatCorpus() (all []recording) {
	add := func(name, stream string, want sum) {
		all = append(all, recording{name, targets.OpenAIChat{}, stream, want})
	}
	good := sum{Text: "a b c", Finish: "stop", Done: true, Usage: tokens(9, 3)}
	whole := sse(role, token("a"), token(" b"), token(" c"), finish, usage, done)
	add("vLLM", whole, good)
	add("no role chunk", sse(token("a"), token(" b"), token(" c"), finish, usage, done), good)
	add("role in every chunk", strings.ReplaceAll(whole, `"delta":{"content"`, `"delta":{"role":"assistant","content"`), good)
	add("role with null", strings.Replace(whole, `"content":""`, `"content":null`, 1), good)
	add("usage in the finish chunk", sse(token("a b c"), `{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3}}`, done), good)
	add("usage in every chunk", sse(
		`{"choices":[{"delta":{"role":"assistant","content":""}}],"usage":{"prompt_tokens":9,"completion_tokens":0}}`,
		`{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":9,"completion_tokens":1}}`,
		`{"choices":[{"delta":{"content":" b c"}}],"usage":{"prompt_tokens":9,"completion_tokens":3}}`,
		finish, usage, done), good)
	add("usage null until the last", sse(strings.Replace(token("a b c"), `"model"`, `"usage":null,"model"`, 1), finish, usage, done), good)
	add("no usage", sse(token("a b c"), finish, done), sum{Text: "a b c", Finish: "stop", Done: true})
	add("text in the finish chunk", sse(token("a b"), `{"choices":[{"delta":{"content":" c"},"finish_reason":"stop"}]}`, usage, done), good)
	add("finish and usage again", sse(token("a b c"), finish, finish, usage, usage, done, done), good)
	add("padding", sse(strings.Replace(token("a b c"), `"model"`, `"obfuscation":"x7","model"`, 1), finish, usage, done), good)

	add("CRLF", strings.ReplaceAll(whole, "\n", "\r\n"), good)
	add("CR", strings.ReplaceAll(whole, "\n", "\r"), good)
	add("data without a space", strings.ReplaceAll(whole, "data: ", "data:"), good)
	add("BOM", "\xef\xbb\xbf"+whole, good)
	add("comments and pings", strings.ReplaceAll(whole, "data: ", ": ping\n\n:\nevent: ping\ndata: 12:00\n\ndata: "), good)
	add("id and retry", strings.ReplaceAll(whole, "data: ", "id: 7\nretry: 100\ndata: "), good)
	add("event message", strings.ReplaceAll(whole, "data: ", "event: message\ndata: "), good)
	add("an object over several data lines", strings.ReplaceAll(whole, `,"choices"`, ",\ndata: \"choices\""), good)
	add("no last blank line", strings.TrimSuffix(whole, "\n\n"), good)
	add("empty events", strings.ReplaceAll(whole, "\n\n", "\n\n\n\n"), good)
	add("characters over reads", sse(token("жёλ"), token("€"), token("𝄞"), finish, done), sum{Text: "жёλ€𝄞", Finish: "stop", Done: true})
	add("escapes", sse(token(`\u0436\ud834\udd1e \" \\ \n`), token("a"), finish, done), sum{Text: "ж𝄞 \" \\ \na", Finish: "stop", Done: true})
	add("spaces and line ends are text", sse(token(" "), token(`\n`), token("  "), finish, done), sum{Text: " \n  ", Finish: "stop", Done: true})
	long := strings.Repeat("x", 1<<20)
	add("a megabyte", sse(token("a"), token(long), token("b"), finish, done), sum{Text: "a" + long + "b", Finish: "stop", Done: true})

	add("reasoning", sse(`{"choices":[{"delta":{"reasoning":"hm"}}]}`, `{"choices":[{"delta":{"reasoning":" so"}}]}`, token("a"), token("b"), finish, done),
		sum{Reasoning: "hm so", Text: "ab", Finish: "stop", Done: true})
	add("reasoning_content", sse(`{"choices":[{"delta":{"reasoning_content":"hm","content":null}}]}`, token("a"), finish, done),
		sum{Reasoning: "hm", Text: "a", Finish: "stop", Done: true})
	add("tool calls", sse(
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"add","arguments":""}}]}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}`,
		`{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}`, done),
		sum{Tool: `add{"a":1}`, Finish: "tool_calls", Done: true})
	add("no token", sse(role, finish, done), sum{Finish: "stop", Done: true})

	boom := sum{Text: "a", Err: "boom (server_error, 500)"}
	boomDone := boom
	boomDone.Done = true
	fault := `{"error":{"code":500,"message":"boom","type":"server_error"}}`
	flat := `{"code":500,"message":"boom","type":"server_error"}`
	add("error, and no more", sse(token("a"), fault), boom)
	add("error, then DONE", sse(token("a"), fault, done), boomDone)
	add("a field called error, then DONE", sse(token("a"))+"error: "+flat+"\n\n"+sse(done), boomDone)
	add("an event called error", sse(token("a"))+"event: error\ndata: "+flat+"\n\n", boom)
	add("a bare line of JSON", sse(token("a"))+fault+"\n", boom)
	add("error and finish", sse(token("a"), fault, finish, done), sum{Text: "a", Finish: "stop", Done: true, Err: boom.Err})
	add("error first", sse(fault, done), sum{Done: true, Err: boom.Err})
	add("abort", sse(token("a"), `{"choices":[{"delta":{},"finish_reason":"abort"}]}`, done),
		sum{Text: "a", Finish: "abort", Done: true, Err: `finish_reason "abort"`})
	for _, reason := range []string{"error", "timeout", "cancelled", "insufficient_system_resource"} {
		add("gave up: "+reason, sse(token("a"), `{"choices":[{"delta":{},"finish_reason":"`+reason+`"}]}`, usage, done),
			sum{Text: "a", Finish: reason, Done: true, Usage: tokens(9, 3), Err: `finish_reason "` + reason + `"`})
	}
	add("cut after a token", sse(token("a")), sum{Text: "a"})
	add("cut after the finish", sse(token("a"), finish), sum{Text: "a", Finish: "stop"})
	add("cut within a token", sse(token("a"))+`data: {"choices":[{"delta":{"con`, sum{Text: "a", Malformed: `data is no chunk of a chat completion: unexpected end of JSON input: "{\"choices\":[{\"delta\":{\"con"`})
	add("DONE without a finish", sse(token("a"), done), sum{Text: "a", Done: true})
	add("engine killed behind Ollama", sse(token("a"), `{"model":"","choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}`), sum{Text: "a"})
	add("another dialect", `{"message":{"content":"a"},"done":false}`+"\n"+`{"error":"boom"}`+"\n",
		sum{Malformed: `line is no field of an event stream: "{\"message\":{\"content\":\"a\"},\"done\":false}"`})
	add("nothing", "", sum{})
	return all
}

// completionsCorpus has what servers do to a completion.
func completionsCorpus() (all []recording) {
	add := func(name, stream string, want sum) {
		all = append(all, recording{name, targets.OpenAICompletions{}, stream, want})
	}
	piece := func(text, finish, usage string) string {
		return `{"id":"cmpl-1","object":"text_completion","created":1,"choices":[{"text":"` + text + `","index":0,"finish_reason":` + finish + `}],"model":"m"` + usage + `}`
	}
	const zeros = `,"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`
	good := sum{Text: "a b", Finish: "length", Done: true, Usage: tokens(9, 3)}
	add("vLLM", sse(piece("a", "null", ""), piece(" b", `"length"`, ""), usage, done), good)
	add("Ollama", sse(piece("a", "null", zeros), piece(" b", "null", zeros), piece("", `"length"`, zeros), usage, done), good)
	add("llama.cpp", sse(piece("a", "null", ""), piece(" b", "null", ""), piece("", `"length"`, `,"usage":{"prompt_tokens":9,"completion_tokens":3}`), done), good)
	add("no usage", sse(piece("a", "null", zeros), piece("", `"stop"`, zeros), done), sum{Text: "a", Finish: "stop", Done: true})
	add("a chat's chunks", sse(token("a"), finish, done), sum{Finish: "stop", Done: true})
	add("error, then DONE", sse(piece("a", "null", ""), `{"error":{"message":"boom"}}`, done), sum{Text: "a", Done: true, Err: "boom"})
	add("error in a choice", sse(`{"choices":[{"text":"a","error":"boom","finish_reason":"error"}]}`, done), sum{Text: "a", Finish: "error", Done: true, Err: "boom"})
	add("wrong type", sse(`{"choices":[{"text":5}]}`), sum{
		Malformed: `data is no chunk of a completion: json: cannot unmarshal number into Go struct field .choices.text of type string: "{\"choices\":[{\"text\":5}]}"`,
	})
	return all
}

// responsesCorpus has what servers do to a response.
func responsesCorpus() (all []recording) {
	add := func(name, stream string, want sum) {
		all = append(all, recording{name, targets.OpenAIResponses{}, stream, want})
	}
	event := func(kind, rest string) string {
		return "event: " + kind + "\ndata: {" + rest + `,"type":"` + kind + `"}` + "\n\n"
	}
	text := func(n, text string) string {
		return event("response.output_text.delta", `"content_index":0,"delta":"`+text+`","item_id":"m","sequence_number":`+n)
	}
	const counts = `"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1}}`
	begin := event("response.created", `"response":{"status":"in_progress","error":null,"usage":null},"sequence_number":0`) +
		event("response.in_progress", `"response":{"status":"in_progress"},"sequence_number":1`) +
		event("response.output_item.added", `"item":{"type":"message","role":"assistant","content":[]},"sequence_number":2`) +
		event("response.content_part.added", `"part":{"type":"output_text","text":""},"sequence_number":3`)
	middle := text("4", "a") + text("5", " b") + text("6", " c")
	repeats := event("response.output_text.done", `"text":"a b c","sequence_number":7`) +
		event("response.output_item.done", `"item":{"type":"message","content":[{"text":"a b c"}]},"sequence_number":8`)
	end := event("response.completed", `"response":{"status":"completed","error":null,`+counts+`},"sequence_number":9`)
	count := &results.Usage{Prompt: 9, Cached: 4, Output: 3, Reasoning: 1, Source: results.UsageServer}
	good := sum{Text: "a b c", Finish: "stop", Done: true, Usage: count}
	whole := begin + middle + repeats + end
	unnumbered := func(stream string) string {
		return regexp.MustCompile(`,"sequence_number":[0-9]+`).ReplaceAllString(stream, "")
	}
	add("OpenAI", whole, good)
	add("and DONE", whole+sse(done), good)
	add("without names", strings.ReplaceAll(whole, "event: response.", ": response."), good)
	add("without types", strings.ReplaceAll(whole, `,"type":"response.`, `,"kind":"response.`), good)
	add("without numbers", unnumbered(whole), good)
	add("one number for all", begin+text("0", "a")+text("0", " b")+text("0", " c")+end, good)
	add("CRLF", strings.ReplaceAll(whole, "\n", "\r\n"), good)
	add("numbers that repeat are no count", begin+text("4", "a")+text("4", "b")+text("9", "c"), sum{Text: "abc"})
	add("unknown events", begin+event("response.sparkle.delta", `"delta":{"x":1},"sequence_number":4`)+"event: ping\ndata: 12:00\n\n"+
		text("5", "a b")+text("6", " c")+strings.Replace(end, `sequence_number":9`, `sequence_number":7`, 1), good)
	add("cut by max_output_tokens", begin+middle+event("response.incomplete", `"response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},`+counts+`},"sequence_number":7`),
		sum{Text: "a b c", Finish: "length", Done: true, Usage: count})
	add("the same by vLLM", begin+middle+event("response.completed", `"response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},`+counts+`},"sequence_number":7`),
		sum{Text: "a b c", Finish: "length", Done: true, Usage: count})
	add("filtered", begin+middle+event("response.incomplete", `"response":{"incomplete_details":{"reason":"content_filter"}},"sequence_number":7`),
		sum{Text: "a b c", Finish: "content_filter", Done: true})
	add("reasoning and its summary", event("response.reasoning_text.delta", `"delta":"h"`)+event("response.reasoning_text.delta", `"delta":"m"`)+
		event("response.reasoning_summary_text.delta", `"delta":" so"`)+unnumbered(middle+end), sum{Reasoning: "hm so", Text: "a b c", Finish: "stop", Done: true, Usage: count})
	add("tool call", event("response.output_item.added", `"item":{"type":"function_call","name":"add","arguments":""}`)+
		event("response.function_call_arguments.delta", `"delta":"{\"a\":"`)+event("response.function_call_arguments.delta", `"delta":"1}"`)+
		event("response.function_call_arguments.done", `"arguments":"{\"a\":1}"`)+unnumbered(end), sum{Tool: `add{"a":1}`, Finish: "stop", Done: true, Usage: count})
	add("refusal", begin+event("response.refusal.delta", `"delta":"I can't","sequence_number":4`)+unnumbered(end), sum{Text: "I can't", Finish: "stop", Done: true, Usage: count})

	add("a gap", begin+text("4", "a")+text("7", " c")+text("8", "d")+end,
		sum{Text: "a cd", Finish: "stop", Done: true, Usage: count, Err: "sequence_number jumped from 4 to 7: events are missing"})
	add("a gap before the end", begin+middle+end, sum{Text: "a b c", Finish: "stop", Done: true, Usage: count, Err: "sequence_number jumped from 6 to 9: events are missing"})
	bare := event("response.mcp_call.in_progress", `"x":1`)
	add("one that is not numbered is no gap", begin+bare+text("5", "a"), sum{Text: "a"})
	add("and excuses none later", begin+bare+text("4", "a")+text("6", "b"), sum{Text: "ab", Err: "sequence_number jumped from 4 to 6: events are missing"})
	add("nor after what was learned", begin+text("4", "a")+text("5", "b")+bare+text("6", "c")+text("8", "d"),
		sum{Text: "abcd", Err: "sequence_number jumped from 6 to 8: events are missing"})
	add("failed", begin+middle+event("response.failed", `"response":{"status":"failed","error":{"code":"server_error","message":"boom"}},"sequence_number":7`),
		sum{Text: "a b c", Done: true, Err: "boom (server_error)"})
	add("failed without a word", begin+event("response.failed", `"response":{},"sequence_number":4`), sum{Done: true, Err: "response failed"})
	add("completed, but in error", begin+event("response.completed", `"response":{"status":"completed","error":{"message":"boom"}},"sequence_number":4`), sum{Done: true, Err: "boom"})
	add("completed, but cancelled", begin+event("response.completed", `"response":{"status":"cancelled"},"sequence_number":4`), sum{Done: true, Err: "response cancelled"})
	add("error", begin+middle+event("error", `"code":"server_error","message":"boom","param":null,"sequence_number":7`), sum{Text: "a b c", Err: "boom (server_error)"})
	add("error in an envelope", begin+event("error", `"error":{"type":"server_error","message":"boom"},"sequence_number":4`)+sse(done), sum{Err: "boom (server_error)"})
	add("error without a name", begin+sse(`{"type":"error","code":"x","message":"boom"}`), sum{Err: "boom (x)"})
	add("error as a chat has it", begin+sse(`{"error":{"message":"boom"}}`), sum{Err: "boom"})
	add("cut", begin+middle, sum{Text: "a b c"})
	add("DONE alone is no end", begin+middle+sse(done), sum{Text: "a b c"})
	add("wrong type", sse(`{"type":"response.output_text.delta","delta":{"x":1}}`), sum{
		Malformed: `read response.output_text.delta: json: cannot unmarshal object into Go value of type string: "{\"type\":\"response.output_text.delta\",\"delta\":{\"x\":1}}"`,
	})
	add("text for data", "event: response.completed\ndata: ok\n\n", sum{Malformed: `data is no JSON object: "ok"`})
	return all
}
