package results

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Percent writes a share of 0..1 with one decimal, "97.2 %", and with more where one would make
// it look like none or all: "99.98 %". Only 0 and 1 themselves give "0 %" and "100 %"; NaN gives "–".
func Percent(share float64) string {
	x := share * 100
	switch {
	case math.IsNaN(x):
		return "–"
	case x == 0 || x == 100:
		return strconv.FormatFloat(x, 'f', 0, 64) + " %"
	}
	decimals, scale := 1, 10.0
	for r := math.Round(x * scale); (r == 0 || r == 100*scale) && decimals < 9; r = math.Round(x * scale) {
		decimals, scale = decimals+1, scale*10
	}
	return strconv.FormatFloat(x, 'f', decimals, 64) + " %"
}

// plain makes one line of text that came from elsewhere: control characters, with which a server
// could steer the terminal, become spaces.
func plain(text string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(clean), " ")
}

// fit breaks text into at most so many lines of width characters; what is too long loses its middle, see short.
func fit(text string, width, lines int) []string {
	for room := width * lines; ; room-- { // breaking between words takes room, too
		if all := wrap(short(text, room), width); len(all) <= lines {
			return all
		}
	}
}

// short cuts text to width characters, out of the middle: an error says first what was tried and
// last what went wrong, and has addresses between.
func short(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	head := width / 3
	return string(runes[:head]) + "…" + string(runes[len(runes)-(width-head-1):])
}

// wrap breaks text between words into lines of at most width characters; longer words are
// broken. It gives at least one line.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		runes := []rune(word)
		for ; len(runes) > width; runes = runes[width:] {
			lines = append(lines, string(runes[:width]))
		}
		line = string(runes)
	}
	if line != "" || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}
