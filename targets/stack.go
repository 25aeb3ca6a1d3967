package targets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ErrGone says that the stack which a Handle names has ended: nothing of it is
// left to revert. It is returned only where that is certain.
var ErrGone = errors.New("stack has ended")

// A Stack is what is tested, connected. It is safe for concurrent use.
type Stack struct {
	handle Handle
	http   *http.Client
	child  *child // what Open started; nil: this process started nothing
}

// Attach connects to a stack that runs, from any process. It asks nothing of the stack yet: a
// supervisor that does not answer must not keep anyone from undoing what it has no
// part in. The error is ErrGone if the stack has ended.
func Attach(_ context.Context, h Handle) (*Stack, error) {
	if h.Version != HandleVersion {
		return nil, fmt.Errorf("attach to stack %s: its handle has version %d, this failwhale reads %d", h.ID, h.Version, HandleVersion)
	}
	s := newStack(h)
	if h.Supervisor == nil {
		return s, nil
	}
	if h.Supervisor.Process.PID <= 0 {
		return nil, fmt.Errorf("attach to stack %s: its handle does not name the supervisor's process", h.ID)
	}
	if s.Gone() {
		return nil, fmt.Errorf("attach to stack %s: %w", h.ID, s.gone())
	}
	return s, nil
}

func newStack(h Handle) *Stack {
	// A connection is used once: nothing here is frequent, and a peer that was
	// restarted leaves stale ones behind.
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ResponseHeaderTimeout: time.Minute}
	return &Stack{handle: h, http: &http.Client{Transport: t, CheckRedirect: noRedirect}}
}

// noRedirect: a PUT that was redirected has gone somewhere that nobody named.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Handle is what another process needs to Attach to the stack.
func (s *Stack) Handle() Handle { return s.handle }

// Gone reports whether the stack has certainly ended: its supervisor has. A
// stack without a supervisor has none to ask, and is never gone.
func (s *Stack) Gone() bool {
	return s.handle.Supervisor != nil && !ProcessAlive(s.handle.Supervisor.Process)
}

// Close ends what Open started, and only that. It returns once that has ended.
func (s *Stack) Close(ctx context.Context) error {
	if s.child == nil {
		return nil
	}
	return s.child.stop(ctx)
}

// Region returns the control of a region's process.
func (s *Stack) Region(name string) (*RegionControl, error) {
	r, err := role("region", s.handle.Regions, name)
	if err != nil {
		return nil, err
	}
	if s.handle.Supervisor == nil {
		return nil, fmt.Errorf("region %s: the stack has no supervisor that could take it away", name)
	}
	return &RegionControl{stack: s, name: name, region: r}, nil
}

// Regions returns the names of the regions, sorted.
func (s *Stack) Regions() []string { return slices.Sorted(maps.Keys(s.handle.Regions)) }

// Store returns the config store that has this role.
func (s *Stack) Store(name string) (*ConfigStore, error) {
	spec, err := role("store", s.handle.Stores, name)
	if err != nil {
		return nil, err
	}
	c := &ConfigStore{name: name, readers: spec.Readers, stack: s}
	switch {
	case (spec.URL == "") == (spec.File == ""):
		return nil, fmt.Errorf("store %s: set exactly one of url and file", name)
	case spec.URL != "":
		c.backend = &httpStore{url: spec.URL, http: s.http}
	default:
		c.backend = &fileStore{path: spec.File}
	}
	return c, nil
}

// Dependency returns the control of the proxy links to a dependency.
func (s *Stack) Dependency(name string) (*DependencyControl, error) {
	d, err := role("dependency", s.handle.Dependencies, name)
	if err != nil {
		return nil, err
	}
	if d.Control == "" || len(d.Links) == 0 {
		return nil, fmt.Errorf("dependency %s: set control to the proxy's URL and links to its names for the connections", name)
	}
	return newDependencyControl(name, d, s.http), nil
}

// GPU returns the control of a GPU through nvidia-smi on its host.
func (s *Stack) GPU(name string) (*GPUControl, error) {
	g, err := role("gpu", s.handle.GPUs, name)
	if err != nil {
		return nil, err
	}
	if g.UUID == "" {
		return nil, fmt.Errorf("gpu %s: set uuid to what nvidia-smi -L prints for it", name)
	}
	if len(g.SMI) == 0 {
		g.SMI = []string{"nvidia-smi"}
	}
	if s.handle.Reference != nil { // its GPUs are its own: nobody else locks them
		g.Clocks = cmp.Or(g.Clocks, Unlocked)
	}
	return &GPUControl{name: name, gpu: g}, nil
}

// role finds what a name is bound to, or says what names there are.
func role[V any](what string, in map[string]V, name string) (V, error) {
	v, ok := in[name]
	if ok {
		return v, nil
	}
	if len(in) == 0 {
		return v, fmt.Errorf("unknown %s %q: the stack has none", what, name)
	}
	names := slices.Sorted(maps.Keys(in))
	return v, fmt.Errorf("unknown %s %q: the stack has [%s]", what, name, strings.Join(names, " "))
}
