package attacks

import (
	"errors"
	"strings"
)

// Validate returns what is wrong with g, or nil.
func (g Golden) Validate() []error {
	var errs []error
	if strings.TrimSpace(g.Ask) == "" {
		errs = append(errs, errors.New("ask is missing: write the question"))
	}
	answer, contains := strings.TrimSpace(g.Answer) != "", strings.TrimSpace(g.Contains) != ""
	switch {
	case !answer && !contains: // white space around an answer counts for nothing
		errs = append(errs, errors.New("has no answer: write answer: 42, which is all of it, or contains: 42"))
	case g.Answer != "" && g.Contains != "":
		errs = append(errs, errors.New("has answer and contains: keep one"))
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
