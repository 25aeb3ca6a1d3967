package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Config is how a Proxy reaches the network. The zero value uses TCP and a
// dial timeout of 5 s.
type Config struct {
	// DialTimeout is the limit for one connection to an upstream. Optional; default 5s.
	DialTimeout time.Duration
	// Listen and Dial replace the network. Optional; default TCP.
	Listen func(ctx context.Context, network, address string) (net.Listener, error)
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Link is one listener and where its connections go.
type Link struct {
	Name     string `json:"name"`     // unique in its proxy. Required.
	Listen   string `json:"listen"`   // host:port; port 0 picks one. Required.
	Upstream string `json:"upstream"` // host:port. Required.
}

// A Proxy holds links. It is an http.Handler that serves their control API.
// It is safe for concurrent use.
type Proxy struct {
	cfg    Config
	mux    *http.ServeMux
	ctx    context.Context // ends dials; cancelled by Close
	cancel context.CancelFunc

	mu     sync.Mutex
	links  map[string]*link
	closed bool
}

// New returns a proxy without links. Its owner must Close it.
func New(cfg Config) *Proxy {
	cfg.DialTimeout = cmp.Or(cfg.DialTimeout, 5*time.Second)
	if cfg.Listen == nil {
		cfg.Listen = new(net.ListenConfig).Listen
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	p := &Proxy{cfg: cfg, links: map[string]*link{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.mux = p.routes()
	return p
}

// Add opens a link and returns the address that it listens on. A name that is
// taken already is an error.
func (p *Proxy) Add(l Link) (addr string, err error) {
	if l.Name == "" || strings.Contains(l.Name, "/") {
		return "", fmt.Errorf("add link: name %q is empty or has a slash", l.Name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return "", fmt.Errorf("add link %s: %w", l.Name, net.ErrClosed)
	}
	if _, ok := p.links[l.Name]; ok {
		return "", fmt.Errorf("add link %s: there is one of that name already", l.Name)
	}
	ln, err := p.cfg.Listen(p.ctx, "tcp", l.Listen)
	if err != nil {
		return "", fmt.Errorf("add link %s: %w", l.Name, err)
	}
	l.Listen = ln.Addr().String()
	k := &link{Link: l, proxy: p, listener: ln, conns: map[*conn]struct{}{}}
	p.links[l.Name] = k
	k.wg.Go(k.serve)
	return l.Listen, nil
}

// Close ends every link: listeners and connections. It returns when nothing of
// the proxy runs any more.
func (p *Proxy) Close() error {
	p.cancel()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	var errs []error
	for _, l := range p.all() {
		errs = append(errs, l.close())
	}
	return errors.Join(errs...)
}

// SetFault puts f in force on a link, or renews it. Errors wrap ErrUnknown, ErrInvalid, ErrHeld or ErrLapsed.
func (p *Proxy) SetFault(name string, f Fault) (State, error) {
	if err := f.check(); err != nil {
		return State{}, err
	}
	l, err := p.link(name)
	if err != nil {
		return State{}, err
	}
	if err := l.set(f, time.Now()); err != nil {
		return State{}, fmt.Errorf("set fault %q on link %s: %w", f.ID, name, err)
	}
	return l.state(time.Now()), nil
}

// ClearFault ends the fault of that id on a link. A link without a fault is
// fine; another id's is ErrHeld.
func (p *Proxy) ClearFault(name, id string) (State, error) {
	l, err := p.link(name)
	if err != nil {
		return State{}, err
	}
	if err := l.clear(id, time.Now()); err != nil {
		return State{}, fmt.Errorf("clear fault %q on link %s: %w", id, name, err)
	}
	return l.state(time.Now()), nil
}

// Links returns the state of every link, by name.
func (p *Proxy) Links() []State {
	states := []State{}
	for _, l := range p.all() {
		states = append(states, l.state(time.Now()))
	}
	return states
}

func (p *Proxy) all() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*link, 0, len(p.links))
	for _, l := range p.links {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *link) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (p *Proxy) link(name string) (*link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.links[name]; ok {
		return l, nil
	}
	names := make([]string, 0, len(p.links))
	for n := range p.links {
		names = append(names, n)
	}
	slices.Sort(names)
	return nil, fmt.Errorf("%w %q: the proxy has [%s]", ErrUnknown, name, strings.Join(names, " "))
}
