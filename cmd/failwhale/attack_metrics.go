package main

import (
	"fmt"
	"net/url"

	"github.com/failwhale/failwhale/targets"
)

// attackMetrics makes pages to read beside the load of their URLs. They have no labels: all of them together stand
// beside all of the load.
func attackMetrics(urls []string) (map[string]targets.Metrics, error) {
	pages := map[string]targets.Metrics{}
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
			return nil, fmt.Errorf("--metrics wants a URL of the form http://host:port/metrics, without a user")
		}
		if _, twice := pages[u.Host]; twice {
			return nil, fmt.Errorf("--metrics names %s twice: once is enough", u.Host)
		}
		pages[u.Host] = targets.Metrics{URL: text}
	}
	return pages, nil
}
