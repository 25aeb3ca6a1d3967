package attacks

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A Rate counts requests per second. Its zero value means not set.
type Rate float64

// maxRate is where one process on one machine is no longer an honest generator.
const maxRate Rate = 1e6

// UnmarshalText reads "100/s", "0.5/s", "6000/m" or "20/h". "0/s" is a pause, where a rate changes.
func (r *Rate) UnmarshalText(text []byte) error {
	number, unit, found := strings.Cut(strings.TrimSpace(string(text)), "/")
	seconds, known := map[string]float64{"s": 1, "m": 60, "min": 60, "h": 3600}[strings.TrimSpace(unit)]
	if !found || !known {
		return fmt.Errorf("rate %q has no unit: write %s/s, or a number with /s, /m or /h", text, orExample(leading.FindString(number), "100"))
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil {
		return fmt.Errorf("rate %q has no number before the slash: write 100/s", text)
	}
	if v := Rate(n / seconds); v >= 0 && v <= maxRate {
		*r = v
		return nil
	}
	return fmt.Errorf("rate %q is not between 0 and %g/s: write 100/s", text, float64(maxRate))
}

// leading is the number that a text begins with, as 10 in 10rps.
var leading = regexp.MustCompile(`^\s*[0-9]+(\.[0-9]+)?`)

// MarshalText writes what UnmarshalText reads.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String gives the rate per second: "100/s".
func (r Rate) String() string { return strconv.FormatFloat(float64(r), 'g', -1, 64) + "/s" }

// orExample returns number if it is one, so that an error can show the mended text.
func orExample(number, example string) string {
	number = strings.TrimSpace(number)
	if _, err := strconv.ParseFloat(number, 64); err != nil {
		return example
	}
	return number
}

// check says what is wrong with a rate that must be more than 0, or returns nil.
func (r Rate) check() []error {
	switch {
	case r == 0:
		return []error{errors.New("rate is 0: write 100/s")}
	case !(r > 0 && r <= maxRate):
		return []error{fmt.Errorf("rate %s is not between 0 and %g/s: write 100/s", r, float64(maxRate))}
	}
	return nil
}

// bound says what is wrong with a rate that may be 0 for a time; name is its key.
func (r Rate) bound(name string) error {
	if r >= 0 && r <= maxRate {
		return nil
	}
	return fmt.Errorf("%s %s is not between 0 and %g/s: write 100/s", name, r, float64(maxRate))
}
