package attacks

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"strconv"
)

// A nonce marks one conversation, or one user, so that their text can be known again in another's
// answer: fw-, eight hex digits of the run, a dash, twelve hex digits of the conversation or of the
// user. The length is fixed, so that one token of the reference stack holds it.
//
// The twelve digits are the index of the conversation's first request, or the user's number with a mark, encrypted.
// A model that garbles a nonce which it repeats then gives a number that was almost surely never handed
// out, instead of its neighbour's: a leak is never claimed on a slip of the pen. So a nonce in capitals, or with
// other characters between its own, is none.
type nonces struct {
	prefix string // fw-xxxxxxxx-
	key    uint64
}

const (
	nonceDigits = 12
	halfBits    = nonceDigits * 4 / 2
	halfMask    = 1<<halfBits - 1
	rounds      = 4
)

// newNonces takes eight hex digits as they are; of any other run id it takes a hash.
func newNonces(run string) nonces {
	if n, err := strconv.ParseUint(run, 16, 32); err != nil || fmt.Sprintf("%08x", n) != run {
		h := fnv.New32a()
		_, _ = h.Write([]byte(run)) // a hash never fails to write
		run = fmt.Sprintf("%08x", h.Sum32())
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(run))
	return nonces{prefix: "fw-" + run + "-", key: h.Sum64()}
}

// userMark is what the numbers of users have and no request's index: there are no 2^47 requests.
const userMark = 1 << (nonceDigits*4 - 1)

// ofUser gives the nonce of a user.
func (n nonces) ofUser(user int) string { return n.of(userMark | uint64(user)) }

// of gives the nonce of the conversation that begins with a request.
func (n nonces) of(index uint64) string {
	left, right := index>>halfBits&halfMask, index&halfMask
	for i := range uint64(rounds) { // a Feistel network: a bijection whatever the mixer does
		left, right = right, left^mix(n.key, i<<halfBits|right)&halfMask
	}
	return fmt.Sprintf("%s%012x", n.prefix, left<<halfBits|right)
}

// index gives the request, or the user with userMark, that a nonce's twelve digits would belong to.
func (n nonces) index(digits []byte) uint64 {
	v, err := strconv.ParseUint(string(digits), 16, 64)
	if err != nil {
		return ^uint64(0)
	}
	left, right := v>>halfBits&halfMask, v&halfMask
	for i := range uint64(rounds) {
		left, right = right^mix(n.key, (rounds-1-i)<<halfBits|left)&halfMask, left
	}
	return left<<halfBits | right
}

// mix is splitmix64's finalizer over a and b: independent values for neighbouring b.
func mix(a, b uint64) uint64 {
	x := a + (b+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// A guard knows which of the run's nonces an answer may carry, and remembers the first that it may not.
type guard struct {
	nonces nonces
	users  *users
	issued func() uint64 // how many requests have an index
	turn   *turn         // whose answer it is
	leak   string
	echoed bool // the answer carries a nonce of its own
}

// found judges a nonce of this run in the answer: the conversation's and its user's are welcome, a number that was
// never handed out is a model's slip, any other was another user's, or of another conversation of this one's: then
// a user sees their own text, but by the same mix-up that shows them another's.
func (g *guard) found(digits []byte) {
	whole := g.nonces.prefix + string(digits)
	number := g.nonces.index(digits)
	if user := number &^ userMark; number&userMark != 0 {
		if g.turn.user != 0 && user == uint64(g.turn.user) {
			g.echoed = true
		} else if last, ok := g.users.lastOf(user); ok {
			g.leaked("%s, the nonce of user %d, whose last request was %d", whole, user, last)
		}
		return
	}
	switch {
	case whole == g.turn.nonce:
		g.echoed = true
	case number >= g.issued():
	case g.turn.user != 0 && g.users.who(number) == g.turn.user:
		g.leaked("%s, the nonce of request %d, another conversation of the same user (%d)", whole, number, g.turn.user)
	default:
		g.leaked("%s, the nonce of request %d", whole, number)
	}
}

// leaked keeps the first leak.
func (g *guard) leaked(format string, args ...any) {
	if g.leak == "" {
		g.leak = fmt.Sprintf("the answer to request %d carries ", g.turn.index) + fmt.Sprintf(format, args...)
	}
}

// scan looks through texts that are each whole.
func (g *guard) scan(texts ...[]byte) {
	for _, text := range texts {
		var w watcher
		w.find(text, g.nonces.prefix, g.found)
		if bytes.IndexByte(text, '\\') >= 0 {
			var u unescaper
			u.find(text, g.nonces.prefix, g.found)
		}
	}
}

// A watcher looks for the run's nonces in a text that comes in pieces. Its zero
// value is at the start of a text.
type watcher struct {
	matched int // bytes of the prefix
	digits  [nonceDigits]byte
	have    int // digits after a whole prefix
}

// find takes the next piece and calls found with the digits of every nonce that ends in it.
func (w *watcher) find(piece []byte, prefix string, found func(digits []byte)) {
	for i := 0; i < len(piece); i++ {
		if w.matched == 0 { // the usual case by far
			for i < len(piece) && piece[i] != prefix[0] {
				i++
			}
			if i == len(piece) {
				return
			}
		}
		w.step(piece[i], prefix, found)
	}
}

func (w *watcher) step(c byte, prefix string, found func(digits []byte)) {
	switch {
	case w.matched < len(prefix):
		w.matched = advance(prefix, w.matched, c)
		w.have = 0
	case isHex(c):
		w.digits[w.have] = c
		if w.have++; w.have == nonceDigits {
			found(w.digits[:])
			*w = watcher{}
		}
	default: // no nonce, but the digits may hold the start of one: an f
		digits, n := w.digits, w.have
		*w = watcher{}
		for _, d := range digits[:n] {
			w.step(d, prefix, found)
		}
		w.step(c, prefix, found)
	}
}

// advance is the next state of the search for prefix: the longest start of it that
// ends in c, when matched bytes of it came before. The prefix is short; no table.
func advance(prefix string, matched int, c byte) int {
	for n := matched; n >= 0; n-- {
		if prefix[n] == c && prefix[:n] == prefix[matched-n:matched] {
			return n + 1
		}
	}
	return 0
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }
