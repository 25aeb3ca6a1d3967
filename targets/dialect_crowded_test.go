package targets_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/targets"
)

// A text of a few bytes a value is not made into lists of objects of hundreds of bytes each, while a long text that is
// one value is read.
func TestCrowdedAnswers(t *testing.T) {
	long := strings.Repeat(`{},[1,2]\"`, 100_000)
	for _, tt := range []struct {
		dialect     targets.Dialect
		crowd, good string
	}{
		{targets.OpenAIChat{}, `{"choices":[` + strings.Repeat(`{},`, 1<<20) + `{}]}`, `{"choices":[{"delta":{"content":"` + long + `"}}]}`},
		{targets.OpenAIChat{}, `{"choices":[` + strings.Repeat(`null,`, 1<<20) + `null]}`, `{"choices":[{"delta":{"content":"a"}}]}`},
		{targets.OpenAICompletions{}, `{"choices":[` + strings.Repeat(`{},`, 1<<20) + `{}]}`, `{"choices":[{"text":"` + long + `"}]}`},
		{targets.OllamaChat{}, `{"message":{"tool_calls":[` + strings.Repeat(`{},`, 1<<20) + `{}]}}`, `{"message":{"content":"` + long + `"}}`},
		{targets.OpenAIImages{}, `{"data":[` + strings.Repeat(`{"url":"x"},`, 1<<20) + `{}]}`, `{"data":[{"b64_json":"` + strings.Repeat("YWJj", 1<<20) + `","revised_prompt":"` + long + `"}]}`},
	} {
		for text, want := range map[string]string{tt.crowd: "more than 100000 values", tt.good: ""} {
			var d targets.Delta
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := tt.dialect.Decoder().Decode(&targets.Event{Data: []byte(text)}, &d)
			runtime.ReadMemStats(&after)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %.40s…: %v; want %q", tt.dialect.Name(), text, err, want)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 16*uint64(len(text))+8<<20 {
				t.Errorf("%s: %.40s…: %d bytes of memory for %d", tt.dialect.Name(), text, took, len(text))
			}
		}
	}
}
