package targets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/failwhale/failwhale/targets/wire"
)

// A DependencyControl drives the proxy links to one dependency.
type DependencyControl struct {
	name    string
	control string // URL
	links   []string
	client  *wire.Client
}

func newDependencyControl(name string, d Dependency, hc *http.Client) *DependencyControl {
	return &DependencyControl{name, d.Control, d.Links, wire.NewClient(d.Control, hc)}
}

// Resources name the links: the same for all stacks that use the proxy.
func (d *DependencyControl) Resources() []string {
	var all []string
	for _, link := range d.links {
		all = append(all, resourceURL(strings.TrimSuffix(d.control, "/")+"/v1/links/"+url.PathEscape(link)))
	}
	return all
}

// Links returns the state of the dependency's links, in the order in which the
// stack names them. One that the proxy does not have is an error.
func (d *DependencyControl) Links(ctx context.Context) ([]wire.State, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	all, err := d.client.Links(ctx)
	if err != nil {
		return nil, fmt.Errorf("dependency %s: %w", d.name, err)
	}
	var states []wire.State
	for _, name := range d.links {
		i := slices.IndexFunc(all, func(s wire.State) bool { return s.Name == name })
		if i < 0 {
			names := make([]string, len(all))
			for i, s := range all {
				names[i] = s.Name
			}
			return nil, fmt.Errorf("dependency %s: %w %q: the proxy has [%s]", d.name, wire.ErrUnknown, name, strings.Join(names, " "))
		}
		states = append(states, all[i])
	}
	return states, nil
}

// Set puts f in force on every link, or renews it. It goes on after an error.
func (d *DependencyControl) Set(ctx context.Context, f wire.Fault) error {
	return d.each(ctx, func(ctx context.Context, link string) error {
		_, err := d.client.SetFault(ctx, link, f)
		return err
	})
}

// Clear ends the fault of that id on every link. A link without one is fine. It goes on after an error.
func (d *DependencyControl) Clear(ctx context.Context, id string) error {
	return d.each(ctx, func(ctx context.Context, link string) error {
		_, err := d.client.ClearFault(ctx, link, id)
		return err
	})
}

func (d *DependencyControl) each(ctx context.Context, do func(context.Context, string) error) error {
	var errs []error
	for _, link := range d.links {
		c, cancel := context.WithTimeout(ctx, askLimit)
		if err := do(c, link); err != nil {
			errs = append(errs, fmt.Errorf("dependency %s: %w", d.name, err))
		}
		cancel()
	}
	return errors.Join(errs...)
}
