// Package results is the vocabulary that every other package shares: what one
// request was like (Sample), what was done to the stack and when (Event), the
// append-only log that holds both (Log, ReadLog), the definitions of every
// metric, the statistics behind "enough samples", and what a run came to
// (Finding, Report, Exit), with the tables that show it.
//
// It is not for deciding: hypotheses and the judge live in experiments. It
// sends nothing, breaks nothing, and imports nothing else of this module.
//
// # Data flow
//
//	attacks ─ Sample ─┐
//	faults  ─ Event  ─┼─► Recorder (one lock, one clock) ─► Log · live judge · progress
//	                                                          │
//	                                     ReadLog ─► judge ─► Report ─► Table · JSON
//
// # Why a recorder stamps events
//
// A judge that passes once over the log must know, when it meets a sample,
// every fault event up to that sample's end. The Recorder therefore stamps an
// event inside the lock under which it writes it: a sample that ended after
// the event is always written after it. A second pass, and a million samples
// held in memory for it, are never needed.
//
// # Libraries
//
// klauspost/compress writes the log: zstd at its default level costs about two
// bytes a chunk, and its Flush makes all that came before it readable after a
// kill -9. DataDog/sketches-go holds the distributions: DDSketch promises a
// relative error (0.1 % here) at every quantile and merges, where an HDR
// histogram of the same precision over our range (10 µs to hours) is larger.
// olekukonko/tablewriter draws the tables.
package results
