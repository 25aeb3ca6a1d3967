package faults

// ConfigPush writes a config into a store, all at once, as an automated rollout would.
// Exactly one of Set and Body.
type ConfigPush struct {
	// Store is the role of the config store. Required.
	Store string `yaml:"store" json:"store"`
	// Set changes single fields of a JSON document: dotted path to value, null allowed.
	// A dot inside a name is written \. and an array's element by its index. Everything
	// else stays as it is, byte for byte. Optional.
	Set map[string]any `yaml:"set" json:"set,omitempty"`
	// Body replaces the whole document, verbatim. Optional.
	Body *string `yaml:"body" json:"body,omitempty"`
}
