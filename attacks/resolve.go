package attacks

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// expand puts environment variables in the place of their ${NAME} references. A
// variable that is not set, or is empty, is an error with its name and without any value.
func expand(text string, lookup func(string) (string, bool)) (string, error) {
	var errs []error
	reference := regexp.MustCompile(`\$\{([^}]*)\}?`)
	out := reference.ReplaceAllStringFunc(text, func(ref string) string {
		name, closed := strings.CutSuffix(strings.TrimPrefix(ref, "${"), "}")
		if !closed || !isEnvName(name) {
			errs = append(errs, fmt.Errorf("reference %q is no variable: write ${NAME}", ref))
			return ""
		}
		value, ok := "", false
		if lookup != nil {
			value, ok = lookup(name)
		}
		if !ok || value == "" {
			errs = append(errs, fmt.Errorf("environment variable %s is not set: export it", name))
		}
		return value
	})
	return out, errors.Join(errs...)
}

func isEnvName(name string) bool {
	for i, c := range name {
		letter := c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// ourHeaders are those that a request needs as they are.
func ourHeaders() []string {
	return []string{
		"Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Accept", "Accept-Encoding",
	}
}

// checkHeader says what is wrong with a header that an endpoint adds; never its value, which may be a secret.
func checkHeader(name, value string) error {
	for _, ours := range ourHeaders() {
		if strings.EqualFold(name, ours) {
			return fmt.Errorf("header %q is set by the attack itself: remove it", name)
		}
	}
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("header %q is no valid name", name)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("header %q has a value with control characters", name)
	}
	return nil
}

// proxyNote is what to add where a connection fails and the environment names a proxy for such URLs: it
// may be the only way out, and we do not go by it. Its value, which may hold a password, is not told.
func proxyNote(scheme string, lookup func(string) (string, bool)) string {
	if lookup == nil {
		return ""
	}
	for _, name := range []string{strings.ToUpper(scheme) + "_PROXY", scheme + "_proxy"} {
		if value, ok := lookup(name); ok && value != "" {
			return fmt.Sprintf(" (%s is set, but proxies are not used)", name)
		}
	}
	return ""
}

// trust returns a TLS configuration that trusts the authorities in a PEM file, or the system's if it is "".
func trust(file string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if file == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read ca: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca %q holds no certificate in PEM", file)
	}
	return cfg, nil
}
