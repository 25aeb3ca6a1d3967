package refstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// runRegion is a region's process: gateway, router, replicas, and for the
// first region the session store's primary. It serves only once it has a
// router config, so a config that it cannot bear ends it before a client comes.
func runRegion(ctx context.Context, t *topology, name string, note func(string, ...any)) error {
	place, err := t.region(name)
	if err != nil {
		return err
	}
	var replicas []*replica
	for i := range t.Reference.Replicas {
		replicas = append(replicas, newReplica(i, fmt.Sprintf("%s/%d", name, i), Llama8BH100()))
	}
	knobs := t.Reference.Knobs
	m := newMetrics(name, replicas)
	g := newGateway(replicas, hardened(knobs.Queue))
	way := flawedSessions
	if hardened(knobs.Sessions) {
		way = hardenedSessions
	}
	s := way(place.Sessions)
	c := newChats(name, g, s, m)
	cards := newGPUs(t.host(place), replicas, note)
	config := newConsumer("http://"+t.Shared+configPath, name, func(rc RouterConfig) { g.apply(newRoutes(rc, replicas)) }, c.service)
	config.note = note
	if hardened(knobs.Config) {
		builtin, err := t.config()
		if err != nil {
			return err
		}
		if err := config.harden(t.goodFile(name), builtin, len(replicas)); err != nil {
			return err
		}
	}
	m.gauge("refstack_queue_tokens", "Prompt tokens that wait before the router.", g.waitingTokens)
	m.gauge("refstack_session_connections", "Connections of this region to the session store.",
		func() float64 { return float64(s.client.PoolStats().TotalConns) })

	crew := newCrew(ctx)
	if name == t.Regions[0].Name {
		primary := NewPrimary(PrimaryRules{Service: storeService, Connect: storeConnect, Connections: storeConnections})
		m.gauge("refstack_session_store_connections", "Connections that the session store's primary holds.",
			func() float64 { return float64(primary.Open()) })
		m.gauge("refstack_session_store_refused", "Connections that it turned away since it began.",
			func() float64 { return float64(primary.Refused()) })
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", t.Primary)
		if err != nil {
			return fmt.Errorf("serve session store: %w", err)
		}
		crew.Go("session store", func(ctx context.Context) error { return primary.Serve(ctx, ln) })
	}
	if err := config.start(ctx); err != nil {
		return errors.Join(err, crew.stop())
	}
	for _, r := range replicas {
		crew.run(r.run)
	}
	crew.run(cards.run)
	crew.run(s.run)
	crew.run(config.run)
	crew.Go("http", func(ctx context.Context) error { return serve(ctx, place.Addr, regionRoutes(c, cards, m)) })
	return errors.Join(crew.wait(), s.client.Close())
}

func regionRoutes(c *chats, cards *gpus, m *metrics) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /v1/chat/completions", c)
	mux.HandleFunc("GET /v1/models", c.models)
	mux.HandleFunc("GET /health", healthy)
	mux.Handle("GET /metrics", m.handler())
	mux.HandleFunc("GET "+gpuPath, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, cards.status()) })
	mux.HandleFunc("/", notFound)
	return mux
}

// healthy answers as vLLM does: 200 and nothing else.
func healthy(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }

func notFound(w http.ResponseWriter, r *http.Request) {
	e := &apiError{
		Status: http.StatusNotFound, Type: "invalid_request_error",
		Message: fmt.Sprintf("%s %s isn't served: want POST /v1/chat/completions, GET /v1/models, /health or /metrics", r.Method, r.URL.Path),
	}
	e.writeTo(w)
}

// models serves GET /v1/models.
func (c *chats) models(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(headerRegion, c.region)
	if _, e := c.tier(r); e != nil {
		c.refuse(w, e)
		return
	}
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		OwnedBy string `json:"owned_by"`
	}
	list := []model{}
	for _, name := range c.gateway.models() {
		list = append(list, model{name, "model", "failwhale"})
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": list})
}

// serve serves h on addr until ctx ends.
func serve(ctx context.Context, addr string, h http.Handler) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return serveOn(ctx, ln, h)
}

// serveOn serves h on ln until ctx ends; listener and connections end with it.
func serveOn(ctx context.Context, ln net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // Serve says so
	defer stop()
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	return nil
}
