package calibrate_test

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/failwhale/failwhale/attacks/calibrate"
	"github.com/failwhale/failwhale/targets/perfect"
)

// asServer is the environment variable that makes the test binary the perfect server.
const asServer = "FAILWHALE_PERFECT_SERVER"

// TestMain is the server, if it was started as that.
func TestMain(m *testing.M) {
	if _, ok := os.LookupEnv(asServer); ok {
		if err := perfect.Command(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// tiny is a calibration of a moment: its times say nothing.
func tiny(t *testing.T) calibrate.Config {
	t.Helper()
	t.Setenv(asServer, "1")
	return calibrate.Config{
		Server: []string{os.Args[0]}, Streams: []int{2, 8}, Tokens: 10, Measure: 500 * time.Millisecond,
		Timing: perfect.Timing{Prefill: 10 * time.Millisecond, Interval: 10 * time.Millisecond},
		Budget: calibrate.Budget{TTFT: 60, ITL: 60, P99: 60}, Failwhale: "v0.0.0-test",
	}
}

// A calibration of a moment measures something of everything.
func TestRun(t *testing.T) {
	cfg := tiny(t)
	var said []string
	cfg.Progress = func(doing string) { said = append(said, doing) }
	c, err := calibrate.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Levels) != 2 || len(said) != 2 || c.Machine.CPUs < 1 || c.Machine.Failwhale != cfg.Failwhale || c.At.IsZero() {
		t.Fatalf("Run() = %+v, having said %q", c, said)
	}
	for i, l := range c.Levels {
		if l.Streams != cfg.Streams[i] || math.Abs(l.ChunksPerSecond/(l.ChunksPerCPUSecond*l.Cores)-1) > 1e-6 {
			t.Errorf("level %d has %d streams and %v chunks/s; want %d, and %v chunks per CPU-second on %v cores", i, l.Streams, l.ChunksPerSecond,
				cfg.Streams[i], l.ChunksPerCPUSecond, l.Cores)
		}
		if l.Requests == 0 || l.Failed > 0 || l.TTFT.N == 0 || l.ITL.N == 0 || l.Delay.N == 0 || l.Lag.N == 0 || l.ServerLate.N == 0 {
			t.Errorf("level %d: %+v; want some of everything, and no failure (%s)", i, l, l.Why)
		}
		if l.Cores <= 0 || l.ChunksPerCPUSecond <= 0 || l.InFlight <= 0 {
			t.Errorf("level %d: cores %v, chunks per CPU-second %v, in flight %v; want more than 0", i, l.Cores, l.ChunksPerCPUSecond, l.InFlight)
		}
	}
	var out strings.Builder
	if err := c.WriteTable(&out); err != nil || !strings.Contains(out.String(), "TIMING") || !strings.Contains(out.String(), "COST") {
		t.Errorf("WriteTable() = %v and %s", err, out.String())
	}
}

// An end of ctx ends a calibration, with its server.
func TestRunEnds(t *testing.T) {
	cfg := tiny(t)
	cfg.Measure = time.Hour
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cfg.Progress = func(string) { time.AfterFunc(50*time.Millisecond, func() { cancel(why) }) }
	c, err := calibrate.Run(ctx, cfg)
	if !errors.Is(err, why) && !errors.Is(err, context.Canceled) || c == nil || len(c.Levels) != 0 {
		t.Errorf("Run() = %+v, %v; want an error that is %v", c, err, why)
	}
}

// What cannot be measured is refused at once, all of it.
func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  calibrate.Config
		want []string
	}{
		{"falling", calibrate.Config{Streams: []int{8, 4}}, []string{"[8 4] are not rising"}},
		{"zero", calibrate.Config{Streams: []int{0, 4}}, []string{"[0 4] are not rising"}},
		{"several", calibrate.Config{Memory: -1, Tokens: 1}, []string{"memory -1", "answers of 1 token"}},
		{"half a budget", calibrate.Config{Budget: calibrate.Budget{TTFT: 1}}, []string{"not over 0"}},
		{"more than the machine has", calibrate.Config{Streams: []int{1 << 40}}, []string{"open files", "raise the limit"}},
	} {
		err := tt.cfg.Validate()
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: Validate() = %v; want %q in it", tt.name, err, want)
			}
		}
	}
	if _, err := calibrate.Run(t.Context(), calibrate.Config{}); err == nil || !strings.Contains(err.Error(), "no command") {
		t.Errorf("Run without a server: %v; want an error that says so", err)
	}
}
