package refstack

import (
	"errors"
	"fmt"
	"slices"

	"github.com/failwhale/failwhale/targets"
)

// Resolve fills in what ref leaves open, as targets.Reference.Resolved does, and refuses what cannot be started.
func Resolve(ref targets.Reference) (targets.Reference, error) {
	ref = ref.Resolved()
	errs := ref.Validate()
	errs = append(errs, settle("resilience", &ref.Resilience))
	for knob, set := range map[string]*targets.Resilience{
		"edge": &ref.Knobs.Edge, "router": &ref.Knobs.Router, "config": &ref.Knobs.Config,
		"sessions": &ref.Knobs.Sessions, "queue": &ref.Knobs.Queue,
	} {
		errs = append(errs, settle("knob "+knob, set))
	}
	return ref, errors.Join(errs...)
}

func settle(what string, set *targets.Resilience) error {
	if err := set.UnmarshalText([]byte(*set)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// handle is what another process needs to reach the stack.
func (s *supervisor) handle(control string, cfg Config) (targets.Handle, error) {
	self, err := targets.SelfID()
	if err != nil {
		return targets.Handle{}, err
	}
	t := s.t
	shared, edge := "http://"+t.Shared, "http://"+t.Edge
	h := targets.Handle{
		Version: targets.HandleVersion, ID: t.ID,
		Supervisor: &targets.Supervisor{URL: control, Process: self},
		Reference:  &t.Reference,
		Endpoints: map[string]targets.Endpoint{"edge": {
			URL: edge, Key: keys()["free"], Keys: keys(), Model: ModelName,
			Labels: map[string]targets.Label{"region": {Header: headerRegion}, "replica": {Header: headerReplica}},
		}},
		Regions: map[string]targets.Region{}, Metrics: map[string]targets.Metrics{},
		Stores: map[string]targets.Store{targets.RouterConfig: {
			URL: shared + configPath, Readers: shared + configPath + "/readers",
		}},
		GPUs: map[string]targets.GPU{},
	}
	var links []string
	for _, r := range t.Regions {
		h.Regions[r.Name] = targets.Region{Process: "region-" + r.Name, URL: "http://" + r.Addr, Touched: edge + touchedPath + r.Name}
		h.Metrics[r.Name] = targets.Metrics{URL: "http://" + r.Addr + "/metrics", Labels: map[string]string{"region": r.Name}}
		if r.Link != "" {
			links = append(links, r.Link)
		}
		for i := range t.Reference.Replicas {
			h.GPUs[targets.GPUName(r.Name, i)] = targets.GPU{
				UUID: t.uuid(r.Name, i), SMI: slices.Concat(cfg.SMIArgv, []string{"--host", t.hostFile(r.Name)}), Clocks: targets.Unlocked,
			}
		}
	}
	if len(links) > 0 { // with one region, nothing reaches the store over a link
		h.Dependencies = map[string]targets.Dependency{targets.SessionStore: {Control: shared, Links: links}}
	}
	return h, nil
}
