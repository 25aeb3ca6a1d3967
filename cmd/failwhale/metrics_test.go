package main

import (
	"encoding/json"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/failwhale/failwhale/results"
)

// metricsPage is the URL of the first page of metrics in a handle.
func metricsPage(handle string) string {
	_, after, _ := strings.Cut(handle, `"metrics"`)
	_, after, _ = strings.Cut(after, `"url": "`)
	url, _, _ := strings.Cut(after, `"`)
	return url
}

// agrees FILE: wants the report in the file to have a server whose own TTFT and tokens agree with what was seen of it: the
// median within the bucket of the server's, every token counted.
func agrees(ts *testscript.TestScript, _ bool, args []string) {
	var r results.Report
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &r))
	if len(r.Server) != 1 || r.Self == nil {
		ts.Fatalf("%d servers, self %+v; want one, and ourselves", len(r.Server), r.Self)
	}
	s := r.Server[0]
	theirs, ours := s.TTFT.P50, s.Ours.TTFT.P50
	ts.Logf("server %s: ttft p50 %s in %s to %s, ours %s; mean %s, ours %s; %g tokens, ours %g; lag p99 %s",
		s.Server, theirs.Value, theirs.From, theirs.To, ours, s.TTFT.Mean, s.Ours.TTFT.Mean, s.Counts[results.SignalOutputTokens], s.Ours.Tokens, r.Lag.P99)
	if s.Server != "vllm" || s.TTFT.N == 0 || s.Apart <= 0 {
		ts.Fatalf("server = %+v; want a vllm whose own TTFT is a part of ours", s)
	}
	if t, ok := ts.Value("t").(testscript.T); ok && r.Lag.P99 > 0.01 {
		t.Skip("this machine is too slow to compare")
	}
	if ours <= theirs.From || ours > theirs.To+0.005 {
		ts.Fatalf("our TTFT p50 %s is outside of the bucket of theirs, %s to %s", ours, theirs.From, theirs.To)
	}
	if counted := s.Counts[results.SignalOutputTokens]; counted < 0.9*s.Ours.Tokens || counted > 1.1*s.Ours.Tokens {
		ts.Fatalf("it counts %g tokens and %g came to us; want about as many", counted, s.Ours.Tokens)
	}
}
