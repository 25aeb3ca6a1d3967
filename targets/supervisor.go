package targets

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Limits of one call of a control API. What starts or ends a process is answered once it has.
const (
	askLimit = 10 * time.Second
	actLimit = 45 * time.Second
)

// ProcessState is what a supervisor says of one of its processes.
type ProcessState struct {
	// State is one of the Process constants.
	State string `json:"state"`
	// PID and Start identify it, as in ProcessID; 0: it does not run.
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
	// Restarts counts how often the supervisor started it again.
	Restarts int `json:"restarts"`
}

// States of a supervised process.
const (
	ProcessRunning    = "running"    // it runs
	ProcessHeld       = "held"       // it was killed, and is held down
	ProcessStopped    = "stopped"    // it is frozen by SIGSTOP
	ProcessRestarting = "restarting" // it exited by itself, and will be started again
)

// A Count is what a counter URL answers.
type Count struct {
	// N has grown since the stack started.
	N int64 `json:"count"`
	// What is counted, without a full stop.
	What string `json:"what"`
}

// A RegionControl takes a region's process away and brings it back.
type RegionControl struct {
	stack  *Stack
	name   string
	region Region
}

// State asks the supervisor for the region's process.
func (r *RegionControl) State(ctx context.Context) (ProcessState, error) {
	all, err := r.stack.processes(ctx)
	if err != nil {
		return ProcessState{}, fmt.Errorf("region %s: %w", r.name, err)
	}
	s, ok := all[r.region.Process]
	if !ok {
		return s, fmt.Errorf("region %s: the supervisor has no process %q", r.name, r.region.Process)
	}
	return s, nil
}

// Resource names the process: the same for all handles of its stack.
func (r *RegionControl) Resource() string {
	return resourceURL(r.stack.supervisorURL("/v1/processes/" + url.PathEscape(r.region.Process)))
}

// Kill ends the process and holds it down. It returns once it has exited. Idempotent.
func (r *RegionControl) Kill(ctx context.Context) (ProcessState, error) { return r.act(ctx, "kill") }

// Stop freezes the process. It returns once it is frozen. Idempotent.
func (r *RegionControl) Stop(ctx context.Context) (ProcessState, error) { return r.act(ctx, "stop") }

// Start thaws the process, or starts it where it was. It returns once it serves. Idempotent.
func (r *RegionControl) Start(ctx context.Context) (ProcessState, error) { return r.act(ctx, "start") }

// Touched counts the requests that met the region's failure. False: the stack does not count them.
func (r *RegionControl) Touched(ctx context.Context) (Count, bool, error) {
	if r.region.Touched == "" {
		return Count{}, false, nil
	}
	var c Count
	if err := r.stack.ask(ctx, askLimit, http.MethodGet, r.region.Touched, &c); err != nil {
		return Count{}, true, fmt.Errorf("region %s: count what its failure touched: %w", r.name, err)
	}
	return c, true, nil
}

func (r *RegionControl) act(ctx context.Context, verb string) (ProcessState, error) {
	var s ProcessState
	u := r.stack.supervisorURL("/v1/processes/" + url.PathEscape(r.region.Process) + "/" + verb)
	if err := r.stack.ask(ctx, actLimit, http.MethodPost, u, &s); err != nil {
		return s, fmt.Errorf("%s region %s: %w", verb, r.name, r.stack.supervisorError(err))
	}
	return s, nil
}

// processes asks the supervisor for all of its processes, by name.
func (s *Stack) processes(ctx context.Context) (map[string]ProcessState, error) {
	if s.Gone() {
		return nil, s.gone()
	}
	var all map[string]ProcessState
	if err := s.ask(ctx, askLimit, http.MethodGet, s.supervisorURL("/v1/processes"), &all); err != nil {
		return nil, s.supervisorError(err)
	}
	return all, nil
}

func (s *Stack) supervisorURL(path string) string {
	return strings.TrimSuffix(s.handle.Supervisor.URL, "/") + path
}

func (s *Stack) gone() error {
	return fmt.Errorf("%w: its supervisor, %s, no longer runs", ErrGone, s.handle.Supervisor.Process)
}

// supervisorError tells a supervisor that has ended from one that lives and does not answer.
func (s *Stack) supervisorError(err error) error {
	if s.Gone() {
		return s.gone()
	}
	return fmt.Errorf("supervisor (%s, alive): %w", s.handle.Supervisor.Process, err)
}

// ask makes one call of a control API, whose answers are JSON and whose errors are {"error": "…"}.
func (s *Stack) ask(ctx context.Context, limit time.Duration, method, to string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, to, nil)
	if err != nil {
		return err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return err // has the method and the URL
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read from
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, to, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, to, resp.Status, reason(text))
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s %s: read the answer %.200q: %w", method, to, text, err)
	}
	return nil
}

// reason is the error that an answer's body gives, or the body's beginning.
func reason(text []byte) string {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &e) == nil && e.Error != "" {
		return e.Error
	}
	return fmt.Sprintf("%.200q", text)
}
