package attacks

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/failwhale/failwhale/targets"
)

// Names of the presets.
const (
	ChatShort   = "chat-short"
	Chat        = "chat"
	Code        = "code"
	LongContext = "long-context"
	Agent       = "agent"
	Completions = "completions"
	Tools       = "tools"
	Image       = "image"
	Embeddings  = "embeddings"
	Audio       = "audio"
)

// A Preset is a class of requests with a name.
type Preset struct {
	Name string
	// Doc says what it is, and after what.
	Doc string
	// CV is how bursty such requests come, in service: the coefficient of variation of the gaps. 0: as any.
	CV float64

	class Class
	tools bool // requests offer tools to call
}

// Presets returns those that there are, the default first. What their figures are from stands beside each; where a
// distribution is called lognormal, it is by its median and 90th percentile, as the source has them.
func Presets() []Preset {
	// Azure's 2023 conversation trace (AzureLLMInferenceTrace_conv, 19,366 requests): median, 90th percentile and
	// maximum of its two columns.
	chat := Class{PromptTokens: Length{P50: 1020, P90: 2735, Max: 14050}, OutputTokens: Length{P50: 129, P90: 424, Max: 1000}}
	return []Preset{
		{
			Name: ChatShort, Doc: "prompts of 64 tokens, answers of 50: a drill fits two cores",
			class: Class{PromptTokens: Length{Fixed: 64}, OutputTokens: Length{Fixed: 50}},
		},
		{Name: Chat, Doc: "lengths of Azure's 2023 conversation trace", class: chat},
		{
			// Azure's 2023 code trace (AzureLLMInferenceTrace_code, 8,819 requests): median and 90th percentile; the prompts
			// end at its 99th percentile, the answers at its maximum. Its gaps have a CV of 13.2 over an hour, of which a
			// part is that hour's own rise and fall (its peak minute has 3.3 times the mean): 8 is what bursts alone have.
			Name: Code, Doc: "lengths of Azure's 2023 code trace, in bursts (cv 8 to 13)", CV: 8,
			class: Class{PromptTokens: Length{P50: 1469, P90: 5194, Max: 7436}, OutputTokens: Length{P50: 13, P90: 55, Max: 1899}},
		},
		{
			// Mooncake's conversation trace (FAST'25, 12,031 requests): median and 90th percentile, and the maximum of the
			// prompts; that of the answers is of its first 4,000 rows.
			Name: LongContext, Doc: "lengths of Mooncake's 2025 conversation trace: prompts up to 126,000 tokens",
			class: Class{PromptTokens: Length{P50: 6909, P90: 27367, Max: 126_000}, OutputTokens: Length{P50: 350, P90: 597, Max: 2000}},
		},
		{
			// How often a coding agent asks for one request of its user: TraceLab (arXiv 2606.30560, 4,265 sessions of Claude
			// Code and Codex; its table of session_internal_counts has 1, 20 and 86 steps after tools in the 50th, 90th and
			// 99th percentile). Answers have its mean, 523 tokens, spread as widely as prompts. What a turn adds to the
			// prompt: rows of Mooncake's first 4,000 that go on from an earlier one have 488 and 4,929 more. The system
			// prompt and the time that tools take are ours.
			Name: Agent, Doc: "conversations with tools and a growing context: turns of TraceLab's coding agents (2026), prompts as Mooncake's grow", tools: true,
			class: Class{
				PromptTokens: Length{P50: 488, P90: 4929, Max: 20_000}, OutputTokens: Length{P50: 200, P90: 1150, Max: 4000},
				Prefix: &Prefix{Tokens: 4096}, Turns: &Turns{
					Count: Length{P50: 2, P90: 21, Max: 87}, Think: Think{P50: time.Second, P90: 10 * time.Second, Max: time.Minute},
				},
			},
		},
		{
			Name: Completions, Doc: "lengths of chat, asked by OpenAI's completions",
			class: Class{PromptTokens: chat.PromptTokens, OutputTokens: chat.OutputTokens, Dialect: targets.OpenAICompletions{}.Name()},
		},
		{Name: Tools, Doc: "lengths of chat, with tools to call", class: chat, tools: true},
		{
			// A caption's length; an answer has no tokens.
			Name: Image, Doc: "one image by a prompt of 40 tokens, asked by OpenAI's images",
			class: Class{PromptTokens: Length{Fixed: 40}, OutputTokens: Length{Fixed: 1}, Dialect: targets.OpenAIImages{}.Name()},
		},
		{
			// The piece that most splitters cut documents into, and the window of the older models.
			Name: Embeddings, Doc: "vectors of texts of 512 tokens, asked by OpenAI's embeddings",
			class: Class{PromptTokens: Length{Fixed: 512}, OutputTokens: Length{Fixed: 1}, Dialect: targets.OpenAIEmbeddings{}.Name()},
		},
		{
			// A sound has ten tokens a second (targets.OpenAITranscriptions), and whisper's window is of half a minute: a
			// little less of it, and at 150 words a minute the transcript. What we upload has no words.
			Name: Audio, Doc: "transcripts of 29 s of uploaded audio, asked by OpenAI's transcriptions",
			class: Class{PromptTokens: Length{Fixed: 290}, OutputTokens: Length{Fixed: 100}, Dialect: targets.OpenAITranscriptions{}.Name()},
		},
	}
}

// preset is the one of that name; false: there is none.
func preset(name string) (Preset, bool) {
	all := Presets()
	i := slices.IndexFunc(all, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		return Preset{}, false
	}
	return all[i], true
}

// checkPreset says which there are.
func checkPreset(what, name, instead string) error {
	if _, ok := preset(name); ok {
		return nil
	}
	var names []string
	for _, p := range Presets() {
		names = append(names, p.Name)
	}
	return fmt.Errorf("%s %q isn't one of [%s]%s", what, name, strings.Join(names, " "), instead)
}

// CV is how bursty the requests of w come in service, by the presets of its classes: the least of theirs. 0: as any.
func (w Workload) CV() float64 {
	all := w.resolve()
	cv := make([]float64, len(all))
	for i, c := range all {
		p, _ := preset(c.Preset)
		cv[i] = p.CV
	}
	return slices.Min(cv)
}

// toolbox is what requests with tools may call: the two that agents call most, and one with a choice.
func toolbox() []targets.Tool {
	text := func(about string) map[string]any { return map[string]any{"type": "string", "description": about} }
	object := func(required string, properties map[string]any) map[string]any {
		return map[string]any{"type": "object", "properties": properties, "required": []string{required}}
	}
	return []targets.Tool{
		{Name: "run_command", Description: "Run a command in a shell and return what it prints.", Parameters: object("command", map[string]any{"command": text("The command line.")})},
		{Name: "read_file", Description: "Return a file's text.", Parameters: object("path", map[string]any{"path": text("Where the file is.")})},
		{
			Name: "get_weather", Description: "Return the weather at a place.", Parameters: object("place", map[string]any{
				"place": text("A city."), "unit": map[string]any{"type": "string", "enum": []string{"celsius", "fahrenheit"}},
			}),
		},
	}
}
