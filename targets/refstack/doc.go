// Package refstack is the embedded reference stack: a small, honest LLM serving
// stack over real sockets and real processes, with every weakness that large
// outages were made of as a knob. It is what `failwhale stack` runs, so that
// every drill has something to break and a newcomer sees an outage in a minute.
//
// It is not a model server and says nothing about anybody's: no model runs, and
// what an engine does takes as long as published measurements say that it would.
// It is not for more than one machine, and not for tests of the API's every
// parameter: sampling, tools and stop words are accepted and change nothing. A user whose line begins
// with "Repeat exactly: " is answered by the rest, and so there are prompts with a known answer.
//
// # Processes
//
//	Supervise ── starts, restarts with back-off, holds down ──┐   control API: processes
//	                                                          ▼
//	client ─► edge ─┬─► region east     gateway ► queue ► router ► replicas
//	                ├─► region west     │  ▲                         ▲
//	                └─► region central  │  └ router config ◄─ shared │ clock locks ◄─ SMI
//	                                    ▼                    ▲ (PUT) │ (files)
//	                       session store in region east ◄─ links in shared (wire.Proxy)
//
// Inside a region everything is calls; there is a socket only where a fault
// needs one. Supervise runs in the command's own process and everything else in
// children (RunNode), so that a region's kill is a kill. A child ends when its
// lifeline, a pipe from the supervisor, does; on Linux the kernel kills it with
// the supervisor as well, also a stopped one.
//
// # What decides and what drives
//
// Engine, Queue, Router, Breaker and Rollout are plain state machines that are
// told the time and hold no goroutine. A replica, a gateway, a guard and a
// consumer drive them with the real clock; tests drive them by hand. An engine's
// step is due its modelled length after the previous one was due: a late timer
// does not make the GPU slower, and a pause of the process is not made up for.
//
// # Knobs
//
//	edge      flawed: users are pinned to their home region, a dead one is a 502
//	          hardened: two failures in a row eject a region, of requests or of the probes
//	          that notice one which hangs; its silent streams are cut, probes bring it back,
//	          and a request that has had no byte goes to the next region
//	router    flawed: round-robin; hardened: least outstanding tokens
//	config    flawed: applied at once, everywhere, unchecked: a null pools ends the process
//	          hardened: checked, soaked by the first region by name, last known good kept
//	sessions  flawed: an unbounded pool that keeps few, retries without back-off, no limit
//	          on the wait, no chat without the store
//	          hardened: a fixed pool, 100 ms for a load and for a save, a breaker, stateless chat
//	queue     flawed: unbounded, in the order of arrival
//	          hardened: bounded by prompt tokens, tiers in order, 429 with Retry-After
//
// A stream that has begun is never continued elsewhere: when its region dies the
// edge breaks the client's connection, in either setting.
//
// # What is modelled
//
// Step times are a formula fitted to measured profiles (see Model), checked in
// the tests against published latencies; scheduling follows vLLM V1. Prefix
// caching, tokenizers and quantization are left out: every prompt is computed,
// and its length estimated. Control-plane times (soak, hold, restart) are
// seconds where the real ones are minutes; prefill and decode are never scaled.
//
// # Libraries
//
// miniredis is the session store's primary, and go-redis its clients: pools,
// handshakes and refusals are the ones that outages have met. client_golang
// exposes metrics under vLLM's names, as real scrapers expect them. Both ends of
// HTTP are net/http: the edge is a loop of read, write and flush on
// http.Transport, and not httputil.ReverseProxy, because it must wait for a
// first byte before it commits itself to a region.
package refstack
