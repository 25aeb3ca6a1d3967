package experiments

import (
	"regexp"
	"slices"
	"strings"
)

// DidYouMean gives "; did you mean …?" for the candidate that is closest to
// word, or "" if none is close: an end for messages that refuse a word.
func DidYouMean(word string, candidates []string) string {
	return didYouMean(closest(word, candidates))
}

func didYouMean(meant string) string {
	if meant == "" {
		return ""
	}
	return "; did you mean " + meant + "?"
}

// closest returns the candidate that differs least from word, and "" if even that differs in more than a third of its
// letters and is no longer form of it, as retries is of retry. Case, - and _ do not count.
func closest(word string, candidates []string) string {
	best, least := "", 0
	a := []rune(fold(word))
	if len(a) > 64 { // nobody's typing mistake
		return ""
	}
	for _, c := range candidates {
		b := []rune(fold(c))
		d := edits(a, b)
		near := d <= max(1, max(len(a), len(b))/3) && d < len(b)
		longer := len(a) > 3 && len(b) > len(a) && slices.Equal(b[:len(a)-1], a[:len(a)-1])
		if (near || longer) && (best == "" || d < least) {
			best, least = c, d
		}
	}
	return best
}

// meantKey returns the key that an unknown one most likely means, and "" if none. A word of another tool, or of other
// places of the file, has no letters in common with ours.
func meantKey(key string, known []string) string {
	for _, w := range [...]struct{ theirs, ours string }{
		{"region", "home"}, // of a client; which region served it is another label
		{"timeout", "deadline"},
		{"weight", "share"},
		{"customer", "tenant"},
		{"organization", "tenant"},
		{"rps", "rate"},
		{"qps", "rate"},
		{"vus", "users"},
		{"max_tokens", "output_tokens"},
		{"input_tokens", "prompt_tokens"},
		{"delay", "latency"},
	} {
		if fold(key) == w.theirs && slices.Contains(known, w.ours) {
			return w.ours
		}
	}
	return closest(key, known)
}

func fold(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

// edits counts the insertions, deletions, replacements and swaps of neighbours
// that turn a into b (optimal string alignment).
func edits(a, b []rune) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range a {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// enumText matches how this module's errors name the values that they allow.
var enumText = regexp.MustCompile(`^[^"]*"([^"]*)" isn't one of \[([^\]]*)\]`)

// WithSuggestion adds "; did you mean …?" to the text of an error that lists what is allowed, where something listed
// is close. Any other text it returns as it is.
func WithSuggestion(text string) string {
	m := enumText.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	return text + DidYouMean(m[1], strings.Fields(m[2]))
}

// oneOf lists names as text: "a, b or c", sorted.
func oneOf(names []string) string {
	s := slices.Sorted(slices.Values(names))
	switch len(s) {
	case 0:
		return "none"
	case 1:
		return s[0]
	}
	return strings.Join(s[:len(s)-1], ", ") + " or " + s[len(s)-1]
}
