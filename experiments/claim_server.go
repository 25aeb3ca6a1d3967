package experiments

import (
	"slices"
	"strings"

	"github.com/failwhale/failwhale/results"
)

// serverPrefix begins the metrics that the stack's servers tell of themselves.
const serverPrefix = "server."

// serverDefs is the vocabulary of what servers tell, in the order in which messages list it.
func serverDefs() []metricDef {
	return []metricDef{
		{"server.success", shareClass, true, 0},
		{"server.error_rate", shareClass, true, 0},
		{"server.requests_per_second", rateClass, true, 0},
		{"server.tokens_per_second", rateClass, true, 0},
		{"server.prompt_tokens_per_second", rateClass, true, 0},
		{"server.ttft", distributionClass, true, 0},
		{"server.itl", distributionClass, true, 0},
		{"server.tpot", distributionClass, true, 0},
		{"server.e2e", distributionClass, true, 0},
		{"server.queue_time", distributionClass, true, 0},
		{"server.running", levelClass, true, 0},
		{"server.waiting", levelClass, true, 0},
		{"server.kv_usage", fillClass, true, 0},
	}
}

// Server reports whether m is what servers tell of themselves, and not what we saw.
func (m Metric) Server() bool { return strings.HasPrefix(m.Name, serverPrefix) }

// signal is what a histogram or a gauge of m is called in readings; "" of what is made of counters.
func (m Metric) signal() string {
	switch m.class() {
	case distributionClass, levelClass, fillClass:
		return strings.TrimPrefix(m.Name, serverPrefix)
	default:
		return ""
	}
}

// counters are the signals of which m is made: there must be one of each of these lists.
func (m Metric) counters() [][]string {
	switch m.Name {
	case "server.success", "server.error_rate":
		return [][]string{{results.SignalDone, results.SignalFailed}}
	case "server.requests_per_second":
		return [][]string{{results.SignalDone, results.SignalFailed, results.SignalE2E, results.SignalTTFT}}
	case "server.tokens_per_second":
		return [][]string{{results.SignalOutputTokens}}
	case "server.prompt_tokens_per_second":
		return [][]string{{results.SignalPromptTokens}}
	default:
		return [][]string{{m.signal()}}
	}
}

// instead is what to write for words that others use; "": nobody does.
func instead(word string) string {
	switch strings.TrimPrefix(word, serverPrefix) {
	case "queue", "queued", "queue_length", "pending":
		return "write max(server.waiting), a number of requests, or p99(server.queue_time)"
	case "rps", "qps", "requests", "throughput":
		return "write server.requests_per_second or server.tokens_per_second"
	case "kv", "kv_cache", "kv_cache_usage", "gpu_cache_usage":
		return "write max(server.kv_usage)"
	case "tps", "tokens", "goodput", "goodput_tokens":
		return "write server.tokens_per_second"
	case "errors", "failures":
		return "write server.error_rate"
	case "latency":
		return "write p99(server.e2e)"
	default:
		return ""
	}
}

// serverWord fails on a word that begins as the servers' do and is none, and reports whether it did.
func (p *claimParser) serverWord(t token) bool {
	if t.kind != tokenName || !strings.HasPrefix(t.text, serverPrefix) {
		return false
	}
	if hint := instead(t.text); hint != "" {
		p.fail(t, "no server tells %s: %s", t.text, hint)
		return true
	}
	var all []string
	for _, d := range serverDefs() {
		all = append(all, d.name)
	}
	hint := DidYouMean(t.text, all)
	if hint == "" {
		hint = "; known are " + strings.Join(slices.Sorted(slices.Values(all)), ", ")
	}
	p.fail(t, "no server tells %s%s", t.text, hint)
	return true
}

// bucketed refuses what a histogram cannot tell.
func (p *claimParser) bucketed(stat token, m Metric) {
	if m.Server() && m.class() == distributionClass && (m.Stat == "max" || m.Stat == "min") {
		p.fail(stat, "servers tell %s by buckets, which have no %s: write p99(%s), or mean", m.Name, m.Stat, m.Name)
	}
}
