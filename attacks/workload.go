package attacks

import (
	"fmt"
	"slices"
	"strings"
)

// A Workload says what requests are like: a preset by its name, or fixed
// lengths. Its zero value is the preset chat-short.
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
		switch {
		case f.n == 0:
			errs = append(errs, fmt.Errorf("%s is missing: write %s: 50", f.name, f.name))
		case f.n < 0 || f.n > maxTokens:
			errs = append(errs, fmt.Errorf("%s %d is not between 1 and %d", f.name, f.n, maxTokens))
		}
	}
	return errs
}
