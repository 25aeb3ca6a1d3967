package attacks_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// oneFake sends a single request under fake time to a server that plays scripts in turn.
func oneFake(t *testing.T, client attacks.Client, scripts ...targetstest.Script) (s *results.Sample) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, targetstest.InTurn(scripts...))
		cfg, sink := config(server.URL())
		cfg.Profile.Constant.Rate = 1e-6
		cfg.Clients = []attacks.Client{client}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		time.Sleep(time.Second)
		a.Begin(results.Baseline)
		wait := run(t, a)
		time.Sleep(200 * time.Second)
		a.Stop()
		wait()
		s = sink.sorted()[0]
		if n := len(server.Requests()); n != s.Tries() {
			t.Errorf("the server saw %d requests of %d tries", n, s.Tries())
		}
	})
	return s
}

func refusal(status, headers string) targetstest.Script {
	return send(targetstest.Reply(status, "application/json", headers, `{"error":"no"}`))
}

// What is tried again, and what is not: a stream that has begun never is.
func TestWhatIsRetried(t *testing.T) {
	good := send(targetstest.Answer("a"))
	for _, tt := range []struct {
		name  string
		first targetstest.Script
		want  results.Outcome // of the first try; Complete: not retried
		final results.Outcome
	}{
		{"429", refusal("429 Too Many Requests", ""), results.RateLimited, results.Complete},
		{"500", refusal("500 Oops", ""), results.HTTPStatus, results.Complete},
		{"503", refusal("503 Busy", ""), results.HTTPStatus, results.Complete},
		{"408", refusal("408 Request Timeout", ""), results.HTTPStatus, results.Complete},
		{"409", refusal("409 Conflict", ""), results.HTTPStatus, results.Complete},
		{"closed before a response", targetstest.Script{targetstest.Pause(time.Second), targetstest.FIN()}, results.Reset, results.Complete},
		{"400", refusal("400 Bad Request", ""), results.Complete, results.HTTPStatus},
		{"302", refusal("302 Found", "Location: /x\r\n"), results.Complete, results.HTTPStatus},
		{"cut after the head", then(send(targetstest.StreamHead), targetstest.FIN()), results.Complete, results.Reset},
		{"cut after a token", then(send(targetstest.StreamHead, targetstest.Token("a")), targetstest.FIN()), results.Complete, results.Reset},
		{"error in the stream", stream("data: {\"error\":\"x\"}\n\n"), results.Complete, results.StreamError},
		{"garbage", then(send("hello\r\n\r\n"), targetstest.FIN()), results.Complete, results.Malformed},
		{"idle", targetstest.Script{targetstest.Hang()}, results.Complete, results.IdleTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := oneFake(t, attacks.Client{Retries: 2, Idle: 5 * time.Second}, tt.first, good)
			if s.Outcome != tt.final {
				t.Errorf("outcome %s: %s; want %s", s.Outcome, s.Error, tt.final)
			}
			switch {
			case tt.want == results.Complete && len(s.Attempts) > 0:
				t.Errorf("attempts %+v, want none", s.Attempts)
			case tt.want != results.Complete && (len(s.Attempts) != 1 || s.Attempts[0].Outcome != tt.want):
				t.Errorf("attempts %+v, want one %s", s.Attempts, tt.want)
			case tt.want != results.Complete:
				a := s.Attempts[0]
				if a.Sent != s.Sent || a.Error == "" || s.Chunks[0].At-a.Done < 375*time.Millisecond || s.Chunks[0].At-a.Done > 500*time.Millisecond {
					t.Errorf("first try %+v, answered at %s; want a wait of 375 to 500 ms after it", a, s.Chunks[0].At)
				}
			}
		})
	}
}

// The waits double from half a second to eight, each less by up to a quarter, and the same at each run.
func TestBackoff(t *testing.T) {
	busy := refusal("503 Busy", "")
	client := attacks.Client{Retries: 7, Deadline: 100 * time.Second}
	s := oneFake(t, client, busy)
	if s.Outcome != results.HTTPStatus || s.Status != 503 || len(s.Attempts) != 7 {
		t.Fatalf("sample %+v; want 503 after 7 retries", s)
	}
	var waits []time.Duration
	for i, a := range s.Attempts {
		next := s.Done
		if i+1 < len(s.Attempts) {
			next = s.Attempts[i+1].Sent
		}
		wait, most := next-a.Done, min(8*time.Second, 500*time.Millisecond<<i)
		waits = append(waits, wait)
		if wait > most || wait < most*3/4 {
			t.Errorf("wait %d is %s, want %s to %s", i, wait, most*3/4, most)
		}
	}
	if waits[5]+waits[6] == 16*time.Second || waits[5] == waits[6] {
		t.Errorf("waits %v have no jitter", waits)
	}
	if again := oneFake(t, client, busy); again.Done-again.Due != s.Done-s.Due {
		t.Errorf("the same request took %s and then %s", s.Done-s.Due, again.Done-again.Due)
	}
}

// A server says when to come back, in any of three ways; nonsense and more than a minute are ignored.
func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"Retry-After: 3\r\n":                        3 * time.Second,
		"Retry-After: 1.5\r\n":                      1500 * time.Millisecond,
		"Retry-After-Ms: 250\r\nRetry-After: 9\r\n": 250 * time.Millisecond,
		"Date: Sun, 22 Nov 2026 02:00:00 GMT\r\nRetry-After: Sun, 22 Nov 2026 02:00:20 GMT\r\n": 20 * time.Second,
		"Retry-After: 3600\r\n": 0, "Retry-After: -1\r\n": 0, "Retry-After: soon\r\n": 0, "Retry-After: 0\r\n": 0,
	} {
		s := oneFake(t, attacks.Client{Retries: 1}, refusal("429 Too Many", header), send(targetstest.Answer("a")))
		if s.Outcome != results.Complete {
			t.Fatalf("%q: outcome %s", header, s.Outcome)
		}
		wait := s.Done - s.Attempts[0].Done
		if want != 0 && wait != want || want == 0 && (wait < 375*time.Millisecond || wait > 500*time.Millisecond) {
			t.Errorf("%q: waited %s, want %s (0: the client's own)", header, wait, want)
		}
	}
}

// A client does not start a wait that its deadline would not outlast, and says so; and no request outlasts its deadline.
func TestDeadlineOverRetries(t *testing.T) {
	late := then(targetstest.Script{targetstest.Pause(900 * time.Millisecond)}, refusal("503 Busy", "")...)
	for _, tt := range []struct {
		deadline time.Duration
		want     results.Outcome
		tries    int
		done     time.Duration
		err      string
	}{
		{time.Second, results.HTTPStatus, 1, 900 * time.Millisecond, "503 Busy: no (not retried: the wait before it is past the deadline)"},
		{1500 * time.Millisecond, results.Deadline, 2, 1500 * time.Millisecond, "the client's deadline passed"},
		{time.Minute, results.HTTPStatus, 3, 0, "503 Busy: no"},
	} {
		t.Run(fmt.Sprint(tt.deadline), func(t *testing.T) {
			s := oneFake(t, attacks.Client{Retries: 2, Deadline: tt.deadline}, late)
			if s.Outcome != tt.want || s.Tries() != tt.tries || tt.done != 0 && s.Done-s.Sent != tt.done {
				t.Errorf("%s after %d tries and %s; want %s after %d and %s", s.Outcome, s.Tries(), s.Done-s.Sent, tt.want, tt.tries, tt.done)
			}
			if s.Error != tt.err {
				t.Errorf("error %q; want %q", s.Error, tt.err)
			}
		})
	}
}

// Nor does its user sit such a wait out: the next request of a closed loop comes as after any other that failed. And who
// would wait for a retry that the budget has no room for does not wait either.
func TestNobodySitsOutAWaitInVain(t *testing.T) {
	told := targetstest.Always(refusal("503 Busy", "Retry-After: 40\r\n")...)
	all, seen := fake(t, told, 1050*time.Millisecond, func(cfg *attacks.Config) {
		cfg.Profile = attacks.Profile{Concurrency: &attacks.Concurrency{Users: 1}}
		cfg.Clients = []attacks.Client{{Retries: 2, Deadline: 30 * time.Second}}
	})
	if len(seen) != 11 {
		t.Errorf("%d requests in 1.05 s of one who was told to come back in 40 s and waits 30, want 11: one each 100 ms", len(seen))
	}
	if got, want := all[0].Error, "503 Busy: no (not retried: its Retry-After is past the deadline)"; got != want {
		t.Errorf("error %q; want %q", got, want)
	}
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, func(r targetstest.Request) targetstest.Script {
			return then(targetstest.Script{targetstest.Pause(2 * time.Second)}, told(r)...)
		})
		cfg, sink := config(server.URL())
		cfg.Profile.Constant.Rate, cfg.Clients, cfg.Budget.Requests = 1, []attacks.Client{{Retries: 2}}, 1
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		a.Begin(results.Baseline)
		if err := a.Run(t.Context()); err != nil {
			t.Errorf("Run() = %v", err)
		}
		if s := sink.sorted()[0]; cfg.Clock.Now() != s.Done || s.Done-s.Sent != 2*time.Second {
			t.Errorf("the load ended at %s, of which all is spent by a request from %s to %s", cfg.Clock.Now(), s.Sent, s.Done)
		}
	})
}

// Silence is told from slowness: a byte, even of a comment, starts the wait anew.
func TestIdleAndDeadline(t *testing.T) {
	ping := targetstest.Chunk(": ping\n\n")
	for _, tt := range []struct {
		name   string
		client attacks.Client
		script targetstest.Script
		want   results.Outcome
		done   time.Duration
	}{
		{"silence", attacks.Client{Idle: 3 * time.Second}, targetstest.Script{targetstest.Hang()}, results.IdleTimeout, 3 * time.Second},
		{"the shortest silence", attacks.Client{Idle: 1}, targetstest.Script{targetstest.Hang()}, results.IdleTimeout, 1},
		{"silence after a token", attacks.Client{Idle: 3 * time.Second}, targetstest.Script{
			targetstest.Pause(2 * time.Second), targetstest.Send(targetstest.StreamHead + targetstest.Token("a")), targetstest.Hang(),
		}, results.IdleTimeout, 5 * time.Second},
		{"pings and no answer", attacks.Client{Idle: 3 * time.Second, Deadline: 9 * time.Second}, targetstest.Script{
			targetstest.Send(targetstest.StreamHead), targetstest.SendEach(2*time.Second, ping, ping, ping, ping, ping, ping, ping),
		}, results.Deadline, 9 * time.Second},
		{"default deadline", attacks.Client{}, targetstest.Script{targetstest.Hang()}, results.Deadline, attacks.DefaultDeadline},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := oneFake(t, tt.client, tt.script)
			if s.Outcome != tt.want || s.Done-s.Sent != tt.done {
				t.Errorf("%s after %s; want %s after %s", s.Outcome, s.Done-s.Sent, tt.want, tt.done)
			}
		})
	}
}

// TLS that breaks within a stream is no failed connection: the server has begun.
func TestAStreamWhoseTLSBreaksIsNotAskedForAgain(t *testing.T) {
	server := targetstest.NewTLS(t, targetstest.Always(
		targetstest.Send(targetstest.StreamHead+targetstest.Token("a")),
		targetstest.SendBare("\x17\x03\x03\x00\x20"+strings.Repeat("x", 32)), targetstest.BareFIN()))
	got := oneAt(t, targets.Endpoint{URL: server.URL(), CA: server.CA()}, attacks.Client{Retries: 2})
	if n := len(server.Requests()); got.Outcome != results.TLS || len(got.Attempts) > 0 || n != 1 {
		t.Errorf("outcome %s after %d failed attempts and %d requests; want tls at the first", got.Outcome, len(got.Attempts), n)
	}
}
