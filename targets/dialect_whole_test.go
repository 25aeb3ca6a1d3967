package targets_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

// How the text of a Decoder's error stands in a delta of these tests.
const (
	noResult = "EMPTY"
	isCut    = "CUT"
	bad      = "MALFORMED"
)

func decodeWhole(d targets.Dialect, answer string) delta {
	var out targets.Delta
	out.Text = []byte("of another answer")
	err := d.Decoder().Decode(&targets.Event{Data: []byte(answer)}, &out)
	switch {
	case errors.Is(err, targets.ErrNoResult):
		return delta{Err: noResult}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return delta{Err: isCut}
	case err != nil:
		return delta{Err: bad}
	}
	return copyDelta(&out)
}

// What servers answer where there is no stream, and what is no such answer.
func TestDecodeWhole(t *testing.T) {
	good := func(text string, usage *results.Usage) delta {
		return delta{Role: true, Done: true, Finish: "stop", Text: text, Usage: usage}
	}
	embeddings, images, transcriptions := targets.OpenAIEmbeddings{}, targets.OpenAIImages{}, targets.OpenAITranscriptions{}
	for _, tt := range []struct {
		name    string
		dialect targets.Dialect
		answer  string
		want    delta
	}{
		{"OpenAI", embeddings, `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[-0.006,1,2e-5]}],"model":"m","usage":{"prompt_tokens":5,"total_tokens":5}}`, good("", tokens(5, 0))},
		{"vLLM", embeddings, `{"id":"embd-1","object":"list","created":1,"model":"m","data":[{"index":0,"object":"embedding","embedding":[0.1, -0.2]}],"usage":{"prompt_tokens":5,"total_tokens":5,"completion_tokens":0,"prompt_tokens_details":null}}`, good("", tokens(5, 0))},
		{"base64", embeddings, `{"data":[{"embedding":"AACAPwAAAEA="}]}`, good("", nil)},
		{"base64 with escapes", embeddings, `{"data":[{"embedding":"\/\/\/\/"}]}`, good("", nil)},
		{"spread over lines", embeddings, "\ufeff\n{\n \"data\" : [ { \"embedding\" : [ 1 ,\n -2 ] } ] }\n", good("", nil)},
		{"two", embeddings, `{"data":[{"embedding":[1]},{"embedding":[2]}]}`, good("", nil)},
		{"error null", embeddings, `{"error":null,"data":[{"embedding":[1]}],"detail":"x"}`, good("", nil)},
		{"no data in the list", embeddings, `{"object":"list","data":[],"usage":{"prompt_tokens":5}}`, delta{Err: noResult}},
		{"null embedding", embeddings, `{"data":[{"embedding":null}]}`, delta{Err: noResult}},
		{"no embedding", embeddings, `{"data":[{"index":0}]}`, delta{Err: noResult}},
		{"empty embedding", embeddings, `{"data":[{"embedding":[1]},{"embedding":[ ]}]}`, delta{Err: noResult}},
		{"empty base64", embeddings, `{"data":[{"embedding":""}]}`, delta{Err: noResult}},
		{"null in an embedding", embeddings, `{"data":[{"embedding":[1,null]}]}`, delta{Err: bad}},
		{"NaN in an embedding", embeddings, `{"data":[{"embedding":[1,NaN]}]}`, delta{Err: bad}},
		{"lists in an embedding", embeddings, `{"data":[{"embedding":[[1,2]]}]}`, delta{Err: bad}},
		{"texts in an embedding", embeddings, `{"data":[{"embedding":["a"]}]}`, delta{Err: bad}},
		{"no base64", embeddings, `{"data":[{"embedding":"no base64!"}]}`, delta{Err: bad}},
		{"number for an embedding", embeddings, `{"data":[{"embedding":7}]}`, delta{Err: bad}},
		{"object for data", embeddings, `{"data":{"embedding":[1]}}`, delta{Err: bad}},
		{"no data", embeddings, `{"object":"list"}`, delta{Err: bad}},
		{"null data", embeddings, `{"data":null}`, delta{Err: bad}},
		{"a chat", embeddings, `{"choices":[{"message":{"content":"hi"}}]}`, delta{Err: bad}},
		{"a bare list of TEI", embeddings, `[[0.1,0.2]]`, delta{Err: bad}},
		{"cut", embeddings, `{"data":[{"embedding":[1,2`, delta{Err: isCut}},
		{"cut in a number's sign", embeddings, `{"data":[{"embedding":[1,-`, delta{Err: isCut}},
		{"one brace short", embeddings, `{"data":[{"embedding":[1,2]}]`, delta{Err: isCut}},
		{"two answers", embeddings, `{"data":[{"embedding":[1]}]}{}`, delta{Err: bad}},
		{"wrong bracket at the end", embeddings, `{"data":[{"embedding":[1]}]]`, delta{Err: bad}},
		{"HTML", embeddings, `<html>`, delta{Err: bad}},
		{"nothing", embeddings, ` `, delta{Err: isCut}},
		{"OpenAI error", embeddings, `{"error":{"message":"boom","type":"server_error"}}`, delta{Err: "boom (server_error)"}},
		{"old vLLM error", embeddings, `{"object":"error","message":"boom"}`, delta{Err: "boom"}},
		{"FastAPI error", embeddings, `{"detail":"boom"}`, delta{Err: "boom"}},
		{"TEI error", embeddings, `{"error":"boom","error_type":"overloaded"}`, delta{Err: "boom"}},
		{"error beside data", embeddings, `{"error":"boom","data":[{"embedding":[1]}]}`, delta{Err: "boom"}},

		{
			"gpt-image", images, `{"created":1,"data":[{"b64_json":"aGk="}],"usage":{"total_tokens":100,"input_tokens":50,"output_tokens":50,"input_tokens_details":{"text_tokens":10,"image_tokens":40}}}`,
			good("", tokens(50, 50)),
		},
		{"dall-e", images, `{"created":1,"data":[{"url":"https://x/1.png","revised_prompt":"a \u0062"}]}`, good("a b", nil)},
		{"LocalAI", images, `{"created":1,"id":"x","data":[{"embedding":null,"index":0,"url":"http://h/1.png"}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}`, good("", nil)},
		{"both names", images, `{"data":[{"url":null,"b64_json":"aGk="}]}`, good("", nil)},
		{"no images", images, `{"created":1,"data":[]}`, delta{Err: noResult}},
		{"image of nothing", images, `{"data":[{"b64_json":""}]}`, delta{Err: noResult}},
		{"image without either", images, `{"data":[{"revised_prompt":"a"}]}`, delta{Err: noResult}},
		{"number for an image", images, `{"data":[{"b64_json":5}]}`, delta{Err: bad}},
		{"cut in an image", images, `{"data":[{"b64_json":"aGkaGkaGk`, delta{Err: isCut}},
		{"moderation", images, `{"error":{"code":"moderation_blocked","message":"boom","type":"image_generation_user_error"}}`, delta{Err: "boom (image_generation_user_error, moderation_blocked)"}},

		{"whisper", transcriptions, `{"text":" hi there"}`, good(" hi there", nil)},
		{"in seconds", transcriptions, `{"text":"hi","usage":{"type":"duration","seconds":3}}`, good("hi", nil)},
		{"in tokens", transcriptions, `{"text":"hi","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"audio_tokens":14},"output_tokens":2,"total_tokens":16}}`, good("hi", tokens(14, 2))},
		{"with segments", transcriptions, `{"segments":[{"text":"hi"}],"text":"\u0068i"}`, good("hi", nil)},
		{"not a word", transcriptions, `{"text":""}`, good("", nil)},
		{"null text", transcriptions, `{"text":null}`, delta{Err: bad}},
		{"list for a text", transcriptions, `{"text":["hi"]}`, delta{Err: bad}},
		{"segments alone", transcriptions, `{"segments":[]}`, delta{Err: bad}},
		{"bare text", transcriptions, `hi there`, delta{Err: bad}},
		{"cut in a text", transcriptions, `{"text":"hi th`, delta{Err: isCut}},
		{"error instead", transcriptions, `{"error":{"message":"boom"}}`, delta{Err: "boom"}},
	} {
		t.Run(tt.dialect.Name()+"/"+tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, decodeWhole(tt.dialect, tt.answer)); diff != "" {
				t.Errorf("Decode(%s) (-want +got):\n%s", tt.answer, diff)
			}
		})
	}
}

// No start of an answer is an answer: a cut is seen wherever it is.
func TestNoCutAnswerIsWhole(t *testing.T) {
	for d, answer := range map[targets.Dialect]string{
		targets.OpenAIEmbeddings{}:     `{"data":[{"embedding":[-1.5e-3,2]},{"embedding":"AAAA"}],"usage":{"prompt_tokens":5}}`,
		targets.OpenAIImages{}:         `{"data":[{"b64_json":"aGk=","revised_prompt":"\u0061"}],"usage":{"input_tokens":5,"output_tokens":5}}`,
		targets.OpenAITranscriptions{}: `{"text":"hi \"there\"","usage":{"type":"duration","seconds":3}}`,
	} {
		if got := decodeWhole(d, answer); !got.Done || got.Err != "" {
			t.Errorf("%s: Decode(%s) = %+v; want it done", d.Name(), answer, got)
		}
		for n := 1; n < len(answer); n++ {
			if got := decodeWhole(d, answer[:n]); got != (delta{Err: isCut}) {
				t.Errorf("%s: Decode(%s) = %+v; want it cut", d.Name(), answer[:n], got)
			}
		}
	}
}

// form is the request as a server reads it, by net/http's own parser.
func form(t *testing.T, p targets.Prompt) *http.Request {
	t.Helper()
	r, err := targets.OpenAITranscriptions{}.Encode(p)
	if err != nil {
		t.Fatalf("Encode(%+v) = %v", p, err)
	}
	req := httptest.NewRequest(http.MethodPost, r.Path, bytes.NewReader(r.Body))
	req.Header.Set("Content-Type", r.ContentType)
	if err := req.ParseMultipartForm(32 << 20); err != nil {
		t.Fatalf("ParseMultipartForm() = %v", err)
	}
	return req
}

func upload(t *testing.T, req *http.Request) []byte {
	t.Helper()
	file, header, err := req.FormFile("file")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // which is memory
	if header.Filename != "speech.wav" {
		t.Errorf("filename %q", header.Filename)
	}
	audio, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return audio
}

func prompt(text string) targets.Prompt {
	return targets.Prompt{Model: "whisper", MaxTokens: 7, Messages: []targets.Message{{Role: "user", Content: text}}}
}

// The upload is a form that net/http reads, with the fields that were asked for and no others.
func TestTranscriptionForm(t *testing.T) {
	zero := 0.0
	p := prompt("a")
	req := form(t, p)
	if diff := cmp.Diff(map[string][]string{"model": {"whisper"}, "response_format": {"json"}}, req.MultipartForm.Value); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	plain, err := targets.OpenAITranscriptions{}.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	p.Temperature = &zero
	p.Extra = map[string]any{
		"language": "en", "response_format": "verbose_json", "model": nil, "stream": false, "seed": 7,
		"timestamp_granularities[]": []any{"word", "segment"}, "chunking_strategy": map[string]any{"type": "server_vad"},
	}
	want := map[string][]string{
		"language": {"en"}, "response_format": {"verbose_json"}, "stream": {"false"}, "seed": {"7"}, "temperature": {"0"},
		"timestamp_granularities[]": {"word", "segment"}, "chunking_strategy": {`{"type":"server_vad"}`},
	}
	if diff := cmp.Diff(want, form(t, p).MultipartForm.Value); diff != "" {
		t.Errorf("fields by extra (-want +got):\n%s", diff)
	}
	if extra, err := (targets.OpenAITranscriptions{}).Encode(p); err != nil || extra.ContentType != plain.ContentType || plain.ContentType == "" {
		t.Errorf("content type %q, %v; want %q as without", extra.ContentType, err, plain.ContentType)
	}
	p.Extra = map[string]any{"file": "x"}
	if _, err := (targets.OpenAITranscriptions{}).Encode(p); err == nil || !strings.Contains(err.Error(), "file") {
		t.Errorf("Encode() with a file by extra = %v; want an error", err)
	}
}

// The file is sound as its header says, a tenth of a second for four characters, and as loud as speech.
func TestTranscriptionSound(t *testing.T) {
	for _, tt := range []struct{ characters, parts int }{{0, 10}, {1, 10}, {40, 10}, {41, 11}, {400, 100}, {31_200, 7800}, {10_000_000, 7800}} {
		audio := upload(t, form(t, prompt(strings.Repeat("x", tt.characters))))
		size := tt.parts * 3200
		if len(audio) != 44+size || len(audio) > 25_000_000 {
			t.Errorf("%d characters are %d bytes; want %d", tt.characters, len(audio), 44+size)
			continue
		}
		var head struct {
			Riff                [4]byte
			Size                uint32
			Wave, Fmt           [4]byte
			FmtSize             uint32
			Kind, Channels      uint16
			Rate, BytesASecond  uint32
			Align, BitsOfSample uint16
			Data                [4]byte
			DataSize            uint32
		}
		if err := binary.Read(bytes.NewReader(audio), binary.LittleEndian, &head); err != nil {
			t.Fatal(err)
		}
		words := string(head.Riff[:]) + string(head.Wave[:]) + string(head.Fmt[:]) + string(head.Data[:])
		if words != "RIFFWAVEfmt data" || int(head.Size) != len(audio)-8 || int(head.DataSize) != size || head.FmtSize != 16 ||
			head.Kind != 1 || head.Channels != 1 || head.Rate != 16000 || head.BytesASecond != 32000 || head.Align != 2 || head.BitsOfSample != 16 {
			t.Errorf("%d characters: header %+v", tt.characters, head)
		}
		var energy float64
		for i := 44; i < len(audio); i += 2 {
			v := float64(int16(binary.LittleEndian.Uint16(audio[i:])))
			energy += v * v
		}
		if rms := math.Sqrt(energy / float64(size/2)); rms < 11000 || rms > 12000 { // a sine at half of full volume: 11585
			t.Errorf("%d characters: volume %.0f", tt.characters, rms)
		}
	}
}

// Equal texts have equal sounds, and texts that differ in their nonce do not.
func TestTranscriptionSoundIsOfItsText(t *testing.T) {
	sound := func(text string) string { return string(upload(t, form(t, prompt(text)))) }
	const text = "fw-01234567-0123456789ab and some words that follow it"
	if first, second := sound(text), sound(text); first != second {
		t.Error("one text has two sounds")
	}
	if sound(text) == sound(strings.Replace(text, "89ab", "89ac", 1)) {
		t.Error("two texts have one sound")
	}
}
