package refstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// The arithmetic of the session store, at about 100 chats a second over three
// regions, each of them four round trips (GET, GET; SET, INCR) of 5 ms, and
// 2 ms to accept a connection.
//
// Baseline: 100/s · 4 · 5 ms keeps 2 connections busy on average, and 8 or more
// for a thousandth of the time. The cap of 16 is double that, and has room for
// the 4 fixed connections of each hardened region (12).
//
// The link to two of the regions 100 ms slower: 67/s · 4 · 105 ms keeps 28
// connections busy. A flawed pool keeps two idle (the default of Go's
// database/sql, where the number that may be open has no limit at all), so
// nearly every command first opens a connection: 105 ms more of occupancy, 56
// connections wanted where 16 are allowed, and 270 new connections a second,
// plus every retry, for an accept loop that does 500. Most attempts are
// refused, each refused one is repeated, and after five a chat fails; those
// that get through have waited. That is the published mechanism of 2024-06-04: a surge
// initiated by the pooler and by how it was configured, and the cure was a
// tuned pool, back-off on connecting, and shedding.
//
// A hardened region has its four connections already, gives the store 100 ms
// for a load and 100 ms for a save, and stops asking after five failures in a
// row: at 33/s that costs each region about eight chats 100 ms each.
const (
	storeConnections = 16
	storeService     = 5 * time.Millisecond
	storeConnect     = 2 * time.Millisecond

	hardenedPool   = 4
	hardenedBudget = 100 * time.Millisecond

	flawedIdle  = 2
	flawedTries = 5
	flawedPause = 10 * time.Millisecond // the same each time: no back-off
)

// sessionSlots bounds what the store holds: users share slots by hash, and each
// value names its owner, so that nobody is shown another's conversation.
const sessionSlots = 4096

// A session is what the store keeps of a user's conversation.
type session struct {
	Owner string `json:"owner"`
	Turns int    `json:"turns"`
	Used  int    `json:"-"` // requests of the slot: counted apart
}

// errStateless says that there is no session, and that the chat goes on without one.
var errStateless = errors.New("the session store is not asked")

// sessions is a region's way to the store. A chat without a session fails if
// required, and otherwise goes on.
type sessions struct {
	client   *redis.Client
	required bool
	try      func(ctx context.Context, ask func(context.Context) error) error
	run      func(ctx context.Context)
}

// quiet keeps go-redis's log off the process's standard error: what matters of it is in errors.
type quiet struct{}

// Printf writes nothing.
func (quiet) Printf(context.Context, string, ...any) {}

func redisOptions(addr string) *redis.Options {
	return &redis.Options{
		Addr: addr, Protocol: 2, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true, PipelinePoolSize: -1,
		ConnMaxIdleTime: -1, ContextTimeoutEnabled: true, ReadBufferSize: 4096, WriteBufferSize: 4096,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// flawedSessions opens as many connections as it is asked for, keeps hardly any, waits without a
// limit, and tries again without back-off.
func flawedSessions(addr string) *sessions {
	o := redisOptions(addr)
	o.PoolSize, o.MaxIdleConns = 1<<14, flawedIdle
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = -1, -1, time.Hour
	return &sessions{client: redis.NewClient(o), required: true, run: func(context.Context) {}, try: retryWithoutBackoff}
}

func retryWithoutBackoff(ctx context.Context, ask func(context.Context) error) error {
	for n := 1; ; n++ {
		err := ask(ctx)
		if err == nil || n == flawedTries {
			return err
		}
		if !wait(ctx, flawedPause) {
			return context.Cause(ctx)
		}
	}
}

// hardenedSessions has a fixed pool, a bounded wait, and a breaker that only
// probes close: a store that is slow or gone costs next to nothing.
func hardenedSessions(addr string) *sessions {
	o := redisOptions(addr)
	o.PoolSize, o.MaxActiveConns = hardenedPool, hardenedPool // opened on demand, and kept
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = hardenedBudget, hardenedBudget, hardenedBudget
	o.PoolTimeout = hardenedBudget
	s := &sessions{client: redis.NewClient(o)}
	g := &guard{breaker: NewBreaker(BreakerRules{
		Failures: 5, Hold: time.Second, MaxHold: 4 * time.Second, Probes: 2, Forget: 10 * time.Second,
	})}
	s.try = func(ctx context.Context, ask func(context.Context) error) error {
		if g.open() {
			return errStateless
		}
		err := within(ctx, hardenedBudget, ask)
		if ctx.Err() == nil { // a client that has left says nothing about the store
			g.record(err == nil)
		}
		return err
	}
	s.run = func(ctx context.Context) {
		for wait(ctx, 250*time.Millisecond) {
			if g.open() {
				g.probe(within(ctx, hardenedBudget, func(ctx context.Context) error {
					_, err := s.get(ctx, "probe")
					return err
				}) == nil)
			}
		}
	}
	return s
}

func within(ctx context.Context, d time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return ask(ctx)
}

// load fetches the session of user; one that is not there yet is new.
func (s *sessions) load(ctx context.Context, user string) (session, error) {
	var found session
	err := s.try(ctx, func(ctx context.Context) (err error) {
		found, err = s.get(ctx, user)
		return err
	})
	if err != nil {
		return session{Owner: user}, fmt.Errorf("load session: %w", err)
	}
	return found, nil
}

// save stores the session after one more turn.
func (s *sessions) save(ctx context.Context, v session) error {
	err := s.try(ctx, func(ctx context.Context) error { return s.set(ctx, v) })
	if err != nil {
		return fmt.Errorf("save session: %w", err)
	}
	return nil
}

func (s *sessions) get(ctx context.Context, user string) (session, error) {
	fresh := session{Owner: user}
	used, err := s.client.Get(ctx, "usage:"+slot(user)).Int()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fresh, err
	}
	fresh.Used = used
	text, err := s.client.Get(ctx, "session:"+slot(user)).Bytes()
	if errors.Is(err, redis.Nil) {
		return fresh, nil
	}
	if err != nil {
		return fresh, err
	}
	found := session{Used: used}
	// The slot's last user may be another one: then this is a new conversation.
	if broken := json.Unmarshal(text, &found); broken == nil && found.Owner == user {
		return found, nil
	}
	return fresh, nil
}

func (s *sessions) set(ctx context.Context, v session) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := s.client.Set(ctx, "session:"+slot(v.Owner), text, 0).Err(); err != nil {
		return err
	}
	return s.client.Incr(ctx, "usage:"+slot(v.Owner)).Err()
}

func slot(user string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user)) // never fails
	return strconv.Itoa(int(h.Sum32() % sessionSlots))
}
