package targets_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/failwhale/failwhale/targets"
)

func endpoint(url string) map[string]targets.Endpoint {
	return map[string]targets.Endpoint{"api": {URL: url}}
}

// A real stack is known by its front doors, however they are written.
func TestOpenEndpoints(t *testing.T) {
	id := func(e map[string]targets.Endpoint) string {
		t.Helper()
		s, err := targets.Open(t.Context(), targets.Spec{Endpoints: e}, targets.Launcher{})
		must(t, err)
		must(t, s.Close(t.Context()))
		return s.Handle().ID
	}
	want := id(endpoint("https://api.example.com"))
	for _, same := range []string{"https://API.example.com/", "https://api.example.com/v1", "https://api.example.com/v1/"} {
		if got := id(endpoint(same)); got != want {
			t.Errorf("ID of %s = %s, want that of https://api.example.com: %s", same, got, want)
		}
	}
	two := map[string]targets.Endpoint{"a": {URL: "https://api.example.com"}, "b": {URL: "https://other.example.com"}}
	if got := id(two); got == want || got == id(endpoint("https://other.example.com")) {
		t.Errorf("ID of two endpoints = %s, that of one", got)
	}
}

// Every mistake is told before anything is touched, and unknown names with the known ones.
func TestOpenErrors(t *testing.T) {
	ok := endpoint("http://127.0.0.1:1")
	for _, tt := range []struct {
		name string
		spec targets.Spec
		want []string
	}{
		{"nothing", targets.Spec{}, []string{"exactly one of reference, attach and endpoints"}},
		{"two", targets.Spec{Attach: "x", Endpoints: ok}, []string{"exactly one"}},
		{"no launcher", targets.Spec{Reference: new(targets.Reference)}, []string{"no command"}},
		{"no URL", targets.Spec{Endpoints: endpoint("api.example.com")}, []string{"endpoint api", `"api.example.com"`, "https://HOST"}},
		{"a URL with secrets", targets.Spec{Endpoints: endpoint("ftp://user:hunter2@host/x?key=hunter2")}, []string{"endpoint api", `"ftp://xxxxx@host/x"`}},
		{"an unreadable URL with secrets", targets.Spec{Endpoints: endpoint("http://user:hunter2@host:port?key=hunter2")}, []string{`"http://xxxxx@host:port"`}},
		{"a store of two kinds", targets.Spec{Endpoints: ok, Stores: map[string]targets.Store{"cfg": {URL: "http://x", File: "y"}}}, []string{"store cfg", "exactly one of url and file"}},
		{"a dependency of nothing", targets.Spec{Endpoints: ok, Dependencies: map[string]targets.Dependency{"db": {}}}, []string{"dependency db", "links"}},
		{"a GPU without UUID", targets.Spec{Endpoints: ok, GPUs: map[string]targets.GPU{"g": {}}}, []string{"gpu g", "nvidia-smi -L"}},
		{"no handle", targets.Spec{Attach: "/nonexistent"}, []string{"read the stack's handle", "/nonexistent"}},
	} {
		_, err := targets.Open(t.Context(), tt.spec, targets.Launcher{})
		wantError(t, tt.name+": Open()", err, tt.want...)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: Open() = %v, which tells the password", tt.name, err)
		}
	}
	s, err := targets.Open(t.Context(), targets.Spec{Endpoints: ok, Stores: map[string]targets.Store{"cfg": {File: "rel"}, "b": {URL: "http://x"}}}, targets.Launcher{})
	must(t, err)
	if got := s.Handle().Stores["cfg"].File; !filepath.IsAbs(got) {
		t.Errorf("the handle's file is %q, want an absolute path: the undo may run elsewhere", got)
	}
	spec := targets.Spec{Endpoints: ok, GPUs: map[string]targets.GPU{
		"script": {UUID: "GPU-1", SMI: []string{"./smi.sh", "-x"}}, "path": {UUID: "GPU-2", SMI: []string{"ssh", "./host"}}, "none": {UUID: "GPU-3"},
	}}
	here, err := targets.Open(t.Context(), spec, targets.Launcher{})
	must(t, err)
	gpus := here.Handle().GPUs
	if smi := gpus["script"].SMI; len(smi) != 2 || !filepath.IsAbs(smi[0]) || smi[1] != "-x" || spec.GPUs["script"].SMI[0] != "./smi.sh" {
		t.Errorf("the handle's smi is %q, want an absolute path, and the spec untouched: %q", smi, spec.GPUs["script"].SMI)
	}
	if smi := gpus["path"].SMI; smi[0] != "ssh" || smi[1] != "./host" || gpus["none"].SMI != nil {
		t.Errorf("the handle's smi are %q and %q, want those of PATH as they were", smi, gpus["none"].SMI)
	}
	_, err = s.Store("cgf")
	wantError(t, "Store(cgf)", err, `unknown store "cgf"`, "[b cfg]")
	_, err = s.Region("east")
	wantError(t, "Region(east)", err, `unknown region "east"`, "has none")
	if s.Gone() {
		t.Error("Gone() of a stack without a supervisor = true, want false")
	}
}

// A file that is no handle, or one of another version, is not attached to.
func TestReadHandle(t *testing.T) {
	for text, want := range map[string]string{"": "unexpected end", "{}": "failwhale stack --write", `{"version": 9, "id": "x"}`: "version 9"} {
		file := filepath.Join(t.TempDir(), "stack.json")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := targets.Open(t.Context(), targets.Spec{Attach: file}, targets.Launcher{})
		wantError(t, "Open(attach: "+text+")", err, want)
	}
}

func launcher(t *testing.T, how string) targets.Launcher {
	t.Helper()
	return targets.Launcher{Argv: []string{os.Args[0], stackCommand, how}, Dir: t.TempDir()}
}

func paperSpec() targets.Spec {
	return targets.Spec{Reference: &targets.Reference{
		Regions: []string{"a", "b"}, Replicas: 2, Resilience: targets.Flawed, Knobs: targets.Knobs{Edge: targets.Hardened, Queue: targets.Flawed},
	}}
}

// A reference stack lives as long as its run: not shorter because a pipe was forgotten, and not longer.
func TestOpenReference(t *testing.T) {
	l := launcher(t, "serve")
	s, err := targets.Open(t.Context(), paperSpec(), l)
	must(t, err)
	log, err := os.ReadFile(filepath.Join(l.Dir, "stack.log"))
	must(t, err)
	want := "how: serve args: --resilience flawed --regions a,b --replicas 2 --knob edge=hardened --knob queue=flawed --write " +
		filepath.Join(l.Dir, "stack.json") + " --lifeline\n"
	if string(log) != want {
		t.Errorf("the stack was started with\n%swant\n%s", log, want)
	}
	for range 5 {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	if s.Gone() {
		t.Error("Gone() = true while the run goes on, want false")
	}
	h := s.Handle()
	must(t, s.Close(t.Context()))
	must(t, s.Close(t.Context()))
	if _, err := targets.Attach(t.Context(), h); !errors.Is(err, targets.ErrGone) || !s.Gone() {
		t.Errorf("Attach() after Close = %v, want ErrGone", err)
	}
}

// Every knob that a plan may turn reaches the stack, under the name by which it is set there.
func TestEveryKnobIsPassedOn(t *testing.T) {
	r := new(targets.Reference)
	knobs := reflect.ValueOf(&r.Knobs).Elem()
	var want []string
	for field, value := range knobs.Fields() {
		value.SetString(string(targets.Flawed))
		want = append(want, "--knob "+field.Tag.Get("yaml")+"=flawed")
	}
	l := launcher(t, "crash")
	_, err := targets.Open(t.Context(), targets.Spec{Reference: r}, l)
	wantError(t, "Open()", err, append(want, "how: crash")...)
	for _, w := range want {
		must(t, new(targets.Knobs).Set(strings.TrimPrefix(w, "--knob ")))
	}
}

// A stack that does not come to serve is an error with its own words, and leaves no process.
func TestOpenReferenceFails(t *testing.T) {
	_, err := targets.Open(t.Context(), paperSpec(), launcher(t, "crash"))
	wantError(t, "Open() of a stack that crashes", err, "ended before it served", "exit status 1", "address already in use")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errors.New("enough"))
	defer cancel()
	_, err = targets.Open(ctx, paperSpec(), launcher(t, "silent"))
	wantError(t, "Open() under a context that ends", err, "enough")
	_, err = targets.Open(t.Context(), paperSpec(), targets.Launcher{Argv: []string{"/nonexistent/failwhale"}, Dir: t.TempDir()})
	wantError(t, "Open() of no program", err, "/nonexistent/failwhale")
}

// A stack that does not end with its lifeline is ended.
func TestCloseForces(t *testing.T) {
	s, err := targets.Open(t.Context(), paperSpec(), launcher(t, "stubborn"))
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	wantError(t, "Close()", s.Close(ctx), "was killed")
	if !s.Gone() {
		t.Error("after Close the stack is still there")
	}
}

// A supervisor that lives and does not answer is an error; that everything is undone would be a guess.
func TestASilentSupervisorIsNotGone(t *testing.T) {
	self, err := targets.SelfID()
	must(t, err)
	server := httptest.NewServer(http.NotFoundHandler())
	for name, url := range map[string]string{"nobody": "http://127.0.0.1:1", "another server": server.URL} {
		h := handle(func(h *targets.Handle) {
			h.Supervisor = &targets.Supervisor{URL: url, Process: self}
			h.Regions = map[string]targets.Region{"east": {Process: "region-east"}}
		})
		r, err := attach(t, h).Region("east")
		must(t, err)
		_, err = r.State(t.Context())
		wantError(t, name+": State()", err, "alive")
		if errors.Is(err, targets.ErrGone) {
			t.Errorf("%s: State() = %v, which is ErrGone", name, err)
		}
		h.Supervisor.Process.Start++
		if _, err := targets.Attach(t.Context(), h); !errors.Is(err, targets.ErrGone) {
			t.Errorf("%s: Attach() to a dead supervisor = %v, want ErrGone", name, err)
		}
	}
	server.Close()
}
