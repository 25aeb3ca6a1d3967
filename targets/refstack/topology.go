package refstack

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/failwhale/failwhale/targets"
)

// A topology is what every process of the stack is told: one file that the supervisor writes.
type topology struct {
	ID        string            `json:"id"`
	Dir       string            `json:"dir"`
	Reference targets.Reference `json:"reference"` // every field resolved
	Edge      string            `json:"edge"`      // host:port, as all addresses
	Shared    string            `json:"shared"`
	Primary   string            `json:"primary"` // of the session store
	Regions   []regionPlace     `json:"regions"`
}

// A regionPlace is where one region is.
type regionPlace struct {
	Name string `json:"name"`
	Addr string `json:"addr"`
	// Sessions is where it reaches the session store: the primary itself for the first region, its
	// link through the shared process for the others.
	Sessions string `json:"sessions"`
	// Link is the name of that link; empty for the first region.
	Link string `json:"link,omitempty"`
}

// The model's path in URLs.
const configPath = "/config/router"

func readTopology(path string) (*topology, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read topology: %w", err)
	}
	var t topology
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("read topology: %s: %w", path, err)
	}
	return &t, nil
}

func (t *topology) write() error {
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("write topology: %w", err)
	}
	return writeFile(t.file(), append(text, '\n'))
}

func (t *topology) file() string       { return filepath.Join(t.Dir, "topology.json") }
func (t *topology) configFile() string { return filepath.Join(t.Dir, "router-config.json") }
func (t *topology) goodFile(region string) string {
	return filepath.Join(t.Dir, "good-"+region+".json")
}

func (t *topology) hostFile(region string) string {
	return filepath.Join(t.Dir, "host-"+region+".json")
}

func (t *topology) lockFile(r string, i int) string {
	return filepath.Join(t.Dir, fmt.Sprintf("gpu-%s-%d.lock", r, i))
}

func (t *topology) region(name string) (regionPlace, error) {
	names := []string{}
	for _, r := range t.Regions {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return regionPlace{}, fmt.Errorf("region %q isn't one of %v", name, names)
}

// hardened reports whether a knob is.
func hardened(knob targets.Resilience) bool { return knob == targets.Hardened }

// policy is the one that the router knob stands for.
func (t *topology) policy() Policy {
	if hardened(t.Reference.Knobs.Router) {
		return LeastOutstandingTokens
	}
	return RoundRobin
}

// config is the router config that the stack starts with.
func (t *topology) config() ([]byte, error) {
	return DefaultRouterConfig(t.policy(), t.Reference.Replicas).encode()
}

// uuid is the name of a GPU: the same for the life of the stack.
func (t *topology) uuid(region string, i int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", t.ID, region, i))
	return fmt.Sprintf("GPU-%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// bus is a GPU's PCI address: the slots of a common eight-GPU board, then on.
func bus(i int) string { return fmt.Sprintf("00000000:%02X:00.0", (0x07+0x10*i+i/15)%256) }
