package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A Client speaks to the control API of a Proxy in another process.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a client of the API at base, which is the URL without /v1.
func NewClient(base string, hc *http.Client) *Client {
	return &Client{strings.TrimSuffix(base, "/"), hc}
}

// Links returns the state of every link, by name.
func (c *Client) Links(ctx context.Context) ([]State, error) {
	var out linksJSON
	err := c.do(ctx, http.MethodGet, "/v1/links", nil, &out)
	return out.Links, err
}

// SetFault is Proxy.SetFault.
func (c *Client) SetFault(ctx context.Context, link string, f Fault) (State, error) {
	var s State
	err := c.do(ctx, http.MethodPut, "/v1/links/"+url.PathEscape(link)+"/fault", f, &s)
	return s, err
}

// ClearFault is Proxy.ClearFault.
func (c *Client) ClearFault(ctx context.Context, link, id string) (State, error) {
	var s State
	path := "/v1/links/" + url.PathEscape(link) + "/fault?id=" + url.QueryEscape(id)
	err := c.do(ctx, http.MethodDelete, path, nil, &s)
	return s, err
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return fmt.Errorf("ask the wire proxy: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the wire proxy: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read from
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return fmt.Errorf("ask the wire proxy: %s %s: %w", method, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(method+" "+c.base+path, resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("ask the wire proxy: %s %s: read the answer: %w", method, path, err)
	}
	return nil
}

// refusal turns an answer back into the error that a Proxy returned.
func refusal(call string, status int, text []byte) error {
	var e errorJSON
	// A 404 that is not ours comes from something else at that address, and means no link.
	if err := json.Unmarshal(text, &e); err != nil || e.Error == "" {
		return fmt.Errorf("ask the wire proxy: %s answers %d and is no wire proxy: %.200q", call, status, text)
	}
	if is, ok := statuses()[status]; ok {
		return &refused{e.Error, is}
	}
	return fmt.Errorf("ask the wire proxy: %s answers %d: %s", call, status, e.Error)
}

// refused has the proxy's own words, and is the error that they stand for.
type refused struct {
	text string
	is   error
}

func (r *refused) Error() string { return r.text }
func (r *refused) Unwrap() error { return r.is }
