package refstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// PrimaryRules model what a conversation database can do. It stands for the
// primary of June 2024, which was not fast enough for the connections that its
// pooler opened: it does work on each connection by itself, accepts
// connections one after the other, and accepts only so many.
type PrimaryRules struct {
	// Service is the time of one command. Required.
	Service time.Duration
	// Connect is what accepting one connection costs (a session, authentication), while which no
	// other is accepted. Required.
	Connect time.Duration
	// Connections is the cap. One more is answered as Redis answers it, and closed. Required.
	Connections int
}

// refusal is Redis's own answer to a client beyond maxclients.
const refusal = "-ERR max number of clients reached\r\n"

// A Primary is the session store: Redis's protocol over TCP, in memory.
type Primary struct {
	rules   PrimaryRules
	redis   *miniredis.Miniredis
	open    atomic.Int64
	refused atomic.Int64
}

// NewPrimary returns an empty store.
func NewPrimary(rules PrimaryRules) *Primary {
	return &Primary{rules: rules, redis: miniredis.NewMiniRedis()}
}

// Open is how many connections there are now, Refused how many there were too many.
func (p *Primary) Open() int { return int(p.open.Load()) }

// Refused counts the connections that were turned away.
func (p *Primary) Refused() int { return int(p.refused.Load()) }

// Serve serves on ln until ctx ends, and closes it. It returns nil then.
func (p *Primary) Serve(ctx context.Context, ln net.Listener) error {
	// miniredis has no way to be given a listener, but it serves single connections once it is started.
	first, err := p.redis.Dial()
	if err != nil {
		return fmt.Errorf("start session store: %w", err)
	}
	if err := first.Close(); err != nil {
		return fmt.Errorf("start session store: %w", err)
	}
	redis := p.redis.Server()
	redis.SetPreHook(func(*server.Peer, string, ...string) bool {
		wait(ctx, p.rules.Service)
		return false
	})
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() }) // Accept says so
	defer stop()
	defer p.redis.Close()
	for {
		c, err := ln.Accept()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if !wait(ctx, p.rules.Connect) {
			return nil
		}
		if err != nil {
			continue // out of descriptors: some will be free again
		}
		p.admit(c, redis)
	}
}

func (p *Primary) admit(c net.Conn, redis *server.Server) {
	if p.open.Add(1) > int64(p.rules.Connections) {
		p.open.Add(-1)
		p.refused.Add(1)
		_, _ = c.Write([]byte(refusal)) // it is turned away whether it hears or not
		_ = c.Close()
		return
	}
	redis.ServeConn(&countedConn{Conn: c, open: &p.open})
}

// A countedConn leaves the count when it is closed first.
type countedConn struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

// Close closes the connection.
func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// wait reports whether d passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
