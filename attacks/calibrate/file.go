package calibrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/failwhale/failwhale/results"
)

// Version of the file's format.
const Version = 1

// FileName is that of a machine's calibration in its state directory.
const FileName = "calibration.json"

// A Calibration is what was measured on one machine. A nil one is of a machine that was not calibrated: its methods
// say so, or nothing.
type Calibration struct {
	Version int `json:"version"`
	// At is when, to the second.
	At      time.Time `json:"at"`
	Machine Machine   `json:"machine"`
	Budget  Budget    `json:"budget"`
	// Interval between the tokens of a stream.
	Interval results.Seconds `json:"interval"`
	// Levels, with rising numbers of streams.
	Levels []Level `json:"levels"`
	// Memory of a stream; nil: not measured.
	Memory *Memory `json:"memory,omitempty"`
	// OtherVersion: another version of the program measured, whose errors need not be this one's. Load sets it.
	OtherVersion bool `json:"-"`
}

// A Machine is where a calibration is true.
type Machine struct {
	Host  string `json:"host"`
	CPUs  int    `json:"cpus"` // that this process may use, by its affinity, its cgroup's limit and GOMAXPROCS
	Model string `json:"model,omitempty"`
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	// Go and Failwhale are versions, of the program that calibrated.
	Go        string `json:"go"`
	Failwhale string `json:"failwhale"`
}

// ThisMachine describes the machine, and the program with its version.
func ThisMachine(failwhale string) Machine {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return Machine{
		Host: host, CPUs: runtime.GOMAXPROCS(0), Model: model(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Go: runtime.Version(), Failwhale: failwhale,
	}
}

// Same reports whether m is other, whatever program runs there.
func (m Machine) Same(other Machine) bool {
	m.Go, m.Failwhale = other.Go, other.Failwhale
	return m == other
}

// Writable fails where Save into dir would, which it makes if need be: what cannot be kept need not be measured.
func Writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the calibration cannot be kept: %w", err)
	}
	f, err := os.CreateTemp(dir, FileName+".*")
	if err != nil {
		return fmt.Errorf("the calibration cannot be kept: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Save writes the file into dir, which it makes if need be.
func (c *Calibration) Save(dir string) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("save calibration: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save calibration: %w", err)
	}
	f, err := os.CreateTemp(dir, FileName+".*") // its mode is 0600
	if err != nil {
		return fmt.Errorf("save calibration: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, FileName))
	}
	if err != nil {
		return fmt.Errorf("save calibration: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// Load reads the calibration of machine from dir. It returns nil where there is none, or one of another machine.
func Load(dir string, machine Machine) (*Calibration, error) {
	path := filepath.Join(dir, FileName)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // a nil Calibration is one: see there
	}
	c := new(Calibration)
	if err == nil {
		err = json.Unmarshal(text, c)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("read calibration: %s: %w: run failwhale calibrate again", path, err)
	case c.Version != Version:
		return nil, fmt.Errorf("read calibration: %s: version %d is not %d: run failwhale calibrate again", path, c.Version, Version)
	case !c.Machine.Same(machine):
		return nil, nil //nolint:nilnil // likewise
	}
	c.OtherVersion = c.Machine.Failwhale != machine.Failwhale
	return c, nil
}
