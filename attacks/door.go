package attacks

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/failwhale/failwhale/targets"
)

// A door is one endpoint as the attack's clients use it: its wire formats, its connections, its labels.
type door struct {
	name   string // as a client's failover and its samples call it
	url    string // of the first route; for messages
	model  string // where the workload names none
	labels map[string]targets.Label
	routes []route // one for each class of the workload
	pools  []*pool // one for each client; those who connect in the same way share one
}

// A route is how requests of one class are asked at a door.
type route struct {
	dialect targets.Dialect
	heads   [][]byte // each client's request up to the content length
	body    template // what the class lays over the dialect's JSON
}

// newDoor looks at an endpoint. Its error names everything that is wrong at once, and holds no secret.
func (cfg *Config) newDoor(name string, e targets.Endpoint, clients []Client) (*door, error) {
	d := &door{name: name, model: cmp.Or(e.Model, targets.DefaultModel), labels: e.Labels}
	roots, err := trust(e.CA)
	errs := []error{err}
	for i, class := range cfg.Workload.resolve() {
		rt, u, err := cfg.newRoute(&e, d.model, &class, clients)
		if !slices.ContainsFunc(errs, func(e error) bool { return e != nil && err != nil && e.Error() == err.Error() }) {
			errs = append(errs, err) // what is wrong with the endpoint is wrong for each class
		}
		if u == nil {
			continue
		}
		if d.routes = append(d.routes, rt); i == 0 {
			d.url = u.String()
			d.pools = cfg.newPools(u, roots, clients)
		}
	}
	return d, errors.Join(errs...)
}

// newRoute looks at how a class is asked there. No URL: it cannot be.
func (cfg *Config) newRoute(e *targets.Endpoint, model string, class *Class, clients []Client) (route, *url.URL, error) {
	dialect, err := cfg.dialect(e, class)
	if err != nil {
		return route{}, nil, err
	}
	name := cmp.Or(class.Feature, class.Preset)
	if err := errors.Join(class.wordless(dialect)...); err != nil {
		return route{}, nil, fmt.Errorf("class %s: %w", name, err)
	}
	rt := route{dialect: dialect, body: newTemplate(class.Body)}
	ask := targets.Prompt{Model: model, MaxTokens: 1, Tools: newMould(*class).tools}
	if len(class.Golden) > 0 {
		ask.Temperature = new(float64)
	}
	ask.Extra = rt.body.fill(&ask)
	probe, err := dialect.Encode(ask) // what it cannot ask is to be known before the first request is due
	if err != nil {
		return rt, nil, fmt.Errorf("class %s: %w", name, err)
	}
	u, err := targets.JoinURL(e.URL, cmp.Or(class.Path, probe.Path))
	switch {
	case err != nil:
		return rt, nil, err
	case u.User != nil:
		return rt, nil, errors.New(`url holds a user or a password: write key: "${NAME}" or headers instead`)
	}
	var errs []error
	for i := range clients {
		head, err := cfg.head(e, dialect, probe.ContentType, u, &clients[i])
		errs = append(errs, err)
		rt.heads = append(rt.heads, head)
	}
	return rt, u, errors.Join(errs...)
}

// dialect is the class's, or its preset's, or else the endpoint's.
func (cfg *Config) dialect(e *targets.Endpoint, class *Class) (targets.Dialect, error) {
	switch {
	case class.Dialect != "":
		return targets.DialectNamed(class.Dialect)
	case cfg.Dialect != nil:
		return cfg.Dialect, nil
	}
	return targets.DialectNamed(e.Dialect)
}

// close ends the connections that are idle, and those that are still to come back.
func (d *door) close() {
	for _, p := range d.pools {
		p.close()
	}
}

// request writes a turn as it goes over the wire to d.
func (d *door) request(t *turn) ([]byte, error) {
	rt := &d.routes[t.class]
	ask := t.ask
	ask.Extra = rt.body.fill(&ask)
	asked, err := rt.dialect.Encode(ask)
	if err != nil {
		return nil, err
	}
	head := rt.heads[t.client]
	request := make([]byte, 0, len(head)+len(asked.Body)+16)
	request = append(request, head...)
	request = strconv.AppendInt(request, int64(len(asked.Body)), 10)
	return append(append(request, "\r\n\r\n"...), asked.Body...), nil
}

// head writes a client's request up to the content length. Nothing of vegeta's is in it. A header of the
// client's wins over the endpoint's, and that over the dialect's of the same name, but for the one that carries the key.
func (cfg *Config) head(e *targets.Endpoint, d targets.Dialect, contentType string, u *url.URL, c *Client) ([]byte, error) {
	key, err := expand(cmp.Or(c.Key, e.Keys[c.Tier], e.Key), cfg.LookupEnv)
	errs := []error{prefix("key", err)}
	if !httpguts.ValidHeaderFieldValue(key) {
		errs = append(errs, errors.New("key has control characters"))
	}
	h := http.Header{"User-Agent": {"failwhale"}}
	unkeyed, keyed := d.Headers(""), d.Headers(key)
	for name, value := range unkeyed {
		h.Set(name, value)
	}
	written := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		value, err := expand(e.Headers[name], cfg.LookupEnv)
		errs = append(errs, prefix("header "+name, err), checkHeader(name, value))
		canonical := http.CanonicalHeaderKey(name)
		if other, twice := written[canonical]; twice {
			errs = append(errs, fmt.Errorf("headers %q and %q are the same one: remove one", other, name))
		}
		written[canonical] = name
		h[canonical] = []string{value}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) { // whose names the client's own check has looked at
		value, err := expand(c.Headers[name], cfg.LookupEnv)
		if !httpguts.ValidHeaderFieldValue(value) {
			err = errors.New("has a value with control characters")
		}
		errs = append(errs, prefix(fmt.Sprintf("a client's header %q", name), err))
		canonical := http.CanonicalHeaderKey(name)
		written[canonical] = name
		h[canonical] = []string{value}
	}
	for name, value := range keyed {
		if unkeyed[name] == value {
			continue
		}
		if other, twice := written[http.CanonicalHeaderKey(name)]; twice {
			errs = append(errs, fmt.Errorf("header %q and the key say the same thing: remove one", other))
		}
		h.Set(name, value)
	}
	ascii, err := httpguts.PunycodeHostPort(u.Host)
	errs = append(errs, err)
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\n", u.RequestURI(), ascii)
	errs = append(errs, h.Write(&b))
	fmt.Fprintf(&b, "Content-Type: %s\r\nAccept: %s\r\nAccept-Encoding: identity\r\nContent-Length: ",
		cmp.Or(contentType, "application/json"), mediaType(d.Framing()))
	return []byte(b.String()), errors.Join(errs...)
}

// mediaType is how a stream of that framing is called.
func mediaType(f targets.Framing) string {
	switch f {
	case targets.Lines:
		return "application/x-ndjson"
	case targets.Whole:
		return "application/json"
	default:
		return "text/event-stream"
	}
}
