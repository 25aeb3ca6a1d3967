package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// ConfigPush writes a config into a store, all at once, as an automated rollout would.
// Exactly one of Set and Body.
type ConfigPush struct {
	// Store is the role of the config store. Required.
	Store string `yaml:"store" json:"store"`
	// Set changes single fields of a JSON document: dotted path to value, null allowed.
	// A dot inside a name is written \. and an array's element by its index. Everything
	// else stays as it is, byte for byte. Optional.
	Set map[string]any `yaml:"set" json:"set,omitempty"`
	// Body replaces the whole document, verbatim. Optional.
	Body *string `yaml:"body" json:"body,omitempty"`

	// Original is what the store held when Prepare looked; Absent: nothing, which is not
	// the same as an empty document. Pushed is what Inject writes.
	Original []byte `yaml:"-" json:"original,omitempty"`
	Absent   bool   `yaml:"-" json:"absent,omitempty"`
	Pushed   []byte `yaml:"-" json:"pushed,omitempty"`
	// Ready: Prepare has noted the three above.
	Ready bool `yaml:"-" json:"ready,omitempty"`
	// Done: Inject has returned in order, so that no write of it can come late. Fenced: if one
	// does, it finds another version than it was made from.
	Done   bool `yaml:"-" json:"done,omitempty"`
	Fenced bool `yaml:"-" json:"fenced,omitempty"`
	// Remark is what Note returns.
	Remark string `yaml:"-" json:"remark,omitempty"`
}

var (
	_ Fault     = (*ConfigPush)(nil)
	_ Validator = (*ConfigPush)(nil)
	_ Claimer   = (*ConfigPush)(nil)
	_ Noter     = (*ConfigPush)(nil)
	_ Foreseer  = (*ConfigPush)(nil)
)

// Validate reports what is missing or contradicts itself.
func (f *ConfigPush) Validate() []error {
	errs := missing("store", f.Store)
	if (len(f.Set) == 0) == (f.Body == nil) {
		errs = append(errs, errors.New("write exactly one of set (paths and values of a JSON document) and body (the whole document)"))
	}
	return append(errs, checkPaths(f.Set)...)
}

// Prepare reads what the store holds and works out what will be pushed.
func (f *ConfigPush) Prepare(ctx context.Context, s *targets.Stack) error {
	if err := errors.Join(f.Validate()...); err != nil {
		return err
	}
	store, err := s.Store(f.Store)
	if err != nil {
		return err
	}
	if err := store.Check(ctx); err != nil {
		return err
	}
	d, err := store.Read(ctx)
	if err != nil {
		return err
	}
	f.Original, f.Absent = d.Body, d.Absent
	switch {
	case f.Body != nil:
		f.Pushed = []byte(*f.Body)
	case d.Absent:
		return f.nothingToSetIn(store.Resource())
	default:
		if f.Pushed, err = setPaths(d.Body, f.Set); err != nil {
			return fmt.Errorf("store %s: %w", f.Store, err)
		}
	}
	if !d.Absent && bytes.Equal(f.Pushed, f.Original) {
		return fmt.Errorf("store %s holds just what would be pushed: there is no harm in it", f.Store)
	}
	f.Ready, f.Done, f.Fenced, f.Remark = true, false, false, ""
	return nil
}

// Foresee says that a store's file is not there, where a path is to be set in it: body may well be pushed where nothing was.
func (f *ConfigPush) Foresee(spec targets.Spec) error {
	if store := spec.Stores[f.Store]; len(f.Set) > 0 && store.Missing() {
		return f.nothingToSetIn("file://" + store.File)
	}
	return nil
}

// nothingToSetIn says where no document is: a URL, as ConfigStore.Resource.
func (f *ConfigPush) nothingToSetIn(where string) error {
	if path, isFile := strings.CutPrefix(where, "file://"); isFile {
		return fmt.Errorf("store %s: there is no file %s in which a path could be set: mend its file in stores, or use body for a push of a whole document", f.Store, path)
	}
	return fmt.Errorf("store %s: there is no document at %s in which a path could be set: mend its url in stores, or use body for a push of a whole document", f.Store, where)
}

// Resources is the document: a URL or a file.
func (f *ConfigPush) Resources(s *targets.Stack) ([]string, error) {
	store, err := s.Store(f.Store)
	if err != nil {
		return nil, err
	}
	return []string{store.Resource()}, nil
}

// Note says what an undo could not rule out.
func (f *ConfigPush) Note() string { return f.Remark }

// Inject writes the config if the store still holds what Prepare saw, and reads it back.
func (f *ConfigPush) Inject(ctx context.Context, s *targets.Stack) error {
	store, err := s.Store(f.Store)
	if err != nil {
		return err
	}
	d, err := store.Read(ctx)
	if err != nil {
		return err
	}
	if !f.original(d) {
		return fmt.Errorf("store %s: %w: it does not hold what it did at first", f.Store, targets.ErrChanged)
	}
	if err := store.Swap(ctx, d, f.Pushed); err != nil {
		return err
	}
	if d, err = store.Read(ctx); err != nil {
		return err
	}
	if !f.pushed(d) {
		return fmt.Errorf("store %s holds something else than was just written to it: %s", f.Store, sum(d))
	}
	f.Done = true
	return nil
}

// Evidence counts the consumers that have read the pushed config.
func (f *ConfigPush) Evidence(ctx context.Context, s *targets.Stack) (results.Evidence, error) {
	store, err := s.Store(f.Store)
	if err != nil {
		return results.Evidence{}, err
	}
	d, err := store.Read(ctx)
	if err != nil {
		return results.Evidence{}, err
	}
	if !f.pushed(d) {
		return results.Evidence{What: "the store no longer holds the pushed config"}, nil
	}
	count, counted, err := store.Readers(ctx)
	if err != nil {
		return results.Evidence{}, err
	}
	if counted {
		return results.Evidence{Touched: count.N, What: count.What}, nil
	}
	return results.Evidence{Touched: 1, What: "store that holds the pushed config; it does not count who reads it"}, nil
}

// revertTries bounds how often Revert looks again when the store changes under it.
const revertTries = 3

// Revert writes the original bytes back if the store holds the pushed ones, and reads them
// back. What anyone else has written is left alone. If the original is in place although Inject
// did not return in order, its bytes are written once more, so that a push which the server carries
// out late is refused: it was made from a version that is no longer there.
func (f *ConfigPush) Revert(ctx context.Context, s *targets.Stack) (results.Restored, error) {
	store, err := s.Store(f.Store)
	if err != nil {
		return results.RestoredFailed, err
	}
	if !f.Ready { // nothing was ever written without it
		return results.RestoredUnneed, nil
	}
	f.Remark = ""
	for tries, wrote := 1, false; ; tries++ {
		d, err := store.Read(ctx)
		switch {
		case err != nil:
			return results.RestoredFailed, err
		case f.original(d) && wrote:
			return results.RestoredOK, nil
		case f.original(d):
			if f.fence(ctx, store, d) && tries <= revertTries {
				continue
			}
			return results.RestoredUnneed, nil
		case !f.pushed(d):
			return results.RestoredDrift, f.drift(d)
		case tries > revertTries:
			return results.RestoredFailed, fmt.Errorf("store %s still holds the pushed config after %d tries to take it back", f.Store, revertTries)
		}
		if f.Absent {
			err = store.Remove(ctx, d)
		} else {
			err = store.Swap(ctx, d, f.Original)
		}
		if err != nil && !errors.Is(err, targets.ErrChanged) {
			return results.RestoredFailed, err
		}
		wrote = wrote || err == nil
	}
}

// fence rules out that an Inject which did not return comes late, and reports whether it just came. That it
// cannot is remarked, and no failure: a store that takes no write took none from Inject.
func (f *ConfigPush) fence(ctx context.Context, store *targets.ConfigStore, d targets.Document) (came bool) {
	if f.Done || f.Fenced {
		return false
	}
	err := store.Fence(ctx, d)
	if errors.Is(err, targets.ErrChanged) {
		return true
	}
	if err != nil {
		f.Remark = oneLine(fmt.Sprintf("a push that the store carries out late is not ruled out: %v", err))
		return false
	}
	f.Fenced = true
	return false
}

func (f *ConfigPush) drift(d targets.Document) error {
	return fmt.Errorf("store %s was changed by someone else and is left alone: it held %s, failwhale pushed %s, it holds %s; the original is in the journal's entry, in base64",
		f.Store, sum(targets.Document{Body: f.Original, Absent: f.Absent}), sum(targets.Document{Body: f.Pushed}), sum(d))
}

func (f *ConfigPush) original(d targets.Document) bool {
	return d.Absent == f.Absent && bytes.Equal(d.Body, f.Original)
}

func (f *ConfigPush) pushed(d targets.Document) bool {
	return !d.Absent && bytes.Equal(d.Body, f.Pushed)
}

// sum describes a document for a message.
func sum(d targets.Document) string {
	if d.Absent {
		return "nothing"
	}
	return fmt.Sprintf("%d bytes (sha256 %.12x)", len(d.Body), sha256.Sum256(d.Body))
}
