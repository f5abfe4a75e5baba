package browser

import (
	"net/http"

	"github.com/banyanhq/banyan/internal/http1"
)

// Policy does what its Config says.
type Policy struct {
	cors      *cors      // nil: off, as all of them
	security  *security  //
	crossSite *crossSite //
	cdn       *cdn       //
	secure    func(*http.Request) bool
}

// New returns a Policy.
func New(c *Config) (*Policy, error) {
	if c == nil {
		c = &Config{}
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	p := &Policy{newCORS(c.CORS), newSecurity(c.Security), newCrossSite(c.CrossSite, c.CORS), newCDN(c.CDN), c.Secure}
	if p.secure == nil {
		p.secure = func(r *http.Request) bool { return r.TLS != nil }
	}
	return p, nil
}

// Handler returns next behind the policy.
func (p *Policy) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, next) })
}

func (p *Policy) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	a := &answer{ResponseWriter: w, policy: p, request: r, secure: p.secure(r)}
	switch {
	case p.cors != nil && preflight(r):
		a.preflight = true
		p.cors.preflight(a, r)
	case p.cors != nil && p.cors.refuses(r) && !own(originOf(r), r.Host, a.secure), p.crossSite != nil && p.crossSite.refuses(r, a.secure):
		http1.Problem(a, http.StatusForbidden, "a page of another origin may not do this")
	default:
		next.ServeHTTP(a, r)
		a.end()
	}
}
