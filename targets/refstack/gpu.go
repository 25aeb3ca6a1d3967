package refstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// SM clocks of an H100, in MHz. Locks snap down to a step.
const (
	minMHz  = 210
	idleMHz = 345
	stepMHz = 15
)

// gpuEvery is how often a region looks at its GPUs' locks, and gpuWindow the time over which it
// states their utilization.
const (
	gpuEvery  = 40 * time.Millisecond
	gpuWindow = 12 // looks: half a second
)

// A host is the machine that a region's GPUs are in, as its nvidia-smi knows it: a file, so that it
// outlives the region's process.
type host struct {
	Region string `json:"region"`
	// Status is the URL at which the region's process tells what its GPUs do.
	Status string    `json:"status"`
	GPUs   []hostGPU `json:"gpus"`
}

type hostGPU struct {
	UUID string `json:"uuid"`
	Bus  string `json:"bus"`
	Lock string `json:"lock"` // file
}

// host is the host of region.
func (t *topology) host(r regionPlace) host {
	h := host{Region: r.Name, Status: "http://" + r.Addr + gpuPath}
	for i := range t.Reference.Replicas {
		h.GPUs = append(h.GPUs, hostGPU{UUID: t.uuid(r.Name, i), Bus: bus(i), Lock: t.lockFile(r.Name, i)})
	}
	return h
}

// A clockLock is what a GPU's clock is locked to. The zero value is unlocked.
type clockLock struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// readLock reads a lock's file; none is unlocked.
func readLock(path string) (clockLock, error) {
	var l clockLock
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("read clock lock: %w", err)
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return l, fmt.Errorf("read clock lock: %s: %w", path, err)
	}
	return l, nil
}

func (l clockLock) write(path string) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write clock lock: %w", err)
	}
	return writeFile(path, text)
}

// loaded is the clock of a GPU that works: the maximum boost, or what the lock allows.
func (l clockLock) loaded() int {
	if l.Max == 0 {
		return NominalMHz
	}
	return min(l.Max, NominalMHz)
}

// idle is the clock of a GPU that does nothing: a lock is not seen there unless it is lower still.
func (l clockLock) idle() int { return min(idleMHz, l.loaded()) }

// gpuPath is where a region's process tells what its GPUs do.
const gpuPath = "/gpus"

// A gpuStatus is what one GPU does.
type gpuStatus struct {
	Utilization int `json:"utilization"` // per cent, over half a second
	SM          int `json:"sm"`          // MHz
}

// gpus follow the locks of a region's GPUs and watch how busy they are.
type gpus struct {
	host     host
	replicas []*replica
	note     func(format string, args ...any)

	mu     sync.Mutex
	locks  []clockLock
	looks  []look // the last gpuWindow, oldest first
	broken map[int]bool
}

// A look is how long each GPU had worked at a moment.
type look struct {
	at   time.Time
	busy []time.Duration
}

func newGPUs(h host, replicas []*replica, note func(string, ...any)) *gpus {
	return &gpus{host: h, replicas: replicas, note: note, locks: make([]clockLock, len(replicas)), broken: map[int]bool{}}
}

// run follows until ctx ends.
func (g *gpus) run(ctx context.Context) {
	for {
		g.follow(time.Now())
		if !wait(ctx, gpuEvery) {
			return
		}
	}
}

func (g *gpus) follow(now time.Time) {
	l := look{at: now}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, r := range g.replicas {
		lock, err := readLock(g.host.GPUs[i].Lock)
		if (err != nil) != g.broken[i] {
			g.broken[i] = err != nil
			g.note("gpu %d: lock unreadable: %t (%v)", i, err != nil, err)
		}
		if err == nil {
			g.locks[i] = lock
			r.mhz.Store(int64(lock.loaded()))
		}
		l.busy = append(l.busy, r.busyTime(now))
	}
	if g.looks = append(g.looks, l); len(g.looks) > gpuWindow {
		g.looks = g.looks[1:]
	}
}

// status is what each GPU does.
func (g *gpus) status() []gpuStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]gpuStatus, len(g.replicas))
	for i := range out {
		out[i].SM = g.locks[i].idle()
		if len(g.looks) < 2 {
			continue
		}
		first, last := g.looks[0], g.looks[len(g.looks)-1]
		share := float64(last.busy[i]-first.busy[i]) / float64(last.at.Sub(first.at))
		out[i].Utilization = int(100*min(max(share, 0), 1) + 0.5)
		if out[i].Utilization > 0 {
			out[i].SM = g.locks[i].loaded()
		}
	}
	return out
}
