package refstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Probes of a region's /health. Two that fail in a row eject it, so a stopped process is noticed
// within a second and a half; a busy one answers in a few milliseconds.
const (
	probeEvery = 250 * time.Millisecond
	probeLimit = 500 * time.Millisecond
	// silence is how long a stream of an ejected region may be silent before it is given up.
	silence = time.Second
)

// errEjected ends a request that waits for a region which has stopped answering; errClientGone says
// that it was the client that went.
var (
	errEjected    = errors.New("it has stopped answering")
	errClientGone = errors.New("the client has gone")
)

// An upstream is a region as the edge sees it.
type upstream struct {
	name, base string
	hardened   bool
	guard      *guard
	note       func(format string, args ...any)
	met        atomic.Int64 // requests that met its failure

	mu      sync.Mutex
	flights map[*flight]struct{}
}

// A flight is one attempt under way.
type flight struct {
	cancel context.CancelCauseFunc
	last   atomic.Int64 // when its last byte came, in Unix ns; 0: none yet
	met    atomic.Bool  // counted in upstream.met
}

func newUpstream(r regionPlace, e *edge) *upstream {
	return &upstream{
		name: r.Name, base: "http://" + r.Addr, hardened: e.hardened, note: e.note,
		guard: &guard{breaker: NewBreaker(ejection())}, flights: map[*flight]struct{}{},
	}
}

func (u *upstream) board(cancel context.CancelCauseFunc) *flight {
	f := &flight{cancel: cancel}
	if u.guard.open() {
		u.meet(f)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.flights[f] = struct{}{}
	return f
}

func (u *upstream) leave(f *flight) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.flights, f)
}

// meet counts a flight once.
func (u *upstream) meet(f *flight) {
	if f.met.CompareAndSwap(false, true) {
		u.met.Add(1)
	}
}

// failed says that a flight found nobody, or lost its connection.
func (u *upstream) failed(f *flight) {
	u.meet(f)
	if u.guard.record(false) {
		u.note("region %s fails", u.name)
	}
}

// probe asks the region for its health until ctx ends.
func (u *upstream) probe(ctx context.Context) {
	client := &http.Client{Timeout: probeLimit}
	defer client.CloseIdleConnections()
	for wait(ctx, probeEvery) {
		ok := u.alive(ctx, client)
		if ctx.Err() != nil {
			return
		}
		if u.guard.probe(ok) {
			u.note("region %s is seen to be up: %t", u.name, ok)
		}
		if !ok && u.guard.open() {
			u.sweep(time.Now())
		}
	}
}

func (u *upstream) alive(ctx context.Context, client *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.base+"/health", http.NoBody)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close() // read to its end
	return err == nil && res.StatusCode == http.StatusOK
}

// sweep counts the flights that a silent region holds up and, hardened, ends them: those without a
// byte go to another region, those in the middle are cut.
func (u *upstream) sweep(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for f := range u.flights {
		if last := f.last.Load(); last > 0 && now.Sub(time.Unix(0, last)) < silence {
			continue
		}
		u.meet(f)
		if u.hardened {
			f.cancel(errEjected)
		}
	}
}

// ask sends the request to u and waits for the first bytes of the answer, which go into buf. A
// response without a body is one of 0 bytes.
func (e *edge) ask(ctx context.Context, r *http.Request, u *upstream, body, buf []byte) (*http.Response, int, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, u.base+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	for _, name := range []string{"Authorization", "Content-Type", "Accept", "User-Agent"} {
		if v, ok := r.Header[name]; ok {
			req.Header[name] = v
		}
	}
	res, err := e.transport.RoundTrip(req)
	if err != nil {
		return nil, 0, err
	}
	n, err := res.Body.Read(buf)
	if n == 0 && err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, errors.Join(fmt.Errorf("wait for the first byte: %w", err), res.Body.Close())
	}
	return res, n, nil
}

// relay passes a response on as it comes, n bytes of which are in buf already. Each read is
// flushed: a region writes an event at a time.
func relay(w http.ResponseWriter, f *flight, res *http.Response, buf []byte, n int) error {
	flush := http.NewResponseController(w).Flush
	for {
		if n > 0 {
			f.last.Store(time.Now().UnixNano())
			if _, err := w.Write(buf[:n]); err != nil {
				return errors.Join(errClientGone, err)
			}
			if err := flush(); err != nil {
				return errors.Join(errClientGone, err)
			}
		}
		var err error
		n, err = res.Body.Read(buf)
		if n == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		if n == 0 && err != nil {
			return fmt.Errorf("read from region: %w", err)
		}
	}
}
