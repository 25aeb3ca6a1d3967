package experiments_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A tape keeps every record, as JSON.
type tape struct {
	mu    sync.Mutex
	lines []string
	recs  []results.Record
}

func (t *tape) Add(rec results.Record) error {
	line, err := json.Marshal(rec)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines, t.recs = append(t.lines, string(line)), append(t.recs, rec)
	return err
}

// attack puts a second of load on url and reads pages beside it.
func attack(t *testing.T, url string, pages map[string]targets.Metrics, sinks ...results.Sink) (*results.Report, error) {
	t.Helper()
	cfg := attacks.Config{
		Endpoint: targets.Endpoint{URL: url},
		Profile:  attacks.Profile{Constant: &attacks.Constant{Rate: 20}}, Workload: attacks.Workload{{Preset: attacks.ChatShort}},
		Clients: []attacks.Client{{Share: 1, Deadline: 10 * time.Second}}, Seed: 1,
		LookupEnv: func(name string) (string, bool) { return "hunter2", name == "KEY" },
	}
	return experiments.Attack(t.Context(), cfg, experiments.AttackOptions{Duration: time.Second, Metrics: pages, Sinks: sinks})
}

// Pages are read from the load's beginning to its end, on its clock, and so is this process; keys go to the page and
// nowhere else, and a page that hangs or fails is told of and delays nothing.
func TestReadingsAreTakenBesideTheLoad(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var asked atomic.Int64
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/hangs":
			<-r.Context().Done()
		case r.Header.Get("Authorization") != "Bearer hunter2":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			fmt.Fprintf(w, "vllm:num_requests_running 1\n# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total %d\n", 100*asked.Add(1))
		}
	}))
	defer page.Close()
	all := new(tape)
	rep, err := attack(t, b.url, map[string]targets.Metrics{
		"good": {URL: page.URL + "/metrics?note=private", Key: "${KEY}"}, "locked": {URL: page.URL + "/metrics"}, "hung": {URL: page.URL + "/hangs"},
	}, all)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(all.lines, "\n")
	if strings.Contains(text, "hunter2") || strings.Contains(text, "private") {
		t.Errorf("the log tells a secret:\n%s", text)
	}
	last := all.recs[len(all.recs)-1]
	if last.Event == nil || last.Event.Kind != results.EventEnd {
		t.Errorf("the last record is %+v; want the end, after every reading", last)
	}
	var ended time.Duration
	seen := map[string][]results.Reading{}
	for _, rec := range all.recs {
		if r := rec.Reading; r != nil {
			seen[r.Source] = append(seen[r.Source], *r)
		}
		if e := rec.Event; e != nil && e.Kind == results.EventLoadEnd {
			ended = e.At
		}
	}
	for _, source := range []string{"good", results.Self} {
		r := seen[source]
		if len(r) < 2 || r[len(r)-1].At < ended || r[0].At >= ended {
			t.Errorf("%d readings of %s, the last at %s; want two or more, from the beginning to after the load ended at %s", len(r), source, r[len(r)-1].At, ended)
		}
		for _, r := range r {
			if r.Error != "" || len(r.Values) == 0 {
				t.Errorf("reading of %s = %+v; want figures", source, r)
			}
		}
	}
	for source, want := range map[string]string{"locked": "401", "hung": "no answer"} {
		if r := seen[source]; len(r) != 1 || !strings.Contains(r[0].Error, want) {
			t.Errorf("readings of %s = %+v; want one, which says %s", source, r, want)
		}
	}
	if len(rep.Server) != 1 || !slices.Equal(rep.Server[0].Sources, []string{"good", "hung", "locked"}) || rep.Server[0].Counts[results.SignalOutputTokens] < 100 {
		t.Errorf("server = %+v; want one of three pages, with tokens", rep.Server)
	}
	if rep.Self == nil || rep.Self.HeapMax <= 0 || rep.Self.CPU <= 0 {
		t.Errorf("self = %+v; want what this process used", rep.Self)
	}
}

// A key that is not there is the user's to mend, before any load.
func TestReadingsNeedTheirKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := attack(t, b.url, map[string]targets.Metrics{"a": {URL: "http://127.0.0.1:1/metrics", Key: "${NOPE}"}})
	if err == nil || !strings.Contains(err.Error(), "cannot be run as it is: metrics a: environment variable NOPE is not set") {
		t.Errorf("Attack = %v; want an error about NOPE", err)
	}
}

// An experiment file says where a real stack's servers show their figures.
func TestLoadMetrics(t *testing.T) {
	plan := load(t, strings.Replace(minimal, "{reference: {}}", `
  endpoints: {gw: {url: "http://h", labels: {region: "header:X-Region"}}}
  metrics: {a: {url: "http://a:8000/metrics", key: "${KEY}", labels: {region: east}}, b: {url: "http://b:8000/metrics"}}`, 1))
	stack, err := targets.Open(t.Context(), plan.Stack, targets.Launcher{})
	if err != nil {
		t.Fatal(err)
	}
	pages := stack.Handle().Metrics
	if a := pages["a"]; len(pages) != 2 || a.URL != "http://a:8000/metrics" || a.Key != "${KEY}" || a.Labels["region"] != "east" {
		t.Errorf("the handle's metrics are %+v; want those of the file, with the key as a reference", pages)
	}
}

// An attack that is interrupted says so, and nothing of faults, which it has none of.
func TestAnInterruptedAttackSaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rep, err := experiments.Attack(ctx, attacks.Config{
		Endpoint: targets.Endpoint{URL: b.url},
		Profile:  attacks.Profile{Constant: &attacks.Constant{Rate: 20}}, Workload: attacks.Workload{{Preset: attacks.ChatShort}},
		Clients: []attacks.Client{{Share: 1, Deadline: 10 * time.Second}}, Seed: 1,
	}, experiments.AttackOptions{Duration: time.Hour, Progress: func(experiments.Snapshot) { cancel() }})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != results.ExitInterrupted || !strings.HasPrefix(rep.Why, "interrupted") || strings.Contains(rep.Why, "injected") {
		t.Errorf("exit %d, why %q; want %d, and that it was interrupted alone", rep.Exit, rep.Why, results.ExitInterrupted)
	}
}
