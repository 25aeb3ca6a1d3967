package attacks_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
	"github.com/failwhale/failwhale/targets/targetstest"
)

const captures = "../../shared/captures"

// A captured is a recording of llama.cpp, of its fork ik, of Ollama, or of one of them through Toxiproxy (toxi).
type captured struct {
	dialect targets.Dialect
	want    results.Outcome
}

// placed says what each recording is: nothing is taken for what it may be by its name.
func placed() map[string]captured {
	all := map[string]captured{}
	place := func(d targets.Dialect, want results.Outcome, names string) {
		for name := range strings.FieldsSeq(names) {
			all[name] = captured{d, want}
		}
	}
	chat, ollama := targets.OpenAIChat{}, targets.OllamaChat{}
	place(chat, results.Complete, `
		llamacpp-stream-128.txt llamacpp-stream-logprobs.txt llamacpp-stream-nousage.txt llamacpp-stream-stop.txt llamacpp-stream-timings.txt
		llamacpp-stream-usage.txt llamacpp-max_tokens0.txt llamacpp-max_tokens1.txt llamacpp-timed-128.jsonl llamacpp-timed-httpthreads.jsonl
		llamacpp-timed-longprefill.jsonl llamacpp-timed-slot-first.jsonl llamacpp-timed-slot-queued.jsonl llamacpp-timed-stop3s.jsonl
		ik-stream-128.txt ik-stream-logprobs.txt ik-stream-nousage.txt ik-stream-stop.txt ik-stream-timings.txt ik-stream-usage.txt
		ik-max_completion_tokens.txt ik-max_tokens0.txt ik-max_tokens1.txt ik-timed-128.jsonl ik-timed-longprefill.jsonl ik-timed-slot-first.jsonl
		ik-timed-slot-queued.jsonl
		ollama-stream-128.txt ollama-stream-logprobs.txt ollama-stream-nousage.txt ollama-stream-stop.txt ollama-stream-timings.txt
		ollama-stream-usage.txt ollama-max_tokens1.txt ollama-timed-cold.jsonl ollama-timed-longprefill.jsonl
		toxi-latency.jsonl toxi-plain.jsonl toxi-slicer.jsonl`)
	place(chat, results.Complete, `llamacpp-err-toolong.txt ik-err-toolong.txt ollama-err-toolong.txt`) // a prompt that is too long is cut in silence
	place(chat, results.Complete, `llamacpp-err-badmodel.txt ik-err-badmodel.txt ollama-n2.txt`)        // any model is served, and n is ignored
	place(chat, results.StreamError, `llamacpp-err-toolong-noshift-stream.txt`)                         // 200, an SSE field called error, and [DONE]
	place(chat, results.Truncated, `ollama-timed-runnerkill-v1c.jsonl`)                                 // a clean end: no finish_reason, no [DONE]
	place(chat, results.Reset, `
		llamacpp-disconnect-fin.txt llamacpp-disconnect-rst.txt llamacpp-timed-sigKILL.jsonl llamacpp-timed-sigTERM.jsonl
		ik-disconnect-fin.txt ik-disconnect-rst.txt ik-timed-sigKILL.jsonl ollama-disconnect-fin.txt ollama-timed-sigterm.jsonl toxi-limit.jsonl`)
	place(chat, results.HTTPStatus, `
		llamacpp-err-401.txt llamacpp-err-404.txt llamacpp-err-badjson.txt llamacpp-err-badtype.txt llamacpp-err-get.txt llamacpp-err-nomessages.txt
		llamacpp-err-toolong-noshift-nonstream.txt llamacpp-health-loading.txt llamacpp-n2.txt
		ik-err-401.txt ik-err-404.txt ik-err-badjson.txt ik-err-badtype.txt ik-err-get.txt ik-err-nomessages.txt
		ik-err-toolong-noshift-nonstream.txt ik-err-toolong-noshift-stream.txt ik-n2.txt
		ollama-err-403-host.txt ollama-err-404.txt ollama-err-503-queue.txt ollama-err-badjson.txt ollama-err-badmodel.txt ollama-err-badtype.txt
		ollama-err-get.txt ollama-err-nomessages.txt ollama-health.txt ollama-metrics.txt ollama-props.txt ollama-slots.txt`)
	place(chat, results.Malformed, `
		ik-crash-midstream.txt
		llamacpp-nonstream.txt llamacpp-err-toolong-nonstream.txt llamacpp-health.txt llamacpp-metrics.txt llamacpp-models.txt llamacpp-props.txt
		llamacpp-slots.txt ik-nonstream.txt ik-err-toolong-nonstream.txt ik-health.txt ik-metrics.txt ik-models.txt ik-props.txt ik-slots.txt
		ollama-nonstream.txt ollama-err-toolong-nonstream.txt ollama-models.txt`) // ik-crash has curl's last words in it; the others are 200s without a stream
	place(targets.OpenAICompletions{}, results.Complete, `ollama-v1-completions.txt`) // usage in every chunk, of zeros until the last
	place(targets.OpenAIResponses{}, results.Complete, `ollama-v1-responses.txt`)
	place(targets.AnthropicMessages{}, results.Complete, `ollama-v1-messages.txt`)
	place(ollama, results.Complete, `ollama-api-chat.txt ollama-api-chat-128.txt`)
	place(ollama, results.StreamError, `ollama-timed-runnerkill-api.jsonl`) // its last line is an error
	place(ollama, results.Reset, `ollama-disconnect-ndjson-rst.txt`)
	place(ollama, results.HTTPStatus, `ollama-api-chat-badjson.txt ollama-api-chat-nomodel.txt`)
	place(ollama, results.Malformed, `ollama-api-chat-nostream.txt ollama-api-chat-load.txt ollama-api-ps.txt ollama-api-tags.txt`)
	return all
}

// notReplayed are the recordings that are no answer to any dialect's request, and why.
func notReplayed() map[string]string {
	return map[string]string{
		"ollama-api-generate.txt": "Ollama's /api/generate: no dialect asks there",
		"ollama-root.txt":         "a greeting in plain text",
	}
}

// What real servers sent is judged as it was: their good answers are complete, their
// deaths, errors inside a 200 and quiet ends are not. A new recording must be placed.
func TestCaptures(t *testing.T) {
	files, err := os.ReadDir(captures)
	if err != nil {
		t.Skipf("no recordings here: %v", err)
	}
	all := placed()
	for _, f := range files {
		is, known := all[f.Name()]
		if !known {
			if notReplayed()[f.Name()] == "" {
				t.Errorf("recording %s is not placed: say what it is", f.Name())
			}
			continue
		}
		delete(all, f.Name())
		t.Run(f.Name(), func(t *testing.T) {
			t.Parallel()
			script, err := targetstest.Replay(filepath.Join(captures, f.Name()), 0)
			if err != nil {
				t.Fatal(err)
			}
			server := targetstest.New(t, targetstest.Always(script...))
			got := oneAt(t, targets.Endpoint{URL: server.URL(), Dialect: is.dialect.Name()}, attacks.Client{})
			if got.Outcome != is.want {
				t.Errorf("outcome %s: %s (%d chunks, usage %+v); want %s", got.Outcome, got.Error, len(got.Chunks), got.Usage, is.want)
			}
			if got.Usage.Output < len(got.Chunks) || (is.want == results.Complete) != (got.Outcome == results.Complete && len(got.Chunks) > 0) {
				t.Errorf("%d chunks, usage %+v", len(got.Chunks), got.Usage)
			}
		})
	}
	if len(all) > 0 {
		t.Errorf("recordings %v are gone", slices.Sorted(maps.Keys(all)))
	}
}

// arrivals computes from a recording, without any of our code, when each event with content was
// complete: the time of the read that has its blank line, or its line end where an event is a line.
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
			if r != '\n' || !strings.HasSuffix(pending.String(), "\n\n") && !strings.Contains(pending.String(), "\n{\"model\"") {
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
	files, err := filepath.Glob(filepath.Join(captures, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recordings here: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script, err := targetstest.Replay(path, 1)
				if err != nil {
					t.Fatal(err)
				}
				server := targetstest.NewPipe(t, targetstest.Always(script...))
				dialect := placed()[filepath.Base(path)].dialect
				got := onePipe(t, server, func(cfg *attacks.Config) { cfg.Dialect = dialect }, server.Dial)
				want := arrivals(t, path)
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
