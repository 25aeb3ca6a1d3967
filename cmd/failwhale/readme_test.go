package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/experiments/drills"
	"github.com/failwhale/failwhale/faults"
)

var update = flag.Bool("update", false, "write the generated tables into the README")

// TestReadmeTables keeps the README's tables of faults and drills as the code has them:
// go test ./cmd/failwhale -run Readme -update
func TestReadmeTables(t *testing.T) {
	const path = "../../README.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for name, table := range map[string]string{"faults": faultsTable(t), "drills": drillsTable(), "presets": presetsTable()} {
		before, rest, ok1 := strings.Cut(want, "<!-- "+name+" -->\n")
		_, after, ok2 := strings.Cut(rest, "<!-- end -->")
		if !ok1 || !ok2 {
			t.Fatalf("the README has no <!-- %s --> … <!-- end -->", name)
		}
		want = before + "<!-- " + name + " -->\n" + table + "<!-- end -->" + after
	}
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("the README's tables are not what the code says: run go test ./cmd/failwhale -run Readme -update")
	}
}

// faultsTable has a row for each parameter, in the words of its field's comment.
func faultsTable(t *testing.T) string {
	t.Helper()
	docs := fieldDocs(t)
	var b strings.Builder
	b.WriteString("| fault | parameter | what it means |\n|---|---|---|\n")
	for _, k := range faults.Kinds() {
		fmt.Fprintf(&b, "| `%s` | | **%s** |\n", k.Name, k.Doc)
		of := reflect.TypeOf(k.New()).Elem().Name()
		for _, name := range k.Parameters() {
			doc := docs[of+"."+name]
			if doc == "" {
				t.Errorf("parameter %s of %s has no comment", name, k.Name)
			}
			fmt.Fprintf(&b, "| | `%s` | %s |\n", name, strings.ReplaceAll(doc, "|", `\|`))
		}
	}
	return b.String()
}

// fieldDocs reads the comments of the structs' fields in package faults, by "Struct.parameter".
func fieldDocs(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../faults/*.go")
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{}
	for _, file := range files {
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(syntax, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			body, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range body.Fields.List {
				if f.Tag == nil {
					continue
				}
				name := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml")
				doc := strings.Join(strings.Fields(f.Doc.Text()), " ")
				if len(f.Names) == 1 { // a comment begins with the field's name; users know the parameter's
					doc = strings.TrimPrefix(strings.TrimPrefix(doc, f.Names[0].Name+" "), "is ")
				}
				docs[spec.Name.Name+"."+name] = doc
			}
			return true
		})
	}
	return docs
}

func presetsTable() string {
	var b strings.Builder
	b.WriteString("| preset | what it is like |\n|---|---|\n")
	for _, p := range attacks.Presets() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", p.Name, p.Doc)
	}
	return b.String()
}

func drillsTable() string {
	var b strings.Builder
	b.WriteString("| drill | fault | reproduces | a flawed stack is refuted by |\n|---|---|---|---|\n")
	for _, d := range drills.All() {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | `%s` |\n", d.Name, d.Fault, d.Outage, d.Refutes)
	}
	return b.String()
}

// TestReadmeExperiment keeps the README's example a valid experiment without warnings.
func TestReadmeExperiment(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "## The experiment file")
	_, after, _ = strings.Cut(after, "```yaml\n")
	example, _, _ := strings.Cut(after, "```")
	plan, err := experiments.Load("README.md", []byte(example), experiments.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Warnings) > 0 || len(plan.Hypotheses) == 0 {
		t.Errorf("Load of the README's example: %d hypotheses, warnings %v; want some, and none", len(plan.Hypotheses), plan.Warnings)
	}
}

// TestReadmeUsers keeps the README's example of users a valid attack.
func TestReadmeUsers(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "### Users")
	_, after, _ = strings.Cut(after, "```yaml\nattack:\n")
	example, _, _ := strings.Cut(after, "```")
	plan, err := experiments.Load("README.md", []byte(`
experiment: users
stack: {endpoints: {gateway: {url: "http://a.test"}, second-provider: {url: "http://b.test"}}}
phases: {baseline: 5m, fault: 5m, recovery: 1m}
hypotheses: [success >= 99% during fault]
attack:
  endpoint: gateway
`+example), experiments.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Warnings) > 0 || len(plan.Attack.Workload) != 5 || len(plan.Attack.Clients) != 3 {
		t.Errorf("Load of the README's users: %d classes, %d clients, warnings %v; want 5, 3 and none",
			len(plan.Attack.Workload), len(plan.Attack.Clients), plan.Warnings)
	}
}
