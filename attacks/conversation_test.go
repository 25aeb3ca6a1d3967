package attacks_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A chat is a server's own record of a conversation.
type chat struct {
	history []targets.Message // what it should be told with the next turn, but for the question
	turns   []time.Time       // when each arrived
	ended   []time.Time       // when each was answered
}

// chats is a server that keeps conversations, known by their nonces, and holds what it is told against what it said.
type chats struct {
	t *testing.T
	// answer is what it says to turn n, from 0, of a conversation, and how. Heard is what a client knows of it then: "" is nothing.
	answer func(nonce string, n int) (script targetstest.Script, heard string)

	mu  sync.Mutex
	all map[string]*chat
}

func newChats(t *testing.T, answer func(nonce string, n int) (targetstest.Script, string)) *chats {
	t.Helper()
	return &chats{t: t, answer: answer, all: map[string]*chat{}}
}

// handle is the server's Handler.
func (c *chats) handle(r targetstest.Request) targetstest.Script {
	said := messages(c.t, r)
	nonce := nonceIn.FindString(said[len(said)-1].Content)
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.all[nonce]
	if one == nil {
		one = &chat{history: said[:1]} // the system prompt
		c.all[nonce] = one
	}
	question := said[len(said)-1]
	if want := append(slices.Clone(one.history), question); !gocmp.Equal(said, want) || question.Role != "user" || said[0].Role != "system" {
		c.t.Errorf("turn %d of %s carries another history:\n%s", len(one.turns)+1, nonce, gocmp.Diff(want, said))
	}
	script, heard := c.answer(nonce, len(one.turns))
	one.turns = append(one.turns, r.At)
	if heard != "" {
		one.history = append(one.history, question, targets.Message{Role: "assistant", Content: heard})
	}
	return append(script, func(context.Context, net.Conn) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		one.ended = append(one.ended, time.Now())
		return nil
	})
}

// messages are those of a request.
func messages(t *testing.T, r targetstest.Request) []targets.Message {
	t.Helper()
	var body struct {
		Messages []targets.Message `json:"messages"`
	}
	if err := json.Unmarshal(r.Body, &body); err != nil || len(body.Messages) < 2 {
		t.Errorf("request %s: %v", r.Body, err)
		return []targets.Message{{}, {}}
	}
	return body.Messages
}

// says is an answer in two pieces, the second of which repeats the nonce.
func says(text, nonce string) targetstest.Script {
	return targetstest.Script{targetstest.Send(targetstest.Answer(text, " for "+nonce))}
}

// turns is a workload of conversations.
func turns(count int, think attacks.Think) attacks.Workload {
	return attacks.Workload{{Preset: attacks.ChatShort, Turns: &attacks.Turns{Count: attacks.Length{Fixed: count}, Think: think}}}
}

// byConversation gives the samples of each conversation, by turn, and looks at what they say of it.
func byConversation(t *testing.T, all []*results.Sample) map[uint64][]*results.Sample {
	t.Helper()
	of := map[uint64][]*results.Sample{}
	seen := map[uint64]bool{}
	for _, s := range all {
		of[s.Conversation] = append(of[s.Conversation], s)
		if seen[s.Index] {
			t.Errorf("two samples have the index %d", s.Index)
		}
		seen[s.Index] = true
	}
	for first, samples := range of {
		slices.SortFunc(samples, func(a, b *results.Sample) int { return cmp.Compare(a.Turn, b.Turn) })
		for i, s := range samples {
			if s.Turn != i+1 || i == 0 && s.Index != first {
				t.Errorf("conversation %d has turn %d with index %d in place %d", first, s.Turn, s.Index, i+1)
			}
		}
	}
	return of
}

// Two hundred conversations at once, over real sockets, some of whose turns fail in one way or another: each turn
// carries exactly what was asked and answered in its own.
func TestConversationsKeepTheirHistory(t *testing.T) {
	var mu sync.Mutex
	answers := 0
	outcomes := map[string][]results.Outcome{}
	c := newChats(t, func(nonce string, _ int) (targetstest.Script, string) {
		mu.Lock()
		defer mu.Unlock()
		answers++
		text := fmt.Sprintf("“Answer” %d\n\\ü", answers)
		slow := targetstest.Script{targetstest.Pause(100 * time.Millisecond)}
		outcome, rest, heard := results.Complete, says(text, nonce), text+" for "+nonce
		switch answers % 8 { // 3 of 8 fail
		case 1:
			outcome, heard = results.HTTPStatus, ""
			rest = targetstest.Script{targetstest.Send(targetstest.Reply("500 Oh", "application/json", "", `{"error":{"message":"oh"}}`))}
		case 4:
			outcome, heard = results.Reset, ""
			rest = targetstest.Script{targetstest.Send(targetstest.StreamHead + targetstest.Token(text)), targetstest.FIN()}
		case 6:
			outcome, heard = results.StreamError, ""
			rest = targetstest.Script{targetstest.Send(targetstest.StreamHead + targetstest.Token(text) +
				targetstest.Data(`{"error":{"message":"oh"}}`) + targetstest.Done + targetstest.StreamEnd)}
		}
		outcomes[nonce] = append(outcomes[nonce], outcome)
		return append(slow, rest...), heard
	})
	server := targetstest.New(t, c.handle)
	cfg, sink := config(server.URL())
	cfg.Profile = attacks.Profile{Constant: &attacks.Constant{Rate: 4000}}
	cfg.Workload = turns(3, attacks.Think{Fixed: 20 * time.Millisecond})
	a := newAttack(t, cfg)
	wait := run(t, a)
	a.BeginFor(results.Baseline, 50*time.Millisecond)
	sink.wait(t, 600)
	a.Stop()
	wait()
	server.Close()
	all := sink.sorted()
	if len(all) != 600 || len(c.all) != 200 {
		t.Errorf("%d samples, and %d conversations at the server; want 600 of 200", len(all), len(c.all))
	}
	for first, samples := range byConversation(t, all) {
		nonce := a.Nonce(first)
		var got []results.Outcome
		for _, s := range samples {
			got = append(got, s.Outcome)
		}
		if !slices.Equal(got, outcomes[nonce]) {
			t.Errorf("conversation %d ended its turns as %v, want %v", first, got, outcomes[nonce])
		}
	}
}

// A client who leaves by plan keeps what it saw; one who saw nothing asks the next without it.
func TestConversationsGoOnWithHalfAnAnswer(t *testing.T) {
	half := targetstest.Script{targetstest.Send(targetstest.StreamHead + targetstest.Token("one") + targetstest.Token(" two")), targetstest.Hang()}
	for _, tt := range []struct {
		name  string
		plan  attacks.Cancel
		heard string
	}{
		{"after two tokens", attacks.Cancel{AfterTokens: 2}, "one two"},
		{"after a second", attacks.Cancel{After: time.Second}, "one two"},
		{"before the first byte", attacks.Cancel{BeforeFirstByte: true}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newChats(t, func(string, int) (targetstest.Script, string) { return half, tt.heard })
			server := targetstest.NewPipe(t, c.handle)
			cfg, sink := config(server.URL())
			cfg.Profile = attacks.Profile{Constant: &attacks.Constant{Rate: 1}}
			cfg.Workload, cfg.Clients = turns(3, attacks.Think{Fixed: time.Second}), []attacks.Client{{Cancel: &tt.plan}}
			a := newAttack(t, cfg)
			a.SetDial(server.Dial)
			wait := run(t, a)
			a.BeginFor(results.Baseline, 3*time.Second)
			time.Sleep(time.Minute)
			a.Stop()
			wait()
			for _, s := range sink.sorted() {
				if s.Outcome != results.Cancelled || s.Left == "" {
					t.Errorf("%s: turn %d is %s: %s; want it cancelled by plan", tt.name, s.Turn, s.Outcome, s.Error)
				}
			}
			if n := len(sink.sorted()); n != 9 {
				t.Errorf("%s: %d turns, want 9", tt.name, n)
			}
		})
	}
}

// What is carried on is what was said, or else the calls of tools that were cut short; reasoning is not.
func TestConversationsCarryWhatWasSaid(t *testing.T) {
	reasoned := func(field, value, text string) targetstest.Script {
		return targetstest.Script{targetstest.Send(targetstest.StreamHead +
			targetstest.Data(`{"choices":[{"index":0,"delta":{"`+field+`":`+value+`},"finish_reason":null}]}`) + text +
			targetstest.Finish("stop") + targetstest.Usage(10, 2) + targetstest.Done + targetstest.StreamEnd)}
	}
	synctest.Test(t, func(t *testing.T) {
		c := newChats(t, func(_ string, n int) (targetstest.Script, string) {
			if n == 0 {
				return reasoned("reasoning_content", `"hm, well"`, targetstest.Token("yes it is")), "yes it is"
			}
			return reasoned("tool_calls", `[{"index":0,"function":{"name":"look","arguments":"{\"at"}}]`, ""), `look{"at`
		})
		server := targetstest.NewPipe(t, c.handle)
		cfg, sink := config(server.URL())
		cfg.Workload = turns(3, attacks.Think{})
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		a.BeginFor(results.Baseline, 10*time.Millisecond)
		time.Sleep(time.Second)
		a.Stop()
		wait()
		for _, s := range sink.sorted() {
			if s.Outcome != results.Complete {
				t.Errorf("turn %d is %s: %s", s.Turn, s.Outcome, s.Error)
			}
		}
		if n := len(sink.sorted()); n != 3 {
			t.Errorf("%d turns, want 3", n)
		}
	})
}

// thinking runs 20 conversations in each of two phases against a server that takes its time, and returns the gaps
// between each answer's end and the next turn's arrival, conversation by conversation in the order of their beginnings.
func thinking(t *testing.T, seed uint64, takes time.Duration, think attacks.Think) (gaps [2][][]time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newChats(t, func(nonce string, n int) (targetstest.Script, string) {
			if n == 1 {
				return targetstest.Script{targetstest.Pause(takes), targetstest.Send(targetstest.Reply("503 Busy", "text/plain", "", "busy"))}, ""
			}
			return append(targetstest.Script{targetstest.Pause(takes)}, says("yes", nonce)...), "yes for " + nonce
		})
		server := targetstest.NewPipe(t, c.handle)
		cfg, sink := config(server.URL())
		cfg.Seed = seed
		cfg.Profile = attacks.Profile{Poisson: &attacks.Poisson{Rate: 10}}
		cfg.Workload = turns(0, think)
		cfg.Workload[0].Turns.Count = attacks.Length{Min: 2, Max: 6}
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		phases := []results.Phase{results.Baseline, results.Fault}
		var began []time.Time
		for _, p := range phases {
			began = append(began, time.Now())
			a.BeginFor(p, 2*time.Second)
			time.Sleep(5 * time.Minute)
		}
		a.Stop()
		wait()
		server.Close()
		all := make([]*chat, 0, len(c.all))
		for _, one := range c.all {
			all = append(all, one)
		}
		slices.SortFunc(all, func(a, b *chat) int { return a.turns[0].Compare(b.turns[0]) })
		for _, one := range all {
			var of []time.Duration
			for i, at := range one.turns[1:] {
				of = append(of, at.Sub(one.ended[i]))
			}
			phase := 0
			if !one.turns[0].Before(began[1]) {
				phase = 1
			}
			gaps[phase] = append(gaps[phase], of)
		}
		for _, s := range sink.sorted() {
			if lag, _, _ := s.Lag(); lag != 0 {
				t.Errorf("turn %d of conversation %d is %s late under fake time", s.Turn, s.Conversation, lag)
			}
		}
	})
	return gaps
}

// Users think as long as was drawn, to the nanosecond, however long the server took and however it ended; and in each
// phase and each run of a seed as long again.
func TestThinking(t *testing.T) {
	fixed := thinking(t, 1, time.Second, attacks.Think{Fixed: 7 * time.Second})
	counts := map[int]bool{}
	for _, of := range fixed[0] {
		counts[len(of)+1] = true
		for _, gap := range of {
			if gap != 7*time.Second {
				t.Errorf("a user thought for %s, want 7s", gap)
			}
		}
	}
	if len(fixed[0]) < 10 || len(counts) != 5 {
		t.Errorf("%d conversations of lengths %v, want some twenty of 2 to 6 turns", len(fixed[0]), counts)
	}
	drawn := thinking(t, 1, time.Second, attacks.Think{P50: 5 * time.Second, P90: 20 * time.Second, Max: 40 * time.Second})
	if diff := gocmp.Diff(drawn[0], drawn[1]); diff != "" {
		t.Errorf("users think otherwise in the fault phase:\n%s", diff)
	}
	var all []time.Duration
	for _, of := range drawn[0] {
		all = append(all, of...)
	}
	slices.Sort(all)
	if median := all[len(all)/2]; median < 3*time.Second || median > 8*time.Second || all[len(all)-1] > 40*time.Second || len(slices.Compact(all)) < len(all)-5 {
		t.Errorf("users thought for %v, want a median of some 5 s, and at most 40 s", all)
	}
	slower := thinking(t, 1, 3*time.Second, attacks.Think{P50: 5 * time.Second, P90: 20 * time.Second, Max: 40 * time.Second})
	if diff := gocmp.Diff(drawn[0], slower[0]); diff != "" {
		t.Errorf("users think otherwise before a slow server:\n%s", diff)
	}
	if other := thinking(t, 2, time.Second, attacks.Think{P50: 5 * time.Second, P90: 20 * time.Second}); gocmp.Equal(drawn[0], other[0]) {
		t.Error("another seed thinks the same")
	}
}

// The agenda releases thousands of turns, of the plan and of conversations, in the order in which they are due, each at
// its time, while hundreds of goroutines put more on it.
func TestAgendaOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := config("http://server")
		cfg.Profile = attacks.Profile{Poisson: &attacks.Poisson{Rate: 300}}
		cfg.Workload = turns(0, attacks.Think{Min: time.Millisecond, Max: 4 * time.Second})
		cfg.Workload[0].Turns.Count = attacks.Length{Min: 1, Max: 6}
		a := newAttack(t, cfg)
		rng := rand.New(rand.NewPCG(1, 1))
		var wg sync.WaitGroup
		var last time.Duration
		kinds, phases := map[bool]int{}, map[results.Phase]int{}
		wg.Go(func() {
			for {
				r, ok := a.Release()
				if !ok {
					return
				}
				if r.Due < last || r.Due != cfg.Clock.Now() {
					t.Errorf("turn %d of %d, due at %s, was released at %s after one that was due at %s", r.Turn, r.Conversation, r.Due, cfg.Clock.Now(), last)
				}
				last = r.Due
				kinds[r.Turn > 1]++
				phases[r.Phase]++
				takes := time.Duration(rng.Int64N(int64(2 * time.Second)))
				wg.Go(func() {
					time.Sleep(takes)
					r.End(results.Complete)
				})
			}
		})
		for _, p := range []results.Phase{results.Baseline, results.Fault} {
			a.BeginFor(p, 10*time.Second)
			time.Sleep(10 * time.Second)
		}
		for !a.Exhausted() && cfg.Clock.Now() < time.Minute {
			time.Sleep(time.Second)
		}
		a.Stop()
		wg.Wait()
		// 6,000 conversations of 3.5 turns each. Those of the fault phase have the late ones of the baseline with them.
		if kinds[false] < 5500 || kinds[true] < 13_000 || phases[results.Fault] < phases[results.Baseline]+1000 {
			t.Errorf("%d first turns and %d later ones, by phase %v", kinds[false], kinds[true], phases)
		}
	})
}

// A turn that is due before what the agenda waits for wakes it.
func TestAFollowUpWakesTheAgenda(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, slow(time.Second))
		cfg, sink := config(server.URL())
		tr := trace(t, attacks.TraceHeader+`{"due_ns":0,"prompt_tokens":50,"output_tokens":4}`+"\n"+
			`{"due_ns":3600000000000,"prompt_tokens":50,"output_tokens":4}`+"\n")
		cfg.Profile, cfg.Workload = attacks.Profile{Trace: &tr}, turns(3, attacks.Think{Fixed: 2 * time.Second})
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		start := cfg.Clock.Now()
		a.Begin(results.Baseline)
		time.Sleep(time.Minute)
		var sent []time.Duration
		for _, s := range sink.sorted() {
			sent = append(sent, s.Sent-start)
		}
		slices.Sort(sent)
		if want := []time.Duration{0, 3 * time.Second, 6 * time.Second}; !slices.Equal(sent, want) {
			t.Errorf("turns were sent after %v, want %v", sent, want)
		}
		a.Stop()
		wait()
	})
}

// In a closed loop a user has one conversation after another: the next turn comes once they have thought, the next
// conversation at once, and never do more talk than there are users. Whose turn failed waits.
func TestClosedLoopOfConversations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, slow(300*time.Millisecond))
		cfg, sink := config(server.URL())
		cfg.Profile, cfg.Workload = attacks.Profile{Concurrency: &attacks.Concurrency{Users: 7}}, turns(3, attacks.Think{Fixed: 700 * time.Millisecond})
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		start := cfg.Clock.Now()
		for _, p := range []results.Phase{results.Baseline, results.Fault} {
			a.Begin(p)
			time.Sleep(6 * time.Second)
		}
		a.Stop()
		wait()
		// A conversation is 2.3 s: turns at 0, 1 and 2 s of it, the sixth conversation begins after 11.5 s.
		of := byConversation(t, sink.sorted())
		if len(of) != 42 {
			t.Errorf("%d conversations of 7 users, want 42", len(of))
		}
		for first, samples := range of {
			begun := samples[0].Sent - start
			if begun%(2300*time.Millisecond) != 0 || begun < 11*time.Second && len(samples) != 3 {
				t.Errorf("conversation %d began after %s and had %d turns", first, begun, len(samples))
			}
			for i, s := range samples {
				if s.Due != s.Sent || s.Sent != samples[0].Sent+time.Duration(i)*time.Second {
					t.Errorf("turn %d of a conversation that began at %s was due at %s and sent at %s", s.Turn, samples[0].Sent, s.Due, s.Sent)
				}
			}
		}
	})
	for _, tt := range []struct {
		think time.Duration
		want  int // requests of a user in 3 s
	}{{0, 30}, {20 * time.Millisecond, 30}, {300 * time.Millisecond, 15}} { // of each two, one follows after 300 ms and one after 100
		synctest.Test(t, func(t *testing.T) {
			cfg, sink := config("http://server")
			cfg.Profile, cfg.Workload = attacks.Profile{Concurrency: &attacks.Concurrency{Users: 20}}, turns(2, attacks.Think{Fixed: tt.think})
			a := newAttack(t, cfg)
			a.SetDial(func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED })
			wait := run(t, a)
			a.BeginFor(results.Baseline, 3*time.Second)
			time.Sleep(3*time.Second - time.Nanosecond)
			a.Stop()
			wait()
			if got := len(sink.sorted()); got != 20*tt.want {
				t.Errorf("%d requests of 20 users who think for %s, in 3 s, want %d", got, tt.think, 20*tt.want)
			}
		})
	}
}

// The end of the load finds users who think, and does not wait for them; nor does the end of the run. Those under way
// end, and nothing follows them.
func TestTheEndOfThinking(t *testing.T) {
	for _, abandoned := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := targetstest.NewPipe(t, slow(2*time.Second))
			cfg, sink := config(server.URL())
			cfg.Profile, cfg.Workload = attacks.Profile{Constant: &attacks.Constant{Rate: 10}}, turns(3, attacks.Think{Fixed: time.Hour})
			a := newAttack(t, cfg)
			a.SetDial(server.Dial)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan time.Duration, 1)
			go func() {
				if err := a.Run(ctx); !abandoned && err != nil || abandoned && !errors.Is(err, context.Canceled) {
					t.Errorf("Run = %v", err)
				}
				ended <- cfg.Clock.Now()
			}()
			a.Begin(results.Baseline)
			time.Sleep(4050 * time.Millisecond) // 21 think, 20 are under way
			stopped := cfg.Clock.Now()
			want := stopped
			if abandoned {
				cancel()
			} else {
				a.Stop()
				want += 1950 * time.Millisecond
			}
			if at := <-ended; at != want {
				t.Errorf("abandoned %t: Run ended %s after the end of the load, want %s", abandoned, at-stopped, want-stopped)
			}
			for _, s := range sink.sorted() {
				if s.Turn != 1 {
					t.Errorf("abandoned %t: turn %d was sent", abandoned, s.Turn)
				}
			}
			if n := len(sink.sorted()); n != 41 {
				t.Errorf("abandoned %t: %d requests, want 41", abandoned, n)
			}
		})
	}
}

// A schedule with conversations is at its end once the last turn of the last of them is due, and not before; the
// phases' length is that of the schedule, and conversations go on past it.
func TestExhaustedByConversations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, slow(time.Second))
		cfg, sink := config(server.URL())
		cfg.Profile = attacks.Profile{Spike: &attacks.Spike{Rate: 10, For: time.Second, Even: true}}
		cfg.Workload = turns(3, attacks.Think{Fixed: 29 * time.Second})
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		a.BeginFor(results.Baseline, 2*time.Second)
		var at []bool
		for range 4 { // turns are due over a second from 0, 30 and 60 s on
			time.Sleep(20500 * time.Millisecond)
			at = append(at, a.Exhausted())
		}
		if want := []bool{false, false, true, true}; !slices.Equal(at, want) {
			t.Errorf("Exhausted() = %v after 20, 41, 61 and 82 s, want %v", at, want)
		}
		a.Stop()
		wait()
		if n := len(sink.sorted()); n != 30 {
			t.Errorf("%d requests, want 30", n)
		}
	})
}

// What is written ahead does not make conversations late, nor do they keep it from being written.
func TestBurstsBesideConversations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rows strings.Builder
		row := func(due time.Duration, times int) {
			rows.WriteString(strings.Repeat(fmt.Sprintf(`{"due_ns":%d,"prompt_tokens":50,"output_tokens":4}`+"\n", due.Nanoseconds()), times))
		}
		for i := range 20 {
			row(time.Second+time.Duration(i)*100*time.Millisecond, 1)
		}
		row(10*time.Second, 50)
		row(20*time.Second, 50)
		a, sink, _ := ahead(t, 10*time.Millisecond, rows.String(), func(c *attacks.Config) {
			c.Workload = attacks.Workload{{Turns: &attacks.Turns{Count: attacks.Length{Fixed: 20}, Think: attacks.Think{Fixed: 900 * time.Millisecond}}}}
		})
		wait := run(t, a)
		a.Begin(results.Baseline)
		time.Sleep(time.Minute)
		if !a.Exhausted() {
			t.Error("the conversations did not end")
		}
		a.Stop()
		wait()
		for _, s := range sink.sorted() {
			if lag, _, _ := s.Lag(); lag != 0 {
				t.Errorf("turn %d of conversation %d, due at %s, was sent %s late", s.Turn, s.Conversation, s.Due, lag)
			}
		}
		if n := len(sink.sorted()); n != 120*20 {
			t.Errorf("%d requests, want %d", n, 120*20)
		}
	})
}

// A client that goes to another door carries its conversation there.
func TestConversationsFailOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChats(t, func(nonce string, n int) (targetstest.Script, string) {
			text := fmt.Sprintf("answer %d", n)
			return says(text, nonce), text + " for " + nonce
		})
		other := targetstest.NewPipe(t, c.handle)
		down := targetstest.NewPipe(t, targetstest.Always(targetstest.Send(targetstest.Reply("503 Busy", "text/plain", "", "busy"))))
		cfg, sink := config("http://down.test")
		cfg.Others = map[string]targets.Endpoint{"other": {URL: "http://other.test"}}
		cfg.Clients = []attacks.Client{{Failover: &attacks.Failover{To: []string{"other"}}}}
		cfg.Workload = turns(3, attacks.Think{Fixed: time.Second})
		a := newAttack(t, cfg)
		a.SetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "other") {
				return other.Dial(ctx, network, addr)
			}
			return down.Dial(ctx, network, addr)
		})
		wait := run(t, a)
		a.BeginFor(results.Baseline, 100*time.Millisecond)
		time.Sleep(time.Minute)
		a.Stop()
		wait()
		for _, s := range sink.sorted() {
			if s.Outcome != results.Complete || len(s.Attempts) != 1 {
				t.Errorf("turn %d is %s after %d attempts: %s; want complete after one", s.Turn, s.Outcome, len(s.Attempts), s.Error)
			}
		}
		if n := len(sink.sorted()); n != 30 {
			t.Errorf("%d turns, want 30", n)
		}
	})
}
