package faults

import "fmt"

// RegionKill takes a region of a stack with a supervisor away.
type RegionKill struct {
	// Region is the role of the region. Required.
	Region string `yaml:"region" json:"region"`
	// Mode is kill (the process dies and is held down: connections are refused) or stop
	// (it is frozen: connections are accepted and hang). Optional; default kill.
	Mode KillMode `yaml:"mode" json:"mode,omitempty"`
	// AllowLast permits it to be the only region that runs. Optional; default false.
	AllowLast bool `yaml:"allow_last" json:"allow_last,omitempty"`
}

// KillMode says how RegionKill takes a region away. The zero value is Kill.
type KillMode string

// Modes of RegionKill.
const (
	Kill KillMode = "kill"
	Stop KillMode = "stop"
)

// UnmarshalText reads kill or stop.
func (m *KillMode) UnmarshalText(text []byte) error {
	switch v := KillMode(text); v {
	case Kill, Stop:
		*m = v
		return nil
	}
	return fmt.Errorf("mode %q isn't one of [%s %s]", text, Kill, Stop)
}
