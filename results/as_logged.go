package results

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// AsLogged gives the sample as reading it back from the log would: who judges samples as they come must
// come to what a reader of the log will. Its Chunks use the room of chunks, which may be nil; s stays as it is,
// and the two share what the log keeps as it is.
func (s *Sample) AsLogged(chunks []Chunk) Sample {
	c := *s
	c.Due, c.Sent, c.Done = logTime(s.Due), logTime(s.Sent), logTime(s.Done)
	c.FirstByte, c.Role = logTime(s.FirstByte), logTime(s.Role)
	c.Error, c.Finish, c.Usage.Source = logText(s.Error), logText(s.Finish), UsageSource(logText(string(s.Usage.Source)))
	c.Left = Left(logText(string(s.Left)))
	c.Labels = logLabels(s.Labels)
	c.Chunks, c.Attempts = nil, nil
	if len(s.Chunks) > 0 {
		c.Chunks = append(chunks[:0], s.Chunks...)
	}
	for i := range c.Chunks {
		c.Chunks[i].At = logChunk(c.Chunks[i].At)
	}
	for _, a := range s.Attempts {
		a.Sent, a.Done, a.Error = logTime(a.Sent), logTime(a.Done), logText(a.Error)
		a.Endpoint = logText(a.Endpoint)
		c.Attempts = append(c.Attempts, a)
	}
	return c
}

// logText replaces bytes that are not UTF-8 as JSON does.
func logText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

// logLabels gives labels as JSON does, and the same map where there is nothing to replace.
func logLabels(labels Labels) Labels {
	if len(labels) == 0 {
		return nil
	}
	for k, v := range labels {
		if utf8.ValidString(k) && utf8.ValidString(v) {
			continue
		}
		clean := make(Labels, len(labels))
		for _, k := range slices.Sorted(maps.Keys(labels)) { // of two names that become one, the log's last
			clean[logText(k)] = logText(labels[k])
		}
		return clean
	}
	return labels
}
