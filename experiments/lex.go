package experiments

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A ClaimError says what is wrong with a claim, and where in its text.
type ClaimError struct {
	column int
	text   string
}

// Error says what is wrong and what to write instead.
func (e *ClaimError) Error() string { return e.text }

// Column is the character that the error is about, counted from 1.
func (e *ClaimError) Column() int { return e.column }

// A tokenKind is a kind of word of the grammar.
type tokenKind uint8

const (
	tokenEnd      tokenKind = iota
	tokenName               // ttft, p99.9, during
	tokenNumber             // 99.5
	tokenQuantity           // 300ms, 1m30s: a number with letters after it
	tokenString             // "paid", unquoted in value
	tokenOp                 // >= > <= < == !=
	tokenPunct              // ( ) { } , % / =
	tokenBad                // value says what is wrong with it
)

// A token is one word of a claim.
type token struct {
	kind   tokenKind
	text   string // as written
	value  string // of a string, without quotes; of a bad one, the complaint
	column int
}

// String names the token in a message.
func (t token) String() string {
	if t.kind == tokenEnd {
		return "the end"
	}
	return strconv.Quote(clip(t.text))
}

// A lexer cuts a claim into tokens. Its zero value reads nothing.
type lexer struct {
	rest   string
	column int
}

// lex cuts all of text. The last token is tokenEnd or tokenBad.
func lex(text string) []token {
	l := lexer{rest: text, column: 1}
	var all []token
	for {
		t := l.next()
		all = append(all, t)
		if t.kind == tokenEnd || t.kind == tokenBad {
			return all
		}
	}
}

// take makes a token of the next n bytes.
func (l *lexer) take(kind tokenKind, n int) token {
	t := token{kind: kind, text: l.rest[:n], column: l.column}
	l.rest = l.rest[n:]
	l.column += utf8.RuneCountInString(t.text)
	return t
}

func (l *lexer) bad(n int, format string, args ...any) token {
	t := l.take(tokenBad, n)
	t.value = fmt.Sprintf(format, args...)
	return t
}

func (l *lexer) next() token {
	trimmed := strings.TrimLeft(l.rest, " \t\r\n")
	l.column += len(l.rest) - len(trimmed)
	l.rest = trimmed
	if l.rest == "" {
		return token{kind: tokenEnd, column: l.column}
	}
	for _, op := range []string{">=", "<=", "==", "!=", ">", "<"} {
		if strings.HasPrefix(l.rest, op) {
			return l.take(tokenOp, len(op))
		}
	}
	switch c := l.rest[0]; {
	case isLetter(c):
		return l.take(tokenName, run(l.rest, func(c byte) bool { return isLetter(c) || isDigit(c) || c == '.' }))
	case isDigit(c) || c == '.':
		return l.number()
	case c == '"':
		return l.quoted()
	case strings.IndexByte("(){},%/=", c) >= 0:
		return l.take(tokenPunct, 1)
	default:
		return l.stray()
	}
}

// number reads 99.5, or 300ms as one token.
func (l *lexer) number() token {
	n := run(l.rest, func(c byte) bool { return isDigit(c) || c == '.' })
	// µ and μ are two bytes each; no other byte over 0x7f belongs here.
	whole := run(l.rest, func(c byte) bool {
		return isDigit(c) || c == '.' || isLetter(c) || c == 0xc2 || c == 0xb5 || c == 0xce || c == 0xbc
	})
	if whole > n {
		return l.take(tokenQuantity, whole)
	}
	return l.take(tokenNumber, n)
}

func (l *lexer) quoted() token {
	literal, err := strconv.QuotedPrefix(l.rest)
	if err != nil {
		return l.bad(1, `the quote that opens here is never closed: write "…"`)
	}
	value, err := strconv.Unquote(literal)
	if err != nil {
		return l.bad(1, `%s is not a quoted text: write "…"`, clip(literal))
	}
	t := l.take(tokenString, len(literal))
	t.value = value
	return t
}

// stray names what to write instead of a character that the grammar does not have.
func (l *lexer) stray() token {
	for _, alike := range []struct{ wrong, right string }{
		{"≥", "write >="},
		{"≤", "write <="},
		{"≠", "write !="},
		{"'", `write label values in double quotes: {tier="paid"}`},
		{"`", `write label values in double quotes: {tier="paid"}`},
		{"“", `write straight double quotes: {tier="paid"}`},
		{"-", "nothing that is measured is negative"},
		{"!", "write !="},
		{"&", "write two claims"},
		{"|", "write two claims"},
	} {
		if strings.HasPrefix(l.rest, alike.wrong) {
			return l.bad(len(alike.wrong), "%s has no place here: %s", alike.wrong, alike.right)
		}
	}
	_, n := utf8.DecodeRuneInString(l.rest)
	return l.bad(n, "%q has no place here", l.rest[:n])
}

// run counts the leading bytes of s for which in holds.
func run(s string, in func(byte) bool) int {
	n := 0
	for n < len(s) && in(s[n]) {
		n++
	}
	return n
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
