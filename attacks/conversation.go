package attacks

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// A conversation is what a user and the server have said so far, and how much is still to come. All its turns have one
// client, class, model, prefix and nonce. It belongs to the goroutine of the turn that is under way; between two, to
// the agenda.
//
// A turn that failed does not end it: users ask again. Its question stays out of the history, so that the next turn
// carries what was answered. If conversations ended with their failures, a stack in trouble would be asked less, and
// that would hide how much trouble it is in.
type conversation struct {
	seed    uint64            // of what is random about it: equal in every judged phase
	first   uint64            // the index of its first turn
	turn    int               // the place of the turn under way, from 1
	turns   int               // how many there are
	history []targets.Message // which each turn carries: the system prompt, and what was asked and answered
	asked   []targets.Message // by the turn under way: a user's words, or what the tools that were called gave back
}

// newConversation is that of a first turn; nil: the class has none.
func newConversation(j *job, index uint64) *conversation {
	turns := j.class.Turns
	if turns == nil {
		return nil
	}
	rng := rand.New(rand.NewPCG(j.seed, conversationStream))
	return &conversation{seed: j.seed, first: index, turn: 1, turns: turns.Count.draw(rng)}
}

// goesOn reports whether another turn follows the one under way.
func (c *conversation) goesOn() bool { return c != nil && c.turn < c.turns }

// begin notes what the first turn says.
func (c *conversation) begin(said []targets.Message) {
	if c != nil {
		last := len(said) - 1
		c.history, c.asked = slices.Clip(said[:last]), said[last:]
	}
}

// hear adds a turn that has ended to the history, if there is an answer to it: a whole one, or as much of it as a
// client saw who then left by plan, which a chat goes on with. Calls of tools that were cut short, or are none that a
// server would take back, are left out; where they are all there is they stand as text: what a turn adds to the
// context counts.
func (c *conversation) hear(t *try) {
	if c == nil || t.in == nil || t.in.said == nil || t.outcome != results.Complete && (t.outcome != results.Cancelled || t.left == "") {
		return
	}
	answer := targets.Message{Role: "assistant", Content: t.in.said.String(), Calls: t.in.calls.sound(c.turn)}
	if len(answer.Calls) == 0 {
		answer.Content = cmp.Or(answer.Content, t.in.calls.String())
	}
	if answer.Content != "" || len(answer.Calls) > 0 {
		c.history = append(append(c.history, c.asked...), answer)
	}
}

// toolText is what the tools but the first give back.
const toolText = "Done."

// ask makes text what the turn under way says: the user, or the first of the tools that the last answer called, of
// each of which servers want a result.
func (c *conversation) ask(text string) {
	c.asked = nil
	last := &c.history[len(c.history)-1]
	for i := range last.Calls {
		c.asked = append(c.asked, targets.Message{Role: "tool", Content: text, Of: &last.Calls[i]})
		text = toolText
	}
	if c.asked == nil {
		c.asked = []targets.Message{{Role: "user", Content: text}}
	}
}

// followUp writes the turn after one that has ended so.
func (a *Attack) followUp(before *turn, ended *results.Sample) (*turn, error) {
	c := before.conv
	c.turn++
	j := job{seed: mix(mix(c.seed, conversationStream), uint64(c.turn)), client: before.client, kind: before.class}
	j.rng, j.class = rand.New(rand.NewPCG(j.seed, turnStream)), &a.load.classes[j.kind]
	a.load.moulds[j.kind].cast(&j)
	t := &turn{
		index: a.agenda.number(), client: j.client, class: j.kind, seed: j.seed, nonce: before.nonce, user: before.user,
		closed: before.closed, ask: before.ask, conv: c,
	}
	c.ask(a.ask("", j, a.reader(t), j.prompt*charsPerToken))
	t.ask.MaxTokens, t.ask.Messages = j.output, append(slices.Clip(c.history), c.asked...)
	think := j.class.Turns.Think.draw(rand.New(rand.NewPCG(j.seed, thinkStream)))
	t.due = ended.Done + think
	if t.closed && ended.Outcome != results.Complete {
		t.due = max(t.due, ended.Sent+failedPause)
	}
	return t, a.encode(t)
}

// goOn puts the turn after one that has ended on the agenda, and reports whether there is one.
func (r *runner) goOn(turn *turn, ended *results.Sample) bool {
	if !turn.conv.goesOn() || r.agenda.isOver() {
		return false
	}
	next, err := r.followUp(turn, ended)
	if err != nil {
		r.fail(err)
		return false
	}
	return r.agenda.join(next)
}
