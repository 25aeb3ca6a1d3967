package drills_test

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/experiments/drills"
)

// The list and the files are one library.
func TestAllListsTheFiles(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, d := range drills.All() {
		listed = append(listed, d.Name+".yaml")
	}
	slices.Sort(listed)
	if !slices.Equal(files, listed) {
		t.Errorf("All() lists %q; want the files %q", listed, files)
	}
}

// What the list says of a drill is what its file says.
func TestDrillsAreWhatTheListSays(t *testing.T) {
	date := regexp.MustCompile(`\d{4}-\d\d-\d\d`)
	for _, d := range drills.All() {
		text, err := drills.Text(d.Name)
		if err != nil {
			t.Errorf("Text(%q) = %v", d.Name, err)
			continue
		}
		plan, err := experiments.Load(d.Name, text, experiments.LoadOptions{})
		if err != nil {
			t.Errorf("Load of drill %s = %v", d.Name, err)
			continue
		}
		if plan.Experiment != d.Name {
			t.Errorf("drill %s is experiment %q; want its name", d.Name, plan.Experiment)
		}
		if len(plan.Faults) == 0 || plan.Faults[0].Kind != d.Fault {
			t.Errorf("drill %s injects %+v; want %s first", d.Name, plan.Faults, d.Fault)
		}
		if !slices.ContainsFunc(plan.Hypotheses, func(c experiments.Claim) bool { return c.Text == d.Refutes }) {
			t.Errorf("drill %s has no hypothesis %q", d.Name, d.Refutes)
		}
		when := date.FindString(d.Outage)
		if !strings.HasPrefix(d.Name, when) || (when == "") != strings.HasPrefix(d.Outage, "none: ") {
			t.Errorf("drill %s reproduces %q; want the outage's date in its name, or \"none: \" and why", d.Name, d.Outage)
		}
	}
}

// A name that is almost right is told the right one.
func TestTextSuggestsADrill(t *testing.T) {
	_, err := drills.Text("2024-12-26-region-los")
	want := `no drill "2024-12-26-region-los"; there are: 2024-06-04-session-store, 2024-11-08-config-push, ` +
		"2024-12-26-region-lost, straggler-gpu; did you mean 2024-12-26-region-lost?"
	if err == nil || err.Error() != want {
		t.Errorf("Text of a misspelt name = %v; want %s", err, want)
	}
}

// Other programs read the list.
func TestDrillJSON(t *testing.T) {
	got, err := json.Marshal(drills.Drill{Name: "a", Outage: "b", Fault: "c", Refutes: "d"})
	if want := `{"name":"a","outage":"b","fault":"c","refutes":"d"}`; err != nil || string(got) != want {
		t.Errorf("json.Marshal(Drill) = %s, %v; want %s", got, err, want)
	}
}
