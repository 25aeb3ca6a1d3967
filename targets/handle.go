package targets

// HandleVersion is the version of the Handle's JSON.
const HandleVersion = 1

// A Handle is what another process needs to Attach to a stack: it is what
// `failwhale stack --write` writes, and a part of every journal entry. It holds no secret.
type Handle struct {
	Version int `json:"version"`
	// ID is unique to this start of the stack; for a real stack it is derived from its endpoints.
	ID string `json:"id"`
	// Supervisor is the reference stack's; nil for a real stack.
	Supervisor *Supervisor `json:"supervisor,omitempty"`
	// Reference is what was started, with every knob resolved; nil for a real stack.
	Reference *Reference `json:"reference,omitempty"`

	Endpoints    map[string]Endpoint   `json:"endpoints"`
	Metrics      map[string]Metrics    `json:"metrics,omitempty"`
	Regions      map[string]Region     `json:"regions,omitempty"`
	Stores       map[string]Store      `json:"stores,omitempty"`
	Dependencies map[string]Dependency `json:"dependencies,omitempty"`
	GPUs         map[string]GPU        `json:"gpus,omitempty"`
}

// A Supervisor starts, holds down and restarts the processes of a reference stack.
type Supervisor struct {
	// URL of the control API.
	URL string `json:"url"`
	// Process is the supervisor's own identity: when it is gone, so is the stack.
	Process ProcessID `json:"process"`
}

// A ProcessID names one process for good: pids are used again, also after a reboot.
type ProcessID struct {
	PID int `json:"pid"`
	// Start is the start time in clock ticks since boot (field 22 of /proc/PID/stat);
	// on macOS, in microseconds since the epoch.
	Start uint64 `json:"start"`
	// Boot is the boot id (/proc/sys/kernel/random/boot_id).
	Boot string `json:"boot"`
	// Namespace is the inode of the PID namespace in which PID is meant (/proc/self/ns/pid). 0: not known.
	Namespace uint64 `json:"pid_namespace,omitempty"`
}

// A Region is one region's process under a supervisor.
type Region struct {
	// Process is its name in the control API: region-east.
	Process string `json:"process"`
	// URL is its own front door, behind the edge: its metrics are at /metrics.
	URL string `json:"url,omitempty"`
	// Touched is a URL that answers {"count": n, "what": "..."}: how many requests have met
	// the region's failure since the stack started. A fault reports the difference.
	Touched string `json:"touched,omitempty"`
}
