package browser

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/banyanhq/banyan/internal/http1"
)

// cors is a compiled CORS.
type cors struct {
	*origins
	config                  *CORS
	methods, expose, maxAge string
	headers                 map[string]bool // lower case
	anyHeader               bool
}

func newCORS(c *CORS) *cors {
	if c == nil {
		return nil
	}
	list, age := c.Methods, c.MaxAge
	if len(list) == 0 {
		list = []string{http.MethodGet, http.MethodHead, http.MethodPost}
	}
	if age == 0 {
		age = 10 * time.Minute
	}
	o := &cors{
		origins: newOrigins(c.Origins), config: c, headers: map[string]bool{},
		methods: strings.Join(list, ", "), expose: strings.Join(c.Expose, ", "), maxAge: strconv.FormatInt(int64(age/time.Second), 10),
	}
	for _, h := range c.Headers {
		o.headers[strings.ToLower(h)] = true
		o.anyHeader = o.anyHeader || h == "*"
	}
	return o
}

// preflight reports whether a request asks for permission (Fetch §4.8).
func preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Origin"]) > 0 && len(r.Header["Access-Control-Request-Method"]) > 0
}

// originOf returns the Origin of a request; "" is none, or several.
func originOf(r *http.Request) string {
	if lines := r.Header["Origin"]; len(lines) == 1 {
		return lines[0]
	}
	return ""
}

// answer sets the fields of an answer in place of the handler's.
func (c *cors) answer(h http.Header, origin string) {
	for _, name := range []string{
		"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers",
		"Access-Control-Max-Age", "Access-Control-Expose-Headers", "Access-Control-Allow-Private-Network",
	} {
		delete(h, name)
	}
	if !c.all {
		addVary(h, "Origin")
	}
	if !c.permit(h, origin) {
		return
	}
	if c.expose != "" {
		h["Access-Control-Expose-Headers"] = []string{c.expose}
	}
}

// permit names the origin if it is allowed.
func (c *cors) permit(h http.Header, origin string) bool {
	switch {
	case c.all:
		h["Access-Control-Allow-Origin"] = []string{"*"}
		return true
	case !c.allow(origin):
		return false
	}
	h["Access-Control-Allow-Origin"] = []string{origin}
	if c.config.Credentials {
		h["Access-Control-Allow-Credentials"] = []string{"true"}
	}
	return true
}

// preflight answers for the handler.
func (c *cors) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if !c.all {
		addVary(h, "Origin")
	}
	addVary(h, "Access-Control-Request-Method")
	addVary(h, "Access-Control-Request-Headers")
	if c.config.PrivateNetwork {
		addVary(h, "Access-Control-Request-Private-Network")
	}
	if c.permit(h, originOf(r)) {
		h["Access-Control-Allow-Methods"] = []string{c.methods}
		h["Access-Control-Max-Age"] = []string{c.maxAge}
		if names := c.allowed(r.Header["Access-Control-Request-Headers"]); names != "" {
			h["Access-Control-Allow-Headers"] = []string{names}
		}
		if c.config.PrivateNetwork && r.Header.Get("Access-Control-Request-Private-Network") == "true" {
			h["Access-Control-Allow-Private-Network"] = []string{"true"}
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// allowed returns those of the requested headers that pages may send. They are
// named, because with credentials a * means nothing (Fetch §4.8).
func (c *cors) allowed(lines []string) string {
	var out []string
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.ToLower(strings.Trim(name, " \t"))
			if http1.IsToken(name) && (c.anyHeader || c.headers[name]) {
				out = append(out, name)
			}
		}
	}
	return strings.Join(out, ", ")
}

// refuses reports whether a request is turned away because of its origin.
func (c *cors) refuses(r *http.Request) bool {
	if !c.config.Refuse || safe(r.Method) || len(r.Header["Origin"]) == 0 {
		return false
	}
	return !c.allow(originOf(r))
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// addVary adds a name that is not there.
func addVary(h http.Header, name string) {
	lines := h["Vary"]
	if !listed(lines, name) && !listed(lines, "*") {
		h["Vary"] = append(lines[:len(lines):len(lines)], name)
	}
}

// listed reports whether comma-separated lists hold a token, in any case.
func listed(lines []string, token string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			item, _, _ = strings.Cut(item, "=")
			if strings.EqualFold(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}
