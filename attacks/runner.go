package attacks

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// turnHeader carries a turn's index through vegeta, whose own sequence number and
// targets may be in different orders. Like all that vegeta makes, it never reaches the wire.
const turnHeader = "X-Failwhale-Turn"

// A runner is the http.RoundTripper that vegeta's workers call. It makes no use of
// their request but to learn which turn it is, starts that turn, and hands vegeta an empty answer.
//
// A turn has a goroutine of its own: the frames of vegeta and of http.Client below it would take the
// stack of every stream from 8 to 16 KiB, and their request another 2.
type runner struct {
	*Attack
	ctx   context.Context // the run's: vegeta's requests have none
	turns sync.WaitGroup  // those under way
}

// RoundTrip starts one turn. It returns an error only where it was given no turn of ours.
func (r *runner) RoundTrip(req *http.Request) (*http.Response, error) {
	index, err := strconv.ParseUint(req.Header.Get(turnHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read the turn's index: %w", err)
	}
	turn, ok := r.agenda.take(index)
	if !ok {
		return nil, fmt.Errorf("turn %d is not on the agenda", index)
	}
	r.turns.Go(func() { r.run(turn) })
	// What vegeta is told does not matter: its figures are never reported.
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: req}, nil
}

// run runs a turn with all its attempts and hands its sample to the sink. A panic, in a decoder over
// bytes that nobody foresaw or in the sink, ends the attack and not the process: faults may be in place
// that somebody has to revert.
func (r *runner) run(turn *turn) {
	more := false
	defer func() {
		if !more {
			r.agenda.done()
		}
	}()
	defer func() {
		if said := recover(); said != nil {
			r.fail(panicked(fmt.Sprintf("turn %d", turn.index), said))
		}
	}()
	s := r.serve(turn)
	if s == nil {
		return
	}
	more = r.goOn(turn, s)
	if err := r.sink.Add(results.Record{Sample: s}); err != nil {
		r.fail(fmt.Errorf("hand on sample %d: %w", turn.index, err))
	}
	if !more && turn.closed && s.Outcome != results.Complete {
		pause(r.ctx, s.Sent+failedPause-r.clock.Now())
	}
}

// panicked makes an error of what was recovered.
func panicked(where string, said any) error {
	return fmt.Errorf("panic in %s: %v\n%s", where, said, debug.Stack())
}

// serve runs a turn to its end: the first try, and as many more as the client makes. Nil: the budget has no room for
// the first, so that there is no request to speak of.
func (r *runner) serve(turn *turn) *results.Sample {
	client := &r.clients[turn.client]
	e := errand{runner: r, turn: turn, client: client, doors: r.ways[turn.client]}
	if r.purse != nil {
		if e.asks = turn.asks(); !e.affords() {
			return nil
		}
	}
	s := &results.Sample{Index: turn.index, Due: turn.due, Sent: r.clock.Now(), Labels: results.Labels{}}
	if turn.closed {
		s.Due = s.Sent
	}
	if c := turn.conv; c != nil {
		s.Conversation, s.Turn = c.first, c.turn
	}
	turn.place = r.live.begin(s)
	defer r.live.end(s, turn.place)
	ctx, cancel := r.patience(turn, client)
	defer cancel()
	r.budgets[turn.client].pay(s.Sent)
	e.sample = s
	served := e.run(ctx)
	r.describe(s, served, turn, client)
	turn.conv.hear(served)
	return s
}

// describe makes the sample that of the try which served, or was the last.
func (r *runner) describe(s *results.Sample, t *try, turn *turn, client *Client) {
	s.Reconnects += t.reconnects
	s.Hedged = t.hedge
	s.Done, s.FirstByte, s.Status, s.Outcome, s.Error = t.done, t.firstByte, t.status, t.outcome, t.err
	if in := t.in; in != nil {
		s.Usage = in.settle()
		s.Role, s.Chunks, s.Finish = in.role, in.chunks, in.finish
	}
	s.Bytes, s.Left, s.Echoed = t.bytes, t.left, t.echoed
	s.Unstreamed = t.door.routes[turn.class].dialect.Framing() == targets.Whole
	client.label(s.Labels)
	r.labelClass(s, turn, t.door)
	for name, label := range t.door.labels {
		value := label.Value
		if label.Header != "" {
			value = t.header.Get(label.Header)
		}
		if value != "" {
			s.Labels[name] = brief(value)
		}
	}
	if r.telling.endpoint {
		s.Labels["endpoint"] = t.door.name
	}
}

// maxExpected bounds what is set aside for an answer's chunks on the word of its request.
const maxExpected = 4096

func (r *runner) newIntake(turn *turn, d *door, st *stamps) *intake {
	dialect := d.routes[turn.class].dialect
	in := &intake{
		stamps: st, split: targets.Splitter{Framing: dialect.Framing()}, dec: dialect.Decoder(), guard: r.newGuard(turn),
		received: r.live.received, counter: r.counters[r.modelAt(turn, d)], expect: min(turn.ask.MaxTokens, maxExpected),
	}
	if turn.golden != nil || turn.conv.goesOn() {
		in.said = &strings.Builder{}
	}
	_, in.summarizes = dialect.(targets.Summarizer)
	return in
}

func (r *runner) newGuard(turn *turn) *guard {
	return &guard{nonces: r.nonces, users: r.users, issued: r.agenda.issued, turn: turn}
}
