package gateway

import "net/http"

// withoutIdentity returns a request without the headers that say who somebody is,
// before a route, a limit, a condition or a rule can believe them: what stands in
// them only the gateway may say, and says it last of all.
func withoutIdentity(r *http.Request, names []string) *http.Request {
	for given := range r.Header {
		if !among(names, given) {
			continue
		}
		out := *r // a copy: the request is the caller's
		out.Header = make(http.Header, len(r.Header))
		for name, values := range r.Header {
			if !among(names, name) {
				out.Header[name] = values
			}
		}
		return &out
	}
	return r
}

// among reports whether a name is one of those, to the sloppiest reader: see
// auth.Forwarder.
func among(names []string, given string) bool {
	for _, name := range names {
		if sameName(name, given) {
			return true
		}
	}
	return false
}

func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && foldName(a[i]) != foldName(b[i]) {
			return false
		}
	}
	return true
}

func foldName(c byte) byte {
	switch lower := c | 0x20; {
	case lower >= 'a' && lower <= 'z':
		return lower
	case c >= '0' && c <= '9':
		return c
	}
	return '-'
}
