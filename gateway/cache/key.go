package cache

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/banyanhq/banyan"
)

// ask is a request as the cache sees it.
type ask struct {
	r       *http.Request
	key     []byte // see appendKey
	hash    uint64 // of key
	target  uint64 // of the part of the key that is the URI
	urlLen  int    // length of that part
	arrived uint64 // the last purge that happened before it
	auth    bool   // has credentials and no class: RFC 9111 §3.5 applies
	query   string // what is left of the query by the rules
	client  control
}

// partition says whom the answers of a key are for.
const (
	everyone    = byte('-') // requests without credentials
	credentials = byte('a') // requests with credentials and no class
	class       = byte('c') // the class that Rules.Principal named
)

// survey is what one walk over the header of a request finds.
type survey struct {
	pass      string // why the request must not meet the cache
	auth      bool
	cookie    bool
	effective [maxEffective]string // names of headers that act like parts of the URI
	count     int
}

const maxEffective = 8

// look walks the header once: on the path of a hit this is cheaper than asking
// for a dozen names.
func (s *survey) look(h http.Header) {
	for name, values := range h {
		switch name {
		case "Authorization":
			s.auth = true
		case "Cookie":
			s.cookie = true
		case "Range", "If-Range", "If-Match", "If-Unmodified-Since", "Upgrade":
			s.pass = "conditional"
		case "Content-Encoding":
			s.pass = "body"
		case "Connection":
			if namesHeader(values) {
				s.pass = "connection"
			}
		default:
			if effective(name) {
				s.add(name)
			}
		}
	}
}

func (s *survey) add(name string) {
	if isMethodOverride(name) || s.count == maxEffective {
		s.pass = "override"
		return
	}
	s.effective[s.count] = name
	s.count++
}

// namesHeader says whether Connection takes other fields away. A field that is
// removed on the way to the origin but chose the stored answer here would let
// one client give its answer to others.
func namesHeader(values []string) bool {
	for _, v := range values {
		if !is(v, "keep-alive") && !is(v, "close") && v != "" {
			return true
		}
	}
	return false
}

// effective says whether a header may change what the request is for, in the
// eyes of some framework: then its value is part of the key, so that nobody can
// put an answer under another's URI with it. Underscores count as hyphens, since
// CGI-like servers cannot tell them apart.
func effective(name string) bool {
	switch {
	case len(name) < 6:
		return false
	case name[0]|0x20 == 'x':
		return effectiveX(name)
	case name[0]|0x20 == 'f':
		return like(name, "front-end-https")
	}
	return false
}

func effectiveX(name string) bool {
	rest := name[1:]
	return (hasPrefix(rest, "-forwarded") && !isClientAddress(name)) ||
		hasPrefix(rest, "-original-") || hasPrefix(rest, "-rewrite-") || hasPrefix(rest, "-host") ||
		hasPrefix(rest, "-http-") || hasPrefix(rest, "-method") || hasPrefix(rest, "-scheme") ||
		hasPrefix(rest, "-url-") || hasPrefix(rest, "-proxy-")
}

// isClientAddress: headers that say where the client is. They differ from
// client to client, so as parts of the key they would make it useless; they are
// not sent on instead.
func isClientAddress(name string) bool {
	switch {
	case like(name, "x-forwarded-for"), like(name, "forwarded"), like(name, "x-real-ip"),
		like(name, "x-client-ip"), like(name, "x-cluster-client-ip"), like(name, "true-client-ip"), like(name, "cf-connecting-ip"):
		return true
	}
	return false
}

func isMethodOverride(name string) bool {
	return like(name, "x-http-method-override") || like(name, "x-http-method") ||
		like(name, "x-method-override") || like(name, "x-method")
}

func like(name, want string) bool { return len(name) == len(want) && hasPrefix(name, want) }

// hasPrefix compares without regard to case and with "_" as "-"; prefix is in
// lower case.
func hasPrefix(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		b := lower(name[i])
		if b == '_' {
			b = '-'
		}
		if b != prefix[i] {
			return false
		}
	}
	return true
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		b |= 0x20
	}
	return b
}

// appendKey appends the key of a request: its URI, a zero byte, for whom it is,
// and the values of the headers in the key. Everything behind the zero byte
// carries its length, so two different requests never have the same key.
//
// r is a.r: taken through a, the call of Principal would move a and b to the
// heap, which costs a hit as much as all the rest here.
func (h *handler) appendKey(b []byte, r *http.Request, a *ask, s *survey) ([]byte, bool) {
	a.query = h.reduce(r.URL.RawQuery)
	b, ok := appendTarget(b, schemeOf(r), r.Host, r.URL.EscapedPath(), a.query, r.URL.ForceQuery)
	if !ok {
		return b, false
	}
	a.urlLen = len(b)
	b = appendPart(append(b, 0), h.rules.Partition)
	b = h.appendPartition(b, r, a, s)
	for _, name := range h.rules.Headers {
		b = appendValues(b, r.Header[name])
	}
	if h.rules.Cookies != nil {
		b = appendValues(b, r.Header["Cookie"]) // filtered before
	}
	names := s.effective[:s.count]
	slices.Sort(names)
	for _, name := range names {
		b = appendPart(b, name)
		b = appendValues(b, r.Header[name])
	}
	return b, true
}

func (h *handler) appendPartition(b []byte, r *http.Request, a *ask, s *survey) []byte {
	if h.rules.Principal != nil {
		if name := h.rules.Principal(r); name != "" {
			s.cookie = false // what it may change, the class covers
			return appendPart(append(b, class), name)
		}
	}
	if s.auth || h.rules.Credentials != nil && h.rules.Credentials(r) {
		a.auth = true
		return append(b, credentials)
	}
	return append(b, everyone)
}

func appendPart(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendValues(b []byte, values []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(values)))
	for _, v := range values {
		b = appendPart(b, v)
	}
	return b
}

// appendTarget appends "scheme://host/path?query" with the host in lower case
// and without the scheme's own port (RFC 9110 §4.2.3); path and query as they
// are. It refuses what would not be read back as the same parts.
func appendTarget(b []byte, scheme, host, path, query string, force bool) ([]byte, bool) {
	if host == "" || strings.ContainsAny(host, "/?#\x00") || path == "" || path[0] != '/' ||
		strings.IndexByte(path, '?') >= 0 || strings.IndexByte(path, 0) >= 0 || strings.IndexByte(query, 0) >= 0 {
		return b, false
	}
	b = append(b, scheme...)
	b = append(b, "://"...)
	for i := range len(withoutPort(scheme, host)) {
		b = append(b, lower(host[i]))
	}
	b = append(b, path...)
	if query != "" || force {
		b = append(b, '?')
	}
	return append(b, query...), true
}

func withoutPort(scheme, host string) string {
	switch scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

func schemeOf(r *http.Request) string {
	switch {
	case r.URL.Scheme != "":
		return strings.ToLower(r.URL.Scheme)
	case r.TLS != nil:
		return "https"
	}
	return "http"
}

// reduce takes the parameters out of a query that the rules leave out of the
// key. The others stay as they are, in their order.
func (h *handler) reduce(query string) string {
	if query == "" || (h.rules.Query == nil && h.rules.IgnoreQuery == nil) {
		return query
	}
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		keep := slices.Contains(h.rules.Query, name)
		if h.rules.Query == nil {
			keep = !slices.Contains(h.rules.IgnoreQuery, name)
		}
		if keep {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&")
}

// targetOf returns the beginning of the keys of a URL.
func targetOf(raw string) ([]byte, error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("cache: read URL %q: %w: want http://host/path or https://host/path", raw, banyan.ErrInvalid)
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	b, ok := appendTarget(nil, u.Scheme, u.Host, path, u.RawQuery, u.ForceQuery)
	if !ok {
		return nil, fmt.Errorf("cache: read URL %q: %w: want http://host/path or https://host/path", raw, banyan.ErrInvalid)
	}
	return b, nil
}

// identify fills the hashes of a, which has its key.
func (c *Cache) identify(a *ask) {
	a.target = maphash.Bytes(c.seed, a.key[:a.urlLen])
	a.hash = a.target
	if a.particular() {
		a.hash = maphash.Bytes(c.seed, a.key)
	}
}

// particular says whether the key is more than the URI for everyone. Answers of
// other keys lie in the index under the hash of the URI and are found by it;
// these are found through an index of their own.
func (a *ask) particular() bool { return len(a.key) != a.urlLen+2 || a.key[a.urlLen+1] != everyone }

func (a *ask) url() string { return string(a.key[:a.urlLen]) }

// keepCookies returns a request that has only the named cookies.
func keepCookies(r *http.Request, names []string) *http.Request {
	var kept []string
	for _, cookie := range r.Header["Cookie"] {
		for part := range strings.SplitSeq(cookie, ";") {
			part = trim(part)
			if name, _, _ := strings.Cut(part, "="); slices.Contains(names, name) {
				kept = append(kept, part)
			}
		}
	}
	out := *r
	out.Header = r.Header.Clone()
	out.Header.Del("Cookie")
	if len(kept) > 0 {
		out.Header["Cookie"] = []string{strings.Join(kept, "; ")}
	}
	return &out
}
