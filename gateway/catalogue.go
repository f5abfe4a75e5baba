package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/banyanhq/banyan/openapi"
)

// Catalogue is one document of all APIs behind the gateway, as seen from outside,
// made of those that the upstreams have of their own. The admin API serves it,
// with what changed, what is called, and what is called but described nowhere. No
// request waits for it.
type Catalogue struct {
	// Title of the document; default "API catalogue".
	Title string `yaml:"title"`
	// Version of the document, to which a hash of what it says is added; default
	// "1".
	Version string `yaml:"version"`
	// Every is the time between two looks at the documents of the upstreams;
	// default 1m.
	Every time.Duration `yaml:"every"`
	// Audiences have documents of their own, with a part of the operations.
	Audiences map[string]Audience `yaml:"audiences"`
}

// Audience is a part of the catalogue. An operation is in it for any of these
// reasons. Unless it is for All, the document has neither webhooks nor extensions
// (x-…), which may tell what is behind the gateway.
type Audience struct {
	// Tags: the operation has one of them.
	Tags []string `yaml:"tags"`
	// Audience: the operation, or its path, has one of them as x-audience;
	// default, without tags: the name of the audience.
	Audience []string `yaml:"audience"`
	// All: there needs to be no reason.
	All bool `yaml:"all"`
	// Path at which the gateway serves the document to everybody; default: only
	// the admin API does.
	Path string `yaml:"path"`
}

func (c *Catalogue) defaults() {
	if c.Title == "" {
		c.Title = "API catalogue"
	}
	if c.Version == "" {
		c.Version = "1"
	}
	set(&c.Every, time.Minute)
}

// fileScheme begins the name of a document in a file.
const fileScheme = "file:"

// has reports whether an operation is for an audience of a name.
func (a *Audience) has(name string, op *openapi.Operation) bool {
	marks := a.Audience
	if len(marks)+len(a.Tags) == 0 {
		marks = []string{name}
	}
	return a.All || shares(op.Audience, marks) || shares(op.Tags, a.Tags)
}

func shares(a, b []string) bool {
	return slices.ContainsFunc(a, func(text string) bool { return slices.Contains(b, text) })
}

var audienceName = regexp.MustCompile("^[A-Za-z0-9_-]+$")

// checkCatalogue reports what is wrong with the catalogue and the documents of
// upstreams, and adds the routes that serve it.
func (c *Config) checkCatalogue(t *table, found *mistakes) {
	for name, u := range c.Upstreams {
		if u.OpenAPI != "" {
			c.checkSource("$.upstreams."+name+".openapi", u.OpenAPI, found)
		}
	}
	c.served = nil
	if c.Catalogue == nil {
		return
	}
	if c.Catalogue.Every < 0 {
		found.add("$.catalogue.every", "it is negative")
	}
	for _, name := range sortedKeys(c.Catalogue.Audiences) {
		path := "$.catalogue.audiences." + name
		if !audienceName.MatchString(name) {
			found.add(path, "the name of an audience has letters, digits, dashes and underscores")
		}
		if at := c.Catalogue.Audiences[name].Path; at != "" {
			c.serve(t, name, path+".path", at, found)
		}
	}
}

// checkSource reports what is wrong with where a document is.
func (c *Config) checkSource(path, where string, found *mistakes) {
	if c.Catalogue == nil {
		found.add(path, `the document is for the catalogue, and there is none; "catalogue: {}" makes one`)
	}
	if file, ok := strings.CutPrefix(where, fileScheme); ok {
		if _, err := openapi.Load(c.beside(file)); err != nil {
			checkDocument(path, path, err, found)
		}
		return
	}
	if u, err := url.ParseRequestURI(where); err != nil || !strings.HasPrefix(where, "/") || u.Fragment != "" {
		found.add(path, "%q is neither a path of the upstream, such as /openapi.json, nor file:NAME", where)
	}
}

// serve adds a route for the document of an audience.
func (c *Config) serve(t *table, audience, path, at string, found *mistakes) {
	r := &Route{Name: "catalogue " + audience, Match: "GET " + at, To: ""}
	var err error
	if r.pattern, err = parsePattern(r.Match); err == nil && (r.pattern.host != "" || len(r.pattern.wildcards()) > 0 || r.pattern.end != exact) {
		err = fmt.Errorf("match %q is not one path", at)
	}
	if err != nil {
		found.add(path, "%q is not a path; want something like /catalogue/%s.json", at, audience)
		return
	}
	if c.Paths.IgnoreCase {
		r.pattern.lower()
	}
	if slices.ContainsFunc(c.Routes, func(other Route) bool { return other.Name == r.Name }) {
		found.add(path, "a route has the name %q", r.Name)
	}
	if err := t.add(r); err != nil {
		found.add(path, "%s", err)
		return
	}
	c.served = append(c.served, servedCatalogue{r, audience})
}

// servedCatalogue is a route that serves the document of an audience.
type servedCatalogue struct {
	route    *Route
	audience string
}

// addCatalogue makes the handlers that serve documents to everybody.
func (s *state) addCatalogue(old *state, c *collector) error {
	if s.config.Catalogue == nil {
		return nil
	}
	s.collector = c
	for _, served := range s.config.served {
		r := served.route
		h, err := r.shown(s.config, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			c.serve(w, req, served.audience, fmt.Sprintf("public, max-age=%d", int(c.every().Seconds())))
		}))
		if err != nil {
			return fmt.Errorf("gateway: route %s: %w", r.Name, err)
		}
		s.handlers[r] = h
		if r.stats = old.stats[r.Name]; r.stats == nil {
			r.stats = new(stats)
		}
		s.stats[r.Name] = r.stats
	}
	return nil
}
