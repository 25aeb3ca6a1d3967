package targets

import (
	"encoding/binary"
	"hash/fnv"
	"math"
)

// What speech servers work with: 16 kHz, one channel, 16 bits.
const (
	sampleRate  = 16000
	sampleBytes = 2
	waveHeader  = 44
)

// A sound lasts a tenth of a second for each token of its prompt, at four characters a token: so OpenAI counts the
// audio that it hears (one token per 100 ms). It is no shorter than a second, since servers refuse what is too short,
// and no longer than 13 minutes, whose 24,960,044 bytes are just under the 25 MB that OpenAI and vLLM take.
const (
	soundPart   = sampleRate / 10
	soundToken  = 4 // characters
	fewestParts = 10
	mostParts   = 7800
)

// wav is a text as a sound: for every four characters a tone of a tenth of a second, whose pitch is theirs. So two
// texts have two sounds, as two speakers have, and no cache that goes by an upload's bytes has heard one before.
func wav(text string) []byte {
	parts := min(max((len(text)+soundToken-1)/soundToken, fewestParts), mostParts)
	size := parts * soundPart * sampleBytes
	b := make([]byte, 0, waveHeader+size)
	b = append(b, "RIFF"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(waveHeader-8+size)) // under mostParts
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16) // bytes of what follows, up to data
	b = binary.LittleEndian.AppendUint16(b, 1)  // PCM
	b = binary.LittleEndian.AppendUint16(b, 1)  // channels
	b = binary.LittleEndian.AppendUint32(b, sampleRate)
	b = binary.LittleEndian.AppendUint32(b, sampleRate*sampleBytes)
	b = binary.LittleEndian.AppendUint16(b, sampleBytes)
	b = binary.LittleEndian.AppendUint16(b, sampleBytes*8)
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(size)) // under mostParts
	for i := range parts {
		from, to := min(i*soundToken, len(text)), min((i+1)*soundToken, len(text))
		b = tone(b, text[from:to])
	}
	return b
}

// tone adds the sound of a token: a sine at half of full volume, of a pitch between 200 and 800 Hz.
func tone(b []byte, token string) []byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(token)) // a hash never fails to write
	period := sampleRate/800 + int(h.Sum32()%(sampleRate/200-sampleRate/800+1))
	start := len(b)
	for i := range period {
		v := math.Round(math.MaxInt16 / 2 * math.Sin(2*math.Pi*float64(i)/float64(period)))
		b = binary.LittleEndian.AppendUint16(b, uint16(int16(v))) // its two's complement
	}
	wave := b[start:]
	for end := start + soundPart*sampleBytes; len(b) < end; {
		b = append(b, wave[:min(len(wave), end-len(b))]...)
	}
	return b
}
