package calibrate

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets/perfect"
)

// stampLabel is the label of a sample that has the id of its stamps.
const stampLabel = "stamp"

// A Join compares what the client says of answers with what the server noted. Its zero value, with an Origin
// and a window, is ready.
type Join struct {
	// Origin is what CLOCK_MONOTONIC read when the samples' clock read 0, in nanoseconds. Required.
	Origin int64
	// From and To bound what is compared, on the same clock: requests that the client sent, and chunks that the
	// server wrote, from From and before To. Required.
	From, To int64
	// Interval is the server's, for its lateness. Required.
	Interval time.Duration

	// TTFT is the error of the time to first token: the client's, from Sent, less the server's, from the last byte
	// read of the request to the first write. ITL is that of each gap between two chunks, Delay the time from
	// a chunk's write to its stamp at the client, Lag Sent − Due, and Late how late the server wrote by its own plan.
	// Errors have no sign.
	TTFT, ITL, Delay, Lag, Late results.Distribution
	// Requests of the window, and those of them that were not complete or not as the server wrote them. One that was
	// sent before and failed in it is one of both: its chunks are missing in the errors.
	Requests, Failed int
	// Why is the first reason for a Failed one.
	Why string
}

// Add compares every sample with its answer.
func (j *Join) Add(samples []*results.Sample, answers []perfect.Answer) {
	byID := make(map[string]*perfect.Answer, len(answers))
	for i := range answers {
		byID[strconv.FormatUint(answers[i].ID, 10)] = &answers[i]
	}
	for _, s := range samples {
		j.add(s, byID[s.Labels[stampLabel]])
	}
}

func (j *Join) add(s *results.Sample, a *perfect.Answer) {
	inside := j.inside(j.at(s.Sent))
	if inside {
		j.Requests++
		j.Lag.Add((s.Sent - s.Due).Seconds())
	}
	why := ""
	switch {
	case s.Outcome != results.Complete:
		why = fmt.Sprintf("%s: %s", s.Outcome, s.Error)
	case a == nil:
		why = "the server has no stamps of it"
	case len(a.Writes) != len(s.Chunks):
		why = fmt.Sprintf("the server wrote %d chunks and the client saw %d", len(a.Writes), len(s.Chunks))
	}
	if why != "" {
		if j.at(s.Sent) < j.From && j.at(s.Done) >= j.From {
			j.Requests++
			inside = true
		}
		if inside {
			j.Failed++
			if j.Why == "" {
				j.Why = why
			}
		}
		return
	}
	if inside {
		j.TTFT.Add(differ(j.at(s.Chunks[0].At)-j.at(s.Sent), a.Writes[0]-a.Read))
	}
	for k, wrote := range a.Writes {
		if !j.inside(wrote) {
			continue
		}
		j.Late.Add(a.Lateness(k, j.Interval).Seconds())
		j.Delay.Add(time.Duration(j.at(s.Chunks[k].At) - wrote).Seconds())
		if k > 0 {
			j.ITL.Add(differ(int64(s.Chunks[k].At-s.Chunks[k-1].At), wrote-a.Writes[k-1]))
		}
	}
}

// at is a sample's time on the common clock.
func (j *Join) at(d time.Duration) int64 { return j.Origin + int64(d) }

func (j *Join) inside(at int64) bool { return j.From <= at && at < j.To }

// differ is how far apart two lengths of time are, in seconds.
func differ(a, b int64) float64 { return math.Abs(time.Duration(a - b).Seconds()) }
