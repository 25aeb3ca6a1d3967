package experiments

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/failwhale/failwhale/targets"
)

// stackLine says in one line what was tested, from a log's header: "reference stack stack-662a7cce, flawed,
// queue=hardened", or the URLs of a real stack's endpoints. It is "" where the header does not tell.
func stackLine(header json.RawMessage) string {
	var h targets.Handle
	if len(header) == 0 || json.Unmarshal(header, &h) != nil {
		return ""
	}
	if h.Reference != nil {
		parts := []string{strings.TrimSpace("reference stack " + h.ID), string(h.Reference.Resolved().Resilience)}
		return strings.Join(append(parts, h.Reference.Differing()...), ", ")
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(h.Endpoints)) {
		all = append(all, strings.TrimSpace(name+" "+bare(h.Endpoints[name].URL)))
	}
	return strings.Join(all, ", ")
}

// bare is a URL without what may be a secret: a user, a query and a fragment.
func bare(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return ""
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}
