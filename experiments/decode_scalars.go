package experiments

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// isScalar notes a problem and returns false for lists, mappings and tags that we do not read.
func (d *decoder) isScalar(n *yaml.Node, path, needs string) bool {
	if n.Kind != yaml.ScalarNode {
		d.problem(n, path, "needs %s, not %s", needs, what(n))
		return false
	}
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!null", "!!merge":
		return true
	default:
		d.problem(n, path, "tag %s is not known: delete it", tag)
		return false
	}
}

// text hands a scalar to the value's own reader. A columned error moves the problem to its place
// in the text, where the text stands in the file as it is.
func (d *decoder) text(n *yaml.Node, path string, u encoding.TextUnmarshaler) {
	if !d.isScalar(n, path, "a single value") {
		return
	}
	err := u.UnmarshalText([]byte(n.Value))
	if err == nil {
		return
	}
	d.problem(n, path, "%s", WithSuggestion(err.Error()))
	if c, ok := errors.AsType[columned](err); ok && n.Anchor == "" && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0 {
		p := &d.problems[len(d.problems)-1]
		p.Column += c.Column() - 1
		if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			p.Column++
		}
	}
}

// duration reads 500ms, 15s, 1m30s.
func (d *decoder) duration(n *yaml.Node, path string, v reflect.Value) {
	if !d.isScalar(n, path, example(durationType)) {
		return
	}
	x, err := parseDuration(n.Value)
	if err != nil {
		d.problem(n, path, "%s", err)
		return
	}
	v.SetInt(int64(x))
}

// parseDuration reads what time.ParseDuration does, but for a number alone, also 0: of what?
func parseDuration(text string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		if strings.Trim(text, "+-0.") == "" {
			return 0, fmt.Errorf("%s has no unit: write 0s", clip(text))
		}
		return 0, fmt.Errorf("%s has no unit: write %ss, or %sms", clip(text), clip(text), clip(text))
	}
	x, err := time.ParseDuration(text)
	if err == nil {
		return x, nil
	}
	hint := "write it like 500ms, 15s or 1m30s"
	tight := strings.Join(strings.Fields(text), "")
	if _, err := time.ParseDuration(tight); err == nil && tight != text {
		hint = "write " + tight
	}
	return 0, fmt.Errorf("%q is not a duration: %s", clip(text), hint)
}

// scalar decodes into Go's plain kinds.
func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value) {
	if !d.isScalar(n, path, example(v.Type())) {
		return
	}
	switch v.Kind() {
	case reflect.String:
		// Numbers, booleans and dates are taken as they are written: tier: 1.10 is "1.10".
		v.SetString(n.Value)
	case reflect.Bool:
		d.boolean(n, path, v)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		x, err := strconv.ParseInt(n.Value, 0, v.Type().Bits())
		if d.number(n, path, err, n.ShortTag() == "!!int", "a whole number") {
			v.SetInt(x)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		x, err := strconv.ParseUint(n.Value, 0, v.Type().Bits())
		if d.number(n, path, err, n.ShortTag() == "!!int", "a whole number of 0 or more") {
			v.SetUint(x)
		}
	case reflect.Float32, reflect.Float64:
		x, err := strconv.ParseFloat(n.Value, v.Type().Bits())
		if d.number(n, path, err, !math.IsNaN(x) && !math.IsInf(x, 0), "a number") {
			v.SetFloat(x)
		}
	default:
		d.problem(n, path, "cannot be set from a file (%s)", v.Type())
	}
}

func (d *decoder) boolean(n *yaml.Node, path string, v reflect.Value) {
	switch n.Value {
	case "true", "false":
		v.SetBool(n.Value == "true")
	default:
		d.problem(n, path, "needs true or false, not %q", clip(n.Value))
	}
}

// number notes what is wrong with a number; ok: nothing.
func (d *decoder) number(n *yaml.Node, path string, err error, fits bool, needs string) (ok bool) {
	switch {
	case errors.Is(err, strconv.ErrRange) && n.ShortTag() != "!!str":
		d.problem(n, path, "%s is out of range", clip(n.Value))
	case err != nil || !fits:
		d.problem(n, path, "needs %s, not %q", needs, clip(n.Value))
	default:
		return true
	}
	return false
}

// anyScalar gives what JSON would hold. Dates stay text.
func (d *decoder) anyScalar(n *yaml.Node, path string) any {
	if !d.isScalar(n, path, "a value") {
		return nil
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int":
		if x, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
			return x
		}
		if x, err := strconv.ParseUint(n.Value, 0, 64); err == nil {
			return x
		}
		d.problem(n, path, "%s is out of range", clip(n.Value))
		return nil
	case "!!float":
		x, err := strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			d.problem(n, path, "%s is not a number that JSON can hold", clip(n.Value))
			return nil
		}
		return x
	default:
		return n.Value
	}
}

// example says what a value of type t looks like.
func example(t reflect.Type) string {
	if t == durationType {
		return "a duration such as 15s"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return example(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "{…}"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}
