package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/failwhale/failwhale/results"
)

// TestMain lets the test binary be failwhale, so that scripts and the processes that failwhale
// starts run what is tested.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"failwhale": main})
}

// TestScripts runs the command line as a user would type it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("FAILWHALE_STATE", env.WorkDir+"/state")
			env.Values["t"] = env.T()
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "written": written, "inforce": inForce, "ask": ask, "unpack": unpack, "listening": listening, "agrees": agrees,
			"page": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv("PAGE", metricsPage(ts.ReadFile(args[0])))
			},
			"url": func(ts *testscript.TestScript, _ bool, args []string) {
				url := frontDoor(ts.ReadFile(args[0]))
				ts.Setenv("URL", url)
				ts.Setenv("ADDR", strings.TrimPrefix(url, "http://"))
			},
		},
	})
}

// exits CODE COMMAND...: runs the command and wants that exit code. On a machine that cannot put the load on
// in time failwhale says so, and decides nothing: then the script is skipped.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	code := 0
	var failed *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &failed) {
		code = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if t, ok := ts.Value("t").(testscript.T); ok && code == 4 && args[0] != "4" && strings.Contains(ts.ReadFile("stdout"), "generator-bound") {
		t.Skip("this machine is too slow for the load: " + strings.Join(args[1:], " "))
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("%s: exit %d; want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// patience bounds waits of scripts for other processes. It guards against hanging and measures nothing.
const patience = 60 * time.Second

func until(fail func(string, ...any), what string, ok func() bool) {
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			fail("waited %s for %s", patience, what)
			return
		}
	}
}

// written FILE: waits until the file is there.
func written(ts *testscript.TestScript, _ bool, args []string) {
	until(ts.Fatalf, args[0], func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	})
}

// inforce: waits until the journal has a fault in force.
func inForce(ts *testscript.TestScript, _ bool, _ []string) {
	until(ts.Fatalf, "a fault in force", func() bool { return inJournal(ts.Getenv("FAILWHALE_STATE"), "in force") })
}

// inJournal reports whether an entry of the journal in the state directory has this state.
func inJournal(state, want string) bool {
	list, _ := os.ReadDir(state + "/journal")
	for _, f := range list {
		text, _ := os.ReadFile(state + "/journal/" + f.Name())
		if strings.Contains(string(text), fmt.Sprintf("\n  \"state\": %q", want)) {
			return true
		}
	}
	return false
}

// ask HANDLE N: asks the stack's front door N times for a chat, and wants all of them served.
func ask(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(served(ts.ReadFile(args[0]), n))
}

// served asks the stack of a handle n times for a chat; an error says which was not served whole.
func served(handle string, n int) error {
	url := frontDoor(handle)
	for i := range n {
		body := strings.NewReader(`{"model":"8b-chat","stream":true,"max_tokens":5,"messages":[{"role":"user","content":"hello ` + fmt.Sprint(i) + `"}]}`)
		req, err := http.NewRequest(http.MethodPost, url+"/v1/chat/completions", body)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer sk-paid")
		resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
		if err != nil {
			return fmt.Errorf("chat %d: %w", i, err)
		}
		text, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return fmt.Errorf("chat %d: %w", i, err)
		}
		if resp.StatusCode != http.StatusOK || !strings.HasSuffix(string(text), "data: [DONE]\n\n") {
			return fmt.Errorf("chat %d: %s: %s", i, resp.Status, text)
		}
	}
	return nil
}

// frontDoor is the URL of the endpoint in a handle.
func frontDoor(handle string) string {
	_, after, _ := strings.Cut(handle, `"endpoints"`)
	_, after, _ = strings.Cut(after, `"url": "`)
	url, _, _ := strings.Cut(after, `"`)
	return url
}

// unpack LOG FILE: writes the records of a run's log as text.
func unpack(ts *testscript.TestScript, _ bool, args []string) {
	var text []byte
	for rec, err := range results.ReadLog(ts.MkAbs(args[0])) {
		ts.Check(err)
		line, err := json.Marshal(rec)
		ts.Check(err)
		text = append(append(text, line...), '\n')
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
}

// listening FILE: waits until a proxy has written where it listens.
func listening(ts *testscript.TestScript, _ bool, args []string) {
	until(ts.Fatalf, "a proxy that listens", func() bool {
		text, _ := os.ReadFile(ts.MkAbs(args[0]))
		return strings.Contains(string(text), "control: ")
	})
}
