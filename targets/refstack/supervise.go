package refstack

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/failwhale/failwhale/targets"
)

// A Config is what Supervise is told.
type Config struct {
	// Reference is what to start; what it leaves open takes its default. Optional.
	Reference targets.Reference
	// Argv is the command that runs RunNode, to which arguments are added. Required.
	Argv []string
	// SMIArgv is the command that runs SMI. Required.
	SMIArgv []string
	// Dir is the stack's working directory: it must exist, be empty or the stack's own from an
	// earlier start, and be nobody else's. Files of an earlier start are replaced. Required.
	Dir string
	// Addr is where the edge listens; port 0 picks one. Optional; default 127.0.0.1:0.
	Addr string
	// Write is the file to which the Handle goes once everything serves. Optional.
	Write string
	// Lifeline ends the stack when it ends. Optional.
	Lifeline io.Reader
	// Log takes what the processes and the supervisor have to say. Optional.
	Log io.Writer
	// Ready is called once everything serves, after Write. Optional.
	Ready func(targets.Handle)
}

// startLimit is how long the stack may take until everything serves: a few hundred milliseconds on
// an idle machine.
const startLimit = 30 * time.Second

// Supervise starts a stack and keeps it until ctx or the lifeline ends; it returns once all of its
// processes are gone, nil unless the stack could not be started or served.
func Supervise(ctx context.Context, cfg Config) error {
	if len(cfg.Argv) == 0 || len(cfg.SMIArgv) == 0 || cfg.Dir == "" {
		return errors.New("start stack: Argv, SMIArgv and Dir are required")
	}
	ref, err := Resolve(cfg.Reference)
	if err != nil {
		return fmt.Errorf("start stack: %w", err)
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return fmt.Errorf("start stack: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if cfg.Lifeline != nil {
		go func() { // ends with the process: nobody can take the lifeline away from a read
			_, _ = io.Copy(io.Discard, cfg.Lifeline) // an error is an end too
			cancel()
		}()
	}
	t, err := layOut(ctx, cfg, ref)
	if err != nil {
		return fmt.Errorf("start stack: %w", err)
	}
	s := newSupervisor(t, cfg)
	return s.run(ctx, cfg)
}

// layOut picks addresses and writes the files that the processes read.
func layOut(ctx context.Context, cfg Config, ref targets.Reference) (*topology, error) {
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails
	t := &topology{ID: fmt.Sprintf("stack-%x", seed[:4]), Dir: cfg.Dir, Reference: ref}
	ports := newPortPicker(binary.NativeEndian.Uint64(seed[:]))
	var err error
	if t.Edge, err = ports.place(ctx, cfg.Addr); err != nil {
		return nil, err
	}
	for _, addr := range []*string{&t.Shared, &t.Primary} {
		if *addr, err = ports.pick(ctx); err != nil {
			return nil, err
		}
	}
	for i, name := range ref.Regions {
		r := regionPlace{Name: name, Sessions: t.Primary}
		if r.Addr, err = ports.pick(ctx); err != nil {
			return nil, err
		}
		if i > 0 {
			r.Link = "session_store-" + name
			if r.Sessions, err = ports.pick(ctx); err != nil {
				return nil, err
			}
		}
		t.Regions = append(t.Regions, r)
	}
	return t, t.writeAll()
}

// writeAll puts every file in place, as on a machine that has just booted: no GPU is locked, and
// the config is the first version.
func (t *topology) writeAll() error {
	for _, r := range t.Regions {
		h := t.host(r)
		text, err := json.Marshal(h)
		if err != nil {
			return fmt.Errorf("write host: %w", err)
		}
		if err := writeFile(t.hostFile(r.Name), text); err != nil {
			return err
		}
		old := []string{t.goodFile(r.Name)}
		for _, g := range h.GPUs {
			old = append(old, g.Lock)
		}
		if err := removeFiles(old...); err != nil {
			return err
		}
	}
	if err := removeFiles(t.configFile()); err != nil {
		return err
	}
	return t.write()
}

// A supervisor keeps the children of one stack.
type supervisor struct {
	t        *topology
	children []*child
	log      io.Writer
	client   *http.Client
	spawn    chan spawnOrder
}

// A spawnOrder asks the spawning thread to start a command.
type spawnOrder struct {
	cmd *exec.Cmd
	err chan error
}

func newSupervisor(t *topology, cfg Config) *supervisor {
	log := cfg.Log
	if log == nil {
		log = io.Discard
	}
	s := &supervisor{t: t, log: &locked{out: log}, client: &http.Client{Timeout: time.Second}, spawn: make(chan spawnOrder)}
	add := func(name, addr string, args ...string) {
		s.children = append(s.children, &child{
			name: name, args: slices.Concat(cfg.Argv, args, []string{"--topology", t.file()}),
			health: "http://" + addr + "/health", start: s.start, log: s.log, changed: make(chan struct{}),
		})
	}
	add("shared", t.Shared, "shared")
	for _, r := range t.Regions {
		add("region-"+r.Name, r.Addr, "region", r.Name)
	}
	add("edge", t.Edge, "edge")
	return s
}

// start has the spawning thread start cmd.
func (s *supervisor) start(cmd *exec.Cmd) error {
	o := spawnOrder{cmd, make(chan error, 1)}
	s.spawn <- o
	return <-o.err
}

// spawner starts commands until there are no more orders. A parent-death signal
// fires when the thread ends that started the child, not the process: so this
// goroutine keeps one thread to itself for as long as there are children.
func (s *supervisor) spawner() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for o := range s.spawn {
		o.err <- o.cmd.Start()
	}
}

// run keeps the children until ctx ends.
func (s *supervisor) run(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithCancel(ctx)
	var spawner, children sync.WaitGroup
	spawner.Go(s.spawner)
	for _, c := range s.children {
		children.Go(func() { c.keep(ctx) })
	}
	defer spawner.Wait()
	defer close(s.spawn)
	defer children.Wait()
	defer cancel()
	defer s.client.CloseIdleConnections()

	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start stack: %w", err)
	}
	handle, err := s.handle("http://"+ln.Addr().String(), cfg)
	if err != nil {
		return errors.Join(fmt.Errorf("start stack: %w", err), ln.Close())
	}
	crew := newCrew(ctx)
	crew.Go("control", func(ctx context.Context) error { return serveOn(ctx, ln, s.control()) })
	if err := s.ready(ctx, cfg, handle); err != nil && ctx.Err() == nil {
		return errors.Join(fmt.Errorf("start stack: %w", err), crew.stop())
	}
	return crew.wait()
}

// ready waits until everything serves and tells so.
func (s *supervisor) ready(ctx context.Context, cfg Config, h targets.Handle) error {
	limit, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("it does not serve after %s", startLimit))
	defer cancel()
	for _, c := range s.children {
		if err := c.release(limit, s.serves); err != nil {
			return err
		}
	}
	if cfg.Write != "" {
		text, err := json.MarshalIndent(h, "", "  ")
		if err != nil {
			return fmt.Errorf("write handle: %w", err)
		}
		if err := writeFile(cfg.Write, append(text, '\n')); err != nil {
			return err
		}
	}
	if cfg.Ready != nil {
		cfg.Ready(h)
	}
	return nil
}

// serves asks for a process's health.
func (s *supervisor) serves(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	res, err := s.client.Do(req)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close() // read to its end
	return err == nil && res.StatusCode == http.StatusOK
}
