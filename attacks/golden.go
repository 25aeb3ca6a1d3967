package attacks

import (
	"errors"
	"strings"
)

// Validate returns what is wrong with g, or nil.
func (g Golden) Validate() []error {
	var errs []error
	if strings.TrimSpace(g.Ask) == "" {
		errs = append(errs, errors.New("ask is empty: write a question with one answer, such as: What is 17 + 25? Answer by the number alone"))
	}
	answer, contains := strings.TrimSpace(g.Answer) != "", strings.TrimSpace(g.Contains) != ""
	switch {
	case answer && contains:
		errs = append(errs, errors.New("answer and contains are two ways to say what is right: write one of them"))
	case !answer && !contains:
		errs = append(errs, errors.New("answer is missing: write it, or contains: with a word that every right answer has in it"))
	}
	return errs
}

// right reports whether an answer is the one that is known. White space around the whole one counts for nothing, since models
// differ in it; all else does: the same weights at temperature 0 say the same.
func (g *Golden) right(answer string) bool {
	if g.Contains != "" {
		return strings.Contains(answer, g.Contains)
	}
	return strings.TrimSpace(answer) == strings.TrimSpace(g.Answer)
}
