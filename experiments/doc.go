// Package experiments holds what an experiment is: the plan (one YAML file), the
// grammar of its hypotheses, and the judge that turns a run's records into a
// verdict, a pure function of them. The runner joins load and harm and writes
// those records.
//
// It is not for sending, breaking or measuring: attacks, faults and results do that.
//
// # Data flow
//
//	experiment.yaml ─ Load ─► Plan ─► Runner ─► records ─┬─► log ─ JudgeLog ─► Report
//	                                     ▲               └─► Judge ─────────► Report
//	                                     └ Gate, Breached, Reached ┘
//
// # Reading files
//
// A walker of its own decodes yaml.Nodes: yaml.v3's decoder loses columns, stops at
// duplicate keys, and forgets KnownFields in Node.Decode. It reports every
// mistake at once, as file:line:col: path: what is wrong. Files are strict: unknown and
// repeated keys, numbers without a unit where a duration is meant, YAML merge keys, a
// second document and secrets that are written out are refused.
//
// # How claims are decided
//
// A claim is about the samples of its phase, and compared with what was seen in them: no
// confidence interval widens a bar. What statistics decide is whether there were enough
// samples to say it, which a share p needs n of, where n successes of n reach p by Wilson's
// lower bound (381 for 99 %), and a quantile q n(1−q) ≥ 3. Below that a claim is undecided
// with one exception, on purpose: a few samples can be enough to refute what they
// can never be enough to hold. A claim is refuted early if even Wilson's bound on the other side
// violates it. Undecided is the answer of last resort in a tool whose reader wants to know
// whether to stop; 40 failures of 200 requests are an answer.
//
// Rates go by the moment and not by the request: tokens by their arrival, goodput by completion,
// in windows that meet without a gap. They include what streams of the warm-up bring after baseline
// began. Without these baseline would look poorer than it is, and "80% of baseline" too easy.
// Attack has no warm-up: its goodput is that of all requests that were due, however late they ended, as vLLM and
// DistServe count it; by completion the last requests of a short load would be missing, and none stand in for them.
//
// A Gate, the check of the fault phase's absolute claims against baseline, passes only what Held:
// a baseline too short to tell is not steady. Load warns of it, and counts on no luck: where arrivals, clients, classes
// or leavers are drawn, on two standard deviations fewer than are expected, and never on what is still under way at its
// end, as far as the plan tells how long answers take.
//
// # Servers beside us
//
// Beside the load the runner has the stack's pages of metrics read, and this process' own pauses, into the log. The
// judge takes the difference of each reading from the one before, counts it to the phase in which the middle between
// the two lies, and sets it beside what we saw of requests with the same labels, by the moment as the servers do: the
// TTFT from Sent of those whose first token came within the phase, and the tokens that arrived within it. The runner
// has pages read anew at each border of phases, so that little lies astride. Pages with the same labels are
// taken together.
//
// What lies between the two means is the network, what stands in front of the server, and our own lateness in reading:
// a check of ourselves, which is shown and never hidden, and decides nothing. A counter that has become less began
// anew (a killed region restarts its own at 0) and has counted since what it shows now; what was counted between
// the last reading and the death is lost. The difference between token counts is no fault by itself: some servers
// count a request's when it ends, and those of a cancelled or failed one never.
//
// # Claims about servers
//
// What servers tell can be claimed as well (server.success, p99(server.ttft)), beside a load of ours or, with attack:
// none, in place of one: then real traffic is judged, of which we send nothing. A page counts everybody's requests, so
// such a claim is about all of them. It decides only what is known: a page that was not read for more than a
// moment, or counters that began anew, leave a share or a quantile undecided, but not what could only be worse (a
// maximum over its bar) or better (a rate that is high enough without the missing page). Where the servers counted
// no request of a phase, nothing holds: it touched nobody. A rate that was to stay is refuted then, if
// there was traffic in the baseline.
//
// A quantile is where its bucket's values would put it if they were spread evenly; past the last bucket it is only
// known to be over that. A server that never counts failures (TensorRT-LLM's, by itself) has no success to
// judge, however many requests it has done.
//
// # Libraries
//
// go.yaml.in/yaml/v3 parses YAML: the maintained continuation of gopkg.in/yaml.v3, whose nodes carry
// lines and columns.
package experiments
