package attacks_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// after waits, and then does the rest.
func after(d time.Duration, steps ...targetstest.Step) targetstest.Script {
	return append(targetstest.Script{targetstest.Pause(d)}, steps...)
}

// A triedAs is what an attempt is to be.
type triedAs struct {
	outcome    results.Outcome
	hedge      bool
	sent, done time.Duration // since the request was sent
	output     int
}

// A second request goes out once the first has been silent for so long, once; whose first token comes first is
// kept, and the other is cancelled and its connection closed.
func TestHedge(t *testing.T) {
	const hedge = 2 * time.Second
	head := targetstest.Send(targetstest.StreamHead + targetstest.Role())
	body := func(texts ...string) targetstest.Step { return targetstest.Send(targetstest.Answer(texts...)) }
	busy := refusal("503 Busy", "")[0]
	for _, tt := range []struct {
		name    string
		client  attacks.Client
		scripts []targetstest.Script // in the order of the requests
		outcome results.Outcome
		chunks  int           // of the sample
		first   time.Duration // token; 0: none
		done    time.Duration
		tried   []triedAs
		sent    []time.Duration // as the server saw them
		left    int             // connections that ended before the last answer did
		won     bool            // the sample is the second's
	}{
		{
			name:    "not sent where the token came in time",
			scripts: []targetstest.Script{{targetstest.Pause(time.Second), targetstest.Send(targetstest.StreamHead + targetstest.Token("a")), targetstest.Pause(9 * time.Second), targetstest.Send(targetstest.Finish("stop") + targetstest.Done + targetstest.StreamEnd)}},
			outcome: results.Complete, chunks: 1, first: time.Second, done: 10 * time.Second, sent: []time.Duration{0},
		},
		{
			name:    "not sent where the first failed in time",
			scripts: []targetstest.Script{after(time.Second, busy)},
			outcome: results.HTTPStatus, done: time.Second, sent: []time.Duration{0},
		},
		{
			name:    "the first wins",
			scripts: []targetstest.Script{after(3*time.Second, body("a", "b")), after(3*time.Second, body("c"))},
			outcome: results.Complete, chunks: 2, first: 3 * time.Second, done: 3 * time.Second,
			tried: []triedAs{{results.Cancelled, true, hedge, 3 * time.Second, 0}}, sent: []time.Duration{0, hedge}, left: 1,
		},
		{
			name: "the second wins", won: true,
			scripts: []targetstest.Script{then(targetstest.Script{head}, targetstest.Hang()), after(time.Second, body("a", "b", "c"))},
			outcome: results.Complete, chunks: 3, first: 3 * time.Second, done: 3 * time.Second,
			tried: []triedAs{{results.Cancelled, true, 0, 3 * time.Second, 0}}, sent: []time.Duration{0, hedge}, left: 1,
		},
		{
			name: "the first fails and the second goes on", won: true,
			scripts: []targetstest.Script{after(3*time.Second, busy), after(3*time.Second, body("a"))},
			outcome: results.Complete, chunks: 1, first: 5 * time.Second, done: 5 * time.Second,
			tried: []triedAs{{results.HTTPStatus, false, 0, 3 * time.Second, 0}}, sent: []time.Duration{0, hedge},
		},
		{
			name:    "the second fails and the first goes on",
			scripts: []targetstest.Script{after(5*time.Second, body("a")), after(time.Second, busy)},
			outcome: results.Complete, chunks: 1, first: 5 * time.Second, done: 5 * time.Second,
			tried: []triedAs{{results.HTTPStatus, true, hedge, 3 * time.Second, 0}}, sent: []time.Duration{0, hedge},
		},
		{
			name:    "both fail, the first last",
			scripts: []targetstest.Script{after(5*time.Second, targetstest.RST()), after(time.Second, busy)},
			outcome: results.Reset, done: 5 * time.Second,
			tried: []triedAs{{results.HTTPStatus, true, hedge, 3 * time.Second, 0}}, sent: []time.Duration{0, hedge}, left: 1,
		},
		{
			name:    "a refusal that nobody retries is the answer",
			scripts: []targetstest.Script{after(3*time.Second, refusal("400 Bad", "")[0]), after(2*time.Second, body("a"))},
			outcome: results.HTTPStatus, done: 3 * time.Second,
			tried: []triedAs{{results.Cancelled, true, hedge, 3 * time.Second, 0}}, sent: []time.Duration{0, hedge}, left: 1,
		},
		{
			name: "what is no answer of the dialect is not hidden by one that is", won: true,
			scripts: []targetstest.Script{after(4*time.Second, body("a")), {targetstest.Send(targetstest.Reply("200 OK", "text/html", "", "welcome"))}},
			outcome: results.Malformed, done: hedge,
			tried: []triedAs{{results.Cancelled, true, 0, hedge, 0}}, sent: []time.Duration{0, hedge}, left: 1,
		},
		{
			name:    "who leaves before the first byte leaves both",
			client:  attacks.Client{Cancel: &attacks.Cancel{BeforeFirstByte: true}},
			scripts: []targetstest.Script{{targetstest.Hang()}},
			outcome: results.Cancelled, sent: []time.Duration{0}, left: 1,
		},
		{
			name: "the winner is cut and that is its end", won: true,
			scripts: []targetstest.Script{{targetstest.Hang()}, after(time.Second, targetstest.Send(targetstest.StreamHead+targetstest.Token("a")), targetstest.RST())},
			outcome: results.Reset, chunks: 1, first: 3 * time.Second, done: 3 * time.Second,
			tried: []triedAs{{results.Cancelled, true, 0, 3 * time.Second, 0}}, sent: []time.Duration{0, hedge}, left: 2,
		},
		{
			name:   "both fail, are one try of the retries, and no other is hedged",
			client: attacks.Client{Retries: 1, Backoff: &attacks.Backoff{Jitter: jitter(0)}},
			scripts: []targetstest.Script{
				after(5*time.Second, targetstest.RST()), after(time.Second, busy), after(4*time.Second, body("a")),
			},
			outcome: results.Complete, chunks: 1, first: 9500 * time.Millisecond, done: 9500 * time.Millisecond,
			tried: []triedAs{{results.Reset, false, 0, 5 * time.Second, 0}, {results.HTTPStatus, true, hedge, 3 * time.Second, 0}},
			sent:  []time.Duration{0, hedge, 5500 * time.Millisecond}, left: 1,
		},
		{
			name: "the first is retried in time, and that one is hedged", won: true,
			client:  attacks.Client{Retries: 1, Backoff: &attacks.Backoff{Jitter: jitter(0)}},
			scripts: []targetstest.Script{{busy}, {targetstest.Hang()}, {body("a")}},
			outcome: results.Complete, chunks: 1, first: 2500 * time.Millisecond, done: 2500 * time.Millisecond,
			tried: []triedAs{{results.HTTPStatus, false, 0, 0, 0}, {results.Cancelled, true, 500 * time.Millisecond, 2500 * time.Millisecond, 0}},
			sent:  []time.Duration{0, 500 * time.Millisecond, 2500 * time.Millisecond}, left: 1,
		},
		{
			name: "the first is given up for its first token, and the second not", won: true,
			client:  attacks.Client{FirstToken: 3 * time.Second},
			scripts: []targetstest.Script{{targetstest.Hang()}, after(2*time.Second, body("a"))},
			outcome: results.Complete, chunks: 1, first: 4 * time.Second, done: 4 * time.Second,
			tried: []triedAs{{results.Deadline, false, 0, 3 * time.Second, 0}}, sent: []time.Duration{0, hedge}, left: 1,
		},
		{
			name: "the deadline ends both", won: true,
			client:  attacks.Client{Deadline: 6 * time.Second},
			scripts: []targetstest.Script{{targetstest.Hang()}},
			outcome: results.Deadline, done: 6 * time.Second,
			tried: []triedAs{{results.Deadline, false, 0, 6 * time.Second, 0}}, sent: []time.Duration{0, hedge}, left: 2,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.client.Hedge = hedge
			s, server := hedged(t, tt.client, tt.scripts)
			tried := make([]triedAs, 0, len(s.Attempts))
			for _, a := range s.Attempts {
				tried = append(tried, triedAs{a.Outcome, a.Hedge, a.Sent - s.Sent, a.Done - s.Sent, a.Output})
			}
			if s.Hedged != tt.won {
				t.Errorf("Hedged = %t; want %t", s.Hedged, tt.won)
			}
			var first time.Duration
			if len(s.Chunks) > 0 {
				first = s.Chunks[0].At - s.Sent
			}
			if s.Outcome != tt.outcome || len(s.Chunks) != tt.chunks || first != tt.first || s.Done-s.Sent != tt.done {
				t.Errorf("%s: %s, %d chunks, the first after %s, done after %s; want %s, %d, %s, %s",
					s.Outcome, s.Error, len(s.Chunks), first, s.Done-s.Sent, tt.outcome, tt.chunks, tt.first, tt.done)
			}
			if tt.name == "the deadline ends both" && len(tried) == 1 { // both at once: either is the last
				tried[0].hedge, tried[0].sent = false, 0
			}
			if !slices.Equal(tried, tt.tried) {
				t.Errorf("attempts %+v; want %+v", tried, tt.tried)
			}
			if !slices.Equal(server.sent, tt.sent) || server.ended != tt.left || server.connections != min(2, len(tt.sent)) {
				t.Errorf("requests at %v on %d connections, of which %d were left; want %v, and %d left", server.sent, server.connections, server.ended, tt.sent, tt.left)
			}
		})
	}
}

// A hedgeRecord is what the server of a hedged request saw.
type hedgeRecord struct {
	sent               []time.Duration
	connections, ended int
}

func hedged(t *testing.T, client attacks.Client, scripts []targetstest.Script) (s *results.Sample, rec hedgeRecord) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, targetstest.InTurn(scripts...))
		cfg, sink := config(server.URL())
		cfg.Profile.Constant.Rate = 1e-6
		cfg.Clients = []attacks.Client{client}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		begin := time.Now()
		a.Begin(results.Baseline)
		wait := run(t, a)
		time.Sleep(30 * time.Second)
		rec.ended = server.Ended()
		a.Stop()
		wait()
		s = sink.sorted()[0]
		for _, r := range server.Requests() {
			rec.sent = append(rec.sent, r.At.Sub(begin))
		}
		rec.connections = server.Accepts()
	})
	return s, rec
}

// Over real sockets, and many at a time: the server of each slow one sees us leave.
func TestHedgeOverSockets(t *testing.T) {
	var known sync.Map
	handle := func(r targetstest.Request) targetstest.Script {
		if _, again := known.LoadOrStore(nonceIn.FindString(string(r.Body)), true); !again {
			return targetstest.Script{targetstest.Send(targetstest.StreamHead + targetstest.Role()), targetstest.Hang()}
		}
		return echo(r)
	}
	server := targetstest.New(t, handle)
	cfg, sink := config(server.URL())
	cfg.Clients = []attacks.Client{{Hedge: 20 * time.Millisecond}}
	a := newAttack(t, cfg)
	a.Begin(results.Baseline)
	wait := run(t, a)
	sink.wait(t, 50)
	a.Stop()
	wait()
	all, overtaken := sink.sorted(), 0
	for _, s := range all {
		if s.Outcome == results.Complete && len(s.Attempts) == 1 && s.Attempts[0].Outcome == results.Cancelled {
			overtaken++
		}
	}
	if n := len(server.Requests()); n != 2*len(all) || overtaken != len(all) {
		t.Errorf("the server saw %d of %d requests, of whose tries %d were overtaken; want two of each, and one", n, len(all), overtaken)
	}
	for start := time.Now(); server.Ended() < overtaken; time.Sleep(time.Millisecond) {
		if time.Since(start) > hang {
			t.Fatalf("%d connections ended, want those of %d attempts that were overtaken", server.Ended(), overtaken)
		}
	}
}

// Where both first tokens come at the same moment one is kept all the same, and what came of the other is counted.
func TestAHedgeThatComesAtTheSameMoment(t *testing.T) {
	for range 30 {
		s, _ := hedged(t, attacks.Client{Hedge: time.Second}, []targetstest.Script{
			after(2*time.Second, targetstest.Send(targetstest.Answer("a", "b", "c"))), after(time.Second, targetstest.Send(targetstest.Answer("a", "b", "c"))),
		})
		if s.Outcome != results.Complete || len(s.Chunks) != 3 || len(s.Attempts) != 1 || s.Attempts[0].Outcome != results.Cancelled || !s.Attempts[0].Hedge {
			t.Fatalf("%s with %d chunks after %+v; want complete with 3 after one that was cancelled", s.Outcome, len(s.Chunks), s.Attempts)
		}
		if n := s.Attempts[0].Output; n < 0 || n > 3 {
			t.Fatalf("%d tokens of the other, of 3", n)
		}
	}
}

// Who leaves once the request is written leaves the hedge too, which is still connecting: it asks nothing.
func TestWhoLeavesLeavesTheHedgeToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, targetstest.Always(targetstest.Hang()))
		cfg, _ := config(server.URL())
		cfg.Clients = []attacks.Client{{Hedge: 2 * time.Second, Cancel: &attacks.Cancel{BeforeFirstByte: true}}}
		a := newAttack(t, cfg)
		a.SetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			select {
			case <-time.After(3 * time.Second):
				return server.Dial(ctx, network, addr)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		s, err := a.One(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(server.Requests()); s.Left != results.LeftStart || s.Done-s.Sent != 3*time.Second || len(s.Attempts) != 1 || n != 1 {
			t.Errorf("left %q after %s, attempts %+v, %d requests; want %q after 3s, one that was cancelled, and 1", s.Left, s.Done-s.Sent, s.Attempts, n, results.LeftStart)
		}
	})
}
