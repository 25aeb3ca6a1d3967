package targets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Open connects to the stack that spec describes. A reference stack is started
// through l and serves when Open returns; the caller must Close it.
func Open(ctx context.Context, spec Spec, l Launcher) (*Stack, error) {
	reference, attach, endpoints := spec.Reference != nil, spec.Attach != "", len(spec.Endpoints) > 0
	switch {
	case reference && !attach && !endpoints:
		return l.start(ctx, *spec.Reference)
	case attach && !reference && !endpoints:
		h, err := ReadHandle(spec.Attach)
		if err != nil {
			return nil, err
		}
		return attachLive(ctx, h)
	case endpoints && !reference && !attach:
		return openEndpoints(spec)
	}
	return nil, errors.New("open stack: set exactly one of reference, attach and endpoints")
}

// attachLive attaches to a stack and makes sure that its supervisor answers.
func attachLive(ctx context.Context, h Handle) (*Stack, error) {
	s, err := Attach(ctx, h)
	if err != nil || h.Supervisor == nil {
		return s, err
	}
	if _, err := s.processes(ctx); err != nil {
		return nil, fmt.Errorf("attach to stack %s: %w", h.ID, err)
	}
	return s, nil
}

// ReadHandle reads what `failwhale stack --write` wrote.
func ReadHandle(path string) (Handle, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Handle{}, fmt.Errorf("read the stack's handle: %w", err)
	}
	var h Handle
	if err := json.Unmarshal(text, &h); err != nil {
		return Handle{}, fmt.Errorf("read the stack's handle: %s: %w", path, err)
	}
	if h.Version == 0 || h.ID == "" {
		return Handle{}, fmt.Errorf("read the stack's handle: %s is not what failwhale stack --write writes", path)
	}
	return h, nil
}

func openEndpoints(spec Spec) (*Stack, error) {
	h := Handle{
		Version: HandleVersion, Endpoints: spec.Endpoints, Metrics: spec.Metrics,
		Stores: maps.Clone(spec.Stores), Dependencies: spec.Dependencies, GPUs: maps.Clone(spec.GPUs),
	}
	var errs []error
	for name, e := range spec.Endpoints {
		if u, err := url.Parse(e.URL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			errs = append(errs, fmt.Errorf("endpoint %s: url %q isn't http://HOST or https://HOST", name, shownURL(e.URL)))
		}
	}
	for name, m := range spec.Metrics {
		if err := m.check(); err != nil {
			errs = append(errs, fmt.Errorf("metrics %s: %w", name, err))
		}
	}
	for name, s := range h.Stores {
		if s.File == "" {
			continue
		}
		path, err := filepath.Abs(s.File) // the undo may run elsewhere
		if err != nil {
			errs = append(errs, fmt.Errorf("store %s: %w", name, err))
		}
		s.File = path
		h.Stores[name] = s
	}
	for name, g := range h.GPUs {
		if len(g.SMI) == 0 || !strings.Contains(g.SMI[0], "/") { // found in PATH
			continue
		}
		path, err := filepath.Abs(g.SMI[0])
		if err != nil {
			errs = append(errs, fmt.Errorf("gpu %s: %w", name, err))
			continue
		}
		g.SMI = slices.Concat([]string{path}, g.SMI[1:])
		h.GPUs[name] = g
	}
	h.ID = endpointsID(spec.Endpoints)
	s := newStack(h)
	for name := range h.Stores {
		_, err := s.Store(name)
		errs = append(errs, err)
	}
	for name := range h.Dependencies {
		_, err := s.Dependency(name)
		errs = append(errs, err)
	}
	for name := range h.GPUs {
		_, err := s.GPU(name)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("open stack: %w", err)
	}
	return s, nil
}

// endpointsID names a real stack by its front doors, so that two experiments on
// the same one see each other whatever else their files say.
func endpointsID(endpoints map[string]Endpoint) string {
	var urls []string
	for _, e := range endpoints {
		u, err := url.Parse(e.URL)
		if err != nil {
			urls = append(urls, e.URL) // reported by the caller
			continue
		}
		path := strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v1")
		urls = append(urls, strings.ToLower(u.Scheme+"://"+u.Host)+strings.TrimRight(path, "/"))
	}
	slices.Sort(urls)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(urls), "\n")))
	return "endpoints-" + hex.EncodeToString(sum[:6])
}
