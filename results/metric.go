package results

import (
	"cmp"
	"iter"
	"net/http"
	"time"
)

// The methods of this file are the definitions of the metrics: every table and
// every hypothesis uses them and no other. A metric of a request gives three
// answers: the time; inf, true where the request failed and counts as +∞ (or a
// p99 would improve as a stack dies); and counts, false where the request says
// nothing about the metric and must not be in its distribution at all.

// Counted reports whether the request was attempted in the sense of success, error_rate and goodput: all
// but those that our own client cancelled, by its plan or at the end of the run. Each turn of a conversation is a
// request of its own.
func (s *Sample) Counted() bool { return s.Outcome != Cancelled }

// Leaver reports whether our client left before the end by its plan, and not because the run ended.
func (s *Sample) Leaver() bool {
	return s.Outcome == Cancelled && (s.Left == LeftStart || s.Left == LeftTokens || s.Left == LeftTime)
}

// timed reports whether what came of the request counts in the times of streams. An answer in one piece has none.
// Users who left had seen what came until then, and that was measured like any other's. What the end of the run
// cancelled counts nowhere: of those the slow ones have no token yet, and the quick ones alone would look too good.
func (s *Sample) timed() bool { return !s.Unstreamed && (s.Counted() || s.Leaver()) }

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
// divided by the requests is the amplification, of all that are Counted or of a Leaver.
func (s *Sample) Tries() int { return 1 + len(s.Attempts) }

// Failovers is how often the request went on at another endpoint. A hedge beside it is none.
func (s *Sample) Failovers() int {
	n, at := 0, ""
	next := func(endpoint string) {
		if endpoint != "" && at != "" && endpoint != at {
			n++
		}
		at = cmp.Or(endpoint, at)
	}
	for _, a := range s.Attempts {
		if !a.Hedge {
			next(a.Endpoint)
		}
	}
	if !s.Hedged {
		next(s.Labels["endpoint"])
	}
	return n
}

// Tokens is the count of output tokens: that of the server or of a tokenizer where there is one, else
// the sum over the chunks.
func (s *Sample) Tokens() int {
	if by := s.Usage.Source; s.Usage.Output > 0 && by != "" && by != UsageChunks {
		return s.Usage.Output
	}
	return s.inChunks()
}

// Received is how many of Tokens arrived: without reasoning that the server counts and keeps to itself. Those of the
// other attempts are not among them: tokens_per_second and goodput count what the user was shown in the end.
func (s *Sample) Received() int {
	n := s.Tokens()
	return n - min(s.Usage.Reasoning, max(0, n-s.inChunks()))
}

// ReceivedInAll is Received and what arrived of all other attempts.
func (s *Sample) ReceivedInAll() int {
	n := s.Received()
	for _, a := range s.Attempts {
		n += a.Output
	}
	return n
}

// Wasted is how many of ReceivedInAll were thrown away: those of every attempt that did not serve, and those of a
// request that failed in the end. What a user had read who then left was not; nor what the end of the run cut off.
func (s *Sample) Wasted() int {
	if s.Counted() && s.Outcome != Complete {
		return s.ReceivedInAll()
	}
	return s.ReceivedInAll() - s.Received()
}

// WastedPrompt is how many prompt tokens were paid for in vain, in the attempts that Wasted counts, as far as servers
// said how many there were.
func (s *Sample) WastedPrompt() int {
	n := 0
	for _, a := range s.Attempts {
		n += a.Prompt
	}
	if s.Counted() && s.Outcome != Complete {
		n += s.Usage.Prompt
	}
	return n
}

// Answer reports whether the request brought an answer, or a piece of one, in which its own nonce could have stood.
func (s *Sample) Answer() bool {
	return s.Counted() && (len(s.Chunks) > 0 || s.Unstreamed && s.Outcome == Complete)
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
// that failed later still has one, and one whose user left after it. Infinite: failed without one, unless refused; or
// our client left by its own clock (LeftTime) without one: a user who gave up waiting never saw a token, and without
// these a p99 would be good by the leaving of all who waited long. So a plan's patience should be longer than the TTFT
// that it claims. Who left before the first byte was not waiting for it, and has none; so has an answer in one piece.
func (s *Sample) TTFT() (d time.Duration, inf, counts bool) { return s.ttft(s.Due) }

// TTFTSent is TTFT from Sent instead of Due: without our own lateness.
func (s *Sample) TTFTSent() (d time.Duration, inf, counts bool) { return s.ttft(s.Sent) }

func (s *Sample) ttft(from time.Duration) (d time.Duration, inf, counts bool) {
	switch {
	case !s.timed() || s.Refused():
		return 0, false, false
	case len(s.Chunks) > 0:
		return s.Chunks[0].At - from, false, true
	case s.Leaver() && s.Left != LeftTime:
		return 0, false, false
	default:
		return 0, true, true
	}
}

// E2E is the time from Due to the last chunk of a complete request, or to Done of one whose answer came in one piece.
// Infinite: failed in any way but refused, also after the first token, or its p99 would improve as streams are cut.
// A request whose client left has none, however it went until then: nobody knows when it would have ended.
func (s *Sample) E2E() (d time.Duration, inf, counts bool) { return s.e2e(s.Due) }

// E2ESent is E2E from Sent instead of Due: without our own lateness.
func (s *Sample) E2ESent() (d time.Duration, inf, counts bool) { return s.e2e(s.Sent) }

func (s *Sample) e2e(from time.Duration) (d time.Duration, inf, counts bool) {
	switch {
	case !s.Counted() || s.Refused():
		return 0, false, false
	case s.Outcome == Complete && s.Unstreamed:
		return s.Done - from, false, true
	case s.Outcome != Complete || len(s.Chunks) == 0:
		return 0, true, true
	default:
		return s.Chunks[len(s.Chunks)-1].At - from, false, true
	}
}

// TPOT is the mean time per output token after the first chunk: (last − first chunk) / (Received −
// those of the first chunk). It counts for every stream that has such tokens, also one that was
// cut or left later, and is never infinite: what a stream did not deliver shows in Stall, E2E and success.
func (s *Sample) TPOT() (d time.Duration, inf, counts bool) {
	if !s.timed() || len(s.Chunks) < 2 {
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
		if !s.timed() {
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
// for 30 s; so did one whose user sat through them and left. A complete stream of one chunk has a stall of 0; a request without a token has none.
func (s *Sample) Stall() (d time.Duration, inf, counts bool) {
	if !s.timed() || len(s.Chunks) == 0 {
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
