package attacks

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"
)

// decimal reads a number that is not negative, times a power of ten, without the rounding of floats: what is
// smaller than 1 then is rounded to the nearest.
func decimal(text []byte, power int) (int64, error) {
	var mantissa uint64
	digits, point := 0, false
	i := 0
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		digits++
		if mantissa < math.MaxUint64/100 {
			mantissa = mantissa*10 + uint64(c-'0')
			if point {
				power--
			}
		} else if !point { // more than 17 digits: the rest is below what is kept
			power++
		}
	}
	if digits == 0 {
		return 0, fmt.Errorf("%q is not a number of 0 or more", clipped(text))
	}
	if i < len(text) {
		exponent, err := exponentOf(text[i:])
		if err != nil {
			return 0, fmt.Errorf("%q is not a number of 0 or more", clipped(text))
		}
		power += exponent
	}
	n, ok := scaled(mantissa, power)
	if !ok {
		return 0, fmt.Errorf("%q is out of range", clipped(text))
	}
	return n, nil
}

// exponentOf reads e5, E-05 or e+5.
func exponentOf(text []byte) (int, error) {
	bad := errors.New("no exponent")
	if len(text) < 2 || text[0]|0x20 != 'e' {
		return 0, bad
	}
	sign, rest := 1, text[1:]
	switch rest[0] {
	case '-':
		sign, rest = -1, rest[1:]
	case '+':
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return 0, bad
	}
	n := 0
	for _, c := range rest {
		if c < '0' || c > '9' {
			return 0, bad
		}
		n = min(n*10+int(c-'0'), 10_000)
	}
	return sign * n, nil
}

// scaled is m·10^power, to the nearest; false: it does not fit.
func scaled(m uint64, power int) (int64, bool) {
	for ; power > 0 && m > 0; power-- {
		over, low := bits.Mul64(m, 10)
		if over > 0 {
			return 0, false
		}
		m = low
	}
	for ; power < -1 && m > 0; power++ {
		m /= 10
	}
	if power < 0 {
		m = (m + 5) / 10
	}
	return int64(m), m <= math.MaxInt64
}

// A clock reads times of day. It remembers the minute, which most lines share with the one before.
type clock struct {
	minute [len("2023-11-16 18:17")]byte
	at     int64 // of it, in seconds since 1970
}

// read reads 2023-11-16 18:17:03.9799600, with a T for the space, with any number of digits of a second, with
// Z or an offset such as +00:00 or with neither, which is the same as Z; in nanoseconds since 1970.
func (c *clock) read(text []byte) (int64, error) {
	const layout = "2023-11-16 18:17:03"
	if len(text) < len(layout) || !c.turn(text) || text[16] != ':' {
		return 0, notATime(text)
	}
	sec, ok := digits(text[17:19])
	nanos, rest, fine := fraction(text[len(layout):])
	offset, known := zone(rest)
	if !ok || sec > 59 || !fine || !known {
		return 0, notATime(text)
	}
	return (c.at+int64(sec)-int64(offset)*60)*int64(time.Second) + nanos, nil
}

func notATime(text []byte) error {
	return fmt.Errorf("%q is not a time such as 2023-11-16 18:17:03.9799600", clipped(text))
}

// turn makes c's minute that of text; false: it has none.
func (c *clock) turn(text []byte) bool {
	minute := [len(c.minute)]byte(text)
	if minute == c.minute && text[4] == '-' { // and not the zero of both
		return true
	}
	if text[4] != '-' || text[7] != '-' || text[10] != ' ' && text[10] != 'T' || text[13] != ':' {
		return false
	}
	year, ok0 := digits(text[0:4])
	month, ok1 := digits(text[5:7])
	day, ok2 := digits(text[8:10])
	hour, ok3 := digits(text[11:13])
	past, ok4 := digits(text[14:16])
	if !ok0 || !ok1 || !ok2 || !ok3 || !ok4 || year < 1970 || year > 2200 || month < 1 || month > 12 ||
		day < 1 || day > daysOf(year, month) || hour > 23 || past > 59 {
		return false
	}
	c.minute, c.at = minute, int64((daysSince1970(year, month, day)*24+hour)*60+past)*60
	return true
}

// digits reads an unsigned number.
func digits(text []byte) (n int, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, len(text) > 0
}

// fraction reads .9799600; what is below a nanosecond is cut.
func fraction(text []byte) (nanos int64, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '.' {
		return 0, text, true
	}
	i, kept := 1, 0
	for ; i < len(text) && text[i] >= '0' && text[i] <= '9'; i++ {
		if kept < 9 {
			nanos = nanos*10 + int64(text[i]-'0')
			kept++
		}
	}
	for ; kept < 9; kept++ {
		nanos *= 10
	}
	return nanos, text[i:], i > 1
}

// zone reads nothing, Z, +00:00, -0530 or +01, in minutes east.
func zone(text []byte) (minutes int, ok bool) {
	if len(text) == 0 || len(text) == 1 && text[0] == 'Z' {
		return 0, true
	}
	sign := 1
	switch text[0] {
	case '+':
	case '-':
		sign = -1
	default:
		return 0, false
	}
	rest := text[1:]
	if len(rest) == 5 && rest[2] == ':' {
		rest = []byte{rest[0], rest[1], rest[3], rest[4]}
	}
	n, ok := digits(rest)
	switch len(rest) {
	case 2:
		n *= 60
	case 4:
		n = n/100*60 + n%100
	default:
		return 0, false
	}
	return sign * n, ok
}

func daysOf(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSince1970 counts in years that begin in March, so that the leap day is the last.
func daysSince1970(year, month, day int) int {
	month -= 3
	if month < 0 {
		month += 12
		year--
	}
	return year*365 + year/4 - year/100 + year/400 + (month*153+2)/5 + day - 1 - 719468
}

// clipped keeps what is quoted of a hostile file to a line.
func clipped(text []byte) []byte {
	const most = 60
	if len(text) > most {
		return text[:most]
	}
	return text
}
