package attacks_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// Bounds of what a fickle server does. A reset before a response comes later than one that could be a stale
// connection's.
const (
	fickleTokens = 12
	fickleApart  = 900 * time.Millisecond
	fickleReset  = 600 * time.Millisecond
)

// A mood is what a fickle server does with one request.
type mood struct {
	kind  string // of answer, or refusal
	wait  time.Duration
	texts []string // tokens, before the end
	apart time.Duration
	end   string // proper, cut, hang; of a stream
	close bool   // the connection, after a proper end
}

// A favour is a request as a fickle server had it, and what it did.
type favour struct {
	at     time.Time
	mood   mood
	begun  int // tokens of which some was written
	tokens int // and all
	whole  bool
}

// fickle are servers who do with each request what a hash of their seed, of its conversation and of how many
// requests that had before says.
type fickle struct {
	seed  uint64
	other string // the nonce that leaks; whose own it is, nothing does

	mu     sync.Mutex
	of     map[string][]*favour // by nonce
	open   int                  // connections of the client
	dials  int
	resent int // streams that were refused, so that they are sent again
}

// take notes a request and decides.
func (f *fickle) take(r targetstest.Request) *favour {
	nonce := nonceIn.FindString(string(r.Body))
	f.mu.Lock()
	defer f.mu.Unlock()
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", nonce, len(f.of[nonce]))
	rng := rand.New(rand.NewPCG(f.seed, h.Sum64()))
	one := &favour{at: r.At, mood: f.drawMood(rng, strings.Contains(r.Path, "embeddings"), nonce)}
	f.of[nonce] = append(f.of[nonce], one)
	return one
}

func (f *fickle) drawMood(rng *rand.Rand, whole bool, nonce string) mood {
	m := mood{kind: "good", end: "proper", close: rng.IntN(8) == 0, apart: time.Duration(rng.Int64N(int64(fickleApart)))}
	if rng.IntN(2) == 0 {
		m.wait = time.Duration(rng.Int64N(int64(4 * time.Second)))
	}
	for range rng.IntN(fickleTokens) {
		m.texts = append(m.texts, " word")
	}
	if rng.IntN(2) == 0 {
		m.texts = append(m.texts, nonce)
	}
	kinds := []string{
		"good", "good", "good", "good", "good", "cut", "hang", "503", "429", "429 later", "400", "stall", "reset", "error",
		"page", "leak", "leak in a 503", "empty", "golden", "refused",
	}
	m.kind = kinds[rng.IntN(len(kinds))]
	if nonce == f.other && strings.HasPrefix(m.kind, "leak") {
		m.kind = "good"
	}
	switch m.kind {
	case "cut", "hang":
		m.end = m.kind
	case "reset":
		m.wait += fickleReset
	case "leak":
		m.texts = append(m.texts, "for "+f.other)
	case "empty":
		m.texts = nil
	case "golden":
		m.texts = []string{"forty", "-two"}
	}
	if whole && (m.kind == "golden" || m.kind == "error") {
		m.kind = "good"
	}
	return m
}

// events are the bodies' pieces, each with how many tokens it has.
func (m *mood) events() (all []string, tokens []int) {
	add := func(n int, text string) { all, tokens = append(all, text), append(tokens, n) }
	data := func(n int, text string) { add(n, "data: "+text+"\n\n") }
	data(0, `{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`)
	for _, text := range m.texts {
		data(1, `{"choices":[{"index":0,"delta":{"content":"`+text+`"},"finish_reason":null}]}`)
	}
	switch {
	case m.kind == "error":
		data(0, `{"error":{"message":"the engine died"}}`)
		fallthrough
	case m.end == "proper":
		data(0, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`)
		data(0, fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":%d}}`, len(m.texts)))
		data(0, "[DONE]")
	}
	return all, tokens
}

// embedding is a whole answer.
func (m *mood) embedding(other string) string {
	switch m.kind {
	case "empty":
		return `{"data":[],"usage":{"prompt_tokens":7}}`
	case "leak":
		return `{"data":[{"embedding":[0.5],"index":0}],"user":"` + other + `","usage":{"prompt_tokens":7}}`
	}
	return `{"data":[{"embedding":[0.5,0.25],"index":0}],"usage":{"prompt_tokens":7}}`
}

// refusal is a whole answer that is not of the dialect: a status, headers and a text. 0: it is no such.
func (m *mood) refusal(other string) (status int, header, text string) {
	switch m.kind {
	case "503":
		return 503, "", "busy"
	case "429":
		return 429, "", "slow down"
	case "429 later":
		return 429, "2", "slow down"
	case "400":
		return 400, "", "no"
	case "page":
		return 200, "", "<html>welcome</html>"
	case "leak in a 503":
		return 503, "", other
	}
	return 0, "", ""
}

// begin notes that n tokens are about to be written.
func (f *fickle) begin(one *favour, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.begun += n
}

// wrote notes that n tokens are, or the answer's end.
func (f *fickle) wrote(one *favour, n int, whole bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.tokens += n
	one.whole = one.whole || whole
}

// handle answers over HTTP/1.1.
func (f *fickle) handle(r targetstest.Request) targetstest.Script {
	one := f.take(r)
	m := &one.mood
	script := targetstest.Script{targetstest.Pause(m.wait)}
	note := func(n int, whole bool) {
		script = append(script, func(context.Context, net.Conn) error { f.wrote(one, n, whole); return nil })
	}
	say := func(text string) { script = append(script, targetstest.Send(text)) }
	status, later, text := m.refusal(f.other)
	switch {
	case m.kind == "stall":
		return append(script, targetstest.Hang())
	case m.kind == "reset", m.kind == "refused":
		script[0] = targetstest.Pause(m.wait + fickleReset)
		return append(script, targetstest.RST())
	case status != 0:
		header := ""
		if later != "" {
			header = "Retry-After: " + later + "\r\n"
		}
		say(targetstest.Reply(fmt.Sprintf("%d Said", status), "text/html", header, text))
	case strings.Contains(r.Path, "embeddings"):
		body := m.embedding(f.other)
		say(chunkedHead + targetstest.Chunk(body[:9]))
		if m.end != "proper" {
			break
		}
		script = append(script, targetstest.Pause(m.apart))
		say(targetstest.Chunk(body[9:]) + targetstest.StreamEnd)
	default:
		say(targetstest.StreamHead)
		events, tokens := m.events()
		for i, event := range events {
			if tokens[i] > 0 {
				script = append(script, targetstest.Pause(m.apart))
			}
			script = append(script, func(context.Context, net.Conn) error { f.begin(one, tokens[i]); return nil })
			say(targetstest.Chunk(event))
			note(tokens[i], false)
		}
		if m.end == "proper" {
			say(targetstest.StreamEnd)
		}
	}
	switch {
	case m.end == "hang" && status == 0:
		script = append(script, targetstest.Hang())
	case m.end == "cut" && status == 0:
		script = append(script, targetstest.RST())
	default:
		note(0, true)
		if m.close {
			script = append(script, targetstest.BareFIN()) // the word by which TLS ends would wait for a reader
		}
	}
	return script
}

// answer answers over HTTP/2.
func (f *fickle) answer(s *targetstest.Stream2) {
	one := f.take(s.Request)
	m := &one.mood
	s.Pause(m.wait)
	status, later, text := m.refusal(f.other)
	write := func(text string) bool { before := s.Write("", 1); return s.Write(text, 1<<14)-before == len(text) }
	switch {
	case m.kind == "stall":
		s.Hang()
		return
	case m.kind == "reset":
		s.Pause(fickleReset)
		s.Reset(http2.ErrCodeInternal)
		return
	case m.kind == "refused":
		f.mu.Lock()
		f.resent++
		f.mu.Unlock()
		s.Reset(http2.ErrCodeRefusedStream)
		return
	case status != 0:
		s.Head(status, "content-type", "text/html", "retry-after", cmp.Or(later, "0"))
		s.Last(text)
		f.wrote(one, 0, true)
		return
	case strings.Contains(s.Path, "embeddings"):
		body := m.embedding(f.other)
		s.Head(200, "content-type", kind)
		write(body[:9])
		if m.end == "proper" {
			s.Pause(m.apart)
			write(body[9:])
		}
	default:
		s.Stream()
		events, tokens := m.events()
		for i, event := range events {
			if tokens[i] > 0 {
				s.Pause(m.apart)
			}
			f.begin(one, tokens[i])
			if write(event) {
				f.wrote(one, tokens[i], false)
			}
		}
	}
	switch m.end {
	case "hang":
		s.Hang()
	case "cut":
		s.Reset(http2.ErrCodeInternal)
	default:
		s.Last("")
		f.wrote(one, 0, true)
	}
}

// A counted connection says when the client closes it.
type counted struct {
	net.Conn
	closed func()
}

func (c *counted) Close() error {
	c.closed()
	return c.Conn.Close()
}

// dial connects, but for one connection in twelve, which is refused or never made.
func (f *fickle) dial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		f.mu.Lock()
		f.dials++
		n := rand.New(rand.NewPCG(f.seed, uint64(f.dials))).IntN(24)
		f.mu.Unlock()
		switch n {
		case 0:
			return nil, errors.New("refused")
		case 1:
			<-ctx.Done()
			return nil, ctx.Err()
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		f.open++
		f.mu.Unlock()
		return &counted{conn, sync.OnceFunc(func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.open--
		})}, nil
	}
}

// A combination is an attack whose client does several things at a time.
type combination struct {
	cfg      attacks.Config
	client   *attacks.Client
	cut      bool // the run is cancelled while requests are under way
	stopped  bool // the load is stopped then
	secure   bool // over TLS
	phase    results.Phase
	requests int // 0: as many as come
}

// drawCombination makes one of the seed.
func drawCombination(seed uint64) (c combination, sink *samples) {
	rng := rand.New(rand.NewPCG(seed, 0))
	in := func(n int) bool { return rng.IntN(n) == 0 }
	cfg, sink := config("http://a.test")
	cfg.Seed = seed
	var b attacks.Client
	b.Deadline = time.Duration(5+rng.IntN(25)) * time.Second
	if in(2) {
		b.Retries = 1 + rng.IntN(3)
		if in(2) {
			b.Backoff = &attacks.Backoff{First: 100 * time.Millisecond, Factor: 3}
		}
		if in(3) {
			b.RetryBudget = 0.2
		}
		b.RetryCut = in(2)
	}
	if in(5) {
		b.Storm = &attacks.Storm{Retries: 3}
	}
	if in(2) {
		b.Hedge = time.Duration(1+rng.IntN(3000)) * time.Millisecond
	}
	if in(3) {
		b.FirstToken = b.Hedge + time.Duration(500+rng.IntN(1500))*time.Millisecond
	}
	if in(3) {
		b.Idle = time.Duration(1000+rng.IntN(3000)) * time.Millisecond
	}
	if in(3) {
		b.Cancel = []*attacks.Cancel{
			{AfterTokens: 1 + rng.IntN(5)}, {After: time.Duration(1+rng.IntN(4000)) * time.Millisecond}, {BeforeFirstByte: true, Share: 0.3},
		}[rng.IntN(3)]
	}
	if in(3) {
		cfg.Name, cfg.Others = "a", map[string]targets.Endpoint{"b": {URL: "http://b.test"}, "c": {URL: "http://c.test", Model: "other"}}
		b.Failover = &attacks.Failover{To: []string{"b", "c"}, AfterFirstToken: in(2)}
	}
	if in(4) {
		b.Read = attacks.ByteRate(300 + rng.IntN(3000))
	}
	if in(4) {
		b.RequestsPerConnection = 1 + rng.IntN(3)
	}
	if in(4) {
		b.Users = 3
	}
	b.HTTP2 = in(3)
	cfg.Clients = []attacks.Client{b}
	long := attacks.Length{Fixed: 20}
	if in(6) {
		long.Fixed = 5000 // which is not written at once
	}
	talk := attacks.Class{PromptTokens: long, OutputTokens: attacks.Length{Fixed: 20}}
	switch rng.IntN(4) {
	case 0:
		talk.Turns = &attacks.Turns{Count: attacks.Length{Fixed: 3}, Think: attacks.Think{Fixed: time.Duration(rng.IntN(3)) * time.Second}}
	case 1:
		talk.Golden = []attacks.Golden{{Ask: "What is six times seven?", Answer: "forty-two"}}
	}
	cfg.Workload = attacks.Workload{talk}
	if in(3) {
		cfg.Workload = append(cfg.Workload, attacks.Class{
			Feature: "embeddings", PromptTokens: long, OutputTokens: attacks.Length{Fixed: 1}, Dialect: "openai-embeddings",
		})
	}
	c = combination{client: &cfg.Clients[0], cut: in(8), stopped: in(8), secure: in(8), phase: []results.Phase{results.Baseline, results.Fault}[rng.IntN(2)]}
	switch rng.IntN(4) {
	case 0:
		cfg.Profile = attacks.Profile{Concurrency: &attacks.Concurrency{Users: 3}}
	default:
		cfg.Profile = attacks.Profile{Constant: &attacks.Constant{Rate: 5}}
		c.requests = 5 * int(combinationLength/time.Second)
		if in(4) {
			cfg.Profile.Plus = []attacks.Part{{Profile: attacks.Profile{Herd: &attacks.Herd{Users: 4}}}}
			c.requests += 4
		}
	}
	if in(5) {
		cfg.Budget = attacks.Budget{Requests: int64(5 + rng.IntN(20))}
	} else if in(8) {
		cfg.Budget = attacks.Budget{Tokens: 500}
	}
	if c.secure { // whose certificate has one name
		cfg.Endpoint.URL = "https://pipe.test"
		for name, other := range cfg.Others {
			other.URL = cfg.Endpoint.URL
			cfg.Others[name] = other
		}
	}
	c.cfg = cfg
	return c, sink
}

const (
	combinationLength = 4 * time.Second
	combinations      = 400
)

// Whatever a client does beside another thing, and whatever servers do to it: each request that was due has one
// sample; what that says of attempts and tokens is what the servers saw; no failure is called by another's name, and
// none is hidden by an answer that came later; and nothing is left, neither a connection nor a goroutine nor a count.
func TestCombinations(t *testing.T) {
	for seed := range uint64(combinations) {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { combine(t, seed) })
		}) {
			c, _ := drawCombination(seed)
			t.Errorf("seed %d: client %+v, workload %+v, budget %s, cut: %t, stopped: %t, TLS: %t", seed, *c.client, c.cfg.Workload, c.cfg.Budget, c.cut, c.stopped, c.secure)
		}
	}
}

// combine runs the combination of a seed.
func combine(t *testing.T, seed uint64) {
	t.Helper()
	c, sink := drawCombination(seed)
	c.cfg.Clock = results.NewClock()
	f := &fickle{seed: seed, of: map[string][]*favour{}}
	var dial func(ctx context.Context, network, addr string) (net.Conn, error)
	ca := ""
	switch {
	case c.client.HTTP2:
		server := targetstest.NewHTTP2(t, targetstest.HTTP2{Pipe: true, TLS: c.secure}, f.answer)
		dial, ca = server.Dial, server.CA()
	case c.secure:
		server := targetstest.NewPipeTLS(t, f.handle)
		dial, ca = server.Dial, server.CA()
	default:
		dial = targetstest.NewPipe(t, f.handle).Dial
	}
	c.cfg.Endpoint.CA = ca
	for name, other := range c.cfg.Others {
		other.CA = ca
		c.cfg.Others[name] = other
	}
	a := newAttack(t, c.cfg)
	a.SetDial(f.dial(dial))
	f.other = a.Nonce(0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	time.Sleep(time.Millisecond) // a stamp of 0 is one that was not taken
	a.BeginFor(c.phase, combinationLength)
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() { failed = a.Run(ctx) })
	if c.cut || c.stopped {
		time.Sleep(combinationLength - time.Second/3)
	} else {
		time.Sleep(10 * time.Minute)
	}
	if c.cut {
		cancel()
	}
	a.Stop()
	wg.Wait()
	if failed != nil && (!c.cut || !errors.Is(failed, context.Canceled)) {
		t.Errorf("Run() = %v", failed)
	}
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open != 0 {
		t.Errorf("%d connections of the client are open", f.open)
	}
	if left := ours(); left != "" {
		t.Errorf("a goroutine is left:\n%s", left)
	}
	all := sink.sorted()
	c.checkCounts(t, a, all)
	c.checkUsers(t, all)
	byNonce := map[string][]*results.Sample{}
	for _, s := range all {
		first := s.Index
		if s.Turn > 0 {
			first = s.Conversation
		}
		byNonce[a.Nonce(first)] = append(byNonce[a.Nonce(first)], s)
		c.checkSample(t, s)
	}
	for nonce := range f.of {
		if byNonce[nonce] == nil {
			t.Errorf("the servers saw %s, of which there is no sample", nonce)
		}
	}
	for nonce, mine := range byNonce {
		c.checkSeen(t, nonce, mine, f.of[nonce])
	}
}

// ours is a goroutine of the package's, or "".
func ours() string {
	text := make([]byte, 1<<20)
	for one := range strings.SplitSeq(string(text[:runtime.Stack(text, true)]), "\n\n") {
		if strings.Contains(one, "failwhale/attacks.") && strings.Contains(one, "synctest bubble") && !strings.Contains(one, "ours()") {
			return one
		}
	}
	return ""
}

// checkCounts holds what the attack says of itself against its samples.
func (c *combination) checkCounts(t *testing.T, a *attacks.Attack, all []*results.Sample) {
	t.Helper()
	live, complete, attempts := a.Live(), 0, 0
	seen := map[uint64]bool{}
	last := map[uint64]*results.Sample{}
	for _, s := range all {
		if seen[s.Index] {
			t.Errorf("two samples of request %d", s.Index)
		}
		seen[s.Index] = true
		attempts += len(s.Attempts) + 1
		if s.Outcome == results.Complete {
			complete++
		}
		if s.Turn > 0 && (last[s.Conversation] == nil || last[s.Conversation].Turn < s.Turn) {
			last[s.Conversation] = s
		}
	}
	if live.InFlight != 0 || live.Oldest != 0 || int(live.Sent) != len(all) || int(live.Complete) != complete {
		t.Errorf("%+v after %d samples, %d complete", live, len(all), complete)
	}
	bounded := c.cfg.Budget != (attacks.Budget{})
	if spent := a.Spent(); bounded && int(spent.Requests) != attempts {
		t.Errorf("%d requests were spent (%+v), of samples with %d attempts", spent.Requests, spent, attempts)
	}
	if most := c.cfg.Budget.Requests; most > 0 && attempts > int(most) {
		t.Errorf("%d attempts with a budget of %d", attempts, most)
	}
	if c.cut || c.stopped || a.Spent().Spent != "" {
		return
	}
	if busy := a.Busy(); busy != 0 {
		t.Errorf("%d users are busy", busy)
	}
	if turns := c.cfg.Workload[0].Turns; turns != nil {
		for _, s := range last {
			if s.Turn != turns.Count.Fixed {
				t.Errorf("conversation %d ended with turn %d of %d", s.Conversation, s.Turn, turns.Count.Fixed)
			}
		}
	} else if c.requests > 0 && len(all) != c.requests {
		t.Errorf("%d samples of %d requests", len(all), c.requests)
	}
}

// checkUsers sees that no more requests of a closed loop are under way than it has users.
func (c *combination) checkUsers(t *testing.T, all []*results.Sample) {
	t.Helper()
	loop := c.cfg.Profile.Concurrency
	if loop == nil {
		return
	}
	for _, s := range all {
		if n := underWay(all, s.Sent); n > loop.Users {
			t.Errorf("%d requests of %d users are under way at %s", n, loop.Users, s.Sent)
		}
	}
}

// final reports whether nobody asks again after such an answer.
func final(o results.Outcome, status int) bool {
	switch o {
	case results.WrongUser, results.WrongAnswer, results.Malformed, results.LengthMismatch:
		return true
	case results.HTTPStatus:
		return status == 400
	default:
		return false
	}
}

// checkSample holds a sample against itself and its client.
func (c *combination) checkSample(t *testing.T, s *results.Sample) {
	t.Helper()
	b := c.client
	bad := func(format string, args ...any) {
		t.Errorf("request %d (%s: %s, sent %s, done %s, chunks %d, left %q, hedged %t, attempts %+v): %s", s.Index, s.Outcome, s.Error, s.Sent, s.Done,
			len(s.Chunks), s.Left, s.Hedged, s.Attempts, fmt.Sprintf(format, args...))
	}
	if s.Outcome == results.Unknown || (s.Outcome == results.Complete) != (s.Error == "") {
		bad("outcome")
	}
	if s.Outcome == results.Cancelled && s.Left == "" && !c.cut || s.Left != "" && (s.Outcome != results.Cancelled || b.Cancel == nil) {
		bad("cancelled without a plan")
	}
	if s.Done-s.Sent > b.Deadline {
		bad("longer than the deadline %s", b.Deadline)
	}
	if strings.Contains(s.Error, "first token did not come") && len(s.Chunks) > 0 {
		bad("given up for its first token, which had come")
	}
	if p := b.Cancel; p != nil && p.After > 0 && s.Done-s.Sent > p.After {
		bad("stayed longer than %s", p.After)
	}
	if p := b.Cancel; p != nil && p.AfterTokens > 0 && (s.Tokens() > p.AfterTokens || s.Outcome == results.Complete && s.Tokens() >= p.AfterTokens) {
		bad("stayed for %d tokens, not %d", s.Tokens(), p.AfterTokens)
	}
	for i := 1; b.Idle > 0 && b.Read == 0 && i < len(s.Chunks); i++ {
		if s.Chunks[i].At-s.Chunks[i-1].At > b.Idle {
			bad("waited longer than %s for chunk %d", b.Idle, i)
		}
	}
	retries, doors := b.Retries, 1
	if b.Storm != nil && c.phase == results.Fault {
		retries = b.Storm.Retries
	}
	if b.Failover != nil {
		doors += len(b.Failover.To)
	}
	hedges := 0
	for i, at := range s.Attempts {
		if at.Outcome == results.Unknown || at.Outcome == results.Complete || at.Error == "" || at.Sent < s.Sent || at.Done < at.Sent || at.Done > s.Done {
			bad("attempt %d", i)
		}
		if i > 0 && at.Sent < s.Attempts[i-1].Sent {
			bad("attempts out of order")
		}
		if at.Outcome == results.Cancelled && !at.Hedge && b.Cancel == nil && !c.cut {
			bad("attempt %d was cancelled by nobody", i)
		}
		if at.Hedge {
			hedges++
		}
		decided := s.Done // when there was an answer that the client kept
		if len(s.Chunks) > 0 {
			decided = s.Chunks[0].At
		}
		if final(at.Outcome, at.Status) && at.Done < decided {
			bad("attempt %d is hidden by a later answer", i)
		}
	}
	if s.Hedged {
		hedges++
	}
	if tries := len(s.Attempts) + 1 - min(1, hedges); tries > (retries+1)*doors || b.Hedge == 0 && hedges > 0 {
		bad("more tries than %d", (retries+1)*doors)
	}
}

// checkSeen holds the samples of one conversation against what the servers saw of it.
func (c *combination) checkSeen(t *testing.T, nonce string, mine []*results.Sample, seen []*favour) {
	t.Helper()
	least, most, kept, thrown, left, attempts, reconnects, complete := 0, 0, 0, 0, 0, 0, 0, 0
	note := func(o results.Outcome, status int) {
		switch o {
		case results.Connect:
			return
		case results.Cancelled, results.Deadline, results.IdleTimeout:
			left++
			most++
			if status != 0 {
				least++
			}
			return
		case results.Complete:
			complete++
		default:
		}
		least++
		most++
	}
	for _, s := range mine {
		note(s.Outcome, s.Status)
		kept += s.Tokens()
		attempts += 1 + len(s.Attempts)
		reconnects += s.Reconnects
		for _, at := range s.Attempts {
			note(at.Outcome, at.Status)
			thrown += at.Output
		}
	}
	begun, sent, good, refused := 0, 0, 0, 0
	for _, one := range seen {
		begun += one.begun
		sent += one.tokens
		switch {
		case one.mood.kind == "refused" && c.client.HTTP2:
			refused++
		case one.whole && (one.mood.kind == "golden" || one.mood.kind == "good" && (one.begun == 0 || len(c.cfg.Workload[0].Golden) == 0)):
			good++
		}
	}
	bad := func(format string, args ...any) {
		var b strings.Builder
		for _, s := range mine {
			fmt.Fprintf(&b, "\n  %d.%d: %s: %s, %d tokens, status %d, reconnects %d, after %+v", s.Index, s.Turn, s.Outcome, s.Error, s.Tokens(), s.Status, s.Reconnects, s.Attempts)
		}
		for _, one := range seen {
			fmt.Fprintf(&b, "\n  seen: %+v", *one)
		}
		t.Errorf("%s: %s%s", nonce, fmt.Sprintf(format, args...), b.String())
	}
	if c.client.HTTP2 {
		most += refused
	}
	if n := len(seen); n < least || n > most {
		bad("the servers saw %d requests, of %d to %d attempts", n, least, most)
	}
	if c.client.HTTP2 && reconnects > refused || !c.client.HTTP2 && reconnects > attempts {
		bad("%d reconnects, %d refused", reconnects, refused)
	}
	if kept+thrown > begun || left == 0 && kept+thrown != sent {
		bad("%d tokens kept and %d thrown away of %d that were sent", kept, thrown, sent)
	}
	if complete > good {
		bad("%d complete of %d good answers", complete, good)
	}
}
