package faults

// GPUThrottle locks the clocks of a GPU. Either Clock, or Min and Max.
type GPUThrottle struct {
	// GPU is the role of the GPU. Required.
	GPU string `yaml:"gpu" json:"gpu"`
	// Clock locks it to one frequency, in MHz. Optional.
	Clock int `yaml:"clock" json:"clock,omitempty"`
	// Min and Max lock it to a range, in MHz. Optional.
	Min int `yaml:"min" json:"min,omitempty"`
	Max int `yaml:"max" json:"max,omitempty"`
	// AllowShared permits a GPU in MIG mode, where every tenant is slowed down. Optional; default false.
	AllowShared bool `yaml:"allow_shared" json:"allow_shared,omitempty"`
}
