package targets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrNoResult is in the error of a Decoder of Whole for an answer that is of the dialect and has no result in it: an
// empty list, an embedding without a number.
var ErrNoResult = errors.New("the answer has no result")

// A wholeDecoder reads an answer that is one JSON object, by the function that it is.
type wholeDecoder func(data []byte, out *Delta) error

// Decode reads e's data, which is all of the answer. An error of a text that is cut has io.ErrUnexpectedEOF in it.
func (decode wholeDecoder) Decode(e *Event, out *Delta) error {
	*out = Delta{}
	data := bytes.TrimSpace(bytes.TrimPrefix(e.Data, []byte(bom)))
	if len(data) == 0 {
		return fmt.Errorf("answer is cut before it began: %w", io.ErrUnexpectedEOF)
	}
	if data[0] != '{' {
		return fmt.Errorf("answer is no JSON object: %q", clip(data))
	}
	if err := decode(data, out); err != nil || out.Err != "" {
		return err
	}
	out.Role, out.Done, out.Finish = true, true, "stop"
	return nil
}

// readWhole is json.Unmarshal of an answer; what says whose.
func readWhole(what string, data []byte, into any) error {
	err := json.Unmarshal(data, into)
	if _, is := errors.AsType[*json.SyntaxError](err); is {
		var all json.RawMessage
		if cut := json.NewDecoder(bytes.NewReader(data)).Decode(&all); errors.Is(cut, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%s is cut: %w: %q", what, cut, clip(data))
		}
	}
	if err != nil {
		return fmt.Errorf("answer is no %s: %w: %q", what, err, clip(data))
	}
	return nil
}

// endOfAnswer is the last word of an answer that has none.
const endOfAnswer = "the answer's end"

// anyData says what is wrong with an answer's list of results, or nil.
func anyData(is bool, n int, data []byte) error {
	switch {
	case !is:
		return fmt.Errorf("answer has no data: %q", clip(data))
	case n == 0:
		return fmt.Errorf("%w: data is empty", ErrNoResult)
	}
	return nil
}
