package attacks_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// toil is a dialect that takes its time over each prompt, and counts them.
type toil struct {
	targets.Dialect
	each    time.Duration
	written *atomic.Int64
}

func (d toil) Encode(p targets.Prompt) (targets.Request, error) {
	d.written.Add(1)
	time.Sleep(d.each)
	return d.Dialect.Encode(p)
}

// ahead begins an attack with a trace in our format, whose prompts take so long to write each.
func ahead(t *testing.T, each time.Duration, text string, change ...func(*attacks.Config)) (a *attacks.Attack, sink *samples, written *atomic.Int64) {
	t.Helper()
	server := targetstest.NewPipe(t, echo)
	cfg, sink := config(server.URL())
	tr := trace(t, attacks.TraceHeader+text)
	cfg.Profile, written = attacks.Profile{Trace: &tr}, new(atomic.Int64)
	cfg.Dialect = toil{targets.Dialects()[0], each, written}
	for _, f := range change {
		f(&cfg)
	}
	a = newAttack(t, cfg)
	a.SetDial(server.Dial)
	written.Store(0) // without what New has tried
	return a, sink, written
}

// Requests that are due together are written before, while there is time, so that none waits for the words of another;
// but no more of them than the bounds say: 64, or as many as first come to 16 MB.
func TestBurstsAreWrittenAhead(t *testing.T) {
	for _, tt := range []struct {
		name     string
		tokens   string
		requests int    // of each of two bursts
		first    [2]int // requests that are written a second before each of them is due
	}{
		{"few", "50", 50, [2]int{64, 100}},
		{"many", "50", 100, [2]int{64, 164}},
		{"long ones", "250000", 20, [2]int{17, 37}},
	} {
		synctest.Test(t, func(t *testing.T) {
			row := `{"due_ns":10000000000,"prompt_tokens":` + tt.tokens + `,"output_tokens":4}` + "\n"
			late := strings.Replace(row, "10000000000", "20000000000", 1)
			a, sink, written := ahead(t, 10*time.Millisecond, strings.Repeat(row, tt.requests)+strings.Repeat(late, tt.requests))
			wait := run(t, a)
			a.Begin(results.Baseline)
			time.Sleep(9 * time.Second)
			for i, want := range tt.first {
				synctest.Wait()
				if n := int(written.Load()); n != want {
					t.Errorf("%s: %d requests are written a second before burst %d, want %d", tt.name, n, i, want)
				}
				time.Sleep(10 * time.Second)
			}
			a.Stop()
			wait()
			all := sink.sorted()
			if len(all) != 2*tt.requests {
				t.Fatalf("%s: %d requests were sent, want %d", tt.name, len(all), 2*tt.requests)
			}
			for i, s := range all {
				if written := tt.first[i/tt.requests]; i < written && s.Sent != s.Due {
					t.Errorf("%s: request %d was sent %s late", tt.name, i, s.Sent-s.Due)
				}
			}
		})
	}
}

// What is due after the load was stopped is not sent, although it was being written then.
func TestStopWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, sink, written := ahead(t, 10*time.Millisecond, `{"due_ns":7000000,"prompt_tokens":50,"output_tokens":4}`+"\n")
		wait := run(t, a)
		a.Begin(results.Baseline)
		time.Sleep(5 * time.Millisecond)
		a.Stop()
		wait()
		if n := len(sink.sorted()); n != 0 || written.Load() != 1 {
			t.Errorf("%d requests were sent and %d written, want none and one: it was due 2 ms after Stop", n, written.Load())
		}
	})
}

// The requests of a part are its own: none is a copy of the base's.
func TestAPartSaysSomethingElse(t *testing.T) {
	even := attacks.Profile{Constant: &attacks.Constant{Rate: 10}}
	both := even
	both.Plus = []attacks.Part{{Profile: even}, {Profile: even}}
	var at []attacks.Request
	for r, err := range (attacks.Config{Profile: both, Workload: attacks.Workload{{Preset: attacks.Chat}}, Seed: 1}).Schedule(results.Baseline) {
		if err != nil {
			t.Fatal(err)
		}
		if at = append(at, r); len(at) == 30 {
			break
		}
	}
	for i := 0; i < len(at); i += 3 {
		a, b, c := at[i], at[i+1], at[i+2]
		if a.Due != b.Due || a.Due != c.Due || a.PromptTokens == b.PromptTokens && a.OutputTokens == b.OutputTokens ||
			b.PromptTokens == c.PromptTokens && b.OutputTokens == c.OutputTokens {
			t.Errorf("base and parts have %+v, %+v and %+v; want three requests at a time", a, b, c)
		}
	}
}
