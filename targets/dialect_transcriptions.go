package targets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime/multipart"
	"slices"
)

// OpenAITranscriptions is OpenAI's transcription of speech, an upload whose answer is no stream: vLLM, LocalAI,
// whisper servers and gateways have it.
type OpenAITranscriptions struct{}

// Name gives openai-transcriptions.
func (OpenAITranscriptions) Name() string { return "openai-transcriptions" }

// formBoundary parts the form's fields. It is always the same, as the content type is to be, and no sound that is
// sent has it.
const formBoundary = "failwhale-form-7b1f0c2e9d5a4386"

// Encode uploads a sound as long as the prompt (see sound), and asks for its transcript as JSON. The text of the
// prompt is not sent: the field prompt is for a few words of style, and servers refuse a long one. There is nothing
// that p.MaxTokens would bound.
func (OpenAITranscriptions) Encode(p Prompt) (Request, error) {
	if err := p.without("openai-transcriptions", false); err != nil {
		return Request{}, err
	}
	fields := map[string]any{"model": p.Model, "response_format": "json"}
	p.warm(fields)
	fields = mergePatch(fields, p.Extra)
	if _, is := fields["file"]; is {
		return Request{}, errors.New("encode prompt: the field file is the sound that is sent: name another")
	}
	audio := wav(p.text())
	var body bytes.Buffer
	body.Grow(len(audio) + 1<<10)
	form := multipart.NewWriter(&body)
	errs := []error{form.SetBoundary(formBoundary)}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		errs = append(errs, writeFields(form, name, fields[name]))
	}
	part, err := form.CreateFormFile("file", "speech.wav")
	if err == nil {
		_, err = part.Write(audio)
	}
	if err := errors.Join(append(errs, err, form.Close())...); err != nil {
		return Request{}, fmt.Errorf("encode prompt: %w", err)
	}
	return Request{Path: "/v1/audio/transcriptions", ContentType: form.FormDataContentType(), Body: body.Bytes()}, nil
}

// writeFields writes a value as a field, or a list as one field for each of its values.
func writeFields(form *multipart.Writer, name string, value any) error {
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	for _, v := range list {
		text, isText := v.(string)
		if !isText {
			data, err := json.Marshal(v)
			if err != nil {
				return fmt.Errorf("field %s: %w", name, err)
			}
			text = string(data)
		}
		if err := form.WriteField(name, text); err != nil {
			return fmt.Errorf("field %s: %w", name, err)
		}
	}
	return nil
}

// Headers has the key as a bearer token.
func (OpenAITranscriptions) Headers(key string) map[string]string { return bearer(key) }

// Framing is one JSON object.
func (OpenAITranscriptions) Framing() Framing { return Whole }

// Terminal names the end of the object.
func (OpenAITranscriptions) Terminal() string { return endOfAnswer }

// Decoder returns a reader for one answer. A transcript without a word is one: what we send has no words.
func (OpenAITranscriptions) Decoder() Decoder { return wholeDecoder(decodeTranscription) }

type transcriptionJSON struct {
	errorJSON
	Text  *string        `json:"text"`
	Usage *responseUsage `json:"usage"` // in tokens, or in seconds, which are none
}

func decodeTranscription(data []byte, out *Delta) error {
	var answer transcriptionJSON
	if err := readWhole("transcript", data, &answer); err != nil {
		return err
	}
	if out.Err = answer.within(answer.Text != nil); out.Err != "" {
		return nil
	}
	if answer.Text == nil {
		return fmt.Errorf("answer has no text: %q", clip(data))
	}
	out.Text, out.Usage = []byte(*answer.Text), answer.Usage.usage()
	return nil
}
