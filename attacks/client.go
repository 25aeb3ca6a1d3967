package attacks

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefaultDeadline is how long a client waits for a whole answer. It is longer
// than any preset's stream and shorter than the patience of a person.
const DefaultDeadline = 60 * time.Second

// maxRetries bounds a client's retries: the back-off has long been at its top by then.
const maxRetries = 20

// A Client is one kind of user: who they are, how many of them, how patient. Its
// zero value is a client without a tier that waits DefaultDeadline and never retries.
type Client struct {
	// Tier is the label of the client's samples and chooses its key. Optional.
	Tier string `yaml:"tier" json:"tier,omitempty"`
	// Share of all requests. Optional; default an equal part of what the other clients leave.
	Share Share `yaml:"share" json:"share,omitempty"`
	// Key is sent as a bearer token instead of the endpoint's. Optional; "${ENV}".
	Key string `yaml:"key" json:"key,omitempty"`
	// Deadline of the whole request, retries included, from when it is sent. Optional; default 60s.
	Deadline time.Duration `yaml:"deadline" json:"deadline,omitempty"`
	// Idle is the silence after which the client gives up, before the first byte as well as
	// between two. Optional; default none but the deadline.
	Idle time.Duration `yaml:"idle" json:"idle,omitempty"`
	// Retries after a failed connection, 408, 409, 429 or 5xx, with the back-off of the OpenAI
	// SDKs. Never once a 2xx has begun. Optional; default 0.
	Retries int `yaml:"retries" json:"retries,omitempty"`
}

// Validate returns what is wrong with c on its own, or nil.
func (c Client) Validate() []error {
	var errs []error
	if c.Key != "" && !strings.Contains(c.Key, "${") {
		errs = append(errs, errors.New("key is written out: write key: ${NAME}, and export NAME"))
	}
	if c.Deadline < 0 {
		errs = append(errs, fmt.Errorf("deadline %s is negative: write 60s", c.Deadline))
	}
	if c.Idle < 0 {
		errs = append(errs, fmt.Errorf("idle %s is negative: write 10s", c.Idle))
	}
	if c.Retries < 0 || c.Retries > maxRetries {
		errs = append(errs, fmt.Errorf("retries %d is not between 0 and %d: write 2", c.Retries, maxRetries))
	}
	return errs
}

// shareSlack lets thirds be written as 33%, 33% and 34%, or as three times 33.3%.
const shareSlack = 0.005

// ValidateClients returns what is wrong with clients taken together, or nil: their
// shares must come to 100%.
func ValidateClients(clients []Client) []error {
	var errs []error
	sum, open := 0.0, 0
	for _, c := range clients {
		sum += float64(c.Share)
		if c.Share == 0 {
			open++
		}
	}
	switch {
	case sum > 1+shareSlack:
		errs = append(errs, fmt.Errorf("shares come to %s: make them 100%%", Share(sum)))
	case open > 0 && sum > 1-shareSlack:
		errs = append(errs, fmt.Errorf("shares come to 100%% and leave nothing for the %d client(s) without one", open))
	case open == 0 && len(clients) > 0 && sum < 1-shareSlack:
		errs = append(errs, fmt.Errorf("shares come to %s: make them 100%%", Share(sum)))
	}
	return errs
}

// Shares returns the part of all requests that each client makes, in order: a client without a share has an
// equal part of what the others leave. For clients that ValidateClients has nothing against they come to 1.
func Shares(clients []Client) []float64 {
	parts := make([]float64, len(clients))
	sum, open := 0.0, 0
	for i, c := range clients {
		parts[i] = float64(c.Share)
		sum += parts[i]
		if c.Share == 0 {
			open++
		}
	}
	for i := range parts {
		if parts[i] == 0 {
			parts[i] = (1 - sum) / float64(open)
		} else if open == 0 {
			parts[i] /= sum
		}
	}
	return parts
}

// A Share is a part of all requests, 0 to 1. Its zero value means not set.
type Share float64

// UnmarshalText reads "50%" or "0.5%".
func (s *Share) UnmarshalText(text []byte) error {
	number, isPercent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	if !isPercent {
		return fmt.Errorf("share %q is no percentage: write 50%%", text)
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n > 0 && n <= 100) {
		return fmt.Errorf("share %q is not over 0%% and up to 100%%: write 50%%", text)
	}
	*s = Share(n / 100)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String gives the percentage: "50%".
func (s Share) String() string { return strconv.FormatFloat(float64(s)*100, 'g', 6, 64) + "%" }
