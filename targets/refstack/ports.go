package refstack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// Ports that the stack listens on are picked below the range from which Linux
// (32768 and up) and macOS (49152 and up) take the ports of outgoing
// connections: a region that is held down finds its own port free when it comes back.
const (
	firstPort = 20_000
	lastPort  = 32_000
)

// A portPicker finds ports on loopback that nobody listens on, each once.
type portPicker struct {
	rng   *rand.Rand
	given map[int]bool
}

func newPortPicker(seed uint64) *portPicker {
	return &portPicker{rng: rand.New(rand.NewPCG(seed, 0)), given: map[int]bool{}}
}

// pick returns an address. Another process may still take it before it is used.
func (p *portPicker) pick(ctx context.Context) (string, error) {
	var errs []error
	for range 100 {
		port := firstPort + p.rng.IntN(lastPort-firstPort)
		if p.given[port] {
			continue
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.given[port] = true
		return addr, ln.Close()
	}
	return "", fmt.Errorf("find a free port on loopback: %w", errors.Join(errs...))
}

// free fails where somebody listens on addr: a stack that began there all the same would restart its edge for ever,
// while requests reach the other one.
func (p *portPicker) free(ctx context.Context, addr string) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			err = errno // without net's own words, which name the address again
		}
		return fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	if at, ok := ln.Addr().(*net.TCPAddr); ok {
		p.given[at.Port] = true
	}
	return ln.Close()
}

// place returns addr as it is, if it is free, with a picked port where it has port 0.
func (p *portPicker) place(ctx context.Context, addr string) (string, error) {
	if addr == "" {
		return p.pick(ctx)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("address %q: %w: want HOST:PORT", addr, err)
	}
	if port != "0" {
		return addr, p.free(ctx, addr)
	}
	picked, err := p.pick(ctx)
	if err != nil {
		return "", err
	}
	_, port, err = net.SplitHostPort(picked)
	return net.JoinHostPort(host, port), err
}
