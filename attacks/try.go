package attacks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// Causes for which we end a request ourselves.
var (
	errDeadline   = errors.New("the client's deadline passed")
	errFirstToken = errors.New("the first token did not come for as long as the client waits")
	errIdle       = errors.New("nothing arrived for as long as the client waits")
	errOvertaken  = errors.New("the first token of the other one came first")
	errCancelled  = errors.New("the run was cancelled")
)

// maxErrorBody is how much of a refusal is read. It covers any JSON error; of an HTML page it is enough.
const maxErrorBody = 64 << 10

// A try is one attempt at a turn: one HTTP exchange, or none where no connection was to be had.
type try struct {
	door                  *door
	hedge                 bool // as Attempt.Hedge
	sent, done, firstByte time.Duration
	status                int
	header                http.Header
	reconnects            int
	outcome               results.Outcome
	err                   string
	cause                 error             // why we ended it ourselves; nil: we did not
	left                  results.Left      // of a cause that is a departure
	bytes                 int64             // as Sample.Bytes
	echoed                bool              // as Sample.Echoed
	in                    *intake           // nil: no 2xx began
	arrived               func(counted int) // of who waits for its tokens: see intake. Nil: nobody
	// lost classifies a failure of the exchange, ours or the connection's. Whatever carries the exchange sets it.
	lost func(ctx context.Context, err error)
}

// fail sets the outcome.
func (t *try) fail(o results.Outcome, format string, args ...any) {
	t.outcome, t.err = o, brief(fmt.Sprintf(format, args...))
}

// maxSaid bounds each text of a server's that a sample holds: an error, a finish reason, a label. A status line, a
// header or a number may be megabytes long.
const maxSaid = 2 << 10

// brief is a text, or its beginning if it is longer than maxSaid.
func brief(text string) string {
	if len(text) <= maxSaid {
		return text
	}
	return strings.ToValidUTF8(text[:maxSaid], "") + "…"
}

// attempt makes one try at a turn, at a door, and returns it classified. arrived hears of its tokens; nil: nobody does.
func (r *runner) attempt(ctx context.Context, turn *turn, d *door, arrived func(counted int)) *try {
	t := &try{door: d, sent: r.clock.Now()}
	client := &r.clients[turn.client]
	r.users.sent(turn)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := watchIdle(client.Idle, r.clock, cancel)
	defer watch.stop()
	defer t.listen(turn, client, arrived, cancel)()
	if pool := d.pools[turn.client]; pool.mux != nil {
		r.overHTTP2(ctx, t, turn, pool.mux, watch)
	} else {
		r.overHTTP1(ctx, t, turn, pool, watch)
	}
	t.done = r.clock.Now()
	return t
}

// overHTTP1 makes a try by a connection that nobody else uses meanwhile.
func (r *runner) overHTTP1(ctx context.Context, t *try, turn *turn, pool *pool, watch *idleWatch) {
	for fresh := turn.fresh; ; fresh = true {
		l, err := pool.get(ctx, fresh)
		if err != nil {
			r.failConnect(ctx, t, err)
			return
		}
		watch.stamps.Store(&l.sock.stamps)
		if r.exchange(ctx, t, turn, t.door, l) {
			pool.put(l)
			return
		}
		if t.status != 0 || ctx.Err() != nil || fresh || !l.stale() {
			return
		}
		pool.lost(l)
		t.reconnects++
		t.outcome, t.err = results.Unknown, "" // those of the connection, not of the request
	}
}

// exchange runs the turn on a connection. It returns true if the connection can
// serve another; else it has closed it.
func (r *runner) exchange(ctx context.Context, t *try, turn *turn, d *door, l *link) (whole bool) {
	defer func() {
		if !whole { // also where it panics
			l.close()
			_ = l.tap.settle() // its error is in the tap
		}
	}()
	unhook := context.AfterFunc(ctx, l.interrupt)
	t.lost = func(ctx context.Context, err error) { t.failIO(ctx, l.tap, err) }
	request, ok := r.requestFor(t, turn)
	if !ok {
		return false
	}
	l.tap.send(request)
	if l.uses == 0 && !r.clients[turn.client].again(false) {
		turn.request = nil // it will not be sent again, and many may wait long for their answer
	}
	if t.leavesUnanswered(turn, &r.clients[turn.client], func() bool { return l.tap.settle() == nil && l.tap.failure == nil }) {
		unhook()
		return false
	}
	resp, err := l.response() //nolint:bodyclose // response leaves the body to newBody
	if err != nil {
		t.lost(ctx, err)
		unhook()
		return false
	}
	t.firstByte = l.tap.first
	l.pace.begin(ctx.Done())
	defer l.pace.end()
	err = r.receive(ctx, t, turn, d, resp, newBody(resp, l.in), &l.sock.stamps)
	return unhook() && err == nil && !resp.Close && l.tap.settled() && l.tap.failure == nil && l.drained()
}

// requestFor is a turn as it goes over the wire to the door of its try. That it cannot be written ends the attack.
func (r *runner) requestFor(t *try, turn *turn) (request []byte, ok bool) {
	request, err := r.requestAt(turn, t.door)
	if err != nil {
		err = fmt.Errorf("write request %d for %s: %w", turn.index, t.door.name, err)
		t.fail(results.Cancelled, "%v", err)
		r.fail(err)
	}
	return request, err == nil
}

// receive reads a response to its end, by whatever wire it comes, and classifies the try. The error is why reading
// ended, nil at the body's proper end.
func (r *runner) receive(ctx context.Context, t *try, turn *turn, d *door, resp *http.Response, b content, st *stamps) (err error) {
	t.status, t.header = resp.StatusCode, resp.Header
	if r.clients[turn.client].Read > 0 {
		r.live.reads(turn.place)
	}
	dialect := d.routes[turn.class].dialect
	switch {
	case resp.StatusCode/100 != 2:
		err = t.refused(resp, b, r.newGuard(turn))
	case !isStream(resp.Header, dialect.Framing()):
		err = t.noStream(ctx, resp, b, r.newGuard(turn))
	default:
		if turn.request != nil && !r.clients[turn.client].again(true) {
			turn.request = nil
		}
		t.in = r.newIntake(turn, d, st)
		t.in.arrived = t.arrived
		if dialect.Framing() == targets.Whole {
			err = t.readWhole(ctx, b)
		} else {
			err = t.in.read(b)
			t.bytes, t.echoed = t.in.bytes, t.in.guard.echoed
			t.judge(ctx, dialect.Terminal(), err)
		}
		t.grade(turn.golden)
	}
	return err
}

// failConnect classifies what kept us from a connection. A limit of our own ends the attack: what it
// would say of the server is not true.
func (r *runner) failConnect(ctx context.Context, t *try, err error) {
	var dns *net.DNSError
	var insecure tlsError
	switch limit := ownLimit(err); {
	case t.failCause(ctx):
	case limit != "":
		err = fmt.Errorf("%w: %s", err, limit)
		t.fail(results.Cancelled, "%v", err)
		r.fail(err)
	case errors.As(err, &insecure):
		t.fail(results.TLS, "%v", err)
	case errors.As(err, &dns):
		t.fail(results.DNS, "%v", err)
	default:
		t.fail(results.Connect, "%v", err)
	}
}

// failIO classifies a failure of an exchange: ours, the network's, or that what came is no HTTP.
func (t *try) failIO(ctx context.Context, tap *tap, err error) {
	failure := tap.cause()
	switch {
	case t.failCause(ctx):
	case failure == nil:
		t.fail(results.Malformed, "read response: %v", err)
	default:
		t.failNetwork(failure, t.status == 0 && tap.first == 0)
	}
}

// failNetwork classifies by how the connection failed. unanswered: nothing of a response had come.
func (t *try) failNetwork(failure error, unanswered bool) {
	switch {
	case ended(failure) && unanswered:
		t.fail(results.Reset, "connection was closed before a response")
	case ended(failure):
		t.fail(results.Reset, "connection was closed inside the response")
	case brokeTLS(failure):
		t.fail(results.TLS, "%v", failure)
	case errors.Is(failure, syscall.ECONNRESET), errors.Is(failure, syscall.EPIPE):
		t.fail(results.Reset, "connection was reset")
	default:
		t.fail(results.Reset, "%v", failure)
	}
}

// failCause reports whether we ended the request ourselves, and if so classifies it.
func (t *try) failCause(ctx context.Context) bool {
	cause := context.Cause(ctx)
	t.cause = cause
	var left *departure
	switch {
	case cause == nil:
		return false
	case errors.Is(cause, errIdle):
		t.fail(results.IdleTimeout, "%v", cause)
	case errors.Is(cause, errDeadline), errors.Is(cause, errFirstToken):
		t.fail(results.Deadline, "%v", cause)
	case errors.As(cause, &left):
		t.leave(left)
	case errors.Is(cause, errOvertaken):
		t.fail(results.Cancelled, "%v", cause)
	default:
		t.fail(results.Cancelled, "%v", errCancelled)
	}
	return true
}

// refused reads a status that is not 2xx. The error is that of the body.
func (t *try) refused(resp *http.Response, b content, g *guard) error {
	text, err := readSome(b, maxErrorBody)
	t.bytes = int64(len(text))
	said := targets.ErrorText(text)
	g.scan(text, []byte(said))
	if t.echoed = g.echoed; g.leak != "" {
		t.fail(results.WrongUser, "%s: %s", resp.Status, g.leak)
		return err
	}
	t.outcome = results.HTTPStatus
	if resp.StatusCode == http.StatusTooManyRequests {
		t.outcome = results.RateLimited
	}
	t.err = brief(resp.Status)
	if said != "" {
		t.err += ": " + said
	}
	return err
}

// noStream reads a 2xx that is not of the dialect's media type: an error object, or something else altogether.
func (t *try) noStream(ctx context.Context, resp *http.Response, b content, g *guard) error {
	text, err := readSome(b, maxErrorBody)
	t.bytes = int64(len(text))
	said := targets.InBandError(text)
	g.scan(text, []byte(said))
	t.echoed = g.echoed
	switch {
	case g.leak != "":
		t.fail(results.WrongUser, "%s that is no answer of the dialect: %s", resp.Status, g.leak)
	case said != "":
		t.fail(results.StreamError, "%s", said)
	case err != nil && !errors.Is(err, errTooLong):
		t.lost(ctx, err)
	case len(text) == 0:
		t.fail(results.Truncated, "%s without a body", resp.Status)
	default:
		t.fail(results.Malformed, "%s of %s with encoding %q is no answer of the dialect: %s", resp.Status,
			resp.Header.Get("Content-Type"), resp.Header.Get("Content-Encoding"), targets.ErrorText(text))
	}
	return err
}

// isStream reports whether a 2xx may be an answer of that framing: it says so, or says nothing better.
func isStream(h http.Header, framing targets.Framing) bool {
	if e := h.Get("Content-Encoding"); e != "" && e != "identity" {
		return false
	}
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	switch kind {
	case "text/plain", "application/octet-stream":
		return true
	case "application/ndjson", "application/jsonl", "application/json-lines": // of gateways
		return framing == targets.Lines
	}
	return err != nil || kind == mediaType(framing)
}

var errTooLong = errors.New("body is longer than what is read of it")

// readSome reads a body to its end, or up to limit.
func readSome(b content, limit int) ([]byte, error) {
	var text []byte
	for len(text) < limit {
		piece, err := b.next()
		if errors.Is(err, io.EOF) {
			return text, nil
		}
		if err != nil {
			return text, err
		}
		text = append(text, piece[:min(len(piece), limit-len(text))]...)
	}
	return text, errTooLong
}

// judge classifies a 2xx stream. terminal is the dialect's last word, err why reading ended; nil is a clean end.
// The order is that of how much a user would mind: what leaked counts whatever
// else happened, what the server itself called an error is one even if it then hung.
func (t *try) judge(ctx context.Context, terminal string, err error) {
	in := t.in
	switch {
	case in.guard.leak != "":
		t.fail(results.WrongUser, "%s", in.guard.leak)
	case in.inBand != "":
		t.fail(results.StreamError, "%s", in.inBand)
	case in.malformed != "":
		t.fail(results.Malformed, "%s", in.malformed)
	case err != nil:
		t.lost(ctx, err)
	case in.finish == "" && !in.done:
		t.fail(results.Truncated, "stream ended without a finish reason and without %s", terminal)
	case in.finish == "":
		t.fail(results.Truncated, "stream ended without a finish reason")
	case !in.done:
		t.fail(results.Truncated, "stream ended without %s", terminal)
	case len(in.chunks) == 0:
		t.fail(results.Empty, "finish reason %q and not one token", in.finish)
	case in.mismatch() != "":
		t.fail(results.LengthMismatch, "%s", in.mismatch())
	default:
		t.outcome = results.Complete
	}
}

// An idleWatch ends a try once nothing has arrived for so long. It costs nothing per read.
type idleWatch struct {
	limit  time.Duration
	clock  results.Clock
	start  time.Duration
	stamps atomic.Pointer[stamps] // of the answer; nil: there is no connection yet
	cancel context.CancelCauseFunc
	timer  *time.Timer // nil: no limit
}

func watchIdle(limit time.Duration, clock results.Clock, cancel context.CancelCauseFunc) *idleWatch {
	w := &idleWatch{limit: limit, clock: clock, start: clock.Now(), cancel: cancel}
	if limit > 0 {
		w.timer = time.AfterFunc(forever, w.check) // check needs the timer: it must not run before there is one
		w.timer.Reset(limit)
	}
	return w
}

func (w *idleWatch) check() {
	last := w.start
	if st := w.stamps.Load(); st != nil {
		last = max(last, time.Duration(st.last.Load()))
	}
	if left := last + w.limit - w.clock.Now(); left > 0 {
		w.timer.Reset(left)
		return
	}
	w.cancel(errIdle)
}

func (w *idleWatch) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}
