package experiments_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

// A scene is what two servers went through, read each second; each serves ten requests a second, of which those of
// west fail in the fault.
type scene struct {
	dies  float64 // east is unreachable from then on; 0: never
	anew  float64 // its counters begin anew
	kind  string
	quiet bool // nobody asks for anything after baseline
}

func (sc scene) play(s *script) {
	s.stack = twoPages
	done, failed, past := map[string]float64{}, map[string]float64{}, map[string]results.Histogram{}
	told := false
	for at := 0.0; at <= loadEnd+1; at++ {
		for _, page := range []string{"east", "west"} {
			if sc.anew == at && page == "east" {
				done[page], failed[page], past[page] = 0, 0, results.Histogram{}
			}
			switch {
			case sc.quiet && at >= inject:
			case page == "west" && at > inject && at <= reverted:
				failed[page] += 10
			default:
				done[page] += 10
				past[page] = past[page].Plus(results.Histogram{Count: 10, Sum: 0.8, Bounds: []float64{0.075, 0.1}, Counts: []uint64{0, 10}})
			}
			r := &results.Reading{
				At: sec(at), Source: page, Labels: results.Labels{"region": page}, Server: sc.kind,
				Values: map[string]float64{
					results.SignalDone: done[page], results.SignalFailed: failed[page], results.SignalOutputTokens: 10 * done[page],
					results.SignalWaiting: 2, results.SignalKV: 0.25,
				},
				Histograms: map[string]results.Histogram{results.SignalTTFT: past[page]},
			}
			if sc.quiet && at >= inject {
				r.Values[results.SignalWaiting] = 0
			}
			if sc.kind == "trtllm" {
				delete(r.Values, results.SignalFailed)
			}
			if page == "east" && sc.dies > 0 && at >= sc.dies {
				if told {
					continue
				}
				r, told = &results.Reading{At: sec(at), Source: page, Labels: r.Labels, Error: "connection refused"}, true
			}
			s.read(r)
		}
	}
}

// What servers tell holds or refutes a claim only as far as it is known and they were asked for anything.
func TestClaimsAboutServers(t *testing.T) {
	well := scene{kind: "vllm"}
	dead, anew, quiet, blind := well, well, well, scene{kind: "trtllm"}
	dead.dies, anew.anew, quiet.quiet = 12, 15, true
	for _, tc := range []struct {
		name  string
		scene scene
		claim string
		want  results.Verdict
		says  string // in what was observed, or why
	}{
		{"a share", well, `server.success >= 90% during fault`, results.Refuted, "110 of 220 failed"},
		{"a share of one", well, `server.success{region="east"} >= 90% during fault`, results.Held, "100 %"},
		{"the worst", well, `worst(region, server.success) >= 40% during fault`, results.Refuted, "west: 0 %"},
		{"too few", well, `server.success{region="east"} >= 99% during fault`, results.Undecided, "it takes 381"},
		{"a rate", well, `server.requests_per_second >= 95% of baseline during fault`, results.Held, "20/s"},
		{"tokens", well, `server.tokens_per_second >= 90% of baseline during fault`, results.Refuted, "10"},
		{"a quantile", well, `p90(server.ttft{region="east"}) < 100ms during fault`, results.Held, "between 75.0 ms and 100 ms"},
		{"a quantile at the bar", well, `p90(server.ttft{region="east"}) < 90ms during fault`, results.Refuted, "97.5 ms"},
		{"a mean", well, `mean(server.ttft{region="east"}) < 90ms during fault`, results.Held, "80.0 ms"},
		{"a gauge", well, `max(server.waiting) <= 4 during fault`, results.Held, "4"},
		{"a gauge of one", well, `max(server.waiting{region="west"}) < 2 during fault`, results.Refuted, "2"},
		{"the fullest", well, `max(server.kv_usage) <= 30% during fault`, results.Held, "25"},
		{"no such signal", well, `p90(server.e2e) < 1s during fault`, results.Undecided, "has no e2e"},
		{"recovery", well, `recovery(server.success >= 90%) < 2s`, results.Held, ""},
		{"a server that counts no failures", blind, `server.error_rate <= 1% during fault`, results.Undecided, "trtllm has no requests failed"},
		{"a dead server's share", dead, `server.success >= 40% during fault`, results.Undecided, "connection refused"},
		{"beside a dead server", dead, `server.success{region="west"} >= 90% during fault`, results.Refuted, ""},
		{"a dead server's least rate", dead, `server.requests_per_second >= 50% of baseline during fault`, results.Held, ""},
		{"a dead server's most", dead, `server.requests_per_second <= 500/s during fault`, results.Undecided, "connection refused"},
		{"recovery of a dead one", dead, `recovery(server.success >= 90%) < 2s`, results.Undecided, "connection refused"},
		{"counters begin anew", anew, `server.success{region="east"} >= 90% during fault`, results.Undecided, "began anew"},
		{"but not in another phase", anew, `server.success{region="east"} >= 40% during recovery`, results.Held, ""},
		{"nobody asked", quiet, `max(server.waiting) <= 4 during fault`, results.Undecided, "no request"},
		{"nobody asked, by a share", quiet, `server.success >= 40% during fault`, results.Undecided, "no request"},
		{"nobody came any more", quiet, `server.requests_per_second >= 50% of baseline during fault`, results.Refuted, "0/s"},
		{"nobody was there to recover", quiet, `recovery(server.success >= 90%) < 2s`, results.Undecided, "no request"},
	} {
		s := newScript(fmt.Sprintf("hypotheses: ['%s']\n", tc.claim))
		tc.scene.play(s)
		f := s.judge(t).Findings[0]
		if f.Verdict != tc.want || !strings.Contains(f.Observed+" "+f.Why, tc.says) || strings.Contains(f.Why, "raise the rate") { // which may be others'
			t.Errorf("%s: %s: %s, %s (%s); want %s, %q", tc.name, f.Claim, f.Verdict, f.Observed, f.Why, tc.want, tc.says)
		}
	}
}

// Words of others lead to ours.
func TestParseClaimsAboutServers(t *testing.T) {
	for _, text := range []string{
		`p99(server.ttft{region="east"}) < 2s during fault`, `max(server.kv_usage) < 95% during fault`,
		`p90(server.waiting) <= 10 during baseline`, `worst(region, server.error_rate) <= 1% during recovery`,
		`recovery(max(server.waiting) <= 3) < 10s`, `mean(server.running) <= 150% of baseline during fault`,
	} {
		if got := claim(t, text).String(); got != text {
			t.Errorf("ParseClaim(%q).String() = %q; want the same", text, got)
		}
	}
	for _, tc := range []struct {
		text   string
		column int
		want   string
	}{
		{"max(server.queue) < 5 during fault", 5, "no server tells server.queue: write max(server.waiting), a number of requests, or p99(server.queue_time)"},
		{"server.sucess >= 99% during fault", 1, "no server tells server.sucess; did you mean server.success?"},
		{"server.waiting < 5 during fault", 1, "server.waiting is another at each reading: write max(server.waiting), or mean, min or p90 of it"},
		{"max(server.ttft) < 5s during fault", 1, "servers tell server.ttft by buckets, which have no max: write p99(server.ttft), or mean"},
		{"max(server.kv_usage) < 0.9 during fault", 24, "max(server.kv_usage) is a share: write 90%"},
		{"max(server.waiting) < 5% during fault", 23, "max(server.waiting) needs a number: write 1.5, or 5% of baseline"},
	} {
		_, err := experiments.ParseClaim(tc.text)
		wantClaimError(t, "ParseClaim", tc.text, err, tc.column, tc.want)
	}
}
