package attacks

import "fmt"

// shareSlack lets thirds be written as 33%, 33% and 34%, or as three times 33.3%.
const shareSlack = 0.005

// checkShares returns what is wrong with shares taken together, or nil: they must come to 100%. What is who has them: "client".
func checkShares(shares []Share, what string) []error {
	sum, open := 0.0, 0
	for _, s := range shares {
		sum += float64(s)
		if s == 0 {
			open++
		}
	}
	switch {
	case sum > 1+shareSlack:
		return []error{fmt.Errorf("shares come to %s: make them 100%%", Share(sum))}
	case open > 0 && sum > 1-shareSlack:
		return []error{fmt.Errorf("shares come to %s and leave next to nothing for the %d %s without one: write each share, or less for the others", Share(sum), open, what)}
	case open == 0 && len(shares) > 0 && sum < 1-shareSlack:
		return []error{fmt.Errorf("shares come to %s: make them 100%%", Share(sum))}
	}
	return nil
}

// partsOf gives each share's part of all; one that is not set has an equal part of what the others leave.
func partsOf(shares []Share) []float64 {
	parts := make([]float64, len(shares))
	sum, open := 0.0, 0
	for i, s := range shares {
		parts[i] = float64(s)
		sum += parts[i]
		if s == 0 {
			open++
		}
	}
	for i := range parts {
		if parts[i] == 0 {
			parts[i] = (1 - sum) / float64(open)
		} else if open == 0 {
			parts[i] /= sum
		}
	}
	return parts
}

// weights choose one of several by their parts.
type weights struct {
	upTo []float64 // summed up
	of   []int     // their places
}

// newWeights leaves out what is not among; nil: nothing, nor if it would leave nothing.
func newWeights(parts []float64, among func(int) bool) weights {
	var w weights
	sum := 0.0
	for i, part := range parts {
		if among == nil || among(i) {
			sum += part
			w.upTo, w.of = append(w.upTo, sum), append(w.of, i)
		}
	}
	if len(w.of) == 0 && len(parts) > 0 {
		return newWeights(parts, nil)
	}
	return w
}

// pick gives the place that is at x of the whole, 0 up to 1.
func (w weights) pick(x float64) int {
	last := len(w.upTo) - 1
	x *= w.upTo[last]
	i := 0
	for i < last && x >= w.upTo[i] {
		i++
	}
	return w.of[i]
}
