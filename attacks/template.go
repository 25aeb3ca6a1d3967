package attacks

import (
	"slices"
	"strconv"
	"strings"

	"github.com/failwhale/failwhale/targets"
)

// What a class's body may hold in its strings; see Class.Body.
const (
	promptMark = "{{prompt}}"
	modelMark  = "{{model}}"
	tokensMark = "{{max_tokens}}"
)

// BodyMarks returns what stands in a class's body for what a request asks.
func BodyMarks() []string { return []string{promptMark, modelMark, tokensMark} }

// A template is a class's body: with marks that each request puts its own words in the place of, or without.
type template struct {
	body   map[string]any
	marked bool
}

func newTemplate(body map[string]any) template { return template{body: body, marked: hasMarks(body)} }

func hasMarks(x any) bool {
	switch x := x.(type) {
	case string:
		return strings.Contains(x, promptMark) || strings.Contains(x, modelMark) || strings.Contains(x, tokensMark)
	case map[string]any:
		for _, v := range x {
			if hasMarks(v) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(x, hasMarks)
	}
	return false
}

// fill gives the body of a request that asks for that. It is not to be changed: without marks, all share it.
func (t template) fill(ask *targets.Prompt) map[string]any {
	if !t.marked {
		return t.body
	}
	texts := make([]string, len(ask.Messages))
	for i, m := range ask.Messages {
		texts[i] = m.Content
	}
	tokens := strconv.Itoa(ask.MaxTokens)
	marks := strings.NewReplacer(promptMark, strings.Join(texts, "\n\n"), modelMark, ask.Model, tokensMark, tokens)
	filled := make(map[string]any, len(t.body))
	for name, v := range t.body {
		filled[name] = fill(v, ask, marks)
	}
	return filled
}

func fill(x any, ask *targets.Prompt, marks *strings.Replacer) any {
	switch x := x.(type) {
	case string:
		if x == tokensMark {
			return ask.MaxTokens
		}
		return marks.Replace(x)
	case map[string]any:
		m := make(map[string]any, len(x))
		for name, v := range x {
			m[name] = fill(v, ask, marks)
		}
		return m
	case []any:
		list := make([]any, len(x))
		for i, v := range x {
			list[i] = fill(v, ask, marks)
		}
		return list
	}
	return x
}
