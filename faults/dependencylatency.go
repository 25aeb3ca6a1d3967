package faults

import (
	"time"

	"github.com/failwhale/failwhale/targets/wire"
)

// DependencyLatency delays the bytes between a stack and one of its dependencies,
// on connections that are open as well as on new ones. Each chunk is shifted by
// Latency ± Jitter from its arrival; the order is kept.
type DependencyLatency struct {
	// Dependency is the role of the dependency. Required.
	Dependency string `yaml:"dependency" json:"dependency"`
	// Latency is added to every chunk. Required.
	Latency time.Duration `yaml:"latency" json:"latency"`
	// Jitter varies it, evenly, by up to this much either way; at most Latency. Optional; default none.
	Jitter time.Duration `yaml:"jitter" json:"jitter,omitempty"`
	// Direction is down (answers), up (requests) or both, each with the full latency. Optional; default down.
	Direction wire.Direction `yaml:"direction" json:"direction,omitempty"`
}
