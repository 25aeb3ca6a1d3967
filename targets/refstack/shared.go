package refstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/failwhale/failwhale/targets/wire"
)

// runShared is the shared process: the config store, and the links through
// which all regions but the first reach the session store.
func runShared(ctx context.Context, t *topology) (err error) {
	initial, err := t.config()
	if err != nil {
		return err
	}
	store, err := OpenConfigStore(t.configFile(), configPath, initial)
	if err != nil {
		return err
	}
	proxy := wire.New(wire.Config{})
	defer func() { err = errors.Join(err, proxy.Close()) }()
	for _, r := range t.Regions {
		if r.Link == "" {
			continue
		}
		if _, err := proxy.Add(wire.Link{Name: r.Link, Listen: r.Sessions, Upstream: t.Primary}); err != nil {
			return fmt.Errorf("open links: %w", err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/config/", store)
	mux.Handle("/v1/links", proxy)
	mux.Handle("/v1/links/", proxy)
	mux.HandleFunc("GET /health", healthy)
	return serve(ctx, t.Shared, mux)
}
