package attacks_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/targetstest"
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

// A golden prompt is asked at temperature 0, by a reader with an id, and an answer that would be complete is wrong if
// it is not the one that is known. Reasoning is no answer.
func TestGoldenAnswers(t *testing.T) {
	long := strings.Repeat("no ", 100)
	thought := targetstest.Data(`{"choices":[{"index":0,"delta":{"reasoning":"42?"}}]}`)
	end := targetstest.Finish("stop") + targetstest.Done + targetstest.StreamEnd
	answer, contains := attacks.Golden{Ask: "6 * 7?", Answer: "42"}, attacks.Golden{Ask: "6 * 7?", Contains: "42"}
	for _, tt := range []struct {
		name   string
		golden attacks.Golden
		reply  string
		want   results.Outcome
		error  string
	}{
		{"right", answer, targetstest.Answer("4", "2", "\n"), results.Complete, ""},
		{"wrong", answer, targetstest.Answer("It is ", "42."), results.WrongAnswer, `the answer to "6 * 7?" is "It is 42."; want "42"`},
		{"right within", contains, targetstest.Answer("It is 4", "2."), results.Complete, ""},
		{"wrong within", contains, targetstest.Answer(long), results.WrongAnswer, `the answer to "6 * 7?" is "` + long[:100] + `"…; want "42" in it`},
		{"thought and not said", contains, targetstest.StreamHead + thought + targetstest.Token("I know.") + end, results.WrongAnswer, `is "I know."; want "42" in it`},
		{"right after a thought", answer, targetstest.StreamHead + thought + targetstest.Token("42") + end, results.Complete, ""},
		{"cut", answer, targetstest.StreamHead + targetstest.Token("4") + targetstest.StreamEnd, results.Truncated, ""},
		{"refused", answer, targetstest.Reply("503 Busy", "text/plain", "", "42"), results.HTTPStatus, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := targetstest.New(t, targetstest.Always(targetstest.Send(tt.reply)))
			cfg, sink := config(server.URL())
			cfg.Workload = attacks.Workload{{Golden: []attacks.Golden{tt.golden}, Canary: tt.golden.Contains != ""}}
			got := attackUntil(t, cfg, sink, 3)
			for _, s := range got {
				if s.Outcome != tt.want || !strings.Contains(s.Error, tt.error) {
					t.Errorf("%s: %q; want %s: %q", s.Outcome, s.Error, tt.want, tt.error)
				}
			}
			for _, r := range server.Requests() {
				var body struct {
					Temperature *float64                   `json:"temperature"`
					Messages    []struct{ Content string } `json:"messages"`
				}
				if err := json.Unmarshal(r.Body, &body); err != nil || body.Temperature == nil || *body.Temperature != 0 {
					t.Fatalf("%s: no temperature of 0 (%v)", r.Body, err)
				}
				system, want := "nothing else. The reader has the id "+readerOf(r.Body).conversation+".", "6 * 7?"
				if tt.golden.Contains != "" {
					want = "Begin your answer with the reader's id. " + want
				}
				if got := body.Messages; !strings.HasSuffix(got[0].Content, system) || got[1].Content != want {
					t.Errorf("asked %q; want %q after %q", got, want, system)
				}
			}
		})
	}
}
