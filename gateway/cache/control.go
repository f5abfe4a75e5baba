package cache

import (
	"net/http"
	"strings"
	"time"
)

// control holds the directives of Cache-Control (RFC 9111 §5.2) that matter
// here, of a request or of a response. Times are absent when negative.
type control struct {
	noStore, noCache, private, public       bool
	mustRevalidate, proxyRevalidate         bool
	onlyIfCached, maxStaleAny               bool
	maxAge, sMaxAge, minFresh, maxStale     time.Duration
	staleWhileRevalidate, staleIfError      time.Duration
	present                                 bool // at least one directive was there
	sawMaxAge, sawSMaxAge, sawSWR, sawError bool
}

const absent = time.Duration(-1)

func newControl() control {
	return control{
		maxAge: absent, sMaxAge: absent, minFresh: absent, maxStale: absent,
		staleWhileRevalidate: absent, staleIfError: absent,
	}
}

// parseControl reads all lines of a Cache-Control field. What it cannot read it
// skips, except a lifetime: one that is no number counts as 0, as does one that
// is given twice with different values (RFC 9111 §4.2.1 recommends stale).
func parseControl(lines []string) control {
	c := newControl()
	for _, line := range lines {
		for line != "" {
			var name, value string
			name, value, line = nextDirective(line)
			if name != "" {
				c.set(name, value)
			}
		}
	}
	return c
}

// nextDirective splits the first "name" or "name=value" off a list. Commas in
// quoted strings do not end it; the quotes are taken off the value.
func nextDirective(s string) (name, value, rest string) {
	end, quoted := len(s), false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			end = i
		}
		if end == i {
			break
		}
	}
	item := s[:end]
	if end < len(s) {
		rest = s[end+1:]
	}
	name, value, _ = strings.Cut(item, "=")
	return trim(name), strings.Trim(trim(value), `"`), rest
}

func trim(s string) string { return strings.Trim(s, " \t") }

func (c *control) set(name, value string) {
	c.present = true
	switch {
	case is(name, "no-store"):
		c.noStore = true
	case is(name, "no-cache"): // with field names too: validating more than asked is allowed
		c.noCache = true
	case is(name, "private"): // with field names too: storing less than allowed is allowed
		c.private = true
	case is(name, "public"):
		c.public = true
	case is(name, "must-revalidate"):
		c.mustRevalidate = true
	case is(name, "proxy-revalidate"):
		c.proxyRevalidate = true
	case is(name, "only-if-cached"):
		c.onlyIfCached = true
	default:
		c.setTime(name, value)
	}
}

func (c *control) setTime(name, value string) {
	switch {
	case is(name, "max-age"):
		setOnce(&c.maxAge, &c.sawMaxAge, value)
	case is(name, "s-maxage"):
		setOnce(&c.sMaxAge, &c.sawSMaxAge, value)
	case is(name, "stale-while-revalidate"):
		setOnce(&c.staleWhileRevalidate, &c.sawSWR, value)
	case is(name, "stale-if-error"):
		setOnce(&c.staleIfError, &c.sawError, value)
	case is(name, "min-fresh"):
		c.minFresh, _ = parseSeconds(value)
	case is(name, "max-stale") && value == "":
		c.maxStaleAny = true
	case is(name, "max-stale"):
		c.maxStale, _ = parseSeconds(value)
	}
}

func setOnce(d *time.Duration, saw *bool, value string) {
	got, ok := parseSeconds(value)
	if !ok || (*saw && got != *d) {
		got = 0
	}
	*d, *saw = got, true
}

// maxSeconds is what RFC 9111 §1.2.2 has caches use for numbers that are larger
// than they can hold.
const maxSeconds = 1<<31 - 1

// parseSeconds reads a delta-seconds (RFC 9111 §1.2.2): digits only.
func parseSeconds(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int64(s[i]-'0'), maxSeconds)
	}
	return time.Duration(n) * time.Second, true
}

func is(name, want string) bool {
	return len(name) == len(want) && strings.EqualFold(name, want)
}

// responseControl returns the directives in force for a shared cache: those of
// the first targeted field that is there and valid, which then replaces
// Cache-Control and Expires (RFC 9213 §2.2), or those of Cache-Control.
func responseControl(h http.Header, targets []string) (c control, targeted bool) {
	for _, name := range targets {
		lines := h[name]
		if len(lines) == 0 {
			continue
		}
		if name == surrogateControl {
			return parseSurrogate(lines), true
		}
		if c, ok := parseTargeted(lines); ok {
			return c, true
		}
	}
	return parseControl(h["Cache-Control"]), false
}

const surrogateControl = "Surrogate-Control"

// parseSurrogate reads the Edge Architecture's Surrogate-Control: like
// Cache-Control, with "max-age=600+60" meaning 600 seconds fresh and 60 more
// usable while it is validated.
func parseSurrogate(lines []string) control {
	c := newControl()
	for _, line := range lines {
		for line != "" {
			var name, value string
			name, value, line = nextDirective(line)
			value, _, _ = strings.Cut(value, ";") // ";target" names other surrogates
			if is(name, "max-age") {
				fresh, stale, two := strings.Cut(value, "+")
				value = fresh
				if two {
					c.set("stale-while-revalidate", stale)
				}
			}
			if name != "" {
				c.set(name, value)
			}
		}
	}
	return c
}
