package attacks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A call is a request as one of several servers saw it, and when: since the first of all.
type call struct {
	door string
	at   time.Duration
}

// fakeDoors sends a single request under fake time to the first of several servers; the others are there to fail over
// to. One without a handler refuses connections, which nobody sees.
func fakeDoors(t *testing.T, client attacks.Client, doors map[string]targetstest.Handler) (s *results.Sample, calls []call) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		servers := map[string]*targetstest.Server{}
		cfg, sink := config("http://a.test")
		cfg.Name, cfg.Others = "a", map[string]targets.Endpoint{}
		for name, handle := range doors {
			if handle != nil {
				servers[name] = targetstest.NewPipe(t, handle)
			}
			cfg.Others[name] = targets.Endpoint{URL: "http://" + name + ".test"}
		}
		cfg.Profile.Constant.Rate = 1e-6
		cfg.Clients = []attacks.Client{client}
		a := newAttack(t, cfg)
		a.SetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			name, _, _ := strings.Cut(addr, ".")
			if servers[name] == nil {
				return nil, errors.New("refused")
			}
			return servers[name].Dial(ctx, network, addr)
		})
		begin := time.Now()
		a.Begin(results.Baseline)
		wait := run(t, a)
		time.Sleep(100 * time.Second)
		a.Stop()
		wait()
		s = sink.sorted()[0]
		for name, server := range servers {
			for _, r := range server.Requests() {
				calls = append(calls, call{name, r.At.Sub(begin)})
			}
		}
		slices.SortFunc(calls, func(a, b call) int {
			if a.at != b.at {
				return int(a.at - b.at)
			}
			return strings.Compare(a.door, b.door)
		})
	})
	return s, calls
}

// said is what a sample says about where its attempts went, and how they ended: "a http_status, b complete".
func said(s *results.Sample) string {
	var all []string
	for _, a := range s.Attempts {
		all = append(all, fmt.Sprintf("%s %s", a.Endpoint, a.Outcome))
	}
	return strings.Join(append(all, fmt.Sprintf("%s %s", s.Labels["endpoint"], s.Outcome)), ", ")
}

// A client that an endpoint fails goes to the next at once, in its order; after the last it waits, if it retries.
func TestFailover(t *testing.T) {
	busy, good := targetstest.Always(refusal("503 Busy", "")...), targetstest.Always(targetstest.Send(targetstest.Answer("x", "y")))
	to := &attacks.Failover{To: []string{"b", "c"}}
	eager := &attacks.Failover{To: []string{"b", "c"}, AfterFirstToken: true}
	even := &attacks.Backoff{Jitter: jitter(0)}
	begun := targetstest.StreamHead + targetstest.Token("x")
	half := time.Second / 2
	for _, tt := range []struct {
		name   string
		client attacks.Client
		doors  map[string]targetstest.Handler
		want   string
		calls  []call
	}{
		{
			"the first serves",
			attacks.Client{Failover: to},
			map[string]targetstest.Handler{"a": good, "b": good, "c": good},
			"a complete",
			[]call{{"a", 0}},
		},
		{
			"the second serves",
			attacks.Client{Failover: to},
			map[string]targetstest.Handler{"a": busy, "b": good, "c": good},
			"a http_status, b complete",
			[]call{{"a", 0}, {"b", 0}},
		},
		{
			"in the order that the client names",
			attacks.Client{Failover: &attacks.Failover{To: []string{"c", "b"}}},
			map[string]targetstest.Handler{"a": busy, "b": good, "c": good},
			"a http_status, c complete",
			[]call{{"a", 0}, {"c", 0}},
		},
		{
			"refused and reset",
			attacks.Client{Failover: to},
			map[string]targetstest.Handler{"a": nil, "b": targetstest.Always(targetstest.RST()), "c": good},
			"a connect, b reset, c complete",
			[]call{{"b", 0}, {"c", 0}},
		},
		{
			"none serves",
			attacks.Client{Failover: to},
			map[string]targetstest.Handler{"a": busy, "b": busy, "c": nil},
			"a http_status, b http_status, c connect",
			[]call{{"a", 0}, {"b", 0}},
		},
		{
			"again from the first, after a while",
			attacks.Client{Failover: to, Retries: 2, Backoff: even},
			map[string]targetstest.Handler{"a": busy, "b": targetstest.InTurn(refusal("503 Busy", ""), send(targetstest.Answer("x"))), "c": busy},
			"a http_status, b http_status, c http_status, a http_status, b complete",
			[]call{{"a", 0}, {"b", 0}, {"c", 0}, {"a", half}, {"b", half}},
		},
		{
			"what another would refuse as well",
			attacks.Client{Failover: to, Retries: 2},
			map[string]targetstest.Handler{"a": targetstest.Always(refusal("400 Bad Request", "")...), "b": good, "c": good},
			"a http_status",
			[]call{{"a", 0}},
		},
		{
			"a late first token",
			attacks.Client{Failover: to, FirstToken: half},
			map[string]targetstest.Handler{"a": targetstest.Always(targetstest.Send(targetstest.StreamHead), targetstest.Hang()), "b": good, "c": good},
			"a deadline, b complete",
			[]call{{"a", 0}, {"b", half}},
		},
		{
			"cut before a token",
			attacks.Client{Failover: to},
			map[string]targetstest.Handler{"a": targetstest.Always(targetstest.Send(targetstest.StreamHead), targetstest.RST()), "b": good, "c": good},
			"a reset, b complete",
			[]call{{"a", 0}, {"b", 0}},
		},
		{
			"an error in place of the first token",
			attacks.Client{Failover: to},
			map[string]targetstest.Handler{"a": targetstest.Always(stream(sse(boom))...), "b": good, "c": good},
			"a stream_error, b complete",
			[]call{{"a", 0}, {"b", 0}},
		},
		{
			"cut after a token",
			attacks.Client{Failover: to, Retries: 2},
			map[string]targetstest.Handler{"a": targetstest.Always(targetstest.Send(begun), targetstest.RST()), "b": good, "c": good},
			"a reset",
			[]call{{"a", 0}},
		},
		{
			"cut after a token, and on",
			attacks.Client{Failover: eager},
			map[string]targetstest.Handler{"a": targetstest.Always(targetstest.Send(begun), targetstest.RST()), "b": good, "c": good},
			"a reset, b complete",
			[]call{{"a", 0}, {"b", 0}},
		},
		{
			"the whole deadline passes at the first",
			attacks.Client{Failover: eager, Retries: 2, Deadline: half},
			map[string]targetstest.Handler{"a": targetstest.Always(targetstest.Hang()), "b": good, "c": good},
			"a deadline",
			[]call{{"a", 0}},
		},
		{
			"hedged at the first, and on",
			attacks.Client{Failover: to, Hedge: half},
			map[string]targetstest.Handler{"a": targetstest.Always(targetstest.Pause(time.Second), targetstest.RST()), "b": good, "c": good},
			"a reset, a reset, b complete",
			[]call{{"a", 0}, {"a", half}, {"b", 3 * half}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, calls := fakeDoors(t, tt.client, tt.doors)
			if got := said(s); got != tt.want {
				t.Errorf("attempts %s; want %s", got, tt.want)
			}
			if !slices.Equal(calls, tt.calls) {
				t.Errorf("the servers saw %v; want %v", calls, tt.calls)
			}
		})
	}
}

// Each door has its own dialect, key, certificate, path, model and labels, and none is shown another's key. The
// question is the same.
func TestFailoverBetweenProviders(t *testing.T) {
	messages := messagesSpeech()
	first := targetstest.New(t, targetstest.Always(refusal("529 Overloaded", "")...))
	middle := targetstest.New(t, targetstest.Always(targetstest.Send(targetstest.StreamHead+targetstest.Token("x")), targetstest.Pause(20*time.Millisecond), targetstest.RST()))
	last := targetstest.NewTLS(t, func(r targetstest.Request) targetstest.Script {
		return messages.stream(messages.say(2, messages.texts(nonceIn.FindString(string(r.Body)), " b")...)...)
	})
	cfg, sink := config(first.URL())
	cfg.Dialect, cfg.Endpoint.Model, cfg.Endpoint.Key = targets.OpenAIChat{}, "house", "${HOUSE}" // the dialect is that of the first alone
	cfg.Endpoint.Labels = map[string]targets.Label{"provider": {Value: "house"}}
	cfg.Others = map[string]targets.Endpoint{
		"spare": {URL: middle.URL(), Model: "small", Keys: map[string]string{"paid": "${SPARE}"}},
		"cloud": {
			URL: last.URL(), Dialect: "anthropic-messages", Model: "sonnet", Key: "${CLOUD}", CA: last.CA(),
			Headers: map[string]string{"X-Region": "eu"}, Labels: map[string]targets.Label{"provider": {Value: "cloud"}},
		},
		"unused": {URL: "nowhere", Key: "${NOBODY}"},
	}
	cfg.Clients = []attacks.Client{{Tier: "paid", Key: "${MINE}", Headers: map[string]string{"X-Secret": "${MINE}", "X-Team": "a"}, Failover: &attacks.Failover{To: []string{"spare", "cloud"}, AfterFirstToken: true}}}
	cfg.LookupEnv = func(name string) (string, bool) {
		v, ok := map[string]string{"HOUSE": "k-house", "MINE": "k-mine", "SPARE": "k-spare", "CLOUD": "k-cloud"}[name]
		return v, ok
	}
	a := newAttack(t, cfg)
	a.Begin(results.Baseline)
	wait := run(t, a)
	sink.wait(t, 20)
	a.Stop()
	wait()
	for _, s := range sink.sorted() {
		if got := said(s); got != "endpoint http_status, spare reset, cloud complete" || s.Labels["provider"] != "cloud" || s.Attempts[1].Output != 1 || len(s.Chunks) != 2 {
			t.Fatalf("request %d: %s (%s), labels %v, %d chunks; want cloud to serve it", s.Index, got, s.Error, s.Labels, len(s.Chunks))
		}
	}
	asked := map[string][3]bool{}
	for i, server := range []*targetstest.Server{first, middle, last} {
		want := []struct{ path, auth, key, model, secret string }{
			{"/v1/chat/completions", "Bearer k-mine", "", "house", "k-mine"},
			{"/v1/chat/completions", "Bearer k-spare", "", "small", ""},
			{"/v1/messages", "", "k-cloud", "sonnet", ""},
		}[i]
		for _, r := range server.Requests() {
			var body struct{ Model string }
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Fatal(err)
			}
			if r.Path != want.path || r.Header.Get("Authorization") != want.auth || r.Header.Get("X-Api-Key") != want.key || body.Model != want.model ||
				r.Header.Get("X-Secret") != want.secret || r.Header.Get("X-Team") != "a" {
				t.Fatalf("server %d saw %s for %s with %v; want %+v", i, r.Path, body.Model, r.Header, want)
			}
			nonce := nonceIn.FindString(string(r.Body))
			seen := asked[nonce]
			seen[i] = true
			asked[nonce] = seen
		}
	}
	if n := len(sink.sorted()); len(asked) != n {
		t.Errorf("%d questions of %d requests", len(asked), n)
	}
	for nonce, seen := range asked {
		if seen != [3]bool{true, true, true} {
			t.Errorf("%s was asked at %v; want all three", nonce, seen)
		}
	}
}

// What cannot be failed over to is said before anything is sent, and by its name.
func TestFailoverToNowhere(t *testing.T) {
	cfg, _ := config("http://a.test")
	cfg.Name = "a"
	cfg.Others = map[string]targets.Endpoint{"a": {URL: "http://a.test"}, "b": {URL: "http://b.test", Key: "${UNSET}"}, "c": {URL: "http://c.test"}}
	for to, want := range map[string]string{
		"d":   `clients[0]: failover: to has "d", which isn't one of the stack's other endpoints [a b c]`,
		"a":   `clients[0]: failover: to has "a", where the attack goes by itself: remove it`,
		"b":   `endpoint b: key: `,
		"":    `clients[0]: failover: to has no endpoint: name one of the stack's others`,
		"c,c": `clients[0]: failover: to has "c" twice: remove one`,
	} {
		f := &attacks.Failover{}
		if to != "" {
			f.To = strings.Split(to, ",")
		}
		cfg.Clients = []attacks.Client{{Failover: f}}
		if _, err := attacks.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New() to %q = %v; want %s", to, err, want)
		}
	}
	cfg.Clients = []attacks.Client{{Failover: &attacks.Failover{To: []string{"c"}}}}
	if _, err := attacks.New(cfg); err != nil {
		t.Errorf("New() to c = %v", err)
	}
}

// What is wrong with how a client behaves between its attempts is said with what to write.
func TestValidateRetries(t *testing.T) {
	bad := map[string]attacks.Client{
		"backoff waits for no retries":                  {Backoff: &attacks.Backoff{}},
		"backoff: first -1s is negative":                {Retries: 1, Backoff: &attacks.Backoff{First: -time.Second}},
		"backoff: factor 0.5 is not between 1 and 1000": {Retries: 1, Backoff: &attacks.Backoff{Factor: 0.5}},
		"backoff: most 8s is shorter than the first":    {Retries: 1, Backoff: &attacks.Backoff{First: 9 * time.Second}},
		"backoff: jitter 200% is not":                   {Retries: 1, Backoff: &attacks.Backoff{Jitter: jitter(2)}},
		"retry_budget bounds no retries":                {RetryBudget: 0.1},
		"retry_cut needs retries":                       {RetryCut: true},
		"storm: retries 0 is not between 1 and 20":      {Storm: &attacks.Storm{}},
		"storm: wait -1s is negative":                   {Storm: &attacks.Storm{Retries: 1, Wait: -time.Second}},
		`storm: during "night" isn't one of`:            {Storm: &attacks.Storm{Retries: 1, During: "night"}},
		"hedge -1s is negative":                         {Hedge: -time.Second},
		"hedge 5s comes after the first attempt":        {Hedge: 5 * time.Second, FirstToken: 5 * time.Second},
		"hedge 1m0s comes after the deadline 1m0s":      {Hedge: time.Minute},
		"failover: to has no endpoint":                  {Failover: &attacks.Failover{}},
	}
	for _, want := range slices.Sorted(maps.Keys(bad)) {
		if errs := bad[want].Validate(); len(errs) != 1 || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("Validate() = %v; want one: %s", errs, want)
		}
	}
	good := attacks.Client{
		Retries: 3, RetryBudget: 0.1, RetryCut: true, Hedge: time.Second, FirstToken: 5 * time.Second, Failover: &attacks.Failover{To: []string{"b"}},
		Backoff: &attacks.Backoff{First: time.Second, Factor: 1, Jitter: jitter(0)}, Storm: &attacks.Storm{Retries: 5, During: results.Recovery},
	}
	if errs := good.Validate(); len(errs) > 0 {
		t.Errorf("Validate() = %v", errs)
	}
}

// A lastRead is a connection by which a client goes away when an answer has come that ends in end.
type lastRead struct {
	net.Conn
	end  string
	gone func()
}

func (c *lastRead) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if strings.HasSuffix(string(p[:n]), c.end) {
		c.gone()
	}
	return n, err
}

// Who has gone when a door refuses goes to no other, nor back to the first: the refusal is the end.
func TestWhoIsGoneAsksNobodyElse(t *testing.T) {
	for name, client := range map[string]attacks.Client{
		"failover": {Failover: &attacks.Failover{To: []string{"b"}}},
		"retry":    {Retries: 3, Backoff: &attacks.Backoff{First: 1}},
		"hedge":    {Hedge: time.Second, Retries: 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := targetstest.NewPipe(t, targetstest.Always(refusal("503 Busy", "")...))
				cfg, _ := config("http://a.test")
				cfg.Others, cfg.Clients = map[string]targets.Endpoint{"b": {URL: "http://b.test"}}, []attacks.Client{client}
				a := newAttack(t, cfg)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				a.SetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := server.Dial(ctx, network, addr)
					return &lastRead{conn, `"no"}`, cancel}, err
				})
				s, err := a.One(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if s.Outcome != results.HTTPStatus || len(s.Attempts) > 0 || len(server.Requests()) != 1 {
					t.Errorf("%s: %s after %+v and %d requests; want http_status, nothing, and 1", s.Outcome, s.Error, s.Attempts, len(server.Requests()))
				}
			})
		})
	}
}

// Where some fail over, everybody's sample says who served: else those of an endpoint would be a part that looks like all.
func TestEverybodysEndpointIsTold(t *testing.T) {
	good := targetstest.Always(targetstest.Send(targetstest.Answer("x", "y")))
	first, other := targetstest.New(t, good), targetstest.New(t, good)
	cfg, sink := config(first.URL())
	cfg.Name, cfg.Others = "first", map[string]targets.Endpoint{"other": {URL: other.URL()}}
	cfg.Clients = []attacks.Client{{Tier: "paid", Failover: &attacks.Failover{To: []string{"other"}}}, {Tier: "free"}}
	for _, s := range attackUntil(t, cfg, sink, 20) {
		if s.Labels["endpoint"] != "first" {
			t.Errorf("sample with labels %v; want endpoint=first", s.Labels)
		}
	}
}

// The label of the model is the one that was asked where the request was served: a class without models of its own asks
// each endpoint for that endpoint's.
func TestTheModelThatServedIsTold(t *testing.T) {
	first := targetstest.New(t, targetstest.Always(refusal("503 Busy", "")...))
	other := targetstest.New(t, targetstest.Always(targetstest.Send(targetstest.Answer("x", "y"))))
	cfg, sink := config(first.URL())
	cfg.Name, cfg.Endpoint.Model = "first", "large"
	cfg.Others = map[string]targets.Endpoint{"other": {URL: other.URL(), Model: "small"}}
	cfg.Clients = []attacks.Client{{Share: 0.5, Failover: &attacks.Failover{To: []string{"other"}}}, {Tier: "stays", Share: 0.5}}
	cfg.Workload = attacks.Workload{
		{Preset: attacks.ChatShort, Feature: "its", Models: map[string]attacks.Share{"adapter": 1}}, {Preset: attacks.ChatShort, Feature: "theirs"},
	}
	seen := map[string]int{}
	for _, s := range attackUntil(t, cfg, sink, 40) {
		seen[s.Labels["feature"]+" at "+s.Labels["endpoint"]+": "+s.Labels["model"]]++
	}
	for _, want := range []string{"its at first: adapter", "its at other: adapter", "theirs at first: large", "theirs at other: small"} {
		if seen[want] == 0 {
			t.Errorf("no sample says %q: %v", want, seen)
		}
	}
	if len(seen) != 4 {
		t.Errorf("samples say %v; want four kinds", seen)
	}
}
