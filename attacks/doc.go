// Package attacks puts load on an endpoint and says of every request what became
// of it: profiles (when requests are due), workloads (what they say), clients (who
// sends them and how patient they are), and the engine that sends them.
//
// It is not for judging a run (experiments), for breaking anything (faults), or for
// knowing a server's words (targets.Dialect). It does not follow redirects or
// use proxies.
//
//	Profile ─ arrivals ──► agenda ─ Pacer, Targeter ─► vegeta ─ workers ─► runner.RoundTrip
//	Workload, Client ─ turns ─┘ ◄─ conversations' next turns ────────────────┤ a goroutine a turn: attempts, back-off
//	                                                                         ▼
//	pool ─ link ─ socket (stamps) ─► feed ─► body (HTTP/2: frames, stream) ─ pieces ─► intake: events, tokens, nonces ─► outcome ─► Sample ─► Sink
//
// # The schedule
//
// A profile is a base and parts that are added to it, each a source of arrivals with
// random numbers of its own. All that is random comes from the seed: due times from one
// stream of numbers a source, each request's client, lengths and words from one that
// belongs to its place in its source. So every judged phase does the same work, a run can
// be repeated, a change to the rate leaves the prompts as they are, and a spike during the
// fault leaves the base's requests as they were in the baseline. The warm-up does other
// work. In a prompt, the nonce stands between the text that requests share and the
// request's own words: what a server caches of one phase is of no use to it in the next.
//
// A rate that changes is a process of rate 1 on a clock that runs as fast as the rate is
// high: request n is due when the integral of the rate passes the n-th point of a Poisson
// process (or n itself, where requests are spaced evenly). That is exact, where thinning
// would draw requests to throw them away and steps of time would round; and twice the rate
// has the same pattern in half the time. Ramps and steps are inverted in closed form, a
// sine by Newton's method. Gamma gaps are drawn as Marsaglia and Tsang do. k6's stages are
// a ramp's stages, its target and duration here to and over.
//
// Sources are drawn one arrival at a time and never held: 10 to 100 ns each (see
// BenchmarkDue). They are values with a next, not iterators: to merge and to wait need no
// coroutine. While it waits, the Pacer writes the next turns, as many as there is time
// for: of a burst in the Mooncake trace, fifteen prompts of 50 kB at the same moment, the
// last one was 15 ms late without and is 1 ms late with it.
//
// A closed loop has no schedule. A request is due when its user's last one has ended, so
// that due is when it is sent: a stack that stalls is asked less, and neither its figures
// nor our lateness show it. Reports say so. An open loop is what the public does. A user whose
// request failed sends no more than ten a second (k6's and wrk's go on at full speed): else one
// replica of two that refuses at once would have nearly all requests, and success would be
// nearly none, and a dead server would be met with all that our machine can do.
//
// # The workload
//
// A workload is classes of requests by share, each a feature of the service: its lengths, models,
// wire format, path. What a class leaves out is its preset's, and each preset's figures are those
// of a published recording (Presets says which). All but the lengths and the words is decided by a
// random number of its own, made of the request's seed: a class that gets models, prefix groups or
// golden prompts keeps its clients and lengths, and with them every figure that is compared with an
// earlier run's. Lengths of a class may be drawn from a trace in pairs, since long prompts do not
// have long answers (a correlation of -0.11 in Azure's conversations); a hundred thousand of them
// are kept, whatever the file's size. A part of the profile may be for a tier, a tenant or a feature:
// its requests are of those clients and classes alone, by the same shares among them.
//
// A class without lengths and without a preset takes its lengths from the profile's trace. What
// bursts in service (code) has a coefficient of variation beside its lengths, which a command may
// space its requests by: a workload does not say when requests are due.
//
// # Conversations
//
// A request of a class with turns is the first of a conversation. When a turn has ended, its
// goroutine writes the next one, which is due when its user has thought: at Done and the time that
// was drawn. It carries the system prompt, what was asked and what the server really answered (its text and its calls
// of tools; no reasoning), up to 1 MiB an answer of each. After calls the next turn is what the tools gave back, for as
// long as the model calls them, as an agent does; a call that was cut short is carried on as text, for some servers refuse
// a history in which arguments are no JSON, and with it all turns to come. The agenda keeps such turns in a
// heap beside the plans of the phases, and releases what is due first; only a user who does not think at all
// has a next turn that is written after it is due. They live on from phase to phase, and are of the one
// that is on when they are due; the end of the load drops those that are still to come. How many turns there are,
// and of each how long its user thinks, what they ask and how long the answer may be, is drawn by the
// conversation's seed: the same in each judged phase, whatever the server does.
// A rate is that of beginnings: the load grows until as many conversations end as begin, so a warm-up that is shorter
// than they are leaves the baseline with less load than the phases after it.
//
// A turn that failed does not end its conversation: users ask again, and a stack that is in trouble would
// else be asked less and look better. Its question is left out of what follows. Of an answer that its
// client left by plan, what had come is kept, as a chat does. In a closed loop a user has one conversation after
// another and is busy with it while they think.
//
// # Traces
//
// A trace's format is known by its first line, whatever its name, and gzip by its first
// two bytes; every phase streams it anew from the disk, so that its size does not matter.
//
//	Azure 2023, 2024    CSV with TIMESTAMP, ContextTokens, GeneratedTokens, in any order
//	Azure LMM 2025      the same with NumImages, which are left out
//	BurstGPT            CSV with Timestamp (in seconds), Request tokens, Response tokens
//	Mooncake            JSON lines with timestamp (in ms), input_length, output_length, hash_ids (of 512 tokens)
//	Bailian (Qwen)      the same with chat_id, timestamp in seconds, hash_ids of 16 tokens
//	ours                JSON lines; the first is {"failwhale_trace":1}, and each other one has due_ns (from the start
//	                    of a phase), prompt_tokens, output_tokens, and may have block_tokens and blocks
//
// Ours can hold what any of the others does, to the nanosecond; attack --dry-run --json
// writes it. Times are read as integers, since a float of seconds since 1970 has no room
// for the seventh digit that Azure's have, and count from the file's first line; in ours they
// are what they say, so that a spike after a pause is replayed as one. Many lines
// share a time, and none of the published files falls back: a line that is earlier than
// the one before it is an error and not sorted. speed divides the time since the start and
// never a gap, so that no rounding adds up. keep thins: it leaves requests out and moves
// none, where rescaling would keep them all and stretch the bursts. A length of 0 (an
// answer that failed, as in BurstGPT) is asked for as 1: the request came, and was load.
// Azure's 2024 times end in +00:00, with or without a fraction, within one file.
//
// Where no workload is written, prompts and answers are as long as the trace says, and its
// hash_ids are text: each id is the same words in every prompt, so that prompts which begin
// with the same ids begin with the same bytes, and a server's prefix cache has from us what
// it had from the users. input_length is the whole prompt of its turn: history is in the
// ids and not added again. (Bailian's chat_id is of a turn, and not of a conversation:
// nothing here goes by it.) Before them stand eight digits of the run and the phase, or
// the baseline would warm the cache for the fault; the last block gives way to the nonce.
//
// A request is due when the schedule says so and sent as soon as we can; the
// difference is the sample's lag and never hidden. A phase that ends while we are
// behind leaves its backlog to be sent. On Linux the last millisecond is waited for
// by a timerfd: Go's own timers were late by 0.55 ms in the median and 1.1 ms in the
// 99th percentile on an idle machine, the timerfd by 0.04 and 0.15 ms, at the same 2
// to 5 % of a core; spinning was as good as the timerfd and took a whole core at 1,000/s.
//
// # Stamps
//
// A chunk's time is that of the socket read which brought the last byte that its event
// needs: the blank line of a server-sent event, the line end of a JSON line. It is taken
// before anything looks at the bytes, and below TLS. Events whose last bytes one read
// brought have one stamp, and all but the first are marked Coalesced: how far apart the
// server made them is not to be known. crypto/tls by itself begins a record by a read of a
// few hundred bytes, so that what had come together would look as if it had not: it reads
// from a feed, which takes all there is.
//
// However a stream is cut into reads, its sample is the same but for times and marks. That
// is a law, and fuzzed (FuzzSplitsGiveTheSameSample).
//
// # Outcomes
//
// Complete is a 2xx stream of the dialect's media type without an error, with the dialect's
// terminal, at least one token, and a usage that can be true, that ended as HTTP says. Everything else
// is a failure with a name; the first of these that fits: wrong_user, stream_error,
// malformed; then what ended it (cancelled, deadline, idle_timeout, reset);
// truncated, empty, length_mismatch. So a leak counts also in a stream that was cut
// later, and an error event also in one that then hung. Failures are told apart by
// the stage that they came from and by what HTTP saw of the connection, never by an
// error's text. A server that ends TLS in order and one that just closes are the same: reset.
//
// A server may count tokens as it likes, so length_mismatch is only what cannot be:
// fewer bytes of text than tokens (two a token, in answers of more than a few), or more
// than four chunks a token: see mismatch. Text that is lost at fewer tokens is not seen.
// Nor is it where tokens have no text by right: beside calls of tools, whose template is
// counted and not shown, and under Anthropic's thinking, of which newer models show a
// summary and count the whole. Where a usage says how much was reasoning, the rest is held
// against the answer alone.
//
// A golden prompt whose answer is whole and not the one that is known is wrong_answer; any other failure of it is
// what it would be.
//
// Limits of our own machine (open files, local ports) are no failures of the server:
// they end the attack, and so does a panic over a prompt or over what a server sent.
//
// # Whose answer it is
//
// Each conversation has a nonce, and so has each user who comes again (users); both stand in the prompt, after what
// requests share, as the id of the reader. Another one in an answer is wrong_user, whatever else became of it, and the
// error names both requests. Another conversation's of the same user is one, too, and says so: a user sees text of
// their own, by the mix-up that shows it to others. A nonce is looked for wherever a server may put it: in text,
// reasoning and tool calls, in errors inside a stream, in refusals, in a 200 that is no stream; over any chunks, and
// behind JSON's escapes at any depth (\u002d, \\u002d, \-): from an answer's first backslash on it is read twice. In
// capitals, with other characters between its own, or encoded otherwise (base64, HTML), it is not found. A number that
// was never handed out is a model's slip.
//
// Real models need not repeat what they are told: an answer without its own nonce is no failure. Sample.Echoed says
// which had it: in those a swap would have been seen. canary asks the model for it.
//
// # Clients who leave
//
// They close the connection: over tokens, no byte more is looked at than the one that completed the last, though the
// same read may have brought others (Sample.Bytes has them). After a time they leave wherever they are, between two
// attempts too: then the sample is that of the attempt which had failed. Before the first byte means as soon as the
// kernel has the request whole; on a connection that the server closed at that moment it never hears of it. What
// failed or was complete before they left has that outcome. An answer in one piece has no tokens to leave after.
//
// # Answers in one piece
//
// An embedding, an image, a transcript come in one piece (whole.go). Such an answer is complete once HTTP says that
// it is, all of it is one JSON object, and there is a result in it; with HTTP's word and half an object it is
// truncated, without a result empty. A nonce is looked for in all of its bytes, and in its texts again where they
// were escaped. It has no first token, so that a client's first_token does not bound it. There are no questions with a
// known answer, no canaries and no conversations where no model answers in words.
//
// # Tokens
//
// Tokens are counted by the server, in the usage at an answer's end; else by the usage that
// came with each chunk, of a stream that was cut; else by the model's own tokenizer, where
// the model is one of OpenAI's; else there is one a chunk. Usage.Source says which. A count
// is shared out over the chunks where they did not say how many each has. A tokenizer that
// is nearly the model's is not used: its error would look like the server's. The text is
// kept for it only then, and counted when the stream has ended and all its stamps are
// taken, on one core at a time. A message_start of Anthropic's has a count that is a
// placeholder, and early zeros of Ollama's completions are none.
//
// # Why not net/http's transport
//
// Its head parser and its headers are used; its connections and bodies are not. Its
// chunked reader keeps a finished HTTP chunk back while the next one is half there, so
// that a token is stamped with the arrival of the one after it. It has two goroutines
// and two buffers a connection; what is here (pool.go, feed.go, body.go) has no goroutine,
// and a buffer only while there is something in it, and its reads cost a quarter less of our
// CPU where one brings many chunks, and a little less where it brings one (see
// BenchmarkIntake). And it does not tell
// when a request was written and when its connection failed, by which a stale connection
// is told from a server that died. It would not send a POST twice by itself once a byte
// was written, and could be made to use a new connection: those are no reasons.
//
// What is given up: proxies (HTTP_PROXY and HTTPS_PROXY are ignored, and a connection
// that fails says so where one is set), and client certificates.
//
// A prompt that the kernel may not take at once (16 KiB) is written while the answer is
// read, so that a server which refuses it early is heard. If it then closes with the rest
// unread, its kernel resets the connection, and the refusal may be lost on the way: a reset.
//
// # Memory
//
// A stream waits for its server nearly all of its time, and holds then little but its
// chunks: the read buffer goes back to those of the whole pool, the request is dropped once
// it cannot be sent again, and the stack is that of our own goroutine and not of vegeta's
// worker with http.Client's frames on it, which had twice the size. With prompts of 4 KB and
// answers of 200 chunks, 9,000 streams at a time hold 10 KB of heap and 8 KB of stack each,
// and 26 KB are resident (BenchmarkMemory; 24, 16 and 39 before). To wait for a socket
// without a buffer, its syscall.RawConn is read: net.Conn has no way to. Under TLS a stream
// holds 8 KiB more, and what crypto/tls does.
//
// # Between attempts
//
// A sample describes the attempt that served, or the last one; its Attempts are all the others. What the SDKs send
// again is sent again (no connection, none of a response, 408, 409, 429, 5xx), and a first token that was given up.
// An answer that was cut, failed inside, fell silent or was empty is asked for again only by who presses reload
// (RetryCut); one that came whole and is wrong (wrong_user, malformed, length_mismatch …) by nobody: a second answer
// would hide it.
//
//	attempt ─ or, hedged, two: the first token wins ─► next door, at once ─► … ─► back-off, from the first door again
//
// A hedge goes to the same door, on a connection of its own (over HTTP/2 a stream), once a request; the pair is one
// try of the retries, and what became of it is what became of the one that ended last. An answer in one piece, and
// whatever nobody asks again after (400, wrong_user, malformed …), wins as a first token does: a later answer would
// hide it. A failover is for what is retried, and for a stream that was cut before its first token: nobody has seen any
// of it. Other doors have their own key, model, dialect and certificate, and the request is written anew for them; a
// client's headers go to all of them. Whose request may be sent again keeps it meanwhile: memory that a plain client
// gives back.
//
// A retry budget is Finagle's: each request pays in its part of a retry, good for ten seconds, each retry takes out
// a whole one, and who finds none ends with the failure that it has, and says so in its Error. Hedges and failovers
// are not counted. A queue for 10/s under 7/s that stalls for 20 s, with clients that wait 10 s: with two retries it is
// still down two minutes later, with a budget of 10% it is back after 24 s
// (TestARetryStormOutlivesItsCause). Finagle's floor of 10 retries a second would be 17/s there.
//
// # Budget
//
// Before an attempt its request, and the most tokens that it may take, are put aside of what the budget has left; after
// it what the server counted is taken instead. So the bound holds however many are under way, and a few requests
// fewer are sent than would have fitted, had one known. What does not fit ends the schedule: a first try of it is no
// request, has no sample and is not counted as sent; a retry, hedge or failover is not made, and the sample says so.
// Nothing is sent from then on, not even what would still fit: what is left of a load is not the load.
//
// A refusal, and what no server heard of, uses no tokens; who fell silent or died before a status may have read the
// prompt, and uses it.
//
// # Stale connections
//
// Servers close pooled connections under us: some after every stream, while they
// promise to keep them. The kernel is asked before one is used again. If the news
// crossed our request, then the connection was reused, no byte of a response came, and
// it failed within one way there and back of the request's being written (as its own
// connect took, but at least 5 and at most 500 ms; see link.stale for why that is proof):
// only then is it replaced, once, by a new one, and counted in Reconnects. Anything
// later is a reset: the server may have begun. A server that is seen never to keep a
// connection is given a new one each time.
//
// # HTTP/2
//
// A client with http2 has many streams on a connection, up to what the server takes (a hundred until it has said, as
// net/http assumes), then on another; the one with the fewest has the next. A goroutine reads a connection and stamps
// its reads, and hands each stream what is its own: of a DATA frame each part with the stamp of the read that brought
// it, so that an event does not wait for the rest of its frame. Marks are by those reads, too. Outcomes are those of
// HTTP/1.1. RST_STREAM is a reset and named by its code, a connection's end is one of each of its streams, and what is
// no HTTP/2, or not as long as it said, is malformed; without END_STREAM nothing is complete. A client that leaves
// ends its stream (CANCEL) and not the connection. Where GOAWAY or REFUSED_STREAM says that the server has not begun,
// or the connection was stale (see above), the request goes on another connection, twice at most, counted in Reconnects.
// A stream whose client tired of hearing nothing at all has a ping sent after it, and its connection takes no other
// until that, or anything, is heard. A connection that is not needed any more is ended by GOAWAY, which may take a
// tenth of a second and is left out where the server does not read it by then.
//
// A server may send 256 KiB of an answer before we take any. A request's header list is read from it as HTTP/1.1 writes
// it, so that both say the same; where that is longer than the server's SETTINGS take, the request is not sent and is
// fails as connect. Prompts are kept until a response begins: any of them may have to be sent again.
//
// # Slow readers and churn
//
// A client with read takes an answer's body in portions of 50 ms by the clock, below TLS, and its kernel is asked for a
// receive buffer of 4 KiB: the server can be ahead by that, doubled, by its own kernel's buffer, and under TLS by a
// record. Over HTTP/2 its streams have windows of 4 KiB, and a chunk's time is when its last portion was taken. That a
// portion is not yet due is never taken for silence. A client with requests_per_connection closes a connection
// after so many, and says nothing of it before. Clients that connect in different ways share no connections.
//
// # Libraries
//
// tsenart/vegeta drives: it starts workers as they are needed and has no limit of
// its own. What it measures is not used (its latency runs from the send to the last
// byte), and neither is its sleep, which cannot be woken: our Pacer waits instead. Its
// encoder writes VegetaFile: our samples in its format, as the status codes that it knows.
// golang.org/x/net/http/httpguts checks header names and values as net/http does. Of golang.org/x/net/http2 we have
// the framer and HPACK, and not its Transport: that reads a connection through a buffer and a body through a pipe, and
// no reader of a body can tell which socket read brought what, or when.
// golang.org/x/sys/unix has the timerfd. tiktoken-go/tokenizer counts as OpenAI's models do, with
// the vocabularies in the program; only its codecs are used, since its table of models gives
// a fine-tuned gpt-4o the vocabulary of gpt-4, and knows neither gpt-oss nor gpt-5 with a date.
package attacks
