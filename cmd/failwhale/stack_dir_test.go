package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/failwhale/failwhale/targets"
)

// deadProcess is one that has ended and was collected.
func deadProcess(t *testing.T) targets.ProcessID {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := targets.IdentifyProcess(cmd.Process.Pid)
	_ = cmd.Process.Kill() // it sleeps
	_ = cmd.Wait()         // says that it was killed
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// otherNamespace is a PID namespace that is not known, or one where ours is not.
func otherNamespace(here uint64) uint64 {
	if here == 0 {
		return 1
	}
	return 0
}

// Only what a killed stack of this user has left is removed, and nothing that its links lead to.
func TestSweepStackDirs(t *testing.T) {
	self, err := targets.SelfID()
	if err != nil {
		t.Fatal(err)
	}
	dead := deadProcess(t)
	change := func(id targets.ProcessID, f func(*targets.ProcessID)) targets.ProcessID { f(&id); return id }
	for _, tc := range []struct {
		name  string
		owner targets.ProcessID
		edit  func(dir string) error
		uid   int // more than ours
		gone  bool
	}{
		{"of a dead process", dead, nil, 0, true},
		{"the pid was used again", change(self, func(p *targets.ProcessID) { p.Start-- }), nil, 0, true},
		{"with a link in it", dead, func(dir string) error { return os.Symlink("../kept", filepath.Join(dir, "out")) }, 0, true},
		{"of a process that lives", self, nil, 0, false},
		{"of another boot", change(dead, func(p *targets.ProcessID) { p.Boot = "another" }), nil, 0, false},
		{"of another PID namespace", change(dead, func(p *targets.ProcessID) { p.Namespace++ }), nil, 0, false},
		{"of no known PID namespace", change(dead, func(p *targets.ProcessID) { p.Namespace = otherNamespace(p.Namespace) }), nil, 0, false},
		{"of nobody", targets.ProcessID{Boot: self.Boot, Namespace: self.Namespace}, nil, 0, false},
		{"of another user", dead, nil, 1, false},
		{"open to others", dead, func(dir string) error { return os.Chmod(dir, 0o755) }, 0, false},
		{"not said whose", dead, func(dir string) error { return os.Remove(filepath.Join(dir, ownerFile)) }, 0, false},
		{"half said whose", dead, func(dir string) error { return os.Truncate(filepath.Join(dir, ownerFile), 20) }, 0, false},
		{"put aside", dead, func(dir string) error {
			return errors.Join(os.Rename(dir, dir+"-keep"), os.WriteFile(dir, nil, 0o600)) // the latter is no directory
		}, 0, false},
		{"a link to one", dead, func(dir string) error {
			return errors.Join(os.Rename(dir, filepath.Join(filepath.Dir(dir), "elsewhere")), os.Symlink("elsewhere", dir))
		}, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			temp := t.TempDir()
			check(t, os.MkdirAll(filepath.Join(temp, "kept"), 0o700))
			check(t, os.WriteFile(filepath.Join(temp, "kept", "file"), nil, 0o600))
			dir, err := makeStackDir(temp, tc.owner)
			check(t, err)
			check(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o700))
			check(t, os.WriteFile(filepath.Join(dir, "sub", "file"), nil, 0o600))
			if tc.edit != nil {
				check(t, tc.edit(dir))
			}
			before := tree(t, temp)
			var want []string
			if tc.gone {
				want = []string{dir}
			}
			if got := sweepStackDirs(temp, self, os.Getuid()+tc.uid); !slices.Equal(got, want) {
				t.Errorf("sweepStackDirs = %v; want %v", got, want)
			}
			after := tree(t, temp)
			if tc.gone {
				before = []string{".", "kept", "kept/file"}
			}
			if !slices.Equal(after, before) {
				t.Errorf("then there are %v; want %v", after, before)
			}
		})
	}
}

// tree is every name in a directory.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		names = append(names, name)
		return err
	}))
	return names
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What a directory says of its owner is what others read.
func TestAStackDirSaysWhoseItIs(t *testing.T) {
	self, err := targets.SelfID()
	check(t, err)
	dir, err := makeStackDir(t.TempDir(), self)
	check(t, err)
	text, err := os.ReadFile(filepath.Join(dir, ownerFile))
	check(t, err)
	var is stackOwner
	if err := json.Unmarshal(text, &is); err != nil || is != (stackOwner{filepath.Base(dir), self}) {
		t.Errorf("%s = %s (%v); want %s of %+v", ownerFile, text, err, filepath.Base(dir), self)
	}
}
