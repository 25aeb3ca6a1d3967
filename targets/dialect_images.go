package targets

import (
	"errors"
	"fmt"
	"strings"
)

// OpenAIImages is OpenAI's generation of images, whose answers are no streams: LocalAI, vLLM-Omni and gateways have it.
type OpenAIImages struct{}

// Name gives openai-images.
func (OpenAIImages) Name() string { return "openai-images" }

// Encode asks for one image of all the prompt's text, of the server's own size and form. There is nothing that
// p.MaxTokens would bound.
func (OpenAIImages) Encode(p Prompt) (Request, error) {
	if err := p.without("openai-images", true); err != nil {
		return Request{}, err
	}
	return p.request("/v1/images/generations", map[string]any{"model": p.Model, "prompt": p.text(), "n": 1})
}

// Headers has the key as a bearer token.
func (OpenAIImages) Headers(key string) map[string]string { return bearer(key) }

// Framing is one JSON object.
func (OpenAIImages) Framing() Framing { return Whole }

// Terminal names the end of the object.
func (OpenAIImages) Terminal() string { return endOfAnswer }

// Decoder returns a reader for one answer. Its text is the prompt as the server rewrote it.
func (OpenAIImages) Decoder() Decoder { return wholeDecoder(decodeImages) }

type imagesJSON struct {
	errorJSON
	Data []struct {
		URL     filled `json:"url"`
		Base64  filled `json:"b64_json"`
		Revised string `json:"revised_prompt"`
	} `json:"data"`
	Usage *responseUsage `json:"usage"` // of gpt-image; others have none
}

func decodeImages(data []byte, out *Delta) error {
	if err := crowded(data); err != nil {
		return err
	}
	var answer imagesJSON
	if err := readWhole("image", data, &answer); err != nil {
		return err
	}
	if out.Err = answer.within(answer.Data != nil); out.Err != "" {
		return nil
	}
	if err := anyData(answer.Data != nil, len(answer.Data), data); err != nil {
		return err
	}
	var revised []string
	for i, d := range answer.Data {
		if !d.URL && !d.Base64 {
			return fmt.Errorf("%w: data[%d] has neither url nor b64_json", ErrNoResult, i)
		}
		revised = append(revised, d.Revised)
	}
	out.Text, out.Usage = []byte(strings.Join(revised, "\n")), answer.Usage.usage()
	return nil
}

// filled is whether a text has anything in it. An image may be megabytes of it, which nobody needs to hold twice.
type filled bool

// UnmarshalJSON takes a text, or null.
func (f *filled) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case 'n':
		return nil
	case '"':
		*f = len(data) > len(`""`)
		return nil
	}
	return errors.New("url or b64_json is no text")
}
