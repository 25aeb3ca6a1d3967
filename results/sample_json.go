package results

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// The log's form of a sample. Times are whole microseconds since the start of
// the run, cut off and not rounded: a sample must not seem to end after an event
// that the log has behind it. A time of 0 is left out.
//
//	n, due, sent, done, first_byte, role   as in Sample
//	at         arrivals of the chunks in 10 µs, the first since the start, each other since the one before.
//	           Each was rounded as an absolute time first, so that no error adds up
//	tokens     pairs: how many chunks of one token lie between, then the tokens of the next chunk
//	coalesced  for each coalesced chunk, how many others lie between it and the one before
//	conversation, turn   as in Sample; a request of the conversation that began with request 0 has a turn alone
//	usage, status, outcome, error, finish, attempts, hedged, suppressed, bytes, unstreamed, echoed, left, reconnects, labels   as in Sample
//
// Attempts have outcome, sent, done, status, error, endpoint, hedge, prompt and output, as in Attempt. What is 0, false
// or empty is left out, so that a request costs only what was asked of it.
//
// Differences instead of indices, because the same few digits over and over
// compress to almost nothing. It is written by hand, so that the log appends it
// in one go: json.Marshal scans again what a MarshalJSON wrote, which takes more
// than twice as long, and the log is written while the load is on.

// The log's resolution, of times and of the chunks' stamps.
const (
	timeUnit  = time.Microsecond
	chunkUnit = 10 * time.Microsecond
)

// logTime is a time as the log keeps it: 0 stays 0, and nothing else becomes it.
func logTime(d time.Duration) time.Duration {
	if d == 0 {
		return 0
	}
	return max(d.Truncate(timeUnit), timeUnit)
}

// logChunk is a chunk's stamp as the log keeps it.
func logChunk(at time.Duration) time.Duration { return at.Round(chunkUnit) }

type sampleJSON struct {
	Index        uint64        `json:"n"`
	Due          micros        `json:"due"`
	Sent         micros        `json:"sent"`
	Done         micros        `json:"done"`
	FirstByte    micros        `json:"first_byte"`
	Role         micros        `json:"role"`
	At           ints          `json:"at"`
	Tokens       ints          `json:"tokens"`
	Coalesced    ints          `json:"coalesced"`
	Usage        usageJSON     `json:"usage"`
	Status       int           `json:"status"`
	Outcome      Outcome       `json:"outcome"`
	Error        string        `json:"error"`
	Finish       string        `json:"finish"`
	Attempts     []attemptJSON `json:"attempts"`
	Hedged       bool          `json:"hedged"`
	Suppressed   bool          `json:"suppressed"`
	Bytes        int64         `json:"bytes"`
	Conversation uint64        `json:"conversation"`
	Turn         int           `json:"turn"`
	Unstreamed   bool          `json:"unstreamed"`
	Echoed       bool          `json:"echoed"`
	Left         Left          `json:"left"`
	Reconnects   int           `json:"reconnects"`
	Labels       Labels        `json:"labels"`
}

type usageJSON struct {
	Prompt    int         `json:"prompt"`
	Cached    int         `json:"cached"`
	Output    int         `json:"output"`
	Reasoning int         `json:"reasoning"`
	Source    UsageSource `json:"source"`
}

type attemptJSON struct {
	Sent     micros  `json:"sent"`
	Done     micros  `json:"done"`
	Status   int     `json:"status"`
	Outcome  Outcome `json:"outcome"`
	Error    string  `json:"error"`
	Endpoint string  `json:"endpoint"`
	Hedge    bool    `json:"hedge"`
	Prompt   int     `json:"prompt"`
	Output   int     `json:"output"`
}

// micros is a time in the log, in microseconds.
type micros int64

// UnmarshalJSON reads a whole number that a time.Duration can hold.
func (m *micros) UnmarshalJSON(text []byte) error {
	x, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || x < 0 || x > math.MaxInt64/int64(timeUnit) {
		return fmt.Errorf("read a time: %.40q isn't a whole number of microseconds", text)
	}
	*m = micros(x)
	return nil
}

func (m micros) duration() time.Duration { return time.Duration(m) * timeUnit }

// ints is a list of whole numbers, read without reflection: most of a log is in them.
type ints []int64

// UnmarshalJSON reads [1,-2,3].
func (list *ints) UnmarshalJSON(text []byte) error {
	out := (*list)[:0]
	rest := text
	if len(rest) < 2 || rest[0] != '[' || rest[len(rest)-1] != ']' {
		return fmt.Errorf("read a list of whole numbers: %.40q isn't one", text)
	}
	rest = rest[1 : len(rest)-1]
	out = slices.Grow(out, len(rest)/4+1)
	for i := 0; i < len(rest); {
		negative := rest[i] == '-'
		if negative {
			i++
		}
		start, x := i, int64(0)
		for ; i < len(rest) && '0' <= rest[i] && rest[i] <= '9' && i-start < 19; i++ {
			x = x*10 + int64(rest[i]-'0')
		}
		if i == start || i < len(rest) && (rest[i] != ',' || i == len(rest)-1) || x < 0 {
			return fmt.Errorf("read a list of whole numbers: %.40q isn't one", text)
		}
		if negative {
			x = -x
		}
		out = append(out, x)
		i++
	}
	*list = out
	return nil
}

// MarshalJSON writes the compact form that the log holds.
func (s *Sample) MarshalJSON() ([]byte, error) { return s.appendJSON(nil), nil }

func (s *Sample) appendJSON(b []byte) []byte {
	b = append(b, `{"n":`...)
	b = strconv.AppendUint(b, s.Index, 10)
	b = appendTime(b, `,"due":`, s.Due)
	b = appendTime(b, `,"sent":`, s.Sent)
	b = appendTime(b, `,"done":`, s.Done)
	b = appendTime(b, `,"first_byte":`, s.FirstByte)
	b = appendTime(b, `,"role":`, s.Role)
	b = appendChunks(b, s.Chunks)
	b = appendUsage(b, s.Usage)
	b = appendInt(b, `,"status":`, s.Status)
	b = appendString(b, `,"outcome":`, s.Outcome.String())
	b = appendText(b, `,"error":`, s.Error)
	b = appendText(b, `,"finish":`, s.Finish)
	b = appendAttempts(b, s.Attempts)
	b = appendTrue(b, `,"hedged":true`, s.Hedged)
	b = appendTrue(b, `,"suppressed":true`, s.Suppressed)
	b = appendInt(b, `,"bytes":`, s.Bytes)
	b = appendUint(b, `,"conversation":`, s.Conversation)
	b = appendInt(b, `,"turn":`, s.Turn)
	b = appendTrue(b, `,"unstreamed":true`, s.Unstreamed)
	b = appendTrue(b, `,"echoed":true`, s.Echoed)
	b = appendText(b, `,"left":`, string(s.Left))
	b = appendInt(b, `,"reconnects":`, s.Reconnects)
	b = appendLabels(b, s.Labels)
	return append(b, '}')
}

func appendAttempts(b []byte, attempts []Attempt) []byte {
	if len(attempts) == 0 {
		return b
	}
	for i, a := range attempts {
		b = append(b, [...]string{`,"attempts":[`, `,`}[min(i, 1)]...)
		b = appendString(b, `{"outcome":`, a.Outcome.String())
		b = appendTime(b, `,"sent":`, a.Sent)
		b = appendTime(b, `,"done":`, a.Done)
		b = appendInt(b, `,"status":`, a.Status)
		b = appendText(b, `,"error":`, a.Error)
		b = appendText(b, `,"endpoint":`, a.Endpoint)
		b = appendTrue(b, `,"hedge":true`, a.Hedge)
		b = appendInt(b, `,"prompt":`, a.Prompt)
		b = appendInt(b, `,"output":`, a.Output)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendChunks(b []byte, chunks []Chunk) []byte {
	if len(chunks) == 0 {
		return b
	}
	var tokens, coalesced bool
	before := int64(0)
	b = append(b, `,"at":[`...)
	for i, c := range chunks {
		if i > 0 {
			b = append(b, ',')
		}
		at := int64(logChunk(c.At) / chunkUnit)
		b = strconv.AppendInt(b, at-before, 10)
		before = at
		tokens = tokens || c.Tokens != 1
		coalesced = coalesced || c.Coalesced
	}
	b = append(b, ']')
	if tokens {
		b = appendTokens(b, chunks)
	}
	if coalesced {
		b = appendCoalesced(b, chunks)
	}
	return b
}

func appendTokens(b []byte, chunks []Chunk) []byte {
	b = append(b, `,"tokens":[`...)
	ones := int64(0)
	for _, c := range chunks {
		if c.Tokens == 1 {
			ones++
			continue
		}
		b = strconv.AppendInt(b, ones, 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, int64(c.Tokens), 10)
		b = append(b, ',')
		ones = 0
	}
	b[len(b)-1] = ']'
	return b
}

func appendCoalesced(b []byte, chunks []Chunk) []byte {
	b = append(b, `,"coalesced":[`...)
	others := int64(0)
	for _, c := range chunks {
		if !c.Coalesced {
			others++
			continue
		}
		b = strconv.AppendInt(b, others, 10)
		b = append(b, ',')
		others = 0
	}
	b[len(b)-1] = ']'
	return b
}

func appendUsage(b []byte, u Usage) []byte {
	if u == (Usage{}) {
		return b
	}
	b = appendString(b, `,"usage":{"source":`, string(u.Source))
	b = appendInt(b, `,"prompt":`, u.Prompt)
	b = appendInt(b, `,"cached":`, u.Cached)
	b = appendInt(b, `,"output":`, u.Output)
	b = appendInt(b, `,"reasoning":`, u.Reasoning)
	return append(b, '}')
}

func appendLabels(b []byte, labels Labels) []byte {
	if len(labels) == 0 {
		return b
	}
	var room [8]string
	names := room[:0]
	for name := range labels {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		b = appendString(b, [...]string{`,"labels":{`, `,`}[min(i, 1)], name)
		b = appendString(b, `:`, labels[name])
	}
	return append(b, '}')
}

// appendTime leaves 0 out.
func appendTime(b []byte, key string, d time.Duration) []byte {
	if d == 0 {
		return b
	}
	b = append(b, key...)
	return strconv.AppendInt(b, int64(logTime(d)/timeUnit), 10)
}

func appendInt[N int | int64](b []byte, key string, n N) []byte {
	if n == 0 {
		return b
	}
	b = append(b, key...)
	return strconv.AppendInt(b, int64(n), 10)
}

func appendUint(b []byte, key string, n uint64) []byte {
	if n == 0 {
		return b
	}
	b = append(b, key...)
	return strconv.AppendUint(b, n, 10)
}

// appendTrue appends a whole field, or nothing.
func appendTrue(b []byte, field string, is bool) []byte {
	if !is {
		return b
	}
	return append(b, field...)
}

func appendText(b []byte, key, text string) []byte {
	if text == "" {
		return b
	}
	return appendString(b, key, text)
}

func appendString(b []byte, key, text string) []byte {
	b = append(b, key...)
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(text)
			if err != nil {
				panic(err) // a string always has a JSON form: bad UTF-8 becomes U+FFFD
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// UnmarshalJSON reads what MarshalJSON writes. Fields that it does not know are skipped.
func (s *Sample) UnmarshalJSON(text []byte) error {
	var j sampleJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return fmt.Errorf("read sample: %w", err)
	}
	*s = Sample{
		Index: j.Index, Due: j.Due.duration(), Sent: j.Sent.duration(), Done: j.Done.duration(),
		FirstByte: j.FirstByte.duration(), Role: j.Role.duration(), Usage: Usage(j.Usage), Status: j.Status,
		Outcome: j.Outcome, Error: j.Error, Finish: j.Finish, Reconnects: j.Reconnects, Labels: j.Labels,
		Hedged: j.Hedged, Suppressed: j.Suppressed, Bytes: j.Bytes, Conversation: j.Conversation, Turn: j.Turn, Unstreamed: j.Unstreamed, Echoed: j.Echoed, Left: j.Left,
	}
	for _, a := range j.Attempts {
		s.Attempts = append(s.Attempts, Attempt{
			Sent: a.Sent.duration(), Done: a.Done.duration(), Status: a.Status, Outcome: a.Outcome, Error: a.Error,
			Endpoint: a.Endpoint, Hedge: a.Hedge, Prompt: a.Prompt, Output: a.Output,
		})
	}
	var err error
	s.Chunks, err = j.chunks()
	return err
}

func (j *sampleJSON) chunks() ([]Chunk, error) {
	if len(j.At) == 0 {
		return nil, nil
	}
	chunks := make([]Chunk, len(j.At))
	at := int64(0)
	for i, gap := range j.At {
		at += gap
		if at < 0 || at > math.MaxInt64/int64(chunkUnit)-1 {
			return nil, fmt.Errorf("read sample %d: chunk %d came at %d × 10 µs, outside of any run", j.Index, i, at)
		}
		chunks[i] = Chunk{At: time.Duration(at) * chunkUnit, Tokens: 1}
	}
	next := int64(0)
	for i := 0; i+1 < len(j.Tokens); i += 2 {
		next += j.Tokens[i]
		if next < 0 || next >= int64(len(chunks)) {
			return nil, fmt.Errorf("read sample %d: tokens of chunk %d, but there are %d chunks", j.Index, next, len(chunks))
		}
		chunks[next].Tokens = int(j.Tokens[i+1])
		next++
	}
	next = 0
	for _, others := range j.Coalesced {
		next += others
		if next < 0 || next >= int64(len(chunks)) {
			return nil, fmt.Errorf("read sample %d: coalesced chunk %d, but there are %d chunks", j.Index, next, len(chunks))
		}
		chunks[next].Coalesced = true
		next++
	}
	return chunks, nil
}
