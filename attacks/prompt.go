package attacks

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// Every request has sharedText, or the text of its class's Prefix instead. The nonces come after it, and after what
// a trace says that requests share, and before the request's own words: a prefix cache may keep what all share, as it
// does in service, and never what an earlier phase asked, or the phases would not be alike.
const (
	sharedText = "You answer at length and in plain words."
	askText    = "Write a story with these words for the reader with id "
	canaryText = "Begin your answer with the reader's id. "
	goldenText = "The reader has the id "
	exactText  = "You answer with what is asked for, and with nothing else. " // else a model says more than the answer
)

// reader is how a prompt calls who reads its answer: by the conversation's nonce, which each phase has its own of,
// and then by that of the user who holds it, if that is one who comes again.
func (a *Attack) reader(t *turn) string {
	if t.user == 0 {
		return t.nonce
	}
	return t.nonce + " of " + a.nonces.ofUser(t.user)
}

// prompt writes the messages of one request of about so many tokens; never under some
// thirty, which the shared text and the nonce take. A system prompt that is the class's own is not counted in, and
// a question whose answer is known is as long as it is.
func (a *Attack) prompt(phase results.Phase, j job, reader string) []targets.Message {
	system, chars := sharedText, j.prompt*charsPerToken-len(sharedText)
	switch {
	case j.class.Prefix != nil:
		system, chars = a.prefix(&j), j.prompt*charsPerToken
	case j.golden != nil: // the question stands alone, as it would be asked
		return []targets.Message{{Role: "system", Content: exactText + goldenText + reader + "."}, {Role: "user", Content: j.canary() + j.golden.Ask}}
	}
	return []targets.Message{{Role: "system", Content: system}, {Role: "user", Content: a.ask(phase, j, reader, chars)}}
}

// ask writes what the user says, of about so many characters.
func (a *Attack) ask(phase results.Phase, j job, reader string, chars int) string {
	if j.golden != nil {
		return j.canary() + goldenText + reader + ".\n\n" + j.golden.Ask
	}
	ask := j.canary() + askText
	var b strings.Builder
	b.Grow(max(chars, 0) + 256)
	if j.shape != nil && len(j.shape.Blocks) > 0 {
		a.writeBlocks(&b, phase, j.shape, chars-len(ask)-len(reader)-1)
	}
	b.WriteString(ask)
	b.WriteString(reader)
	b.WriteByte(':')
	for b.Len() < chars {
		b.WriteByte(' ')
		b.WriteString(a.words[j.rng.IntN(len(a.words))])
	}
	return b.String()
}

// canary is what asks for the reader's id, if the class does.
func (j *job) canary() string {
	if j.class.Canary {
		return canaryText
	}
	return ""
}

// prefix writes the system prompt of a request's group: the same in every phase of a run, and in no other run, which
// would find the cache warm from this one.
func (a *Attack) prefix(j *job) string {
	rng := rand.New(rand.NewPCG(mix(mix(a.nonces.key, uint64(j.kind)), uint64(j.group)), prefixStream))
	chars := j.class.Prefix.Tokens * charsPerToken
	var b strings.Builder
	b.Grow(chars + 32)
	for b.Len() < chars {
		b.WriteString(a.words[rng.IntN(len(a.words))])
		b.WriteByte(' ')
	}
	return b.String()[:chars]
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
