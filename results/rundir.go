package results

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A RunDir is the directory of one run: with what it holds the run can be judged again. Its text
// is the directory's path; the methods give those of its files.
type RunDir string

// Log is the run log: everything that the verdict depends on.
func (d RunDir) Log() string { return d.file("run.jsonl.zst") }

// Plan is the experiment file as it was.
func (d RunDir) Plan() string { return d.file("experiment.yaml") }

// Environment says on what machine and with which program the run was made, in JSON.
func (d RunDir) Environment() string { return d.file("environment.json") }

// Report is the judgement in JSON.
func (d RunDir) Report() string { return d.file("report.json") }

// Text is the judgement as the terminal showed it, without colour.
func (d RunDir) Text() string { return d.file("report.txt") }

func (d RunDir) file(name string) string { return filepath.Join(string(d), name) }

// sameSecond bounds how many runs of one experiment may begin in one second.
const sameSecond = 1000

// CreateRunDir makes root/<20060102T150405Z>-<experiment>, and root if need be. Where that exists
// already it appends -2, -3 and so on: a run never writes over another.
func CreateRunDir(root, experiment string, now time.Time) (RunDir, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", fmt.Errorf("create run directory: %w", err)
	}
	first := filepath.Join(root, now.UTC().Format("20060102T150405Z")+"-"+slug(experiment))
	dir := first
	for n := 2; ; n++ {
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			return RunDir(dir), nil
		}
		if !errors.Is(err, os.ErrExist) || n > sameSecond {
			return "", fmt.Errorf("create run directory: %w", err)
		}
		dir = fmt.Sprintf("%s-%d", first, n)
	}
}

// UseRunDir makes dir itself a run's directory, for a user who names one. It may exist, but not
// hold a run.
func UseRunDir(dir string) (RunDir, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("create run directory: %w", err)
	}
	d := RunDir(dir)
	switch _, err := os.Lstat(d.Log()); {
	case err == nil:
		return "", fmt.Errorf("create run directory: %s holds a run already: name another directory", dir)
	case !errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("create run directory: %w", err)
	}
	return d, nil
}

// slugLength keeps a directory's name well below the 255 bytes that file systems take.
const slugLength = 60

// slug keeps the ASCII letters and digits of a name, with a hyphen for all between.
func slug(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	short := strings.Join(words, "-")
	if len(short) > slugLength {
		short = strings.TrimRight(short[:slugLength], "-")
	}
	if short == "" {
		return "run"
	}
	return short
}
