package cache

import (
	"net/http"
	"strings"
)

// notModified evaluates the conditions of a request against a stored answer of
// status 200 (RFC 9110 §13.2.2, RFC 9111 §4.3.2).
func notModified(r *http.Request, tag, modified string) bool {
	if lines := r.Header["If-None-Match"]; len(lines) > 0 {
		return anyTag(lines, tag) // If-Modified-Since does not count beside it
	}
	since := r.Header.Get("If-Modified-Since")
	if since == "" || modified == "" {
		return false
	}
	limit, err := http.ParseTime(since)
	if err != nil {
		return false
	}
	changed, err := http.ParseTime(modified)
	return err == nil && !changed.After(limit)
}

// anyTag says whether a list of entity tags contains one. A comma in a tag does
// not end it.
func anyTag(lines []string, tag string) bool {
	for _, line := range lines {
		for line = trim(line); line != ""; line = strings.TrimLeft(line, ", \t") {
			if line[0] == '*' {
				return true
			}
			one, rest, ok := cutTag(line)
			if !ok {
				break
			}
			if tag != "" && sameTag(one, tag) {
				return true
			}
			line = rest
		}
	}
	return false
}

func cutTag(s string) (tag, rest string, ok bool) {
	start := 0
	if strings.HasPrefix(s, "W/") {
		start = 2
	}
	if len(s) <= start || s[start] != '"' {
		return "", "", false
	}
	end := strings.IndexByte(s[start+1:], '"')
	if end < 0 {
		return "", "", false
	}
	end += start + 2
	return s[:end], s[end:], true
}

// sameTag is the weak comparison of RFC 9110 §8.8.3.2.
func sameTag(a, b string) bool {
	return strings.TrimPrefix(a, "W/") == strings.TrimPrefix(b, "W/")
}

// stripContent removes what a 304 does not say (RFC 9110 §15.4.5).
func stripContent(h http.Header) {
	for _, name := range []string{"Content-Length", "Content-Type", "Content-Encoding", "Content-Language"} {
		delete(h, name)
	}
}
