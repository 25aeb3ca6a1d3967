package attacks

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// maxWhole bounds an answer in one piece. Ten images of 1536 by 1024 pixels, the largest of OpenAI's and the most at a
// time, stay under it in base64 even if nothing compresses them.
const maxWhole = 64 << 20

// readWhole takes an answer that is one piece, and classifies the try. The error is why reading ended, nil at the
// body's proper end. Nothing is a chunk of it: it has no first token.
func (t *try) readWhole(ctx context.Context, b content) error {
	in := t.in
	text, err := in.collect(b)
	d := &in.delta
	var wrong error
	if !errors.Is(err, errTooLong) {
		wrong = in.dec.Decode(&targets.Event{Data: text}, d)
	}
	in.believe(d)
	in.guard.skim(text)
	in.guard.scan(d.Text, []byte(d.Err)) // where it was escaped
	t.bytes, t.echoed = in.bytes, in.guard.echoed
	in.finish, in.done, in.usage, in.final = d.Finish, d.Done, d.Usage, true
	cut, none := errors.Is(wrong, io.ErrUnexpectedEOF), errors.Is(wrong, targets.ErrNoResult)
	switch {
	case in.guard.leak != "":
		t.fail(results.WrongUser, "%s", in.guard.leak)
	case d.Err != "":
		t.fail(results.StreamError, "%s", d.Err)
	case errors.Is(err, errTooLong):
		t.fail(results.Malformed, "answer is longer than %d bytes", maxWhole)
	case wrong != nil && !cut && !none:
		t.fail(results.Malformed, "%v", wrong)
	case err != nil:
		t.lost(ctx, err)
	case cut:
		t.fail(results.Truncated, "%v", wrong)
	case none:
		t.fail(results.Empty, "%v", wrong)
	case in.miscount != "":
		t.fail(results.LengthMismatch, "%s", in.miscount)
	default:
		t.outcome = results.Complete
	}
	return err
}

// collect takes a body to its end, or up to maxWhole.
func (in *intake) collect(b content) (text []byte, err error) {
	for {
		piece, err := b.next()
		if errors.Is(err, io.EOF) {
			return text, nil
		}
		if err != nil {
			return text, err
		}
		in.bytes += int64(len(piece))
		if len(text)+len(piece) > maxWhole {
			return text, errTooLong
		}
		text = append(text, piece...)
	}
}

// skimmed is how long a text is that holds an image: what else there is in it is short.
const skimmed = 256 << 10

// skim is scan of a text that may be megabytes of an image, where bytes.Index is some ten times as fast as a watcher.
// What is escaped in so long a text is found only where the dialect knows it as text.
func (g *guard) skim(text []byte) {
	if len(text) < skimmed {
		g.scan(text)
		return
	}
	prefix := []byte(g.nonces.prefix)
	for i := bytes.Index(text, prefix); i >= 0; i = bytes.Index(text, prefix) {
		text = text[i:]
		g.scan(text[:min(len(text), len(prefix)+nonceDigits)])
		text = text[len(prefix):]
	}
}
