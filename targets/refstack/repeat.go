package refstack

import (
	"slices"
	"strings"
)

// repeatAsk begins a line of the last thing that a user says, and all after it is what we answer: so prompts with a
// known answer can be shown here, where no model knows any.
const repeatAsk = "Repeat exactly: "

// repeats finds what a prompt asks to be repeated, as tokens, a word each. Nil: nothing.
func (p *prompt) repeats() []string {
	for _, m := range slices.Backward(p.Messages) {
		if m.Role != "user" {
			continue
		}
		text := string(m.Content)
		at := strings.Index(text, repeatAsk)
		if at < 0 || at > 0 && text[at-1] != '\n' {
			return nil
		}
		if say := strings.TrimSpace(text[at+len(repeatAsk):]); say != "" {
			return strings.SplitAfter(say, " ")
		}
		return nil
	}
	return nil
}
