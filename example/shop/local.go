package shop

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/banyanhq/banyan"
)

// local sends requests to a handler of the same process: the same HTTP, without
// sockets.
type local struct{ to http.Handler }

// RoundTrip implements http.RoundTripper. It returns when the context ends, also
// where the handler does not heed it.
func (l local) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	in := req.Clone(ctx)
	in.RequestURI, in.Host = req.URL.RequestURI(), req.URL.Host
	if err := takeBody(in, req.Body); err != nil {
		return nil, err
	}
	answered := make(chan *http.Response, 1)
	go func() { answered <- l.serve(in) }()
	select {
	case res := <-answered:
		if res == nil {
			return nil, fmt.Errorf("shop: call in process: %w: the handler panicked", banyan.ErrUnavailable)
		}
		res.Request = req
		return res, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// takeBody reads the body: the handler may go on after RoundTrip has returned,
// when the body is the caller's again.
func takeBody(in *http.Request, body io.ReadCloser) error {
	in.Body = http.NoBody
	if body == nil {
		return nil
	}
	text, err := io.ReadAll(body)
	_ = body.Close() // it was read
	in.Body = io.NopCloser(bytes.NewReader(text))
	return err
}

// serve returns nil when the handler panics, as a server closes the connection.
func (l local) serve(in *http.Request) (res *http.Response) {
	defer func() {
		if recover() != nil {
			res = nil
		}
	}()
	w := &recorder{header: http.Header{}}
	l.to.ServeHTTP(w, in)
	w.WriteHeader(http.StatusOK) // unless it has
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()),
	}
}

// recorder is a ResponseWriter that keeps the answer.
type recorder struct {
	header http.Header
	status int // 0: not written yet
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 { // others are informational
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}
