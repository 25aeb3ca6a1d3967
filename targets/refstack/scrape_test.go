package refstack_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// pagesNow are the readings of one look at each page.
type pagesNow struct {
	mu  sync.Mutex
	all map[string]results.Reading
}

func (p *pagesNow) Add(rec results.Record) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[rec.Reading.Source] = *rec.Reading
	return nil
}

func (s *testStack) scrape() map[string]results.Reading {
	s.Helper()
	now := &pagesNow{all: map[string]results.Reading{}}
	r, err := targets.NewScraper(targets.Scraper{Pages: s.Metrics, Clock: results.NewClock(), Sink: now})
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.Context())
	cancel() // the last look alone
	if err := r.Run(ctx); err != nil {
		s.Fatal(err)
	}
	return now.all
}

// The code that reads vLLM's pages reads the stack's, and the stack counts what a client got: each request, each
// token, and a time to first token that is a part of the client's.
func TestTheStacksMetricsAreReadAndTrue(t *testing.T) {
	s := startStack(t, targets.Hardened)
	const requests, tokens = 12, 7
	before := s.scrape()
	ours, count := map[string]time.Duration{}, map[string]int{}
	for i := range requests {
		region := s.Reference.Regions[i%len(s.Reference.Regions)]
		c := s.chat(request{nonce: nonce(i), region: region, words: 20, output: tokens})
		s.complete(c, nonce(i), tokens)
		ours[c.region] += c.ttft
		count[c.region]++
	}
	for name, now := range s.scrape() {
		region := now.Labels["region"]
		if now.Error != "" || now.Server != "vllm" || region != name || before[name].Error != "" {
			t.Fatalf("page %s = %+v; want the region's, of a vllm", name, now)
		}
		ttft, restarted := now.Histograms[results.SignalTTFT].Since(before[name].Histograms[results.SignalTTFT])
		n := count[region]
		if restarted || int(ttft.Count) != n || len(ttft.Bounds) == 0 {
			t.Errorf("%s: TTFT = %+v after %d requests; want as many, in buckets", region, ttft, n)
		}
		if mean := ours[region].Seconds() / float64(n); ttft.Mean() <= 0 || ttft.Mean() > mean {
			t.Errorf("%s: its own TTFT is %g s on average and ours %g; want a part of ours", region, ttft.Mean(), mean)
		}
		for signal, want := range map[string]int{results.SignalOutputTokens: n * tokens, results.SignalDone: n, results.SignalFailed: 0} {
			if got := now.Values[signal] - before[name].Values[signal]; int(got) != want {
				t.Errorf("%s: %s = %g after %d requests of %d tokens; want %d", region, signal, got, n, tokens, want)
			}
		}
		for _, signal := range []string{results.SignalRunning, results.SignalWaiting, results.SignalKV, results.SignalPreempted, results.SignalPromptTokens} {
			if _, ok := now.Values[signal]; !ok {
				t.Errorf("%s: no %s among %v", region, signal, now.Values)
			}
		}
	}
	if len(before) != len(s.Reference.Regions) {
		t.Errorf("%d pages were read; want one of each of %d regions", len(before), len(s.Reference.Regions))
	}
}
