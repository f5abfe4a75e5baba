package gateway

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/openapi"
)

const (
	// maxDocument is how long the document of an upstream may be, in bytes.
	maxDocument = 8 << 20
	// documentTimeout is how long it may take to come from one target, and
	// documentTimeouts from all of them.
	documentTimeout  = 10 * time.Second
	documentTimeouts = 30 * time.Second
	// documentsAtOnce are fetched.
	documentsAtOnce = 8
	// missingAgain is after how long one that never came is asked for again.
	missingAgain = 5 * time.Second
)

// collector keeps the documents of upstreams, what is made of them, and what was
// called. It stays over reloads.
type collector struct {
	log    *slog.Logger
	since  time.Time
	shown  atomic.Pointer[snapshot] // nil: there is no catalogue
	others others

	stop    context.CancelFunc // of the fetching; nil: there is none
	running sync.WaitGroup

	mu      sync.Mutex
	known   map[string]*document // guarded by mu; by the name of the source
	changes []*APIChange         // guarded by mu; the oldest first
}

// source is where a document comes from, and which routes it describes.
type source struct {
	name     string // of the service in the catalogue
	file     string // either
	upstream *upstream
	path     string // or
	base     string // before the document's paths, as upstreams see them
	routes   []*Route
}

func (s *source) String() string {
	if s.upstream == nil {
		return fileScheme + s.file
	}
	return s.path
}

// document is what is known of a source.
type document struct {
	doc      *openapi.Document // nil: it never came
	digest   [sha256.Size]byte
	fetched  time.Time
	wrong    string            // why it did not come last; "": it did
	refused  [sha256.Size]byte // of what came last and was no document
	refusal  error             // why; nil: it was one
	counters map[operationKey]*counter
}

// sources returns where the documents of a configuration are: of each upstream
// that says it, and else what the contract of a route says.
func (s *state) sources() []*source {
	var all []*source
	taken := map[string]bool{}
	byUpstream, byFile := map[string]*source{}, map[[2]string]*source{}
	for _, name := range sortedKeys(s.upstreams) {
		u := s.upstreams[name]
		if u.config.OpenAPI == "" {
			continue
		}
		from := &source{name: serviceName(name, taken)}
		if file, ok := strings.CutPrefix(u.config.OpenAPI, fileScheme); ok {
			from.file = s.config.beside(file)
		} else {
			from.upstream, from.path = u, u.config.OpenAPI
		}
		byUpstream[name] = from
		all = append(all, from)
	}
	for i := range s.config.Routes {
		r := &s.config.Routes[i]
		from := byUpstream[r.To]
		if from == nil && r.OpenAPI != nil {
			key := [2]string{r.OpenAPI.File, r.OpenAPI.Base}
			if from = byFile[key]; from == nil {
				from = &source{name: serviceName(stem(r.OpenAPI.File), taken), file: s.config.beside(r.OpenAPI.File), base: r.OpenAPI.Base}
				byFile[key] = from
				all = append(all, from)
			}
		}
		if from != nil {
			from.routes = append(from.routes, r)
		}
	}
	return all
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// serviceName makes a name for a service that no other has.
func serviceName(text string, taken map[string]bool) string {
	base := notInName.ReplaceAllString(text, "-")
	name := base
	for i := 2; taken[name]; i++ {
		name = fmt.Sprintf("%s.%d", base, i)
	}
	taken[name] = true
	return name
}

// follow changes to the documents of another configuration. What is in files is
// there when it returns.
func (c *collector) follow(s *state) {
	c.end()
	if s.config.Catalogue == nil {
		c.shown.Store(nil)
		c.forget(nil)
		return
	}
	run := &collection{collector: c, state: s, sources: s.sources(), config: *s.config.Catalogue}
	run.config.defaults()
	c.forget(run.sources)
	for _, from := range run.sources {
		if from.file != "" {
			run.refresh(context.Background(), from)
		}
	}
	run.publish()
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.running.Go(func() { run.loop(ctx) })
}

// end stops the fetching.
func (c *collector) end() {
	if c.stop != nil {
		c.stop()
	}
	c.running.Wait()
}

// forget drops what is known of sources that are gone.
func (c *collector) forget(present []*source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := map[string]*document{}
	for _, from := range present {
		if kept[from.name] = c.known[from.name]; kept[from.name] == nil {
			kept[from.name] = &document{}
		}
	}
	c.known = kept
}

// every is how often the documents are looked at.
func (c *collector) every() time.Duration {
	if s := c.shown.Load(); s != nil {
		return s.config.Every
	}
	return time.Minute
}

// collection fetches the documents of one configuration.
type collection struct {
	*collector
	state   *state
	config  Catalogue
	sources []*source
}

// loop fetches until the context ends, at slightly irregular times so that many
// gateways do not ask at once.
func (c *collection) loop(ctx context.Context) {
	for ctx.Err() == nil {
		if c.refreshAll(ctx) {
			c.publish()
		}
		wait := c.config.Every
		if c.missing() {
			wait = min(wait, missingAgain)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait - wait/10 + time.Duration(rand.Int64N(int64(wait/5)+1))):
		}
	}
}

// missing reports whether a document never came.
func (c *collection) missing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.sources, func(s *source) bool { return c.known[s.name].doc == nil })
}

// refreshAll fetches every document, and reports whether something is new.
func (c *collection) refreshAll(ctx context.Context) bool {
	var changed atomic.Bool
	var fetching sync.WaitGroup
	free := make(chan struct{}, documentsAtOnce)
	for _, from := range c.sources {
		free <- struct{}{}
		fetching.Go(func() {
			defer func() { <-free }()
			if c.refresh(ctx, from) {
				changed.Store(true)
			}
		})
	}
	fetching.Wait()
	return changed.Load() && ctx.Err() == nil
}

// refresh fetches a document, and reports whether something about it is new. One
// that cannot be had leaves the last one in its place.
func (c *collection) refresh(ctx context.Context, from *source) bool {
	data, err := from.read(ctx)
	if ctx.Err() != nil {
		return false
	}
	digest := sha256.Sum256(data)
	c.mu.Lock()
	last := *c.known[from.name]
	c.mu.Unlock()
	next := last
	next.wrong = ""
	switch {
	case err != nil || last.doc != nil && digest == last.digest:
	case last.refusal != nil && digest == last.refused:
		err = last.refusal // what cannot be read may take its reader long: once is enough
	default:
		next.doc, err = openapi.Parse(from.name, data)
		next.refused, next.refusal = digest, err
	}
	if err != nil {
		next.doc, next.wrong = last.doc, strings.TrimPrefix(err.Error(), "gateway: ")
	} else {
		next.digest, next.fetched = digest, time.Now()
	}
	if next.doc != last.doc {
		next.counters = counters(next.doc, last.counters)
	}
	c.learn(from, &last, &next)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[from.name] = &next
	return next.doc != last.doc || next.wrong != last.wrong
}

// learn tells the log, and keeps what changed.
func (c *collection) learn(from *source, last, next *document) {
	switch {
	case next.wrong != "" && next.wrong != last.wrong:
		c.log.Warn("the document of a service cannot be had; the last one stays", "service", from.name, "document", from.String(), "error", next.wrong)
	case last.wrong != "" && next.wrong == "":
		c.log.Info("the document of a service is there again", "service", from.name)
	}
	if last.doc != nil && next.doc != last.doc {
		c.changed(from.name, last, next)
	}
}

// read returns the text of a document.
func (s *source) read(ctx context.Context) ([]byte, error) {
	if s.upstream == nil {
		return readFile(s.file)
	}
	ctx, cancel := context.WithTimeout(ctx, documentTimeouts)
	defer cancel()
	now := time.Now()
	targets := slices.Clone(s.upstream.all())
	slices.SortStableFunc(targets, func(a, b *target) int { return cmp.Compare(a.health.verdict(now), b.health.verdict(now)) })
	var errs []error
	for _, t := range targets {
		data, err := t.document(ctx, s.path)
		if err == nil {
			return data, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// document asks a target for its document. It is no call of a client: the health
// of the target does not depend on it.
func (t *target) document(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, documentTimeout)
	defer cancel()
	at := t.url.Scheme + "://" + t.url.Host + path
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "banyan-catalogue")
	r.Header.Set("Accept", "application/json, application/yaml;q=0.9")
	resp, err := t.client.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", at, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask %s: %w: the answer has status %d", at, banyan.ErrInvalid, resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err == nil && len(data) > maxDocument {
		err = fmt.Errorf("%w: the document is longer than %d bytes", banyan.ErrInvalid, maxDocument)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", at, err)
	}
	return data, nil
}
