package results

import (
	"iter"
	"net/http"
	"time"
)

// The methods of this file are the definitions of the metrics: every table and
// every hypothesis uses them and no other. A metric of a request gives three
// answers: the time; inf, true where the request failed and counts as +∞ (or a
// p99 would improve as a stack dies); and counts, false where the request says
// nothing about the metric and must not be in its distribution at all.

// Counted reports whether the request was attempted in the sense of success and error_rate: all
// but those that our own client planned to cancel.
func (s *Sample) Counted() bool { return s.Outcome != Cancelled }

// Refused reports whether the server turned the request away before it served anything: 429 or
// 503, and no token. It counts in success, and in no latency.
func (s *Sample) Refused() bool {
	return (s.Outcome == RateLimited || s.Outcome == HTTPStatus) && len(s.Chunks) == 0 &&
		(s.Status == http.StatusTooManyRequests || s.Status == http.StatusServiceUnavailable)
}

// FailedWith2xx reports whether a status check would have called this failure a success: cut,
// empty, wrong, or an error inside the stream.
func (s *Sample) FailedWith2xx() bool {
	return s.Status/100 == 2 && s.Counted() && s.Outcome != Complete
}

// Leak reports whether the response carried another user's nonce.
func (s *Sample) Leak() bool { return s.Outcome == WrongUser }

// Tries is how many attempts were made for the request, at least 1. Their sum over all requests
// divided by the requests is the amplification.
func (s *Sample) Tries() int { return 1 + len(s.Attempts) }

// Tokens is the count of output tokens: that of the server or of a tokenizer where there is one, else
// the sum over the chunks.
func (s *Sample) Tokens() int {
	if by := s.Usage.Source; s.Usage.Output > 0 && by != "" && by != UsageChunks {
		return s.Usage.Output
	}
	return s.inChunks()
}

// Received is how many of Tokens arrived: without reasoning that the server counts and keeps to itself.
func (s *Sample) Received() int {
	n := s.Tokens()
	return n - min(s.Usage.Reasoning, max(0, n-s.inChunks()))
}

// inChunks is the sum over the chunks.
func (s *Sample) inChunks() int {
	n := 0
	for _, c := range s.Chunks {
		n += c.Tokens
	}
	return n
}

// Arrivals is how many reads brought tokens: the chunks without those that came together with the
// one before. Received divided by Arrivals is what "tokens per chunk" means next to an ITL.
func (s *Sample) Arrivals() int {
	n := 0
	for i, c := range s.Chunks {
		if i == 0 || !c.Coalesced {
			n++
		}
	}
	return n
}

// TTFT is the time from Due to the first chunk with content, reasoning or tool text. A request
// that failed later still has one. Infinite: failed without one, unless refused.
func (s *Sample) TTFT() (d time.Duration, inf, counts bool) { return s.ttft(s.Due) }

// TTFTSent is TTFT from Sent instead of Due: without our own lateness.
func (s *Sample) TTFTSent() (d time.Duration, inf, counts bool) { return s.ttft(s.Sent) }

func (s *Sample) ttft(from time.Duration) (d time.Duration, inf, counts bool) {
	switch {
	case !s.Counted() || s.Refused():
		return 0, false, false
	case len(s.Chunks) == 0:
		return 0, true, true
	default:
		return s.Chunks[0].At - from, false, true
	}
}

// E2E is the time from Due to the last chunk of a complete request. Infinite: failed in any way
// but refused, also after the first token, or its p99 would improve as streams are cut.
func (s *Sample) E2E() (d time.Duration, inf, counts bool) { return s.e2e(s.Due) }

// E2ESent is E2E from Sent instead of Due: without our own lateness.
func (s *Sample) E2ESent() (d time.Duration, inf, counts bool) { return s.e2e(s.Sent) }

func (s *Sample) e2e(from time.Duration) (d time.Duration, inf, counts bool) {
	switch {
	case !s.Counted() || s.Refused():
		return 0, false, false
	case s.Outcome != Complete || len(s.Chunks) == 0:
		return 0, true, true
	default:
		return s.Chunks[len(s.Chunks)-1].At - from, false, true
	}
}

// TPOT is the mean time per output token after the first chunk: (last − first chunk) / (Received −
// those of the first chunk). It counts for every stream that has such tokens, also one that was
// cut later, and is never infinite: what a stream did not deliver shows in Stall, E2E and success.
func (s *Sample) TPOT() (d time.Duration, inf, counts bool) {
	if !s.Counted() || len(s.Chunks) < 2 {
		return 0, false, false
	}
	first, last := s.Chunks[0], s.Chunks[len(s.Chunks)-1]
	n := s.Received() - first.Tokens
	if n <= 0 {
		return 0, false, false
	}
	return (last.At - first.At) / time.Duration(n), false, true
}

// Gaps yields the gaps between arrivals, whose distribution over all streams is the ITL. An
// arrival of k tokens is one gap. Chunks that came in one read with the one before make none: the
// gap between them was made by buffers, not by the server.
func (s *Sample) Gaps() iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		if !s.Counted() {
			return
		}
		for i := 1; i < len(s.Chunks); i++ {
			if !s.Chunks[i].Coalesced && !yield(s.Chunks[i].At-s.Chunks[i-1].At) {
				return
			}
		}
	}
}

// Stall is the longest silence of a stream after its first token. In a stream that failed the
// silence before its end counts too: one that hung for 30 s and was then given up or reset stalled
// for 30 s. A complete stream of one chunk has a stall of 0; a request without a token has none.
func (s *Sample) Stall() (d time.Duration, inf, counts bool) {
	if !s.Counted() || len(s.Chunks) == 0 {
		return 0, false, false
	}
	for i := 1; i < len(s.Chunks); i++ {
		d = max(d, s.Chunks[i].At-s.Chunks[i-1].At)
	}
	if s.Outcome != Complete {
		d = max(d, s.Done-s.Chunks[len(s.Chunks)-1].At)
	}
	return d, false, true
}

// Lag is Sent − Due: how late we were, whatever the server did and whatever became of the request.
// Infinite: it was due and never sent. A request that was cancelled before it was sent has none.
func (s *Sample) Lag() (d time.Duration, inf, counts bool) {
	switch {
	case s.Sent == 0 && !s.Counted():
		return 0, false, false
	case s.Sent == 0:
		return 0, true, true
	default:
		return max(0, s.Sent-s.Due), false, true
	}
}
