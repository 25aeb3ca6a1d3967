package perfect_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/failwhale/failwhale/targets/perfect"
)

// asServer is the environment variable that makes the test binary the server's process.
const asServer = "FAILWHALE_PERFECT_SERVER"

// TestMain is the server, if it was started as that.
func TestMain(m *testing.M) {
	if _, ok := os.LookupEnv(asServer); ok {
		if err := perfect.Command(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// start starts a server that ends with the test.
func start(t *testing.T, timing perfect.Timing) *perfect.Process {
	t.Helper()
	t.Setenv(asServer, "1")
	p, err := perfect.Start(t.Context(), []string{os.Args[0]}, timing)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// ask posts body to the server's path and returns the answer.
func ask(t *testing.T, url, body string) (status int, header http.Header, text string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("POST %s: %v after %q", url, err, all)
	}
	return resp.StatusCode, resp.Header, string(all)
}

// A plain client reads what a server of inference would send, and every chunk has its stamp.
func TestAnswer(t *testing.T) {
	p := start(t, perfect.Timing{Prefill: 5 * time.Millisecond, Interval: 2 * time.Millisecond})
	before := monotonic(t)
	const n, tokens = 4, 7
	ids := make([]string, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			status, header, text := ask(t, p.URL+"/v1/chat/completions", `{"model":"m","max_tokens":7,"messages":[]}`)
			ids[i] = header.Get(perfect.Header)
			if status != 200 {
				t.Errorf("status %d: %s", status, text)
			}
			checkStream(t, text, tokens)
		})
	}
	all.Wait()
	after := monotonic(t)
	stamps, err := p.Stamps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(stamps.Answers) != n || stamps.CPU <= 0 {
		t.Fatalf("Stamps() = %d answers, CPU %s; want %d, and some", len(stamps.Answers), stamps.CPU, n)
	}
	for _, a := range stamps.Answers {
		if !slices.Contains(ids, strconv.FormatUint(a.ID, 10)) {
			t.Errorf("stamps of answer %d; the headers said %v", a.ID, ids)
		}
		times := slices.Concat([]int64{before, a.Read}, a.Writes, []int64{after})
		if !a.Whole || len(a.Writes) != tokens || !slices.IsSorted(times) {
			t.Errorf("answer %d: whole %t, times %v; want %d writes in order between the test's own", a.ID, a.Whole, times, tokens)
		}
		for k := range a.Writes {
			if late := a.Lateness(k, 2*time.Millisecond); late < 0 {
				t.Errorf("answer %d: chunk %d was written %s before it was due", a.ID, k, -late)
			}
		}
		if wait := time.Duration(a.Due - a.Read); wait < 5*time.Millisecond || wait > 7*time.Millisecond {
			t.Errorf("answer %d: first chunk due %s after the request; want 5 to 7 ms", a.ID, wait)
		}
	}
	if again, err := p.Stamps(t.Context()); err != nil || len(again.Answers) != 0 {
		t.Errorf("Stamps() again = %v, %v; want none", again, err)
	}
}

// checkStream wants so many tokens, a finish, usage and the end, in this order.
func checkStream(t *testing.T, text string, tokens int) {
	t.Helper()
	type event struct {
		Choices []struct {
			Delta        struct{ Role, Content string }
			FinishReason string `json:"finish_reason"`
		}
		Usage *struct {
			Completion int `json:"completion_tokens"`
		}
	}
	var got []string
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(line, "data: ")
		var e event
		switch {
		case !ok:
			t.Errorf("event %q is no data", line)
		case data == "[DONE]":
			got = append(got, "done")
		case json.Unmarshal([]byte(data), &e) != nil:
			t.Errorf("event %q is no JSON", line)
		case e.Usage != nil && e.Usage.Completion == tokens:
			got = append(got, "usage")
		case len(e.Choices) == 1 && e.Choices[0].Delta.Role == "assistant":
			got = append(got, "role")
		case len(e.Choices) == 1 && e.Choices[0].Delta.Content == " word":
			got = append(got, "token")
			if n := len(line); n < 200 || n > 300 {
				t.Errorf("event of %d bytes: %q; want some 250", n, line)
			}
		case len(e.Choices) == 1 && e.Choices[0].FinishReason == "length":
			got = append(got, "finish")
		default:
			t.Errorf("event %q", line)
		}
	}
	want := slices.Concat([]string{"role"}, slices.Repeat([]string{"token"}, tokens), []string{"finish", "usage", "done"})
	if !slices.Equal(got, want) {
		t.Errorf("events %v; want %v", got, want)
	}
}

func monotonic(t *testing.T) int64 {
	t.Helper()
	base, err := perfect.NewTimebase()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if a, b := base.Of(now), base.Now(); a > b {
		t.Errorf("Of(now) = %d; Now() afterwards = %d", a, b)
	}
	return base.Now()
}

// What is no request of ours is refused, and the server lives on.
func TestRefused(t *testing.T) {
	p := start(t, perfect.Timing{Interval: time.Millisecond})
	for _, tt := range []struct {
		path, body string
		want       int
	}{
		{"/v1/completions", `{}`, 404},
		{"/v1/chat/completions", `no JSON`, 400},
		{"/v1/chat/completions", `{"max_completion_tokens":2}`, 200},
	} {
		if status, _, text := ask(t, p.URL+tt.path, tt.body); status != tt.want {
			t.Errorf("POST %s %s: status %d: %s; want %d", tt.path, tt.body, status, text, tt.want)
		}
	}
}

// A client that goes away in the middle leaves an answer that is not whole.
func TestClientGone(t *testing.T) {
	p := start(t, perfect.Timing{Interval: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/v1/chat/completions", strings.NewReader(`{"max_tokens":60000}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	cancel()
	for { // until the server notices
		stamps, err := p.Stamps(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(stamps.Answers) == 1 {
			if a := stamps.Answers[0]; a.Whole || len(a.Writes) == 0 {
				t.Errorf("an answer whose client left: whole %t with %d writes; want some, and not whole", a.Whole, len(a.Writes))
			}
			return
		}
	}
}

// What cannot be started says why, also where it is the server that says it.
func TestStartErrors(t *testing.T) {
	t.Setenv(asServer, "1")
	for _, tt := range []struct {
		name   string
		argv   []string
		timing perfect.Timing
		want   string
	}{
		{"no command", nil, perfect.Timing{}, "no command"},
		{"no such program", []string{"/nonexistent/server"}, perfect.Timing{}, "/nonexistent/server"},
		{"no schedule", []string{os.Args[0]}, perfect.Timing{}, "make no schedule"},
		{"bad flags", []string{os.Args[0], "--what"}, perfect.Timing{Interval: time.Second}, "not defined: -what"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := perfect.Start(t.Context(), tt.argv, tt.timing)
			if err == nil {
				_ = p.Stop()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Start(%v, %+v): %v; want an error with %q", tt.argv, tt.timing, err, tt.want)
			}
		})
	}
}
