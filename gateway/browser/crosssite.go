package browser

import (
	"net/http"
	"net/url"
	"strings"
)

// crossSite is a compiled CrossSite.
type crossSite struct {
	trusted *origins
	unsafe  *http.CrossOriginProtection
	always  bool
}

func newCrossSite(c *CrossSite, shared *CORS) *crossSite {
	if c == nil {
		return nil
	}
	trusted := append([]string(nil), c.Trusted...)
	if shared != nil && shared.Credentials {
		for _, o := range shared.Origins {
			if o != "null" { // every sandboxed frame has it
				trusted = append(trusted, o)
			}
		}
	}
	return &crossSite{newOrigins(trusted), http.NewCrossOriginProtection(), c.Always}
}

// refuses reports whether another site made the browser send a request.
func (c *crossSite) refuses(r *http.Request, secure bool) bool {
	if !c.always && len(r.Header["Cookie"]) == 0 {
		return false // it carries nothing that a browser adds by itself
	}
	origin := originOf(r)
	if len(r.Header["Origin"]) > 1 {
		return true
	}
	if origin != "" && c.trusted.allow(origin) {
		return false
	}
	if webSocket(r) {
		return !own(origin, r.Host, secure)
	}
	return c.unsafe.Check(r) != nil
}

// webSocket reports whether a request opens one, by HTTP/1.1 (RFC 6455 §4.1) or
// HTTP/2 (RFC 8441 §4).
func webSocket(r *http.Request) bool {
	if r.Method == http.MethodConnect {
		return strings.EqualFold(r.Header.Get(":protocol"), "websocket")
	}
	return listed(r.Header["Upgrade"], "websocket")
}

// own reports whether an origin is that of the server itself. Without TLS here the
// scheme is not known: another server may have ended it.
func own(origin, host string, secure bool) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" && (secure || u.Scheme != "http") {
		return false
	}
	return u.Host != "" && u.Path == "" && u.User == nil && withoutPort(u.Scheme, u.Host) == withoutPort(u.Scheme, strings.ToLower(host))
}

// withoutPort takes the port off that the scheme has anyway.
func withoutPort(scheme, host string) string {
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}
