package faults_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/wire"
)

// A probe is a fault whose harm is a file, and that can be made to misbehave.
type probe struct {
	File string `yaml:"file"`
	// Bad is the method that fails: prepare, inject, revert (while File.stuck exists), panic, drift, silent.
	Bad string `yaml:"bad"`
	// Lease makes it a Renewer: each renewal adds a byte to File.renewed, and fails where Bad is renew, lapsed or renew-panic.
	Lease time.Duration `yaml:"lease"`
}

func (p *probe) Prepare(context.Context, *targets.Stack) error {
	return p.fail("prepare")
}

func (p *probe) Inject(ctx context.Context, _ *targets.Stack) error {
	if p.Bad == "hang" {
		<-ctx.Done()
		return ctx.Err()
	}
	return errors.Join(p.fail("inject"), os.WriteFile(p.File, nil, 0o600))
}

func (p *probe) Evidence(context.Context, *targets.Stack) (results.Evidence, error) {
	return results.Evidence{Touched: 1, What: "files"}, p.fail("evidence")
}

func (p *probe) Revert(context.Context, *targets.Stack) (results.Restored, error) {
	switch p.Bad {
	case "panic":
		panic("probe")
	case "drift":
		return results.RestoredDrift, errors.New("someone else's")
	case "silent":
		return "", nil
	}
	if _, err := os.Stat(p.File + ".stuck"); err == nil {
		return results.RestoredFailed, errors.New("stuck")
	}
	err := os.Remove(p.File)
	if errors.Is(err, os.ErrNotExist) {
		return results.RestoredUnneed, nil
	}
	return results.RestoredOK, err
}

func (p *probe) Note() string { return "a probe" }

func (p *probe) fail(method string) error {
	if p.Bad == method {
		return errors.New("probe: " + method)
	}
	return nil
}

// A leased probe is a Renewer.
type leased struct{ probe }

func (l *leased) Renew(context.Context, *targets.Stack) error {
	f, err := os.OpenFile(l.File+".renewed", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write([]byte{'x'})
		err = errors.Join(err, f.Close())
	}
	switch l.Bad {
	case "renew-panic":
		panic("probe")
	case "lapsed":
		return errors.Join(err, fmt.Errorf("probe: %w", wire.ErrLapsed))
	}
	return errors.Join(err, l.fail("renew"))
}
func (l *leased) Period() time.Duration { return l.Lease / 3 }

func probes() []faults.Kind {
	return []faults.Kind{
		{Name: "test.probe", Doc: "makes a file", New: func() faults.Fault { return new(probe) }},
		{Name: "test.leased", Doc: "makes a file, for a while", New: func() faults.Fault { return new(leased) }},
	}
}

// A bench is a journal and a stack for probes.
type bench struct {
	*testing.T
	dir     string // of the probes' files
	journal *faults.Journal
	stack   *targets.Stack
}

func newBench(t *testing.T) *bench {
	t.Helper()
	j, err := faults.OpenJournal(filepath.Join(t.TempDir(), "state", "journal"), probes()...)
	must(t, err)
	return &bench{t, t.TempDir(), j, attach(t, endpoints(func(*targets.Handle) {}))}
}

// arm arms a probe, whose file is named by its id.
func (b *bench) arm(id, bad string) (*faults.Armed, error) {
	return b.armTTL(id, bad, time.Hour)
}

func (b *bench) armTTL(id, bad string, ttl time.Duration) (*faults.Armed, error) {
	return b.journal.Arm(b.Context(), b.stack, faults.Intent{
		Run: "run", ID: id, Kind: "test.probe", Fault: &probe{File: b.file(id), Bad: bad}, TTL: ttl,
	})
}

// inject arms and injects a probe.
func (b *bench) inject(id, bad string) *faults.Armed {
	b.Helper()
	a, err := b.arm(id, bad)
	must(b.T, err)
	must(b.T, a.Inject(b.Context()))
	return a
}

func (b *bench) file(id string) string { return filepath.Join(b.dir, id) }

func (b *bench) harmed(id string) bool {
	_, err := os.Stat(b.file(id))
	return err == nil
}

// open returns the states of the open entries by id.
func (b *bench) open() map[string]faults.State {
	b.Helper()
	open, err := b.journal.Open()
	must(b.T, err)
	states := map[string]faults.State{}
	for _, e := range open {
		states[e.ID] = e.State
	}
	return states
}
