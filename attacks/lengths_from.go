package attacks

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
)

// mostLengths is how many pairs are kept of a trace, a megabyte: a quantile of them is within half a percent of the trace's.
const mostLengths = 100_000

// A pair is the two lengths of one request, in tokens.
type pair struct{ prompt, output uint32 }

// lengths are drawn from: each as likely as any other.
type lengths []pair

// readLengths reads those of a trace. Of more than it keeps, each has the same chance to be kept.
func readLengths(file string, seed uint64) (lengths, error) {
	r, err := (&Trace{File: file}).open()
	if err != nil {
		return nil, err
	}
	defer r.close()
	rng := rand.New(rand.NewPCG(seed, lengthStream))
	var kept lengths
	for n := int64(0); ; n++ {
		if err := r.read(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		p := pair{prompt: uint32(r.row.shape.PromptTokens), output: uint32(r.row.shape.OutputTokens)}
		if n < mostLengths {
			kept = append(kept, p)
		} else if at := rng.Int64N(n + 1); at < mostLengths {
			kept[at] = p
		}
	}
	if len(kept) == 0 {
		return nil, r.empty(io.EOF, "holds no request")
	}
	return kept, nil
}

// draw gives one pair.
func (l lengths) draw(rng *rand.Rand) (prompt, output int) {
	p := l[rng.IntN(len(l))]
	return int(p.prompt), int(p.output)
}

// CheckLengths returns what is wrong with the traces from which classes draw their lengths, by the places of those
// classes; none is read twice.
func (w Workload) CheckLengths() map[int]error {
	wrong := map[int]error{}
	read := map[string]error{}
	for i, c := range w {
		if c.LengthsFrom == "" {
			continue
		}
		err, known := read[c.LengthsFrom]
		if !known {
			_, err = readLengths(c.LengthsFrom, 0)
			read[c.LengthsFrom] = err
		}
		if err != nil {
			wrong[i] = err
		}
	}
	return wrong
}

// fill reads the traces of the classes' lengths.
func (l *load) fill() error {
	var errs []error
	read := map[string]lengths{}
	for i, c := range l.classes {
		if c.LengthsFrom == "" {
			continue
		}
		if _, known := read[c.LengthsFrom]; !known {
			kept, err := readLengths(c.LengthsFrom, l.seed)
			errs = append(errs, prefix(fmt.Sprintf("workload[%d]: lengths_from", i), err))
			read[c.LengthsFrom] = kept
		}
		l.moulds[i].lengths = read[c.LengthsFrom]
	}
	return errors.Join(errs...)
}
