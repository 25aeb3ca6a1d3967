// Package targets is what is tested: a stack of endpoints, regions, config
// stores, dependencies and GPUs, how to reach each of them, and the wire formats
// that its endpoints speak.
//
// It is not for deciding what to do to a stack (faults), what to ask of it
// (attacks), or when (experiments). It offers verbs; they hold the sentences.
//
//	Spec (YAML) ─ Open ─► Stack ─ Handle (JSON) ─► file, journal ─ Attach ─► Stack, in another process
//	                        ├─ Region      kill, stop, start          the supervisor's control API
//	                        ├─ Store       read, swap, remove         HTTP with ETags, or a file
//	                        ├─ Dependency  set, clear                 a wire proxy's control API
//	                        └─ GPU         lock, unlock, read         nvidia-smi, run where the GPU is
//	Prompt ─ Dialect.Encode ─► request … response ─ Splitter ─► Event ─ Decoder ─► Delta
//
// # Handles
//
// A Stack is reached through its Handle alone, which is plain JSON without
// secrets. So whatever one process did to a stack, another can undo. A process is
// named by pid, start time and boot: a stack whose supervisor has certainly ended
// is ErrGone, and then nothing of it is left to undo, its simulated GPUs and stores
// included. A supervisor that lives and does not answer is an error and never ErrGone.
//
// A reference stack is a child process that is started by an argv which main
// passes in (Launcher); this package does not know what runs in it. It reads the
// other end of a pipe, and ends with whoever started it.
//
// # Dialects
//
// Each wire format is a file and a line in Dialects. A Splitter cuts an answer's bytes into
// events, by the rules of server-sent events or one a line; the dialect's Decoder makes of each
// event a Delta: text, and what tells a whole answer from a cut one. Both keep to what servers
// send and not to what a standard says:
//
//	openai-chat         finish_reason, [DONE]           vLLM, SGLang, TGI, llama.cpp, Ollama, gateways
//	openai-completions  finish_reason, [DONE]           the same; the prompt is plain text
//	openai-responses    response.completed              numbered events: a gap in the numbers is an error
//	anthropic-messages  stop_reason, message_stop       also vLLM, llama.cpp, Ollama
//	ollama-chat         "done":true, done_reason        Ollama; lines
//
// and three that answer by one JSON object (Whole), which is one event: its end is its last word.
//
//	openai-embeddings       data[].embedding            vLLM, SGLang, TEI, llama.cpp, Ollama, LocalAI, gateways
//	openai-images           data[].url, b64_json        OpenAI, LocalAI, gateways
//	openai-transcriptions   text                        vLLM, whisper servers, LocalAI; a form with a sound in it
//
// An answer is whole only with both of its ends, where a dialect has two: engines die between
// them. An error counts wherever it stands: under a key, in an event or a field of that name, in a
// bare line, before [DONE] and after a finish_reason. What is unknown is ignored, and what cannot
// be read is an error of the decoder.
//
// Usage is asked for once, at the end (stream_options.include_usage), and is read wherever
// it comes. The usage in every chunk that vLLM gives for continuous_usage_stats would tell
// tokens from chunks, but is not asked for: OpenAI refuses a request that has it, and every chunk
// would differ from the last in a number and cost a full decode. Where a server sends it
// unasked it is read. Usage of zeros is none: Ollama sends that until it has counted.
//
// Nearly all events of a stream are like the one before but for a few words. So a
// decoder learns: what one chunk looks like around its text, its time stamp and its number, proven
// by the full decode of a changed one (dialect_plain.go). A chunk like it costs 20 to 70 ns
// instead of 2 to 4 µs (BenchmarkDecode), and one that is not costs the full decode. The text
// of tool calls is JSON in JSON, has escapes, and is always decoded in full.
//
// Calls of tools stand twice in a Delta: as text, which is counted and looked through, and apart, by which a
// conversation answers them.
//
// A Delta's text is a copy or a piece of the read; nothing of it is trimmed, and an answer's
// spaces and line ends are tokens as any other.
//
// # Trust
//
// A change of a config store is always made on what was read before: by If-Match, or by
// comparing the file's digest. nvidia-smi exits 0 where it did nothing, and prints errors
// where results go: its text counts as much as its code.
//
// # Servers' own figures
//
//	page ─ ParseMetrics ─► Reading (running, waiting, ttft …) ─ Scraper, each second ─► results.Sink
//
// What servers call their figures is one table (serverKinds); which kind a page is of is told by the names on it, as
// a Dynamo worker shows its engine's too and a gateway may stand before anything. Series on one page are summed: users
// meet all models, engines and replicas behind it. Shares are the largest, since the fullest cache preempts first; hit
// rates are the mean. Of ranks of one engine, which all show the same, one counts. Buckets are added where bounds agree,
// and elsewhere only the mean is left. A Reading is what the page says and no more: differences between readings, and
// counters that began anew, are the judge's affair, so that a log can be judged again.
//
// Some figures do not mean what they seem to. llama.cpp counts tokens when a request ends, and those of a cancelled
// one never; Triton's *_duration_us are counters, from which we make a mean; its first response is a chunk; TGI has
// no time to first token at all. Where two series of a counter are summed and one of them begins anew, the sum may not
// become less, and the restart is seen only by process_start_time_seconds.
//
// A page is asked again only after it has answered, in a goroutine of its own: one that hangs delays no other, and
// nothing about a page ends a run.
//
// # Libraries
//
// prometheus/common's expfmt reads the text format: the parser of those who defined it. Its OpenMetrics is partial, so we
// ask for text 0.0.4; a TextParser must be made with a validation scheme, as its zero value panics. client_model
// holds what it read.
//
// golang.org/x/sys asks what the standard library does not expose: whether a directory may be
// written, and macOS's process table. Everything else is the standard library.
package targets
