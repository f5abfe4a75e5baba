package gateway

import (
	"io"
	"net/http"
	"strings"
)

// withoutClaims returns a request without the fields by which a client claims to be
// a proxy that speaks for somebody else. It comes before all policies, which may set
// such a field; those that are the gateway's own are left to it.
func withoutClaims(r *http.Request) *http.Request {
	for name := range r.Header {
		if !claims(name) {
			continue
		}
		out := *r // a copy: the request is the caller's
		out.Header = make(http.Header, len(r.Header))
		for name, values := range r.Header {
			if !claims(name) {
				out.Header[name] = values
			}
		}
		return &out
	}
	return r
}

// claims reports whether a name is one of proxies, of which there are more than
// anybody can list, or is read as one: CGI and what follows it turn everything that
// is no letter or digit into an underscore. Proxy would become HTTP_PROXY there,
// which programs take for where to send their own requests (CVE-2016-5385).
func claims(name string) bool {
	if len(name) < 5 {
		return false
	}
	for i := range len(name) {
		if c := name[i] | 0x20; (c < 'a' || c > 'z') && (c < '0' || c > '9') && name[i] != '-' && name[i] != '_' {
			folded := http.CanonicalHeaderKey(strings.Map(fold, name))
			return own[folded] || claims(folded)
		}
	}
	if name[0] != 'X' {
		return name == "Proxy"
	}
	return !own[name] && (strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Original-") || strings.HasPrefix(name, "X-Rewrite-"))
}

func fold(c rune) rune {
	if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
		return c
	}
	return '-'
}

// trailing is a body whose trailer has no field in it that is not let through in a
// header: some servers put both together.
type trailing struct {
	io.ReadCloser
	from *http.Request // its server sets the trailer at the end of the body
	to   http.Header
}

// Read implements io.Reader.
func (b *trailing) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF { //nolint:errorlint // bodies return it as it is
		copyTrailer(b.to, b.from.Trailer)
	}
	return n, err
}

func copyTrailer(to, from http.Header) {
	for name, values := range from {
		if !own[name] && !claims(name) && strings.IndexByte(name, '_') < 0 {
			to[name] = values
		}
	}
}
