package experiments_test

import (
	"strings"
	"testing"
)

// A config store's file that is not there is a warning where a path is to be set in it: it may be there for the run.
func TestLoadWarnsOfAMissingConfigFile(t *testing.T) {
	const text = `experiment: x
stack:
  endpoints: {main: {url: "http://h"}}
  stores: {conf: {file: /no/such.json}}
attack: {profile: {poisson: {rate: 100/s}}}
phases: {baseline: 15s, fault: 20s}
faults:
  - config.push: {store: conf, PUSH}
hypotheses: [success >= 99% during fault]
`
	for push, want := range map[string]string{
		"set: {a: 1}":     "x.yaml:8:18: faults[0].config.push: could not be injected as things are here: store conf: there is no file /no/such.json in which a path could be set: mend its file in stores, or use body for a push of a whole document",
		`body: '{"a":1}'`: "",
	} {
		var got []string
		for _, w := range load(t, strings.Replace(text, "PUSH", push, 1)).Warnings {
			got = append(got, w.String())
		}
		if all := strings.Join(got, "\n"); all != want {
			t.Errorf("%s: warnings %q; want %q", push, all, want)
		}
	}
}
