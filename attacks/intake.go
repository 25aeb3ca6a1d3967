package attacks

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// An intake reads one answer as it comes from the socket: it cuts it into events,
// decodes them, stamps them, counts them, and remembers what was wrong with them.
type intake struct {
	stamps   *stamps // of the answer
	split    targets.Splitter
	dec      targets.Decoder
	delta    targets.Delta // of Decode
	plain    targets.Delta // of ReadWhole
	guard    *guard
	received func(tokens int)
	arrived  func(counted int) // called after each chunk with the tokens so far, by who reads; nil: nobody waits for them
	counter  *counter          // nil: the model is not known
	// summarizes: what the server counts of reasoning may be more than it shows, and it does not say how much.
	summarizes bool

	inText, inReasoning, inTool watcher
	escaped                     *unescapers // nil: no backslash has come

	expect   int        // chunks, about
	bytes    int64      // of the body
	left     *departure // by which the client has left: nothing more is read. Nil: it is there
	role     time.Duration
	chunks   []results.Chunk
	lastRead int              // the socket read of the last chunk
	text     []byte           // all of it, if there is a counter and it is not too much
	said     *strings.Builder // the answer without its reasoning and its calls. Nil: it is not needed
	calls    calls            // of tools, where said is needed
	finish   string
	done     bool

	textBytes, reasonBytes, toolBytes int

	usage    *results.Usage // the last that came
	final    bool           // it counts all of the answer
	perChunk bool           // usage comes with each chunk, so tokens can be counted and not assumed
	counted  int            // tokens in chunks so far
	reported int            // and of them those that received knows of

	inBand, malformed, miscount string // the first of each
}

// mostChunks bounds an answer, and what is kept of it to 24 MB: the longest in service have an eighth as many tokens.
const mostChunks = 1 << 20

// content is an answer's body as it comes, without what HTTP puts around it. next's error is io.EOF at the proper
// end. A piece is valid until the next call.
type content interface{ next() ([]byte, error) }

// read takes the whole answer. It returns nil at the body's proper end.
func (in *intake) read(b content) error {
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
		in.bytes += int64(len(piece))
		if in.lastRead != in.stamps.reads {
			in.report()
			if len(in.chunks) > mostChunks {
				in.malformed = cmp.Or(in.malformed, fmt.Sprintf("answer has more than %d chunks", mostChunks))
				return errTooLong
			}
		}
		if whole != nil && in.split.AtStart() && whole.ReadWhole(piece, &in.plain) {
			in.chunk(&in.plain, len(in.plain.Text)+len(in.plain.Reasoning)) // it brings nothing else
			if in.left != nil {
				return in.left
			}
			continue
		}
		if err := in.split.Split(piece, take); err != nil {
			if in.malformed == "" && in.left == nil {
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
	if in.left != nil {
		return in.left
	}
	return nil
}

// take adds what an event brought.
func (in *intake) take(d *targets.Delta) {
	in.believe(d)
	if in.said != nil {
		for i := range d.Calls {
			in.calls.add(&d.Calls[i])
		}
	}
	if n := len(d.Text) + len(d.Reasoning) + len(d.Tool); n > 0 {
		if in.escaped == nil && (mayEscape(d.Text) || mayEscape(d.Reasoning) || mayEscape(d.Tool)) {
			in.unescape()
		}
		in.chunk(d, n)
	} else if d.Role && in.role == 0 && len(in.chunks) == 0 {
		in.role = time.Duration(in.stamps.last.Load())
	}
	if d.Finish != "" && in.finish == "" {
		in.finish = brief(d.Finish)
	}
	if d.Err != "" && in.inBand == "" {
		in.inBand = d.Err
	}
	in.done = in.done || d.Done
	if d.Usage != nil {
		in.usage, in.final = d.Usage, in.finish != "" || in.done
	}
}

func (in *intake) chunk(d *targets.Delta, n int) {
	tokens := 1
	if d.Usage != nil && (in.perChunk || len(in.chunks) == 0 && d.Finish == "") {
		in.perChunk = true
		tokens = max(1, d.Usage.Output-in.counted)
	}
	if in.chunks == nil { // not before there is something: a queue of streams holds no memory
		in.chunks = make([]results.Chunk, 0, in.expect)
	}
	in.chunks = append(in.chunks, results.Chunk{
		At:        time.Duration(in.stamps.last.Load()),
		Tokens:    tokens,
		Coalesced: len(in.chunks) > 0 && in.lastRead == in.stamps.reads,
	})
	in.lastRead = in.stamps.reads
	in.counted += tokens
	if len(d.Text) > 0 {
		in.textBytes += len(d.Text)
		in.keep(d.Text)
		in.inText.find(d.Text, in.guard.nonces.prefix, in.guard.found)
	}
	if len(d.Reasoning) > 0 {
		in.reasonBytes += len(d.Reasoning)
		in.inReasoning.find(d.Reasoning, in.guard.nonces.prefix, in.guard.found)
	}
	if len(d.Tool) > 0 {
		in.toolBytes += len(d.Tool)
		in.inTool.find(d.Tool, in.guard.nonces.prefix, in.guard.found)
	}
	if e := in.escaped; e != nil {
		e.text.find(d.Text, in.guard.nonces.prefix, in.guard.found)
		e.reasoning.find(d.Reasoning, in.guard.nonces.prefix, in.guard.found)
		e.tool.find(d.Tool, in.guard.nonces.prefix, in.guard.found)
	}
	if in.counter != nil && len(in.text)+n <= maxKept {
		in.text = append(append(append(in.text, d.Reasoning...), d.Text...), d.Tool...)
	}
	if in.arrived != nil {
		in.arrived(in.counted)
	}
}

// keep keeps a part of the answer, up to maxKept, if anybody needs it.
func (in *intake) keep(text []byte) {
	if in.said != nil {
		in.said.Write(text[:min(len(text), maxKept-in.said.Len())])
	}
}
