package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/failwhale/failwhale/targets"
)

const (
	stackDirs = "failwhale-stack-*"
	ownerFile = "owner.json"
)

// A stackOwner is what a stack's directory says of whose it is.
type stackOwner struct {
	// Name of the directory: a copy, and one that was put aside, has another.
	Name  string            `json:"name"`
	Owner targets.ProcessID `json:"owner"`
}

// makeStackDir makes a directory for the stack that self serves.
func makeStackDir(temp string, self targets.ProcessID) (string, error) {
	dir, err := os.MkdirTemp(temp, stackDirs)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(stackOwner{filepath.Base(dir), self})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, ownerFile), text, 0o600)
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// sweepStackDirs removes the directories of stacks that were killed, and returns them. One that stays is no harm: what
// cannot be removed is left, and so is whatever is not for certain a stack's of this user that has ended.
func sweepStackDirs(temp string, self targets.ProcessID, uid int) (removed []string) {
	dirs, _ := filepath.Glob(filepath.Join(temp, stackDirs)) // the pattern is fine, or temp has odd letters
	for _, dir := range dirs {
		if leftBehind(dir, self, uid) && removeStackDir(dir) == nil {
			removed = append(removed, dir)
		}
	}
	return removed
}

// leftBehind reports whether dir is certainly that of a stack whose process is dead. In a directory that only its user
// may enter nobody else can have written who that is. Of another boot or PID namespace nothing is certain: the
// directory for temporary files may be shared with another machine or container.
func leftBehind(dir string, self targets.ProcessID, uid int) bool {
	info, err := os.Lstat(dir)
	if err != nil || info.Mode() != fs.ModeDir|0o700 {
		return false
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); !ok || int64(sys.Uid) != int64(uid) {
		return false
	}
	text, err := os.ReadFile(filepath.Join(dir, ownerFile))
	if err != nil {
		return false
	}
	var is stackOwner
	if json.Unmarshal(text, &is) != nil || is.Name != filepath.Base(dir) {
		return false
	}
	id := is.Owner
	here := id.Boot == self.Boot && id.Namespace == self.Namespace
	return here && id.PID > 0 && !targets.ProcessAlive(id)
}

// removeStackDir removes who owned dir last: what stays, if a process of the stack is still ending, is known for what it
// is next time.
func removeStackDir(dir string) error {
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if f.Name() != ownerFile {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, f.Name())))
		}
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
