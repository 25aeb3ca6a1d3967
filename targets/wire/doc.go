// Package wire is the fault proxy: TCP links that stand between a stack and
// what it calls, and that can be made slow through a control API, on connections
// that are already open as well as on new ones.
//
// It is not for HTTP: it passes bytes on and knows nothing of requests. It is
// not part of a run either. It lives in the stack's own processes, so that a run
// that dies takes no connection with it; and a fault is held by a lease, so that
// nobody needs to come and undo what a dead run left: bytes that were being
// delayed go through at once, unharmed and in order, when the lease ends.
//
//	client ─► listener ─► pump up   ─► upstream          PUT    /v1/links/{name}/fault    sets or renews
//	client ◄─          ◄─ pump down ◄─ upstream          DELETE /v1/links/{name}/fault    clears, any number of times
//	                        │                            GET    /v1/links                 counters, and what is left of the lease
//	                   Fault with a lease
//
// A pump stamps each chunk that it reads and writes it latency ± jitter after
// that stamp. So a stream is shifted by a constant and does not drift: the first
// token comes later, the gaps between tokens stay as they were. Without a fault
// a chunk is written by the goroutine that read it, without being copied.
//
// # Why not toxiproxy
//
// Its fault has no time to live, its random numbers cannot be seeded, and it
// dials the upstream inside the accept loop without a limit: one black-holed
// upstream keeps every other client, and its Stop, waiting.
//
// What the proxy cannot do: the kernel accepts a connection before the proxy
// sees it, so a connect is never slow; and what waits longer than a few MiB a
// direction (see MaxHeld) waits in the kernel's buffers, unstamped.
package wire
