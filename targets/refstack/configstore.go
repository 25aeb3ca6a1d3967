package refstack

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// Headers between the config store and its readers. A reader names itself, and says which version
// it runs and whether it is well; the store answers with what it knows of the canary, as JSON.
const (
	headerReader  = "X-Reader"
	headerApplied = "X-Applied"
	headerHealthy = "X-Healthy"
	headerCanary  = "X-Canary"
)

// canaryAge is after how much silence a reader no longer counts as one: the next one by name is the canary.
const canaryAge = 2 * time.Second

// maxDocument is what the store takes. It does not look inside.
const maxDocument = 16 << 20

// A ConfigStore is one versioned document over HTTP:
//
//	GET  {path}          the text with its ETag; 304 with If-None-Match
//	PUT  {path}          If-Match is required (428 without, 412 if another version is in force)
//	GET  {path}/readers  {"count": n, "what": "..."}: who has read the version in force
//
// Any bytes are accepted: a store does not know what its readers can bear. It is safe for
// concurrent use.
type ConfigStore struct {
	file string
	mux  *http.ServeMux

	mu      sync.Mutex
	doc     document
	readers map[string]bool // of the version in force
	seen    map[string]sighting
}

// A document is a version as it is kept in the file.
type document struct {
	Version uint64 `json:"version"`
	Text    []byte `json:"text"` // base64: it need not be text
}

func (d document) etag() string {
	sum := sha256.Sum256(d.Text)
	return fmt.Sprintf(`"%d-%x"`, d.Version, sum[:6])
}

// A sighting is what a reader last said of itself.
type sighting struct {
	at, since time.Time // since it first said that it runs applied
	applied   string
	healthy   bool
}

// OpenConfigStore opens the store kept in file, with initial as version 1 if there is no file yet.
// path is the document's path in URLs: /config/router.
func OpenConfigStore(file, path string, initial []byte) (*ConfigStore, error) {
	s := &ConfigStore{file: file, readers: map[string]bool{}, seen: map[string]sighting{}, mux: http.NewServeMux()}
	s.mux.HandleFunc("GET "+path, s.get)
	s.mux.HandleFunc("PUT "+path, s.put)
	s.mux.HandleFunc("GET "+path+"/readers", s.count)
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, s.keep(document{Version: 1, Text: initial})
	case err != nil:
		return nil, fmt.Errorf("open config store: %w", err)
	}
	if err := json.Unmarshal(text, &s.doc); err != nil {
		return nil, fmt.Errorf("open config store: %s: %w", file, err)
	}
	return s, nil
}

// keep puts d in force, once it is on disk.
func (s *ConfigStore) keep(d document) error {
	text, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("keep config: %w", err)
	}
	if err := writeFile(s.file, text); err != nil {
		return fmt.Errorf("keep config: %w", err)
	}
	s.doc = d
	clear(s.readers)
	return nil
}

// ServeHTTP serves the paths above.
func (s *ConfigStore) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *ConfigStore) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	doc := s.doc
	etag := doc.etag()
	fresh := r.Header.Get("If-None-Match") != etag
	if reader := r.Header.Get(headerReader); reader != "" {
		s.sight(reader, r.Header, time.Now())
		if fresh && r.Method == http.MethodGet {
			s.readers[reader] = true
		}
		w.Header().Set(headerCanary, s.canary(time.Now()))
	}
	s.mu.Unlock()
	w.Header().Set("ETag", etag)
	if !fresh {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(doc.Text)))
	_, _ = w.Write(doc.Text) // a reader that has gone asks again
}

// sight notes what a reader says of itself. s.mu is held.
func (s *ConfigStore) sight(reader string, h http.Header, now time.Time) {
	last := s.seen[reader]
	next := sighting{at: now, since: last.since, applied: h.Get(headerApplied), healthy: h.Get(headerHealthy) == "true"}
	if next.applied != last.applied || !next.healthy || now.Sub(last.at) > canaryAge {
		next.since = now
	}
	s.seen[reader] = next
}

// canary is the first reader by name that is not silent, as JSON. s.mu is held.
func (s *ConfigStore) canary(now time.Time) string {
	var c Canary
	for name, at := range s.seen {
		if now.Sub(at.at) > canaryAge || (c.Name != "" && c.Name < name) {
			continue
		}
		c = Canary{Name: name, Applied: at.applied, For: at.at.Sub(at.since), Healthy: at.healthy}
	}
	text, err := json.Marshal(c)
	if err != nil { // four plain fields always encode
		return "{}"
	}
	return string(text)
}

func (s *ConfigStore) put(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDocument))
	if err != nil {
		writeJSON(w, http.StatusRequestEntityTooLarge, failure{fmt.Sprintf("read body: %v: want at most %d bytes", err, maxDocument)})
		return
	}
	match := r.Header.Get("If-Match")
	s.mu.Lock()
	defer s.mu.Unlock()
	switch etag := s.doc.etag(); {
	case match == "":
		writeJSON(w, http.StatusPreconditionRequired, failure{"If-Match is missing: send the ETag of the version that you replace"})
		return
	case match != etag && match != "*":
		w.Header().Set("ETag", etag)
		writeJSON(w, http.StatusPreconditionFailed, failure{fmt.Sprintf("version %s is in force, not %s", etag, match)})
		return
	}
	if err := s.keep(document{Version: s.doc.Version + 1, Text: text}); err != nil {
		writeJSON(w, http.StatusInternalServerError, failure{err.Error()})
		return
	}
	w.Header().Set("ETag", s.doc.etag())
	w.WriteHeader(http.StatusNoContent)
}

func (s *ConfigStore) count(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	n := len(s.readers)
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, counter{int64(n), "consumers that have read the version in force"})
}
