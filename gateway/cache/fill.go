package cache

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// fill is one call of the next handler whose answer may serve several requests.
// It runs in a goroutine of the cache, so no client's leaving ends it for others.
type fill struct {
	c        *Cache
	h        *handler
	ask      *ask
	shard    *shard
	up       *http.Request // what is sent on
	sent     http.Header   // its header, which up's handlers may change
	stale    *entry        // what is validated; nil if nothing is
	expect   []selector    // how those who may join are told apart before the header
	began    time.Duration
	received time.Duration   // when the header came
	ctx      context.Context // of up; ends with the fill
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	body     *stream

	start         uint64 // guarded by fences.mu, as the next four
	before, after *fill
	fenced, met   bool  // under way; a purge met it
	next          *fill // guarded by shard.mu: of the same hash
	flying        bool  // guarded by shard.mu: others may join

	ready chan struct{} // closed when head is set, which then stays
	head  head
	// trailer is set before body ends.
	trailer http.Header
}

// head is what is known of an answer when its header has come.
type head struct {
	plan      plan
	status    int
	out       http.Header // what clients get
	selectors []selector
	marks     []uint64 // of its tags, and of its URI if that does not find it
	whole     *entry   // the answer, if it is not in the body: refreshed, or stale after an error
	how       Status
	failed    bool // there is no answer: the handler panicked, or was ended
	panicked  any
}

var errTimeout = errors.New("cache: the fill took longer than FillTimeout")

// newFill is called with the shard's lock held, so it does little.
func (h *handler) newFill(a *ask, stale *entry, expect []selector) *fill {
	f := &fill{c: h.c, h: h, ask: a, shard: h.c.shard(a.hash), stale: stale, expect: expect, ready: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancelCause(context.WithoutCancel(a.r.Context()))
	f.body = newStream(&h.c.room, h.c.opts.MaxObject, f.cancel)
	return f
}

// prepare makes the request that is sent on, while the client's is still there.
func (f *fill) prepare() {
	ctx := f.ctx
	if ctx.Value(http.ServerContextKey) == nil {
		// httputil.ReverseProxy reports a body that breaks off only to a server;
		// without, half an answer would look like a whole one.
		ctx = context.WithValue(ctx, http.ServerContextKey, &http.Server{ReadHeaderTimeout: time.Second})
	}
	f.up = f.h.forward(f.ask.r, f.ask.query).WithContext(ctx)
	f.sent = onward(f.ask.r.Header)
	f.up.Header = f.sent.Clone()
	if f.stale != nil {
		f.condition(f.up.Header)
	}
}

// onward returns the header that a fill sends: without the client's conditions,
// since the whole answer is wanted, and without what speaks of this client only.
func onward(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		if name != "If-None-Match" && name != "If-Modified-Since" && !hopByHop(name) && !isClientAddress(name) {
			out[name] = values
		}
	}
	return out.Clone()
}

// condition asks to validate the stored answer (RFC 9111 §4.3.1).
func (f *fill) condition(h http.Header) {
	if tag := f.stale.field("Etag"); tag != "" {
		h["If-None-Match"] = []string{tag}
	}
	if modified := f.stale.field("Last-Modified"); modified != "" {
		h["If-Modified-Since"] = []string{modified}
	}
}

// run calls the next handler. The cache has counted it.
func (f *fill) run() {
	defer f.c.running.Done()
	stop := context.AfterFunc(f.c.ctx, func() { f.cancel(errClosed) })
	defer stop()
	f.c.fences.begin(f)
	f.began = f.c.now()
	f.timer = time.AfterFunc(f.c.opts.FillTimeout, func() { f.cancel(errTimeout) })
	if f.call() {
		return
	}
	f.up.Header = f.sent.Clone()
	f.stale.refreshing.Store(false)
	f.stale = nil
	f.call()
}

// call returns false when it got a 304 of no use and must be made again.
func (f *fill) call() (done bool) {
	rec := &recorder{f: f, header: http.Header{}, length: -1}
	done = true // also after a panic, which end recovers
	defer rec.end()
	f.h.next.ServeHTTP(rec, f.up)
	rec.returned = true
	done = !rec.again
	return done
}

// answer decides what to do with an answer, by its status and header.
func (f *fill) answer(rec *recorder, status int) {
	now, wall := f.c.now(), time.Now()
	f.received = now
	switch {
	case status == http.StatusNotModified && f.stale != nil:
		// RFC 9111 §4.3.4: a 304 about something else updates nothing.
		if tag := rec.header.Get("Etag"); tag != "" && !sameTag(tag, f.stale.field("Etag")) {
			rec.again = true
			return
		}
		rec.discard = true
		f.refresh(rec.header, now, wall)
	case status >= 500 && f.useStale(now):
		rec.discard = true
	default:
		p := f.h.judge(f.ask, f.up, status, rec.header, f.began, now, wall)
		rec.length = contentLength(rec.header)
		rec.storing = f.publish(head{plan: p, status: status, how: Miss}, rec.header, rec.length)
	}
}

// useStale publishes the stale answer in place of an error, if that is allowed.
// In any case the next validation waits a little.
func (f *fill) useStale(now time.Duration) bool {
	e := f.stale
	if e == nil {
		return false
	}
	e.retryAt.Store(int64(now + f.c.opts.PassFor/10))
	if !e.within(now, e.sie) {
		return false
	}
	f.settle(head{
		status: int(e.status), whole: e, how: StaleError, selectors: e.vary, marks: e.marks(),
		plan: plan{store: true, lifetime: time.Second},
	})
	return true
}

// refresh publishes the validated answer under its new header (RFC 9111 §3.2).
func (f *fill) refresh(header http.Header, now time.Duration, wall time.Time) {
	old := f.stale
	merged := old.header()
	delete(merged, "Date") // without one in the 304 it is now
	for name, values := range header {
		switch {
		case hopByHop(name), name == "Content-Length", name == "Content-Encoding", name == "Content-Range":
		default:
			merged[name] = values
		}
	}
	p := f.h.judge(f.ask, f.up, int(old.status), merged, f.began, now, wall)
	h := head{plan: p, status: int(old.status), how: Revalidated}
	if !p.store {
		p.header = storedHeader(merged, wall)
		p.header["Set-Cookie"] = merged["Set-Cookie"]
		h.whole = newEntry(f.ask, int(old.status), &p, now, old.body, nil, nil)
		f.giveUp(&h)
		f.settle(h)
		return
	}
	h.selectors, h.marks = selectors(p.vary, f.sent), f.c.marks(f.ask, p.tags)
	if len(tagsOf(header)) == 0 {
		h.marks = union(h.marks, old.marks())
	}
	h.whole = newEntry(f.ask, int(old.status), &p, now, old.body, h.selectors, h.marks)
	f.keep(h.whole)
	f.settle(h)
}

// publish makes the header known and says whether the body is kept.
func (f *fill) publish(h head, raw http.Header, length int64) bool {
	if h.plan.store && length > f.c.opts.MaxObject {
		h.plan.store, h.plan.refused = false, "too large"
	}
	if !h.plan.store {
		h.out = raw.Clone()
		stripForCache(h.out)
		f.giveUp(&h)
		f.settle(h)
		f.body.pass()
		return false
	}
	h.out = h.plan.header.Clone() // the handler may go on changing raw
	h.selectors, h.marks = selectors(h.plan.vary, f.sent), f.c.marks(f.ask, h.plan.tags)
	f.body.expect(length)
	f.settle(h)
	return true
}

func (f *fill) settle(h head) {
	f.head = h
	close(f.ready)
}

// abandon ends a fill that was never run.
func (f *fill) abandon() {
	f.land()
	f.settle(head{failed: true})
	f.cancel(errClosed)
}

// giveUp ends what others could share: the answer cannot be stored. Those who
// come next do not wait for each other, for a time.
func (f *fill) giveUp(h *head) {
	f.timer.Stop()
	lifetime := f.c.opts.PassFor
	if h.status >= 500 {
		lifetime /= 10
	} else if f.stale != nil {
		f.shard.drop(f.stale) // the origin has taken it back
	}
	if h.plan.refused != "client" {
		f.shard.put(newMemo(f.ask, f.c.now(), lifetime), f.sent)
	}
	f.land()
	f.c.fences.end(f)
}

// land takes f off the list of those to join.
func (f *fill) land() {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	if !f.flying {
		return
	}
	f.flying = false
	at := f.shard.flights[f.ask.hash]
	if at == f {
		if f.next == nil {
			delete(f.shard.flights, f.ask.hash)
		} else {
			f.shard.flights[f.ask.hash] = f.next
		}
		return
	}
	for at.next != f {
		at = at.next
	}
	at.next = f.next
}

// keep stores e, unless a purge since the start of f meets it.
func (f *fill) keep(e *entry) {
	x := &f.c.fences
	x.mu.RLock()
	defer x.mu.RUnlock()
	if !x.blocked(f, e.marks(), x.seq) {
		f.shard.put(e, f.sent)
	}
}

// fail publishes that there is no answer.
func (f *fill) fail(panicked any) {
	if !f.useStale(f.c.now()) {
		f.settle(head{failed: true, panicked: panicked})
	}
}

// finish ends the body and, before anybody sees that, stores it.
func (f *fill) finish(rec *recorder, err error) {
	if rec.storing && err == nil {
		if body, ok := f.body.body(); ok {
			f.keep(f.entry(body))
		}
	}
	if !f.head.plan.store {
		f.trailer = trailers(f.head.out, rec.header)
	}
	f.timer.Stop()
	f.land()
	f.c.fences.end(f)
	if f.stale != nil {
		f.stale.refreshing.Store(false)
	}
	f.body.finish(err)
	f.cancel(nil)
}

func (f *fill) entry(body []byte) *entry {
	p := f.head.plan
	p.header = f.head.out.Clone()
	if f.head.status != http.StatusNoContent {
		p.header["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	if len(body) > 0 && len(p.header["Content-Type"]) == 0 && len(p.header["Content-Encoding"]) == 0 {
		p.header["Content-Type"] = []string{http.DetectContentType(body)} // once, not at each hit
	}
	return newEntry(f.ask, f.head.status, &p, f.received, body, f.head.selectors, f.head.marks)
}

// trailers returns what came behind the body: fields announced in Trailer, and
// those with the prefix of net/http.
func trailers(announced, now http.Header) http.Header {
	out := http.Header{}
	for name, values := range now {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			out[name] = values
		}
	}
	for _, line := range announced["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = http.CanonicalHeaderKey(trim(name)); len(now[name]) > 0 {
				out[name] = now[name]
			}
		}
	}
	return out
}
