package targets

import (
	"fmt"
	"slices"
	"strings"
)

// A Spec is a stack as an experiment file writes it down: exactly one of
// Reference, Attach and Endpoints.
type Spec struct {
	// Reference starts the embedded reference stack. Optional.
	Reference *Reference `yaml:"reference" json:"reference,omitempty"`
	// Attach is the path of a Handle that `failwhale stack --write` wrote. Optional.
	Attach string `yaml:"attach" json:"attach,omitempty"`
	// Endpoints are the front doors of a real stack, by name. Optional.
	Endpoints map[string]Endpoint `yaml:"endpoints" json:"endpoints,omitempty"`
	// Metrics are where the stack's servers show their own figures, by any name. They are read beside
	// the load, on its clock. Optional; only beside Endpoints.
	Metrics map[string]Metrics `yaml:"metrics" json:"metrics,omitempty"`
	// Stores, Dependencies and GPUs bind a real stack's roles, so that faults can
	// name them. Optional; only beside Endpoints.
	Stores       map[string]Store      `yaml:"stores" json:"stores,omitempty"`
	Dependencies map[string]Dependency `yaml:"dependencies" json:"dependencies,omitempty"`
	GPUs         map[string]GPU        `yaml:"gpus" json:"gpus,omitempty"`
}

// Reference says what the embedded reference stack looks like. The zero value
// is three regions of four replicas, hardened.
type Reference struct {
	// Regions by name. Optional; default east, west, central. The first holds the session store's primary.
	Regions []string `yaml:"regions" json:"regions,omitempty"`
	// Replicas of the engine in each region. Optional; default 4.
	Replicas int `yaml:"replicas" json:"replicas,omitempty"`
	// Resilience sets every knob at once. Optional; default hardened.
	Resilience Resilience `yaml:"resilience" json:"resilience,omitempty"`
	// Knobs overrides single ones. Optional.
	Knobs Knobs `yaml:"knobs" json:"knobs,omitzero"`
}

// Validate returns what is wrong with r, or nil.
func (r Reference) Validate() []error {
	var errs []error
	for i, name := range r.Regions {
		switch {
		case !regionName(name):
			errs = append(errs, fmt.Errorf("regions has %q, which is no name of one: write a to z, 0 to 9 and -, beginning with a letter, at most %d", name, maxRegionName))
		case slices.Contains(r.Regions[:i], name):
			errs = append(errs, fmt.Errorf("regions has %s twice: keep one", name))
		}
	}
	if len(r.Regions) > maxRegions {
		errs = append(errs, fmt.Errorf("regions has %d: write at most %d", len(r.Regions), maxRegions))
	}
	if r.Replicas < 0 || r.Replicas > maxReplicas {
		errs = append(errs, fmt.Errorf("replicas %d is not between 1 and %d", r.Replicas, maxReplicas))
	}
	return errs
}

// What one machine can be asked to hold.
const (
	maxRegions    = 16
	maxReplicas   = 64
	maxRegionName = 32
)

// regionName reports whether name can be a part of a host's name and of a label.
func regionName(name string) bool {
	return name != "" && len(name) <= maxRegionName && 'a' <= name[0] && name[0] <= 'z' &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// Resilience is the setting of a knob: the weakness that outages were made of, or its cure.
type Resilience string

// Settings of a knob. The zero value takes the stack's own setting.
const (
	Flawed   Resilience = "flawed"
	Hardened Resilience = "hardened"
)

// UnmarshalText reads flawed or hardened.
func (r *Resilience) UnmarshalText(text []byte) error {
	switch v := Resilience(text); v {
	case Flawed, Hardened:
		*r = v
		return nil
	}
	return fmt.Errorf("resilience %q isn't one of [%s %s]", text, Flawed, Hardened)
}

// Knobs are the weaknesses of the reference stack, each flawed or hardened. The
// zero value of a field takes Reference.Resilience.
type Knobs struct {
	// Edge. flawed: users are pinned to their home region. hardened: a region that fails requests
	// or probes is ejected, also one that hangs, whose silent streams are cut; a request fails over to
	// the next region before its first token.
	Edge Resilience `yaml:"edge" json:"edge,omitempty"`
	// Router. flawed: round-robin. hardened: least outstanding tokens.
	Router Resilience `yaml:"router" json:"router,omitempty"`
	// Config. flawed: consumers apply anything at once and crash on a null field. hardened:
	// they validate, stage, and keep the last known good.
	Config Resilience `yaml:"config" json:"config,omitempty"`
	// Sessions. flawed: an unbounded connection pool, connect retries without back-off, no
	// timeout, and no chat without the store. hardened: a fixed pool, a bounded wait, and
	// stateless service when the store is slow or gone.
	Sessions Resilience `yaml:"sessions" json:"sessions,omitempty"`
	// Queue. flawed: an unbounded FIFO. hardened: bounded by tokens, 429 with Retry-After past it.
	Queue Resilience `yaml:"queue" json:"queue,omitempty"`
}

// DefaultModel is what a request asks for where nobody says which model: servers of one model take any name.
const DefaultModel = "default"

// An Endpoint is one front door. Its Key and Headers hold secrets as ${ENV}
// references, which are resolved where a request is made and nowhere else.
type Endpoint struct {
	// URL is the base, with or without /v1. Required.
	URL string `yaml:"url" json:"url"`
	// Key is sent as a bearer token. Optional; "${ENV}".
	Key string `yaml:"key" json:"key,omitempty"`
	// Keys by tier, for clients that name no key of their own. Set by the reference stack.
	Keys map[string]string `yaml:"-" json:"keys,omitempty"`
	// Headers are sent with every request. Optional; values may hold ${ENV}.
	Headers map[string]string `yaml:"headers" json:"headers,omitempty"`
	// CA is a PEM file to trust instead of the system's. Optional.
	CA string `yaml:"ca" json:"ca,omitempty"`
	// Dialect is the wire format it speaks: one of Dialects. Optional; default openai-chat.
	Dialect string `yaml:"dialect" json:"dialect,omitempty"`
	// Model is the model's name in requests. Optional; default DefaultModel.
	Model string `yaml:"model" json:"model,omitempty"`
	// Labels are put on every sample. Optional.
	Labels map[string]Label `yaml:"labels" json:"labels,omitempty"`
}

// Metrics is one page of Prometheus metrics.
type Metrics struct {
	// URL of the page. Required.
	URL string `yaml:"url" json:"url"`
	// Key is sent as a bearer token. Optional; "${ENV}".
	Key string `yaml:"key" json:"key,omitempty"`
	// Labels say whose figures they are, in the words of the samples' labels: {region: east}. Optional.
	Labels map[string]string `yaml:"labels" json:"labels,omitempty"`
}

// A Label is a fixed value, or the name of the response header that tells it:
// behind one hostname only the server knows the region.
type Label struct {
	Value  string
	Header string
}

// UnmarshalText reads "value" or "header:X-Region".
func (l *Label) UnmarshalText(text []byte) error {
	if name, ok := strings.CutPrefix(string(text), "header:"); ok {
		if name = strings.TrimSpace(name); name == "" {
			return fmt.Errorf("label %q names no header: write header:X-Region", text)
		}
		*l = Label{Header: name}
		return nil
	}
	*l = Label{Value: string(text)}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (l Label) MarshalText() ([]byte, error) {
	if l.Header != "" {
		return []byte("header:" + l.Header), nil
	}
	return []byte(l.Value), nil
}

// A Store is a config store: exactly one of URL and File.
type Store struct {
	// URL is a resource that answers GET with an ETag and honours PUT with If-Match.
	URL string `yaml:"url" json:"url,omitempty"`
	// File is a path on this machine.
	File string `yaml:"file" json:"file,omitempty"`
	// Readers is a URL that answers {"count": n, "what": "..."}: how many
	// consumers have read the version that is in force. Optional.
	Readers string `yaml:"readers" json:"readers,omitempty"`
}

// A Dependency is something that the stack calls through a wire proxy.
type Dependency struct {
	// Control is the URL of the proxy's control API. Required.
	Control string `yaml:"control" json:"control"`
	// Links are the proxy's names for the connections to this dependency. Required.
	Links []string `yaml:"links" json:"links"`
}

// A GPU is one device on a host.
type GPU struct {
	// UUID as nvidia-smi -L prints it. Required: an index moves.
	UUID string `yaml:"uuid" json:"uuid"`
	// SMI is the argv that runs nvidia-smi on the GPU's host. Optional; default nvidia-smi.
	SMI []string `yaml:"smi" json:"smi,omitempty"`
	// Clocks is what the operator says the GPU is locked to outside of experiments: "unlocked"
	// or "MIN,MAX" in MHz. A lock cannot be read back, so the undo needs to be told. Required
	// for a real GPU.
	Clocks string `yaml:"clocks" json:"clocks,omitempty"`
}

// Set reads one setting as the command line has it: "edge=flawed".
func (k *Knobs) Set(setting string) error {
	name, value, ok := strings.Cut(setting, "=")
	for _, knob := range k.all() {
		if ok && knob.name == name {
			return knob.set.UnmarshalText([]byte(value))
		}
	}
	return fmt.Errorf("knob %q isn't one of [edge router config sessions queue]=flawed or hardened", setting)
}
