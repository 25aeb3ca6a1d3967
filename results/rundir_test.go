package results_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/failwhale/failwhale/results"
)

// A name that sorts by time, and never one that exists.
func TestCreateRunDir(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a", "runs")
	now := time.Date(2026, 11, 22, 15, 4, 5, 999, time.FixedZone("here", 3600))
	for _, tt := range []struct{ experiment, want string }{
		{"A bad router config: reaches every region!", "20261122T140405Z-a-bad-router-config-reaches-every-region"},
		{"A bad router config: reaches every region!", "20261122T140405Z-a-bad-router-config-reaches-every-region-2"},
		{"a bad router config reaches every region", "20261122T140405Z-a-bad-router-config-reaches-every-region-3"},
		{"../../etc/passwd", "20261122T140405Z-etc-passwd"},
		{"", "20261122T140405Z-run"},
		{"日本", "20261122T140405Z-run-2"},
		{strings.Repeat("long ", 100), "20261122T140405Z-" + strings.Repeat("long-", 11) + "long"},
	} {
		dir, err := results.CreateRunDir(root, tt.experiment, now)
		if want := filepath.Join(root, tt.want); err != nil || string(dir) != want {
			t.Errorf("CreateRunDir(%s, %q) = (%s, %v); want (%s, nil)", root, tt.experiment, dir, err, want)
		}
		if info, err := os.Stat(string(dir)); err != nil || !info.IsDir() {
			t.Errorf("CreateRunDir(%s, %q) made no directory: %v", root, tt.experiment, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if dir, err := results.CreateRunDir(file, "x", now); err == nil {
		t.Errorf("CreateRunDir in a file = (%s, nil); want an error", dir)
	}
}

// The user's own directory is taken as it is, but no run is written over.
func TestUseRunDir(t *testing.T) {
	want := filepath.Join(t.TempDir(), "out")
	dir, err := results.UseRunDir(want)
	if err != nil || string(dir) != want {
		t.Fatalf("UseRunDir(%s) = (%s, %v); want (%s, nil)", want, dir, err, want)
	}
	if _, err := results.UseRunDir(want); err != nil {
		t.Errorf("UseRunDir of an empty directory: %v", err)
	}
	log, err := results.CreateLog(dir.Log())
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := results.UseRunDir(want); err == nil || !strings.Contains(err.Error(), "holds a run already") {
		t.Errorf("UseRunDir of a directory with a run = %v; want an error that says so", err)
	}
}

// The files of a run have different names, all inside its directory.
func TestRunDirFiles(t *testing.T) {
	dir := results.RunDir("runs/x")
	seen := map[string]bool{}
	for _, path := range []string{dir.Log(), dir.Plan(), dir.Environment(), dir.Report(), dir.Text()} {
		if filepath.Dir(path) != "runs/x" || seen[path] {
			t.Errorf("RunDir(%q) has %s; want another file in it each time", dir, path)
		}
		seen[path] = true
	}
}
