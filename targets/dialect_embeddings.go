package targets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/failwhale/failwhale/results"
)

// OpenAIEmbeddings is OpenAI's embeddings, whose answers are no streams: vLLM, SGLang, TEI, llama.cpp, Ollama, LocalAI
// and most gateways have them.
type OpenAIEmbeddings struct{}

// Name gives openai-embeddings.
func (OpenAIEmbeddings) Name() string { return "openai-embeddings" }

// Encode asks for the embedding of all the prompt's text, in the server's own encoding. There is nothing that
// p.MaxTokens would bound.
func (OpenAIEmbeddings) Encode(p Prompt) (Request, error) {
	if err := p.without("openai-embeddings", true); err != nil {
		return Request{}, err
	}
	return p.request("/v1/embeddings", map[string]any{"model": p.Model, "input": p.text()})
}

// Headers has the key as a bearer token.
func (OpenAIEmbeddings) Headers(key string) map[string]string { return bearer(key) }

// Framing is one JSON object.
func (OpenAIEmbeddings) Framing() Framing { return Whole }

// Terminal names the end of the object.
func (OpenAIEmbeddings) Terminal() string { return endOfAnswer }

// Decoder returns a reader for one answer.
func (OpenAIEmbeddings) Decoder() Decoder { return wholeDecoder(decodeEmbeddings) }

type embeddingsJSON struct {
	errorJSON
	Data []struct {
		Embedding vector `json:"embedding"`
	} `json:"data"`
	Usage *usageJSON `json:"usage"`
}

func decodeEmbeddings(data []byte, out *Delta) error {
	var answer embeddingsJSON
	if err := readWhole("embedding", data, &answer); err != nil {
		return err
	}
	if out.Err = answer.within(answer.Data != nil); out.Err != "" {
		return nil
	}
	if err := anyData(answer.Data != nil, len(answer.Data), data); err != nil {
		return err
	}
	for i, d := range answer.Data {
		if d.Embedding == 0 {
			return fmt.Errorf("%w: data[%d] has no embedding", ErrNoResult, i)
		}
	}
	if u := answer.Usage; u != nil && u.Prompt != 0 { // it has no output: what some servers count there is the prompt again
		out.Usage = &results.Usage{Prompt: u.Prompt, Cached: u.PromptDetails.Cached, Source: results.UsageServer}
	}
	return nil
}

// A vector is the size of an embedding: how many numbers, or of base64 how many bytes. Null has 0.
type vector int

var errNoVector = errors.New("embedding is neither a list of numbers nor base64")

// UnmarshalJSON takes a list of numbers or base64. A number that is none (null, as some write NaN) is an error.
func (v *vector) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case 'n':
		return nil
	case '"':
		var text []byte // which json reads from base64
		if err := json.Unmarshal(data, &text); err != nil {
			return fmt.Errorf("%w: %w", errNoVector, err)
		}
		*v = vector(len(text))
		return nil
	case '[':
		list := bytes.TrimSpace(data[1 : len(data)-1])
		for len(list) > 0 {
			number, rest, _ := bytes.Cut(list, []byte(","))
			if number = bytes.TrimSpace(number); number[0] != '-' && (number[0] < '0' || number[0] > '9') {
				return fmt.Errorf("%w: number %d is %q", errNoVector, *v, clip(number))
			}
			list = rest
			*v++
		}
		return nil
	}
	return errNoVector
}
