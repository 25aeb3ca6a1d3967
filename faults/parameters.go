package faults

import "fmt"

// missing reports a required parameter that is empty.
func missing(name, value string) []error {
	if value != "" {
		return nil
	}
	return []error{fmt.Errorf("%s is missing: write %s: NAME, a role of the stack", name, name)}
}

// grown is how far a counter came since before; one that was started again counts from 0.
func grown(before, now int64) int64 {
	if now < before {
		return now
	}
	return now - before
}
