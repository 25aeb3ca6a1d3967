// Package calibrate measures how well this machine measures: the errors of our own
// stamps, and what a stream costs us, at rising numbers of streams.
//
// It is not a benchmark of a server, and says nothing about a network: both ends are on
// one machine, so an error is what our process and its share of the cores add.
//
//	Run ─ for each level ─► perfect.Start: a server in a process of its own
//	                        attacks.New: the same attack as any, at the rate that makes so many streams
//	                        warm-up, a window of seconds, drain
//	                        Join: each sample with the server's stamps, by the id in a response header
//	    ─► Calibration: a table, JSON, and a file that run and attack look into
//
// # What is compared
//
// Both processes stamp by CLOCK_MONOTONIC (see targets/perfect). The server notes when it
// had read a request and just before it writes each chunk; the client's stamps are those
// of its samples, as every report has them. The error of ttft is the client's, from Sent to
// the first chunk, less the server's, from the request to the first write; that of itl is
// the same for each gap. Neither can be less than what the loopback and two wake-ups take.
// Whatever the attack does beside is in it: decoding, nonces, outcomes, garbage
// collection. Not in it are the log and the judge of a run, whose work is that of a
// goroutine at the end of each stream.
//
// # The budget
//
// Median errors of at most 1 ms for ttft and 0.5 ms for itl, 15 ms at the 99th percentile.
// A first token in 20 ms and one each 10 ms are about the fastest that servers of
// inference give to a user, so the medians are a twentieth of what is measured at its
// fastest; the tail is less than one frame of a screen. Other generators' stamps, as far
// as they say anything, are worse by ten and more: asyncio's timers have steps of 0.6 to
// 1.8 ms, and one client was seen to add 40 ms to a first token at 32 streams.
//
// A level is within budget if all requests were served whole, so many streams did run, and
// the errors are within. The highest load is that up to which every level was: one that
// passes above one that failed is luck.
//
// # What it does not hide
//
// The server shares the machine, so it publishes what it used and how late it was by its
// own schedule: where it was, the load was not what was meant, though the errors are still
// those of the client, as each is held against a write that happened. So does every other
// process: where /proc/stat says how much they used, it is in the table. Nothing is
// measured twice and the better one kept.
//
// Memory is the process's resident set at its most, less what it was before the attack,
// over the streams: with the garbage that was not collected yet, without the kernel's
// buffers. The level for it is another one, with long prompts and answers and a slow
// server, and is measured first, in a heap that no other level has stretched.
//
// The file holds the machine's identity: another host, processor or number of cores (a
// cgroup's limit counts) is another machine, which is not calibrated. Another version of the
// program is not, but what is stated then says which one measured.
//
// # Libraries
//
// golang.org/x/sys/unix has the process's CPU time and limits; runtime/metrics its
// garbage collector's pauses.
package calibrate
