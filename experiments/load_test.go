package experiments_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// load reads an experiment or fails the test.
func load(tb testing.TB, text string) *experiments.Plan {
	tb.Helper()
	plan, err := experiments.Load("x.yaml", []byte(text), experiments.LoadOptions{})
	if err != nil {
		tb.Fatalf("Load: %v", err)
	}
	return plan
}

func claim(t *testing.T, text string) experiments.Claim {
	t.Helper()
	c, err := experiments.ParseClaim(text)
	if err != nil {
		t.Fatalf("ParseClaim(%q): %v", text, err)
	}
	return c
}

func guard(t *testing.T, text string) experiments.Guard {
	t.Helper()
	g, err := experiments.ParseGuard(text)
	if err != nil {
		t.Fatalf("ParseGuard(%q): %v", text, err)
	}
	return g
}

// testdata/good.yaml is the example of the design, letter for letter.
func TestLoadReadsEveryFieldOfTheExample(t *testing.T) {
	text, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := load(t, string(text))
	want := &experiments.Plan{
		Experiment: "a bad router config reaches every region",
		About:      "Reproduces 2024-11-08. A parser bug sleeps until one field is set.",
		Seed:       20241108,
		Stack:      targets.Spec{Reference: &targets.Reference{Regions: []string{"east", "west", "central"}, Resilience: targets.Hardened}},
		Attack: experiments.AttackSpec{
			Profile:  attacks.Profile{Poisson: &attacks.Poisson{Rate: 100}},
			Workload: attacks.Workload{{Preset: "chat-short"}},
			Clients:  []attacks.Client{{Tier: "paid", Share: 0.5}, {Tier: "free", Share: 0.5, Retries: 2}},
		},
		Phases: experiments.PhaseSpec{
			Warmup:   experiments.Length{For: experiments.DefaultWarmup},
			Baseline: experiments.Length{For: 15 * time.Second},
			Fault:    experiments.Length{For: 20 * time.Second},
			Recovery: experiments.Length{For: 15 * time.Second},
		},
		Faults: []experiments.FaultPlan{{
			Kind: "config.push", ID: "cfg", TTL: time.Minute,
			Fault: &faults.ConfigPush{Store: "router_config", Set: map[string]any{"pools": nil}},
		}},
		Guards: []experiments.Guard{guard(t, "success < 50% for 5s")},
		Hypotheses: []experiments.Claim{
			claim(t, `success{tier="paid"} >= 99% during fault`),
			claim(t, `tokens_per_second >= 80% of baseline during fault`),
			claim(t, `p99(ttft) < 2s during fault`),
			claim(t, `recovery(success >= 99%) < 10s`),
		},
		Source: string(text),
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(faults.ConfigPush{})); diff != "" {
		t.Errorf("Load(testdata/good.yaml) differs (-want +got):\n%s", diff)
	}
}

// Each file of testdata/bad is one mistake, and its first line says which messages it must give: all of
// them, and no other.
func TestLoadNamesEachMistake(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 30 {
		t.Fatalf("found %d bad files, want 30 or more", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(text)) {
				if message, ok := strings.CutPrefix(line, "# want: "); ok {
					want = append(want, "x.yaml:"+strings.TrimSpace(message))
				}
			}
			_, err = experiments.Load("x.yaml", text, experiments.LoadOptions{})
			problems, ok := errors.AsType[experiments.Problems](err)
			if !ok {
				t.Fatalf("Load(%s) = %v; want Problems", file, err)
			}
			if diff := cmp.Diff(want, strings.Split(problems.Error(), "\n")); diff != "" {
				t.Errorf("Load(%s) problems differ (-want +got):\n%s", file, diff)
			}
		})
	}
}

const minimal = `experiment: minimal
stack: {reference: {}}
attack: {profile: {constant: {rate: 100/s}}}
phases: {baseline: 15s, fault: 15s, recovery: 10s}
hypotheses: [success >= 99% during fault]
`

// What is left out has a value, and the seed is the name's.
func TestLoadFillsInDefaults(t *testing.T) {
	got := load(t, minimal)
	if got.Seed == 0 || got.Seed != load(t, minimal).Seed {
		t.Errorf("Seed = %d; want the same one each time, from the name", got.Seed)
	}
	if other := load(t, strings.Replace(minimal, "minimal", "another", 1)); other.Seed == got.Seed {
		t.Errorf("Seed = %d for both names; want a seed of each name's own", got.Seed)
	}
	if got := load(t, "seed: 0\n"+minimal); got.Seed != 0 {
		t.Errorf("Seed = %d; want the written 0", got.Seed)
	}
	if diff := cmp.Diff([]attacks.Client{{Share: 1}}, got.Attack.Clients); diff != "" {
		t.Errorf("Clients differ (-want +got):\n%s", diff)
	}
	if got.Phases.Warmup.For != experiments.DefaultWarmup {
		t.Errorf("Warmup = %s; want %s", got.Phases.Warmup.For, experiments.DefaultWarmup)
	}
	faulty := load(t, minimal+"faults: [region.kill: {region: east, at: 5s}, region.kill: {id: again, region: west}]\n").Faults
	if got, want := faulty[0].ID, "region.kill"; got != want {
		t.Errorf("ID = %q; want %q", got, want)
	}
	if got, want := faulty[0].TTL, 10*time.Second+experiments.DefaultTTLMargin; got != want {
		t.Errorf("TTL = %s; want %s: what is left of the fault phase, and the margin", got, want)
	}
}

// A phase may last until there are enough samples, and an SLO has five bounds.
func TestLoadReadsUntilAndWritesItBack(t *testing.T) {
	text := strings.Replace(minimal, "fault: 15s", `fault: {until: 'samples{tier="paid"} >= 2000', max: 10m}`, 1) +
		"\n" + `slo: {ttft: 2s, tpot: 100ms, e2e: 30s, itl: 50ms, stall: 1s}`
	text = strings.Replace(text, "rate: 100/s}}", "rate: 100/s}}, clients: [{tier: paid}]", 1)
	plan := load(t, text)
	want := experiments.Length{Until: experiments.Until{Labels: results.Labels{"tier": "paid"}, Samples: 2000}, Max: 10 * time.Minute}
	if diff := cmp.Diff(want, plan.Phases.Fault); diff != "" {
		t.Errorf("fault phase differs (-want +got):\n%s", diff)
	}
	if got, want := plan.Phases.Fault.Until.String(), `samples{tier="paid"} >= 2000`; got != want {
		t.Errorf("Until.String() = %q; want %q", got, want)
	}
	if got, want := plan.Phases.Fault.Limit(), 10*time.Minute; got != want {
		t.Errorf("Limit() = %s; want %s", got, want)
	}
	wantSLO := experiments.SLO{TTFT: 2 * time.Second, TPOT: 100 * time.Millisecond, E2E: 30 * time.Second, ITL: 50 * time.Millisecond, Stall: time.Second}
	if diff := cmp.Diff(wantSLO, plan.SLO); diff != "" {
		t.Errorf("SLO differs (-want +got):\n%s", diff)
	}
}

// A fault's map takes whatever JSON can hold, through aliases too.
func TestLoadFollowsAliasesAndReadsAnyJSON(t *testing.T) {
	plan := load(t, minimal+`faults:
  - config.push: &push {id: a, store: router_config, set: {a.b: [1, -2, 1.5, "x", true, null, {c: 18446744073709551615, d: 2024-11-08}]}}
  - config.push: {id: b, store: router_config, set: {pools: &n [1, 2], again: *n}}
`)
	first, ok := plan.Faults[0].Fault.(*faults.ConfigPush)
	if !ok {
		t.Fatalf("Fault is %T; want *faults.ConfigPush", plan.Faults[0].Fault)
	}
	want := map[string]any{"a.b": []any{
		int64(1), int64(-2), 1.5, "x", true, nil, map[string]any{"c": uint64(18446744073709551615), "d": "2024-11-08"},
	}}
	if diff := cmp.Diff(want, first.Set); diff != "" {
		t.Errorf("set differs (-want +got):\n%s", diff)
	}
	second, ok := plan.Faults[1].Fault.(*faults.ConfigPush)
	if !ok {
		t.Fatalf("Fault is %T; want *faults.ConfigPush", plan.Faults[1].Fault)
	}
	list := []any{int64(1), int64(2)}
	if diff := cmp.Diff(map[string]any{"pools": list, "again": list}, second.Set); diff != "" {
		t.Errorf("set differs (-want +got):\n%s", diff)
	}
}

// A hostile file costs a message.
func TestLoadBoundsWhatAFileMayCost(t *testing.T) {
	bomb := minimal + "faults:\n  - config.push:\n      store: x\n      set:\n        a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
	for _, c := range "bcdefghi" {
		before := string(c - 1)
		bomb += "        " + string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+before+", ", 10), ", ") + "]\n"
	}
	for name, tc := range map[string]struct{ text, want string }{
		"a bomb of aliases": {bomb, "comes to more than 100000 values"},
		"a cycle":           {minimal + "faults: [config.push: {store: x, set: {a: &a [*a]}}]\n", "alias *a is a part of itself"},
		"a deep nest":       {minimal + "faults: [config.push: {store: x, set: {a: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}}]\n", "nested deeper than 100 levels"},
		"a huge file":       {minimal + "# " + strings.Repeat("x", 1<<20), "has at most 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := experiments.Load("x.yaml", []byte(tc.text), experiments.LoadOptions{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Load = %v; want an error with %q", err, tc.want)
			}
		})
	}
}

// A claim that will lack samples is told of before the run, with the length that would do.
func TestLoadWarnsOfClaimsThatItsLoadCannotDecide(t *testing.T) {
	text := strings.Replace(minimal, "baseline: 15s", "baseline: 2s", 1)
	text = strings.Replace(text, "[success >= 99% during fault]", `
  - success >= 99% during fault
  - success{tier="rare"} >= 99% during fault
  - p99.9(ttft) < 2s during fault
  - leaks == 0 during fault
  - tokens_per_second >= 80% of baseline during fault
  - worst(tier, success) >= 90% during recovery`, 1)
	text = strings.Replace(text, "rate: 100/s}}", "rate: 100/s}}, clients: [{tier: most}, {tier: rare, share: 1%}]", 1)
	var got []string
	for _, w := range load(t, text).Warnings {
		got = append(got, w.String())
	}
	want := []string{
		"x.yaml:6:5: hypotheses[0]: will likely stay undecided, and the run end with exit 3 there: baseline, in which it must hold before anything is injected, will have about 160 samples, without 40 that are still under way at its end, for it and it takes 381: lengthen phases.baseline to 5s, or write phases.baseline: {until: 'samples >= 381', max: 10s}, or raise the rate",
		"x.yaml:7:5: hypotheses[1]: will likely stay undecided: fault will have about 15 samples for it and it takes 381: lengthen phases.fault to 8m, or raise the rate",
		"x.yaml:7:5: hypotheses[1]: will likely stay undecided, and the run end with exit 3 there: baseline, in which it must hold before anything is injected, will have about 1 samples for it and it takes 381: lengthen phases.baseline to 7m, or write phases.baseline: {until: 'samples{tier=\"rare\"} >= 381', max: 14m}, or raise the rate",
		"x.yaml:8:5: hypotheses[2]: will likely stay undecided: fault will have about 1500 samples for it and it takes 3000: lengthen phases.fault to 30s, or raise the rate",
		"x.yaml:8:5: hypotheses[2]: will likely stay undecided, and the run end with exit 3 there: baseline, in which it must hold before anything is injected, will have about 160 samples, without 40 that are still under way at its end, for it and it takes 3000: lengthen phases.baseline to 31s, or write phases.baseline: {until: 'samples >= 3000', max: 62s}, or raise the rate",
		"x.yaml:9:5: hypotheses[3]: will likely stay undecided, and the run end with exit 3 there: baseline, in which it must hold before anything is injected, will have about 160 samples, without 40 that are still under way at its end, for it and it takes 381: lengthen phases.baseline to 5s, or write phases.baseline: {until: 'samples >= 381', max: 10s}, or raise the rate",
		"x.yaml:11:5: hypotheses[5]: will likely stay undecided: recovery will have about 10 samples of tier rare for it and it takes 35: lengthen phases.recovery to 49s, or raise the rate",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Warnings differ (-want +got):\n%s", diff)
	}
}

// The command line and a log's header change a plan by the same function, wholly or not at all.
func TestOverride(t *testing.T) {
	plan := load(t, minimal)
	before := plan.Stack.Reference
	if err := plan.Override(map[string]string{"resilience": "flawed", "seed": "7"}); err != nil {
		t.Fatalf("Override: %v", err)
	}
	if plan.Stack.Reference.Resilience != targets.Flawed || plan.Seed != 7 {
		t.Errorf("after Override: resilience %q, seed %d; want flawed, 7", plan.Stack.Reference.Resilience, plan.Seed)
	}
	if before.Resilience != "" {
		t.Errorf("Override changed a Reference that others may hold")
	}
	if err := plan.Override(nil); err != nil {
		t.Errorf("Override(nil) = %v; want nil", err)
	}
	for name, tc := range map[string]struct {
		settings map[string]string
		want     string
	}{
		"unknown key":   {map[string]string{"sede": "1"}, "override sede: no such setting, there are resilience and seed; did you mean seed?"},
		"unknown value": {map[string]string{"resilience": "hardned", "seed": "9"}, `override resilience: resilience "hardned" isn't one of [flawed hardened]; did you mean hardened?`},
		"no number":     {map[string]string{"seed": "-1"}, `override seed: "-1" is not a whole number of 0 or more`},
	} {
		t.Run(name, func(t *testing.T) {
			err := plan.Override(tc.settings)
			if err == nil || err.Error() != tc.want {
				t.Errorf("Override(%v) = %v; want %s", tc.settings, err, tc.want)
			}
			if plan.Seed != 7 {
				t.Errorf("Seed = %d after an error; want 7, as before", plan.Seed)
			}
		})
	}
	attached := load(t, strings.Replace(minimal, "reference: {}", "attach: stack.json", 1))
	if err := attached.Override(map[string]string{"resilience": "flawed"}); err == nil || !strings.Contains(err.Error(), "not the reference stack") {
		t.Errorf("Override of a real stack = %v; want an error that says why", err)
	}
}

// Any bytes give a plan that can be judged, or Problems.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "testdata/good.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		plan, err := experiments.Load("x.yaml", text, experiments.LoadOptions{})
		if (plan == nil) == (err == nil) {
			t.Fatalf("Load(%q) = %v, %v; want one of the two", text, plan, err)
		}
		if err == nil {
			experiments.NewJudge(plan).Report()
			return
		}
		if problems, ok := errors.AsType[experiments.Problems](err); !ok || len(problems) == 0 {
			t.Fatalf("Load(%q) = %v; want Problems", text, err)
		}
	})
}

// What an endpoint fixes is known and checked; what a response header tells may be anything.
func TestLoadKnowsTheLabelsOfEndpoints(t *testing.T) {
	const outside = `experiment: real
stack:
  endpoints:
    a: {url: "http://127.0.0.1:1", key: "${A_KEY}", headers: {X-Api-Key: "${B}"}, labels: {region: east, zone: "header:X-Zone"}}
    b: {url: "http://127.0.0.1:2", labels: {region: west}}
attack: {profile: {poisson: {rate: 100/s}}, endpoint: b, clients: [{tier: paid, key: "${PAID_KEY}"}]}
phases: {baseline: 15s, fault: 20s}
hypotheses: ['%s']
`
	for claim, want := range map[string]string{
		`success{region="west"} >= 99% during fault`:                  "",
		`success{zone="anything"} >= 99% during fault`:                "",
		`worst(zone, success) >= 99% during fault`:                    "",
		`success{feature="voice"} >= 99% during fault`:                "no sample has a label feature; there are region, tier, zone",
		`success{region="wset"} >= 99% during fault`:                  `no sample will have region="wset"; did you mean west?`,
		`success{zoone="a"} >= 99% during fault`:                      "no sample has a label zoone; did you mean zone?",
		`worst(colour, success) >= 99% during fault`:                  "no sample has a label colour; there are region, tier, zone",
		`success{tier="free"} >= 99% during fault`:                    `no sample will have tier="free"; there are paid`,
		`p99(ttft{tier="paid", region="north"}) < 2s during baseline`: `no sample will have region="north"; there are east, west`,
	} {
		_, err := experiments.Load("x.yaml", []byte(strings.Replace(outside, "%s", claim, 1)), experiments.LoadOptions{})
		switch {
		case want == "" && err != nil:
			t.Errorf("Load with %s = %v; want no error", claim, err)
		case want != "" && (err == nil || !strings.HasSuffix(err.Error(), want)):
			t.Errorf("Load with %s = %v; want an error that ends with %s", claim, err, want)
		}
	}
	text := strings.Replace(minimal, "[success >= 99% during fault]", `['success{tier="paid"} >= 99% during fault']`, 1)
	_, err := experiments.Load("x.yaml", []byte(text), experiments.LoadOptions{})
	if want := `no sample will have tier="paid": nothing in the file sets it`; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("Load of a tier that no client has = %v; want %s", err, want)
	}
}

// A guard is the breach; one that is written as the hope would end every run of a healthy stack.
func TestLoadWarnsOfGuardsThatAreHopes(t *testing.T) {
	for guard, want := range map[string]bool{
		"success < 50% for 5s": false, "success >= 50% for 5s": true, "error_rate > 20% for 5s": false,
		"error_rate < 20% for 5s": true, "p99(ttft) > 10s for 5s": false, "p99(ttft) <= 10s for 5s": true,
	} {
		warned := false
		for _, w := range load(t, minimal+"guards: ['"+guard+"']\n").Warnings {
			warned = warned || strings.Contains(w.Text, "write the breach")
		}
		if warned != want {
			t.Errorf("Load with guard %s: warned %t; want %t", guard, warned, want)
		}
	}
}
