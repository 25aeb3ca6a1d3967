package attacks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
)

// vegetaStart is the wall time of the run's 0.
var vegetaStart = time.Date(2026, 11, 22, 14, 47, 3, 123456789, time.UTC)

// vegetaRun is 100 requests a second for ten seconds, in the order in which they end: a sixth of them fail.
func vegetaRun() []*results.Sample {
	rng := rand.New(rand.NewPCG(1, 2))
	var all []*results.Sample
	for i := range 1000 {
		due := time.Duration(i) * 10 * time.Millisecond
		s := &results.Sample{
			Index: uint64(i), Due: due, Sent: due + time.Millisecond, Done: due + time.Duration(rng.IntN(3000)+1)*time.Millisecond,
			Status: 200, Outcome: results.Complete,
		}
		switch i % 12 {
		case 3:
			s.Outcome, s.Error = results.Truncated, "stream ended without [DONE]"
		case 5:
			s.Outcome, s.Status, s.Error = results.RateLimited, 429, "429 Too Many Requests"
		case 11:
			s.Outcome, s.Status = results.Connect, 0
		}
		all = append(all, s)
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func vegetaBytes(t *testing.T, samples []*results.Sample) []byte {
	t.Helper()
	var out bytes.Buffer
	f := attacks.NewVegetaFile(&out, "attack", "http://127.0.0.1:8000")
	records := []results.Record{{Header: &results.Header{Started: vegetaStart}}, {Event: &results.Event{}}}
	for _, s := range samples {
		records = append(records, results.Record{Sample: s})
	}
	for _, rec := range records {
		if err := f.Add(rec); err != nil {
			t.Fatalf("Add: %v", err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	return out.Bytes()
}

// The results are in the order of time, numbered without a gap, whatever was added in which order.
func TestVegetaFile(t *testing.T) {
	at := func(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }
	decode := vegeta.NewDecoder(bytes.NewReader(vegetaBytes(t, []*results.Sample{
		{Index: 8, Due: at(30), Sent: at(40), Done: at(500), Status: 200, Outcome: results.Complete, Error: "not looked at", Bytes: 2048},
		{Index: 2, Due: at(10), Done: at(10), Outcome: results.DNS, Error: "no such host"},
		{Index: 7, Due: at(30), Sent: at(31), Done: at(900), Status: 200, Outcome: results.StreamError, Error: "engine died"},
		{Index: 9, Due: at(60), Sent: at(60), Done: at(90), Status: 200, Outcome: results.Cancelled, Left: results.LeftTime, Bytes: 10},
	})))
	want := []vegeta.Result{
		{Seq: 0, Timestamp: vegetaStart.Add(at(10)), Error: "dns: no such host"},
		{Seq: 1, Timestamp: vegetaStart.Add(at(30)), Code: 200, Latency: at(870), Error: "stream_error: engine died"},
		{Seq: 2, Timestamp: vegetaStart.Add(at(30)), Code: 200, Latency: at(470), BytesIn: 2048},
		{Seq: 3, Timestamp: vegetaStart.Add(at(60)), Code: 200, Latency: at(30), BytesIn: 10, Error: "cancelled"},
	}
	for i := range want {
		want[i].Attack, want[i].Method, want[i].URL = "attack", "POST", "http://127.0.0.1:8000"
	}
	var got []vegeta.Result
	for {
		var r vegeta.Result
		err := decode(&r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("vegeta's decoder: %v", err)
		}
		got = append(got, r)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	f := attacks.NewVegetaFile(noRoom{}, "attack", "")
	if err := errors.Join(f.Add(results.Record{Sample: &results.Sample{}}), f.Close()); !errors.Is(err, errNoRoom) {
		t.Errorf("Close on a full disk = %v; want %v", err, errNoRoom)
	}
}

type noRoom struct{}

var errNoRoom = errors.New("no space left on device")

func (noRoom) Write([]byte) (int, error) { return 0, errNoRoom }

// realVegeta runs the vegeta that is this module's tool.
func realVegeta(t *testing.T, args ...string) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds vegeta")
	}
	bin := filepath.Join(t.TempDir(), "vegeta")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "github.com/tsenart/vegeta/v12").CombinedOutput(); err != nil {
		t.Fatalf("build vegeta: %v\n%s", err, out)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("vegeta %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

func vegetaPath(t *testing.T, samples []*results.Sample) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "results.bin")
	if err := os.WriteFile(path, vegetaBytes(t, samples), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The real vegeta report agrees with the samples on count, rate, status codes, latencies and errors.
func TestVegetaReportReadsTheFile(t *testing.T) {
	samples := vegetaRun()
	var got struct {
		Requests    int            `json:"requests"`
		Rate        float64        `json:"rate"`
		Success     float64        `json:"success"`
		StatusCodes map[string]int `json:"status_codes"`
		Errors      []string       `json:"errors"`
		Earliest    time.Time      `json:"earliest"`
		Latest      time.Time      `json:"latest"`
		Latencies   struct {
			Mean, Max time.Duration
		} `json:"latencies"`
	}
	if err := json.Unmarshal(realVegeta(t, "report", "-type=json", vegetaPath(t, samples)), &got); err != nil {
		t.Fatalf("read vegeta's report: %v", err)
	}
	var sum, most time.Duration
	codes := map[string]int{"200": 0, "429": 0, "0": 0}
	for _, s := range samples {
		sum, most = sum+s.Done-s.Due, max(most, s.Done-s.Due)
		codes[map[int]string{200: "200", 429: "429", 0: "0"}[s.Status]]++
	}
	if got.Requests != len(samples) {
		t.Errorf("requests = %d; want %d", got.Requests, len(samples))
	}
	// vegeta divides all n requests by the n-1 intervals between the first and the last.
	if want := 1000 / 9.99; math.Abs(got.Rate-want) > 1e-6 {
		t.Errorf("rate = %v; want %v", got.Rate, want)
	}
	if diff := cmp.Diff(codes, got.StatusCodes); diff != "" {
		t.Errorf("status codes (-want +got):\n%s", diff)
	}
	if want := float64(codes["200"]) / 1000; got.Success != want {
		t.Errorf("success = %v; want %v: the share of good statuses", got.Success, want)
	}
	if got.Latencies.Mean != sum/1000 || got.Latencies.Max != most {
		t.Errorf("latency: mean %s, max %s; want %s, %s", got.Latencies.Mean, got.Latencies.Max, sum/1000, most)
	}
	if !got.Earliest.Equal(vegetaStart) || !got.Latest.Equal(vegetaStart.Add(9990*time.Millisecond)) {
		t.Errorf("from %s to %s; want %s and 9.99 s later", got.Earliest, got.Latest, vegetaStart)
	}
	wantErrors := map[string]bool{"truncated: stream ended without [DONE]": true, "rate_limited: 429 Too Many Requests": true, "connect": true}
	for _, e := range got.Errors {
		delete(wantErrors, e)
	}
	if len(got.Errors) != 3 || len(wantErrors) > 0 {
		t.Errorf("errors = %q; it lacks %v", got.Errors, wantErrors)
	}
}

// The real vegeta plot draws every request, served or not.
func TestVegetaPlotReadsTheFile(t *testing.T) {
	html := string(realVegeta(t, "plot", vegetaPath(t, vegetaRun())))
	_, after, _ := strings.Cut(html, "rowData = ")
	data, _, ok := strings.Cut(after, "];")
	if !ok {
		t.Fatalf("vegeta plot's page has no data:\n%.2000s", html)
	}
	var points [][]*float64
	if err := json.Unmarshal([]byte(data+"]"), &points); err != nil {
		t.Fatalf("read vegeta plot's data: %v\n%.500s", err, data)
	}
	served, failed := 0, 0
	for _, p := range points { // seconds, latency of those that failed, latency of those that did not
		if len(p) != 3 {
			t.Fatalf("point %v has %d figures; want 3", p, len(p))
		}
		if p[1] != nil {
			failed++
		}
		if p[2] != nil {
			served++
		}
	}
	if failed != 250 || served != 750 {
		t.Errorf("vegeta plot shows %d failed and %d served; want 250 and 750", failed, served)
	}
}
