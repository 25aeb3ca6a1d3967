package experiments_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/experiments"
)

// A variable that is not set here may be so where the run is: it is warned of, once, by its name.
func TestLoadWarnsOfVariablesThatAreNotSet(t *testing.T) {
	const plan = `experiment: keys
stack:
  endpoints: {gateway: {url: "http://127.0.0.1:1", key: "${SET}", headers: {X-Api-Key: "${EMPTY}", X-Team: "a-${TEAM}"}}}
  metrics: {gateway: {url: "http://127.0.0.1:1/metrics", key: "${PAGE}"}}
attack: {profile: {constant: {rate: 100/s}}, clients: [{key: "${EMPTY}"}, {headers: {Authorization: "Bearer ${OWN}"}}]}
phases: {baseline: 9s, fault: 9s}
hypotheses: [tokens_per_second > 1 during fault]
`
	lookup := func(name string) (string, bool) {
		value, ok := map[string]string{"SET": "s3cret", "EMPTY": ""}[name]
		return value, ok
	}
	warnings := func(text string) experiments.Problems {
		plan, err := experiments.Load("x.yaml", []byte(text), experiments.LoadOptions{LookupEnv: lookup})
		if err != nil {
			t.Fatalf("Load: %v", err)
		}
		return plan.Warnings
	}
	const say = " is not set here: export it where the run is to be"
	var got []string
	for _, w := range warnings(plan) {
		got = append(got, w.String())
	}
	want := []string{
		"x.yaml:3:88: stack.endpoints.gateway.headers.X-Api-Key: environment variable EMPTY" + say,
		"x.yaml:3:108: stack.endpoints.gateway.headers.X-Team: environment variable TEAM" + say,
		"x.yaml:4:63: stack.metrics.gateway.key: environment variable PAGE" + say,
		"x.yaml:5:101: attack.clients[1].headers.Authorization: environment variable OWN" + say,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Warnings differ (-want +got):\n%s", diff)
	}
	none := strings.Replace(plan, plan[strings.Index(plan, "attack:"):strings.Index(plan, "\nphases")], "attack: none", 1)
	none = strings.Replace(none, "tokens_per_second", "server.tokens_per_second", 1)
	if w := warnings(none); len(w) != 1 || w[0].Path != "stack.metrics.gateway.key" {
		t.Errorf("of a run that sends nothing Load warns %v, want of the page's alone", w)
	}
}
