package attacks

import (
	"context"
	"net"
)

// SetDial makes a connect by dial, so that a test can run an attack without a network and under fake time.
func (a *Attack) SetDial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) {
	a.pool.dial = dial
}

// Nonce is the nonce of a request.
func (a *Attack) Nonce(index uint64) string { return a.nonces.of(index) }

// NonceIndex inverts Nonce.
func (a *Attack) NonceIndex(nonce string) uint64 {
	return a.nonces.index([]byte(nonce[len(a.nonces.prefix):]))
}

// FindNonces returns the nonces of run that a text has which comes in pieces.
func FindNonces(run string, pieces ...string) (found []string) {
	n := newNonces(run)
	var w watcher
	for _, piece := range pieces {
		w.find([]byte(piece), n.prefix, func(digits []byte) { found = append(found, n.prefix+string(digits)) })
	}
	return found
}
