package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Workload says what requests are like: classes of them, by share. Its zero value is what a trace says of each
// request, and the preset chat-short without one. In a file it is a preset's name, one class, or a list of them.
type Workload []Class

// A Class is one kind of request: a feature of the service that is tested. What it leaves out is its preset's.
type Class struct {
	// Preset is what the class is like but for what is written beside it: one of Presets. Optional; default the one
	// that Feature names, or chat-short.
	Preset string `yaml:"preset" json:"preset,omitempty"`
	// Feature is the label of the samples. Optional; of several classes default the preset's name, which one alone does without.
	Feature string `yaml:"feature" json:"feature,omitempty"`
	// Share of all requests. Optional; default an equal part of what the other classes leave.
	Share Share `yaml:"share" json:"share,omitempty"`
	// PromptTokens is the length of a prompt without what is before it (Prefix, and the turns before), at about four
	// characters a token, and OutputTokens the request's max_tokens. Optional.
	PromptTokens Length `yaml:"prompt_tokens" json:"prompt_tokens,omitzero"`
	OutputTokens Length `yaml:"output_tokens" json:"output_tokens,omitzero"`
	// LengthsFrom is a trace from which both lengths are drawn, in pairs, in any order. Optional.
	LengthsFrom string `yaml:"lengths_from" json:"lengths_from,omitempty"`
	// Prefix is a system prompt that requests share. Optional.
	Prefix *Prefix `yaml:"prefix" json:"prefix,omitempty"`
	// Turns make each request the first of a conversation. Optional.
	Turns *Turns `yaml:"turns" json:"turns,omitempty"`
	// Models are asked for by their shares, adapters (LoRA) too: they are models by name. Optional; default the endpoint's.
	Models map[string]Share `yaml:"models" json:"models,omitempty"`
	// Golden are prompts whose answer is known, asked in place of the others at temperature 0. Optional.
	Golden []Golden `yaml:"golden" json:"golden,omitempty"`
	// Canary asks the model to begin its answer with the reader's id, so that a swapped answer shows also on a
	// stack that would not repeat it. Optional.
	Canary bool `yaml:"canary" json:"canary,omitempty"`
	// Dialect is the wire format. Optional; default the preset's, or the endpoint's.
	Dialect string `yaml:"dialect" json:"dialect,omitempty"`
	// Path is below the endpoint's root, in place of the dialect's. Optional.
	Path string `yaml:"path" json:"path,omitempty"`
	// Body is laid over the request's JSON as a merge patch (RFC 7396). Optional.
	Body map[string]any `yaml:"body" json:"body,omitempty"`
}

// A Length is a distribution of lengths in tokens: always the same, even between two, or lognormal by two of its
// quantiles. In a file a number, {min, max} or {p50, p90}, the last with a max if need be. Its zero value is not set.
type Length struct {
	Fixed int `yaml:"-" json:"fixed,omitempty"`
	Min   int `yaml:"min" json:"min,omitempty"`
	P50   int `yaml:"p50" json:"p50,omitempty"`
	P90   int `yaml:"p90" json:"p90,omitempty"`
	Max   int `yaml:"max" json:"max,omitempty"`
}

// A Prefix is system prompts, each of which a group of requests has in common. They are the same in every phase of
// a run, so that caches are as warm as in service.
type Prefix struct {
	// Tokens is the length of each. Required.
	Tokens int `yaml:"tokens" json:"tokens"`
	// Groups is how many there are; a conversation has one of them, drawn by the seed. Optional; default 1.
	Groups int `yaml:"groups" json:"groups,omitempty"`
}

// Turns make a conversation: each turn but the first carries the ones before it, with the server's real answers.
type Turns struct {
	// Count of them, of one conversation. Required.
	Count Length `yaml:"count" json:"count"`
	// Think is the time between the end of an answer and the next turn. Optional; default none.
	Think Think `yaml:"think" json:"think,omitzero"`
}

// A Think is a distribution of times: always the same, even between two, or lognormal by two of its quantiles. In a
// file 5s, {min, max} or {p50, p90}, the last with a max if need be. Its zero value is no time.
type Think struct {
	Fixed time.Duration `yaml:"-" json:"fixed,omitempty"`
	Min   time.Duration `yaml:"min" json:"min,omitempty"`
	P50   time.Duration `yaml:"p50" json:"p50,omitempty"`
	P90   time.Duration `yaml:"p90" json:"p90,omitempty"`
	Max   time.Duration `yaml:"max" json:"max,omitempty"`
}

// A Golden is a question and what its answer must have in it.
type Golden struct {
	// Ask is the question. Required.
	Ask string `yaml:"ask" json:"ask"`
	// Answer is what the whole answer must be, but for white space around it; Contains what it must have in it. Exactly
	// one of both.
	Answer   string `yaml:"answer" json:"answer,omitempty"`
	Contains string `yaml:"contains" json:"contains,omitempty"`
}

// A Budget is the most that an attack may use. A zero field is no bound.
type Budget struct {
	// Requests are attempts, retries and hedges too. Optional.
	Requests int64 `yaml:"requests" json:"requests,omitempty"`
	// Tokens of prompts and answers together, as the server counts them, or as they were asked for where it does
	// not. Optional.
	Tokens int64 `yaml:"tokens" json:"tokens,omitempty"`
}

// Names of the presets.
const (
	ChatShort = "chat-short" // prompts of 64 tokens, answers of 50: a drill fits two cores
	Chat      = "chat"       // lengths as in Azure's 2023 conversation trace
)

// WorkloadPresets returns the names of the presets.
func WorkloadPresets() []string { return []string{ChatShort, Chat} }

// preset is the class of that name; false: there is none.
func preset(name string) (Class, bool) {
	switch name {
	case ChatShort:
		return Class{PromptTokens: Length{Fixed: 64}, OutputTokens: Length{Fixed: 50}}, true
	case Chat:
		// Azure's 2023 conversation trace (AzureLLMInferenceTrace_conv, 19,366 requests): median, 90th percentile and
		// maximum of its two columns.
		return Class{PromptTokens: Length{P50: 1020, P90: 2735, Max: 14050}, OutputTokens: Length{P50: 129, P90: 424, Max: 1000}}, true
	}
	return Class{}, false
}

// maxTokens bounds written lengths: the longest context windows in service.
const maxTokens = 2_000_000

// UnmarshalText reads the name of a preset.
func (w *Workload) UnmarshalText(text []byte) error {
	if !slices.Contains(WorkloadPresets(), string(text)) {
		return fmt.Errorf("workload %q isn't one of [%s]: write one of them, or {prompt_tokens: 200, output_tokens: 50}",
			text, strings.Join(WorkloadPresets(), " "))
	}
	*w = Workload{{Preset: string(text)}}
	return nil
}

// Validate returns what is wrong with the classes taken together, or nil: their shares must come to 100%.
func (w Workload) Validate() []error { return checkShares(w.shares(), "class(es)") }

// Shares returns the part of all requests that each class is, in order. No classes are one.
func (w Workload) Shares() []float64 {
	if len(w) == 0 {
		return []float64{1}
	}
	return partsOf(w.shares())
}

func (w Workload) shares() []Share {
	shares := make([]Share, len(w))
	for i, c := range w {
		shares[i] = c.Share
	}
	return shares
}

// Validate returns what is wrong with c, or nil.
func (c Class) Validate() []error {
	if c.Preset != "" {
		if !slices.Contains(WorkloadPresets(), c.Preset) {
			return []error{fmt.Errorf("preset %q isn't one of [%s]", c.Preset, strings.Join(WorkloadPresets(), " "))}
		}
		return nil
	}
	var errs []error
	for _, f := range []struct {
		name string
		n    Length
		most int
	}{{"prompt_tokens", c.PromptTokens, 200}, {"output_tokens", c.OutputTokens, 50}} {
		if c.hasLengths() && f.n == (Length{}) {
			errs = append(errs, fmt.Errorf("%[1]s is missing: write %[1]s: %[2]d, or preset: %[3]s", f.name, f.most, Chat))
		}
	}
	return errs
}

// UnmarshalText reads a number of tokens.
func (l *Length) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > maxTokens {
		return fmt.Errorf("%s is not between 1 and %d", text, maxTokens)
	}
	*l = Length{Fixed: n}
	return nil
}

// UnmarshalText reads a duration.
func (t *Think) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("think %q is no time: write 5s, or {p50: 5s, p90: 20s}", text)
	}
	*t = Think{Fixed: d}
	return nil
}

// z90 is the standard normal distribution's 90th percentile.
const z90 = 1.2815515655446004

// draw gives one length.
func (l Length) draw(rng *rand.Rand) int {
	if l.Fixed > 0 {
		return l.Fixed
	}
	most := math.Inf(1)
	if l.Max > 0 {
		most = float64(l.Max)
	}
	p50, p90 := float64(l.P50), float64(l.P90)
	sigma := math.Log(p90/p50) / z90
	return int(max(1, min(most, p50*math.Exp(sigma*rng.NormFloat64()))))
}
