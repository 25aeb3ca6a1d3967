package refstack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// errNoModel says that no pool serves the model.
var errNoModel = errors.New("the model does not exist")

// A busyError is a refusal by a full queue.
type busyError struct{ after time.Duration }

func (e *busyError) Error() string {
	return fmt.Sprintf("the queue is full: try again in %s", e.after)
}

// A stream is one request on its way through queue, router and engine. The
// engine counts its tokens up; the handler that owns it follows.
type stream struct {
	ticket  Ticket
	seq     Sequence
	pool    []*replica
	model   string
	tokens  atomic.Int32
	wake    chan struct{} // one slot: tokens has changed
	replica *replica      // set under gateway.mu before the first token
	err     error         // likewise: the engine refused it
}

// next waits for tokens beyond seen and returns how many there are.
func (s *stream) next(ctx context.Context, seen int) (int, error) {
	for {
		if n := int(s.tokens.Load()); n > seen {
			return n, s.err
		}
		select {
		case <-ctx.Done():
			return seen, context.Cause(ctx)
		case <-s.wake:
		}
	}
}

func (s *stream) onToken(q *Sequence) { s.publish(q.Emitted()) }

func (s *stream) publish(n int) {
	s.tokens.Store(int32(n)) // at most Limits.OutputTokens
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// A gateway joins a region's queue, router and replicas. Locks are taken in the
// order gateway, replica.
type gateway struct {
	replicas []*replica
	bounded  bool // knob queue: hardened

	queued atomic.Int64 // queue.Len, to be read without the lock

	mu     sync.Mutex
	queue  *Queue
	router Router
	routes routes
	lines  map[*Ticket]*stream // what waits in queue
	turn   uint64
}

// tiers in the order in which they are served.
func tiers() []string { return []string{"paid", "free"} }

func newGateway(replicas []*replica, bounded bool) *gateway {
	g := &gateway{replicas: replicas, bounded: bounded, lines: map[*Ticket]*stream{}}
	rules := QueueRules{}
	if bounded {
		rules = QueueRules{Tiers: tiers(), Rate: float64(len(replicas) * prefillRate)}
	}
	g.queue = NewQueue(rules)
	for _, r := range replicas {
		r.stepped = g.afterStep
	}
	return g
}

// apply puts routes in force for everything that enters from now on.
func (g *gateway) apply(r routes) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.routes = r
	if g.bounded {
		g.queue.SetLimit(r.limits.QueueTokens)
	}
	g.dispatch()
}

// limits are those in force.
func (g *gateway) limits() Limits {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.routes.limits
}

// enter queues a request. The caller must leave, whatever comes.
func (g *gateway) enter(model, tier string, prompt, output int) (*stream, error) {
	s := &stream{
		ticket: Ticket{Tokens: prompt, Tier: tier}, seq: Sequence{Prompt: prompt, Output: output},
		wake: make(chan struct{}, 1),
	}
	s.seq.OnToken = s.onToken
	g.mu.Lock()
	defer g.mu.Unlock()
	var ok bool
	g.turn++
	if s.model, s.pool, ok = g.routes.pool(model, g.turn); !ok {
		return nil, fmt.Errorf("%w: %q", errNoModel, model)
	}
	after, ok := g.queue.Offer(&s.ticket)
	if !ok {
		return nil, &busyError{after}
	}
	g.lines[&s.ticket] = s
	g.dispatch()
	return s, nil
}

// leave takes s out, at whatever stage it is: a client that has gone costs nothing further.
func (g *gateway) leave(s *stream) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue.Cancel(&s.ticket)
	delete(g.lines, &s.ticket)
	g.queued.Store(int64(g.queue.Len()))
	if s.replica != nil {
		s.replica.cancel(&s.seq)
	}
}

// afterStep serves what waits, if a step has made room.
func (g *gateway) afterStep() {
	if g.queued.Load() == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dispatch()
}

// dispatch hands requests to replicas while there is room. g.mu is held.
func (g *gateway) dispatch() {
	for t := g.queue.Next(); t != nil; t = g.queue.Next() {
		s := g.lines[t]
		i := g.router.Pick(g.routes.policy, g.loads(s))
		if i < 0 {
			break
		}
		g.queue.Take(t)
		delete(g.lines, t)
		s.replica = s.pool[i]
		if err := s.replica.add(&s.seq); err != nil {
			s.err = err
			s.publish(1)
		}
	}
	g.queued.Store(int64(g.queue.Len()))
}

// loads are what the router knows of s's pool. A bounded queue binds late: a replica that has a
// step's worth of prompts before it is full, so what waits can still go to another, in the order
// of tiers. An unbounded one hands everything on at once, to wait in the engines.
func (g *gateway) loads(s *stream) []ReplicaLoad {
	loads := make([]ReplicaLoad, len(s.pool))
	for i, r := range s.pool {
		st := r.stats()
		loads[i] = ReplicaLoad{
			Outstanding: Outstanding(st),
			Full:        g.bounded && st.Backlog > 0 && st.Backlog+s.seq.Prompt > r.engine.limits.StepTokens,
		}
	}
	return loads
}

// waitingTokens is how many prompt tokens wait before the router.
func (g *gateway) waitingTokens() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return float64(g.queue.Tokens())
}

// models are those that the config in force has pools for.
func (g *gateway) models() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.routes.pools))
}
