package attacks

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// An intake reads one answer as it comes from the socket: it cuts it into events,
// decodes them, stamps them, counts them, and remembers what was wrong with them.
type intake struct {
	sock     *socket
	split    targets.Splitter
	dec      targets.Decoder
	delta    targets.Delta // of Decode
	plain    targets.Delta // of ReadWhole
	guard    *guard
	received func(tokens int)

	inText, inReasoning, inTool watcher

	expect    int // chunks, about
	role      time.Duration
	chunks    []results.Chunk
	lastRead  int  // the socket read of the last chunk
	textBytes int  // of content, reasoning and tool text
	reasoned  bool // reasoning text came
	finish    string
	done      bool
	usage     *results.Usage
	perChunk  bool // usage comes with each chunk, so tokens can be counted and not assumed
	counted   int  // tokens in chunks so far
	reported  int  // and of them those that received knows of

	inBand, malformed string // the first of each
}

// read takes the whole answer. It returns nil at the body's proper end.
func (in *intake) read(b *body) error {
	take := in.event
	whole, _ := in.dec.(targets.WholeReader)
	defer in.report()
	for {
		piece, err := b.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return in.split.End(take)
			}
			return err
		}
		if in.lastRead != in.sock.reads {
			in.report()
		}
		if whole != nil && in.split.AtStart() && whole.ReadWhole(piece, &in.plain) {
			in.take(&in.plain)
			continue
		}
		if err := in.split.Split(piece, take); err != nil {
			if in.malformed == "" {
				in.malformed = err.Error()
			}
			return err
		}
	}
}

// report hands on the tokens that came since, once a socket read: all streams share that counter.
func (in *intake) report() {
	if n := in.counted - in.reported; n > 0 {
		in.received(n)
		in.reported = in.counted
	}
}

func (in *intake) event(e *targets.Event) error {
	d := &in.delta
	err := in.dec.Decode(e, d)
	if err != nil { // the stream is read to its end all the same
		if in.malformed == "" && !e.Torn {
			in.malformed = err.Error()
		}
		*d = targets.Delta{}
	}
	if err != nil || d.Err != "" { // what it says is not looked through as an answer is
		in.guard.scan(e.Data, []byte(d.Err))
		for _, f := range e.Other {
			in.guard.scan(f.Value, f.Line)
		}
	}
	in.take(d)
	return nil
}

// take adds what an event brought.
func (in *intake) take(d *targets.Delta) {
	if n := len(d.Text) + len(d.Reasoning) + len(d.Tool); n > 0 {
		in.chunk(d, n)
	} else if d.Role && in.role == 0 && len(in.chunks) == 0 {
		in.role = time.Duration(in.sock.last.Load())
	}
	if d.Usage != nil {
		in.usage = d.Usage
	}
	if d.Finish != "" && in.finish == "" {
		in.finish = d.Finish
	}
	if d.Err != "" && in.inBand == "" {
		in.inBand = d.Err
	}
	in.done = in.done || d.Done
}

func (in *intake) chunk(d *targets.Delta, n int) {
	tokens := 1
	if d.Usage != nil && (in.perChunk || len(in.chunks) == 0) && d.Finish == "" {
		in.perChunk = true
		tokens = max(1, d.Usage.Output-in.counted)
	}
	if in.chunks == nil { // not before there is something: a queue of streams holds no memory
		in.chunks = make([]results.Chunk, 0, in.expect)
	}
	in.chunks = append(in.chunks, results.Chunk{
		At:        time.Duration(in.sock.last.Load()),
		Tokens:    tokens,
		Coalesced: len(in.chunks) > 0 && in.lastRead == in.sock.reads,
	})
	in.lastRead = in.sock.reads
	in.counted += tokens
	in.textBytes += n
	if len(d.Text) > 0 {
		in.inText.find(d.Text, in.guard.nonces.prefix, in.guard.found)
	}
	if len(d.Reasoning) > 0 {
		in.reasoned = true
		in.inReasoning.find(d.Reasoning, in.guard.nonces.prefix, in.guard.found)
	}
	if len(d.Tool) > 0 {
		in.inTool.find(d.Tool, in.guard.nonces.prefix, in.guard.found)
	}
}

// total is the token count: the server's if it has one, else what was seen.
func (in *intake) total() results.Usage {
	if in.usage != nil && (in.usage.Output > 0 || len(in.chunks) == 0 || in.usage.Prompt > 0) {
		return *in.usage
	}
	if len(in.chunks) == 0 {
		return results.Usage{}
	}
	return results.Usage{Output: in.counted, Source: results.UsageChunks}
}

// spread shares the server's count out over the chunks, evenly, where it says that
// there were more tokens than chunks and the chunks did not say how many each.
func (in *intake) spread() {
	n := len(in.chunks)
	if in.usage == nil || in.perChunk || n == 0 {
		return
	}
	total := in.visible()
	if total <= n {
		return
	}
	for i := range in.chunks {
		in.chunks[i].Tokens = (i+1)*total/n - i*total/n
	}
}

// visible is how many of the server's tokens should have arrived as text: some
// servers count reasoning that they keep to themselves.
func (in *intake) visible() int {
	if in.reasoned {
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

// mismatch says how usage and the answer disagree, or "".
func (in *intake) mismatch() string {
	if in.usage == nil || len(in.chunks) == 0 || (in.usage.Output == 0 && in.usage.Prompt == 0) {
		return "" // a usage of zeros is a server that does not count
	}
	tokens, n := in.visible(), len(in.chunks)
	least := tokens - tokens*lengthSlackPct/100 - lengthSlack
	if tokens > fewTokens {
		least *= bytesPerToken
	}
	switch {
	case least > in.textBytes:
		return fmt.Sprintf("usage counts %d tokens of text, and %d bytes in %d chunks arrived",
			tokens, in.textBytes, n)
	case in.usage.Output == 0, n > splitsPerToken*(in.usage.Output+lengthSlack):
		return fmt.Sprintf("usage counts %d tokens, and %d chunks arrived", in.usage.Output, n)
	}
	return ""
}
