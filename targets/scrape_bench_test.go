package targets_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/failwhale/failwhale/targets"
)

// A page of 100 KB, as a vLLM of some twenty engines shows, is read once a second: what it costs is taken from the load.
func BenchmarkParseMetrics(b *testing.B) {
	one, err := os.ReadFile("testdata/metrics/vllm.txt")
	if err != nil {
		b.Fatal(err)
	}
	var page []byte
	seen := map[string]bool{}
	for i := 0; len(page) < 100<<10; i++ {
		text := regexp.MustCompile(`engine="\d"`).ReplaceAll(one, fmt.Appendf(nil, `engine="%d"`, i))
		for line := range bytes.Lines(text) {
			if bytes.HasPrefix(line, []byte("#")) && seen[string(line)] {
				continue // HELP and TYPE stand there once
			}
			seen[string(line)] = true
			page = append(page, line...)
		}
	}
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		if _, err := targets.ParseMetrics(page); err != nil {
			b.Fatal(err)
		}
	}
}
