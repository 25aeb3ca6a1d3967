package attacks_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// A combination is an attack whose client does several things at a time.
type combination struct {
	cfg      attacks.Config
	client   *attacks.Client
	cut      bool          // the run is cancelled while requests are under way
	stopped  bool          // the load is stopped then
	at       time.Duration // then
	secure   bool          // over TLS
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
			b.Backoff = &attacks.Backoff{First: 100 * time.Millisecond, Factor: 3, IgnoreRetryAfter: in(3)}
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
	case 2:
		talk.Canary = true
	}
	cfg.Workload = attacks.Workload{talk}
	if in(3) {
		cfg.Workload = append(cfg.Workload, attacks.Class{
			Feature: "embeddings", PromptTokens: long, OutputTokens: attacks.Length{Fixed: 1}, Dialect: "openai-embeddings",
		})
	}
	c = combination{client: &cfg.Clients[0], cut: in(8), stopped: in(8), secure: in(6), phase: []results.Phase{results.Baseline, results.Fault}[rng.IntN(2)]}
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
	c.at = time.Duration(rng.Int64N(int64(combinationLength)))
	c.cfg = cfg
	return c, sink
}

const (
	combinationLength = 4 * time.Second
	combinations      = 200
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
	f := &fickle{seed: seed, of: map[string][]*favour{}, fins: map[int]time.Time{}, lasts: map[int]uint32{}}
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
		time.Sleep(c.at)
	} else {
		time.Sleep(10 * time.Minute)
	}
	if c.cut {
		cancel()
	}
	a.Stop()
	stopped, end := time.Now(), c.cfg.Clock.Now()
	wg.Wait()
	if took := time.Since(stopped); c.cut && took > 0 || took > c.client.Deadline+time.Second {
		t.Errorf("Run() ended %s after it was to", took)
	}
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
		if s.Sent > end {
			t.Errorf("request %d, turn %d of %d, was sent at %s, after the end at %s", s.Index, s.Turn, s.Conversation, s.Sent, end)
		}
	}
	for nonce := range f.of {
		if byNonce[nonce] == nil {
			t.Errorf("the servers saw %s, of which there is no sample", nonce)
		}
	}
	for nonce, mine := range byNonce {
		c.checkSeen(t, nonce, mine, f)
		c.checkHistory(t, mine, f.of[nonce])
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
	if c.cfg.Workload[0].Turns == nil || len(c.cfg.Workload) > 1 {
		return
	}
	var whole []*results.Sample // of each conversation one, from its first turn to its last
	for _, s := range all {
		if s.Turn == 1 {
			whole = append(whole, &results.Sample{Index: s.Index, Sent: s.Sent})
		}
	}
	for _, one := range whole {
		for _, s := range all {
			if s.Conversation == one.Index {
				one.Done = max(one.Done, s.Done)
			}
		}
	}
	for _, s := range whole {
		if n := underWay(whole, s.Sent); n > loop.Users {
			t.Errorf("%d conversations of %d users go on at %s", n, loop.Users, s.Sent)
		}
	}
}

// checkHistory sees that each turn of a conversation told of those before it that had an answer, and of no others.
func (c *combination) checkHistory(t *testing.T, mine []*results.Sample, seen []*favour) {
	t.Helper()
	if mine[0].Turn == 0 {
		return
	}
	for _, one := range seen {
		at := one.at.Sub(c.cfg.Clock.Started())
		answered, right := 0, false
		for _, s := range mine { // in the order of their turns
			right = right || one.turns == answered && at >= s.Sent && at <= s.Done
			if (s.Outcome == results.Complete || s.Left != "") && len(s.Chunks) > 0 {
				answered++
			}
		}
		if !right {
			t.Errorf("conversation %d: a request at %s tells of %d answers: %+v", mine[0].Conversation, at, one.turns, mine)
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
	c.checkWaits(t, s)
	if tries := len(s.Attempts) + 1 - min(1, hedges); tries > (retries+1)*doors || b.Hedge == 0 && hedges > 0 {
		bad("more tries than %d", (retries+1)*doors)
	}
}

// checkWaits sees that a client comes back when it was told to.
func (c *combination) checkWaits(t *testing.T, s *results.Sample) {
	t.Helper()
	b := c.client
	if b.Failover != nil || b.Hedge > 0 || b.Storm != nil && c.phase == results.Fault || b.Backoff != nil && b.Backoff.IgnoreRetryAfter {
		return
	}
	for i, at := range s.Attempts {
		_, text, told := strings.Cut(at.Error, "slow down for ")
		seconds, err := strconv.Atoi(text)
		if wait := time.Duration(seconds) * time.Second; told && (err != nil || wait <= time.Minute && at.Done+wait > s.Done) {
			t.Errorf("request %d: attempt %d was told %q (%v), and the request ended at %s: %+v", s.Index, i, text, err, s.Done, s.Attempts)
		}
	}
}

// checkSeen holds the samples of one conversation against what the servers saw of it.
func (c *combination) checkSeen(t *testing.T, nonce string, mine []*results.Sample, f *fickle) {
	t.Helper()
	seen := f.of[nonce]
	least, most, kept, thrown, left, attempts, reconnects, complete := 0, 0, 0, 0, 0, 0, 0, 0
	note := func(o results.Outcome, status int, text string) {
		if o != results.WrongUser && nonce != f.other && strings.Contains(text, f.other) {
			t.Errorf("%s: %s: %s; want wrong_user", nonce, o, text)
		}
		switch o {
		case results.Connect:
			return
		case results.Reset:
			if c.client.HTTP2 && status == 0 && strings.HasPrefix(text, "connection was ") { // it may have been on its way
				most++
				return
			}
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
		note(s.Outcome, s.Status, s.Error)
		kept += s.Tokens()
		attempts += 1 + len(s.Attempts)
		reconnects += s.Reconnects
		for _, at := range s.Attempts {
			note(at.Outcome, at.Status, at.Error)
			thrown += at.Output
		}
	}
	begun, sent, good, refused := 0, 0, 0, 0
	for _, one := range seen {
		begun += one.begun
		sent += one.tokens
		if c.client.HTTP2 && f.resent(one) {
			refused++
			left++ // of what it was told nothing is known
		}
		switch {
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
	again := attempts // how often requests may have gone to another connection, heard of or not
	switch {
	case c.client.HTTP2 && len(f.fins)+len(f.lasts) == 0:
		again = refused
	case c.client.HTTP2:
		again = 2 * attempts
	}
	if reconnects > again {
		bad("%d reconnects, %d refused", reconnects, refused)
	}
	if kept+thrown > begun || left == 0 && kept+thrown != sent {
		bad("%d tokens kept and %d thrown away of %d that were sent", kept, thrown, sent)
	}
	if complete > good {
		bad("%d complete of %d good answers", complete, good)
	}
}
