package experiments_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

// Each form of the grammar is read into its parts, and printed in one canonical form.
func TestParseClaimReadsTheGrammar(t *testing.T) {
	paid := results.Labels{"tier": "paid"}
	type (
		cond = experiments.Condition
		met  = experiments.Metric
		val  = experiments.Value
	)
	for _, tc := range []struct {
		text  string
		want  experiments.Claim
		canon string // "" if text is canonical
	}{
		{
			text: `success{tier="paid"} >= 99% during fault`,
			want: experiments.Claim{Condition: cond{Metric: met{Name: "success", Labels: paid}, Op: ">=", Value: val{Number: 99, Unit: experiments.Percent}}, During: results.Fault},
		},
		{
			text:  ` success >=  99.50 % during   fault `,
			want:  experiments.Claim{Condition: cond{Metric: met{Name: "success"}, Op: ">=", Value: val{Number: 99.5, Unit: experiments.Percent}}, During: results.Fault},
			canon: "success >= 99.5% during fault",
		},
		{
			text: `p99.9(ttft_sent{region="east", tier="paid"}) <= 1m30s during recovery`,
			want: experiments.Claim{Condition: cond{
				Metric: met{Name: "ttft_sent", Stat: "p99.9", Quantile: 0.9990000000000001, Labels: results.Labels{"tier": "paid", "region": "east"}},
				Op:     "<=", Value: val{Number: 90, Unit: experiments.Time},
			}, During: results.Recovery},
		},
		{
			text:  `p50.0(itl{tier="paid",}) < 300ms during baseline`,
			want:  experiments.Claim{Condition: cond{Metric: met{Name: "itl", Stat: "p50", Quantile: 0.5, Labels: paid}, Op: "<", Value: val{Number: 0.3, Unit: experiments.Time}}, During: results.Baseline},
			canon: `p50(itl{tier="paid"}) < 300ms during baseline`,
		},
		{
			text: "mean(e2e) < 150% of baseline during fault",
			want: experiments.Claim{Condition: cond{Metric: met{Name: "e2e", Stat: "mean"}, Op: "<", Value: val{Number: 150, Unit: experiments.Percent, OfBaseline: true}}, During: results.Fault},
		},
		{
			text:  "tokens_per_second >= 500 during fault",
			want:  experiments.Claim{Condition: cond{Metric: met{Name: "tokens_per_second"}, Op: ">=", Value: val{Number: 500, Unit: experiments.PerSecond}}, During: results.Fault},
			canon: "tokens_per_second >= 500/s during fault",
		},
		{
			text: "goodput > 0.5/s during fault",
			want: experiments.Claim{Condition: cond{Metric: met{Name: "goodput"}, Op: ">", Value: val{Number: 0.5, Unit: experiments.PerSecond}}, During: results.Fault},
		},
		{
			text: "leaks == 0 during fault",
			want: experiments.Claim{Condition: cond{Metric: met{Name: "leaks"}, Op: "==", Value: val{}}, During: results.Fault},
		},
		{
			text: "amplification <= 1.5 during fault",
			want: experiments.Claim{Condition: cond{Metric: met{Name: "amplification"}, Op: "<=", Value: val{Number: 1.5}}, During: results.Fault},
		},
		{
			text: `stalled(2.5s){tier="paid"} <= 1% during fault`,
			want: experiments.Claim{Condition: cond{Metric: met{Name: "stalled", Over: 2500 * time.Millisecond, Labels: paid}, Op: "<=", Value: val{Number: 1, Unit: experiments.Percent}}, During: results.Fault},
		},
		{
			text: "error_rate == 0% during fault",
			want: experiments.Claim{Condition: cond{Metric: met{Name: "error_rate"}, Op: "==", Value: val{Unit: experiments.Percent}}, During: results.Fault},
		},
		{
			text: `worst(tenant, p99(ttft{tier="paid"})) < 2s during fault`,
			want: experiments.Claim{Condition: cond{Worst: "tenant", Metric: met{Name: "ttft", Stat: "p99", Quantile: 0.99, Labels: paid}, Op: "<", Value: val{Number: 2, Unit: experiments.Time}}, During: results.Fault},
		},
		{
			text: "recovery(success >= 99%) < 10s",
			want: experiments.Claim{
				Condition: cond{Metric: met{Name: "success"}, Op: ">=", Value: val{Number: 99, Unit: experiments.Percent}},
				During:    results.Recovery, Within: 10 * time.Second, Strictly: true,
			},
		},
		{
			text: "recovery(tokens_per_second >= 80% of baseline) <= 1m0s",
			want: experiments.Claim{
				Condition: cond{Metric: met{Name: "tokens_per_second"}, Op: ">=", Value: val{Number: 80, Unit: experiments.Percent, OfBaseline: true}},
				During:    results.Recovery, Within: time.Minute,
			},
		},
		{
			text: `success{model="a\"b\\é", tier=""} >= 1% during fault`,
			want: experiments.Claim{Condition: cond{Metric: met{Name: "success", Labels: results.Labels{"model": `a"b\é`, "tier": ""}}, Op: ">=", Value: val{Number: 1, Unit: experiments.Percent}}, During: results.Fault},
		},
		{
			text:  "max(stall) < 20us during fault",
			want:  experiments.Claim{Condition: cond{Metric: met{Name: "stall", Stat: "max"}, Op: "<", Value: val{Number: 20e-6, Unit: experiments.Time}}, During: results.Fault},
			canon: "max(stall) < 20µs during fault",
		},
	} {
		got, err := experiments.ParseClaim(tc.text)
		if err != nil {
			t.Errorf("ParseClaim(%q) = %v; want a claim", tc.text, err)
			continue
		}
		canon := tc.canon
		if canon == "" {
			canon = tc.text
		}
		if got.String() != canon {
			t.Errorf("ParseClaim(%q).String() = %q; want %q", tc.text, got.String(), canon)
		}
		got.Text = ""
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("ParseClaim(%q) differs (-want +got):\n%s", tc.text, diff)
		}
	}
}

// A mistake is told at its column, with what to write instead.
func TestParseClaimSaysWhatToWriteInstead(t *testing.T) {
	for _, tc := range []struct {
		text   string
		column int
		want   string
	}{
		{"", 1, "needs a metric, not the end: write success, or p99(ttft)"},
		{"99% <= success during fault", 1, `needs a metric, not "99": write success, or p99(ttft)`},
		{"sukcess >= 99% during fault", 1, `unknown word "sukcess"; did you mean success?`},
		{"latency < 2s during fault", 1, `unknown word "latency"; known are amplification, e2e, e2e_sent, error_rate, goodput, goodput_tokens, itl, lag, leaks, max, mean, min, p50, p90, p95, p99, recovery, stall, stalled, success, tokens_per_second, tpot, ttft, ttft_sent, wasted_tokens, worst`},
		{"avg(ttft) < 2s during fault", 1, `unknown word "avg"; did you mean mean?`},
		{"ttft < 2s during fault", 1, "ttft is a distribution: write p99(ttft), or mean, max or min of it"},
		{"p99(success) >= 99% during fault", 5, "success is one figure and has no p99: write success alone"},
		{"p99(tfft) < 2s during fault", 5, `"tfft" is not a distribution: write e2e, e2e_sent, itl, lag, stall, tpot, ttft or ttft_sent; did you mean ttft?`},
		{"p99 < 2s during fault", 5, `needs ( before "<": write p99(ttft)`},
		{"p99(ttft < 2s during fault", 10, `needs ) before "<": write p99(ttft)`},
		{`p99(ttft){tier="paid"} < 2s during fault`, 10, `labels stand inside: write p99(ttft{tier="paid"})`},
		{"p100(ttft) < 2s during fault", 1, "p100 is the maximum: write max"},
		{"p0(ttft) < 2s during fault", 1, `unknown word "p0"; did you mean p50?`},
		{"p99(ttft) < 2 during fault", 13, "p99(ttft) needs a duration, and 2 has no unit: write 2s, or 150% of baseline"},
		{"p99(ttft) < 2 s during fault", 13, "p99(ttft) needs a duration, and 2 has no unit: write 2s"},
		{"p99(ttft) < 2sec during fault", 13, `"2sec" is not a duration: write it like 500ms, 15s or 1m30s`},
		{"p99(ttft) < 200h during fault", 13, "200h is longer than any run: write 2s, or 150% of baseline"},
		{"p99(ttft) < 99% during fault", 13, "p99(ttft) needs a duration: write 2s, or 99% of baseline"},
		{"p99(ttft) == 2s during fault", 11, "p99(ttft) is never exactly that: write <= or >="},
		{"p99(ttft) >= 0s during fault", 11, "p99(ttft) >= 0s is always true"},
		{"success >= 0.99 during fault", 12, "success is a share: write 99%"},
		{"success >= 99 during fault", 12, "success is a share: write 99%"},
		{"success >= 2s during fault", 12, "success is a share: write 99%"},
		{"success >= 101% during fault", 12, "success is never over 100%"},
		{"success >= 0% during fault", 9, "success >= 0% is always true"},
		{"success > 100% during fault", 9, "success > 100% is never true"},
		{"error_rate < 0% during fault", 12, "error_rate < 0% is never true"},
		{"success == 99% during fault", 9, "a share is compared exactly only with 0% and 100%: write <= or >="},
		{"success(paid) >= 99% during fault", 8, "success stands alone: write success"},
		{"success = 99% during fault", 9, `needs a comparison before "=": write ==`},
		{"success => 95% during fault", 9, `needs a comparison before "=": did you mean >=?`},
		{"error_rate =< 5% during fault", 12, `needs a comparison before "=": did you mean <=?`},
		{"success =", 9, `needs a comparison before "=": write ==`},
		{"success 99% during fault", 9, `needs a comparison before "99": write >= or <`},
		{"success ≥ 99% during fault", 9, "≥ has no place here: write >="},
		{"success >= -1% during fault", 12, "- has no place here: nothing that is measured is negative"},
		{"success >= 99%", 15, "needs a phase before the end: write during fault"},
		{"success >= 99% in fault", 16, `needs a phase before "in": write during fault`},
		{"success >= 99% for 5s", 16, "for belongs to a guard: write during fault"},
		{"success >= 99% during warmup", 23, "warmup counts nowhere: write during baseline"},
		{"success >= 99% during recvery", 23, `"recvery" is not a phase: write baseline, fault or recovery; did you mean recovery?`},
		{"success >= 99% during fault and leaks == 0 during fault", 29, "and has no place here: write two claims"},
		{"success >= 99% during fault please", 29, `"please" has no place after the end of the claim`},
		{"success >= 99% of before during fault", 19, "nothing but baseline can be compared with: write of baseline"},
		{"leaks <= 10% of baseline during fault", 10, "leaks have no baseline to compare with: write leaks == 0"},
		{"leaks == 0.5 during fault", 10, "leaks are counted: write a whole number"},
		{"leaks >= 0 during fault", 7, "leaks >= 0 is always true"},
		{"amplification <= 2/s during fault", 18, `amplification needs a number, not "2": write 1`},
		{"amplification <= 50% during fault", 18, "amplification needs a number: write 1.5, or 50% of baseline"},
		{"tokens_per_second >= 80% during fault", 22, "tokens_per_second needs a rate: write 500/s, or 80% of baseline"},
		{"tokens_per_second >= 80/m during fault", 25, "rates count per second: write /s"},
		{"tokens_per_second >= 2s during fault", 22, `tokens_per_second needs a rate, not "2s": write 500/s, or 80% of baseline`},
		{"stalled <= 1% during fault", 9, `needs ( before "<=": write stalled(2s)`},
		{"stalled(2) <= 1% during fault", 9, "stalled needs a duration, and 2 has no unit: write stalled(2s)"},
		{"stalled(0s) <= 1% during fault", 9, "every stream has a gap over 0: write stalled(2s)"},
		{`success{tier=paid} >= 99% during fault`, 14, `label values stand in quotes: write tier="paid"`},
		{`success{tier='paid'} >= 99% during fault`, 14, `' has no place here: write label values in double quotes: {tier="paid"}`},
		{`success{tier="paid} >= 99% during fault`, 14, `the quote that opens here is never closed: write "…"`},
		{`success{tier=="paid"} >= 99% during fault`, 13, `labels are selected with =: write tier="paid"`},
		{`success{tier="paid" region="east"} >= 99% during fault`, 21, `needs , or } before "region"`},
		{`success{tier="a", tier="b"} >= 99% during fault`, 19, "label tier is given twice"},
		{`success{="a"} >= 99% during fault`, 9, `needs the name of a label, not "=": write {tier="paid"}`},
		{"worst(success) >= 99% during fault", 14, `needs , before ")": write worst(tenant, success)`},
		{"worst(tenant, worst(tier, success)) >= 99% during fault", 15, "worst has no place inside another: write a metric"},
		{`worst(tier, success{tier="paid"}) >= 99% during fault`, 1, "worst(tier, …) of samples with one tier is no choice: delete one of the two"},
		{"recovery(success >= 99%)", 25, "needs < and how long it may take, not the end: write recovery(…) < 10s"},
		{"recovery(success >= 99%) > 10s", 26, `needs < and how long it may take, not ">": write recovery(…) < 10s`},
		{"recovery(success >= 99%) < 10", 28, "recovery(…) needs a duration, and 10 has no unit: write < 10s"},
		{"recovery(success >= 99%) < 0s", 28, "nothing recovers in no time: write < 10s"},
		{"recovery(success >= 99% during fault) < 10s", 25, "recovery(…) already says when: delete during …"},
		{"recovery(success >= 99%) < 10s during recovery", 32, "recovery(…) already says when: delete during …"},
		{"recovery(worst(tier, success) >= 99%) < 10s", 10, "recovery is about all samples: write one claim for each tier instead of worst"},
		{"recovery(leaks == 0) < 10s", 10, "a leak is never recovered from: write leaks == 0 during recovery"},
	} {
		_, err := experiments.ParseClaim(tc.text)
		wantClaimError(t, "ParseClaim", tc.text, err, tc.column, tc.want)
	}
}

// A guard is a condition with a time, over what finished requests tell.
func TestParseGuard(t *testing.T) {
	for _, text := range []string{
		"success < 50% for 5s",
		`error_rate{tier="paid"} > 20% for 1m0s`,
		"p99(ttft) > 10s for 5s",
		"mean(e2e) > 10s for 1s",
		"leaks > 0 for 1s",
		"amplification > 3 for 10s",
	} {
		got, err := experiments.ParseGuard(text)
		if err != nil || got.String() != text || got.Text != text {
			t.Errorf("ParseGuard(%q) = %q (Text %q), %v; want itself", text, got, got.Text, err)
		}
	}
	const sees = "a guard sees finished requests, by their success, error_rate, ttft, e2e, leaks, wasted_tokens or amplification, and not %s: write success < 50% for 5s, or p99(ttft) > 10s for 5s"
	for _, tc := range []struct {
		text   string
		column int
		want   string
	}{
		{"success < 50%", 14, "needs how long it may last before the end: write for 5s"},
		{"success < 50% for 5", 19, "for needs a duration, and 5 has no unit: write for 5s"},
		{"success < 50% for 500ms", 19, "500ms is shorter than a guard can see: write for 1s or more"},
		{"success < 50% during fault", 15, "a guard watches the whole run: write for 5s"},
		{"success < 50% of baseline for 5s", 1, "a guard has no baseline to compare with: write a figure, as in success < 50% for 5s"},
		{"recovery(success >= 99%) < 10s", 1, "a guard watches the run as it goes: write success < 50% for 5s"},
		{"tokens_per_second < 10/s for 5s", 1, replace(sees, "tokens_per_second")},
		{"p99(itl) > 1s for 5s", 1, replace(sees, "itl")},
		{"stalled(2s) > 10% for 5s", 1, replace(sees, "stalled")},
		{"worst(tier, success) < 50% for 5s", 1, replace(sees, "worst")},
	} {
		_, err := experiments.ParseGuard(tc.text)
		wantClaimError(t, "ParseGuard", tc.text, err, tc.column, tc.want)
	}
}

func replace(format, with string) string { return strings.Replace(format, "%s", with, 1) }

func wantClaimError(t *testing.T, call, text string, err error, column int, want string) {
	t.Helper()
	claimErr, ok := errors.AsType[*experiments.ClaimError](err)
	if !ok {
		t.Errorf("%s(%q) = %v; want a *ClaimError: %s", call, text, err, want)
		return
	}
	if claimErr.Error() != want || claimErr.Column() != column {
		t.Errorf("%s(%q) = column %d: %s\nwant column %d: %s", call, text, claimErr.Column(), claimErr, column, want)
	}
}

// What is printed reads back as the same claim, and nothing panics.
func FuzzParseClaim(f *testing.F) {
	for _, text := range []string{
		`success{tier="paid"} >= 99% during fault`,
		"tokens_per_second >= 80% of baseline during fault",
		"p99.9(ttft) < 1m30s during recovery",
		"recovery(success >= 99%) < 10s",
		`worst(tenant, stalled(2s){a="\x00\"", b="é"}) <= 1% during baseline`,
		"success < 50% for 5s",
		"leaks == 0 during fault",
		`amplification{tier="paid",} < 1.50 during fault`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if first, err := experiments.ParseClaim(text); err == nil {
			again, err := experiments.ParseClaim(first.String())
			if err != nil {
				t.Fatalf("ParseClaim(%q) = %q, which gives %v", text, first, err)
			}
			if first.Text, again.Text = "", ""; !cmp.Equal(first, again) || first.String() != again.String() {
				t.Fatalf("ParseClaim(%q).String() reads back as another claim:\n%s", text, cmp.Diff(first, again))
			}
		}
		if first, err := experiments.ParseGuard(text); err == nil {
			again, err := experiments.ParseGuard(first.String())
			if err != nil {
				t.Fatalf("ParseGuard(%q) = %q, which gives %v", text, first, err)
			}
			if first.Text, again.Text = "", ""; !cmp.Equal(first, again) || first.String() != again.String() {
				t.Fatalf("ParseGuard(%q).String() reads back as another guard:\n%s", text, cmp.Diff(first, again))
			}
		}
	})
}
