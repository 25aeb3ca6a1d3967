package attacks

import "bytes"

// An unescaper is a watcher of a text in which JSON has escaped characters, at whatever depth: the arguments of a
// call are JSON, and a string in them may be JSON again. It takes any number of backslashes for one, so that it finds
// at times what would not decode to a nonce in that way: no text has twenty-four characters of one by chance.
type unescaper struct {
	watcher
	escaped bool // the last character was a backslash
	left    int  // hex digits of a \u that are still to come
	code    rune // those that came
}

// find takes the next piece and calls found with the digits of every nonce that ends in it.
func (u *unescaper) find(piece []byte, prefix string, found func(digits []byte)) {
	for _, c := range piece {
		if u.left > 0 {
			if v, ok := hexValue(c); ok {
				u.code = u.code<<4 | v
				if u.left--; u.left == 0 {
					u.put(u.code, prefix, found)
				}
				continue
			}
			u.left = 0 // no escape after all
		}
		switch {
		case c == '\\':
			u.escaped = true
		case u.escaped && c == 'u':
			u.escaped, u.left, u.code = false, 4, 0
		case u.escaped && bytes.IndexByte([]byte("bfnrt"), c) >= 0:
			u.put(' ', prefix, found)
		default:
			u.put(rune(c), prefix, found)
		}
	}
}

// put takes a character as it was before it was escaped. It may be the backslash of another escape.
func (u *unescaper) put(c rune, prefix string, found func(digits []byte)) {
	if u.escaped = c == '\\'; u.escaped {
		return
	}
	u.step(byte(min(c, 0x80)), prefix, found)
}

// hexValue is that of a digit, in either case.
func hexValue(c byte) (v rune, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0'), true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return rune(c|0x20-'a') + 10, true
	}
	return 0, false
}

// unescapers are those of an answer's texts.
type unescapers struct{ text, reasoning, tool unescaper }

// unescape begins to look for escaped nonces, at the first backslash of any of an answer's texts: what came before had
// none. Most answers have none at all, and events that are read without a parser have none either.
func (in *intake) unescape() {
	in.escaped = &unescapers{
		text: unescaper{watcher: in.inText}, reasoning: unescaper{watcher: in.inReasoning}, tool: unescaper{watcher: in.inTool},
	}
}

// mayEscape reports whether a piece of text has a backslash.
func mayEscape(text []byte) bool { return len(text) > 0 && bytes.IndexByte(text, '\\') >= 0 }
