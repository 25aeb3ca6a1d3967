package attacks

import (
	"regexp"
	"strings"

	"github.com/tiktoken-go/tokenizer/codec"
)

// A counter counts tokens as the model does. It is safe for concurrent use.
type counter struct {
	codec *codec.Codec
	turn  chan struct{} // holds one value while somebody counts: it must not take a second core from the stamps
}

// newCounter loads the vocabulary of a model, which takes some 30 ms, or returns nil for one that it does not
// know. Names are OpenAI's, with the path that routers put before them (openai/gpt-4o), the date and the
// size that follow (gpt-4o-2024-08-06), a tag (gpt-oss:20b), and the mark of a fine-tuned one
// (ft:gpt-4o-mini:acme). Other models have other tokenizers, and servers that count.
func newCounter(model string) *counter {
	name := strings.ToLower(model)
	for _, router := range []string{"openrouter/", "azure/", "openai/"} {
		name = strings.TrimPrefix(name, router)
	}
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "ft:"), ":")
	var load func() *codec.Codec
	switch {
	case regexp.MustCompile(`^(gpt-4o|chatgpt-4o|gpt-4\.[15]|gpt-5(\.\d+)?|gpt-oss|o[134](-mini|-preview|-pro)?(-\d{4}-\d\d-\d\d)?$)(-|$)`).MatchString(name):
		load = codec.NewO200kBase
	case regexp.MustCompile(`^(gpt-4|gpt-3\.5|gpt-35|davinci-002|babbage-002)(-|$)`).MatchString(name):
		load = codec.NewCl100kBase
	default:
		return nil
	}
	return &counter{codec: load(), turn: make(chan struct{}, 1)}
}

// maxKept bounds the text of an answer that is kept to be counted: more than any model's longest answer.
const maxKept = 1 << 20

// count is how many tokens text has, or 0 if it could not be counted.
func (c *counter) count(text []byte) int {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	sum := 0
	for len(text) > 0 {
		piece := countable(text)
		n, err := c.codec.Count(string(piece))
		if err != nil {
			return 0
		}
		sum += n
		text = text[len(piece):]
	}
	return sum
}

// maxPiece is how much text the tokenizer is given at once: over blank lines its time grows with the square.
const maxPiece = 2 << 10

// countable is the start of text up to a place where no token goes across, if there is one: before a
// single blank between words.
func countable(text []byte) []byte {
	if len(text) <= maxPiece {
		return text
	}
	for i := min(maxPiece, len(text)-2); i > maxPiece/2; i-- {
		if text[i] == ' ' && isWord(text[i-1]) && isWord(text[i+1]) {
			return text[:i]
		}
	}
	return text[:maxPiece]
}

func isWord(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
