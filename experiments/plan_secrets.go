package experiments

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// The only forms in which a secret may stand in a file; a header's may follow a scheme, as in Bearer ${NAME}.
var (
	reference       = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`)
	headerReference = regexp.MustCompile(`^([A-Za-z]+ )?\$\{[A-Za-z_][A-Za-z0-9_]*\}$`)
	anyReference    = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)
)

// unset warns once of each variable that keys and headers refer to and that is not set here: it may be where the run is.
func (c *checker) unset() {
	if c.lookup == nil {
		return
	}
	told := map[string]bool{}
	look := func(path, text string) {
		for _, found := range anyReference.FindAllStringSubmatch(text, -1) {
			name := found[1]
			if value, _ := c.lookup(name); value == "" && !told[name] {
				told[name] = true
				c.warn(path, "environment variable %s is not set here: export it where the run is to be", name)
			}
		}
	}
	headers := func(path string, all map[string]string) {
		for _, header := range slices.Sorted(maps.Keys(all)) {
			look(join(join(path, "headers"), header), all[header])
		}
	}
	stack := c.plan.Stack
	if !c.plan.Attack.None { // it sends nothing that has them
		for _, name := range slices.Sorted(maps.Keys(stack.Endpoints)) {
			path := join("stack.endpoints", name)
			look(join(path, "key"), stack.Endpoints[name].Key)
			headers(path, stack.Endpoints[name].Headers)
		}
		for i, client := range c.plan.Attack.Clients {
			path := fmt.Sprintf("attack.clients[%d]", i)
			look(path+".key", client.Key)
			headers(path, client.Headers)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(stack.Metrics)) {
		look(join(join("stack.metrics", name), "key"), stack.Metrics[name].Key)
	}
}

// secrets refuses those that are written out: plan, log and journal never hold one. No message repeats one.
func (c *checker) secrets() {
	for i, client := range c.plan.Attack.Clients {
		path := fmt.Sprintf("attack.clients[%d]", i)
		c.secretKey(path+".key", client.Key)
		c.secretHeaders(path, client.Headers)
	}
	stack := c.plan.Stack
	for name, endpoint := range stack.Endpoints {
		path := join("stack.endpoints", name)
		c.secretKey(join(path, "key"), endpoint.Key)
		c.secretURL(join(path, "url"), endpoint.URL, `write key: "${NAME}", or headers`)
		c.secretHeaders(path, endpoint.Headers)
	}
	for name, page := range stack.Metrics {
		path := join("stack.metrics", name)
		c.secretKey(join(path, "key"), page.Key)
		c.secretURL(join(path, "url"), page.URL, `write key: "${NAME}"`)
	}
	for name, store := range stack.Stores {
		c.secretURL(join(join("stack.stores", name), "url"), store.URL, noSecret)
		c.secretURL(join(join("stack.stores", name), "readers"), store.Readers, noSecret)
	}
	for name, dependency := range stack.Dependencies {
		c.secretURL(join(join("stack.dependencies", name), "control"), dependency.Control, noSecret)
	}
}

// noSecret: failwhale has none to show there.
const noSecret = "leave it out, and let failwhale reach it without"

func (c *checker) secretKey(path, value string) {
	if value != "" && !reference.MatchString(value) && c.fine(path) {
		c.atPath(path, `is written out: put it into an environment variable and write "${NAME}"`)
	}
}

// secretHeaders refuses those of whatever is at path.
func (c *checker) secretHeaders(path string, headers map[string]string) {
	for header, value := range headers {
		if secretHeader(header) && !headerReference.MatchString(value) {
			c.atPath(join(join(path, "headers"), header), `holds a secret: put it into an environment variable and write "${NAME}", or "Bearer ${NAME}"`)
		}
	}
}

// secretURL refuses a URL with a user or with a parameter that is called like a secret, whatever its value:
// URLs are written into the log and the journal, and no variable is put into them. instead says what to do.
func (c *checker) secretURL(path, text, instead string) {
	u, err := url.Parse(text)
	switch {
	case err != nil && strings.Contains(text, "@"), err == nil && (u.User != nil || strings.Contains(u.Opaque, "@")):
		c.atPath(path, "holds a user or a password before @: %s", instead)
		return
	}
	start := strings.IndexAny(text, "?#")
	if start < 0 {
		return
	}
	for parameter := range strings.FieldsFuncSeq(text[start:], func(r rune) bool { return strings.ContainsRune("?#&;", r) }) {
		name, _, _ := strings.Cut(parameter, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if secretParameter(name) {
			c.atPath(path, "has a parameter that is named like a secret: %s", instead)
			return
		}
	}
}

// secretParameter goes by how each word of a name ends: api_key, apikey and X-Amz-Signature, but not max_tokens.
func secretParameter(name string) bool {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r < 'a' || r > 'z' })
	return slices.ContainsFunc(words, func(word string) bool {
		return slices.ContainsFunc([]string{
			"key", "token", "secret", "password", "passwd", "pwd", "auth", "authorization", "credential", "credentials", "signature", "sig",
		}, func(end string) bool { return strings.HasSuffix(word, end) })
	})
}

// secretHeader is wider: what is no secret can be a reference too.
func secretHeader(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "key", "token", "secret", "cookie", "password", "credential", "signature"}, func(s string) bool {
		return strings.Contains(name, s)
	})
}
