package experiments_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/experiments"
)

// Samples are counted by a rate's integral over each phase, with the parts that are there; of a closed loop nobody
// knows them.
func TestLoadCountsSamplesOfEveryProfile(t *testing.T) {
	for profile, want := range map[string]string{
		"sine: {rate: 10/s, amplitude: 10/s, period: 15s}":                                         "baseline, in which it must hold before anything is injected, will have about 146 samples, without 4 that are still under way at its end, for it",
		"ramp: {from: 40/s, to: 0/s, over: 10s}":                                                   "baseline, in which it must hold before anything is injected, will have about 194",
		"poisson: {rate: 1/s}, plus: [{spike: {rate: 1000/s, at: 1s, for: 1s}, during: baseline}]": "fault will have about 15",
		"concurrency: {users: 1}":                                                                  "",
		"trace: {file: testdata/none.csv}":                                                         "attack.profile.trace.file: open trace: stat testdata/none.csv",
		"trace: {file: ../attacks/testdata/mooncake.jsonl}":                                        "phases.baseline: lasts 15s, and the trace is over after 3s: nothing of it is sent in the rest of the phase",
		"poisson: {rate: 100/s}, plus: [{trace: {file: testdata/none.csv}, during: fault}]":        "attack.profile.plus[0].trace.file: open trace: stat testdata/none.csv",
	} {
		text := strings.Replace(minimal, "{constant: {rate: 100/s}}", "{"+profile+"}", 1)
		got := load(t, text).Warnings
		if want == "" && len(got) > 0 || want != "" && !strings.Contains(got.Error(), want) {
			t.Errorf("%s: warnings %v; want %q", profile, got, want)
		}
	}
}

// What of a profile never comes is a mistake, and what of it is cut off is told. A phase with until can last to its max.
func TestLoadTellsWhatOfAProfileNeverComes(t *testing.T) {
	for profile, want := range map[string]string{
		"poisson: {rate: 1/s}, plus: [{spike: {rate: 120/s, at: 15s, for: 2s}, during: fault}]":  "x.yaml:3:49: attack.profile.plus[0]: never comes: it starts at 15s and the longest phase that has it lasts 15s",
		"spike: {rate: 120/s, at: 1m, for: 2s}":                                                  "x.yaml:3:19: attack.profile: never comes: it starts at 1m0s and the longest phase that has it lasts 20s",
		"step: {steps: [{rate: 0/s, for: 30s}, {rate: 5/s}]}":                                    "x.yaml:3:19: attack.profile: never comes: it starts at 30s and the longest phase that has it lasts 20s",
		"poisson: {rate: 1/s}, plus: [{constant: {rate: 1/s}, during: warmup}]":                  "x.yaml:3:49: attack.profile.plus[0]: never comes: there is no warmup phase: write phases.warmup: 15s",
		"constant: {rate: 100/s}, plus: [{spike: {rate: 1/s, at: 14s, for: 2s}, during: fault}]": "warning: x.yaml:3:52: attack.profile.plus[0]: is cut off: it lasts until 16s, and the longest phase that has it lasts 15s",
		"constant: {rate: 100/s}, plus: [{spike: {rate: 1/s, at: 14s, for: 6s}}]":                "",
		"step: {steps: [{rate: 90/s, for: 20s}, {rate: 100/s}]}":                                 "warning: x.yaml:3:19: attack.profile: is cut off: its steps take 20s, and the longest phase that has it lasts 20s",
		"step: {steps: [{rate: 90/s, for: 20s}]}":                                                "",
		"ramp: {from: 60/s, to: 90/s, over: 20s}":                                                "",
		"ramp: {from: 60/s, to: 90/s, over: 30s}":                                                "warning: x.yaml:3:19: attack.profile: comes to 80/s on its way to 90/s: it takes 30s, and the longest phase that has it lasts 20s",
	} {
		text := strings.Replace(minimal, "{constant: {rate: 100/s}}", "{"+profile+"}", 1)
		text = strings.Replace(text, "recovery: 10s", "warmup: 0s, recovery: {until: samples >= 5, max: 20s}", 1)
		plan, err := experiments.Load("x.yaml", []byte(text), experiments.LoadOptions{})
		var got string
		if err != nil {
			got = err.Error()
		} else if len(plan.Warnings) > 0 {
			got = "warning: " + plan.Warnings.Error()
		}
		if want == "" && got != "" || want != "" && !strings.HasPrefix(got, want) {
			t.Errorf("Load with %s = %q; want %q", profile, got, want)
		}
	}
}

// A rate of two phases is no comparison where one has a part of the profile that the other lacks.
func TestLoadWarnsOfRatiosOfUnequalLoads(t *testing.T) {
	const fault = "fault has more load than baseline by its part 9/s spike at 0s for 5s: this ratio compares unequal loads"
	for _, tc := range []struct{ during, claim, want string }{
		{", during: fault", "tokens_per_second >= 80% of baseline during fault", fault},
		{", during: fault", "recovery(goodput_tokens >= 80% of baseline) < 5s", ""},
		{", during: fault", "goodput_tokens >= 5/s during fault", ""},
		{", during: fault", "p50(ttft) <= 200% of baseline during fault", ""},
		{", during: baseline", "goodput_tokens >= 80% of baseline during fault", "baseline has more load than fault by its part 9/s"},
		{", during: warmup", "goodput_tokens >= 80% of baseline during fault", ""},
		{"", "goodput_tokens >= 80% of baseline during fault", ""},
	} {
		profile := "{constant: {rate: 1000/s}, plus: [{spike: {rate: 9/s, for: 5s}" + tc.during + "}]}"
		text := strings.Replace(minimal, "{constant: {rate: 100/s}}", profile, 1)
		text = strings.Replace(text, "recovery: 10s", "warmup: 10s, recovery: 10s", 1)
		got := load(t, strings.Replace(text, "success >= 99% during fault", tc.claim, 1)).Warnings.Error()
		if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("Load with %s%s: warnings %q; want %q", tc.claim, tc.during, got, tc.want)
		}
	}
}

// A trace whose last request comes shortly before the end of a phase lasts as long as the phase.
func TestLoadAllowsForTheLastGapOfATrace(t *testing.T) {
	for speed, want := range map[string]bool{"0.205": false, "0.22": true} { // 3 s in 14.6 s, and in 13.6 s of 15 s
		profile := "{trace: {file: ../attacks/testdata/mooncake.jsonl, speed: " + speed + "}}"
		got := load(t, strings.Replace(minimal, "{constant: {rate: 100/s}}", profile, 1)).Warnings
		if strings.Contains(got.Error(), "the trace is over") != want {
			t.Errorf("%s: warnings %v; want one of the trace's end: %t", profile, got, want)
		}
	}
}

// A profile alone is read as the one in a file.
func TestParseProfile(t *testing.T) {
	got, err := experiments.ParseProfile("--profile", "{ramp: {from: 1/s, to: 50/s, over: 1m, even: true}, plus: [{spike: {rate: 9/s, for: 5s}, during: fault}]}")
	want := attacks.Profile{
		Ramp: &attacks.Ramp{From: 1, To: 50, Over: time.Minute, Even: true},
		Plus: []attacks.Part{{Profile: attacks.Profile{Spike: &attacks.Spike{Rate: 9, For: 5 * time.Second}}, During: "fault"}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("ParseProfile = %v; differs (-want +got):\n%s", err, diff)
	}
	for text, want := range map[string]string{
		"{ramp: ":                   "is not YAML",
		"":                          "is empty",
		"{poison: {rate: 1/s}}":     "--profile:1:2: poison: unknown key; did you mean poisson?",
		"{poisson: {rate: fast/s}}": "--profile:1:18: poisson.rate: rate \"fast/s\" has no number",
		"{ramp: {to: 9/s, over: 5s}, even: true}": "--profile:1:29: even: unknown key: it belongs inside ramp: {…, even: true}",
		"{concurrency: {users: many}}":            `needs a whole number, not "many"`,
	} {
		if _, err := experiments.ParseProfile("--profile", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseProfile(%q) = %v; want %q", text, err, want)
		}
	}
}

// A workload alone is read as the one in a file.
func TestParseWorkload(t *testing.T) {
	for text, want := range map[string]attacks.Workload{
		"chat": {{Preset: "chat"}},
		"{prompt_tokens: 200, output_tokens: 50}": {{PromptTokens: attacks.Length{Fixed: 200}, OutputTokens: attacks.Length{Fixed: 50}}},
	} {
		if got, err := experiments.ParseWorkload("--workload", text); !cmp.Equal(got, want) || err != nil {
			t.Errorf("ParseWorkload(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"chatt":                "--workload:1:1: workload \"chatt\" isn't one of",
		"{prompt_tokens: 200}": "output_tokens",
		"{prompt: 200}":        "prompt: unknown key",
	} {
		if _, err := experiments.ParseWorkload("--workload", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseWorkload(%q) = %v; want %q", text, err, want)
		}
	}
}
