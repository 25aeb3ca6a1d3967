package targets

import (
	"net/url"
	"strings"
)

// resourceURL is a URL as the name of what it locates: without who asks for it.
func resourceURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	u.User, u.Fragment = nil, ""
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	return u.String()
}

// shownURL is a URL for a message, also one that cannot be parsed: without its password and its query.
func shownURL(raw string) string {
	raw, _, _ = strings.Cut(raw, "?")
	at := strings.LastIndexByte(raw, '@')
	if at < 0 {
		return raw
	}
	scheme, _, ok := strings.Cut(raw[:at], "://")
	if !ok {
		return "xxxxx" + raw[at:]
	}
	return scheme + "://xxxxx" + raw[at:]
}
