package targets_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A pageFunc answers like a server, after whatever time, without a socket.
type pageFunc func(req *http.Request) (*http.Response, error)

func (f pageFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func answer(code int, kind, body string) *http.Response {
	return &http.Response{
		StatusCode: code, Status: fmt.Sprint(code, " ", http.StatusText(code)), Header: http.Header{"Content-Type": {kind}},
		Body: io.NopCloser(strings.NewReader(body)),
	}
}

// A notebook keeps readings, as lines.
type notebook struct {
	mu    sync.Mutex
	lines []string
	err   error
}

func (n *notebook) Add(rec results.Record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := rec.Reading
	line := fmt.Sprintf("%s %s", r.At, r.Source)
	if r.Took > 0 {
		line += fmt.Sprintf(" took %s", r.Took)
	}
	if running, ok := r.Values[results.SignalRunning]; ok {
		line += fmt.Sprintf(": %g", running)
	}
	if r.Error != "" {
		line += ": " + r.Error
	}
	n.lines = append(n.lines, line)
	return n.err
}

// scrape runs a scraper for some time in a bubble and gives what it noted.
func scrape(t *testing.T, length time.Duration, pages map[string]targets.Metrics, serve pageFunc, meanwhile func(*targets.Scraper)) []string {
	t.Helper()
	book := &notebook{}
	s, err := targets.NewScraper(targets.Scraper{Pages: pages, Clock: results.NewClock(), Sink: book, Transport: serve})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	if meanwhile != nil {
		go meanwhile(s)
	}
	must(t, s.Run(ctx))
	return book.lines
}

// A page is read at once, each second, when it is nudged, and at the end; each reading is stamped when it had come.
func TestScraperReadsEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		got := scrape(t, 2500*time.Millisecond, map[string]targets.Metrics{"a": {URL: "http://a/metrics"}},
			func(*http.Request) (*http.Response, error) {
				time.Sleep(10 * time.Millisecond)
				n++
				return answer(200, "text/plain", fmt.Sprintf("vllm:num_requests_running %d\n", n)), nil
			},
			func(s *targets.Scraper) {
				time.Sleep(1300 * time.Millisecond)
				s.Nudge()
			})
		want := []string{
			"10ms a took 10ms: 1", "1.01s a took 10ms: 2", "1.31s a took 10ms: 3", "2.01s a took 10ms: 4", "2.51s a took 10ms: 5",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("readings (-want +got):\n%s", diff)
		}
	})
}

// A page that hangs delays no other, is never asked twice at a time, is given up after its time, and told of once.
func TestScraperHangingPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asking, most atomic.Int32
		pages := map[string]targets.Metrics{"good": {URL: "http://good/metrics"}, "hung": {URL: "http://hung/metrics"}}
		got := scrape(t, 11*time.Second+time.Millisecond, pages, func(req *http.Request) (*http.Response, error) {
			if req.URL.Host == "good" {
				return answer(200, "text/plain", "vllm:num_requests_running 1\n"), nil
			}
			if n := asking.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer asking.Add(-1)
			<-req.Context().Done()
			return nil, req.Context().Err()
		}, nil)
		var good, hung []string
		for _, line := range got {
			if strings.Contains(line, "hung") {
				hung = append(hung, line)
			} else {
				good = append(good, line)
			}
		}
		if len(good) != 13 || good[5] != "5s good: 1" || good[12] != "11.001s good: 1" {
			t.Errorf("readings of the good page = %q; want one each second, and one at the end", good)
		}
		want := []string{
			"5s hung took 5s: GET http://hung/metrics: no answer within 5s",
			"13.001s hung took 2s: GET http://hung/metrics: no answer within 2s", // the last look
		}
		if diff := cmp.Diff(want, hung); diff != "" {
			t.Errorf("readings of the page that hangs (-want +got):\n%s", diff)
		}
		if most.Load() != 1 {
			t.Errorf("%d requests to one page at a time; want 1", most.Load())
		}
	})
}

// Trouble is told when it begins, when it changes, and by the figures when it is over.
func TestScraperTellsTroubleOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		got := scrape(t, 6500*time.Millisecond, map[string]targets.Metrics{"a": {URL: "http://a/metrics?token=hunter2"}},
			func(*http.Request) (*http.Response, error) {
				switch n++; n {
				case 2, 3:
					return nil, fmt.Errorf("connection refused")
				case 4, 5:
					return answer(503, "text/plain", "overloaded"), nil
				default:
					return answer(200, "text/plain", fmt.Sprintf("vllm:num_requests_running %d\n", n)), nil
				}
			}, nil)
		want := []string{
			"0s a: 1", "1s a: GET http://a/metrics: connection refused", `3s a: GET http://a/metrics: 503 Service Unavailable: "overloaded"`,
			"5s a: 6", "6s a: 7", "6.5s a: 8",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("readings (-want +got):\n%s", diff)
		}
	})
}

// What is no page of metrics is told with what to write instead.
func TestScraperRefusals(t *testing.T) {
	endless := strings.Repeat("# nothing but comments here\n", targets.MaxMetrics/20)
	for _, tc := range []struct {
		name string
		page func(w http.ResponseWriter, r *http.Request)
		want []string
	}{
		{"TensorRT-LLM's JSON", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `[{"numActiveRequests": 2}]`)
		}, []string{"JSON", "…/prometheus/metrics"}},
		{"JSON without a type", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, ` [{"iter": 2}]`) }, []string{"…/prometheus/metrics"}},
		{"SGLang without its flag", func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) }, []string{"404 Not Found", "--enable-metrics"}},
		{"llama.cpp without its flag", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error":{"code":501}}`, http.StatusNotImplemented)
		}, []string{"501", "--metrics"}},
		{"a page with a lock", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, []string{"401", `key: "${NAME}"`}},
		{"a web page", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<!DOCTYPE html>")
		}, []string{"a web page"}},
		{"too much", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, endless) }, []string{"larger than 4194304 bytes"}},
		{"malformed", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "vllm:num_requests_running{\n") }, []string{"line 1"}},
		{"cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "vllm:num_requests_running 1\n")
		}, []string{"unexpected EOF"}},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.2:9/metrics?key=hunter2", http.StatusFound)
		}, []string{"redirects to http://127.0.0.2:9/metrics: write that"}},
		{"round and round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/metrics", http.StatusFound) }, []string{"redirects to"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(tc.page))
			defer server.Close()
			book := &notebook{}
			s, err := targets.NewScraper(targets.Scraper{Pages: map[string]targets.Metrics{"a": {URL: server.URL + "/metrics"}}, Clock: results.NewClock(), Sink: book})
			must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			must(t, s.Run(ctx)) // the last reading alone
			if len(book.lines) != 1 {
				t.Fatalf("readings = %q; want one", book.lines)
			}
			wantError(t, "reading", errors.New(book.lines[0]), append(tc.want, "GET "+server.URL+"/metrics")...)
			if strings.Contains(book.lines[0], "hunter2") {
				t.Errorf("reading = %q tells a secret", book.lines[0])
			}
		})
	}
}

// bytesRead counts what is read of an endless page.
type bytesRead int

func (n *bytesRead) Read(p []byte) (int, error) {
	if *n > 8*targets.MaxMetrics {
		return 0, io.EOF
	}
	*n += bytesRead(len(p))
	return copy(p, strings.Repeat("#\n", len(p)/2+1)), nil
}

// Of a page without an end no more is read than a page may have.
func TestScraperEndlessPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var read bytesRead
		got := scrape(t, 0, map[string]targets.Metrics{"a": {URL: "http://a/metrics"}}, func(*http.Request) (*http.Response, error) {
			page := answer(200, "text/plain", "")
			page.Body = io.NopCloser(&read)
			return page, nil
		}, nil)
		if read > targets.MaxMetrics+1 || len(got) != 1 || !strings.Contains(got[0], "larger than") {
			t.Errorf("%d bytes were read, readings = %q; want at most one more than %d, and an error", read, got, targets.MaxMetrics)
		}
	})
}

// A key goes to the page and to no other host, and a redirect to the same server is followed.
func TestScraperKey(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer hunter2":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/metrics":
			http.Redirect(w, r, "/metrics/", http.StatusTemporaryRedirect)
		case strings.Contains(r.Header.Get("Accept"), "openmetrics"):
			w.WriteHeader(http.StatusNotAcceptable)
		default:
			fmt.Fprint(w, "vllm:num_requests_running 9\n")
		}
	}))
	defer server.Close()
	book := &notebook{}
	s, err := targets.NewScraper(targets.Scraper{
		Pages: map[string]targets.Metrics{"a": {URL: server.URL + "/metrics", Key: "${KEY}"}}, Clock: results.NewClock(), Sink: book,
		LookupEnv: func(name string) (string, bool) { return "hunter2", name == "KEY" },
	})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, s.Run(ctx))
	if len(book.lines) != 1 || !strings.HasSuffix(book.lines[0], ": 9") {
		t.Errorf("readings = %q; want 9 running", book.lines)
	}
}

// The sink's error ends the run for all pages, in which it is told.
func TestScraperEndsWithItsSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		s, err := targets.NewScraper(targets.Scraper{
			Pages: map[string]targets.Metrics{"a": {URL: "http://a/metrics"}, "b": {URL: "http://b/metrics"}},
			Clock: results.NewClock(), Sink: &notebook{err: full},
			Transport: pageFunc(func(*http.Request) (*http.Response, error) {
				return answer(200, "text/plain", "vllm:num_requests_running 1\n"), nil
			}),
		})
		must(t, err)
		if err := s.Run(t.Context()); !errors.Is(err, full) {
			t.Errorf("Run = %v; want %v", err, full)
		}
	})
}

// What cannot be read is said before anything is asked, and without its secrets.
func TestNewScraperRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		name string
		page targets.Metrics
		want string
	}{
		"no URL":          {"a", targets.Metrics{}, `metrics a: url "" isn't`},
		"no host":         {"a", targets.Metrics{URL: "localhost:8000/metrics"}, `url "localhost:8000/metrics" isn't`},
		"a user":          {"a", targets.Metrics{URL: "http://me:hunter2@h/metrics"}, `has a user in it: write key: "${NAME}"`},
		"a key":           {"a", targets.Metrics{URL: "http://h/metrics", Key: "hunter2"}, "written out"},
		"a missing key":   {"a", targets.Metrics{URL: "http://h/metrics", Key: "${NOPE}"}, "environment variable NOPE is not set"},
		"failwhale's own": {"failwhale", targets.Metrics{URL: "http://h/metrics"}, "write another"},
	} {
		_, err := targets.NewScraper(targets.Scraper{Pages: map[string]targets.Metrics{tc.name: tc.page}, Clock: results.NewClock(), Sink: &notebook{}})
		wantError(t, name+": NewScraper", err, tc.want)
		if strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: NewScraper = %v tells a secret", name, err)
		}
	}
}
