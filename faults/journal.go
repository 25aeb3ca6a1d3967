package faults

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/failwhale/failwhale/targets"
)

const (
	// lockLimit bounds the wait for the journal's lock, which is held for the moment of one
	// write. Only a holder that was stopped keeps it for longer.
	lockLimit = 5 * time.Second
	// keepClosed is how many entries that ended without harm are kept for people to look at.
	keepClosed = 200
	tempPrefix = ".temp-"
)

// A Journal keeps one entry for each fault in a directory of its own. It is the only door to
// Inject. Any number of processes may use the same directory.
type Journal struct {
	dir   string
	kinds []Kind
	self  targets.ProcessID
}

// OpenJournal opens the journal in a directory, which it creates. It can arm and
// revert the faults of Kinds(), and more of the caller's.
func OpenJournal(dir string, more ...Kind) (*Journal, error) {
	self, err := targets.SelfID()
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{dir: dir, kinds: append(Kinds(), more...), self: self}
	for _, sub := range []string{filepath.Join(dir, "stacks"), filepath.Join(dir, "reaper")} {
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return nil, fmt.Errorf("open journal: %w", err)
		}
	}
	if err := errors.Join(syncDir(dir), syncDir(filepath.Dir(dir))); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := j.sweep(); err != nil && !errors.Is(err, errLocked) { // a stopped process must not keep others from reverting
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return j, nil
}

// Dir is the journal's directory.
func (j *Journal) Dir() string { return j.dir }

// Open returns the entries that are not closed, oldest first. An entry that cannot be read is
// an error beside those that can: it may be harm that nobody undoes.
func (j *Journal) Open() ([]Entry, error) {
	all, err := j.all("")
	return slices.DeleteFunc(all, func(e Entry) bool { return !e.Open() }), err
}

// openOf is Open for one run of one process, without a look at the others' entries.
func (j *Journal) openOf(run string, owner targets.ProcessID) ([]Entry, error) {
	all, err := j.all("-" + plain(run) + "-")
	return slices.DeleteFunc(all, func(e Entry) bool { return !e.Open() || e.Run != run || e.Owner != owner }), err
}

// all reads every entry whose file name contains part, oldest first.
func (j *Journal) all(part string) ([]Entry, error) {
	names, err := j.names()
	if err != nil {
		return nil, err
	}
	var all []Entry
	var errs []error
	for _, name := range names {
		if !strings.Contains(name, part) {
			continue
		}
		e, err := j.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned meanwhile
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	return all, errors.Join(errs...)
}

// names lists the entries' files. What does not end in .json is not an entry.
func (j *Journal) names() ([]string, error) {
	list, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	var names []string
	for _, f := range list {
		if strings.HasSuffix(f.Name(), ".json") && !strings.HasPrefix(f.Name(), ".") {
			names = append(names, f.Name())
		}
	}
	return names, nil
}

func (j *Journal) read(name string) (Entry, error) {
	path := filepath.Join(j.dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		return Entry{}, fmt.Errorf("read journal: %w", err)
	}
	var e Entry
	if err = json.Unmarshal(text, &e); err == nil {
		err = e.check()
	}
	if err != nil {
		return Entry{}, fmt.Errorf("read journal: %s: %w; it may stand for harm that is not undone: look at it, then move it away", path, err)
	}
	return e, nil
}

// locked runs do under the journal's lock.
func (j *Journal) locked(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lockLimit, fmt.Errorf("waited for %s", lockLimit))
	defer cancel()
	f, err := flock(ctx, filepath.Join(j.dir, "lock"))
	if err != nil {
		return fmt.Errorf("lock journal: %w", err)
	}
	return errors.Join(do(), f.Close())
}

// update changes an entry under the lock, and returns it as it then is.
func (j *Journal) update(ctx context.Context, name string, change func(*Entry) error) (Entry, error) {
	var e Entry
	err := j.locked(ctx, func() error {
		var err error
		if e, err = j.read(name); err != nil {
			return err
		}
		if err := change(&e); err != nil {
			return err
		}
		return j.write(name, e)
	})
	return e, err
}

// write puts an entry on the disk for good: whoever reads it, at any time and
// after any crash, sees all of it or all of what was there before.
func (j *Journal) write(name string, e Entry) error {
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	f, err := os.CreateTemp(j.dir, tempPrefix+"*") // 0600
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(j.dir, name))
	}
	if err != nil {
		return fmt.Errorf("write journal: %w", errors.Join(err, os.Remove(f.Name())))
	}
	if err := syncDir(j.dir); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sweep removes what a crash in the middle of a write left, locks of nobody, and old closed entries.
func (j *Journal) sweep() error {
	return j.locked(context.Background(), func() error {
		list, err := os.ReadDir(j.dir)
		if err != nil {
			return err
		}
		var errs []error
		for _, f := range list {
			if strings.HasPrefix(f.Name(), tempPrefix) {
				errs = append(errs, os.Remove(filepath.Join(j.dir, f.Name())))
			}
		}
		all, _ := j.all("") // what cannot be read is reported where it matters
		done := slices.DeleteFunc(all, func(e Entry) bool { return e.Open() || !e.Restored.Harmless() })
		for _, e := range done[:max(0, len(done)-keepClosed)] {
			path := filepath.Join(j.dir, e.fileName())
			errs = append(errs, os.Remove(path))
			if err := os.Remove(claimPath(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		return errors.Join(append(errs, j.sweepLocks())...)
	})
}

func claimPath(entry string) string { return strings.TrimSuffix(entry, ".json") + ".claim" }

// kind finds a kind of fault by its name.
func (j *Journal) kind(name string) (Kind, error) {
	i := slices.IndexFunc(j.kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, fmt.Errorf("unknown kind of fault %q: a newer failwhale may know it", name)
	}
	return j.kinds[i], nil
}

// decode makes a fault of its JSON.
func (j *Journal) decode(e Entry) (Fault, error) {
	k, err := j.kind(e.Kind)
	if err != nil {
		return nil, err
	}
	f := k.New()
	dec := json.NewDecoder(bytes.NewReader(e.Fault))
	dec.UseNumber() // a value of config.push keeps all of its digits
	if err := dec.Decode(f); err != nil {
		return nil, fmt.Errorf("read the fault of a journal's entry: %w", err)
	}
	return f, nil
}
