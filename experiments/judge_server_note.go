package experiments

import (
	"fmt"
	"math"

	"github.com/failwhale/failwhale/results"
)

// A difference between a server's median TTFT and ours is worth a sentence where ours lies outside the bucket of
// theirs by more than apartLeast or by more than apartShare of theirs, so that it is none of the buckets' making.
// Less is the network's and the HTTP front's usual part.
const (
	apartLeast = results.Seconds(0.050)
	apartShare = 0.20
	// tokensShare is how far apart the two counts of tokens may be for the seconds at the borders of a phase.
	tokensShare = 0.05
	// fewTokens are too few to compare shares of.
	fewTokens = 100
)

// notesOn says what the differences between a server's figures and ours may mean. slow: which of our
// clients read slowly by plan.
func notesOn(s *results.ServerStats, lag results.Quantiles, slow results.SlowReaders) []string {
	var notes []string
	for _, note := range []string{noteOnTTFT(s, lag, slow), noteOnTokens(s)} {
		if note != "" {
			notes = append(notes, note)
		}
	}
	return notes
}

func noteOnTTFT(s *results.ServerStats, lag results.Quantiles, slow results.SlowReaders) string {
	theirs, ours := s.TTFT.P50, s.Ours.TTFT.P50
	if !theirs.Known() || s.Ours.TTFT.N == 0 {
		return ""
	}
	apart := ours - theirs.Value
	if sure := max(ours-theirs.To, theirs.From-ours); sure <= min(apartLeast, apartShare*theirs.Value) {
		return ""
	}
	if apart < 0 {
		return fmt.Sprintf("its own TTFT (p50 %s) is %s longer than ours: it has seen other requests than we did, or measures something else",
			theirs.Value, -apart)
	}
	between := "the network, what stands in front of it"
	if slow != "" {
		between = fmt.Sprintf("the slow reading of %s of our own clients (read), ", slow) + between
	}
	return fmt.Sprintf("its own TTFT (p50 %s) is %s shorter than ours: between the two lie %s, our own lag (p99 %s), and requests that others served",
		theirs.Value, apart, between, lag.P99)
}

func noteOnTokens(s *results.ServerStats) string {
	theirs, told := s.Counts[results.SignalOutputTokens]
	ours := s.Ours.Tokens
	switch {
	case !told || max(theirs, ours) < fewTokens || math.Abs(theirs-ours) <= tokensShare*max(theirs, ours):
		return ""
	case s.Restarts > 0: // of what was counted around that too little is known to say more
		return ""
	case theirs < ours:
		return "it counts fewer tokens than came to us: it may not have served all of them; some servers count when a request ends, and those of a cancelled or failed one never; " +
			"what was counted between the last reading and a server's death is lost"
	default:
		return "it counts more tokens than came to us: it serves others too, or made some that did not reach us or were of attempts that did not serve"
	}
}
