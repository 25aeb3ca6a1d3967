package faultstest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/failwhale/failwhale/targets"
)

// A Store is a config store over HTTP, with ETags, that counts its readers.
type Store struct {
	server *httptest.Server

	mu      sync.Mutex
	body    *string // nil: absent
	version int
	readers int64
	trouble Trouble
	untag   bool
}

// NewStore serves body, or nothing yet if it is nil, until the test's end.
func NewStore(t *testing.T, body *string) *Store {
	t.Helper()
	s := &Store{body: body, version: 1}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /config", s.get)
	mux.HandleFunc("PUT /config", s.change)
	mux.HandleFunc("DELETE /config", s.change)
	mux.HandleFunc("GET /readers", s.count)
	s.server = httptest.NewServer(mux)
	t.Cleanup(s.server.Close)
	return s
}

// Spec binds the store to a role.
func (s *Store) Spec() targets.Store {
	return targets.Store{URL: s.server.URL + "/config", Readers: s.server.URL + "/readers"}
}

// Body is what the store holds; false: nothing.
func (s *Store) Body() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body == nil {
		return "", false
	}
	return *s.body, true
}

// Put changes the store as someone else would; nil removes what is there.
func (s *Store) Put(body *string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(body)
}

// put makes body a new version, which nobody has read. s.mu is held.
func (s *Store) put(body *string) { s.body, s.version, s.readers = body, s.version+1, 0 }

// Poll is a consumer that reads what is in force.
func (s *Store) Poll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers++
}

// Trouble changes how the next changes are treated.
func (s *Store) Trouble(t Trouble) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = t
}

// Untag stops it from sending ETags.
func (s *Store) Untag() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untag = true
}

func (s *Store) tag() string { return fmt.Sprintf("%q", fmt.Sprintf("v%d", s.version)) }

func (s *Store) get(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body == nil {
		refuse(w, http.StatusNotFound, "there is no config")
		return
	}
	if !s.untag {
		w.Header().Set("ETag", s.tag())
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, *s.body) // the client is gone: there is no one to tell
}

func (s *Store) change(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	absent := r.Header.Get("If-None-Match") == "*" && s.body == nil
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
		return
	case !absent && (s.body == nil || r.Header.Get("If-Match") != s.tag()):
		refuse(w, http.StatusPreconditionFailed, "another version is in force")
		return
	case s.trouble == Refuse:
		refuse(w, http.StatusInternalServerError, "the store refuses")
		return
	case s.trouble == Ignore:
		return
	}
	body := new(string(text))
	if r.Method == http.MethodDelete {
		body = nil
	}
	s.put(body)
	if s.trouble == Lose {
		refuse(w, http.StatusInternalServerError, "the store lost its answer")
		return
	}
	w.Header().Set("ETag", s.tag())
}

func (s *Store) count(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer(w, http.StatusOK, targets.Count{N: s.readers, What: "consumers that have read the version in force"})
}
