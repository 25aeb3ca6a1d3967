package refstack_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/refstack"
)

// hang is how long anything may take before a test gives up. It is no measure of speed.
const hang = 45 * time.Second

// A testStack is a whole stack, supervised by this process.
type testStack struct {
	*testing.T
	targets.Handle
	log *syncBuffer
}

// startStack starts a stack and stops it when the test ends, which must leave nothing behind.
func startStack(t *testing.T, resilience targets.Resilience, knobs ...string) *testStack {
	t.Helper()
	cfg := config(t.TempDir())
	cfg.Reference = targets.Reference{Resilience: resilience, Replicas: 2}
	for _, k := range knobs {
		if err := cfg.Reference.Knobs.Set(k); err != nil {
			t.Fatal(err)
		}
	}
	log := &syncBuffer{}
	ready := make(chan targets.Handle, 1)
	cfg.Log, cfg.Ready = log, func(h targets.Handle) { ready <- h }
	cfg.Write = filepath.Join(cfg.Dir, "handle.json")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- refstack.Supervise(ctx, cfg) }()
	s := &testStack{T: t, log: log}
	select {
	case s.Handle = <-ready:
	case err := <-done:
		cancel()
		t.Fatalf("Supervise = %v before the stack was ready\n%s", err, log)
	}
	pids := s.processes()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Supervise = %v, want nil", err)
		}
		for name, p := range pids {
			if targets.ProcessAlive(targets.ProcessID{PID: p.PID, Start: p.Start}) {
				t.Errorf("%s (pid %d) is alive after Supervise returned", name, p.PID)
			}
		}
		if t.Failed() {
			t.Logf("the stack's log:\n%s", log)
		}
	})
	written, err := targets.ReadHandle(cfg.Write)
	if err != nil || written.ID != s.ID {
		t.Fatalf("ReadHandle = %q (%v), want the stack %s", written.ID, err, s.ID)
	}
	return s
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// call makes a request of a control API or of the edge. Headers come in pairs.
func (s *testStack) call(method, url, body string, headers ...string) (int, http.Header, string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), hang)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatalf("%s %s: %v", method, url, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatalf("%s %s: %v", method, url, err)
	}
	return res.StatusCode, res.Header, string(text)
}

func (s *testStack) processes() map[string]targets.ProcessState {
	s.Helper()
	var all map[string]targets.ProcessState
	_, _, text := s.call(http.MethodGet, s.Supervisor.URL+"/v1/processes", "")
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		s.Fatal(err)
	}
	return all
}

// order gives the supervisor an order and checks the state that it answers.
func (s *testStack) order(verb, process, want string) {
	s.Helper()
	code, _, text := s.call(http.MethodPost, s.Supervisor.URL+"/v1/processes/"+process+"/"+verb, "")
	var p targets.ProcessState
	if err := json.Unmarshal([]byte(text), &p); err != nil || code != http.StatusOK || p.State != want {
		s.Fatalf("%s %s = %d %s, want 200 and %s", verb, process, code, text, want)
	}
}

func (s *testStack) count(url string) int64 {
	s.Helper()
	var n targets.Count
	_, _, text := s.call(http.MethodGet, url, "")
	if err := json.Unmarshal([]byte(text), &n); err != nil || n.What == "" {
		s.Fatalf("GET %s = %q, want a count and what is counted", url, text)
	}
	return n.N
}

// eventually waits until ok says so.
func (s *testStack) eventually(what string, ok func() bool) {
	s.Helper()
	for end := time.Now().Add(hang); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("%s: not after %s", what, hang)
		}
	}
}

// A chat is a streamed answer as a careful client sees it.
type chat struct {
	status          int
	region, replica string
	text            []string // one for each content chunk
	ttft, tpot      time.Duration
	finish          string
	usage           int  // completion tokens
	done            bool // [DONE] came, and nothing after it
	failed          string
}

// A request asks for a chat.
type request struct {
	nonce, region, key string
	words, output      int
}

// open asks, and returns once the headers have come. The caller closes the body.
func (s *testStack) open(q request) (*http.Response, context.CancelFunc, error) {
	if q.nonce == "" {
		q.nonce = "fw-00000000-000000000000"
	}
	if q.key == "" {
		q.key = "sk-paid"
	}
	body, err := json.Marshal(map[string]any{
		"model": refstack.ModelName, "stream": true, "stream_options": map[string]bool{"include_usage": true}, "max_tokens": q.output,
		"messages": []map[string]string{{"role": "user", "content": "id " + q.nonce + strings.Repeat(" one", q.words)}},
	})
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.Context(), hang)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Endpoints["edge"].URL+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+q.key)
	if q.region != "" {
		req.Header.Set("X-Region", q.region)
	}
	res, err := http.DefaultClient.Do(req)
	return res, cancel, err
}

// chat asks and reads to the end, whatever it is.
func (s *testStack) chat(q request) chat {
	s.Helper()
	began := time.Now()
	res, cancel, err := s.open(q)
	defer cancel()
	if err != nil {
		return chat{failed: err.Error()}
	}
	defer func() { _ = res.Body.Close() }()
	c := chat{status: res.StatusCode, region: res.Header.Get("X-Region"), replica: res.Header.Get("X-Replica")}
	var last time.Duration
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok && res.StatusCode != http.StatusOK {
			c.failed += lines.Text()
		}
		if ok && c.read(data) {
			if last = time.Since(began); c.ttft == 0 {
				c.ttft = last
			}
		}
	}
	if err := lines.Err(); err != nil {
		c.failed += err.Error()
	}
	if n := len(c.text); n > 1 {
		c.tpot = (last - c.ttft) / time.Duration(n-1)
	}
	return c
}

// read takes one event and reports whether it carried text.
func (c *chat) read(data string) bool {
	if data == "[DONE]" {
		c.done = true
		return false
	}
	c.done = false
	var e struct {
		Choices []struct {
			Delta  struct{ Content string }
			Finish string `json:"finish_reason"`
		}
		Usage struct {
			Output int `json:"completion_tokens"`
		}
		Error struct{ Message string }
	}
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		c.failed += err.Error()
		return false
	}
	c.failed += e.Error.Message
	c.usage += e.Usage.Output
	if len(e.Choices) == 0 {
		return false
	}
	c.finish += e.Choices[0].Finish
	if e.Choices[0].Delta.Content == "" {
		return false
	}
	c.text = append(c.text, e.Choices[0].Delta.Content)
	return true
}

// complete checks that c is a whole answer of n tokens.
func (s *testStack) complete(c chat, nonce string, n int) {
	s.Helper()
	if c.status != http.StatusOK || c.failed != "" || !c.done || c.finish != "length" || c.usage != n || len(c.text) != n ||
		nonce != "" && !strings.HasPrefix(strings.Join(c.text, ""), nonce) {
		s.Fatalf("chat = %+v, want a complete answer of %d tokens that begins with %q", c, n, nonce)
	}
}

// smi runs a GPU's nvidia-smi as another process would.
func (s *testStack) smi(gpu string, args ...string) string {
	s.Helper()
	g := s.GPUs[gpu]
	argv := slices.Concat(g.SMI, []string{"-i", g.UUID}, args)
	out, err := exec.CommandContext(s.Context(), argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		s.Fatalf("%v: %v: %s", argv, err, out)
	}
	return string(out)
}

func nonce(i int) string { return fmt.Sprintf("fw-0badcafe-%012x", i) }
