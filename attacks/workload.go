package attacks

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/failwhale/failwhale/targets"
)

// A Workload says what requests are like: classes of them, by share. Its zero value is what a trace says of each
// request, and the preset chat-short without one. In a file it is a preset's name, one class, or a list of either.
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
	// characters a token, and OutputTokens the request's max_tokens. Optional; default the preset's, and where neither
	// they nor Preset is written, what a trace of the profile says of each request.
	PromptTokens Length `yaml:"prompt_tokens" json:"prompt_tokens,omitzero"`
	OutputTokens Length `yaml:"output_tokens" json:"output_tokens,omitzero"`
	// LengthsFrom is a trace from which both lengths are drawn, in pairs, in any order: of a long one, from 100,000 of
	// its requests. A relative path counts from the working directory. Optional.
	LengthsFrom string `yaml:"lengths_from" json:"lengths_from,omitempty"`
	// Prefix is a system prompt that requests share. Optional.
	Prefix *Prefix `yaml:"prefix" json:"prefix,omitempty"`
	// Turns make each request the first of a conversation. Optional; as Golden and Canary, an error where no model
	// answers in words, as of embeddings.
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
	// Body is laid over the request's JSON as a merge patch (RFC 7396). In its strings {{prompt}} is the text of all
	// messages, with a blank line between two, {{model}} the model and {{max_tokens}} what is asked for, a number if it
	// is all of the string: so a service with a JSON of its own can be asked. Optional.
	Body map[string]any `yaml:"body" json:"body,omitempty"`
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

// A Golden is a question and what its answer must have in it.
type Golden struct {
	// Ask is the question. Required.
	Ask string `yaml:"ask" json:"ask"`
	// Answer is what the whole answer must be, but for white space around it; Contains what it must have in it. Exactly
	// one of both.
	Answer   string `yaml:"answer" json:"answer,omitempty"`
	Contains string `yaml:"contains" json:"contains,omitempty"`
}

// A Budget is the most that an attack may use. An attempt is made only if there is room for it and for the most that all
// those under way may still use. A zero field is no bound.
type Budget struct {
	// Requests are attempts, retries and hedges too. Optional.
	Requests int64 `yaml:"requests" json:"requests,omitempty"`
	// Tokens of prompts and answers together, as the server counts them; until it has, a token for four bytes of the
	// request's body, and its max_tokens. A server that counts more than that goes past the bound by what the requests
	// under way have more. Optional.
	Tokens int64 `yaml:"tokens" json:"tokens,omitempty"`
}

// UnmarshalText reads the name of a preset.
func (w *Workload) UnmarshalText(text []byte) error {
	var c Class
	err := c.UnmarshalText(text)
	*w = Workload{c}
	return err
}

// UnmarshalText reads the name of a preset.
func (c *Class) UnmarshalText(text []byte) error {
	*c = Class{Preset: string(text)}
	return checkPreset("workload", c.Preset, ": write one of them, or {prompt_tokens: 200, output_tokens: 50}")
}

// Validate returns what is wrong with the classes taken together, or nil: their shares must come to 100%.
func (w Workload) Validate() []error {
	if w != nil && len(w) == 0 {
		return []error{fmt.Errorf("is empty: write %s, or delete the key", ChatShort)}
	}
	return checkShares(w.shares(), "class(es)")
}

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

// Validate returns what is wrong with c, or nil. It reads no file.
func (c Class) Validate() []error {
	var errs []error
	if c.Preset != "" {
		if err := checkPreset("preset", c.Preset, ""); err != nil {
			return []error{err}
		}
	}
	errs = append(errs, c.validateLengths()...)
	if c.Share < 0 || c.Share > 1 {
		errs = append(errs, fmt.Errorf("share %s is not over 0%% and up to 100%%: write 50%%", c.Share))
	}
	if c.Prefix != nil {
		errs = append(errs, prefixed("prefix", c.Prefix.Validate())...)
	}
	if c.Turns != nil {
		errs = append(errs, prefixed("turns", c.Turns.Validate())...)
	}
	errs = append(errs, prefixed("models", c.validateModels())...)
	for i, g := range c.Golden {
		errs = append(errs, prefixed(fmt.Sprintf("golden[%d]", i), g.Validate())...)
		if c.Canary && g.Answer != "" {
			errs = append(errs, fmt.Errorf("golden[%d]: answer cannot be the whole one where a canary comes before it: write contains", i))
		}
	}
	if len(c.Golden) > 0 && c.Turns != nil {
		errs = append(errs, errors.New("golden stands beside turns, and a known answer is to one question: give it a class of its own"))
	}
	resolved := c.resolved(true)
	if d, err := targets.DialectNamed(resolved.Dialect); err != nil {
		errs = append(errs, err)
	} else if resolved.Dialect != "" { // else the endpoint's, which is not known here
		errs = append(errs, resolved.wordless(d)...)
	}
	return append(errs, c.validatePath()...)
}

// validateLengths also says which of them is missing.
func (c Class) validateLengths() (errs []error) {
	for _, f := range []struct {
		name    string
		n       Length
		example int
	}{{"prompt_tokens", c.PromptTokens, 200}, {"output_tokens", c.OutputTokens, 50}} {
		switch {
		case f.n != (Length{}):
			errs = append(errs, prefixed(f.name, f.n.Validate())...)
			if c.LengthsFrom != "" {
				errs = append(errs, fmt.Errorf("lengths_from has both lengths of a request: remove %s", f.name))
			}
		case c.hasLengths() && c.LengthsFrom == "" && !c.named():
			errs = append(errs, fmt.Errorf("%[1]s is missing: write %[1]s: %[2]d, or preset: %[3]s", f.name, f.example, Chat))
		}
	}
	return errs
}

func (c Class) validateModels() (errs []error) {
	shares := make([]Share, 0, len(c.Models))
	for _, name := range slices.Sorted(maps.Keys(c.Models)) {
		if name == "" {
			errs = append(errs, errors.New("have one without a name"))
		}
		shares = append(shares, c.Models[name])
	}
	return append(errs, checkShares(shares, "model(s)")...)
}

func (c Class) validatePath() []error {
	bad := strings.IndexFunc(c.Path, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("?#", r) })
	switch {
	case c.Path == "":
		return nil
	case !strings.HasPrefix(c.Path, "/"):
		return []error{fmt.Errorf("path %q does not begin with a slash: write /v1/ask", c.Path)}
	case bad >= 0:
		return []error{fmt.Errorf("path %q cannot hold %q: a query belongs into the endpoint's url", c.Path, []rune(c.Path[bad:])[0])}
	}
	return nil
}

// Validate returns what is wrong with p, or nil.
func (p Prefix) Validate() []error {
	switch {
	case p.Tokens < 1 || p.Tokens > maxTokens:
		return []error{fmt.Errorf("tokens %d is not between 1 and %d", p.Tokens, maxTokens)}
	case p.Groups < 0 || p.Groups > maxGroups:
		return []error{fmt.Errorf("groups %d is not between 1 and %d", p.Groups, maxGroups)}
	}
	return nil
}

// maxGroups is more than there are tenants.
const maxGroups = 1_000_000

// Validate returns what is wrong with t, or nil.
func (t Turns) Validate() []error {
	if t.Count == (Length{}) {
		return []error{errors.New("count is missing: write count: 3")}
	}
	errs := prefixed("count", t.Count.Validate())
	if len(errs) == 0 && max(t.Count.Fixed, t.Count.P90, t.Count.Max) > maxTurns {
		errs = append(errs, fmt.Errorf("count is over %d: nobody talks for so long", maxTurns))
	}
	return append(errs, prefixed("think", t.Think.Validate())...)
}

// maxTurns bounds a conversation, which carries all of itself in each turn.
const maxTurns = 10_000

// prefixed puts where before each of errs.
func prefixed(where string, errs []error) []error {
	for i, err := range errs {
		errs[i] = prefix(where, err)
	}
	return errs
}
