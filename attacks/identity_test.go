package attacks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A reader is who a request says that its answer is for.
type reader struct{ conversation, user string }

func readerOf(body []byte) reader {
	ids := nonceIn.FindAllString(string(body), -1)
	return reader{conversation: ids[0], user: ids[len(ids)-1]}
}

// A swapper answers each request with what it says of its reader, but gives two of them each other's answer.
type swapper struct {
	at  int // which request is the one; the other is the next that fits
	fit func(one, other reader) bool
	id  func(reader) string // what answers repeat

	mu     sync.Mutex
	first  *reader // it waits
	second chan reader
	pair   [2]reader
}

func (s *swapper) handle(r targetstest.Request) targetstest.Script {
	s.mu.Lock()
	defer s.mu.Unlock()
	me := readerOf(r.Body)
	if r.Index == s.at {
		s.first, s.second = &me, make(chan reader, 1)
		return targetstest.Script{func(ctx context.Context, c net.Conn) error {
			return targetstest.Send(targetstest.Answer("Dear ", s.id(<-s.second), "!"))(ctx, c)
		}}
	}
	if s.first != nil && s.fit(*s.first, me) {
		s.pair = [2]reader{*s.first, me}
		s.second <- me
		me, s.first = *s.first, nil
	}
	return send(targetstest.Answer("Dear ", s.id(me), "!"))
}

// aThousand sends a thousand requests of a seed to a server, under fake time.
func aThousand(t *testing.T, seed uint64, client attacks.Client, handle targetstest.Handler) (a *attacks.Attack, all []*results.Sample) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := targetstest.NewPipe(t, handle)
		cfg, sink := config(server.URL())
		cfg.Seed, cfg.Run, cfg.Clients = seed, fmt.Sprintf("%08x", seed), []attacks.Client{client}
		a = newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		a.BeginFor(results.Fault, 10*time.Second)
		time.Sleep(11 * time.Second)
		a.Stop()
		wait()
		all = sink.sorted()
	})
	return a, all
}

// userNumber is the number of a user by their nonce.
func userNumber(a *attacks.Attack, nonce string) uint64 { return a.NonceIndex(nonce) &^ (1 << 47) }

// Two of a thousand requests have each other's answer: both are found, each time, and name each other. Users who come
// again are known by their own id alone, too, and one user's conversations are told from each other.
func TestASwapIsFoundEachTime(t *testing.T) {
	conversation, user := func(r reader) string { return r.conversation }, func(r reader) string { return r.user }
	others := func(one, other reader) bool { return one.user != other.user }
	same := func(one, other reader) bool { return one.user == other.user }
	for _, tt := range []struct {
		name  string
		seeds uint64
		users int
		fit   func(one, other reader) bool
		id    func(reader) string
		want  string // of the ids, the indices and the number of the other's user
	}{
		{"strangers", 20, 0, others, conversation, "the answer to request %[1]d carries %[2]s, the nonce of request %[3]d"},
		{"users by their conversations", 5, 300, others, conversation, "the answer to request %[1]d carries %[2]s, the nonce of request %[3]d"},
		{"users by themselves", 5, 300, others, user, "the answer to request %[1]d carries %[2]s, the nonce of user %[4]d, whose last request was %[3]d"},
		{"one user's conversations", 5, 30, same, conversation, "the answer to request %[1]d carries %[2]s, the nonce of request %[3]d, another conversation of the same user (%[4]d)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range tt.seeds {
				s := &swapper{at: rand.New(rand.NewPCG(seed, 0)).IntN(800), fit: tt.fit, id: tt.id}
				a, all := aThousand(t, seed, attacks.Client{Users: tt.users}, s.handle)
				want := map[uint64]string{}
				for i, me := range s.pair {
					other := s.pair[1-i]
					index, from := a.NonceIndex(me.conversation), a.NonceIndex(other.conversation)
					want[index] = fmt.Sprintf(tt.want, index, tt.id(other), from, userNumber(a, other.user))
				}
				if len(all) != 1000 || len(want) != 2 {
					t.Fatalf("seed %d: %d requests, %d swapped", seed, len(all), len(want))
				}
				for _, got := range all {
					text, swapped := want[got.Index]
					if got.Leak() != swapped || got.Error != text || got.Echoed == swapped {
						t.Errorf("seed %d: request %d: %s: %q, echoed: %t; want %q", seed, got.Index, got.Outcome, got.Error, got.Echoed, text)
					}
				}
			}
		})
	}
}

// A server that repeats no id, or garbles what it repeats, leaks nothing.
func TestWhatIsNoLeak(t *testing.T) {
	garble := func(id string, rng *rand.Rand) string {
		at := 12 + rng.IntN(12)
		switch rng.IntN(6) {
		case 0: // another digit
			return id[:at] + fmt.Sprintf("%x", rng.IntN(16)) + id[at+1:]
		case 1: // one too few, and the next word
			return id[:at] + id[at+1:] + " and"
		case 2: // one too many
			return id[:at] + "0" + id[at:]
		case 3: // two in the wrong order
			at = min(at, 22)
			return id[:at] + id[at+1:at+2] + id[at:at+1] + id[at+2:]
		case 4:
			return strings.ToUpper(id)
		default:
			return id[:12] + fmt.Sprintf("%012x", rng.Uint64()&(1<<48-1))
		}
	}
	for _, users := range []int{0, 20} {
		for seed := range uint64(3) {
			rng := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			_, all := aThousand(t, seed, attacks.Client{Users: users}, func(r targetstest.Request) targetstest.Script {
				mu.Lock()
				defer mu.Unlock()
				me := readerOf(r.Body)
				if r.Index%2 == 0 {
					return send(targetstest.Answer("Once ", "upon"))
				}
				return send(targetstest.Answer(garble(me.conversation, rng), " ", garble(me.user, rng)))
			})
			for i, s := range all {
				if s.Outcome != results.Complete || i%2 == 0 && s.Echoed {
					t.Errorf("users %d, seed %d: request %d: %s (%s), echoed: %t; want complete", users, seed, i, s.Outcome, s.Error, s.Echoed)
				}
			}
		}
	}
}

// escapes are ways in which JSON may write an id, once or more often.
func escapes() map[string]func(string) string {
	all := func(format string) func(string) string {
		return func(id string) string {
			var b strings.Builder
			for _, c := range []byte(id) {
				fmt.Fprintf(&b, format, c)
			}
			return b.String()
		}
	}
	quoted := func(text string) string {
		q, err := json.Marshal(text)
		if err != nil {
			panic(err)
		}
		return string(q)
	}
	within := func(id string) string { return `{"q":"` + id + `"}` }
	return map[string]func(string) string{
		"as it is":              within,
		"dashes":                func(id string) string { return within(strings.ReplaceAll(id, "-", `\u002d`)) },
		"dashes in capitals":    func(id string) string { return within(strings.ReplaceAll(id, "-", `\u002D`)) },
		"the f":                 func(id string) string { return within(strings.ReplaceAll(id, "f", `\u0066`)) },
		"all":                   func(id string) string { return within(all(`\u%04x`)(id)) },
		"a backslash for each":  func(id string) string { return within(strings.ReplaceAll(id, "-", `\-`)) },
		"a string in a string":  func(id string) string { return within(quoted(quoted(within(all(`\u%04X`)(id))))) },
		"after other escapes":   func(id string) string { return within(`\n\t\"\\\f\u00e9\u0066` + all(`\u%04x`)(id)) },
		"after a broken escape": func(id string) string { return within(`\u00` + all(`\u%04x`)(id)) },
		"an escaped backslash":  func(id string) string { return within(strings.ReplaceAll(id, "-", `\u005cu002d`)) },
		"behind a backslash":    func(id string) string { return within(`C:\` + id) },
	}
}

// Another's id is found in text, reasoning and the arguments of tools, however it is escaped in there and wherever it
// is cut in two; in refusals, errors and documents, however it is escaped.
func TestEscapedLeaks(t *testing.T) {
	piece := func(field string, texts ...string) string {
		var b strings.Builder
		for _, text := range texts {
			q, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			value := string(q)
			if field == "tool_calls" {
				value = `[{"index":0,"function":{"arguments":` + value + `}}]`
			}
			b.WriteString(targetstest.Data(`{"choices":[{"index":0,"delta":{"` + field + `":` + value + `}}]}`))
		}
		return b.String()
	}
	tail := targetstest.Finish("stop") + targetstest.Done + targetstest.StreamEnd
	whole := map[string]func(text string) string{
		"refusal": func(text string) string {
			return targetstest.Reply("400 Bad Request", "application/json", "", `{"error":{"param":`+text+`,"message":"no"}}`)
		},
		"error": func(text string) string {
			return targetstest.StreamHead + targetstest.Data(`{"error":{"param":`+text+`,"message":"no"}}`) + tail
		},
		"no chunk": func(text string) string { return targetstest.StreamHead + targetstest.Data(`[`+text) + tail },
		"document": func(text string) string {
			return targetstest.Reply("200 OK", "application/json", "", `{"result":{"text":`+text+`}}`)
		},
	}
	type answer struct {
		name  string
		reply func(id string) string
	}
	var answers []answer
	for how, escape := range escapes() {
		for _, field := range []string{"content", "reasoning", "tool_calls"} {
			for at := range len(escape("fw-01234567-0123456789ab")) {
				answers = append(answers, answer{fmt.Sprintf("%s in %s cut at %d", how, field, at), func(id string) string {
					text := escape(id)
					return targetstest.StreamHead + piece(field, "Well", text[:min(at, len(text))], text[min(at, len(text)):]) + tail
				}})
			}
		}
		for where, reply := range whole {
			answers = append(answers, answer{how + " in " + where, func(id string) string { return reply(escape(id)) }})
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := map[string]int{}
		var first string
		server := targetstest.NewPipe(t, func(r targetstest.Request) targetstest.Script {
			mu.Lock()
			defer mu.Unlock()
			id := readerOf(r.Body).conversation
			if asked[id] = r.Index; r.Index == 0 {
				first = id
				return echo(r)
			}
			return send(answers[(r.Index-1)%len(answers)].reply(first))
		})
		cfg, sink := config(server.URL())
		a := newAttack(t, cfg)
		a.SetDial(server.Dial)
		wait := run(t, a)
		length := time.Duration(len(answers)+1) * 10 * time.Millisecond
		a.BeginFor(results.Fault, length)
		time.Sleep(length + time.Second)
		a.Stop()
		wait()
		for i, s := range sink.sorted()[1:] {
			if n := asked[a.Nonce(s.Index)]; n != i+1 {
				t.Fatalf("request %d was the server's %d", i+1, n)
			}
			want := fmt.Sprintf("the answer to request %d carries %s, the nonce of request 0", s.Index, first)
			if !s.Leak() || !strings.Contains(s.Error, want) {
				t.Errorf("%s: %s: %q; want %q", answers[i].name, s.Outcome, s.Error, want)
			}
		}
	})
}

// An id is found behind escapes however the text is cut, and never made of what has none.
func FuzzEscapedNonces(f *testing.F) {
	const run = "0000000f"
	id := "fw-0000000f-0123456789ab"
	for _, escape := range escapes() {
		f.Add(escape(id), uint8(3))
		f.Add(escape(escape(id))[:20]+escape(id), uint8(0))
	}
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		var pieces []string
		for rest := text; rest != ""; {
			n := min(len(rest), int(size)+1)
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		want := attacks.FindEscaped(run, text)
		if got := attacks.FindEscaped(run, pieces...); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: got %v, in one piece %v", pieces, got, want)
		}
		if !strings.Contains(text, `\`) && fmt.Sprint(want) != fmt.Sprint(attacks.FindNonces(run, text)) {
			t.Errorf("%q: got %v without an escape", text, want)
		}
		q, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		if plain := attacks.FindNonces(run, text); len(plain) > 0 && !strings.Contains(text, `\`) && len(attacks.FindEscaped(run, string(q))) < len(plain) {
			t.Errorf("%s: got %v, before it was quoted %v", q, attacks.FindEscaped(run, string(q)), plain)
		}
	})
}

// In conversations, too, both answers are found, whichever turns they are of, and name where the others began; what
// was swapped is carried on by neither.
func TestASwapOfTurnsIsFound(t *testing.T) {
	for seed := range uint64(5) {
		s := &swapper{
			at: 100 + rand.New(rand.NewPCG(seed, 0)).IntN(400), id: func(r reader) string { return r.conversation },
			fit: func(one, other reader) bool { return one != other },
		}
		var a *attacks.Attack
		var all []*results.Sample
		synctest.Test(t, func(t *testing.T) {
			server := targetstest.NewPipe(t, s.handle)
			cfg, sink := config(server.URL())
			cfg.Seed = seed
			cfg.Workload = attacks.Workload{{Turns: &attacks.Turns{
				Count: attacks.Length{Fixed: 3}, Think: attacks.Think{Fixed: 300 * time.Millisecond},
			}}}
			a = newAttack(t, cfg)
			a.SetDial(server.Dial)
			wait := run(t, a)
			a.BeginFor(results.Fault, 3*time.Second)
			time.Sleep(5 * time.Second)
			a.Stop()
			wait()
			all = sink.sorted()
		})
		found := map[string]bool{}
		for _, got := range all {
			if !got.Leak() {
				continue
			}
			me, other := a.Nonce(got.Conversation), s.pair[0].conversation
			if me == other {
				other = s.pair[1].conversation
			}
			found[me] = true
			if want := fmt.Sprintf("the answer to request %d carries %s, the nonce of request %d", got.Index, other, a.NonceIndex(other)); got.Error != want {
				t.Errorf("seed %d: turn %d: %q; want %q", seed, got.Turn, got.Error, want)
			}
		}
		if len(all) != 900 || len(found) != 2 || !found[s.pair[0].conversation] || !found[s.pair[1].conversation] {
			t.Errorf("seed %d: %d requests, swaps found in %v; want 900, and %v", seed, len(all), found, s.pair)
		}
	}
}
