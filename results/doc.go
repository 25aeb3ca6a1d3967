// Package results is the vocabulary that every other package shares: what one
// request was like (Sample), what was done to the stack and when (Event), the
// append-only log that holds both (Log, ReadLog), the definitions of every
// metric (the methods of Sample), the statistics behind "enough samples"
// (Distribution, Wilson), and what a run came to (Finding, Report, Exit), with
// the directory, the tables and the JSON that hold and show it.
//
// It is not for deciding: hypotheses and the judge live in experiments. It
// sends nothing, breaks nothing, and imports nothing else of this module.
//
// # Data flow
//
//	attacks ─ Sample ─┐
//	faults  ─ Event  ─┼─► Recorder (one lock, one clock) ─► Log · live judge · progress
//	                                                          │
//	                                     ReadLog ─► judge ─► Report ─► WriteTable · WriteLoad · WriteJSON
//	                                              └─► SamplesCSV · VLLM (and attacks.VegetaFile)
//
// # Why a recorder stamps events
//
// A judge that passes once over the log must know, when it meets a sample,
// every fault event up to that sample's end. The Recorder therefore stamps an
// event inside the lock under which it writes it: a sample that ended after
// the event is always written after it. A second pass, and a million samples
// held in memory for it, are never needed. For the same reason the log cuts
// times off instead of rounding them: a sample never seems to have ended later
// than it did.
//
// # Why the log is only memory until a second is over
//
// The log is written while the load is on, by the process that stamps the
// load. So Add appends to memory (3 µs for a stream of 100 chunks) and a
// goroutine compresses and writes. A kill -9 loses at most a second of samples,
// and no event that says where the harm stands: after those the Recorder syncs,
// outside its lock, so that no stream waits for the disk at the very moment of
// the injection. What was flushed is readable wherever the file is cut; the
// reader says ErrTorn at the cut, and the report says that the run was killed.
//
// # Readings
//
// A Reading is what a server, or this process, says of itself at one moment: gauges and counters by signal, and
// histograms without the buckets that say nothing. One is some 500 bytes of JSON and 110 in the compressed log. Logs
// that were made before there were any have none, and are read as ever. A quantile of a histogram is a bucket, with
// PromQL's interpolation for its value; where a difference matters we go by the mean, which is exact.
//
// # What counts
//
// A failure that gave no token has a TTFT of +∞, or a p99 would improve as a
// stack dies; so has the E2E of every failure, cut streams among them. A
// refusal (429, 503) is an answer: it counts in success alone. The silence
// before a failed stream's end is a stall. Quantiles are by nearest rank over
// all values, finite or not. Chunks that arrived in one read are one arrival.
//
// Users who left by plan were served until then: the first token, the gaps and the stalls that they saw count, and the
// TTFT of one who gave up waiting is +∞, or a p99 would be good by the leaving of all who waited long. They are in
// neither success nor E2E nor goodput: nobody knows how it would have ended. What the end of a run cancels counts
// nowhere but in the tokens that arrived. An answer in one piece has an E2E, and no times of tokens.
//
// Tokens of attempts that did not serve, and of requests that failed in the end, are thrown away (Wasted); the former
// are in no other figure. 0 leaks say something only where answers carry their own nonce (Echoed).
//
// # Both clocks, and what was counted
//
// TTFT and E2E are reported from Due and from Sent: the first is what a user waited, the second what the server
// can help; the Lag between them is ours. A report says who counted the tokens (Usage.Source), how many
// a chunk had and how many chunks came in one read with another, because an ITL is the time between chunks.
//
// # For other tools
//
// The JSON of a Report is its fields, in their order: times are Seconds, a number or "inf"; names ending in _ns
// are nanoseconds; shares are 0 to 1; lists are never null. Fields are added, and none that was released changes its
// meaning while Version stays. SamplesCSV is a row a request. VLLM says what vLLM's benchmark would
// have said of the same requests: where its definitions are not ours, nobody has to guess which of two numbers
// is wrong. All of them are Sinks that see each record once, so that they work live and over a log.
//
// # Libraries
//
// klauspost/compress writes the log: zstd at its default level costs about two
// bytes a chunk, and its Flush makes all that came before it readable after a
// kill -9. DataDog/sketches-go holds the distributions: DDSketch promises a
// relative error (0.1 % here) at every quantile and merges, where an HDR
// histogram of the same precision over our range (10 µs to hours) is larger. We
// use its mapping and its store without the sketch around them, which has no
// place for +∞ and finds quantiles by another rank. olekukonko/tablewriter
// draws the tables, all in table_draw.go.
package results
