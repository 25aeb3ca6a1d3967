package experiments_test

import (
	"strings"
	"testing"
)

// What is drawn may come out less: a part of the load, requests that come at random, who leaves; and what is still under
// way when the baseline ends is not counted in it.
func TestLoadCountsOnNoLuck(t *testing.T) {
	const (
		outside = `endpoints: {gateway: {url: "http://127.0.0.1:1"}}`
		ours    = "reference: {}"
		all     = "success >= 99% during fault"
		few     = `success{tier="few"} >= 90% during fault`
		kinds   = "[{tier: most}, {tier: few, share: 10%}]"
	)
	for _, tt := range []struct{ name, stack, profile, workload, clients, baseline, claim, want string }{
		{"400 for 381, each in its time", outside, "constant: {rate: 100/s}", "chat-short", kinds, "4s", all, ""},
		{"at random", outside, "poisson: {rate: 100/s}", "chat-short", kinds, "4s", all, "may stay undecided, and the run end with exit 3 there: baseline, in which it must hold before anything is injected, will have about 400 samples, or as few as 360 by chance, for it and it takes 381: lengthen phases.baseline to 5s, or write phases.baseline: {until: 'samples >= 381', max: 10s}, or raise the rate"},
		{"in bursts", outside, "gamma: {rate: 125/s, cv: 4}", "chat-short", kinds, "4s", all, "about 500 samples, or as few as 321 by chance,"},
		{"at random, and more", outside, "poisson: {rate: 110/s}", "chat-short", kinds, "4s", all, ""},
		{"a ramp at random", outside, "ramp: {from: 100/s, to: 100/s, over: 1s}", "chat-short", kinds, "4s", all, "as few as 360 by chance"},
		{"a ramp evenly", outside, "ramp: {from: 100/s, to: 100/s, over: 1s, even: true}", "chat-short", kinds, "4s", all, ""},
		{"a part at random", outside, "constant: {rate: 75/s}, plus: [{poisson: {rate: 25/s}}]", "chat-short", kinds, "4s", all, "about 400 samples, or as few as 380 by chance,"},
		{"a share", outside, "constant: {rate: 100/s}", "chat-short", kinds, "4s", few, "about 40 samples, or as few as 28 by chance,"},
		{"a share that is enough", outside, "constant: {rate: 200/s}", "chat-short", kinds, "4s", few, ""},
		{"all of a part", outside, "constant: {rate: 1/s}, plus: [{constant: {rate: 10/s}, tier: few}]", "chat-short", kinds, "4s", few, ""},
		{"the worst", outside, "constant: {rate: 100/s}", "chat-short", kinds, "4s", "worst(tier, success) >= 90% during fault", "will have about 40 samples of tier few, or as few as 28 by chance, for it and it takes 35: lengthen phases.baseline to 5s, or write phases.baseline: {until: 'samples{tier=\"few\"} >= 35', max: 10s}"},
		{"the worst of what has one alone", outside, "constant: {rate: 100/s}", "chat-short", "[{tier: most}]", "4s", "worst(tier, success) >= 90% during fault", ""},
		{"conversations, which come together", outside, "constant: {rate: 30/s}", "{prompt_tokens: 9, output_tokens: 9, turns: {count: 4}}", kinds, "4s", few, "about 48 samples, or as few as 21 by chance,"},
		{"who leave", outside, "constant: {rate: 100/s}", "chat-short", "[{cancel: {share: 50%, after_tokens: 10}}]", "4s", all, "about 200 samples for it"},
		{"who leave by chance", outside, "constant: {rate: 200/s}", "chat-short", "[{cancel: {share: 50%, after_tokens: 10}}]", "4s", all, "about 400 samples, or as few as 371 by chance,"},
		{"who leave and had a token", outside, "constant: {rate: 100/s}", "chat-short", "[{cancel: {share: 50%, after_tokens: 10}}]", "4s", "p99(ttft) < 1s during fault", ""},
		{"who would leave later", outside, "constant: {rate: 100/s}", "chat-short", "[{cancel: {share: 50%, after_tokens: 51}}]", "4s", all, ""},
		{"still under way", ours, "constant: {rate: 100/s}", "chat-short", kinds, "4s", all, "will likely stay undecided, and the run end with exit 3 there: baseline, in which it must hold before anything is injected, will have about 360 samples, without 40 that are still under way at its end, for it"},
		{"of a slow reader", outside, "constant: {rate: 100/s}", "chat-short", "[{read: 5KB/s}]", "4s", all, "without 200 that are still under way"},
		{"as long as it takes", ours, "poisson: {rate: 100/s}", "chat-short", kinds, "{until: 'samples >= 381', max: 10s}", all, ""},
		{"as long as a share takes", ours, "poisson: {rate: 100/s}", "chat-short", kinds, `{until: 'samples{tier="few"} >= 35', max: 30s}`, few, ""},
		{"as long as all take, for a share", ours, "poisson: {rate: 100/s}", "chat-short", kinds, "{until: 'samples >= 400', max: 30s}", few, "about 40 samples, or as few as 28 by chance, for it and it takes 35: write phases.baseline.until: 'samples >= 500', with a max"},
		{"as long as a share takes, for all", ours, "poisson: {rate: 100/s}", "chat-short", kinds, `{until: 'samples{tier="few"} >= 60', max: 30s}`, all, ""},
		{"and no longer than it may", outside, "poisson: {rate: 100/s}", "chat-short", kinds, "{until: 'samples >= 381', max: 3s}", all, "about 300 samples for it and it takes 381: lengthen phases.baseline.max to 5s, or raise"},
		{"and perhaps no longer than it may", outside, "poisson: {rate: 100/s}", "chat-short", kinds, "{until: 'samples >= 381', max: 4s}", all, "about 400 samples, or as few as 360 by chance, for it and it takes 381: lengthen phases.baseline.max to 5s"},
		{"a spike is over", outside, "spike: {rate: 100/s, at: 0s, for: 3s, even: true}", "chat-short", kinds, "4s", all, "about 300 samples for it and it takes 381: raise the rate, or its share of the load"},
		{"what it is compared with", outside, "constant: {rate: 5/s}", "chat-short", kinds, "4s", "amplification <= 150% of baseline during fault", "will likely stay undecided: baseline, with which it is compared, will have about 20 samples for it and it takes 30: lengthen"},
	} {
		plan := "experiment: luck\nstack: {" + tt.stack + "}\nattack: {profile: {" + tt.profile + "}, workload: " + tt.workload + ", clients: " + tt.clients +
			"}\nphases: {warmup: 0s, baseline: " + tt.baseline + ", fault: 60s}\nhypotheses: ['" + tt.claim + "']\n"
		warnings := load(t, plan).Warnings
		if len(warnings) > 0 != (tt.want != "") || tt.want != "" && !strings.Contains(warnings[len(warnings)-1].Text, tt.want) {
			t.Errorf("%s: warnings %v; want %q", tt.name, warnings, tt.want)
		}
	}
}
