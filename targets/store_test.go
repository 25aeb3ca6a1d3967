package targets_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/failwhale/failwhale/targets"
)

func store(t *testing.T, spec targets.Store) *targets.ConfigStore {
	t.Helper()
	s, err := attach(t, handle(func(h *targets.Handle) { h.Stores = map[string]targets.Store{"cfg": spec} })).Store("cfg")
	must(t, err)
	return s
}

// read returns what the store holds.
func read(t *testing.T, s *targets.ConfigStore) targets.Document {
	t.Helper()
	d, err := s.Read(t.Context())
	must(t, err)
	return d
}

// A file is replaced by one that differs in nothing but its bytes.
func TestFileStore(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	must(t, os.WriteFile(file, []byte("old"), 0o600))
	must(t, os.Chmod(file, 0o640))
	must(t, os.Symlink("real", link))
	s := store(t, targets.Store{File: link})
	must(t, s.Check(t.Context()))
	old := read(t, s)
	must(t, s.Swap(t.Context(), old, []byte("new")))
	if d := read(t, s); string(d.Body) != "new" || d.Version == old.Version || d.Absent {
		t.Errorf("Read() after Swap = %+v, want new, of another version", d)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o640 {
		t.Errorf("the file has mode %v, %v; want 0640 as before", info.Mode(), err)
	}
	if to, err := os.Readlink(link); err != nil || to != "real" {
		t.Errorf("the link goes to %q, %v; want that it still is one", to, err)
	}
	for call, err := range map[string]error{
		"Swap":   s.Swap(t.Context(), old, []byte("newer")),
		"Remove": s.Remove(t.Context(), old),
		"Create": s.Swap(t.Context(), targets.Document{Absent: true}, []byte("newer")),
	} {
		if !errors.Is(err, targets.ErrChanged) {
			t.Errorf("%s() on what is no longer there = %v, want ErrChanged", call, err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("the directory holds %v, %v; want the file and its link", list, err)
	}
}

// Nothing is not the same as an empty file.
func TestFileStoreAbsent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cfg")
	s := store(t, targets.Store{File: path})
	if d := read(t, s); !d.Absent {
		t.Fatalf("Read() of nothing = %+v, want absent", d)
	}
	must(t, s.Swap(t.Context(), targets.Document{Absent: true}, nil))
	d := read(t, s)
	if d.Absent || len(d.Body) != 0 || d.Version == "" {
		t.Errorf("Read() of an empty file = %+v, want it there", d)
	}
	must(t, s.Remove(t.Context(), d))
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat() after Remove = %v, want that it does not exist", err)
	}
}

// What cannot be replaced is told before anything is written.
func TestFileStoreRefuses(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	must(t, os.Mkdir(filepath.Join(dir, "dir"), 0o700))
	for file, want := range map[string]string{
		filepath.Join(dir, "dangling"): "link to nothing",
		filepath.Join(dir, "dir"):      "no regular file",
		filepath.Join(dir, "no/where"): "no such file",
	} {
		_, err := store(t, targets.Store{File: file}).Read(t.Context())
		wantError(t, "Read("+file+")", err, "store cfg", want)
	}
	wantError(t, "Check(/proc/x)", store(t, targets.Store{File: "/proc/failwhale"}).Swap(t.Context(), targets.Document{Absent: true}, nil), "store cfg")
}

// What a killed process has left of a change goes with the next; one that is being made stays.
func TestFileStoreSweeps(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cfg")
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	s := store(t, targets.Store{File: path})
	sum := sha256.Sum256([]byte("cfg"))
	temp := func(name string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		must(t, err)
		t.Cleanup(func() { must(t, f.Close()) })
		return f
	}
	prefix := fmt.Sprintf(".failwhale-%x-", sum[:6])
	busy := temp(prefix + "busy")
	must(t, syscall.Flock(int(busy.Fd()), syscall.LOCK_EX))
	temp(".failwhale-000000000000-anothers")
	for name, change := range map[string]func() error{
		"Fence": func() error { return s.Fence(t.Context(), read(t, s)) },
		"Swap":  func() error { return s.Swap(t.Context(), read(t, s), []byte("new")) },
	} {
		temp(prefix + "left")
		must(t, change())
		list, err := os.ReadDir(dir)
		if err != nil || len(list) != 3 {
			t.Errorf("after %s the directory holds %v, %v; want the file, the temp in use and another file's", name, list, err)
		}
	}
	if err := s.Fence(t.Context(), targets.Document{Body: []byte("old"), Version: "x"}); !errors.Is(err, targets.ErrChanged) {
		t.Errorf("Fence() on what is no longer there = %v, want ErrChanged", err)
	}
}

// What is changed has one name, whoever names it how.
func TestResources(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "real"), nil, 0o600))
	must(t, os.Symlink("real", filepath.Join(dir, "link")))
	for _, tt := range [][2]targets.Store{
		{{File: filepath.Join(dir, "real")}, {File: filepath.Join(dir, "link")}},
		{{URL: "http://user:secret@Host/cfg"}, {URL: "HTTP://host/cfg"}},
	} {
		if a, b := store(t, tt[0]).Resource(), store(t, tt[1]).Resource(); a != b || a == "" || strings.Contains(a, "secret") {
			t.Errorf("Resource() of %+v and %+v = %q and %q, want the same without a secret", tt[0], tt[1], a, b)
		}
	}
	if a := store(t, targets.Store{URL: "http://host/cfg"}).Resource(); a == store(t, targets.Store{URL: "http://host/other"}).Resource() {
		t.Errorf("Resource() of two documents = %q twice", a)
	}
}

// A server's answers, as other servers than ours give them.
func TestHTTPStore(t *testing.T) {
	for _, tt := range []struct {
		name   string
		serve  http.HandlerFunc
		want   []string
		change bool // the error is that of a Swap, else of Read
		is     error
	}{
		{name: "no ETag", serve: func(http.ResponseWriter, *http.Request) {}, want: []string{"no ETag", "If-Match"}},
		{name: "a weak ETag", serve: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `W/"1"`) }, want: []string{`W/"1"`, "weak"}},
		{name: "an error", serve: func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error": "no quorum"}`, http.StatusServiceUnavailable)
		}, want: []string{"503", "no quorum"}},
		{name: "elsewhere", serve: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, want: []string{"302"}},
		{name: "changed meanwhile", change: true, serve: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(412) }, want: []string{"PUT", "changed meanwhile"}, is: targets.ErrChanged},
		{name: "read only", change: true, serve: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(405) }, want: []string{"PUT", "405"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.serve)
			defer server.Close()
			s := store(t, targets.Store{URL: server.URL})
			var err error
			if tt.change {
				err = s.Swap(t.Context(), targets.Document{Version: `"1"`}, nil)
			} else {
				_, err = s.Read(t.Context())
			}
			wantError(t, "the call", err, append(tt.want, "store cfg")...)
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("the call = %v, want it to be %v", err, tt.is)
			}
		})
	}
}

// A change is made on the version that was read, under its own media type.
func TestHTTPStoreConditions(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, r.Method+" "+r.Header.Get("If-Match")+r.Header.Get("If-None-Match")+" "+r.Header.Get("Content-Type")+" "+string(body))
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Type", "application/yaml")
	}))
	defer server.Close()
	s := store(t, targets.Store{URL: server.URL})
	d := read(t, s)
	must(t, s.Swap(t.Context(), d, []byte("a: 1")))
	must(t, s.Fence(t.Context(), d))
	must(t, s.Remove(t.Context(), d))
	must(t, s.Swap(t.Context(), targets.Document{Absent: true}, []byte("x")))
	wantError(t, "Fence(absent)", s.Fence(t.Context(), targets.Document{Absent: true}), "store cfg", "no document")
	want := []string{"GET   ", `PUT "v1" application/yaml a: 1`, `PUT "v1" application/yaml `, `DELETE "v1"  `, "PUT * application/octet-stream x"}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Errorf("request %d of %q, want %q", i, got, want[i])
		}
	}
}
