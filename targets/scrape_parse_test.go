package targets_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// times is a histogram by its count and sum, as text.
func times(h results.Histogram) string {
	return fmt.Sprintf("%d in %.6g s %v %v", h.Count, h.Sum, h.Bounds, h.Counts)
}

// Every server's page says the same things in our words.
func TestParseMetrics(t *testing.T) {
	type values = map[string]float64
	for _, tc := range []struct {
		page, server string
		values       values
		times        map[string]string
	}{
		{
			"vllm", "vllm",
			values{
				"running": 7, "waiting": 2, "kv_usage": 0.75, "prefix_hits": 450, "prefix_queries": 1000, "preemptions": 6,
				"requests_done": 30, "requests_failed": 4, "prompt_tokens": 1000024, "output_tokens": 2048, "started": 1.79512e9,
			},
			map[string]string{
				"ttft": "6 in 7 s [0.01 0.1 1] [0 3 5]", "itl": "100 in 2 s [0.025 0.05] [90 100]", "tpot": "4 in 0.08 s [0.025] [4]",
				"e2e": "4 in 3.5 s [1] [4]", "queue_time": "4 in 0.01 s [0.3] [4]",
			},
		},
		{
			"vllm-old", "vllm",
			values{"running": 1, "kv_usage": 0.5, "preemptions": 7, "output_tokens": 55},
			map[string]string{"itl": "9 in 0.27 s [0.05] [9]"},
		},
		{
			"sglang", "sglang",
			values{
				"running": 12, "waiting": 3, "kv_usage": 0.31, "prefix_hit_rate": 0.3, "prompt_tokens": 8128902, "output_tokens": 7.5e6,
				"requests_done": 42, "requests_failed": 2,
			},
			map[string]string{
				"ttft": "42 in 8.4 s [0.1 0.2] [10 40]", "itl": "200 in 4 s [0.02] [200]", "e2e": "42 in 84 s [] []", "queue_time": "42 in 0.5 s [] []",
			},
		},
		{
			"tgi", "tgi",
			values{"running": 8, "waiting": 2, "requests_done": 9, "requests_failed": 3, "prompt_tokens": 630, "output_tokens": 450},
			map[string]string{"tpot": "9 in 0.18 s [0.02] [9]", "e2e": "9 in 9.5 s [1] [5]", "queue_time": "9 in 0.002 s [0.001] [9]"},
		},
		{
			"llamacpp", "llama.cpp",
			values{"running": 2, "waiting": 1, "prompt_tokens": 3000, "output_tokens": 200},
			map[string]string{"itl": "200 in 4 s [] []"},
		},
		{
			"trtllm", "trtllm",
			values{"running": 6, "waiting": 1, "kv_usage": 0.62, "prefix_hit_rate": 0.1, "requests_done": 7},
			map[string]string{
				"ttft": "7 in 0.35 s [0.1] [7]", "tpot": "7 in 0.07 s [] []", "e2e": "7 in 7 s [] []", "queue_time": "7 in 0.007 s [] []",
			},
		},
		{
			"dynamo", "dynamo",
			values{"running": 9, "waiting": 4, "requests_done": 30, "requests_failed": 2, "prompt_tokens": 1920, "output_tokens": 1500},
			map[string]string{"ttft": "30 in 1.5 s [0.1] [30]", "itl": "1470 in 14.7 s [] []", "e2e": "30 in 30 s [] []"},
		},
		{"dynamo-worker", "vllm+dynamo", values{"running": 2, "kv_usage": 0.4, "prefix_hit_rate": 0.25}, map[string]string{}},
		{
			"triton", "triton",
			values{"waiting": 3, "requests_done": 8, "requests_failed": 2},
			map[string]string{"ttft": "8 in 1.6 s [0.1 0.5] [2 8]", "e2e": "8 in 4 s [] []", "queue_time": "8 in 0.08 s [] []"},
		},
	} {
		t.Run(tc.page, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata/metrics", tc.page+".txt"))
			must(t, err)
			r, err := targets.ParseMetrics(text)
			if err != nil || r.Server != tc.server {
				t.Fatalf("ParseMetrics = %q, %v; want %q", r.Server, err, tc.server)
			}
			got := map[string]string{}
			for signal, h := range r.Histograms {
				got[signal] = times(h)
			}
			near := cmp.Comparer(func(a, b float64) bool { return a == b || a/b > 1-1e-9 && a/b < 1+1e-9 })
			if diff := cmp.Diff(tc.values, r.Values, near); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.times, got); diff != "" {
				t.Errorf("histograms (-want +got):\n%s", diff)
			}
		})
	}
}

// The recordings of real servers.
func TestParseRecordedMetrics(t *testing.T) {
	const captures = "../../shared/captures"
	for name, want := range map[string]map[string]float64{
		"llamacpp-metrics.txt": {"running": 0, "waiting": 0, "kv_usage": 0.0435333, "prompt_tokens": 1493, "output_tokens": 203},
		"ik-metrics.txt":       {"running": 0, "waiting": 0, "kv_usage": 0.016037, "prompt_tokens": 3042, "output_tokens": 202},
	} {
		text, err := os.ReadFile(filepath.Join(captures, name))
		if os.IsNotExist(err) {
			t.Skipf("no recordings in %s", captures)
		}
		must(t, err)
		_, body, ok := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n\n")
		if !ok {
			t.Fatalf("%s has no body", name)
		}
		r, err := targets.ParseMetrics([]byte(body))
		if diff := cmp.Diff(want, r.Values); err != nil || diff != "" {
			t.Errorf("%s: ParseMetrics: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// What is odd on a page costs the figure that it is about, and what is broken is an error with the line.
func TestParseOddMetrics(t *testing.T) {
	for _, tc := range []struct{ name, page, want, err string }{
		{"empty", "", "", "no metrics"},
		{"only comments", "# nothing yet\n", "", "no metrics"},
		{"another program's", "go_goroutines 7\n", "", "none is one of a server that is known: vllm, sglang, trtllm, tgi, llama.cpp, dynamo, triton"},
		{"malformed", "vllm:num_requests_running 1\nvllm:num_requests_waiting{ 2\n", "", "line 2"},
		{"a web page", "<html><body>hello</body></html>\n", "", "line 1"},
		{"no newline at the end", "vllm:num_requests_running 1", "map[running:1] map[]", ""},
		{"CRLF", "vllm:num_requests_running 1\r\n", "", "line 1"},
		{"a timestamp", "vllm:num_requests_running 1 1795120000000\n", "map[running:1] map[]", ""},
		{"no type", "vllm:num_requests_running{a=\"x\"} 1\nvllm:num_requests_running{a=\"y\"} 2\n", "map[running:3] map[]", ""},
		{"no numbers", "vllm:num_requests_running NaN\nvllm:num_requests_waiting +Inf\n", "map[] map[]", ""},
		{
			"ranks of two engines", "sglang:generation_tokens_total{dp_rank=\"0\",tp_rank=\"0\"} 5\nsglang:generation_tokens_total{dp_rank=\"0\",tp_rank=\"1\"} 7\n" +
				"sglang:generation_tokens_total{dp_rank=\"1\",tp_rank=\"0\"} 20\nsglang:generation_tokens_total{dp_rank=\"1\",tp_rank=\"1\"} 2\n",
			"map[output_tokens:27] map[]", "",
		},
		{"a cache that is over full", "vllm:kv_cache_usage_perc 1.0001\n", "map[kv_usage:1.0001] map[]", ""},
		{"a cache in per cent", "vllm:kv_cache_usage_perc 57\n", "map[kv_usage:0.57] map[]", ""},
		{"a gauge for a histogram", "vllm:time_to_first_token_seconds 1\n", "map[] map[]", ""},
		{"a histogram for a gauge", "# TYPE vllm:num_requests_running histogram\nvllm:num_requests_running_bucket{le=\"+Inf\"} 3\n", "map[] map[]", ""},
		{"with a name in quotes", "{\"vllm:num_requests_running\",a=\"x\"} 4\n", "map[running:4] map[]", ""},
		{"with underscores for colons", "vllm_num_requests_running 5\n", "map[running:5] map[]", ""},
		{
			"a summary", "# TYPE vllm:time_to_first_token_seconds summary\nvllm:time_to_first_token_seconds_sum 3\nvllm:time_to_first_token_seconds_count 2\n",
			"map[] map[ttft:{2 3 [] []}]", "",
		},
		{
			"buckets that do not rise", "# TYPE vllm:time_to_first_token_seconds histogram\nvllm:time_to_first_token_seconds_bucket{le=\"2\"} 3\n" +
				"vllm:time_to_first_token_seconds_bucket{le=\"1\"} 5\nvllm:time_to_first_token_seconds_sum 3\nvllm:time_to_first_token_seconds_count 2\n",
			"map[] map[ttft:{5 3 [1] [5]}]", "",
		},
		{
			"bounds that do not agree", "# TYPE vllm:time_to_first_token_seconds histogram\nvllm:time_to_first_token_seconds_bucket{e=\"0\",le=\"2\"} 3\n" +
				"vllm:time_to_first_token_seconds_count{e=\"0\"} 3\nvllm:time_to_first_token_seconds_sum{e=\"0\"} 1\n" +
				"vllm:time_to_first_token_seconds_bucket{e=\"1\",le=\"4\"} 3\nvllm:time_to_first_token_seconds_count{e=\"1\"} 4\n",
			"map[] map[ttft:{7 1 [] []}]", "",
		},
	} {
		r, err := targets.ParseMetrics([]byte(tc.page))
		if tc.err != "" {
			wantError(t, tc.name+": ParseMetrics", err, tc.err)
			continue
		}
		if got := fmt.Sprint(r.Values, " ", r.Histograms); err != nil || got != tc.want {
			t.Errorf("%s: ParseMetrics = %s, %v; want %s", tc.name, got, err, tc.want)
		}
	}
}

// No page makes the parser panic, and what it gives can be written as JSON.
func FuzzParseMetrics(f *testing.F) {
	pages, err := filepath.Glob("testdata/metrics/*.txt")
	if err != nil || len(pages) == 0 {
		f.Fatalf("no pages: %v", err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := targets.ParseMetrics(text)
		if err != nil {
			return
		}
		for signal, x := range r.Values {
			if x-x != 0 {
				t.Errorf("ParseMetrics(%q) has %s = %v; want finite values", text, signal, x)
			}
		}
		for signal, h := range r.Histograms {
			last := uint64(0)
			for i, n := range h.Counts {
				if n < last || n > h.Count || i > 0 && h.Bounds[i] <= h.Bounds[i-1] || h.Sum-h.Sum != 0 {
					t.Fatalf("ParseMetrics(%q) has %s = %+v; want bounds and counts that rise to the count", text, signal, h)
				}
				last = n
			}
		}
	})
}
