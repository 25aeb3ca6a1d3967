package experiments_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
)

// How many samples a claim will have goes by the shares of clients and classes, by the parts of the profile that are
// of some of them alone, and by the turns of conversations.
func TestLoadCountsTheSamplesOfUsers(t *testing.T) {
	const users = `experiment: users
stack: {endpoints: {gateway: {url: "http://127.0.0.1:1"}}}
attack:
  profile: {constant: {rate: 100/s}, plus: [{constant: {rate: 2/s}, tenant: rare}]}
  workload:
    - {feature: chat, share: 98%, prompt_tokens: 64, output_tokens: 50}
    - {feature: talk, share: 2%, prompt_tokens: 64, output_tokens: 50, turns: {count: 4}, models: {small: 10%, large: 90%}}
  clients: [{tenant: most}, {tenant: rare, share: 1%}]
phases: {warmup: 0s, baseline: 10s, fault: 10s}
hypotheses: ['CLAIM']
`
	for claim, want := range map[string]string{
		`success >= 99% during baseline`: "",
		// 1,020 begin, and 2% of them have four turns: 1,000 and 81.6 are 1,081.2; a hundredth of 1,000 and all of 20, each 1.06 turns.
		`success{tenant="rare"} >= 99% during baseline`:                 "about 31 samples",
		`worst(tenant, success) >= 99% during baseline`:                 "about 31 samples",
		`success{feature="talk"} >= 99% during baseline`:                "about 81 samples",
		`success{feature="talk", model="small"} >= 99% during baseline`: "about 8 samples",
		`success{feature="talk", tenant="rare"} >= 99% during baseline`: "about 2 samples",
		`worst(feature, success{model="large"}) >= 99% during baseline`: "about 0 samples",
	} {
		warnings := load(t, strings.Replace(users, "CLAIM", claim, 1)).Warnings
		if len(warnings) > 0 != (want != "") || want != "" && !strings.Contains(warnings[0].Text, want) {
			t.Errorf("Load with %s warns %v; want %q", claim, warnings, want)
		}
	}
}

// Who asks for no model of its class asks for the endpoint's, and is labelled with it where others are with theirs.
func TestLoadCountsTheSamplesOfTheEndpointsModel(t *testing.T) {
	const models = `experiment: models
stack: {endpoints: {gateway: {url: "http://127.0.0.1:1", model: large}}}
attack:
  profile: {constant: {rate: 100/s}}
  workload: [{feature: chat, share: 80%}, {feature: code, share: 20%, models: {large: 50%, small: 50%}}]
phases: {warmup: 0s, baseline: 4s, fault: 10s}
hypotheses: ['success{model="CLAIM"} >= 99% during baseline']
`
	for model, want := range map[string]string{"large": "about 360 samples", "small": "about 40 samples"} {
		warnings := load(t, strings.Replace(models, "CLAIM", model, 1)).Warnings
		if len(warnings) == 0 || !strings.Contains(warnings[len(warnings)-1].Text, want) {
			t.Errorf("Load with a claim about model %s warns %v; want %q", model, warnings, want)
		}
	}
}

// A claim about the times of all clients is also about those who read slowly.
func TestLoadWarnsOfSlowReaders(t *testing.T) {
	const mixed = `experiment: mixed
stack: {reference: {}}
slo: {ttft: 1s}
attack:
  profile: {constant: {rate: 500/s}}
  clients: [{tier: paid, tenant: a}, {tier: batch, tenant: a, read: 2KB/s}]
phases: {warmup: 0s, baseline: 10s, fault: 10s, recovery: 10s}
hypotheses: ['CLAIM']
`
	const warning = "slow readers of attack.clients[1], whose times are of their own reading: select the others by a label, as in "
	for claim, want := range map[string]string{
		`p99(ttft) < 1s during fault`:                       warning + `ttft{tier="paid"}`,
		`p99(itl{tenant="a"}) < 1s during fault`:            warning + `itl{tier="paid"}`,
		`goodput >= 80% of baseline during fault`:           warning,
		`recovery(p50(e2e) < 2s) < 5s`:                      warning,
		`p99(ttft{tier="paid"}) < 1s during fault`:          "",
		`p50(ttft{tier="batch"}) < 1s during fault`:         "",
		`worst(tier, p50(ttft)) < 1s during fault`:          "",
		`success >= 90% during fault`:                       "",
		`p50(lag) < 1s during fault`:                        "",
		`tokens_per_second >= 80% of baseline during fault`: "",
	} {
		warnings := load(t, strings.Replace(mixed, "CLAIM", claim, 1)).Warnings
		if len(warnings) > 0 != (want != "") || want != "" && !strings.Contains(warnings[0].Text, want) {
			t.Errorf("Load with %s warns %v; want %q", claim, warnings, want)
		}
	}
}

// Clients of a plan find the stack's other endpoints by their names, and samples say which one served.
func TestRunnerLetsClientsFailOver(t *testing.T) {
	t.Parallel()
	b, backup := newBench(t), newBench(t)
	b.more = "    backup: {url: " + backup.url + "}\n"
	b.attack = "endpoint: server, clients: [{deadline: 10s, failover: {to: [backup]}}]"
	rep, err := b.run(t.Context(), t, shortPhases+`
faults: [{config.push: {id: cfg, store: config, set: {serve: false}, ttl: 2m}}]
hypotheses: [success >= 90% during fault]
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != results.ExitHeld {
		t.Errorf("Run() = exit %d, %s; want 0: the other endpoint served", rep.Exit, rep.Why)
	}
	by := map[string]int{}
	for _, s := range rep.Slices {
		if s.Label == "endpoint" {
			by[s.Value] += s.Requests
		}
	}
	if by["server"] == 0 || by["backup"] == 0 {
		t.Errorf("requests by endpoint = %v; want some of server and some of backup", by)
	}
}

// What waits for a first token waits in vain where all answers come in one piece.
func TestLoadWarnsOfAnswersInOnePiece(t *testing.T) {
	const pieces = `experiment: pieces
stack: {endpoints: {a: {url: "http://127.0.0.1:1"}}}
attack:
  profile: {constant: {rate: 500/s}}
  workload: WORKLOAD
  clients: [{tier: a, first_token: 1s}, {tier: b, cancel: {after_tokens: 3}}, {tier: c, cancel: {after: 1s}}]
phases: {warmup: 0s, baseline: 20s, fault: 20s, recovery: 20s}
hypotheses: ['p99(ttft{feature="embeddings"}) < 1s during fault', 'p99(ttft{tier="a"}) < 1s during fault', 'p99(e2e) < 1s during fault']
`
	for workload, want := range map[string][]string{
		"[{preset: embeddings, feature: embeddings}]": {"attack.clients[0].first_token", "attack.clients[1].cancel.after_tokens", "hypotheses[0]", "hypotheses[1]"},
		"[{preset: embeddings, feature: embeddings}, {feature: x, dialect: openai-images, body: {}}]": {
			"attack.clients[0].first_token", "attack.clients[1].cancel.after_tokens", "hypotheses[0]", "hypotheses[1]",
		},
		"[{preset: chat, feature: embeddings}]":             nil,
		"[chat, {preset: embeddings, feature: embeddings}]": {"hypotheses[0]"},
	} {
		var got []string
		for _, w := range load(t, strings.Replace(pieces, "WORKLOAD", workload, 1)).Warnings {
			if strings.Contains(w.Text, "one piece") {
				got = append(got, w.Path)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Load with workload %s warns of others (-want +got):\n%s", workload, diff)
		}
	}
}
