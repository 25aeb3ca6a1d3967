package refstack

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// An edge is the front door. Each user has a home region. Flawed, that is where
// the user's requests go, whatever is there; hardened, a region that fails is
// ejected, and a request that has not had its first byte goes to the next one.
type edge struct {
	regions   []*upstream
	hardened  bool
	transport *http.Transport
	nonce     *regexp.Regexp
	turn      atomic.Uint64 // spreads requests that have no nonce
	buffers   sync.Pool
	requests  *prometheus.CounterVec
	note      func(format string, args ...any)
}

// ejection of a region. Two failures in a row eject it: one can be a connection that died idle.
func ejection() BreakerRules {
	return BreakerRules{Failures: 2, Hold: time.Second, MaxHold: 8 * time.Second, Probes: 2, Forget: 10 * time.Second}
}

// runEdge is the edge's process.
func runEdge(ctx context.Context, t *topology, note func(string, ...any)) error {
	e := &edge{
		hardened: hardened(t.Reference.Knobs.Edge), nonce: regexp.MustCompile(noncePattern), note: note,
		buffers: sync.Pool{New: func() any { return new([8 << 10]byte) }},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "refstack_edge_requests_total", Help: "Attempts at a region, by how they ended.",
		}, []string{"region", "outcome"}),
	}
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	if e.hardened {
		dialer.Timeout = 200 * time.Millisecond
	}
	// No limit on the wait for headers: they come with the first token, so a long prompt or a full
	// queue would look like death. Probes tell the two apart.
	e.transport = &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConnsPerHost: 2048, IdleConnTimeout: 90 * time.Second, DisableCompression: true,
	}
	defer e.transport.CloseIdleConnections()
	crew := newCrew(ctx)
	for _, r := range t.Regions {
		u := newUpstream(r, e)
		e.regions = append(e.regions, u)
		crew.run(u.probe)
	}
	crew.Go("http", func(ctx context.Context) error { return serve(ctx, t.Edge, e.routes()) })
	return crew.wait()
}

func (e *edge) routes() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(e.requests)
	for _, u := range e.regions {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "refstack_edge_ejected", Help: "1 while the region is seen to be down; a flawed edge sees it and does nothing.",
			ConstLabels: prometheus.Labels{"region": u.name},
		}, func() float64 {
			if u.guard.open() {
				return 1
			}
			return 0
		}))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", e.forward)
	mux.HandleFunc("GET /v1/models", e.forward)
	mux.HandleFunc("GET /health", healthy)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET "+touchedPath+"{region}", e.touched)
	mux.HandleFunc("/", notFound)
	return mux
}

// touchedPath, and a region's name: how many requests have met its failure.
const touchedPath = "/touched/"

func (e *edge) touched(w http.ResponseWriter, r *http.Request) {
	for _, u := range e.regions {
		if u.name == r.PathValue("region") {
			writeJSON(w, http.StatusOK, counter{u.met.Load(), "requests that met region " + u.name + "'s failure at the edge"})
			return
		}
	}
	writeJSON(w, http.StatusNotFound, failure{fmt.Sprintf("region %q isn't one of [%s]", r.PathValue("region"), strings.Join(e.names(), " "))})
}

func (e *edge) names() []string {
	names := make([]string, len(e.regions))
	for i, u := range e.regions {
		names[i] = u.name
	}
	return names
}

// forward sends a request to its region or, hardened, to the first that gives it a byte.
func (e *edge) forward(w http.ResponseWriter, r *http.Request) {
	body, fail := readBody(w, r)
	if fail != nil {
		fail.writeTo(w)
		return
	}
	order, fail := e.order(r.Header.Get(headerRegion), body)
	if fail != nil {
		fail.writeTo(w)
		return
	}
	var err error
	for _, u := range order {
		if err = e.attempt(w, r, u, body); err == nil {
			return
		}
	}
	w.Header().Set(headerRegion, order[len(order)-1].name)
	fail = &apiError{
		Status: http.StatusBadGateway, Type: "server_error", Code: "bad_gateway",
		Message: fmt.Sprintf("region %s cannot be reached: %v", order[len(order)-1].name, err),
	}
	fail.writeTo(w)
}

// order is where a request may go, best first: home, then the others, those that are ejected last
// (if all are, they are tried all the same: the ejector may be what is wrong). A flawed edge knows
// home only.
func (e *edge) order(wanted string, body []byte) ([]*upstream, *apiError) {
	h := e.spread(body)
	n := uint64(len(e.regions))
	home := int(h % n) // less than n
	if wanted != "" {
		for home = 0; home < len(e.regions) && e.regions[home].name != wanted; home++ {
		}
		if home == len(e.regions) {
			return nil, badRequest("header %s: %q isn't one of [%s]", headerRegion, wanted, strings.Join(e.names(), " "))
		}
	}
	if !e.hardened {
		return e.regions[home : home+1], nil
	}
	// The users of a lost region spread over all that are left: shifted to one, they would be its overload.
	others := slices.Concat(e.regions[home+1:], e.regions[:home])
	if k := len(others); k > 1 {
		first := int(h / n % uint64(k)) // less than k
		others = slices.Concat(others[first:], others[:first])
	}
	var in, out []*upstream
	for _, u := range append([]*upstream{e.regions[home]}, others...) {
		if u.guard.open() {
			out = append(out, u)
		} else {
			in = append(in, u)
		}
	}
	if len(in) > 0 && e.regions[home].guard.open() {
		e.regions[home].met.Add(1) // steered away from it
	}
	return append(in, out...), nil
}

// spread gives a user's nonce the same number each time, and what has none the next one.
func (e *edge) spread(body []byte) uint64 {
	at := e.nonce.FindIndex(body)
	if at == nil {
		return e.turn.Add(1) - 1
	}
	h := fnv.New64a()
	_, _ = h.Write(body[at[0]:at[1]]) // never fails
	v := h.Sum64()
	return v ^ v>>32
}

// attempt tries u. An error means that nothing has been sent to the client, so another region may
// be tried; nil that the request is dealt with. Once a byte has been sent, a region's death is
// passed on: the client's connection is aborted, and never ends as if all were well.
func (e *edge) attempt(w http.ResponseWriter, r *http.Request, u *upstream, body []byte) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	f := u.board(cancel)
	defer u.leave(f)
	buf, ok := e.buffers.Get().(*[8 << 10]byte)
	if !ok {
		buf = new([8 << 10]byte)
	}
	defer e.buffers.Put(buf)

	res, n, err := e.ask(ctx, r, u, body, buf[:])
	if r.Context().Err() != nil {
		e.requests.WithLabelValues(u.name, "client_gone").Inc()
		if err == nil {
			_ = res.Body.Close() // nobody waits for it
		}
		return nil
	}
	if err != nil {
		u.failed(f)
		e.requests.WithLabelValues(u.name, "failed").Inc()
		return cmpCause(ctx, err)
	}
	defer func() { _ = res.Body.Close() }() // read to its end, or given up
	u.guard.record(true)
	maps.Copy(w.Header(), res.Header)
	w.WriteHeader(res.StatusCode)
	if err := relay(w, f, res, buf[:], n); err != nil {
		if r.Context().Err() == nil && !errors.Is(err, errClientGone) {
			u.failed(f)
			e.requests.WithLabelValues(u.name, "cut").Inc()
			panic(http.ErrAbortHandler) // net/http's way to break a connection off
		}
		e.requests.WithLabelValues(u.name, "client_gone").Inc()
		return nil
	}
	e.requests.WithLabelValues(u.name, "served").Inc()
	return nil
}

// cmpCause is why ctx was cancelled, if it was, or else err.
func cmpCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
