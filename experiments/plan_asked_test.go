package experiments_test

import (
	"strings"
	"testing"

	"github.com/failwhale/failwhale/results"
)

// Where no answer repeats its id, a canary is advised only to classes that have none and whose questions it would not change.
func TestNoEchoSaysWhatWouldHelp(t *testing.T) {
	const (
		none   = "no answer carried its own nonce"
		plain  = none + ": a swap would not have been seen (write canary: true)"
		vain   = none + ", though canary asks for it: the model did not repeat it, and a swap would not have been seen"
		others = none + ": a swap would not have been seen (write canary: true in the classes without golden)"
		known  = none + ": a swap would not have been seen (golden questions do not ask for it: add a class without them and with canary: true)"
		golden = "prompt_tokens: 9, output_tokens: 9, golden: [{ask: a, contains: b}]"
	)
	for _, tc := range []struct {
		workload, labels string
		whole, claim     string // of the report, and of a claim with these labels
	}{
		{"chat", "", plain, plain},
		{"{canary: true}", "", vain, vain},
		{"{" + golden + "}", "", known, known},
		{"{canary: true, " + golden + "}", "", vain, vain},
		{"[{feature: a, canary: true}, {feature: b, prompt_tokens: 9, output_tokens: 9}]", "{feature=\"b\"}", vain, plain},
		{"[{feature: a}, {feature: b, " + golden + "}]", "{feature=\"b\"}", others, known},
		{"[{feature: a}, {feature: b, " + golden + "}]", "{feature=\"a\"}", others, plain},
	} {
		t.Run(tc.workload+tc.labels, func(t *testing.T) {
			claim, guard := "leaks"+tc.labels+" == 0 during fault", "leaks"+tc.labels+" > 0 for 1s"
			s := newScript("hypotheses: ['" + claim + "']\nguards: ['" + guard + "']\n")
			s.plan = strings.Replace(s.plan, "clients:", "workload: "+tc.workload+", clients:", 1)
			s.load(4, 16, 50, func(due float64) *results.Sample {
				x := served(due)
				x.Echoed = false
				if labels := strings.Split(tc.labels, `"`); len(labels) > 1 {
					x.Labels = results.Labels{"feature": labels[1]}
				}
				return x
			})
			r := s.judge(t)
			if r.NoEcho != tc.whole {
				t.Errorf("NoEcho = %q\nwant %q", r.NoEcho, tc.whole)
			}
			for _, of := range []string{claim, guard} {
				if f := finding(t, r, of); f.Verdict != results.Undecided || f.Why != tc.claim {
					t.Errorf("%s: %s, %q\nwant undecided, %q", of, f.Verdict, f.Why, tc.claim)
				}
			}
		})
	}
}

// A leak that was found, or an answer that repeats its id, leaves nothing to advise.
func TestNoEchoIsSilentWhereALeakWouldShow(t *testing.T) {
	for name, outcome := range map[string]results.Outcome{"an echo": results.Complete, "a leak": results.WrongUser} {
		s := newScript(anyClaim)
		n := 0
		s.load(4, 16, 50, func(due float64) *results.Sample {
			x := served(due)
			if n++; n > 1 {
				x.Echoed = false
				return x
			}
			x.Outcome, x.Echoed = outcome, outcome == results.Complete
			return x
		})
		if r := s.judge(t); r.NoEcho != "" {
			t.Errorf("%s: NoEcho = %q; want none", name, r.NoEcho)
		}
	}
}
