package cache

import (
	"bytes"
	"net/http"
	"net/url"
	"time"
)

// handler is a route behind the cache.
type handler struct {
	c     *Cache
	rules Rules
	next  http.Handler
}

// ServeHTTP answers hits itself and hands the rest to slower ways: what is here
// must not make the ask escape to the heap.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions, http.MethodTrace:
		h.pass(w, r, "method")
		return
	default:
		h.unsafe(w, r)
		return
	}
	var s survey
	s.look(r.Header)
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		s.pass = "body" // a "fat GET": the body may choose the answer
	}
	if s.pass != "" {
		h.pass(w, r, s.pass)
		return
	}
	if s.cookie && h.rules.Cookies != nil {
		r, s.cookie = keepCookies(r, h.rules.Cookies), false
	}
	a := ask{r: r}
	var space [384]byte
	var ok bool
	if a.key, ok = h.appendKey(space[:0], r, &a, &s); !ok || s.cookie {
		h.pass(w, r, "request")
		return
	}
	h.c.identify(&a)
	now := h.c.now()
	if e := h.c.shard(a.hash).find(&a, now).answer; e != nil && !h.rules.ObeyClients && e.fresh(now) {
		h.serve(w, r, e, now, Hit)
		return
	}
	h.slow(w, r, &s)
}

// slow serves what is no plain hit.
func (h *handler) slow(w http.ResponseWriter, r *http.Request, s *survey) {
	a := &ask{r: r, client: newControl(), arrived: h.c.fences.now()}
	a.key, _ = h.appendKey(nil, r, a, s)
	h.c.identify(a)
	if h.rules.ObeyClients {
		a.client = parseControl(r.Header["Cache-Control"])
		if !a.client.present && r.Header.Get("Pragma") == "no-cache" {
			a.client.noCache = true // RFC 9111 §5.4
		}
	}
	v := visit{h: h, w: w, r: r, a: a}
	for !v.try() {
	}
}

// visit is one request on the slow way.
type visit struct {
	h      *handler
	w      http.ResponseWriter
	r      *http.Request
	a      *ask
	tried  []*fill    // answers that others got and that are not for this request
	expect []selector // what is known of the Vary of the key
	alone  bool       // it does not share a call
}

// maxTries bounds how many answers for others a request waits for.
const maxTries = 4

// try answers the request, or returns false to look again.
func (v *visit) try() bool {
	now := v.h.c.now()
	shard := v.h.c.shard(v.a.hash)
	f := shard.find(v.a, now)
	if f.answer != nil && v.serveStored(f.answer, now) {
		return true
	}
	switch {
	case v.a.client.onlyIfCached: // RFC 9111 §5.2.1.7
		v.unsatisfied()
		return true
	case f.memo != nil: // newer than the answer, if there is one
		v.pass("uncacheable")
		return true
	case v.r.Method == http.MethodHead:
		v.pass("method")
		return true
	case f.answer == nil && f.sibling != nil && v.expect == nil:
		v.expect = reselect(f.sibling.vary, v.r.Header)
	}
	v.alone = v.alone || len(v.tried) >= maxTries || v.a.client.noCache || (f.answer != nil && f.answer.validate)
	return v.fetch(f.answer)
}

// serveStored serves e if it may be used as it is.
func (v *visit) serveStored(e *entry, now time.Duration) bool {
	switch {
	case v.acceptable(e, now):
		v.h.serve(v.w, v.r, e, now, Hit)
	case v.a.client.noCache:
		return false
	case e.within(now, e.swr) && v.a.client.maxAge < 0 && v.a.client.minFresh < 0:
		if time.Duration(e.retryAt.Load()) <= now {
			v.h.refreshLater(v.a, e)
		}
		v.h.serve(v.w, v.r, e, now, Stale)
	case time.Duration(e.retryAt.Load()) > now && e.within(now, e.sie):
		v.h.serve(v.w, v.r, e, now, StaleError)
	default:
		return false
	}
	return true
}

// acceptable says whether e is fresh enough, for the client too if the rules
// obey it (RFC 9111 §5.2.1).
func (v *visit) acceptable(e *entry, now time.Duration) bool {
	cl := &v.a.client
	if !cl.present && !cl.noCache {
		return e.fresh(now)
	}
	stale := e.staleness(now)
	switch {
	case cl.noCache || e.validate:
		return false
	case cl.maxAge >= 0 && e.age(now) > cl.maxAge:
		return false
	case cl.minFresh >= 0 && stale+cl.minFresh > 0:
		return false
	case stale < 0:
		return true
	}
	return !e.strict && !e.guarded && (cl.maxStaleAny || stale <= cl.maxStale)
}

// fetch gets the answer from the next handler, or from one who already asks it.
func (v *visit) fetch(stale *entry) bool {
	if stale != nil && stale.field("Etag") == "" && stale.field("Last-Modified") == "" && stale.sie == 0 {
		stale = nil // there is nothing to validate it with, and no use for it
	}
	f, rd, leader, again := v.join(stale)
	if again {
		return false
	}
	if leader {
		f.prepare()
		if !v.h.c.launch(f) {
			f.abandon()
			v.pass("closed")
			return true
		}
	}
	return v.follow(f, rd, leader)
}

// join finds the fill to wait for, or makes one; again says that the answer was
// stored meanwhile.
func (v *visit) join(stale *entry) (f *fill, rd *reader, leader, again bool) {
	s := v.h.c.shard(v.a.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := v.h.c.now()
	if !v.alone {
		if e := s.findLocked(v.a, now).answer; e != nil && e != stale && v.acceptable(e, now) {
			return nil, nil, false, true
		}
		for f = s.flights[v.a.hash]; f != nil; f = f.next {
			if !v.wants(f) {
				continue
			}
			if rd = f.body.attach(); rd != nil {
				return f, rd, false, false
			}
		}
	}
	f = v.h.newFill(v.a, stale, v.expect)
	if !v.alone {
		s.fly(f)
	}
	return f, f.body.attach(), true, false
}

// fly puts f on the list of those to join. mu is held.
func (s *shard) fly(f *fill) {
	f.flying, f.next = true, s.flights[f.ask.hash]
	s.flights[f.ask.hash] = f
}

// wants says whether the answer of f is likely to be for this request.
func (v *visit) wants(f *fill) bool {
	if string(f.ask.key) != string(v.a.key) {
		return false
	}
	for _, t := range v.tried {
		if t == f {
			return false
		}
	}
	select {
	case <-f.ready:
		return matches(f.head.selectors, v.r.Header)
	default:
		return matches(f.expect, v.r.Header)
	}
}

// follow waits for the header of f and serves the answer, if it is for v.
func (v *visit) follow(f *fill, rd *reader, leader bool) bool {
	defer rd.leave()
	ctx := v.r.Context()
	select {
	case <-f.ready:
	case <-ctx.Done():
		v.unsatisfied()
		return true
	}
	hd := &f.head
	if leader {
		if hd.failed {
			v.relayFailure(f)
			return true
		}
		v.h.relay(v.w, v.r, f, rd, hd.how)
		return true
	}
	switch {
	case hd.failed, !hd.plan.store:
		rd.leave()
		v.pass("uncacheable")
		return true
	case !hd.plan.shared():
		v.alone = true
		return false
	case !matches(hd.selectors, v.r.Header) || v.purged(f):
		v.tried = append(v.tried, f)
		v.expect = reselect(hd.selectors, v.r.Header)
		return false
	}
	how := Collapsed
	if hd.how == StaleError {
		how = StaleError
	}
	v.h.relay(v.w, v.r, f, rd, how)
	return true
}

// purged says whether a purge came between the start of f and this request.
func (v *visit) purged(f *fill) bool {
	x := &v.h.c.fences
	x.mu.RLock()
	defer x.mu.RUnlock()
	if f.fenced {
		return x.blocked(f, f.head.marks, v.a.arrived)
	}
	return f.met && v.a.arrived > f.start
}

// relayFailure passes on what became of the handler: its panic, or the end of
// its time.
func (v *visit) relayFailure(f *fill) {
	if f.head.panicked != nil {
		panic(f.head.panicked) // as if the handler had run here
	}
	panic(http.ErrAbortHandler)
}

func (v *visit) pass(reason string) {
	v.h.pass(v.w, v.h.forward(v.r, v.a.query), reason)
}

func (v *visit) unsatisfied() {
	header := v.w.Header()
	header.Set("Cache-Control", "no-store")
	v.h.report(v.r, header, Outcome{Status: Unsatisfied, Code: http.StatusGatewayTimeout})
	http.Error(v.w, http.StatusText(http.StatusGatewayTimeout), http.StatusGatewayTimeout)
}

// refreshLater validates e in the background, once at a time.
func (h *handler) refreshLater(a *ask, e *entry) {
	if !e.refreshing.CompareAndSwap(false, true) {
		return
	}
	f := h.newFill(a, e, nil)
	f.body.hold()
	f.prepare()
	if !h.c.launch(f) {
		e.refreshing.Store(false)
		f.abandon()
	}
}

// forward returns the request with the query that the rules leave.
func (h *handler) forward(r *http.Request, query string) *http.Request {
	out := *r
	if query != r.URL.RawQuery {
		u := *r.URL
		u.RawQuery = query
		out.URL = &u
		out.RequestURI = u.RequestURI()
	}
	return &out
}

// pass calls the next handler as if the cache were not there.
func (h *handler) pass(w http.ResponseWriter, r *http.Request, reason string) {
	o := &observer{ResponseWriter: w, header: func(status int, header http.Header) {
		stripForCache(header)
		h.report(r, header, Outcome{Status: Pass, Reason: reason, Code: status})
	}}
	h.next.ServeHTTP(o, r)
	o.tell(http.StatusOK)
}

// unsafe calls the next handler for a method that changes things and, before the
// client learns that it succeeded, drops what is stored of the URI and of those
// that the answer names, if they are of the same origin (RFC 9111 §4.4).
func (h *handler) unsafe(w http.ResponseWriter, r *http.Request) {
	o := &observer{ResponseWriter: w, header: func(status int, header http.Header) {
		if status >= 200 && status < 400 {
			h.invalidate(r, header)
		}
		stripForCache(header)
		h.report(r, header, Outcome{Status: Pass, Reason: "method", Code: status})
	}}
	h.next.ServeHTTP(o, r)
	o.tell(http.StatusOK)
}

func (h *handler) invalidate(r *http.Request, header http.Header) {
	scheme := schemeOf(r)
	self := url.URL{Scheme: scheme, Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery}
	targets := h.targets(nil, &self)
	for _, name := range []string{"Location", "Content-Location"} {
		line := header.Get(name)
		if line == "" {
			continue
		}
		u, err := self.Parse(line)
		if err == nil && u.Scheme == scheme && sameHost(scheme, u.Host, r.Host) {
			targets = h.targets(targets, u)
		}
	}
	h.c.purgeTargets(targets)
}

// targets appends the beginnings of keys of u: as it is, for routes with other
// rules, and as these rules reduce it.
func (h *handler) targets(list [][]byte, u *url.URL) [][]byte {
	for _, query := range []string{u.RawQuery, h.reduce(u.RawQuery)} {
		if b, ok := appendTarget(nil, u.Scheme, u.Host, u.EscapedPath(), query, u.ForceQuery); ok {
			if len(list) == 0 || !bytes.Equal(list[len(list)-1], b) {
				list = append(list, b)
			}
		}
	}
	return list
}

func sameHost(scheme, a, b string) bool {
	return is(withoutPort(scheme, a), withoutPort(scheme, b))
}
