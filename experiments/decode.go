package experiments

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Bounds on what one file may ask of us. A plan of a thousand clients has some ten thousand
// values; what needs more is a mistake or a bomb made of aliases.
const (
	maxText   = 1 << 20
	maxValues = 100_000
	maxDepth  = 100
)

// A decoder walks yaml.Nodes into Go values by their `yaml` tags and collects every mistake. It
// is generic: what it knows of single types it is told in shapes and custom.
//
// Keys that are not in the file keep the value that the target already has, so defaults are set
// before decoding. A value's optional `Validate() []error` is called once it has been decoded
// without a mistake; an error whose text starts with one of the value's keys is put at that key.
// Merge keys (<<) are refused; anchors and aliases are fine.
type decoder struct {
	file     string
	problems Problems
	// shapes say of struct types what their tags cannot.
	shapes map[reflect.Type]shape
	// custom decodes the types whose form in YAML is not their form in Go.
	custom map[reflect.Type]func(n *yaml.Node, path string, v reflect.Value)
	// at is where each decoded path stands, for checks across fields.
	at map[string]*yaml.Node

	values  int                 // visited so far
	active  map[*yaml.Node]bool // containers being walked: meeting one again is a cycle
	stopped bool                // a bound was passed: say so once and stop
	skipped bool                // a check had nothing sound to look at: what it would say is hidden
}

// A shape says which keys a struct must have.
type shape struct {
	required []string
	oneOf    []string // exactly one of these
}

// A validator has something to say about its own value: pure, and without changing it.
type validator interface{ Validate() []error }

// A columned error knows which character of the text it is about, counted from 1.
type columned interface {
	error
	Column() int
}

// problem notes a mistake at n.
func (d *decoder) problem(n *yaml.Node, path, format string, args ...any) {
	p := Problem{File: d.file, Line: 1, Path: path, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
	}
	d.problems = append(d.problems, p)
}

// syntaxLine finds the line in an error of the YAML parser.
var syntaxLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// parse turns a file's text into its one document's root. A syntax error is one problem.
func (d *decoder) parse(text []byte) *yaml.Node {
	if len(text) > maxText {
		d.problem(nil, "", "is %d bytes; an experiment file has at most %d", len(text), maxText)
		return nil
	}
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	switch err := documents.Decode(&first); {
	case errors.Is(err, io.EOF), err == nil && emptyDocument(&first):
		d.problem(nil, "", "is empty: write an experiment (see `failwhale drills NAME` for one to start from)")
		return nil
	case err != nil:
		d.syntax(text, err)
		return nil
	}
	switch err := documents.Decode(&second); {
	case errors.Is(err, io.EOF):
		return first.Content[0]
	case err != nil:
		d.syntax(text, err)
	default:
		d.problem(&second, "", "holds a second document: write one experiment a file, without ---")
	}
	return nil
}

// emptyDocument: nothing but comments, or an explicit null.
func emptyDocument(n *yaml.Node) bool {
	return len(n.Content) == 0 || n.Content[0].Kind == yaml.ScalarNode && n.Content[0].ShortTag() == "!!null"
}

// What the YAML parser says of itself, as opposed to its scanner, whose lines are right: its
// lines count from 0. It gives none where that is 0, and none for an anchor.
var (
	zeroBased = regexp.MustCompile(`^did not find expected (?:node content|key|<|'-' indicator|',' or)|^found undefined tag handle`)
	tabbed    = regexp.MustCompile(`^ *\t`)
	// What looks like a reference and is none is in quotes or a comment.
	quotedOrComment = regexp.MustCompile(`(?m)(?:^|[\s,:{\[])(?:"(?:[^"\\]|\\.)*"|'[^']*'|#.*)`)
	plainReference  = regexp.MustCompile(`\$\{\w*\}`)
	unknownAnchor   = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

func (d *decoder) syntax(text []byte, err error) {
	m := syntaxLine.FindStringSubmatch(err.Error())
	message := strings.TrimPrefix(err.Error(), m[0])
	line := 1
	if n, convErr := strconv.Atoi(m[1]); convErr == nil {
		line = n
		if zeroBased.MatchString(message) {
			line++
		}
	}
	if a := unknownAnchor.FindStringSubmatch(message); a != nil {
		use := regexp.MustCompile(`(?m)^[^#\n]*\*` + regexp.QuoteMeta(a[1]))
		if at := use.FindIndex(text); at != nil {
			line = 1 + bytes.Count(text[:at[0]], []byte("\n"))
		}
		message = fmt.Sprintf("alias *%s has no anchor &%s before it", a[1], a[1])
	}
	if rows := bytes.Split(text, []byte("\n")); line <= len(rows) && tabbed.Match(rows[line-1]) {
		message += "; its line is indented with a tab, and YAML takes spaces alone"
	}
	if strings.HasPrefix(message, "did not find expected ',' or") { // told of where the braces open
		if at, bare := bareReference(text, line); bare != "" {
			line = at
			message += fmt.Sprintf(`; a value with %s stands within braces in quotes: write "%[1]s"`, bare)
		}
	}
	d.problems = append(d.problems, Problem{File: d.file, Line: line, Text: "is not YAML: " + message})
}

// bareReference finds the first ${NAME} without quotes within the braces or brackets that open in a line, counted
// from 1, and its own line; "": there is none. Outside of them it needs no quotes. What stands beside it may be a secret.
func bareReference(text []byte, line int) (at int, reference string) {
	rows := bytes.SplitAfter(text, []byte("\n"))
	if line > len(rows) {
		return 0, ""
	}
	rest := quotedOrComment.ReplaceAllFunc(bytes.Join(rows[line-1:], nil), func(hidden []byte) []byte {
		return append(hidden[:1:1], bytes.Map(func(r rune) rune { // the first may be a brace
			if r == '\n' {
				return r
			}
			return ' '
		}, hidden[1:])...)
	})
	m := plainReference.FindIndex(rest)
	if m == nil {
		return 0, ""
	}
	before := string(rest[:m[0]])
	count := func(of string) int { return strings.Count(before, of) }
	if count("{")+count("[") <= count("}")+count("]") {
		return 0, ""
	}
	return line + count("\n"), string(rest[m[0]:m[1]])
}

// enter counts one value, follows aliases and marks a container as being walked. It returns nil
// where the walk must not go on; else leave must be called.
func (d *decoder) enter(n *yaml.Node, path string) *yaml.Node {
	if d.stopped {
		return nil
	}
	d.values++
	switch {
	case d.values > maxValues:
		d.stopped = true
		d.problem(n, path, "the file comes to more than %d values: its aliases multiply", maxValues)
		return nil
	case len(d.active) > maxDepth:
		d.stopped = true
		d.problem(n, path, "is nested deeper than %d levels", maxDepth)
		return nil
	}
	from := n
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if d.active[n] {
		d.problem(from, path, "alias *%s is a part of itself", from.Value)
		return nil
	}
	d.active[n] = true
	if _, known := d.at[path]; !known {
		d.at[path] = n
	}
	return n
}

func (d *decoder) leave(n *yaml.Node) { delete(d.active, n) }

// value decodes n into v, which must be settable.
func (d *decoder) value(n *yaml.Node, path string, v reflect.Value) {
	if n = d.enter(n, path); n == nil {
		return
	}
	defer d.leave(n)
	before := len(d.problems)
	d.entered(n, path, v)
	if len(d.problems) == before && !d.stopped {
		d.validate(n, path, v)
	}
}

// durationType is special: YAML has no durations, and an int of nanoseconds is never meant.
var durationType = reflect.TypeFor[time.Duration]() //nolint:gochecknoglobals // a type, never written

// entered decodes by v's type: custom ones, pointers, scalars that know how to read themselves,
// then kinds.
func (d *decoder) entered(n *yaml.Node, path string, v reflect.Value) {
	if fn := d.custom[v.Type()]; fn != nil {
		fn(n, path, v)
		return
	}
	if v.Kind() == reflect.Interface {
		if x, ok := d.anything(n, path); ok && x != nil {
			v.Set(reflect.ValueOf(x))
		}
		return
	}
	if isNull(n) {
		d.problem(n, path, "has no value: write %s, or delete the key", example(v.Type()))
		return
	}
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		d.entered(n, path, p.Elem())
		v.Set(p)
		return
	}
	if v.Type() == durationType {
		d.duration(n, path, v)
		return
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok && (v.Kind() != reflect.Struct && v.Kind() != reflect.Slice || n.Kind == yaml.ScalarNode || v.Kind() == reflect.Struct && len(keys(v.Type())) == 0) {
		d.text(n, path, u)
		return
	} else if ok && v.Kind() == reflect.Slice && n.Kind == yaml.MappingNode { // a list of one
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		before := len(d.problems)
		if d.entered(n, path, v.Index(0)); len(d.problems) == before {
			d.validate(n, path, v.Index(0))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, path, v)
	case reflect.Slice:
		d.list(n, path, v)
	case reflect.Map:
		d.mapping(n, path, v)
	default:
		d.scalar(n, path, v)
	}
}

// validate calls the value's own Validate and puts each error where it belongs.
func (d *decoder) validate(n *yaml.Node, path string, v reflect.Value) {
	if v.Kind() == reflect.Pointer { // its Validate is in its pointer's method set too
		v = v.Elem()
	}
	if !v.IsValid() || !v.CanAddr() {
		return
	}
	own, ok := reflect.TypeAssert[validator](v.Addr())
	if !ok {
		return
	}
	for _, err := range own.Validate() {
		d.place(n, path, v.Type(), err)
	}
}

// place notes err about a value of type t at n, or at the key that err's text starts with.
func (d *decoder) place(n *yaml.Node, path string, t reflect.Type, err error) {
	text := WithSuggestion(err.Error())
	key, _, _ := strings.Cut(text, " ")
	key = strings.TrimSuffix(key, ":")
	if t.Kind() == reflect.Struct && fieldOf(t, key) != nil {
		if rest, ok := strings.CutPrefix(text, key+" is missing"); ok {
			text = "is missing" + rest
		} else if rest, ok := strings.CutPrefix(text, key+": "); ok {
			text = rest
		}
		at := n
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Kind == yaml.MappingNode && n.Content[i].Value == key {
				at = n.Content[i+1]
			}
		}
		d.problem(at, join(path, key), "%s", text)
		return
	}
	d.problem(n, path, "%s", text)
}

// join adds a key to a path.
func join(path, key string) string {
	if key == "" || strings.ContainsAny(key, " \t\n\"[]") {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// nodeAt is where path stands, or the nearest place around it that is known.
func (d *decoder) nodeAt(path string) *yaml.Node {
	for {
		if n := d.at[path]; n != nil || path == "" {
			return n
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}
