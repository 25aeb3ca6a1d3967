package calibrate_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/attacks/calibrate"
	"github.com/failwhale/failwhale/results"
)

// calibrated is within budget at 8 and 1000 streams, and not at 500 and 2000 if bad says so.
func calibrated(bad ...int) *calibrate.Calibration {
	c := &calibrate.Calibration{
		Version: calibrate.Version, At: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC), Machine: calibrate.ThisMachine("v1"),
		Budget: calibrate.DefaultBudget(), Interval: 0.02, Memory: &calibrate.Memory{Streams: 9000, ResidentPerStream: 40 << 10},
	}
	for i, n := range []int{8, 500, 1000, 2000} {
		l := calibrate.Level{
			Streams: n, ChunksPerSecond: float64(50 * n), Within: true,
			// The errors of fewer streams are larger, at times.
			TTFT: results.Quantiles{N: 100, P50: 0.0002 / results.Seconds(int(1)<<i), P99: 0.003}, ITL: results.Quantiles{N: 100, P50: 0.00005, P99: 0.002 * results.Seconds(i+1)},
		}
		for _, b := range bad {
			if b == n {
				l.Within, l.Why = false, "ttft p50 is off"
			}
		}
		c.Levels = append(c.Levels, l)
	}
	return c
}

// What was saved is what is loaded, by this machine, and nobody else may read it.
func TestFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "of", "failwhale")
	machine := calibrate.ThisMachine("v1")
	if c, err := calibrate.Load(dir, machine); c != nil || err != nil {
		t.Errorf("Load of nothing = %v, %v; want nil, nil", c, err)
	}
	want := calibrated(2000)
	for range 2 { // the second writes over the first
		if err := want.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	got, err := calibrate.Load(dir, machine)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Load = %v; -saved +loaded:\n%s", err, diff)
	}
	machine.Failwhale = "v2" // the machine is the same, and the program may err otherwise
	if c, err := calibrate.Load(dir, machine); err != nil || !strings.Contains(c.Stated(), "(calibrated 2026-11-20 by failwhale v1)") {
		t.Errorf("Load by another version = %v, stating %q; want the version that calibrated in it", err, c.Stated())
	}
	path := filepath.Join(dir, calibrate.FileName)
	for name, want := range map[string]os.FileMode{path: 0o600, dir: 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v; want %v", name, info.Mode().Perm(), err, want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the directory has %v, %v; want the file alone", left, err)
	}
	machine.CPUs++
	if c, err := calibrate.Load(dir, machine); c != nil || err != nil {
		t.Errorf("Load for another machine = %v, %v; want nil, nil", c, err)
	}
	for text, want := range map[string]string{`{`: "unexpected end", `{"version": 99}`: "version 99 is not 1"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := calibrate.Load(dir, machine); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Load of %s: %v; want %q and the path in it", text, err, want)
		}
	}
}

// What is said of a load depends on where the budget was kept.
func TestSays(t *testing.T) {
	var none *calibrate.Calibration
	for _, tt := range []struct {
		name              string
		c                 *calibrate.Calibration
		peak              attacks.Peak
		streams           int
		before, after     string
		stated            string
		highest, verdicts string
	}{
		{"never calibrated", none, attacks.Peak{Tokens: 1e9}, 1e6, "", "", "not calibrated on this machine", "", ""},
		{
			"within", calibrated(2000),
			attacks.Peak{Requests: 100, Tokens: 50_000},
			1000, "", "",
			"timing error on this machine up to 1000 streams: ttft p50 200 µs p99 3.00 ms, itl p50 50.0 µs p99 6.00 ms (calibrated 2026-11-20)", "1000", "up to 1000 streams (50000 chunks/s)",
		},
		{
			"more chunks", calibrated(2000),
			attacks.Peak{Requests: 500, Tokens: 60_000},
			1200,
			"this plan puts on some 60000 chunks/s (500/s × 120 tokens), and this machine is calibrated up to 50000", "up to 1200 streams ran at a time, and this machine is calibrated up to 1000", "up to 1000 streams", "1000", "",
		},
		{"more users", calibrated(2000), attacks.Peak{Users: 1001}, 8, "has 1001 streams at a time, and this machine is calibrated up to 1000", "", "", "1000", ""},
		{"luck above a failure does not count", calibrated(500), attacks.Peak{Requests: 1, Tokens: 500}, 8, "some 500 chunks/s", "", "up to 8 streams", "8", ""},
		{"over budget from the first", calibrated(8), attacks.Peak{Requests: 1, Tokens: 1}, 1, "over budget at 8 streams already", "", "over budget at 8 streams already", "", "at 8 streams already, the lowest load that was tried, this machine does not stay within"},
	} {
		high := tt.c.Highest()
		if (high == nil) != (tt.highest == "") {
			t.Errorf("%s: Highest() = %+v; want %q", tt.name, high, tt.highest)
		}
		for call, pair := range map[string][2]string{
			"Exceeds": {tt.c.Exceeds(tt.peak), tt.before}, "Exceeded": {tt.c.Exceeded(tt.streams), tt.after}, "Stated": {tt.c.Stated(), tt.stated},
		} {
			if (pair[0] == "") != (pair[1] == "") && call != "Stated" || !strings.Contains(pair[0], pair[1]) {
				t.Errorf("%s: %s = %q; want %q", tt.name, call, pair[0], pair[1])
			}
		}
		if tt.c != nil && !strings.Contains(tt.c.Verdict(), tt.verdicts) {
			t.Errorf("%s: Verdict() = %q; want %q in it", tt.name, tt.c.Verdict(), tt.verdicts)
		}
	}
}
