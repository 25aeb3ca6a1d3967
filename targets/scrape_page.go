package targets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/failwhale/failwhale/results"
)

// MaxMetrics bounds a page of metrics, in bytes. A busy vLLM shows some 100 KB.
const MaxMetrics = 4 << 20

// A pageReader reads one page, again and again.
type pageReader struct {
	name, url, key string
	labels         results.Labels
	client         *http.Client
	nudge          chan struct{} // capacity 1
	failed         string        // what was last told of it; "": its figures
}

// read asks for the page once. Every error is without a secret.
func (r *pageReader) read(ctx context.Context) (results.Reading, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return results.Reading{}, err
	}
	// OpenMetrics is not asked for: expfmt does not read all of it.
	req.Header.Set("Accept", "text/plain;version=0.0.4;q=1,text/plain;q=0.5")
	if r.key != "" {
		req.Header.Set("Authorization", "Bearer "+r.key)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return results.Reading{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read from
	text, err := io.ReadAll(io.LimitReader(resp.Body, MaxMetrics+1))
	if err != nil {
		return results.Reading{}, fmt.Errorf("read the page: %w", err)
	}
	if len(text) > MaxMetrics {
		return results.Reading{}, fmt.Errorf("the page is larger than %d bytes", MaxMetrics)
	}
	if err = refused(resp, text); err != nil {
		return results.Reading{}, err
	}
	return ParseMetrics(text)
}

// refused says why an answer is no page of metrics, and what may help; nil: it may be one.
func refused(resp *http.Response, text []byte) error {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	start := bytes.TrimSpace(text)
	json := strings.HasSuffix(kind, "json") || bytes.HasPrefix(start, []byte("[")) || bytes.HasPrefix(start, []byte(`{"`))
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound, code == http.StatusNotImplemented, code == http.StatusMethodNotAllowed:
		return fmt.Errorf("%s: SGLang has metrics only with --enable-metrics, llama.cpp with --metrics, Ollama has none; "+
			"TensorRT-LLM's are at /prometheus/metrics, Triton's at port 8002", resp.Status)
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return fmt.Errorf(`%s: write key: "${NAME}" beside the url`, resp.Status)
	case code != http.StatusOK:
		return fmt.Errorf("%s: %s", resp.Status, reason(text))
	case json:
		return errors.New("it answers JSON and not Prometheus' text: of TensorRT-LLM write …/prometheus/metrics " +
			"instead of …/metrics")
	case kind == "text/html":
		return errors.New("it answers a web page and not Prometheus' text: write the URL of the server's own metrics")
	}
	return nil
}

// tell words an error so that the same trouble is the same text each time, and without what may be a secret: a
// connection's own port changes, and a URL's query may be one.
func (r *pageReader) tell(ctx context.Context, err error) string {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		plain := *op
		plain.Source = nil
		err = &plain
	}
	return strings.ToValidUTF8(fmt.Sprintf("GET %s: %v", shownURL(r.url), err), "?")
}
