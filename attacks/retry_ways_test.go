package attacks_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// fake runs an attack on a scripted server for so long under fake time, and returns what both of them saw. cfg may
// be changed before; requests are due once in eleven days, the first at once.
func fake(t *testing.T, handle targetstest.Handler, length time.Duration, change func(*attacks.Config)) (all []*results.Sample, seen []targetstest.Request) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, handle)
		cfg, sink := config(server.URL())
		cfg.Profile.Constant.Rate = 1e-6
		change(&cfg)
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		a.Begin(results.Baseline)
		wait := run(t, a)
		time.Sleep(length)
		a.Stop()
		wait()
		all, seen = sink.sorted(), server.Requests()
	})
	tries := 0
	for _, s := range all {
		tries += s.Tries()
	}
	if tries != len(seen) {
		t.Errorf("the server saw %d requests of %d tries", len(seen), tries)
	}
	return all, seen
}

func byClient(c attacks.Client) func(*attacks.Config) {
	return func(cfg *attacks.Config) { cfg.Clients = []attacks.Client{c} }
}

// between are the times between requests, as the server saw them.
func between(seen []targetstest.Request) (gaps []time.Duration) {
	for i := 1; i < len(seen); i++ {
		gaps = append(gaps, seen[i].At.Sub(seen[i-1].At))
	}
	return gaps
}

func jitter(part float64) *attacks.Jitter {
	j := attacks.Jitter(part)
	return &j
}

// What a client waits between its retries is what it was told to, and what the server saw is what the sample says.
func TestBackoffAsWritten(t *testing.T) {
	busy := refusal("503 Busy", "")
	told := refusal("503 Busy", "Retry-After: 7\r\n")
	ms := func(all ...int) (out []time.Duration) {
		for _, n := range all {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	for _, tt := range []struct {
		name    string
		backoff *attacks.Backoff
		answer  targetstest.Script
		least   []time.Duration
		most    []time.Duration // nil: least
	}{
		{"the SDKs'", nil, busy, ms(375, 750, 1500, 3000, 6000, 6000), ms(500, 1000, 2000, 4000, 8000, 8000)},
		{"without jitter", &attacks.Backoff{Jitter: jitter(0)}, busy, ms(500, 1000, 2000, 4000, 8000, 8000), nil},
		{"all of it", &attacks.Backoff{First: 100 * time.Millisecond, Factor: 3, Most: 5 * time.Second, Jitter: jitter(0)}, busy, ms(100, 300, 900, 2700, 5000, 5000), nil},
		{"always the same", &attacks.Backoff{First: time.Second, Factor: 1, Jitter: jitter(0)}, busy, ms(1000, 1000, 1000, 1000, 1000, 1000), nil},
		{"full jitter", &attacks.Backoff{First: time.Second, Factor: 1, Jitter: jitter(1)}, busy, ms(0, 0, 0, 0, 0, 0), ms(1000, 1000, 1000, 1000, 1000, 1000)},
		{"Retry-After", &attacks.Backoff{Jitter: jitter(0)}, told, ms(7000, 7000, 7000, 7000, 7000, 7000), nil},
		{"Retry-After unheeded", &attacks.Backoff{Jitter: jitter(0), IgnoreRetryAfter: true}, told, ms(500, 1000, 2000, 4000, 8000, 8000), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := attacks.Client{Retries: 6, Backoff: tt.backoff}
			all, seen := fake(t, targetstest.Always(tt.answer...), 100*time.Second, byClient(client))
			got, most := between(seen), tt.most
			if most == nil {
				most = tt.least
			}
			if len(got) != len(tt.least) {
				t.Fatalf("%d retries, want %d", len(got), len(tt.least))
			}
			for i, gap := range got {
				if gap < tt.least[i] || gap > most[i] {
					t.Errorf("wait %d is %s, want %s to %s", i, gap, tt.least[i], most[i])
				}
			}
			if said := saidBetween(all[0]); !slices.Equal(said, got) {
				t.Errorf("the sample says %v and the server saw %v", said, got)
			}
			if tt.most != nil && slices.Equal(got, tt.most) {
				t.Errorf("waits %v have no jitter", got)
			}
		})
	}
}

// saidBetween are the times between a sample's attempts, if each failed at once.
func saidBetween(s *results.Sample) (gaps []time.Duration) {
	for i, a := range s.Attempts {
		next := s.Done
		if i+1 < len(s.Attempts) {
			next = s.Attempts[i+1].Sent
		}
		gaps = append(gaps, next-a.Done)
	}
	return gaps
}

// Who presses reload asks again after a stream that was cut, that failed, was empty or fell silent; who does not, does not.
// What came whole and is wrong is asked for again by nobody.
func TestRetryCut(t *testing.T) {
	begun := targetstest.StreamHead + targetstest.Role() + targetstest.Token("a") + targetstest.Token("b") + targetstest.Usage(7, 2)
	cut := targetstest.StreamHead + targetstest.Role() + targetstest.Token("a") + targetstest.Token("b")
	for _, tt := range []struct {
		name   string
		script targetstest.Script
		want   results.Outcome
		tokens [2]int // of prompt and answer, that the first try threw away
		again  bool
	}{
		{"cut after the head", then(send(targetstest.StreamHead), targetstest.FIN()), results.Reset, [2]int{}, true},
		{"cut after two tokens", then(send(cut), targetstest.FIN()), results.Reset, [2]int{0, 2}, true},
		{"cut after the usage", then(send(begun), targetstest.FIN()), results.Reset, [2]int{7, 2}, true},
		{"clean end after two tokens", send(cut, targetstest.StreamEnd), results.Truncated, [2]int{0, 2}, true},
		{"error after two tokens", send(cut, targetstest.Data(`{"error":{"message":"boom"}}`), targetstest.StreamEnd), results.StreamError, [2]int{0, 2}, true},
		{"silence after two tokens", then(send(cut), targetstest.Hang()), results.IdleTimeout, [2]int{0, 2}, true},
		{"silence", targetstest.Script{targetstest.Hang()}, results.IdleTimeout, [2]int{}, true},
		{"not one token", send(targetstest.Answer()), results.Empty, [2]int{10, 0}, true},
		{"garbage", stream("data: {\n\n"), results.Malformed, [2]int{}, false},
		{"text missing", send(cut, targetstest.Finish("stop"), targetstest.Usage(10, 500), targetstest.Done, targetstest.StreamEnd), results.LengthMismatch, [2]int{}, false},
		{"400", refusal("400 Bad Request", ""), results.HTTPStatus, [2]int{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, client := range []attacks.Client{
				{Retries: 1, Idle: 5 * time.Second, RetryCut: true},
				{Retries: 1, Idle: 5 * time.Second},
			} {
				all, seen := fake(t, targetstest.InTurn(tt.script, send(targetstest.Answer("a"))), 100*time.Second, byClient(client))
				s := all[0]
				if !client.RetryCut || !tt.again {
					if s.Outcome != tt.want || len(s.Attempts) > 0 {
						t.Errorf("with retry_cut %t: %s: %s after %+v; want %s at once", client.RetryCut, s.Outcome, s.Error, s.Attempts, tt.want)
					}
					continue
				}
				if s.Outcome != results.Complete || len(s.Attempts) != 1 || len(s.Chunks) != 1 {
					t.Fatalf("outcome %s: %s after %+v; want complete at the second", s.Outcome, s.Error, s.Attempts)
				}
				if a := s.Attempts[0]; a.Outcome != tt.want || [2]int{a.Prompt, a.Output} != tt.tokens || a.Error == "" || a.Endpoint != "" {
					t.Errorf("first try %+v; want %s and %v tokens", a, tt.want, tt.tokens)
				}
				if string(seen[0].Body) != string(seen[1].Body) {
					t.Error("the second request says another thing than the first")
				}
			}
		})
	}
}

// A first token that does not come in time is retried, also where the stream had begun; one that came is waited for.
func TestAFirstTokenThatIsLate(t *testing.T) {
	good := send(targetstest.Answer("a"))
	head := targetstest.StreamHead + targetstest.Role()
	for name, script := range map[string]targetstest.Script{
		"no answer":               {targetstest.Hang()},
		"no token":                then(send(head), targetstest.Hang()),
		"a token that comes late": {targetstest.Send(head), targetstest.Pause(4 * time.Second), targetstest.Send(targetstest.Token("a"))},
	} {
		client := attacks.Client{Retries: 1, FirstToken: 3 * time.Second, Backoff: &attacks.Backoff{Jitter: jitter(0)}}
		all, seen := fake(t, targetstest.InTurn(script, good), 100*time.Second, byClient(client))
		s := all[0]
		if s.Outcome != results.Complete || len(s.Attempts) != 1 || s.Attempts[0].Outcome != results.Deadline || s.Attempts[0].Done-s.Attempts[0].Sent != 3*time.Second {
			t.Errorf("%s: %s after %+v; want complete after a deadline of 3s", name, s.Outcome, s.Attempts)
		}
		if gaps := between(seen); !slices.Equal(gaps, []time.Duration{3500 * time.Millisecond}) || seen[0].Conn == seen[1].Conn {
			t.Errorf("%s: gaps %v on connections %d and %d; want 3.5s and two of them", name, gaps, seen[0].Conn, seen[1].Conn)
		}
	}
	slow := targetstest.Script{targetstest.Send(head + targetstest.Token("a")), targetstest.Pause(20 * time.Second), targetstest.Send(
		targetstest.Token("b") + targetstest.Finish("stop") + targetstest.Done + targetstest.StreamEnd)}
	all, _ := fake(t, targetstest.InTurn(slow), 100*time.Second, byClient(attacks.Client{Retries: 1, FirstToken: 3 * time.Second}))
	if s := all[0]; s.Outcome != results.Complete || s.Tries() != 1 {
		t.Errorf("a slow answer: %s after %d tries; want complete at the first", s.Outcome, s.Tries())
	}
	all, _ = fake(t, targetstest.Always(targetstest.Hang()), 100*time.Second, byClient(attacks.Client{Retries: 9, FirstToken: 3 * time.Second, Deadline: 8 * time.Second}))
	if s := all[0]; s.Outcome != results.Deadline || s.Tries() != 3 || s.Done-s.Sent != 8*time.Second {
		t.Errorf("no answer at all: %s after %d tries and %s; want the deadline of 8s within the third", s.Outcome, s.Tries(), s.Done-s.Sent)
	}
}

// A budget bounds the retries of each kind of client by its own requests, and says of a request that it was the reason.
func TestRetryBudget(t *testing.T) {
	all, seen := fake(t, targetstest.Always(refusal("503 Busy", "")...), 10*time.Second-1, func(cfg *attacks.Config) {
		cfg.Profile.Constant.Rate = 100
		cfg.Clients = []attacks.Client{
			{Tier: "paid", Share: 0.5, Retries: 2, RetryBudget: 0.1},
			{Tier: "free", Share: 0.5, Retries: 1},
		}
	})
	requests, retries, refused := map[string]int{}, map[string]int{}, 0
	for _, s := range all {
		requests[s.Labels["tier"]]++
		retries[s.Labels["tier"]] += len(s.Attempts)
		kept := s.Error == `503 Busy: no (not retried: the retry budget is used up)`
		if kept != s.Suppressed {
			t.Errorf("suppressed: %t, and the error is %q", s.Suppressed, s.Error)
		}
		if kept {
			refused++
		} else if len(s.Attempts) != map[string]int{"paid": 2, "free": 1}[s.Labels["tier"]] {
			t.Fatalf("%s of tier %s after %d retries", s.Error, s.Labels["tier"], len(s.Attempts))
		}
	}
	if len(all) != 1000 || len(seen) != 1000+retries["paid"]+retries["free"] {
		t.Errorf("%d requests, of which the server saw %d; want 1000 and %v", len(all), len(seen), retries)
	}
	if most := requests["paid"] / 10; retries["paid"] > most || retries["paid"] < most-1 || retries["free"] != requests["free"] || refused == 0 {
		t.Errorf("retries %v of %v, %d refused; want a tenth of those that pay, and all of the others", retries, requests, refused)
	}
}

// An hour of health pays for no more of a storm than its last ten seconds do; and a client of few requests saves
// for one retry.
func TestRetryBudgetForgets(t *testing.T) {
	for _, tt := range []struct {
		rate     attacks.Rate
		healthy  time.Duration
		requests int // that then fail
		retries  [2]int
	}{
		{10, time.Minute, 1, [2]int{1, 1}},
		{10, time.Minute, 50, [2]int{9 + 5, 10 + 5}},
		{0.1, 11 * time.Minute, 1, [2]int{1, 1}},
		{0.1, 11 * time.Minute, 9, [2]int{1, 1}},
		{0.1, 11 * time.Minute, 21, [2]int{2, 3}},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			begin := sync.OnceValue(time.Now) // of the first request
			handle := func(r targetstest.Request) targetstest.Script {
				if r.At.Sub(begin()) < tt.healthy {
					return send(targetstest.Answer("a"))
				}
				return refusal("503 Busy", "")
			}
			gap := time.Duration(float64(time.Second) / float64(tt.rate))
			all, seen := fake(t, handle, tt.healthy+time.Duration(tt.requests)*gap-1, func(cfg *attacks.Config) {
				cfg.Profile.Constant.Rate = tt.rate
				cfg.Clients = []attacks.Client{{Retries: 1, RetryBudget: 0.1}}
			})
			if n := len(seen) - len(all); n < tt.retries[0] || n > tt.retries[1] {
				t.Errorf("%d retries, want %d to %d", n, tt.retries[0], tt.retries[1])
			}
		})
	}
}

// A storm is there in its phase, for its kind of client and its feature, and nowhere else.
func TestStorm(t *testing.T) {
	for _, tt := range []struct {
		name   string
		storm  attacks.Storm
		phase  results.Phase
		storms func(tier string, tokens int) bool // whether a request of them does, of answers so long
	}{
		{"before its phase", attacks.Storm{Retries: 5}, results.Baseline, func(string, int) bool { return false }},
		{"by default in the fault", attacks.Storm{Retries: 5}, results.Fault, func(tier string, _ int) bool { return tier == "free" }},
		{"after its phase", attacks.Storm{Retries: 5}, results.Recovery, func(string, int) bool { return false }},
		{"in the recovery", attacks.Storm{Retries: 3, Wait: 100 * time.Millisecond, During: results.Recovery}, results.Recovery, func(tier string, _ int) bool { return tier == "free" }},
		{"not in the fault", attacks.Storm{Retries: 3, During: results.Recovery}, results.Fault, func(string, int) bool { return false }},
		{"of its feature", attacks.Storm{Retries: 4, Feature: "code"}, results.Fault, func(tier string, tokens int) bool { return tier == "free" && tokens == 7 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := targetstest.NewPipe(t, targetstest.Always(refusal("429 Too Many", "Retry-After: 2\r\n")...))
				cfg, sink := config(server.URL())
				cfg.Profile.Constant.Rate = 1
				cfg.Workload = attacks.Workload{
					{Feature: "chat", Share: 0.5, PromptTokens: attacks.Length{Fixed: 50}, OutputTokens: attacks.Length{Fixed: 5}},
					{Feature: "code", Share: 0.5, PromptTokens: attacks.Length{Fixed: 50}, OutputTokens: attacks.Length{Fixed: 7}},
				}
				cfg.Clients = []attacks.Client{{Tier: "free", Share: 0.5, Retries: 1, Storm: &tt.storm}, {Tier: "paid", Share: 0.5, Retries: 1}}
				a := newAttack(t, cfg)
				a.SetDial(server.Dial)
				a.Begin(tt.phase)
				wait := run(t, a)
				time.Sleep(40 * time.Second)
				a.Stop()
				wait()
				calls := map[string][]targetstest.Request{}
				for _, r := range server.Requests() {
					nonce := nonceIn.FindString(string(r.Body))
					calls[nonce] = append(calls[nonce], r)
				}
				for _, s := range sink.sorted() {
					seen := calls[a.Nonce(s.Index)]
					tokens := 5
					if strings.Contains(string(seen[0].Body), `"max_tokens":7`) {
						tokens = 7
					}
					want := []time.Duration{2 * time.Second}
					if tt.storms(s.Labels["tier"], tokens) {
						want = slices.Repeat([]time.Duration{tt.storm.Wait}, tt.storm.Retries)
					}
					if got := between(seen); !slices.Equal(got, want) || !slices.Equal(saidBetween(s), want) {
						t.Errorf("request %d of %v for %d tokens: waits %v, and the sample says %v; want %v", s.Index, s.Labels, tokens, got, saidBetween(s), want)
					}
				}
			})
		})
	}
	cfg, _ := config("http://a.test")
	cfg.Workload = attacks.Workload{{Feature: "chat"}, {Feature: "code"}}
	cfg.Clients = []attacks.Client{{Storm: &attacks.Storm{Retries: 5, Feature: "coed"}}}
	if _, err := attacks.New(cfg); err == nil || !strings.Contains(err.Error(), `clients[0]: storm: feature "coed" isn't one of [chat code]`) {
		t.Errorf("New() with a storm of a feature that is not there = %v", err)
	}
}

// Users whose streams are cut at one moment and who do not wait each their own time come back as a herd, on
// connections that were not there.
func TestAReconnectHerd(t *testing.T) {
	const users = 50
	for name, part := range map[string]*attacks.Jitter{"without jitter": jitter(0), "with": nil} {
		cut := sync.OnceValue(func() time.Time { return time.Now().Add(10 * time.Second) })
		handle := func(r targetstest.Request) targetstest.Script {
			if r.Index >= users {
				return targetstest.Script{targetstest.Pause(time.Second), targetstest.Send(targetstest.Answer("a"))}
			}
			return targetstest.Script{targetstest.Send(targetstest.StreamHead + targetstest.Token("a")), targetstest.Pause(cut().Sub(r.At)), targetstest.RST()}
		}
		all, seen := fake(t, handle, 5*time.Second-1, func(cfg *attacks.Config) {
			cfg.Profile.Constant.Rate = users / 5
			cfg.Clients = []attacks.Client{{Retries: 1, RetryCut: true, Backoff: &attacks.Backoff{Jitter: part}}}
		})
		if len(all) != users || len(seen) != 2*users {
			t.Fatalf("%d samples and %d requests; want %d and two of each", len(all), len(seen), users)
		}
		moments, connections := map[time.Duration]int{}, map[int]bool{}
		for _, r := range seen {
			connections[r.Conn] = true
			if r.Index >= users {
				moments[r.At.Sub(cut())]++
			}
		}
		if n := moments[500*time.Millisecond]; len(connections) != 2*users || (n == users) != (part != nil) {
			t.Errorf("%s: %d connections, %d at 500ms of those who came back at %d moments; want %d, all of them at one moment without jitter only",
				name, len(connections), n, len(moments), 2*users)
		}
		for _, s := range all {
			if s.Outcome != results.Complete || len(s.Attempts) != 1 || s.Attempts[0].Outcome != results.Reset || s.Attempts[0].Output != 1 {
				t.Errorf("%s: %s after %+v; want complete after a reset and one token", name, s.Outcome, s.Attempts)
			}
		}
	}
}

// Over real sockets, too, the request that is sent again is the same one.
func TestARetryOverSockets(t *testing.T) {
	cut := then(send(targetstest.StreamHead+targetstest.Token("a")), targetstest.Pause(20*time.Millisecond), targetstest.RST())
	server := targetstest.New(t, targetstest.InTurn(refusal("503 Busy", "Retry-After-Ms: 40\r\n"), cut, targetstest.Script{targetstest.Hang()}, send(targetstest.Answer("a"))))
	s := one(t, server.URL(), attacks.Client{Retries: 3, RetryCut: true, FirstToken: 200 * time.Millisecond, Backoff: &attacks.Backoff{First: time.Millisecond}})
	seen := server.Requests()
	if s.Outcome != results.Complete || len(seen) != 4 || s.Tries() != 4 {
		t.Fatalf("%s: %s after %+v and %d requests; want complete at the fourth", s.Outcome, s.Error, s.Attempts, len(seen))
	}
	for i, want := range []results.Outcome{results.RateLimited, results.Reset, results.Deadline} {
		if i == 0 {
			want = results.HTTPStatus
		}
		if a := s.Attempts[i]; a.Outcome != want || string(seen[i].Body) != string(seen[3].Body) {
			t.Errorf("try %d is %+v; want %s of the same request", i, a, want)
		}
	}
	if gap := seen[1].At.Sub(seen[0].At); gap < 40*time.Millisecond {
		t.Errorf("it came back after %s; the server said 40ms", gap)
	}
}
