package wire

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// A State is what a link has done, and what is in force on it.
type State struct {
	Link
	Accepted   int64 `json:"connections"`
	Open       int   `json:"open"`
	DialErrors int64 `json:"dial_errors"`
	Up         Flow  `json:"up"`
	Down       Flow  `json:"down"`
	// Fault is what is in force; nil: the link passes through.
	Fault *InForce `json:"fault,omitempty"`
}

// A Flow counts one direction since the link was opened. Delayed are the chunks that were held back.
type Flow struct {
	Bytes   int64 `json:"bytes"`
	Chunks  int64 `json:"chunks"`
	Delayed int64 `json:"delayed"`
}

// InForce is a fault and what is left of its lease.
type InForce struct {
	Fault   Fault   `json:"what"`
	Left    float64 `json:"lease_left_seconds"`
	Delayed int64   `json:"delayed"` // chunks held back since this id's fault came into force
}

func (l *link) state(now time.Time) State {
	l.mu.Lock()
	open := len(l.conns)
	l.mu.Unlock()
	s := State{
		Link: l.Link, Accepted: l.accepted.Load(), Open: open, DialErrors: l.dialErrors.Load(),
		Up: l.up.state(), Down: l.down.state(),
	}
	if f := l.current(now); f != nil {
		s.Fault = &InForce{f.Fault, f.expires.Sub(now).Seconds(), f.delayed.Load()}
	}
	return s
}

func (f *flow) state() Flow { return Flow{f.bytes.Load(), f.chunks.Load(), f.delayed.Load()} }

// ServeHTTP serves the control API, at /v1/links and below.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

type linksJSON struct {
	Links []State `json:"links"`
}

type errorJSON struct {
	Error string `json:"error"`
}

func (p *Proxy) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/links", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, linksJSON{p.Links()}, nil)
	})
	mux.HandleFunc("PUT /v1/links/{name}/fault", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&f); err != nil {
			answer(w, nil, errors.Join(ErrInvalid, err))
			return
		}
		s, err := p.SetFault(r.PathValue("name"), f)
		answer(w, s, err)
	})
	mux.HandleFunc("DELETE /v1/links/{name}/fault", func(w http.ResponseWriter, r *http.Request) {
		s, err := p.ClearFault(r.PathValue("name"), r.URL.Query().Get("id"))
		answer(w, s, err)
	})
	return mux
}

// statuses are the answers to errors, for both ends of the API.
func statuses() map[int]error {
	return map[int]error{
		http.StatusBadRequest: ErrInvalid, http.StatusNotFound: ErrUnknown,
		http.StatusConflict: ErrHeld, http.StatusGone: ErrLapsed,
	}
}

func answer(w http.ResponseWriter, body any, err error) {
	status := http.StatusOK
	if err != nil {
		status, body = http.StatusInternalServerError, errorJSON{err.Error()}
		for code, is := range statuses() {
			if errors.Is(err, is) {
				status = code
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone: there is no one to tell
}
