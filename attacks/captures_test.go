package attacks_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
)

// captured says what a recording of llama.cpp, its fork ik or Ollama is; the first pattern that fits decides.
func captured(name string) results.Outcome {
	for _, rule := range []struct {
		want     results.Outcome
		patterns []string
	}{
		{results.Complete, []string{"ollama-n2.txt"}},                                                         // n is ignored
		{results.StreamError, []string{"llamacpp-err-toolong-noshift-stream.txt"}},                            // 200, an SSE field called error, [DONE]
		{results.Truncated, []string{"ollama-timed-runnerkill-v1c.jsonl", "ollama-v1-[rm]es*", "*-root.txt"}}, // no finish_reason, no [DONE]
		{results.Empty, []string{"ollama-v1-completions.txt"}},                                                // completions: text, and no chat
		{results.HTTPStatus, []string{"*-noshift-nonstream.txt", "ik-err-toolong-noshift-stream.txt", "*-n2.txt"}},
		{results.Malformed, []string{"*-nonstream.txt", "*-nostream.txt", "ik-crash*", "*-runnerkill-api.jsonl"}}, // ik-crash has curl's last words in it
		{results.Reset, []string{"*-disconnect-*", "*-timed-sig*", "toxi-limit.jsonl"}},                           // FIN and no end of the body
		{results.Complete, []string{"*-stream-*", "*-timed-*.jsonl", "toxi-*", "*tokens*", "*-err-toolong.txt"}},  // too long is cut in silence
		{results.Complete, []string{"llamacpp-err-badmodel.txt", "ik-err-badmodel.txt"}},                          // any model name is served
		{results.HTTPStatus, []string{"*-err-*", "*-nomodel.txt", "*-badjson.txt", "*-loading.txt"}},
		{results.HTTPStatus, []string{"ollama-slots.txt", "ollama-props.txt", "ollama-metrics.txt", "ollama-health.txt"}},
		{results.Malformed, []string{"ollama-api-*", "*-models.txt", "*-props.txt", "*-slots.txt", "*-metrics.txt", "*-health.txt"}},
	} {
		for _, pattern := range rule.patterns {
			if fits, err := filepath.Match(pattern, name); err == nil && fits {
				return rule.want
			}
		}
	}
	return results.Unknown
}

// What real servers sent is judged as it was: their good answers are complete, their
// deaths, errors inside a 200 and quiet ends are not.
func TestCaptures(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "captures")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Skipf("no recordings here: %v", err)
	}
	for _, f := range files {
		t.Run(f.Name(), func(t *testing.T) {
			t.Parallel()
			script, err := targetstest.Replay(filepath.Join(dir, f.Name()), 0)
			if err != nil {
				t.Fatal(err)
			}
			got := one(t, targetstest.New(t, targetstest.Always(script...)).URL(), attacks.Client{})
			if want := captured(f.Name()); got.Outcome != want {
				t.Errorf("outcome %s: %s (%d chunks, usage %+v); want %s", got.Outcome, got.Error, len(got.Chunks), got.Usage, want)
			}
			if got.Usage.Output < len(got.Chunks) {
				t.Errorf("%d chunks, usage %+v", len(got.Chunks), got.Usage)
			}
		})
	}
}

// arrivals computes from a recording, without any of our code, when each event with content was
// complete: the time of the read that has its blank line.
func arrivals(t *testing.T, path string) []time.Duration {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []time.Duration
	var pending strings.Builder
	for line := range bytes.Lines(text) {
		var read struct {
			MS   float64 `json:"ms"`
			Data string  `json:"data"`
		}
		if err := json.Unmarshal(line, &read); err != nil {
			t.Fatal(err)
		}
		for _, r := range read.Data {
			pending.WriteRune(r)
			if r != '\n' || !strings.HasSuffix(pending.String(), "\n\n") {
				continue
			}
			if e := pending.String(); strings.Contains(e, `"content":"`) && !strings.Contains(e, `"content":""`) {
				out = append(out, time.Duration(read.MS*float64(time.Millisecond)))
			}
			pending.Reset()
		}
	}
	return out
}

// Replayed read by read at their own times, recordings give the stamps that they were made with.
func TestCapturesAreStampedAsRecorded(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "shared", "captures", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recordings here: %v", err)
	}
	for _, path := range files {
		if captured(filepath.Base(path)) == results.Malformed {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script, err := targetstest.Replay(path, 1)
				if err != nil {
					t.Fatal(err)
				}
				server := targetstest.NewPipe(t, targetstest.Always(script...))
				cfg, sink := config(server.URL())
				cfg.Profile.Constant.Rate = 1e-6
				a := newAttack(t, cfg)
				a.SetDial(server.Dial)
				a.Begin(results.Baseline)
				wait := run(t, a)
				time.Sleep(50 * time.Second)
				a.Stop()
				wait()
				got, want := sink.sorted()[0], arrivals(t, path)
				if len(got.Chunks) != len(want) {
					t.Fatalf("%d chunks, want %d", len(got.Chunks), len(want))
				}
				for i, c := range got.Chunks {
					if off := (c.At - got.Due - want[i]).Abs(); off > time.Microsecond {
						t.Errorf("chunk %d at %s, want %s", i, c.At-got.Due, want[i])
					}
					if together := i > 0 && want[i] == want[i-1]; c.Coalesced != together {
						t.Errorf("chunk %d: coalesced %t, want %t", i, c.Coalesced, together)
					}
				}
			})
		})
	}
}
