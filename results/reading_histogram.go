package results

import (
	"math"
	"slices"
)

// A Histogram is a cumulative Prometheus histogram, in seconds. Without Bounds only its mean is known.
type Histogram struct {
	Count uint64  `json:"count"`
	Sum   float64 `json:"sum"`
	// Bounds are the upper bounds of the buckets, rising, without +Inf; Counts how many values were at most that.
	// Where Counts stays the same over several bounds, those between the first and the last say nothing and may be
	// left out; so may bounds below which there is nothing, but for the last, and all after the first that has Count.
	Bounds []float64 `json:"bounds,omitempty"`
	Counts []uint64  `json:"counts,omitempty"`
}

// maxBounds is how many buckets are kept apart. Servers have some twenty; what has more than this is no
// histogram of times.
const maxBounds = 500

// sumTrembles is how much less a sum of floats may be for the order in which it was added up.
const sumTrembles = 1e-9

// Mean is 0 of an empty histogram.
func (h Histogram) Mean() float64 {
	if h.Count == 0 {
		return 0
	}
	return h.Sum / float64(h.Count)
}

// AtMost is how many values were at most bound, for any bound that h had before some were left out.
func (h Histogram) AtMost(bound float64) uint64 {
	i, found := slices.BinarySearch(h.Bounds, bound)
	switch {
	case found:
		return h.Counts[i]
	case i == 0:
		return 0
	default:
		return h.Counts[i-1]
	}
}

// Compact leaves out the bounds that say nothing. It shares nothing with h.
func (h Histogram) Compact() Histogram {
	c := Histogram{Count: h.Count, Sum: h.Sum}
	for i, n := range h.Counts {
		before, after := uint64(0), h.Count
		if i > 0 {
			before = h.Counts[i-1]
		}
		if i+1 < len(h.Counts) {
			after = h.Counts[i+1]
		}
		if n == before && n == after { // a step neither ends nor begins here
			continue
		}
		c.Bounds, c.Counts = append(c.Bounds, h.Bounds[i]), append(c.Counts, n)
	}
	return c
}

// Since gives what was added after before. If anything has become less, the source began anew in between: then
// restarted is true, and the result is h, all that it has counted since. If the buckets are not those of before, so
// that more values lie in them than were added, or one of the two has none, the result has none.
func (h Histogram) Since(before Histogram) (added Histogram, restarted bool) {
	if h.Count < before.Count || h.Sum < before.Sum-sumTrembles*math.Abs(before.Sum) {
		return h, true
	}
	added = Histogram{Count: h.Count - before.Count, Sum: max(0, h.Sum-before.Sum), Bounds: bounds(h, before)}
	if before.Count > 0 && (len(h.Bounds) == 0 || len(before.Bounds) == 0) {
		added.Bounds = nil
	}
	most := uint64(0)
	for _, b := range added.Bounds {
		now, then := h.AtMost(b), before.AtMost(b)
		if now < then {
			return h, true
		}
		if now-then > added.Count || now-then < most {
			added.Bounds, added.Counts = nil, nil
			return added, false
		}
		most = now - then
		added.Counts = append(added.Counts, now-then)
	}
	return added.Compact(), false
}

// Plus adds the values of other. Bounds that only one of the two has are kept: the other's values count as if
// they lay at its own next bound above. Where that comes to more bounds than any server has, none are kept.
func (h Histogram) Plus(other Histogram) Histogram {
	switch {
	case other.Count == 0:
		return h
	case h.Count == 0:
		return other
	}
	all := Histogram{Count: h.Count + other.Count, Sum: h.Sum + other.Sum}
	if len(h.Bounds) == 0 || len(other.Bounds) == 0 {
		return all // of some values nothing is known but their sum
	}
	all.Bounds = bounds(h, other)
	if len(all.Bounds) > maxBounds {
		all.Bounds = nil
	}
	for _, b := range all.Bounds {
		all.Counts = append(all.Counts, h.AtMost(b)+other.AtMost(b))
	}
	return all
}

// bounds are those of both.
func bounds(a, b Histogram) []float64 {
	all := slices.Concat(a.Bounds, b.Bounds)
	slices.Sort(all)
	return slices.Compact(all)
}

// A BucketQuantile is a quantile as a histogram tells it: somewhere in a bucket. The zero value is not known.
type BucketQuantile struct {
	// Value is where it lies if the bucket's values are spread evenly, as PromQL's histogram_quantile has it; of a
	// value past the last bound, that bound.
	Value Seconds `json:"value"`
	// From and To are the bucket.
	From Seconds `json:"from"`
	To   Seconds `json:"to"`
}

// Known reports whether there is one.
func (q BucketQuantile) Known() bool { return q.To > 0 }

// Quantile finds the bucket of a quantile, 0 < q < 1.
func (h Histogram) Quantile(q float64) BucketQuantile {
	if h.Count == 0 || len(h.Bounds) == 0 {
		return BucketQuantile{}
	}
	rank := q * float64(h.Count)
	from, below := 0.0, uint64(0)
	for i, n := range h.Counts {
		to := h.Bounds[i]
		if float64(n) < rank {
			from, below = to, n
			continue
		}
		value := to
		if n > below {
			value = from + (to-from)*(rank-float64(below))/float64(n-below)
		}
		return BucketQuantile{Value: Seconds(value), From: Seconds(from), To: Seconds(to)}
	}
	return BucketQuantile{Value: Seconds(from), From: Seconds(from), To: Seconds(math.Inf(1))}
}

// Most is the upper bound of the last bucket that has a value, +Inf if that has none; 0 of an empty histogram.
func (h Histogram) Most() float64 {
	if h.Count == 0 {
		return 0
	}
	for i, n := range h.Counts {
		if n == h.Count {
			return h.Bounds[i]
		}
	}
	return math.Inf(1)
}
