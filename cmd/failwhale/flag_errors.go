package main

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// badValue is how package flag says that a value is none of its flag's.
var badValue = regexp.MustCompile(`(?s)^invalid (?:boolean )?value ("(?:.*)") for (?:flag )?-(\S+): `)

// flagError says in our own words what is wrong with a value, or what a flag of another tool is called here. Nil: it is
// neither.
func flagError(c *cli.Context, err error) error {
	if name, unknown := strings.CutPrefix(err.Error(), undefinedFlag); unknown {
		if ours := elsewhere(name); ours != "" && c.Command.Name == "attack" {
			return usage("%w; here that is %s", err, ours)
		}
		return nil
	}
	m := badValue.FindStringSubmatch(err.Error())
	if m == nil {
		return nil
	}
	text, quoted := unquote(m[1])
	i := slices.IndexFunc(c.Command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), m[2]) })
	if !quoted || i < 0 {
		return nil
	}
	if wrong := wrongValue(c.Command.Flags[i], text); wrong != "" {
		return usage("--%s %s", m[2], wrong)
	}
	return nil
}

func unquote(text string) (string, bool) {
	out, err := strconv.Unquote(text)
	return out, err == nil
}

// wrongValue says why text is no value of a flag, and what would be one.
func wrongValue(f cli.Flag, text string) string {
	x, err := strconv.ParseFloat(text, 64)
	number := err == nil && !math.IsInf(x, 0) && !math.IsNaN(x)
	switch f.(type) {
	case *cli.DurationFlag:
		if number {
			return fmt.Sprintf("%s has no unit: write %[1]ss, or %[1]sms", text)
		}
		return fmt.Sprintf("%q is no time: write 30s, or a number with ms, s, m or h", text)
	case *cli.IntFlag, *cli.Int64Flag, *cli.UintFlag, *cli.Uint64Flag:
		return wrongCount(text, x, number)
	case *cli.Float64Flag:
		return fmt.Sprintf("%q is no number: write 1.5", text)
	case *cli.BoolFlag:
		return fmt.Sprintf("is a switch and takes no %q: write it alone, or leave it out", text)
	}
	return ""
}

// wrongCount is wrongValue of a whole number.
func wrongCount(text string, x float64, number bool) string {
	switch {
	case !number:
		return fmt.Sprintf("%q is no whole number: write 2", text)
	case x < 0:
		return text + " is less than 0: write 2"
	case x > math.MaxInt64:
		return text + " is too large: write 2"
	default:
		return fmt.Sprintf("%s is no whole number: write %.0f", text, max(1, math.Round(x)))
	}
}

// elsewhere is how attack calls a flag of hey, ab, wrk, k6, oha, vLLM's benchmark or GuideLLM.
func elsewhere(name string) string {
	switch name {
	case "rps", "qps", "request-rate", "q":
		return "--rate N/s"
	case "vus", "u", "max-concurrency", "connections", "users", "c":
		return "--concurrency N"
	case "num-prompts", "num-requests", "max-prompts", "n":
		return "--requests N"
	case "z", "d", "max-seconds":
		return "--duration 30s"
	}
	return ""
}
