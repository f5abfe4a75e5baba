package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/banyanhq/banyan/gateway/browser"
	"github.com/banyanhq/banyan/gateway/compress"
	"github.com/banyanhq/banyan/gateway/transform"
	"github.com/banyanhq/banyan/internal/http1"
)

// policy is a middleware.
type policy interface {
	Handler(next http.Handler) http.Handler
}

// transformed returns a handler behind the changes of a route. They stand round
// the cache, so that what is stored is the upstream's and each request gets its own
// changes, and behind authentication; the headers of an identity are set after
// them.
func (r *Route) transformed(next http.Handler) (http.Handler, error) {
	if r.Transform == nil {
		return next, nil
	}
	p, err := transform.New(r.Transform)
	if err != nil {
		return nil, err
	}
	return p.Handler(next), nil
}

// shown returns a handler behind what is about clients: how large bodies may be,
// how they are compressed, and what browsers may do. It stands in front of
// everything else, so that refusals get it too, and a preflight, which has no
// credentials, needs none.
func (r *Route) shown(c *Config, next http.Handler) (http.Handler, error) {
	if r.MaxBody > 0 {
		next = bounded(r.MaxBody, next)
	}
	var outer []policy
	if config := or(r.Compress, c.Compress); config != nil {
		p, err := compress.New(config)
		if err != nil {
			return nil, err
		}
		outer = append(outer, p)
	}
	if config := or(r.Browser, c.Browser); config != nil {
		copied := *config
		copied.Secure = func(req *http.Request) bool { return arrivalOf(req.Context()).client.scheme == "https" }
		p, err := browser.New(&copied)
		if err != nil {
			return nil, err
		}
		outer = append(outer, p)
	}
	for _, p := range outer {
		next = p.Handler(next)
	}
	return next, nil
}

// or returns what a route has of its own, or else what all have.
func or[T any](own, all *T) *T {
	if own != nil {
		return own
	}
	return all
}

// withValues sets the values of the pattern's wildcards for who asks for them.
func (r *Route) withValues(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.pattern.each(arrivalOf(req.Context()).path, req.SetPathValue)
		next.ServeHTTP(w, req)
	})
}

// bounded refuses bodies of more than so many bytes with 413.
func bounded(limit int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit {
			w.Header().Set("Connection", "close")
			Problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", limit))
			return
		}
		if r.ContentLength < 0 {
			r = r.WithContext(r.Context()) // a copy: the request is the server's
			r.Body = &boundedBody{r.Body, limit}
		}
		next.ServeHTTP(w, r)
	})
}

// boundedBody is a body whose length nobody knows before its end.
type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, &http1.Error{Status: http.StatusRequestEntityTooLarge, Reason: "the body is too long"}
	}
	return n, err
}

// preflighted returns the route that a browser asks about before it sends the
// request itself (the Fetch standard's CORS-preflight); nil: it is another request,
// or that route leaves the answer to its upstream.
func (s *state) preflighted(r *http.Request, host, path string) *Route {
	method := r.Header.Get("Access-Control-Request-Method")
	if r.Method != http.MethodOptions || method == "" || r.Header.Get("Origin") == "" {
		return nil
	}
	asked := *r
	asked.Method = method
	route, _ := s.lookup(&asked, host, path)
	if route != nil {
		if b := or(route.Browser, s.config.Browser); b != nil && b.CORS != nil {
			return route
		}
	}
	return nil
}

// checkShape reports what is wrong with the changes of messages.
func (c *Config) checkShape(found *mistakes) {
	if c.Compress != nil {
		checkPolicies("$.compress", c.Compress.Check(), found)
	}
	if c.Browser != nil {
		checkPolicies("$.browser", c.Browser.Check(), found)
	}
	for i := range c.Routes {
		r, path := &c.Routes[i], fmt.Sprintf("$.routes[%d]", i)
		if r.MaxBody < 0 {
			found.add(path+".max_body", "it is negative")
		}
		if r.Compress != nil {
			checkPolicies(path+".compress", r.Compress.Check(), found)
		}
		if r.Browser != nil {
			checkPolicies(path+".browser", r.Browser.Check(), found)
		}
		if r.Transform != nil {
			checkPolicies(path+".transform", r.Transform.Check(), found)
			r.checkTransform(path+".transform.request.headers", c, found)
		}
	}
}

// checkTransform reports rules about headers that say who somebody is: what they
// set would be removed again, and somebody counts on it.
func (r *Route) checkTransform(path string, c *Config, found *mistakes) {
	for _, identity := range c.identityHeaders() {
		for _, rules := range []map[string]string{r.Transform.Request.Headers.Set, r.Transform.Request.Headers.Add, r.Transform.Request.Headers.Rename} {
			for name, value := range rules {
				if strings.EqualFold(name, identity) || strings.EqualFold(value, identity) {
					found.add(path, "%s says who somebody is, and only auth.forward may set it", identity)
				}
			}
		}
	}
}
