package targets

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// An httpStore is a resource with an ETag: RFC 9110, sections 8.8.3 and 13.1.
type httpStore struct {
	url  string
	http *http.Client
}

func (h *httpStore) check(context.Context) error { return nil } // a server tells by doing

func (h *httpStore) read(ctx context.Context) (Document, error) {
	// A compressed variant has an ETag of its own.
	a, err := h.do(ctx, http.MethodGet, nil, http.Header{"Accept-Encoding": {"identity"}})
	switch {
	case err != nil:
		return Document{}, err
	case a.code == http.StatusNotFound:
		return Document{Absent: true}, nil
	case a.code != http.StatusOK:
		return Document{}, fmt.Errorf("GET %s: %s: %s", h.url, a.status, reason(a.body))
	}
	tag := a.header.Get("ETag")
	if tag == "" {
		return Document{}, fmt.Errorf("GET %s: the answer has no ETag: without one a change cannot be undone safely; use a store that honours If-Match, or file", h.url)
	}
	if strings.HasPrefix(tag, "W/") {
		return Document{}, fmt.Errorf("GET %s: ETag %s is weak, and If-Match compares strong ones only; have the server send a strong one", h.url, tag)
	}
	return Document{Body: a.body, Version: tag, Type: a.header.Get("Content-Type")}, nil
}

func (h *httpStore) swap(ctx context.Context, was Document, body []byte) error {
	head := h.condition(was)
	head.Set("Content-Type", cmp.Or(was.Type, "application/octet-stream"))
	return h.change(ctx, http.MethodPut, body, head)
}

func (h *httpStore) remove(ctx context.Context, was Document) error {
	return h.change(ctx, http.MethodDelete, nil, h.condition(was))
}

func (h *httpStore) fence(ctx context.Context, was Document) error {
	if was.Absent {
		return fmt.Errorf("PUT %s: there is no document whose version a write could change", h.url)
	}
	return h.swap(ctx, was, was.Body)
}

func (h *httpStore) resource() string { return resourceURL(h.url) }

func (h *httpStore) condition(was Document) http.Header {
	if was.Absent {
		return http.Header{"If-None-Match": {"*"}}
	}
	return http.Header{"If-Match": {was.Version}}
}

func (h *httpStore) change(ctx context.Context, method string, body []byte, head http.Header) error {
	a, err := h.do(ctx, method, body, head)
	switch {
	case err != nil:
		return err
	case a.code == http.StatusPreconditionFailed:
		return fmt.Errorf("%s %s: %w", method, h.url, ErrChanged)
	case a.code < 200 || a.code > 299:
		return fmt.Errorf("%s %s: %s: %s", method, h.url, a.status, reason(a.body))
	}
	return nil
}

// An httpAnswer is a response that has been read to its end.
type httpAnswer struct {
	code   int
	status string
	header http.Header
	body   []byte
}

func (h *httpStore) do(ctx context.Context, method string, body []byte, head http.Header) (*httpAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, method, h.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = head
	resp, err := h.http.Do(req)
	if err != nil {
		return nil, err // has the method and the URL
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read from
	text, err := io.ReadAll(io.LimitReader(resp.Body, MaxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("%s %s: read the answer: %w", method, h.url, err)
	}
	if len(text) > MaxConfig {
		return nil, fmt.Errorf("%s %s: the answer is larger than %d bytes", method, h.url, MaxConfig)
	}
	return &httpAnswer{resp.StatusCode, resp.Status, resp.Header, text}, nil
}
