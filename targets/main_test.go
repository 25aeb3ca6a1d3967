package targets_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/targets"
)

// stackCommand makes the test binary a reference stack on paper: it does what its second
// argument says.
const stackCommand = "test-stack"

// TestMain runs that stack, or the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == stackCommand {
		if err := paperStack(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func paperStack(how string, args []string) error {
	fmt.Println("how:", how, "args:", strings.Join(args, " "))
	if how == "crash" {
		return fmt.Errorf("region-east: address already in use")
	}
	if how == "serve" || how == "stubborn" {
		if err := writePaperHandle(args); err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, os.Stdin) // the lifeline
	if how == "stubborn" {
		select {}
	}
	return err
}

// writePaperHandle serves an empty supervisor and writes its handle where --write says.
func writePaperHandle(args []string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		_ = http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "{}")
		}))
	}()
	self, err := targets.SelfID()
	if err != nil {
		return err
	}
	text, err := json.Marshal(targets.Handle{
		Version: targets.HandleVersion, ID: "paper", Reference: new(targets.Reference),
		Supervisor: &targets.Supervisor{URL: "http://" + ln.Addr().String(), Process: self},
	})
	if err != nil {
		return err
	}
	for i, a := range args {
		if a == "--write" {
			temp := filepath.Join(filepath.Dir(args[i+1]), "temp")
			if err := os.WriteFile(temp, text, 0o600); err != nil {
				return err
			}
			return os.Rename(temp, args[i+1])
		}
	}
	return fmt.Errorf("no --write in %q", args)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError fails unless err's text has every part.
func wantError(t *testing.T, call string, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s = nil, want an error with %q", call, parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%s = %q, want it to say %q", call, err, p)
		}
	}
}

// handle is the handle of a real stack.
func handle(with func(*targets.Handle)) targets.Handle {
	h := targets.Handle{Version: targets.HandleVersion, ID: "test"}
	with(&h)
	return h
}

func attach(t *testing.T, h targets.Handle) *targets.Stack {
	t.Helper()
	s, err := targets.Attach(t.Context(), h)
	must(t, err)
	return s
}
