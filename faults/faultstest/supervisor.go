package faultstest

import (
	"crypto/rand"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/failwhale/failwhale/targets"
)

// A Supervisor serves the control API of a reference stack over processes that exist
// on paper only. It lives in the process of the test.
type Supervisor struct {
	server *httptest.Server
	id     string
	self   targets.ProcessID

	mu      sync.Mutex
	trouble Trouble
	states  map[string]targets.ProcessState // by region
	touched map[string]int64
	hang    map[string]chan struct{} // by verb: closed when it may go on
	entered chan string
}

// NewSupervisor serves regions, which all run, until the test's end.
func NewSupervisor(t *testing.T, regions ...string) *Supervisor {
	t.Helper()
	self, err := targets.SelfID()
	must(t, err)
	s := &Supervisor{
		id: "test-" + rand.Text(), self: self, states: map[string]targets.ProcessState{}, touched: map[string]int64{},
		hang: map[string]chan struct{}{}, entered: make(chan string, 16),
	}
	for i, r := range regions {
		s.states[r] = targets.ProcessState{State: targets.ProcessRunning, PID: 1000 + i, Start: 1}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/processes", s.list)
	mux.HandleFunc("POST /v1/processes/{name}/{verb}", s.act)
	mux.HandleFunc("GET /touched/{region}", s.count)
	s.server = httptest.NewServer(mux)
	t.Cleanup(s.server.Close)
	return s
}

// Handle names the supervisor's stack.
func (s *Supervisor) Handle() targets.Handle {
	h := targets.Handle{
		Version: targets.HandleVersion, ID: s.id, Regions: map[string]targets.Region{},
		Supervisor: &targets.Supervisor{URL: s.server.URL, Process: s.self},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.states {
		h.Regions[r] = targets.Region{Process: "region-" + r, Touched: s.server.URL + "/touched/" + r}
	}
	return h
}

// State of a region's process: one of targets' Process constants.
func (s *Supervisor) State(region string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states[region].State
}

// SetState makes a region's process what it was not asked to be.
func (s *Supervisor) SetState(region, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.states[region]
	p.State = state
	s.states[region] = p
}

// Request sends a request to a region: it is touched by the region's failure, if there is one.
func (s *Supervisor) Request(region string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.states[region].State != targets.ProcessRunning {
		s.touched[region]++
	}
}

// Trouble changes how the next calls are treated.
func (s *Supervisor) Trouble(t Trouble) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = t
}

// A Gate holds calls back.
type Gate struct {
	// Entered has the verb of each call that waits.
	Entered <-chan string
	// Pass lets one call go on, and Release all, for good.
	Pass, Release func()
}

// Hang makes the next calls of a verb wait at a gate: kill, stop and start before they do
// anything, "kill done" and so on after it and before the answer, list before it looks.
func (s *Supervisor) Hang(verb string) Gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	gate := make(chan struct{})
	s.hang[verb] = gate
	return Gate{s.entered, func() { gate <- struct{}{} }, sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.hang, verb)
		close(gate)
	})}
}

func (s *Supervisor) list(w http.ResponseWriter, _ *http.Request) {
	s.wait("list")
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]targets.ProcessState{}
	for r, p := range s.states {
		all["region-"+r] = p
	}
	answer(w, http.StatusOK, all)
}

func (s *Supervisor) act(w http.ResponseWriter, r *http.Request) {
	verb, region := r.PathValue("verb"), strings.TrimPrefix(r.PathValue("name"), "region-")
	s.wait(verb)
	defer s.wait(verb + " done")
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.states[region]
	if !ok {
		refuse(w, http.StatusNotFound, "unknown process: there are "+strings.Join(slices.Sorted(maps.Keys(s.states)), " "))
		return
	}
	if s.trouble == Refuse {
		refuse(w, http.StatusInternalServerError, "the supervisor refuses")
		return
	}
	if s.trouble == Ignore {
		answer(w, http.StatusOK, p)
		return
	}
	p.State = map[string]string{"kill": targets.ProcessHeld, "stop": targets.ProcessStopped, "start": targets.ProcessRunning}[verb]
	s.states[region] = p
	if s.trouble == Lose {
		refuse(w, http.StatusInternalServerError, "the supervisor lost its answer")
		return
	}
	answer(w, http.StatusOK, p)
}

func (s *Supervisor) wait(verb string) {
	s.mu.Lock()
	gate := s.hang[verb]
	s.mu.Unlock()
	if gate != nil {
		s.entered <- verb
		<-gate
	}
}

func (s *Supervisor) count(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	region := r.PathValue("region")
	answer(w, http.StatusOK, targets.Count{N: s.touched[region], What: "requests that met region " + region + "'s failure"})
}
