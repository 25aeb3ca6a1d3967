package attacks

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// Every request has this text. The nonce comes after it, and after what a trace says that requests share, and
// before the request's own words: a prefix cache may keep what all share, as it does in service, and never what
// an earlier phase asked, or the phases would not be alike.
const (
	sharedText = "You answer at length and in plain words."
	askText    = "Write a story with these words for the reader with id "
)

// prompt writes the messages of one request of about so many tokens; never under some
// thirty, which the shared text and the nonce take.
func (a *Attack) prompt(phase results.Phase, j job, nonce string) []targets.Message {
	chars := j.prompt*charsPerToken - len(sharedText)
	var b strings.Builder
	b.Grow(max(chars, 0) + 128)
	if j.shape != nil && len(j.shape.Blocks) > 0 {
		a.writeBlocks(&b, phase, j.shape, chars-len(askText)-len(nonce)-1)
	}
	b.WriteString(askText)
	b.WriteString(nonce)
	b.WriteByte(':')
	for b.Len() < chars {
		b.WriteByte(' ')
		b.WriteString(a.words[j.rng.IntN(len(a.words))])
	}
	return []targets.Message{{Role: "system", Content: sharedText}, {Role: "user", Content: b.String()}}
}

// writeBlocks writes the text that a prompt shares with all others that begin with the same blocks, up to so many
// characters. What comes first is the phase's own: else its cache would be warm with what the one before, or the
// run before, has asked.
func (a *Attack) writeBlocks(b *strings.Builder, phase results.Phase, s *Shape, chars int) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(phase)) // a hash never fails to write
	fmt.Fprintf(b, "%08x\n", uint32(mix(a.nonces.key, h.Sum64())))
	var pcg rand.PCG
	rng := rand.New(&pcg)
	for _, id := range s.Blocks {
		if b.Len() >= chars {
			return
		}
		pcg.Seed(mix(a.load.seed, id), blockStream)
		for end := min(chars, b.Len()+s.BlockTokens*charsPerToken); b.Len() < end; {
			word := a.words[rng.IntN(len(a.words))]
			b.WriteString(word[:min(len(word), end-b.Len())])
			if b.Len() < end {
				b.WriteByte(' ')
			}
		}
	}
}
