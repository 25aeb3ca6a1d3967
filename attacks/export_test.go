package attacks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/failwhale/failwhale/results"
)

// SetDial makes a connect by dial, so that a test can run an attack without a network and under fake time.
func (a *Attack) SetDial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) {
	for _, d := range a.doors {
		for _, p := range d.pools {
			p.dial = dial
		}
	}
}

// Nonce is the nonce of a request.
func (a *Attack) Nonce(index uint64) string { return a.nonces.of(index) }

// NonceIndex inverts Nonce.
func (a *Attack) NonceIndex(nonce string) uint64 {
	return a.nonces.index([]byte(nonce[len(a.nonces.prefix):]))
}

// FindNonces returns the nonces of run that a text has which comes in pieces.
func FindNonces(run string, pieces ...string) (found []string) {
	n := newNonces(run)
	var w watcher
	for _, piece := range pieces {
		w.find([]byte(piece), n.prefix, func(digits []byte) { found = append(found, n.prefix+string(digits)) })
	}
	return found
}

// FindEscaped is FindNonces in a text in which JSON has escaped characters.
func FindEscaped(run string, pieces ...string) (found []string) {
	n := newNonces(run)
	var u unescaper
	for _, piece := range pieces {
		u.find([]byte(piece), n.prefix, func(digits []byte) { found = append(found, n.prefix+string(digits)) })
	}
	return found
}

// Judged runs streams requests at a time, each once, as attempts like any other, and returns how many chunks came.
func (a *Attack) Judged(ctx context.Context, streams int) (chunks int64, err error) {
	return a.intake(ctx, streams, (*runner).judged)
}

// Unparsed has the same transport read the same bytes, and looks at none of them.
func (a *Attack) Unparsed(ctx context.Context, streams int) (pieces int64, err error) {
	return a.intake(ctx, streams, (*runner).unparsed)
}

func (a *Attack) intake(ctx context.Context, streams int, read func(*runner, context.Context, *turn) (int, error)) (int64, error) {
	r := &runner{Attack: a, ctx: ctx}
	var wg sync.WaitGroup
	errs := make([]error, streams)
	var total atomic.Int64
	for i := range streams {
		turn, err := a.write("", Arrival{}, uint64(i), uint64(i))
		if err != nil {
			return 0, err
		}
		wg.Go(func() {
			n, err := read(r, ctx, turn)
			total.Add(int64(n))
			errs[i] = err
		})
	}
	wg.Wait()
	return total.Load(), errors.Join(errs...)
}

func (r *runner) judged(ctx context.Context, turn *turn) (int, error) {
	t := r.attempt(ctx, turn, r.doors[0], nil)
	if t.outcome != results.Complete {
		return 0, fmt.Errorf("%s: %s", t.outcome, t.err)
	}
	return len(t.in.chunks), nil
}

func (r *runner) unparsed(ctx context.Context, turn *turn) (pieces int, err error) {
	l, err := r.doors[0].pools[0].get(ctx, false)
	if err != nil {
		return 0, err
	}
	l.tap.send(turn.request)
	resp, err := l.response() //nolint:bodyclose // response leaves the body to newBody
	if err != nil {
		return 0, err
	}
	for b := newBody(resp, l.in); ; pieces++ {
		if _, err := b.next(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
				r.doors[0].pools[0].put(l)
			}
			return pieces, err
		}
	}
}

// CountTokens counts by the tokenizer of a model; 0: it is not known.
func CountTokens(model, text string) int {
	c := newCounter(model)
	if c == nil {
		return 0
	}
	return c.count([]byte(text))
}

// One runs a single request, without a schedule, on a connection of its own.
func (a *Attack) One(ctx context.Context) (*results.Sample, error) {
	a.doors[0].close()
	turn, err := a.write("", Arrival{}, 0, 0)
	if err != nil {
		return nil, err
	}
	return (&runner{Attack: a, ctx: ctx}).serve(turn), nil
}

// Right is right.
func (g *Golden) Right(answer string) bool { return g.right(answer) }

// A Release is a turn that the agenda released, to a test in the place of vegeta and of the runner.
type Release struct {
	Due          time.Duration
	Phase        results.Phase
	Conversation uint64
	Turn         int

	r *runner
	t *turn
}

// Release waits for the next turn; false: nothing further is due.
func (a *Attack) Release() (r Release, ok bool) {
	if _, stop := a.agenda.Pace(0, 0); stop {
		return Release{}, false
	}
	var into vegeta.Target
	if err := a.agenda.target(&into); err != nil {
		panic(err)
	}
	index, err := strconv.ParseUint(into.Header.Get(turnHeader), 10, 64)
	if err != nil {
		panic(err)
	}
	t, _ := a.agenda.take(index)
	r = Release{Due: t.due, Phase: t.phase, r: &runner{Attack: a}, t: t}
	if t.conv != nil {
		r.Conversation, r.Turn = t.conv.first, t.conv.turn
	}
	return r, true
}

// End ends the turn.
func (r Release) End(o results.Outcome) {
	now := r.r.clock.Now()
	if !r.r.goOn(r.t, &results.Sample{Sent: now, Done: now, Outcome: o}) {
		r.r.agenda.done()
	}
}

// DrawThink draws one time.
func DrawThink(t Think, rng *rand.Rand) time.Duration { return t.draw(rng) }

// Busy is how many turns are due or under way, with the conversations between two.
func (a *Attack) Busy() int {
	a.agenda.mu.Lock()
	defer a.agenda.mu.Unlock()
	return a.agenda.busy
}
