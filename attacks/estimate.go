package attacks

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
)

// An Estimate is what a load comes to, on average, before anybody retries, hedges or leaves. Its zero value is that
// nobody knows.
type Estimate struct {
	Requests float64
	// PromptTokens are those of all turns, each with the ones before it; OutputTokens what is asked for.
	PromptTokens, OutputTokens float64
}

// Estimate says what the load of cfg comes to within the first length of a phase: its Portions, taken together. Of a
// closed loop nobody knows, unless it has so many Requests.
func (cfg Config) Estimate(phase results.Phase, length time.Duration) (Estimate, error) {
	portions, err := cfg.Portions(phase, length)
	if err != nil {
		return Estimate{}, err
	}
	var e Estimate
	for _, p := range portions {
		e = e.Plus(Estimate{p.Requests, p.PromptTokens, p.OutputTokens})
	}
	most := float64(cfg.Requests)
	switch closed := cfg.Profile.Closed(); {
	case closed && most == 0:
		return Estimate{}, nil
	case closed && e.Requests > 0, most > 0 && most < e.Requests:
		part := most / e.Requests
		e = Estimate{most, e.PromptTokens * part, e.OutputTokens * part}
	}
	return e, nil
}

// Plus adds that of another phase.
func (e Estimate) Plus(o Estimate) Estimate {
	return Estimate{e.Requests + o.Requests, e.PromptTokens + o.PromptTokens, e.OutputTokens + o.OutputTokens}
}

// Over says in what e is more than a budget: "3,000 requests". "": it fits.
func (e Estimate) Over(b Budget) string {
	switch tokens := e.PromptTokens + e.OutputTokens; {
	case b.Requests > 0 && e.Requests > float64(b.Requests):
		return rounded(e.Requests) + " requests"
	case b.Tokens > 0 && tokens > float64(b.Tokens):
		return short(tokens) + " tokens"
	}
	return ""
}

// String says it in words: "about 3,000 requests, 340k prompt and 150k output tokens".
func (e Estimate) String() string {
	requests := "requests"
	if rounded(e.Requests) == "1" {
		requests = "request"
	}
	return fmt.Sprintf("about %s %s, %s prompt and %s output tokens", rounded(e.Requests), requests, short(e.PromptTokens), short(e.OutputTokens))
}

// Within says what a load comes to beside what it may use: "about 30 requests, 1.9k prompt and 1.5k output tokens; budget
// 100 requests". "": nobody knows, and there is no bound.
func (e Estimate) Within(b Budget) string {
	var parts []string
	if e.Requests > 0 {
		parts = append(parts, e.String())
	}
	if bound := b.String(); bound != "" {
		if e.Over(b) != "" {
			bound += ": it will be used up"
		}
		parts = append(parts, "budget "+bound)
	}
	return strings.Join(parts, "; ")
}

// rounded writes a count to three digits.
func rounded(x float64) string { return thousands(int64(toDigits(x, 3))) }

// short writes a count to two digits, with k, M or G: as well as the mean length of some prompts is known.
func short(x float64) string {
	x = toDigits(x, 2)
	for _, unit := range []struct {
		of   float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if x >= unit.of {
			return fmt.Sprintf("%g%s", x/unit.of, unit.name)
		}
	}
	return fmt.Sprintf("%g", x)
}

// toDigits rounds a count to so many digits.
func toDigits(x float64, digits int) float64 {
	if x < 1 {
		return math.Round(x)
	}
	unit := math.Pow10(max(0, int(math.Floor(math.Log10(x)))-digits+1))
	return math.Round(x/unit) * unit
}
