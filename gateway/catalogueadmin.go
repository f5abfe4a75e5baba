package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/banyanhq/banyan/openapi"
)

// SourceStatus is a document of the catalogue.
type SourceStatus struct {
	// Name of the service.
	Name string `json:"name"`
	// From is where the document comes from.
	From string `json:"from"`
	// Title, Version and Operations are what it says.
	Title      string `json:"title,omitempty"`
	Version    string `json:"version,omitempty"`
	Operations int    `json:"operations"`
	// Fetched is when it last came, whole and right.
	Fetched *time.Time `json:"fetched,omitempty"`
	// Error is why it did not come since, or why it is not in the catalogue.
	Error string `json:"error,omitempty"`
}

// APIUsage is what is called of what the documents describe, and beside that.
type APIUsage struct {
	// Since is when the counting began.
	Since   time.Time      `json:"since"`
	Sources []SourceStatus `json:"sources"`
	// Operations are all that a document describes.
	Operations []OperationUsage `json:"operations"`
	// Undocumented is what was called and answered although no document describes
	// it.
	Undocumented []UndocumentedUsage `json:"undocumented"`
	// Unlisted are requests of that kind for which there was no room.
	Unlisted int64 `json:"unlisted"`
	// Refused are undescribed requests whose answer, such as 404 or 401, does not
	// show that there is anything.
	Refused int64 `json:"refused"`
	// Pending are requests to services whose document had not come yet.
	Pending int64 `json:"pending"`
}

// OperationUsage is an operation and its requests.
type OperationUsage struct {
	Service string `json:"service"`
	Method  string `json:"method"`
	// Path is that of the service, and Public those by which clients reach it;
	// none: no route does.
	Path       string   `json:"path"`
	Public     []string `json:"public"`
	ID         string   `json:"id,omitempty"`
	Summary    string   `json:"summary,omitempty"`
	Deprecated bool     `json:"deprecated,omitempty"`
	// Note says why it is not in the catalogue, or not under each of its paths.
	Note     string     `json:"note,omitempty"`
	Requests int64      `json:"requests"`
	First    *time.Time `json:"first,omitempty"`
	Last     *time.Time `json:"last,omitempty"`
}

// UndocumentedUsage is a pattern of requests that no document describes.
type UndocumentedUsage struct {
	Route  string `json:"route"`
	To     string `json:"to,omitempty"`
	Method string `json:"method"`
	// Path is the client's, with {} for what looks like an id.
	Path     string     `json:"path"`
	Requests int64      `json:"requests"`
	First    *time.Time `json:"first,omitempty"`
	Last     *time.Time `json:"last,omitempty"`
}

// APIChange is a document that became another.
type APIChange struct {
	Service string `json:"service"`
	// First and Last are when that was seen: while a service is replaced, its old
	// and its new servers may take turns.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Times int       `json:"times"`
	// Before and After are the versions that the documents say.
	Before string `json:"before"`
	After  string `json:"after"`
	// Breaking is how many of the changes break clients.
	Breaking int `json:"breaking"`
	// Changes are at most 100, those that break clients first; More is how many
	// others there are.
	Changes []openapi.Change `json:"changes"`
	More    int              `json:"more,omitempty"`

	digests [2][32]byte
}

const (
	// maxAPIChanges is how many changes of documents are kept.
	maxAPIChanges = 100
	// maxEach is how many changes are kept of each.
	maxEach = 100
)

// changed keeps what changed in a document, and says when it breaks clients, once.
func (c *collector) changed(name string, last, next *document) {
	now := time.Now()
	digests := [2][32]byte{last.digest, next.digest}
	c.mu.Lock()
	for _, old := range c.changes {
		if old.Service == name && old.digests == digests {
			old.Times++
			old.Last = now
			c.mu.Unlock()
			return
		}
	}
	c.mu.Unlock()
	all := openapi.Diff(last.doc, next.doc)
	if len(all) == 0 {
		return // texts and examples only
	}
	made := &APIChange{Service: name, First: now, Last: now, Times: 1, Before: last.doc.Version(), After: next.doc.Version(), digests: digests}
	slices.SortStableFunc(all, func(a, b openapi.Change) int { return cmp.Compare(breaks(b), breaks(a)) })
	for _, change := range all {
		made.Breaking += breaks(change)
	}
	made.Changes, made.More = all[:min(len(all), maxEach)], max(0, len(all)-maxEach)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes = append(c.changes, made)
	c.changes = slices.Delete(c.changes, 0, max(0, len(c.changes)-maxAPIChanges))
	if made.Breaking > 0 {
		c.log.Warn("an API changed in a way that breaks clients", "service", name, "before", made.Before, "after", made.After, "breaking", made.Breaking, "first", all[0].String())
	}
}

func breaks(c openapi.Change) int {
	if c.Breaking {
		return 1
	}
	return 0
}

// APIUsage returns what is called; nothing without a catalogue.
func (g *Gateway) APIUsage() APIUsage { return g.collector.usage() }

func (c *collector) usage() APIUsage {
	out := APIUsage{
		Since: c.since, Sources: c.sources(), Operations: []OperationUsage{}, Undocumented: c.others.list(),
		Unlisted: c.others.unlisted.Load(), Refused: c.others.refused.Load(), Pending: c.others.pending.Load(),
	}
	s := c.shown.Load()
	if s == nil {
		return out
	}
	for _, l := range s.operations {
		u := OperationUsage{Service: l.source.name, Method: l.Method, Path: l.Path, Public: l.public, ID: l.ID, Summary: l.Summary, Deprecated: l.Deprecated, Note: l.note}
		if u.Public == nil {
			u.Public = []string{}
		}
		u.Requests, u.First, u.Last = l.counter.read()
		out.Operations = append(out.Operations, u)
	}
	return out
}

func (c *counter) read() (requests int64, first, last *time.Time) {
	return c.requests.Load(), moment(c.first.Load()), moment(c.last.Load())
}

// moment returns a time; nil: never.
func moment(nanoseconds int64) *time.Time {
	if nanoseconds == 0 {
		return nil
	}
	t := time.Unix(0, nanoseconds).UTC()
	return &t
}

func (o *others) list() []UndocumentedUsage {
	o.mu.RLock()
	defer o.mu.RUnlock()
	all := []UndocumentedUsage{}
	for key, n := range o.seen {
		u := UndocumentedUsage{Route: key.route, To: key.to, Method: key.method, Path: key.path}
		u.Requests, u.First, u.Last = n.read()
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b UndocumentedUsage) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Route, b.Route))
	})
	return all
}

// sources returns the documents of the catalogue.
func (c *collector) sources() []SourceStatus {
	all := []SourceStatus{}
	s := c.shown.Load()
	if s == nil {
		return all
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, from := range s.sources {
		d := c.known[from.name]
		if d == nil {
			continue // another configuration is on its way
		}
		one := SourceStatus{Name: from.name, From: from.String(), Error: cmp.Or(d.wrong, s.wrong[from.name])}
		if d.doc != nil {
			one.Title, one.Version, one.Operations = d.doc.Title(), d.doc.Version(), len(d.doc.Operations())
			at := d.fetched.UTC()
			one.Fetched = &at
		}
		all = append(all, one)
	}
	return all
}

// handle adds what the admin API says about APIs.
func (c *collector) handle(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/catalogue", func(w http.ResponseWriter, r *http.Request) {
		c.serve(w, r, r.URL.Query().Get("audience"), "no-cache")
	})
	mux.HandleFunc("GET /v1/catalogue/changes", func(w http.ResponseWriter, _ *http.Request) {
		c.answer(w, map[string][]APIChange{"changes": c.latest()})
	})
	mux.HandleFunc("GET /v1/catalogue/usage", func(w http.ResponseWriter, _ *http.Request) { c.answer(w, c.usage()) })
}

// latest returns the changes, the latest first.
func (c *collector) latest() []APIChange {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]APIChange, 0, len(c.changes))
	for _, change := range slices.Backward(c.changes) {
		all = append(all, *change)
	}
	return all
}

func (c *collector) answer(w http.ResponseWriter, value any) {
	if c.shown.Load() == nil {
		Problem(w, http.StatusNotFound, noCatalogue)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(value) // a client that is gone does not read it
}

const noCatalogue = "this gateway has no catalogue; its configuration has to say \"catalogue\""

// serve answers with the document of an audience; "": the whole.
func (c *collector) serve(w http.ResponseWriter, r *http.Request, audience, control string) {
	s := c.shown.Load()
	if s == nil {
		Problem(w, http.StatusNotFound, noCatalogue)
		return
	}
	doc, known := s.whole, true
	if audience != "" {
		doc, known = s.audiences[audience]
	}
	switch {
	case !known:
		Problem(w, http.StatusNotFound, "there is no audience of this name")
	case doc == nil:
		Problem(w, http.StatusServiceUnavailable, "the catalogue could not be put together")
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Etag", doc.tag)
		w.Header().Set("Cache-Control", control)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(doc.text))
	}
}

// stem is the name of a file without folder and ending.
func stem(file string) string {
	base := filepath.Base(file)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
