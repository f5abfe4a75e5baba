package gateway

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan/openapi"
)

// operationKey names an operation of a document.
type operationKey struct{ method, path string }

// counter counts requests.
type counter struct {
	requests    atomic.Int64
	first, last atomic.Int64 // in Unix nanoseconds; 0: never
}

func (c *counter) add(now time.Time) {
	at := now.UnixNano()
	c.requests.Add(1)
	c.first.CompareAndSwap(0, at)
	c.last.Store(at)
}

// counters are those of a document's operations. Operations that stay keep
// theirs.
func counters(doc *openapi.Document, before map[operationKey]*counter) map[operationKey]*counter {
	all := map[operationKey]*counter{}
	for _, op := range doc.Operations() {
		key := operationKey{op.Method, op.Path}
		if all[key] = before[key]; all[key] == nil {
			all[key] = new(counter)
		}
	}
	return all
}

// described is what is known of the requests of a route.
type described struct {
	source   *source           // nil: they are described nowhere
	doc      *openapi.Document // nil: it never came
	pending  bool              // it may come
	counters map[operationKey]*counter
}

// find returns the counter of a request's operation; nil: the document has none.
// The path is the upstream's.
func (d *described) find(method, path string) *counter {
	if d.doc == nil {
		return nil
	}
	path, ok := strings.CutPrefix(path, d.source.base)
	if !ok {
		return nil
	}
	op, ok := d.doc.Find(method, path)
	if !ok {
		return nil
	}
	return d.counters[operationKey{op.Method, op.Path}]
}

// served counts a request that is over.
func (c *collector) served(a *arrival, r *http.Request) {
	s := c.shown.Load()
	if s == nil || r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		return // a preflight is the browser's own question
	}
	by := s.routes[a.route.Name]
	switch {
	case by == nil || a.route.Redirect != nil:
		return // it is not a route of the configuration, or not any more; or it is no API
	case by.pending:
		c.others.pending.Add(1)
		return
	}
	if n := by.find(r.Method, a.route.behind(a.path)); n != nil {
		n.add(time.Now())
	} else {
		c.others.add(a, r.Method)
	}
}

// part counts a call for a part of a composed answer.
func (c *collector) part(u *upstream, method, path string) {
	s := c.shown.Load()
	if s == nil || s.upstreams[u] == nil {
		return
	}
	if n := s.upstreams[u].find(method, path); n != nil {
		n.add(time.Now())
	}
}

// maxOthers is how many patterns are kept of requests that no document describes.
const maxOthers = 1000

// others counts what no document describes.
type others struct {
	pending  atomic.Int64 // the document has not come yet
	refused  atomic.Int64 // the answer does not show that there is anything
	unlisted atomic.Int64 // there is no room for another pattern

	mu   sync.RWMutex
	seen map[otherKey]*counter // guarded by mu
}

// otherKey is a pattern of requests.
type otherKey struct{ route, to, method, path string }

func (o *others) add(a *arrival, method string) {
	if !shows(a.answer.status) {
		o.refused.Add(1)
		return
	}
	key := otherKey{a.route.Name, a.route.upstreams(), knownMethod(method), a.route.fold(a.path)}
	if n := o.counter(key); n != nil {
		n.add(time.Now())
	} else {
		o.unlisted.Add(1)
	}
}

// counter returns that of a pattern; nil: there is no room for it.
func (o *others) counter(key otherKey) *counter {
	o.mu.RLock()
	n := o.seen[key]
	o.mu.RUnlock()
	if n != nil {
		return n
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if n = o.seen[key]; n == nil && len(o.seen) < maxOthers {
		if o.seen == nil {
			o.seen = map[otherKey]*counter{}
		}
		n = new(counter)
		o.seen[key] = n
	}
	return n
}

// shows reports whether an answer shows that there is something at its path. What
// scanners ask for must not crowd out what is there.
func shows(status int) bool {
	switch status {
	case 0, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone,
		http.StatusRequestURITooLong, http.StatusTooManyRequests, http.StatusNotImplemented, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return true
}

const otherMethod = "other"

// knownMethod bounds how many there are.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return otherMethod
}

// maxFolded is how many segments of a path are kept.
const maxFolded = 12

// fold makes the pattern of a path: the wildcards of the route's match, and
// segments that look like ids, become {}. What is left names no person and no
// thing, and there are few.
func (r *Route) fold(path string) string {
	var out strings.Builder
	i := 0
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		out.WriteByte('/')
		switch {
		case i == maxFolded:
			out.WriteString("…")
			return out.String()
		case i < len(r.pattern.segments) && r.pattern.segments[i].name != "" || isID(part):
			out.WriteString("{}")
		default:
			out.WriteString(part)
		}
		i++
	}
	return out.String()
}

// maxWord is how long a segment may be that is no id, in bytes.
const maxWord = 40

// isID reports whether a segment of a path looks like the name of one thing among
// many: a number, a UUID, a hash, a code with more than two digits in a row, a
// mail address, or something escaped or long.
func isID(part string) bool {
	digits, row, letters, hexadecimal := 0, 0, 0, 0
	longest := 0
	for i := range len(part) {
		c := part[i]
		row++
		switch {
		case c >= '0' && c <= '9':
			digits++
			longest = max(longest, row)
			continue
		case c == '@' || c == '%' || c >= 0x80:
			return true
		case c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
			hexadecimal++
		case c != '-':
			letters++
		}
		row = 0
	}
	switch {
	case digits > 0 && digits+hexadecimal == len(part) && (hexadecimal == 0 || len(part) >= 8):
		return true // a number or a hash
	case digits > 0 && letters == 0 && len(part) == 36:
		return true // a UUID
	}
	return longest > 2 || digits > 3 || len(part) > maxWord
}
