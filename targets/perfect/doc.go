// Package perfect is an LLM server whose every moment is known: it speaks OpenAI chat
// completions, writes each token when it is due, and notes when it really did. By its
// stamps a load generator learns the error of its own (see attacks/calibrate).
//
// It is not a model of a server: it never queues, batches, fails or slows down. For
// those there is the reference stack. It serves on loopback, to a client of its machine.
//
//	request ─► converse: stamps its last byte ─► writer: a heap of streams, the one that is due next first
//	                                                 │ stamp, write(2) of one chunk
//	client  ◄────────────────────────────────────────┘          GET /stamps ─► all stamps, and forgets them
//
// # Why a process of its own
//
// In the client's process it would share the garbage collector, the scheduler and the
// poller with what it is to measure: a pause of the one would stop the clock of the
// other, and nobody would see it. It dies with the client, by the end of a pipe.
//
// # Why CLOCK_MONOTONIC
//
// The stamps of two processes are compared to the microsecond, so they must be of one
// clock: CLOCK_MONOTONIC is the machine's, and no step of the wall clock moves it. Each
// process compares its own Go clock with it once (Timebase), since asking the kernel for
// every stamp would cost a system call. On Linux the two are the same clock, and the
// comparison is right to 100 ns. On macOS Go's is another one, without NTP's corrections:
// that can shift what compares one process's stamp with the other's (the delivery delay),
// but no error of a length of time, which is one process's difference minus the other's.
//
// # How it keeps out of the way
//
// Client and server share the machine's cores, so what the server uses the client lacks,
// and it says how much that was (Stamps.CPU). One goroutine writes all streams: with one
// and a timer for each, the timers would cost more than the writes. It wakes at most
// each 100 µs and writes what is due by then; streams are spread over the interval, so
// that this is five chunks of a thousand streams and never all of them. A write that
// would wait does not: a client that reads nothing keeps no other waiting. Requests are
// read by net/http's parser, once a stream; responses are bytes composed ahead, each
// chunk of 250 bytes in a write of its own, as inference servers do.
//
// What it cannot help is being late where the cores are busy. Its stamps are taken just
// before each write, so its lateness is no error of the client's; but load that was meant
// to be even then is not, and Answer.Lateness says by how much.
//
// # Libraries
//
// golang.org/x/sys/unix has the clock, a sleep to the microsecond on Linux (Go's timers
// are late by up to a millisecond) and the process's CPU time. encoding/gob carries the
// stamps: half a million of them are a few megabytes and a few milliseconds.
package perfect
