package attacks_test

import (
	"os"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// TestEngine attacks whatever serves at FAILWHALE_ENGINE_URL with a handful of requests, in the dialect
// FAILWHALE_ENGINE_DIALECT (default openai-chat), for the model FAILWHALE_ENGINE_MODEL (default
// "default"), with the key FAILWHALE_ENGINE_KEY (default none):
//
//	FAILWHALE_ENGINE_URL=http://127.0.0.1:11434 FAILWHALE_ENGINE_DIALECT=ollama-chat FAILWHALE_ENGINE_MODEL=llama3.2 \
//		go test ./attacks -run TestEngine -v
func TestEngine(t *testing.T) {
	url := os.Getenv("FAILWHALE_ENGINE_URL")
	if url == "" {
		t.Skip("FAILWHALE_ENGINE_URL is not set: export the URL of a server to attack it with a handful of requests")
	}
	const requests, most = 8, 250 * time.Millisecond
	cfg, sink := config(url)
	cfg.Endpoint = targets.Endpoint{URL: url, Model: os.Getenv("FAILWHALE_ENGINE_MODEL"), Dialect: os.Getenv("FAILWHALE_ENGINE_DIALECT")}
	if os.Getenv("FAILWHALE_ENGINE_KEY") != "" {
		cfg.Endpoint.Key = "${FAILWHALE_ENGINE_KEY}"
	}
	cfg.LookupEnv = os.LookupEnv
	cfg.Profile = attacks.Profile{Constant: &attacks.Constant{Rate: 2}}
	cfg.Workload = attacks.Workload{{PromptTokens: attacks.Length{Fixed: 64}, OutputTokens: attacks.Length{Fixed: 32}}}
	cfg.Clients = []attacks.Client{{Deadline: 10 * time.Minute}} // a model may have to be loaded
	a := newAttack(t, cfg)
	a.BeginFor(results.Baseline, requests*time.Second/2)
	wait := run(t, a)
	time.Sleep(requests * time.Second / 2)
	a.Stop()
	wait()
	all := sink.sorted()
	if len(all) != requests {
		t.Errorf("%d requests in %ds at 2/s, want %d", len(all), requests/2, requests)
	}
	for _, s := range all {
		ttft, _, _ := s.TTFT()
		lag, _, _ := s.Lag()
		t.Logf("request %d: %s, first token after %s, %d tokens in %d chunks as counted by %s, sent %s late",
			s.Index, s.Outcome, ttft.Round(time.Millisecond), s.Tokens(), len(s.Chunks), s.Usage.Source, lag)
		if s.Outcome != results.Complete {
			t.Errorf("request %d is %s: %s; want complete", s.Index, s.Outcome, s.Error)
		}
		if s.Tokens() <= 0 || s.Usage.Source == "" || len(s.Chunks) == 0 {
			t.Errorf("request %d has %d tokens in %d chunks, counted by %q", s.Index, s.Tokens(), len(s.Chunks), s.Usage.Source)
		}
		if lag > most {
			t.Errorf("request %d was sent %s late, want at most %s", s.Index, lag, most)
		}
	}
}
