package cache_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/banyanhq/banyan/gateway/cache"
	"github.com/banyanhq/banyan/internal/gatetest"
)

// origin is a handler that counts its calls.
type origin struct {
	mu    sync.Mutex
	calls int
	serve func(w http.ResponseWriter, r *http.Request, call int)
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.calls++
	call := o.calls
	o.mu.Unlock()
	o.serve(w, r, call)
}

func (o *origin) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls
}

// answering returns an origin whose body is the number of the call, with headers
// given as "Name: value".
func answering(status int, lines ...string) *origin {
	return &origin{serve: func(w http.ResponseWriter, _ *http.Request, call int) {
		gatetest.Add(w.Header(), lines)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(number(call)))
	}}
}

func number(n int) string {
	return string(rune('0'+n/100%10)) + string(rune('0'+n/10%10)) + string(rune('0'+n%10))
}

// bed is a cache, a route and what was told about them.
type bed struct {
	*cache.Cache
	t       testing.TB
	handler http.Handler

	mu       sync.Mutex
	outcomes []cache.Outcome
}

func setup(t testing.TB, o *cache.Options, rules *cache.Rules, next http.Handler) *bed {
	t.Helper()
	b := &bed{t: t}
	var opts cache.Options
	if o != nil {
		opts = *o
	}
	if opts.Trace == nil {
		opts.Trace = &cache.Trace{Served: b.served}
	}
	c, err := cache.New(&opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	b.Cache = c
	b.handler = b.route(rules, next)
	return b
}

func (b *bed) served(_ *http.Request, o cache.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outcomes = append(b.outcomes, o)
}

func (b *bed) route(rules *cache.Rules, next http.Handler) http.Handler {
	b.t.Helper()
	h, err := b.Cache.Handler(rules, next)
	if err != nil {
		b.t.Fatal(err)
	}
	return h
}

// status returns that of the last answer.
func (b *bed) status() cache.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.outcomes[len(b.outcomes)-1].Status
}

func request(method, target string, lines ...string) *http.Request {
	return gatetest.Request(method, target, "", lines...)
}

func (b *bed) do(r *http.Request) *httptest.ResponseRecorder { return gatetest.Do(b.handler, r) }

func (b *bed) get(target string, lines ...string) *httptest.ResponseRecorder {
	return b.do(request(http.MethodGet, target, lines...))
}

// want checks the body and where it came from.
func (b *bed) want(w *httptest.ResponseRecorder, body string, status cache.Status) {
	b.t.Helper()
	if got := w.Body.String(); got != body || b.status() != status {
		b.t.Errorf("body %q, status %v; want %q, %v", got, b.status(), body, status)
	}
}
