package wire

import "fmt"

// A Direction is a way through a link, seen from who connected. The zero value is Down.
type Direction string

// Directions.
const (
	Down Direction = "down" // from the upstream to who connected: answers
	Up   Direction = "up"   // from who connected to the upstream: requests
	Both Direction = "both"
)

// UnmarshalText reads down, up or both.
func (d *Direction) UnmarshalText(text []byte) error {
	switch v := Direction(text); v {
	case Down, Up, Both:
		*d = v
		return nil
	}
	return fmt.Errorf("direction %q isn't one of [%s %s %s]", text, Down, Up, Both)
}
