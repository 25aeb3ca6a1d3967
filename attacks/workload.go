package attacks

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A Workload says what requests are like: a preset by its name, or fixed
// lengths. Its zero value is what a trace says of each request, and the preset chat-short without one.
type Workload struct {
	// Preset is the scalar form. Set by UnmarshalText.
	Preset string `yaml:"-" json:"preset,omitempty"`
	// PromptTokens is the length of every prompt, at about four characters a token. Required without a preset.
	PromptTokens int `yaml:"prompt_tokens" json:"prompt_tokens,omitempty"`
	// OutputTokens is every request's max_tokens. Required without a preset.
	OutputTokens int `yaml:"output_tokens" json:"output_tokens,omitempty"`
}

// Names of the presets.
const (
	ChatShort = "chat-short" // prompts of 64 tokens, answers of 50: a drill fits two cores
	Chat      = "chat"       // lengths as in Azure's 2023 conversation trace
)

// WorkloadPresets returns the names of the presets.
func WorkloadPresets() []string { return []string{ChatShort, Chat} }

// maxTokens bounds written lengths: the longest context windows in service.
const maxTokens = 2_000_000

// UnmarshalText reads the name of a preset.
func (w *Workload) UnmarshalText(text []byte) error {
	if !slices.Contains(WorkloadPresets(), string(text)) {
		return fmt.Errorf("workload %q isn't one of [%s]: write one of them, or {prompt_tokens: 200, output_tokens: 50}",
			text, strings.Join(WorkloadPresets(), " "))
	}
	*w = Workload{Preset: string(text)}
	return nil
}

// Validate returns what is wrong with w, or nil.
func (w Workload) Validate() []error {
	if w == (Workload{}) {
		return nil
	}
	if w.Preset != "" {
		if !slices.Contains(WorkloadPresets(), w.Preset) {
			return []error{fmt.Errorf("preset %q isn't one of [%s]", w.Preset, strings.Join(WorkloadPresets(), " "))}
		}
		return nil
	}
	var errs []error
	for _, f := range []struct {
		name string
		n    int
	}{{"prompt_tokens", w.PromptTokens}, {"output_tokens", w.OutputTokens}} {
		if f.n < 1 || f.n > maxTokens {
			errs = append(errs, fmt.Errorf("%s %d is not between 1 and %d", f.name, f.n, maxTokens))
		}
	}
	return errs
}

// A spread is a lognormal distribution of lengths, given by two of its quantiles and cut at most.
type spread struct{ p50, p90, most float64 }

// Lengths of Azure's 2023 conversation trace (AzureLLMInferenceTrace_conv, 19,366
// requests): median, 90th percentile and maximum of its two columns.
func azurePrompt() spread { return spread{p50: 1020, p90: 2735, most: 14050} }
func azureOutput() spread { return spread{p50: 129, p90: 424, most: 1000} }

// z90 is the standard normal distribution's 90th percentile.
const z90 = 1.2815515655446004

func (s spread) draw(rng *rand.Rand) int {
	sigma := math.Log(s.p90/s.p50) / z90
	return int(max(1, min(s.most, s.p50*math.Exp(sigma*rng.NormFloat64()))))
}

// lengths draws how many tokens a request has and asks for.
func (w Workload) lengths(rng *rand.Rand) (prompt, output int) {
	switch w.Preset {
	case Chat:
		return azurePrompt().draw(rng), azureOutput().draw(rng)
	case ChatShort:
		return 64, 50
	}
	if w == (Workload{}) {
		return Workload{Preset: ChatShort}.lengths(rng)
	}
	return w.PromptTokens, w.OutputTokens
}

// Every request has this text. The nonce comes after it, and after what a trace says that requests share, and
// before the request's own words: a prefix cache may keep what all share, as it does in service, and never what
// an earlier phase asked, or the phases would not be alike.
const (
	sharedText = "You answer at length and in plain words."
	askText    = "Write a story with these words for the reader with id "
)

// prompt writes the messages of one request of about so many tokens; never under some
// thirty, which the shared text and the nonce take.
func (a *Attack) prompt(phase results.Phase, j job, nonce string) []targets.Message {
	chars := j.prompt*charsPerToken - len(sharedText)
	var b strings.Builder
	b.Grow(max(chars, 0) + 128)
	if j.shape != nil && len(j.shape.Blocks) > 0 {
		a.writeBlocks(&b, phase, j.shape, chars-len(askText)-len(nonce)-1)
	}
	b.WriteString(askText)
	b.WriteString(nonce)
	b.WriteByte(':')
	for b.Len() < chars {
		b.WriteByte(' ')
		b.WriteString(a.words[j.rng.IntN(len(a.words))])
	}
	return []targets.Message{{Role: "system", Content: sharedText}, {Role: "user", Content: b.String()}}
}

// writeBlocks writes the text that a prompt shares with all others that begin with the same blocks, up to so many
// characters. What comes first is the phase's own: else its cache would be warm with what the one before, or the
// run before, has asked.
func (a *Attack) writeBlocks(b *strings.Builder, phase results.Phase, s *Shape, chars int) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(phase)) // a hash never fails to write
	fmt.Fprintf(b, "%08x\n", uint32(mix(a.nonces.key, h.Sum64())))
	var pcg rand.PCG
	rng := rand.New(&pcg)
	for _, id := range s.Blocks {
		if b.Len() >= chars {
			return
		}
		pcg.Seed(mix(a.load.seed, id), blockStream)
		for end := min(chars, b.Len()+s.BlockTokens*charsPerToken); b.Len() < end; {
			word := a.words[rng.IntN(len(a.words))]
			b.WriteString(word[:min(len(word), end-b.Len())])
			if b.Len() < end {
				b.WriteByte(' ')
			}
		}
	}
}
