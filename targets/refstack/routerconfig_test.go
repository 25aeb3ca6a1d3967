package refstack_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/targets/refstack"
)

const goodConfig = `{"policy":"round_robin","pools":{"8b-chat":{"replicas":[0,1],"weight":1}},` +
	`"limits":{"queue_tokens":1000,"output_tokens":10,"context_tokens":100}}`

// What a stack starts with must pass its own check.
func TestCheckRouterConfigAcceptsTheDefault(t *testing.T) {
	want := refstack.DefaultRouterConfig(refstack.LeastOutstandingTokens, 4)
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := refstack.CheckRouterConfig(text, 4)
	if err != nil {
		t.Fatalf("CheckRouterConfig(%s, 4): %v", text, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("CheckRouterConfig(%s, 4) (-want +got):\n%s", text, d)
	}
}

// Each document would break a consumer that trusts it; the error says where.
func TestCheckRouterConfigRefuses(t *testing.T) {
	edit := func(old, with string) string { return strings.Replace(goodConfig, old, with, 1) }
	if _, err := refstack.CheckRouterConfig([]byte(goodConfig), 4); err != nil {
		t.Fatalf("CheckRouterConfig(%s, 4): %v", goodConfig, err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":              {"", "EOF"},
		"null":                 {"null", "pools is null"},
		"null pools":           {edit(`{"8b-chat":{"replicas":[0,1],"weight":1}}`, "null"), "pools is null"},
		"no pools":             {edit(`{"8b-chat":{"replicas":[0,1],"weight":1}}`, "{}"), "pools is null or empty"},
		"null pool":            {edit(`{"replicas":[0,1],"weight":1}`, "null"), "pools.8b-chat.replicas is empty"},
		"unknown replica":      {edit("[0,1]", "[0,4]"), "pools.8b-chat.replicas has 4: want each of 0 to 3"},
		"negative replica":     {edit("[0,1]", "[-1]"), "replicas has -1"},
		"replica twice":        {edit("[0,1]", "[1,1]"), "at most once"},
		"unknown policy":       {edit("round_robin", "random"), `policy "random" isn't one of`},
		"negative weight":      {edit(`"weight":1`, `"weight":-1`), "pools.8b-chat.weight is -1"},
		"no limit":             {edit(`"queue_tokens":1000`, `"queue_tokens":0`), "limits.queue_tokens is 0"},
		"wrong type":           {edit("[0,1]", `"all"`), "cannot unmarshal string"},
		"unknown field":        {edit(`"policy"`, `"polcy":1,"policy"`), `unknown field "polcy"`},
		"truncated":            {goodConfig[:40], "unexpected EOF"},
		"two documents":        {goodConfig + goodConfig, "something follows"},
		"more than can be":     {goodConfig + strings.Repeat(" ", 65_536), "bytes, want at most 65536"},
		"two mistakes at once": {edit("round_robin", "x"), `policy "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := refstack.CheckRouterConfig([]byte(c.text), 4)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("CheckRouterConfig(%.200q, 4) = %v, want an error with %q", c.text, err, c.want)
			}
		})
	}
}
