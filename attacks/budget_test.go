package attacks_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// spent runs an attack on a scripted server for so long under fake time, and returns what became of its budget too.
func spent(t *testing.T, handle targetstest.Handler, length time.Duration, change func(*attacks.Config)) (all []*results.Sample, seen []targetstest.Request, a *attacks.Attack) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, handle)
		cfg, sink := config(server.URL())
		change(&cfg)
		a = newAttack(t, cfg)
		a.SetDial(server.Dial)
		a.BeginFor(results.Baseline, length)
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
	if live := a.Live(); tries != len(seen) || live.Sent != int64(len(all)) || live.InFlight != 0 {
		t.Errorf("%d samples of %d tries, Live() = %+v; and the server saw %d requests", len(all), tries, live, len(seen))
	}
	return all, seen, a
}

const keptBack = " (not tried again: the attack's budget is used up)"

// What a budget of requests has no room for is not sent: neither first tries, which then are no requests at all, nor
// any other attempt, and then nothing is any more.
func TestABudgetOfRequests(t *testing.T) {
	busy := targetstest.Always(refusal("503 Busy", "")...)
	late := targetstest.Always(targetstest.Pause(3*time.Second), targetstest.Send(targetstest.Answer("a")))
	retrying := attacks.Client{Retries: 2, Backoff: &attacks.Backoff{Jitter: jitter(0)}}
	for _, tt := range []struct {
		name    string
		handle  targetstest.Handler
		rate    attacks.Rate
		client  attacks.Client
		most    int64
		samples int
		kept    int // samples that say so
		spent   string
	}{
		{"first tries", echo, 100, attacks.Client{}, 300, 300, 0, "300 requests"},
		{"enough", echo, 100, attacks.Client{}, 1000, 1000, 0, ""},
		{"one too few", echo, 100, attacks.Client{}, 999, 999, 0, "999 requests"},
		// Tries at 0, .5 and 1.5 s; 1, 1.5 and 2.5; 2 and 2.5, where one of two has the last.
		{"retries", busy, 1, retrying, 7, 3, 2, "7 requests"},
		{"an only one", busy, 1e-6, retrying, 1, 1, 1, "1 request"},
		{"retries of all", busy, 1e-6, retrying, 3, 1, 0, ""},
		{"a hedge", late, 1e-6, attacks.Client{Hedge: time.Second}, 1, 1, 0, "1 request"},
		{"hedges", late, 1, attacks.Client{Hedge: 500 * time.Millisecond}, 3, 2, 0, "3 requests"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, seen, a := spent(t, tt.handle, 10*time.Second, func(cfg *attacks.Config) {
				cfg.Profile.Constant.Rate, cfg.Clients = tt.rate, []attacks.Client{tt.client}
				cfg.Budget.Requests = tt.most
			})
			kept := 0
			for _, s := range all {
				if strings.HasSuffix(s.Error, keptBack) {
					kept++
				}
			}
			got := a.Spent()
			if int64(len(seen)) != tt.most || len(all) != tt.samples || got.Requests != tt.most || got.Spent != tt.spent {
				t.Errorf("%d requests seen, %d samples, Spent() = %+v; want %d, %d, %q", len(seen), len(all), got, tt.most, tt.samples, tt.spent)
			}
			if kept < min(1, tt.kept) || kept > tt.kept {
				t.Errorf("%d samples say that their budget was used up, want %d", kept, tt.kept)
			}
		})
	}
}

// A failover that the budget has no room for is not made.
func TestABudgetKeepsFromFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, targetstest.Always(refusal("503 Busy", "")...))
		cfg, sink := config(server.URL())
		cfg.Profile.Constant.Rate = 1e-6
		other := cfg.Endpoint
		other.URL = "http://other.test"
		cfg.Others = map[string]targets.Endpoint{"other": other}
		cfg.Clients = []attacks.Client{{Failover: &attacks.Failover{To: []string{"other"}}, Retries: 3}}
		cfg.Budget.Requests = 1
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		a.Begin(results.Baseline)
		run(t, a)() // the budget ends it
		if s := sink.sorted()[0]; s.Tries() != 1 || !strings.HasSuffix(s.Error, keptBack) {
			t.Errorf("sample = %+v; want one try, and why", s)
		}
		if n := len(server.Requests()); n != 1 {
			t.Errorf("the servers saw %d requests, want 1", n)
		}
	})
}

// An attempt uses what the server counted, or else what we know of.
func TestWhatAnAttemptUses(t *testing.T) {
	head := targetstest.StreamHead + targetstest.Token("a") + targetstest.Token("b")
	for _, tt := range []struct {
		name   string
		script targetstest.Script
		prompt bool // as it was guessed, with tokens beside it
		tokens int64
	}{
		{"counted", send(head + targetstest.Finish("stop") + targetstest.Usage(1000, 30) + targetstest.Done + targetstest.StreamEnd), false, 1030},
		{"not counted", send(head + targetstest.Finish("stop") + targetstest.Done + targetstest.StreamEnd), true, 2},
		{"cut", append(send(head), targetstest.RST()), true, 2},
		{"silent from its head on", append(send(targetstest.StreamHead), targetstest.Hang()), true, 0},
		{"silent", targetstest.Script{targetstest.Hang()}, true, 0},
		{"dead", targetstest.Script{targetstest.RST()}, true, 0},
		{"refused", refusal("429 Slow", ""), false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, seen, a := spent(t, targetstest.Always(tt.script...), 20*time.Second, func(cfg *attacks.Config) {
				cfg.Profile.Constant.Rate = 1e-6
				cfg.Clients = []attacks.Client{{Deadline: 10 * time.Second}}
				cfg.Budget.Tokens = 1e6
			})
			want := tt.tokens
			if tt.prompt {
				want += int64(len(seen[0].Body)+3) / 4
			}
			if got := a.Spent(); got.Tokens != want || got.Requests != 1 || got.Spent != "" {
				t.Errorf("Spent() = %+v, want 1 request and %d tokens", got, want)
			}
		})
	}
}

// What cannot be reached uses no tokens.
func TestWhatNobodyHeardUsesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, echo)
		cfg, _ := config(server.URL())
		cfg.Profile.Constant.Rate, cfg.Budget.Tokens = 1e-6, 1e6
		a := newAttack(t, cfg)
		a.SetDial(func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route") })
		a.BeginFor(results.Baseline, time.Second)
		wait := run(t, a)
		time.Sleep(time.Second)
		a.Stop()
		wait()
		if got := a.Spent(); got.Tokens != 0 || got.Requests != 1 {
			t.Errorf("Spent() = %+v, want 1 request and no tokens", got)
		}
	})
}

// A request is sent only if the most that it may use fits, beside the most that those under way may.
func TestABudgetOfTokens(t *testing.T) {
	const prompt, output = 30, 10 // as the server counts them
	answer := targetstest.StreamHead + strings.Repeat(targetstest.Token("word "), output) + targetstest.Finish("stop") +
		targetstest.Usage(prompt, output) + targetstest.Done + targetstest.StreamEnd
	for _, tt := range []struct {
		name  string
		pause time.Duration
		most  int64
		want  func(asks int64) int64 // requests
	}{
		{"one at a time", 0, 4000, func(asks int64) int64 { return (4000-asks)/(prompt+output) + 1 }},
		{"all at a time", 20 * time.Second, 4000, func(asks int64) int64 { return 4000 / asks }},
		{"none", 0, 60, func(int64) int64 { return 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, seen, a := spent(t, targetstest.Always(targetstest.Pause(tt.pause), targetstest.Send(answer)), 10*time.Second, func(cfg *attacks.Config) {
				cfg.Budget.Tokens = tt.most
			})
			asks := int64(0)
			if len(seen) > 0 {
				asks = int64(len(seen[0].Body)+3)/4 + 50 // its max_tokens
			}
			n := int64(len(seen))
			if got := a.Spent(); n != tt.want(asks) || got.Spent == "" || got.Tokens != n*(prompt+output) || got.Requests != n {
				t.Errorf("%d requests that ask for %d tokens, Spent() = %+v; want %d", n, asks, got, tt.want(asks))
			}
		})
	}
}

// With many requests, retries and hedges under way at a time, over sockets, neither bound is ever passed, and what
// the attack says was used is what the server saw.
func TestABudgetIsNeverPassed(t *testing.T) {
	for _, most := range []attacks.Budget{{Requests: 400}, {Tokens: 20_000}, {Requests: 300, Tokens: 30_000}} {
		t.Run(most.String(), func(t *testing.T) {
			var n atomic.Int64
			var tokens atomic.Int64 // as the server counts those that it serves
			server := targetstest.New(t, func(r targetstest.Request) targetstest.Script {
				switch i := n.Add(1); {
				case i%3 == 0:
					return refusal("503 Busy", "")
				case i%5 == 0:
					return append(targetstest.Script{targetstest.Pause(10 * time.Millisecond)}, echo(r)...)
				}
				tokens.Add(12 + 4)
				return echo(r)
			})
			cfg, sink := config(server.URL())
			cfg.Profile = attacks.Profile{Concurrency: &attacks.Concurrency{Users: 40}}
			cfg.Clients = []attacks.Client{{Retries: 2, Hedge: 5 * time.Millisecond, Backoff: &attacks.Backoff{First: time.Millisecond}}}
			cfg.Budget = most
			a := newAttack(t, cfg)
			a.Begin(results.Baseline)
			ended := make(chan struct{})
			wait := run(t, a) // the budget ends it
			go func() { wait(); close(ended) }()
			for passed := false; !passed; {
				select {
				case <-ended:
					passed = true
				default:
				}
				got := a.Spent()
				if most.Requests > 0 && got.Requests > most.Requests || most.Tokens > 0 && got.Tokens > most.Tokens {
					t.Fatalf("Spent() = %+v, more than %s", got, most)
				}
			}
			tries, unsent := 0, 0 // at most: who is overtaken may not have had a connection yet
			for _, s := range sink.sorted() {
				tries += s.Tries()
				for _, a := range s.Attempts {
					if a.Outcome == results.Cancelled {
						unsent++
					}
				}
			}
			got, seen := a.Spent(), len(server.Requests())
			if got.Requests != int64(tries) || seen > tries || seen < tries-unsent || got.Spent == "" || most.Tokens == 0 && got.Requests != most.Requests {
				t.Errorf("Spent() = %+v, %d tries, and the server saw %d requests; want the same of all, within %s", got, tries, seen, most)
			}
			if got.Tokens < tokens.Load()/2 {
				t.Errorf("Spent() = %+v, and the server counted %d tokens of those that it served at once", got, tokens.Load())
			}
		})
	}
}

// So many requests are sent, whatever decides when, and then the schedule is at its end.
func TestSoManyRequests(t *testing.T) {
	for _, tt := range []struct {
		name    string
		profile attacks.Profile
		most    int64
		want    int
		turns   int
	}{
		{"at a rate", attacks.Profile{Constant: &attacks.Constant{Rate: 100}}, 250, 250, 0},
		{"in conversations", attacks.Profile{Constant: &attacks.Constant{Rate: 20}}, 250, 250, 3},
		{"in conversations of users", attacks.Profile{Concurrency: &attacks.Concurrency{Users: 7}}, 100, 100, 3},
		{"at random, with more", attacks.Profile{Poisson: &attacks.Poisson{Rate: 100}, Plus: []attacks.Part{{Profile: attacks.Profile{Spike: &attacks.Spike{Rate: 500, For: time.Second}}}}}, 251, 251, 0},
		{"by users", attacks.Profile{Concurrency: &attacks.Concurrency{Users: 7}}, 100, 100, 0},
		{"fewer than users", attacks.Profile{Concurrency: &attacks.Concurrency{Users: 7}}, 3, 3, 0},
		{"more than there is time for", attacks.Profile{Constant: &attacks.Constant{Rate: 100}}, 1001, 1000, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := targetstest.NewPipe(t, slow(300*time.Millisecond))
				cfg, sink := config(server.URL())
				cfg.Profile, cfg.Requests = tt.profile, tt.most
				if tt.turns > 0 {
					cfg.Workload = attacks.Workload{{Turns: &attacks.Turns{Count: attacks.Length{Fixed: tt.turns}}}}
				}
				a := newAttack(t, cfg)
				a.SetDial(server.Dial)
				a.BeginFor(results.Baseline, 10*time.Second)
				wait := run(t, a)
				time.Sleep(10*time.Second - 1)
				exhausted := a.Exhausted()
				a.Stop()
				wait()
				if n := len(sink.sorted()); n != tt.want || len(server.Requests()) != n || exhausted != (int64(tt.want) == tt.most) {
					t.Errorf("%d samples of %d requests, Exhausted() = %t; want %d", n, len(server.Requests()), exhausted, tt.want)
				}
			})
			if tt.profile.Closed() || tt.turns > 0 {
				return
			}
			n := 0
			for r, err := range (attacks.Config{Profile: tt.profile, Requests: tt.most}).Schedule(results.Baseline) {
				if err != nil {
					t.Fatal(err)
				}
				if r.Due >= 10*time.Second {
					break
				}
				n++
			}
			if n != tt.want {
				t.Errorf("Schedule has %d requests, want %d", n, tt.want)
			}
		})
	}
}
