package targets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A fileStore is a file on this machine. It is replaced by a rename in its own
// directory, so a reader sees the old bytes or the new ones; mode and owner are
// kept, extended attributes are not. The new file has a temporary name, derived from the
// file's, and is locked until it has the final one: one that nobody locks is left of a
// change whose process was killed, and is removed by the next. Between the comparison and the rename lies a
// moment in which another writer is not seen: files have no compare-and-swap.
type fileStore struct{ path string }

// Missing reports whether s is a file of this machine that is not there. What cannot be told is no: not of a URL.
func (s Store) Missing() bool {
	if s.File == "" {
		return false
	}
	_, err := os.Stat(s.File)
	return errors.Is(err, fs.ErrNotExist)
}

// resolve follows symbolic links, so that the file is replaced and not the link. The
// file itself may be absent.
func (f *fileStore) resolve() (string, error) {
	path, err := filepath.EvalSymlinks(f.path)
	if !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	if _, err := os.Lstat(f.path); err == nil {
		return "", fmt.Errorf("%s is a symbolic link to nothing", f.path)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(f.path))
	return filepath.Join(dir, filepath.Base(f.path)), err
}

func (f *fileStore) read(context.Context) (Document, error) {
	path, err := f.resolve()
	if err != nil {
		return Document{}, err
	}
	d, _, err := readConfig(path)
	return d, err
}

func readConfig(path string) (Document, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Document{Absent: true}, nil, nil
	}
	if err != nil {
		return Document{}, nil, err
	}
	if !info.Mode().IsRegular() {
		return Document{}, nil, fmt.Errorf("%s is no regular file", path)
	}
	if info.Size() > MaxConfig {
		return Document{}, nil, fmt.Errorf("%s is larger than %d bytes", path, MaxConfig)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return Document{}, nil, err
	}
	return Document{Body: body, Version: digest(body)}, info, nil
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (f *fileStore) check(context.Context) error {
	path, err := f.resolve()
	if err != nil {
		return err
	}
	if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("write in %s: %w", filepath.Dir(path), err)
	}
	return nil
}

// current returns the resolved path if the file still is as was says.
func (f *fileStore) current(was Document) (string, fs.FileInfo, error) {
	path, err := f.resolve()
	if err != nil {
		return "", nil, err
	}
	d, info, err := readConfig(path)
	if err != nil {
		return "", nil, err
	}
	if d.Absent != was.Absent || d.Version != was.Version {
		return "", nil, fmt.Errorf("%s: %w", path, ErrChanged)
	}
	return path, info, nil
}

func (f *fileStore) swap(_ context.Context, was Document, body []byte) error {
	path, info, err := f.current(was)
	if err != nil {
		return err
	}
	if err := sweepTemps(path); err != nil {
		return err
	}
	file, err := writeTemp(path, body, info)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was synced; its end is that of its lock
	temp := file.Name()
	if was.Absent { // a link fails where a rename would overwrite
		err = os.Link(temp, path)
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%s: %w", path, ErrChanged)
		}
		err = errors.Join(err, os.Remove(temp))
	} else if err = os.Rename(temp, path); err != nil {
		err = errors.Join(err, os.Remove(temp))
	}
	if errors.Is(err, syscall.EBUSY) {
		err = fmt.Errorf("%w: it is mounted by itself, as containers do; name it in the directory that is mounted from", err)
	}
	return errors.Join(err, syncDir(filepath.Dir(path)))
}

// tempPrefix begins the temporary names of path.
func tempPrefix(path string) string {
	sum := sha256.Sum256([]byte(filepath.Base(path))) // a name may be too long to be a part of another
	return fmt.Sprintf(".failwhale-%x-", sum[:6])
}

// sweepTemps removes what killed processes have left of changes of path.
func sweepTemps(path string) error {
	list, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range list {
		if !strings.HasPrefix(f.Name(), tempPrefix(path)) {
			continue
		}
		name := filepath.Join(filepath.Dir(path), f.Name())
		if free, err := unlocked(name); err != nil || !free {
			continue // it has its final name by now, or soon will
		}
		if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func unlocked(name string) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	return err == nil, f.Close()
}

// writeTemp puts body into a synced and locked file beside path, with the mode and owner of info (nil: 0644).
func writeTemp(path string, body []byte, info fs.FileInfo) (*os.File, error) {
	temp, err := os.CreateTemp(filepath.Dir(path), tempPrefix(path)+"*")
	if err != nil {
		return nil, err
	}
	mode := fs.FileMode(0o644)
	if info != nil {
		mode = info.Mode().Perm() | info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)
	}
	err = syscall.Flock(int(temp.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) // against a sweep
	if err == nil {
		_, err = temp.Write(body)
	}
	if err == nil && info != nil {
		err = keepOwner(temp, info)
	}
	if err == nil {
		err = temp.Chmod(mode) // after the owner: a change of it drops setuid
	}
	if err == nil {
		err = temp.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, temp.Close(), os.Remove(temp.Name()))
	}
	return temp, nil
}

// fence has only to clean up: a change of a file ends with its process.
func (f *fileStore) fence(_ context.Context, was Document) error {
	path, _, err := f.current(was)
	if err != nil {
		return err
	}
	return sweepTemps(path)
}

func (f *fileStore) resource() string {
	path, err := f.resolve()
	if err != nil {
		path = f.path
	}
	return "file://" + path
}

func keepOwner(f *os.File, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}

func (f *fileStore) remove(_ context.Context, was Document) error {
	path, _, err := f.current(was)
	if err != nil || was.Absent {
		return err
	}
	return errors.Join(os.Remove(path), syncDir(filepath.Dir(path)))
}

// syncDir makes a rename last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
