package targets_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/targets"
)

// captured is the body of a recorded response, as far as it came.
func captured(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "shared", "captures", name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("no recordings here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".jsonl") {
		text = joinReads(t, text)
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := resp.Body.Close(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	return string(body)
}

// joinReads joins the reads of a recording with times, whose bytes are in Latin-1.
func joinReads(t *testing.T, lines []byte) (joined []byte) {
	t.Helper()
	for line := range bytes.Lines(lines) {
		var read struct {
			Data string `json:"data"`
		}
		if err := json.Unmarshal(line, &read); err != nil {
			t.Fatal(err)
		}
		for _, r := range read.Data {
			joined = append(joined, byte(r))
		}
	}
	return joined
}

// What real servers streamed reads as what they meant, in each of the dialects that they speak.
func TestCaptures(t *testing.T) {
	chat := targets.OpenAIChat{}
	length := func(prompt, output int) sum {
		return sum{Finish: "length", Done: true, Usage: tokens(prompt, output)}
	}
	for _, tt := range []struct {
		file    string
		dialect targets.Dialect
		chunks  int    // that carry text
		text    string // all of it, or "" where that would be long
		want    sum    // beside the text
	}{
		{"llamacpp-stream-128.txt", chat, 128, "", length(14, 128)},
		{"llamacpp-stream-usage.txt", chat, 16, "кло Fo expose KingCreate míst--------ardo Nar Stim homme Пеzeg ces ampCar", length(14, 16)},
		{"llamacpp-stream-nousage.txt", chat, 16, "", length(14, 16)}, // it is sent all the same
		{"llamacpp-stream-logprobs.txt", chat, 3, " proofsitu Calendar", length(14, 3)},
		{"llamacpp-stream-timings.txt", chat, 4, " featuretcp dataset coloc", length(14, 4)},
		{"llamacpp-stream-stop.txt", chat, 6, " Champжде mouv campaign admsourc", sum{Finish: "stop", Done: true, Usage: tokens(14, 6)}},
		{"llamacpp-err-toolong-noshift-stream.txt", chat, 0, "", sum{
			Done: true,
			Err:  "the request exceeds the available context size. try increasing the context size or enable context shift (invalid_request_error, 400)",
		}},
		{"llamacpp-timed-sigKILL.jsonl", chat, 51, "", sum{}},
		{"ik-stream-usage.txt", chat, 16, " желез slowly Nur ecx Historicalxivprep bright implicitly webpageánakinteા ageprep", sum{Finish: "stop", Done: true, Usage: tokens(14, 16)}},
		{"ik-stream-nousage.txt", chat, 16, "", sum{Finish: "stop", Done: true}},
		{"ik-stream-logprobs.txt", chat, 3, "DAT Ang coupling", sum{Finish: "stop", Done: true}},
		{"ollama-stream-128.txt", chat, 127, "", length(14, 128)},
		{"ollama-stream-nousage.txt", chat, 16, "", sum{Finish: "length", Done: true}},
		{"ollama-timed-runnerkill-v1c.jsonl", chat, 53, "", sum{}}, // no error, and no end
		{"ollama-v1-completions.txt", targets.OpenAICompletions{}, 8, "рес*$ І latachක краionaees", length(14, 8)},
		{"ollama-v1-responses.txt", targets.OpenAIResponses{}, 8, "字wp段 kop suasPARTiev spawn", sum{Finish: "stop", Done: true, Usage: tokens(14, 8)}},
		{"ollama-v1-messages.txt", targets.AnthropicMessages{}, 8, " similar Seit higherundefined multroutes Monument similarity", length(14, 8)},
		{"ollama-api-chat.txt", targets.OllamaChat{}, 16, "ресǒститу kidсло requests uncertaintyWhen lidercusDISaria ener気änProject", length(14, 16)},
		{"ollama-api-chat-128.txt", targets.OllamaChat{}, 126, "", length(14, 128)},
		{"ollama-api-chat-load.txt", targets.OllamaChat{}, 0, "", sum{Finish: "load", Done: true}},
		{"ollama-disconnect-ndjson-rst.txt", targets.OllamaChat{}, 20, "", sum{}},
		{"ollama-timed-runnerkill-api.jsonl", targets.OllamaChat{}, 59, "", sum{Err: "an error was encountered while running the model: unexpected EOF"}},
	} {
		t.Run(tt.file, func(t *testing.T) {
			stream := captured(t, tt.file)
			for _, reads := range [][]string{{stream}, events(tt.dialect, stream)} {
				deltas := byReads(t, tt.dialect, tt.dialect.Decoder(), reads...)
				got, chunks := total(deltas), 0
				for _, d := range deltas {
					if d.Text+d.Reasoning+d.Tool != "" {
						chunks++
					}
				}
				if chunks != tt.chunks || tt.text != "" && got.Text != tt.text {
					t.Errorf("%d chunks of %q, want %d of %q", chunks, got.Text, tt.chunks, tt.text)
				}
				got.Text = ""
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}
