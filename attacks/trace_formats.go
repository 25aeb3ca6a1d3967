package attacks

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// byteOrderMark begins files that some spreadsheets write.
const byteOrderMark = "\ufeff"

// recognise tells a trace's format from its first line; isRow: the line is a request already.
func recognise(first []byte) (f format, isRow bool, err error) {
	if first[0] != '{' {
		f, err = recogniseCSV(first)
		return f, false, err
	}
	var keys map[string]json.RawMessage
	if err = json.Unmarshal(first, &keys); err != nil {
		return nil, false, err
	}
	has := func(name string) bool { _, ok := keys[name]; return ok }
	switch {
	case has("failwhale_trace"):
		if version := string(keys["failwhale_trace"]); version != "1" {
			return nil, false, fmt.Errorf("failwhale_trace %s is not known: this program reads 1", version)
		}
		return own{}, false, nil
	case has("timestamp") && has("input_length") && has("chat_id"):
		return recording{unit: 9, block: 16}, true, nil
	case has("timestamp") && has("input_length"):
		return recording{unit: 6, block: 512}, true, nil
	}
	return nil, false, errUnknown()
}

func errUnknown() error {
	return errors.New("is none of the formats that are known: a CSV of Azure (TIMESTAMP,ContextTokens,GeneratedTokens) or BurstGPT " +
		"(Timestamp,…,Request tokens,Response tokens), JSON lines of Mooncake or Bailian (timestamp, input_length, output_length, hash_ids), " +
		`or failwhale's own, which begin with {"failwhale_trace":1}`)
}

// recogniseCSV finds the columns by their names: there are more of them in some years' files than in others'.
func recogniseCSV(header []byte) (format, error) {
	fields, err := csv.NewReader(bytes.NewReader(header)).Read()
	if err != nil {
		return nil, errUnknown()
	}
	column := func(name string) int {
		return slices.IndexFunc(fields, func(f string) bool { return strings.EqualFold(strings.TrimSpace(f), name) })
	}
	at := column("timestamp")
	for _, t := range []*table{
		{at: at, prompt: column("contexttokens"), output: column("generatedtokens"), time: new(clock).read},
		{at: at, prompt: column("request tokens"), output: column("response tokens"), time: seconds},
	} {
		if t.at >= 0 && t.prompt >= 0 && t.output >= 0 {
			t.last = max(t.at, t.prompt, t.output)
			return t, nil
		}
	}
	return nil, errUnknown()
}

// A table is a CSV file, of Azure or BurstGPT.
type table struct {
	at, prompt, output, last int // columns
	time                     func([]byte) (int64, error)
}

func (t *table) read(line []byte, into *row) error {
	rest := line
	for i := 0; i <= t.last; i++ {
		if rest == nil {
			return t.short(i)
		}
		field := rest
		if comma := bytes.IndexByte(rest, ','); comma >= 0 {
			field, rest = rest[:comma], rest[comma+1:]
		} else {
			rest = nil
		}
		if len(field) > 0 && field[0] == '"' {
			return t.readQuoted(line, into)
		}
		if err := t.set(i, field, into); err != nil {
			return err
		}
	}
	return nil
}

// readQuoted reads a line that has quotes, which those of the known traces have not.
func (t *table) readQuoted(line []byte, into *row) error {
	fields, err := csv.NewReader(bytes.NewReader(line)).Read()
	if err != nil {
		return err
	}
	if len(fields) <= t.last {
		return t.short(len(fields))
	}
	for i, field := range fields {
		if err := t.set(i, []byte(field), into); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) short(columns int) error {
	return fmt.Errorf("has %d columns, and the header %d or more", columns, t.last+1)
}

// set reads the field of a column.
func (t *table) set(i int, field []byte, into *row) (err error) {
	switch i {
	case t.at:
		into.at, err = t.time(trimmed(field))
	case t.prompt:
		into.shape.PromptTokens, err = count(trimmed(field))
	case t.output:
		into.shape.OutputTokens, err = count(trimmed(field))
	}
	if err != nil {
		return fmt.Errorf("column %d: %w", i+1, err)
	}
	return nil
}

// trimmed is bytes.TrimSpace, which is not for the many fields that have nothing to trim.
func trimmed(field []byte) []byte {
	if n := len(field); n > 0 && field[0] > ' ' && field[n-1] > ' ' {
		return field
	}
	return bytes.TrimSpace(field)
}

// seconds reads a number of them.
func seconds(text []byte) (int64, error) { return decimal(text, 9) }

// count reads a number of tokens. It may have a point, as what has passed through a table of floats has: 374.0.
func count(text []byte) (int, error) {
	if n, ok := digits(text); ok && len(text) < 10 { // nearly all
		return n, nil
	}
	n, err := decimal(text, 0)
	return int(n), err
}

// A recording is a file of Mooncake or Bailian: JSON objects, one a line.
type recording struct {
	unit  int // of the timestamp: 9 for seconds, 6 for milliseconds
	block int // tokens of a hash
}

func (f recording) read(line []byte, into *row) error {
	fields := struct {
		Timestamp json.Number `json:"timestamp"`
		Input     json.Number `json:"input_length"`
		Output    json.Number `json:"output_length"`
		Hashes    []uint64    `json:"hash_ids"`
	}{Hashes: into.shape.Blocks[:0]}
	if err := json.Unmarshal(line, &fields); err != nil {
		return err
	}
	into.shape.Blocks, into.shape.BlockTokens = fields.Hashes, f.block
	var err error
	if into.at, err = number("timestamp", fields.Timestamp, f.unit); err != nil {
		return err
	}
	return into.shape.lengths("input_length", fields.Input, "output_length", fields.Output)
}

// own is the format of failwhale: see doc.go.
type own struct{}

func (own) read(line []byte, into *row) error {
	fields := struct {
		Due    json.Number `json:"due_ns"`
		Prompt json.Number `json:"prompt_tokens"`
		Output json.Number `json:"output_tokens"`
		Blocks []uint64    `json:"blocks"`
		Block  int         `json:"block_tokens"`
	}{Blocks: into.shape.Blocks[:0]}
	if err := json.Unmarshal(line, &fields); err != nil {
		return err
	}
	if len(fields.Blocks) > 0 && (fields.Block < 1 || fields.Block > maxTokens) {
		return fmt.Errorf("block_tokens %d is not between 1 and %d", fields.Block, maxTokens)
	}
	into.shape.Blocks, into.shape.BlockTokens = fields.Blocks, fields.Block
	var err error
	if into.at, err = number("due_ns", fields.Due, 0); err != nil {
		return err
	}
	return into.shape.lengths("prompt_tokens", fields.Prompt, "output_tokens", fields.Output)
}

func (s *Shape) lengths(prompt string, tokens json.Number, output string, asked json.Number) error {
	in, err := number(prompt, tokens, 0)
	if err != nil {
		return err
	}
	out, err := number(output, asked, 0)
	s.PromptTokens, s.OutputTokens = int(in), int(out)
	return err
}

// number reads a field of a JSON object, times a power of ten.
func number(name string, text json.Number, power int) (int64, error) {
	if text == "" {
		return 0, fmt.Errorf("%s is missing", name)
	}
	n, err := decimal([]byte(text), power)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

// AppendTrace appends the line of r in failwhale's own format of traces, whose first line is TraceHeader. Whose the
// request is, its class and its model stand there to be read: a replay has those of its own clients and workload.
func AppendTrace(b []byte, r Request) []byte {
	b = strconv.AppendInt(append(b, `{"due_ns":`...), int64(r.Due), 10)
	b = strconv.AppendInt(append(b, `,"prompt_tokens":`...), int64(r.PromptTokens), 10)
	b = strconv.AppendInt(append(b, `,"output_tokens":`...), int64(r.OutputTokens), 10)
	if len(r.Blocks) > 0 {
		b = strconv.AppendInt(append(b, `,"block_tokens":`...), int64(r.BlockTokens), 10)
		b = append(b, `,"blocks":[`...)
		for i, id := range r.Blocks {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(b, id, 10)
		}
		b = append(b, ']')
	}
	if r.Group > 0 {
		b = strconv.AppendInt(append(b, `,"prefix_group":`...), int64(r.Group), 10)
	}
	for _, f := range []struct{ name, is string }{{"tier", r.Tier}, {"feature", r.Feature}, {"model", r.Model}} {
		if f.is != "" {
			text, _ := json.Marshal(f.is) // a string cannot fail
			b = append(append(append(append(b, `,"`...), f.name...), `":`...), text...)
		}
	}
	return append(b, "}\n"...)
}

// TraceHeader is the first line of failwhale's own format of traces.
const TraceHeader = `{"failwhale_trace":1}` + "\n"
