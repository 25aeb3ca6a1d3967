package attacks_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A client's headers are sent and win over the endpoint's, and the sample has the labels of who it was.
func TestClientsHeadersAndLabels(t *testing.T) {
	server := targetstest.New(t, echo)
	cfg, sink := config(server.URL())
	cfg.LookupEnv = env
	cfg.Endpoint.Headers = map[string]string{"X-Tenant": "nobody", "X-Org": "o"}
	cfg.Clients = []attacks.Client{
		{Tier: "paid", Tenant: "acme", Home: "east", Headers: map[string]string{"x-tenant": "acme", "X-Secret": "s-${PAID}"}},
		{Tenant: "zoo"},
		{},
	}
	a := newAttack(t, cfg)
	labels := map[string]results.Labels{}
	for _, s := range attackUntil(t, cfg, sink, 60) {
		labels[a.Nonce(s.Index)] = s.Labels
	}
	type who struct{ tenant, org, secret, labels string }
	got := map[who]bool{}
	for _, r := range server.Requests() {
		got[who{r.Header.Get("X-Tenant"), r.Header.Get("X-Org"), r.Header.Get("X-Secret"), labels[readerOf(r.Body).conversation].String()}] = true
	}
	want := map[who]bool{
		{"acme", "o", "s-sk-paid", `{home="east", tenant="acme", tier="paid"}`}: true,
		{"nobody", "o", "", `{tenant="zoo"}`}:                                   true,
		{"nobody", "o", "", ""}:                                                 true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers and labels (-want +got):\n%s", diff)
	}
}

// Validate says of each field what is wrong with it, and New does, of headers, once their values are known.
func TestClientValidate(t *testing.T) {
	for _, tt := range []struct {
		client attacks.Client
		want   string
	}{
		{attacks.Client{Share: -0.1}, "share -10% is not over 0% and up to 100%: write 50%"},
		{attacks.Client{Share: 1.1}, "share 110%"},
		{attacks.Client{Users: -1}, "users -1 is not between 1 and 1000000"},
		{attacks.Client{Users: 1_000_001}, "users 1000001"},
		{attacks.Client{FirstToken: -1}, "first_token -1ns is not between 0s and the deadline 1m0s: write 5s"},
		{attacks.Client{FirstToken: 3 * time.Second, Deadline: 2 * time.Second}, "first_token 3s is not between 0s and the deadline 2s: write 1s"},
		{attacks.Client{Read: -1}, "read -1B/s is negative: write 2KB/s"},
		{attacks.Client{RequestsPerConnection: -1}, "requests_per_connection -1"},
		{attacks.Client{Cancel: &attacks.Cancel{}}, "cancel: has 0 ways to leave: write one of after_tokens: 20, after: 5s, before_first_byte: true"},
		{attacks.Client{Cancel: &attacks.Cancel{AfterTokens: 1, BeforeFirstByte: true}}, "cancel: has 2 ways to leave"},
		{attacks.Client{Cancel: &attacks.Cancel{AfterTokens: -1}}, "cancel: after_tokens -1 is not between 1 and"},
		{attacks.Client{Cancel: &attacks.Cancel{After: -1}}, "cancel: after -1ns is negative: write 5s"},
		{attacks.Client{Cancel: &attacks.Cancel{After: time.Minute}}, "cancel: after 1m0s is not before the deadline 1m0s, so nobody leaves: write a shorter one"},
		{attacks.Client{Cancel: &attacks.Cancel{Share: 2, BeforeFirstByte: true}}, "cancel: share 200% is not over 0% and up to 100%: write 10%"},
		{attacks.Client{Headers: map[string]string{"Host": "x"}}, `header "Host" is set by the attack itself: remove it`},
		{attacks.Client{Headers: map[string]string{"X Y": "x"}}, `header "X Y" is no valid name`},
		{attacks.Client{Headers: map[string]string{"X-A": "x", "x-a": "y"}}, `headers "X-A" and "x-a" are the same one: remove one`},
	} {
		if errs := tt.client.Validate(); len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), tt.want) {
			t.Errorf("Validate(%+v) = %v; want %q", tt.client, errs, tt.want)
		}
	}
	for _, fine := range []attacks.Client{
		{},
		{Users: 1_000_000, FirstToken: time.Minute, RequestsPerConnection: 1, Read: 1, Headers: map[string]string{"X-A": "${A}"}},
		{Cancel: &attacks.Cancel{Share: 1, BeforeFirstByte: true}},
	} {
		if errs := fine.Validate(); len(errs) > 0 {
			t.Errorf("Validate(%+v) = %v", fine, errs)
		}
	}
	for want, headers := range map[string]map[string]string{
		`a client's header "X": environment variable GONE is not set: export it`: {"X": "${GONE}"},
		`a client's header "X": has a value with control characters`:             {"X": "${BAD}"},
		`header "authorization" and the key say the same thing: remove one`:      {"authorization": "mine"},
	} {
		cfg, _ := config("http://127.0.0.1:1")
		cfg.LookupEnv = env
		cfg.Clients = []attacks.Client{{Key: "${PAID}", Headers: headers}}
		if _, err := attacks.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New with headers %v: %v; want %q", headers, err, want)
		}
	}
}

// asked sends a hundred requests of a class in each phase, and returns them and their messages as the server had them.
func asked(t *testing.T, id string, class attacks.Class, client attacks.Client, phases ...results.Phase) (all []targetstest.Request, said [][]targets.Message) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, echo)
		cfg, _ := config(server.URL())
		cfg.Run, cfg.Workload, cfg.Clients = id, attacks.Workload{class}, []attacks.Client{client}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		for _, p := range phases {
			a.BeginFor(p, time.Second)
			time.Sleep(time.Second)
		}
		a.Stop()
		wait()
		all = server.Requests()
	})
	for _, r := range all {
		var body struct {
			Messages []targets.Message `json:"messages"`
		}
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		said = append(said, body.Messages)
	}
	return all, said
}

// A group's system prompt is the same bytes for each of its requests in all phases, as long as it says, and another
// one in another run. The ids come after it, and the prompt is as long as without it.
func TestPrefixesAreShared(t *testing.T) {
	class := attacks.Class{
		PromptTokens: attacks.Length{Fixed: 100}, OutputTokens: attacks.Length{Fixed: 5},
		Prefix: &attacks.Prefix{Tokens: 300, Groups: 4},
	}
	_, said := asked(t, "0000000a", class, attacks.Client{}, results.Baseline, results.Fault)
	groups := map[string]int{}
	for i, m := range said {
		system, user := m[0].Content, m[1].Content
		groups[system]++
		if len(m) != 2 || m[0].Role != "system" || len(system) != 1200 || nonceIn.MatchString(system) {
			t.Fatalf("request %d begins with %d characters of %s: %.80s", i, len(system), m[0].Role, system)
		}
		if !nonceIn.MatchString(user[:100]) || len(user) < 400 || len(user) > 412 {
			t.Errorf("request %d says %d characters: %.100s; want the id and 100 tokens of 4", i, len(user), user)
		}
		if before := said[i%100]; before[0].Content != system {
			t.Errorf("request %d is of another group than that of its place in the phase before", i)
		}
	}
	if len(said) != 200 || len(groups) != 4 {
		t.Errorf("%d requests of %d groups; want 200 of 4", len(said), len(groups))
	}
	_, others := asked(t, "0000000b", class, attacks.Client{}, results.Baseline)
	for _, m := range others {
		for system := range groups {
			if n := common(system, m[0].Content); n > 40 {
				t.Fatalf("a prefix of another run begins with %d characters alike", n)
			}
		}
	}
}

// A canary asks for the reader's id. Users who come again have one of their own, after that of the conversation.
func TestPromptsNameTheirReader(t *testing.T) {
	short := attacks.Class{PromptTokens: attacks.Length{Fixed: 64}, OutputTokens: attacks.Length{Fixed: 5}}
	canary := short
	canary.Canary = true
	const ask = "Write a story with these words for the reader with id "
	for _, tt := range []struct {
		class attacks.Class
		users int
		want  string
	}{
		{short, 0, ask + "%[1]s: "},
		{canary, 0, "Begin your answer with the reader's id. " + ask + "%[1]s: "},
		{short, 7, ask + "%[1]s of %[2]s: "},
	} {
		all, said := asked(t, "0123abcd", tt.class, attacks.Client{Users: tt.users}, results.Baseline, results.Fault)
		users, conversations := map[string]bool{}, map[string]bool{}
		for i, r := range all {
			me := readerOf(r.Body)
			users[me.user] = true
			want := fmt.Sprintf(tt.want, me.conversation, me.user)
			if got := said[i][1].Content; !strings.HasPrefix(got, want) || conversations[me.conversation] {
				t.Fatalf("request %d says %.160q; want %q first, and another id each time", i, got, want)
			}
			conversations[me.conversation] = true
			if tt.users > 0 && me.user != readerOf(all[i%100].Body).user {
				t.Errorf("request %d has another user than that of its place in the phase before", i)
			}
		}
		if tt.users > 0 && len(users) != tt.users {
			t.Errorf("%d users; want %d", len(users), tt.users)
		}
	}
}
