package results_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/failwhale/failwhale/results"
)

// childEnv makes the test binary a writer of a log: see [TestMain].
const childEnv = "FAILWHALE_TEST_LOG_CHILD"

// TestMain is also the process that writes a log until it is killed, or until its disk is full.
func TestMain(m *testing.M) {
	switch role, path, _ := strings.Cut(os.Getenv(childEnv), "="); role {
	case "":
		os.Exit(m.Run())
	case "forever":
		fmt.Fprintln(os.Stderr, writeForever(path))
	case "full":
		fmt.Fprintln(os.Stderr, writeFull(path))
	}
	os.Exit(1)
}

func child(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+role+"="+path)
	cmd.Stderr = t.Output()
	return cmd
}

// writeForever adds samples, and says on stdout how many were on the disk when Event returned.
func writeForever(path string) error {
	log, err := results.CreateLog(path)
	if err != nil {
		return err
	}
	recorder := results.NewRecorder(results.NewClock(), log)
	if err := recorder.Add(header()); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for n := uint64(1); ; n++ {
		s := streamed(rng, 10, ms)
		s.Index = n
		if err := recorder.Add(results.Record{Sample: s}); err != nil {
			return err
		}
		if n%500 == 0 {
			if _, err := recorder.Event(results.Event{Kind: results.EventInject, Fault: "east"}); err != nil {
				return err
			}
			fmt.Fprintln(os.Stdout, n)
		}
	}
}

// writeFull limits its own files to 16 KiB and returns nil if every method told that the log failed.
func writeFull(path string) error {
	limit := syscall.Rlimit{Cur: 16 << 10, Max: 16 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	log, err := results.CreateLog(path)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 10000 {
		if err = log.Add(results.Record{Sample: streamed(rng, 100, ms)}); err != nil {
			break
		}
		if err = log.Sync(); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("a full disk gave %w; want EFBIG", err)
	}
	for name, got := range map[string]error{"Add": log.Add(header()), "Sync": log.Sync(), "Close": log.Close(), "Close again": log.Close()} {
		if !errors.Is(got, syscall.EFBIG) {
			return fmt.Errorf("%s after a failed write gave %w; want EFBIG", name, got)
		}
	}
	os.Exit(0)
	return nil
}
