package drills

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/failwhale/failwhale/experiments"
)

//go:embed *.yaml
var files embed.FS

// A Drill is one experiment of the library.
type Drill struct {
	// Name is the experiment's name and its file's.
	Name string `json:"name"`
	// Outage is what it reproduces, with the published source.
	Outage string `json:"outage"`
	// Fault is the kind that it injects.
	Fault string `json:"fault"`
	// Refutes is the hypothesis that a flawed stack fails: the one that names the outage.
	Refutes string `json:"refutes"`
}

// All returns the library, oldest outage first; drills that reproduce none come last.
func All() []Drill {
	return []Drill{
		{
			Name:    "2024-06-04-session-store",
			Outage:  "OpenAI 2024-06-04: the database fell to its own connection pooler's surge (status.openai.com/incidents/qvp3rhvc3vwk)",
			Fault:   "dependency.latency",
			Refutes: "success >= 99% during fault",
		},
		{
			Name:    "2024-11-08-config-push",
			Outage:  "OpenAI 2024-11-08: a config change woke a bug in its consumers, everywhere at once (status.openai.com/incidents/85qjcm8c2bp2)",
			Fault:   "config.push",
			Refutes: "success >= 99% during fault",
		},
		{
			Name:    "2024-12-26-region-lost",
			Outage:  "OpenAI 2024-12-26: a data centre lost power and took the databases of all with it (status.openai.com/incidents/6bwlxnvdncnm)",
			Fault:   "region.kill",
			Refutes: "success >= 96% during fault",
		},
		{
			Name:    "straggler-gpu",
			Outage:  "none: a thermally throttled GPU under a router that counts requests, not work",
			Fault:   "gpu.throttle",
			Refutes: `p99(ttft{region="east"}) < 1s during fault`,
		},
	}
}

// Text returns a drill's experiment file. An unknown name's error lists those that there are.
func Text(name string) ([]byte, error) {
	text, err := files.ReadFile(name + ".yaml")
	if err == nil {
		return text, nil
	}
	var names []string
	for _, d := range All() {
		names = append(names, d.Name)
	}
	slices.Sort(names)
	return nil, fmt.Errorf("no drill %q; there are: %s%s", name, strings.Join(names, ", "), experiments.DidYouMean(name, names))
}
