package targetstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// Replay makes a script of a recorded response, which ends the connection as the
// recording does: in order.
//
// A file of JSON lines has one read a line, {"ms": since the request, "n": bytes,
// "data": latin-1}: each is written at its time, multiplied by scale (0: without a
// pause). Any other file is the bytes of the response, written at once.
func Replay(path string, scale float64) (Script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	if !strings.HasSuffix(path, ".jsonl") {
		return Script{Send(string(text)), FIN()}, nil
	}
	var script Script
	var last float64
	for line := range bytes.Lines(text) {
		var read struct {
			MS   float64 `json:"ms"`
			Data string  `json:"data"`
		}
		if err := json.Unmarshal(line, &read); err != nil {
			return nil, fmt.Errorf("replay %s: read %q: %w", path, line, err)
		}
		if wait := (read.MS - last) * scale; wait > 0 {
			script = append(script, Pause(time.Duration(wait*float64(time.Millisecond))))
		}
		last = read.MS
		raw := make([]byte, 0, len(read.Data))
		for _, r := range read.Data {
			raw = append(raw, byte(r))
		}
		script = append(script, Send(string(raw)))
	}
	return append(script, FIN()), nil
}
