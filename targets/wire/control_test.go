package wire_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/targets/wire"
)

// What is asked over HTTP comes into force as it was asked, and can be read back.
func TestClientSaysWhatTheProxyDoes(t *testing.T) {
	upstream := serve(t, echo)
	p, addr := proxyTo(t, wire.Config{}, upstream)
	api := httptest.NewServer(p)
	defer api.Close()
	client := wire.NewClient(api.URL+"/", api.Client())
	f := wire.Fault{ID: "run/1 &x", Lease: 40 * time.Second, Latency: 3 * time.Millisecond, Jitter: time.Millisecond, Direction: wire.Both, Seed: 9}
	s, err := client.SetFault(t.Context(), "db", f)
	if err != nil || s.Fault == nil {
		t.Fatalf("SetFault(db, %+v) = %+v, %v; want it in force", f, s, err)
	}
	if diff := cmp.Diff(f, s.Fault.Fault); diff != "" {
		t.Errorf("SetFault(db): in force is another fault (-want +got):\n%s", diff)
	}
	c := dial(t, addr)
	ping(t, c)
	links, err := client.Links(t.Context())
	if err != nil || len(links) != 1 {
		t.Fatalf("Links() = %+v, %v; want one link", links, err)
	}
	got := links[0]
	if got.Accepted != 1 || got.Open != 1 || got.Up.Delayed != 1 || got.Down.Delayed != 1 || got.Fault.Delayed != 2 || got.Fault.Left <= 0 {
		t.Errorf("Links()[0] = %+v %+v; want 1 connection, and one chunk delayed each way", got, got.Fault)
	}
	if s, err := client.ClearFault(t.Context(), "db", f.ID); err != nil || s.Fault != nil {
		t.Errorf("ClearFault(db, %q) = %+v, %v; want no fault left", f.ID, s.Fault, err)
	}
}

// The client returns the errors of the proxy, with its words.
func TestClientErrors(t *testing.T) {
	p, _ := proxyTo(t, wire.Config{}, "127.0.0.1:1")
	api := httptest.NewServer(p)
	defer api.Close()
	set(t, p, wire.Fault{ID: "theirs", Latency: time.Second})
	client := wire.NewClient(api.URL, api.Client())
	good := wire.Fault{ID: "mine", Lease: time.Second, Latency: time.Second}
	change := func(f func(*wire.Fault)) wire.Fault { g := good; f(&g); return g }
	for _, tt := range []struct {
		name, link string
		fault      wire.Fault
		is         error
		text       string
	}{
		{"unknown link", "dbx", good, wire.ErrUnknown, "[db]"},
		{"held", "db", good, wire.ErrHeld, "theirs"},
		{"no id", "db", change(func(f *wire.Fault) { f.ID = "" }), wire.ErrInvalid, "id"},
		{"no lease", "db", change(func(f *wire.Fault) { f.Lease = 0 }), wire.ErrInvalid, "lease"},
		{"endless lease", "db", change(func(f *wire.Fault) { f.Lease = time.Hour }), wire.ErrInvalid, "1m0s"},
		{"no latency", "db", change(func(f *wire.Fault) { f.Latency = 0 }), wire.ErrInvalid, "delete"},
		{"much jitter", "db", change(func(f *wire.Fault) { f.Jitter = time.Minute }), wire.ErrInvalid, "jitter"},
	} {
		s, err := client.SetFault(t.Context(), tt.link, tt.fault)
		if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: SetFault(%s, %+v) = %+v, %v; want %q with %q", tt.name, tt.link, tt.fault, s, err, tt.is, tt.text)
		}
	}
	if _, err := client.ClearFault(t.Context(), "dbx", "x"); !errors.Is(err, wire.ErrUnknown) {
		t.Errorf("ClearFault(dbx) = %v, want ErrUnknown", err)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if _, err := wire.NewClient(other.URL, other.Client()).Links(t.Context()); err == nil || !strings.Contains(err.Error(), "no wire proxy") {
		t.Errorf("Links() of something else = %v, want an error that says so", err)
	}
}

// A request that makes no sense changes nothing and is told why.
func TestBadRequests(t *testing.T) {
	p, _ := proxyTo(t, wire.Config{}, "127.0.0.1:1")
	for name, body := range map[string]string{
		"no JSON":       `{`,
		"a bare number": `{"id":"x","lease":"5s","latency":"100"}`,
		"no direction":  `{"id":"x","lease":"5s","latency":"1s","direction":"sideways"}`,
	} {
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, httptest.NewRequest(http.MethodPut, "/v1/links/db/fault", strings.NewReader(body)))
		var e struct{ Error string }
		if err := json.Unmarshal(rec.Body.Bytes(), &e); rec.Code != http.StatusBadRequest || err != nil || e.Error == "" {
			t.Errorf("%s: PUT %s = %d %s, want 400 with an error", name, body, rec.Code, rec.Body)
		}
	}
	if _, err := p.Add(wire.Link{Name: "db", Listen: "127.0.0.1:0"}); err == nil {
		t.Error("Add(db) twice = nil, want an error")
	}
}
