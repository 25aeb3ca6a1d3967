package attacks_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/attacks"
)

// An answer is right or wrong by the letter, but for white space around it.
func TestGoldenRight(t *testing.T) {
	for _, tt := range []struct {
		golden attacks.Golden
		answer string
		want   bool
	}{
		{attacks.Golden{Answer: "42"}, "42", true},
		{attacks.Golden{Answer: "42"}, " 42\n", true},
		{attacks.Golden{Answer: " 42\n"}, "42", true},
		{attacks.Golden{Answer: "42"}, "42.", false},
		{attacks.Golden{Answer: "42"}, "4 2", false},
		{attacks.Golden{Answer: "42"}, "", false},
		{attacks.Golden{Answer: "Oslo"}, "oslo", false},
		{attacks.Golden{Answer: "a  b"}, "a b", false},
		{attacks.Golden{Answer: "é"}, "e\u0301", false},
		{attacks.Golden{Contains: "42"}, "It is 42.", true},
		{attacks.Golden{Contains: "42"}, "It is 4 2.", false},
		{attacks.Golden{Contains: "42"}, "", false},
		{attacks.Golden{Contains: " 42"}, "It is 42.", true},
		{attacks.Golden{Contains: " 42"}, "42", false},
	} {
		if got := tt.golden.Right(tt.answer); got != tt.want {
			t.Errorf("%+v.right(%q) = %t; want %t", tt.golden, tt.answer, got, tt.want)
		}
	}
}

// A golden prompt asks something and says in one way what is right.
func TestGoldenValidate(t *testing.T) {
	for _, tt := range []struct {
		golden attacks.Golden
		want   []string // what the errors begin with
	}{
		{attacks.Golden{Ask: "6 * 7?", Answer: "42"}, nil},
		{attacks.Golden{Ask: "6 * 7?", Contains: "42"}, nil},
		{attacks.Golden{Ask: "6 * 7?"}, []string{"has no answer"}},
		{attacks.Golden{Ask: "6 * 7?", Answer: " \n"}, []string{"has no answer"}},
		{attacks.Golden{Ask: "6 * 7?", Answer: "42", Contains: "4"}, []string{"has answer and contains"}},
		{attacks.Golden{Answer: "42"}, []string{"ask is missing"}},
		{attacks.Golden{Ask: " "}, []string{"ask is missing", "has no answer"}},
	} {
		errs := tt.golden.Validate()
		if len(errs) != len(tt.want) {
			t.Errorf("%+v.Validate() = %v; want %q", tt.golden, errs, tt.want)
			continue
		}
		for i, err := range errs {
			if !strings.HasPrefix(err.Error(), tt.want[i]) {
				t.Errorf("%+v.Validate() = %v; want %q", tt.golden, errors.Join(errs...), tt.want)
			}
		}
	}
}
