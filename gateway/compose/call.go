package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
)

// failure is why a part has no answer, and what a client is told if it is required.
type failure struct {
	status    int
	detail    string
	after     string   // Retry-After
	challenge []string // WWW-Authenticate
	err       error    // for operators only
}

func (f *failure) Error() string {
	if f.err == nil {
		return f.detail
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// failure tells what an error is to the client. Nothing of the error is shown: it
// may hold internal addresses.
func (p *part) failure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	f = &failure{status: http.StatusBadGateway, detail: fmt.Sprintf("the part %q got no valid answer", p.name), err: err}
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.Is(err, errLate) || errors.Is(err, context.DeadlineExceeded):
		f.late(p)
	case errors.Is(err, banyan.ErrUnavailable) || errors.As(err, &op) && op.Op == "dial":
		f.unreachable(p, "1")
	case errors.As(err, &timeout) && timeout.Timeout():
		f.late(p)
	}
	return f
}

func (f *failure) late(p *part) {
	f.status, f.detail = http.StatusGatewayTimeout, fmt.Sprintf("the part %q did not answer in time", p.name)
}

func (f *failure) unreachable(p *part, after string) {
	f.status, f.detail, f.after = http.StatusServiceUnavailable, fmt.Sprintf("the part %q cannot be reached", p.name), after
}

// refused tells what a status other than 2xx is to the client.
func (p *part) refused(resp *http.Response) error {
	f := &failure{
		status: http.StatusBadGateway, detail: fmt.Sprintf("the part %q got no valid answer", p.name),
		err: fmt.Errorf("the status is %d", resp.StatusCode),
	}
	switch code := resp.StatusCode; code {
	case http.StatusNotFound, http.StatusGone:
		if p.Empty {
			return errEmpty
		}
		if len(p.needs) == 0 {
			f.status, f.detail = code, fmt.Sprintf("the part %q does not exist", p.name)
		}
	case http.StatusUnauthorized:
		f.status, f.detail, f.challenge = code, "this needs credentials", resp.Header.Values("Www-Authenticate")
	case http.StatusForbidden:
		f.status, f.detail = code, "this is not allowed"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		f.unreachable(p, seconds(resp.Header.Get("Retry-After")))
	case http.StatusGatewayTimeout:
		f.late(p)
	}
	return f
}

// seconds of a Retry-After; "1" if it has none that can be used.
func seconds(text string) string {
	if n, err := strconv.ParseUint(text, 10, 31); err != nil || n == 0 {
		return "1"
	}
	return text
}

// call asks a service, when there is a place.
func (r *run) call(ctx context.Context, p *part, t target) (value, error) {
	if r.calls.Add(1) > int64(r.maxCalls) {
		return nil, fmt.Errorf("more than max_calls, %d, would be needed", r.maxCalls)
	}
	select {
	case r.places <- struct{}{}:
		defer func() { <-r.places }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	v, err := r.exchange(ctx, p, t)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return v, err
}

func (r *run) exchange(ctx context.Context, p *part, t target) (value, error) {
	resp, err := r.handler.calls[p.index].RoundTrip(r.request(ctx, p, t))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		if err = p.refused(resp); errors.Is(err, errEmpty) {
			r.heard(resp.Header)
			_, _ = io.CopyN(io.Discard, resp.Body, drained) // else its connection is lost
		}
		return nil, err
	}
	v, err := r.read(p, resp)
	if err == nil {
		r.heard(resp.Header)
	}
	return v, err
}

// drained are the bytes of a 404's body that are read for the sake of its
// connection.
const drained = 4 << 10

// heard keeps what an answer says about caches.
func (r *run) heard(h http.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fresh.add(h, time.Now())
}

func (r *run) request(ctx context.Context, p *part, t target) *http.Request {
	path, _ := url.PathUnescape(t.path) // target has escaped it
	out := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: path, RawPath: t.path, RawQuery: t.query},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
	}
	for name, values := range r.sent {
		if p.headers == nil || p.headers[name] {
			out.Header[name] = slices.Clone(values)
		}
	}
	out.Header.Set("Accept", "application/json")
	return out.WithContext(ctx)
}

// read takes the body, up to the limits.
func (r *run) read(p *part, resp *http.Response) (value, error) {
	switch coding := resp.Header.Get("Content-Encoding"); {
	case resp.StatusCode == http.StatusNoContent:
		return null, nil
	case resp.StatusCode == http.StatusPartialContent:
		return nil, errors.New("the status is 206, and nobody asked for a part")
	case coding != "" && !strings.EqualFold(coding, "identity"):
		return nil, errors.New("the answer is compressed, and nobody asked for that")
	}
	body := &bounded{from: resp.Body, left: p.MaxBytes, all: r}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	return parse(text)
}

// bounded ends a body that is too large, or with which all are.
type bounded struct {
	from io.Reader
	left int64
	all  *run
}

var errSize = errors.New("the answer is larger than max_bytes")

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errSize
	}
	if b.all.bytes.Add(int64(n)) > b.all.maxBytes {
		return 0, errWhole
	}
	return n, err
}

// outgoing is what services may see of a client's header: nothing about the
// connection (RFC 9110 §7.6.1), the body, or a copy of the answer that the client
// has: a part is not the answer.
func outgoing(in http.Header) http.Header {
	out := make(http.Header, len(in))
	named := map[string]bool{}
	for _, line := range in["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			named[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	for name, values := range in {
		if name = http.CanonicalHeaderKey(name); !connection(name) && !named[name] {
			out[name] = values
		}
	}
	return out
}

// connection reports whether a header is not for services.
func connection(name string) bool {
	switch name {
	case "Range", "Accept", "Accept-Encoding", "Accept-Ranges", "Expect", "Te", "Trailer", "Upgrade", "Connection", "Transfer-Encoding", "Keep-Alive", "Proxy-Connection", "Http2-Settings", "Host":
		return true
	}
	return strings.HasPrefix(name, "If-") || strings.HasPrefix(name, "Content-")
}
