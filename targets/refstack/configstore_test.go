package refstack_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/targets/refstack"
)

// A storeClient calls a ConfigStore's handler.
type storeClient struct {
	*testing.T
	store *refstack.ConfigStore
}

func openStore(t *testing.T, file, initial string) *storeClient {
	t.Helper()
	s, err := refstack.OpenConfigStore(file, "/config/router", []byte(initial))
	if err != nil {
		t.Fatal(err)
	}
	return &storeClient{t, s}
}

// do returns status, ETag and body. Headers come in pairs.
func (c *storeClient) do(method, path, body string, headers ...string) (int, string, string) {
	c.Helper()
	r := httptest.NewRequestWithContext(c.Context(), method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	c.store.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		c.Fatal(err)
	}
	return w.Code, w.Header().Get("ETag"), string(text)
}

func (c *storeClient) readers() int64 {
	c.Helper()
	var n struct {
		Count int64  `json:"count"`
		What  string `json:"what"`
	}
	_, _, text := c.do(http.MethodGet, "/config/router/readers", "")
	if err := json.Unmarshal([]byte(text), &n); err != nil || n.What == "" {
		c.Fatalf("GET readers = %q (%v), want a count and what is counted", text, err)
	}
	return n.Count
}

// The store is a resource with an ETag: unchanged is 304, a change needs the version that it replaces.
func TestConfigStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	c := openStore(t, file, "one")
	code, first, text := c.do(http.MethodGet, "/config/router", "")
	if code != http.StatusOK || text != "one" || first == "" {
		t.Fatalf("GET = %d, %q, ETag %q, want 200, one and an ETag", code, text, first)
	}
	if code, _, text := c.do(http.MethodGet, "/config/router", "", "If-None-Match", first); code != http.StatusNotModified || text != "" {
		t.Errorf("GET with If-None-Match = %d, %q, want 304 and nothing", code, text)
	}
	if code, _, _ := c.do(http.MethodPut, "/config/router", "two"); code != http.StatusPreconditionRequired {
		t.Errorf("PUT without If-Match = %d, want 428", code)
	}
	if code, etag, _ := c.do(http.MethodPut, "/config/router", "two", "If-Match", `"stale"`); code != http.StatusPreconditionFailed || etag != first {
		t.Errorf("PUT with a stale If-Match = %d, ETag %q, want 412 and the one in force, %q", code, etag, first)
	}
	broken := "\x00\xff not JSON"
	code, second, _ := c.do(http.MethodPut, "/config/router", broken, "If-Match", first)
	if code != http.StatusNoContent || second == first || second == "" {
		t.Errorf("PUT = %d, ETag %q, want 204 and a new ETag", code, second)
	}
	// Another process of the same file sees what was put.
	c = openStore(t, file, "one")
	if _, etag, text := c.do(http.MethodGet, "/config/router", ""); etag != second || text != broken {
		t.Errorf("after a restart GET = %q, ETag %q, want %q, %q", text, etag, broken, second)
	}
	// The same text again is another version: who put it back can tell.
	if _, third, _ := c.do(http.MethodPut, "/config/router", "one", "If-Match", second); third == first {
		t.Errorf("the first text again has ETag %q as before, want a new one", third)
	}
}

// Readers are counted once each, for the version in force, when they have read it.
func TestConfigStoreReaders(t *testing.T) {
	c := openStore(t, filepath.Join(t.TempDir(), "config"), "one")
	_, etag, _ := c.do(http.MethodGet, "/config/router", "") // not a reader: it has no name
	for i, want := range []int64{1, 1, 2} {
		reader := []string{"east", "east", "west"}[i]
		c.do(http.MethodGet, "/config/router", "", "X-Reader", reader)
		if got := c.readers(); got != want {
			t.Errorf("readers after %s read = %d, want %d", reader, got, want)
		}
	}
	c.do(http.MethodPut, "/config/router", "two", "If-Match", etag)
	if got := c.readers(); got != 0 {
		t.Errorf("readers of a new version = %d, want 0", got)
	}
	_, etag, _ = c.do(http.MethodGet, "/config/router", "", "X-Reader", "west")
	c.do(http.MethodGet, "/config/router", "", "X-Reader", "east", "If-None-Match", etag)
	if got := c.readers(); got != 1 {
		t.Errorf("readers after one read it and one was told that it has it = %d, want 1", got)
	}
}

// The canary is the first reader by name, whoever asks, and as it describes itself.
func TestConfigStoreCanary(t *testing.T) {
	c := openStore(t, filepath.Join(t.TempDir(), "config"), "one")
	ask := func(reader, applied string) refstack.Canary {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/config/router", http.NoBody)
		r.Header.Set("X-Reader", reader)
		r.Header.Set("X-Applied", applied)
		r.Header.Set("X-Healthy", "true")
		w := httptest.NewRecorder()
		c.store.ServeHTTP(w, r)
		var canary refstack.Canary
		if err := json.Unmarshal([]byte(w.Header().Get("X-Canary")), &canary); err != nil {
			t.Fatal(err)
		}
		return canary
	}
	if got := ask("west", "1"); got.Name != "west" || got.Applied != "1" || !got.Healthy {
		t.Errorf("canary for the only reader = %+v, want itself", got)
	}
	ask("east", "2")
	if got := ask("west", "1"); got.Name != "east" || got.Applied != "2" {
		t.Errorf("canary = %+v, want east, which runs 2", got)
	}
	if got := ask("east", "3"); got.For != 0 {
		t.Errorf("canary that has just changed = %+v, want For 0", got)
	}
}
