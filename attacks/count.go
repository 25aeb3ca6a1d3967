package attacks

import (
	"cmp"
	"fmt"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// settle counts the answer's tokens, by the best of what there is, once it has ended, and shares them out
// over its chunks. It may take milliseconds of our CPU, so nothing is stamped after it.
func (in *intake) settle() results.Usage {
	var u results.Usage
	if in.usage != nil { // of an answer that was cut it still has the prompt
		u = *in.usage
	}
	switch {
	case in.byServer():
		in.share(in.visible())
		return u
	case len(in.chunks) == 0:
		return results.Usage{Prompt: u.Prompt, Cached: u.Cached}
	case in.perChunk:
		u.Output, u.Source = in.counted, results.UsageContinuous
		return u
	}
	u.Output, u.Source, u.Reasoning = in.counted, results.UsageChunks, 0
	if kept := in.textBytes + in.reasonBytes + in.toolBytes; in.counter != nil && len(in.text) == kept {
		if n := in.counter.count(in.text); n > 0 {
			in.share(n)
			u.Output, u.Source = n, results.UsageTokenizer
		}
	}
	return u
}

// byServer reports whether the server counted all of the answer. One that counts with the pieces and ends
// in order has, too, if it did not do so with each.
func (in *intake) byServer() bool {
	return in.usage != nil && (in.final || in.finish != "" && in.done && !in.perChunk)
}

// share shares a count of tokens out over the chunks where it is larger than theirs: evenly, or, if the
// chunks said how many each has, to the last one, whose end of turn nobody told.
func (in *intake) share(total int) {
	n := len(in.chunks)
	switch {
	case n == 0 || total <= in.counted:
	case in.perChunk:
		in.chunks[n-1].Tokens += total - in.counted
	default:
		for i := range in.chunks {
			in.chunks[i].Tokens = (i+1)*total/n - i*total/n
		}
	}
}

// visible is how many of the server's tokens should have arrived as text: some
// servers count reasoning that they keep to themselves.
func (in *intake) visible() int {
	if in.reasonBytes > 0 {
		return in.usage.Output
	}
	return in.usage.Output - in.usage.Reasoning
}

// Tolerances of agreement between what the server counted and what arrived. Tokens
// are not chunks: a server joins several in one (stream intervals, speculation,
// pieces of a character), a gateway splits them (smooth output). So only what
// cannot be is a mismatch. A token of text is at least one byte: fewer bytes than
// tokens, and text is missing. Over more than a few tokens it is two: text has some
// four or five bytes a token in any script (recordings of llama.cpp, ik and Ollama:
// 4.9 to 6.7), and what has one, digits and a nonce's hex, is a small part of it. An
// answer of a hundred digits, or of the exclamation marks of a broken model, is taken
// for one whose text is missing: our prompts ask for neither. A chunk is at least a
// fourth of a token, at four characters a token sent one by one: more, and text came twice.
const (
	lengthSlack    = 8  // tokens without text: ends of turns, templates, held-back pieces
	lengthSlackPct = 10 // and the same for long answers
	fewTokens      = 24 // up to so many, a byte a token can be: a nonce alone is that many
	bytesPerToken  = 2
	splitsPerToken = 4
)

// mostCounted is more than any request has of tokens: past it, sums of what servers say would come to nonsense.
const mostCounted = 1e9

// believe takes a usage away that cannot be of any answer, and remembers it.
func (in *intake) believe(d *targets.Delta) {
	if d.Usage == nil {
		return
	}
	u := *d.Usage
	for _, n := range [...]int{u.Prompt, u.Cached, u.Output, u.Reasoning} {
		if n < 0 || n > mostCounted {
			d.Usage = nil
			in.miscount = cmp.Or(in.miscount, fmt.Sprintf("usage counts %d tokens, which no answer has", n))
		}
	}
}

// mismatch says how usage and the answer disagree, or "".
func (in *intake) mismatch() string {
	if in.miscount != "" {
		return in.miscount
	}
	if in.usage == nil || len(in.chunks) == 0 || !in.byServer() && !in.perChunk {
		return ""
	}
	n := len(in.chunks)
	tokens, bytes, known := in.expected()
	least := tokens - tokens*lengthSlackPct/100 - lengthSlack
	if tokens > fewTokens {
		least *= bytesPerToken
	}
	switch {
	case known && least > bytes:
		return fmt.Sprintf("usage counts %d tokens of text, and %d bytes in %d chunks arrived", tokens, bytes, n)
	case in.usage.Output == 0, n > splitsPerToken*(in.usage.Output+lengthSlack):
		return fmt.Sprintf("usage counts %d tokens, and %d chunks arrived", in.usage.Output, n)
	}
	return ""
}

// expected is how many of the counted tokens must be there as text, and the bytes of that text. Not known:
// a call of a tool is counted with a template that no stream shows, some ten to a hundred tokens of it, and
// of reasoning a server may show a summary. If it says how much it reasoned, the answer alone is held against
// the rest; if its dialect has no word for that, nothing can be.
func (in *intake) expected() (tokens, bytes int, known bool) {
	switch {
	case in.toolBytes > 0:
		return 0, 0, false
	case in.reasonBytes == 0 || in.usage.Reasoning > 0:
		return in.usage.Output - in.usage.Reasoning, in.textBytes, true
	default:
		return in.usage.Output, in.textBytes + in.reasonBytes, !in.summarizes
	}
}
