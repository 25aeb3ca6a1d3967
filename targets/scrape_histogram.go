package targets

import (
	"cmp"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"github.com/failwhale/failwhale/results"
)

// maxBuckets bounds what is taken of one series: servers have some twenty.
const maxBuckets = 200

// histogram adds the series, in seconds. Where bounds differ only count and sum are kept.
func (f figure) histogram(series []*dto.Metric) results.Histogram {
	unit := cmp.Or(f.unit, 1)
	var all results.Histogram
	for i, m := range series {
		h := oneHistogram(m, unit)
		if i == 0 {
			all = h
			continue
		}
		if !slices.Equal(all.Bounds, h.Bounds) {
			all.Bounds, all.Counts = nil, nil
		}
		all.Count, all.Sum = all.Count+h.Count, all.Sum+h.Sum
		for j := range all.Counts {
			all.Counts[j] += h.Counts[j]
		}
	}
	return all
}

// oneHistogram takes a histogram, or a summary, which has no buckets. Exporters that are written to while they are
// read may show a bucket that is ahead of the next: none counts less than the one before, and the whole no less than all.
func oneHistogram(m *dto.Metric, unit float64) results.Histogram {
	if s := m.GetSummary(); s != nil {
		return results.Histogram{Count: s.GetSampleCount(), Sum: s.GetSampleSum() * unit}
	}
	from := m.GetHistogram()
	h := results.Histogram{
		Count: max(from.GetSampleCount(), whole(from.GetSampleCountFloat())), Sum: from.GetSampleSum() * unit,
	}
	buckets := slices.Clone(from.GetBucket())
	slices.SortStableFunc(buckets, func(a, b *dto.Bucket) int { return cmp.Compare(a.GetUpperBound(), b.GetUpperBound()) })
	var most uint64
	for _, b := range buckets {
		bound := b.GetUpperBound() * unit
		most = max(most, b.GetCumulativeCount(), whole(b.GetCumulativeCountFloat()))
		switch last := len(h.Bounds) - 1; {
		case math.IsNaN(bound) || bound <= 0 || math.IsInf(bound, 1): // in the next, and in Count
		case last >= 0 && h.Bounds[last] == bound:
			h.Counts[last] = most
		default:
			h.Bounds, h.Counts = append(h.Bounds, bound), append(h.Counts, most)
		}
	}
	h.Count = max(h.Count, most)
	if len(h.Bounds) > maxBuckets {
		h.Bounds, h.Counts = nil, nil
	}
	return h
}

// whole rounds down to a count; what is none is 0.
func whole(x float64) uint64 {
	if !(x >= 0) || x >= 1<<63 {
		return 0
	}
	return uint64(x)
}
