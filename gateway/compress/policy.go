package compress

import (
	"net/http"
	"strings"
)

// Policy compresses answers and guards requests as its Config says.
type Policy struct {
	config Config
	pools  pools
}

// New returns a Policy; nil is the default configuration.
func New(c *Config) (*Policy, error) {
	if c == nil {
		c = &Config{}
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	p := &Policy{config: c.defaults()}
	p.pools.strength, _ = levels(c.Level) // checked
	return p, nil
}

// Handler returns next behind the policy.
func (p *Policy) Handler(next http.Handler) http.Handler {
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, next) })
	if p.config.Requests == nil {
		return answers
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.config.Requests.serve(w, r, answers) })
}

func (p *Policy) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	a := &answer{ResponseWriter: w, policy: p, request: r}
	defer a.release()
	a.name, a.must = choose(r.Header["Accept-Encoding"], p.config.Encodings)
	a.never = p.config.SkipCookies && len(r.Header["Cookie"]) > 0 || directive(r.Header["Cache-Control"], "no-transform")
	next.ServeHTTP(a, r)
	a.end()
}

// compresses reports whether answers of a Content-Type are compressed.
func (c *Config) compresses(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.ToLower(strings.Trim(t, " \t"))
	kind, _, ok := strings.Cut(t, "/")
	if !ok {
		return false
	}
	// Framed messages and events: their types match *+json and text/*, but only
	// who names them can want it.
	framed := t == "text/event-stream" || strings.HasPrefix(t, "application/grpc")
	for _, want := range c.Types {
		switch {
		case want == t:
			return true
		case framed:
		case strings.HasPrefix(want, "*+") && strings.HasSuffix(t, want[1:]):
			return true
		case strings.HasSuffix(want, "/*") && want[:len(want)-2] == kind:
			return true
		}
	}
	return false
}

// directive reports whether lists of directives hold one, in any case.
func directive(lines []string, name string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			item, _, _ = strings.Cut(item, "=")
			if strings.EqualFold(strings.Trim(item, " \t"), name) {
				return true
			}
		}
	}
	return false
}
