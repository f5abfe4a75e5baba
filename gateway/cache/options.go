package cache

import (
	"fmt"
	"net/http"
	"time"

	"github.com/banyanhq/banyan"
)

// Options of a Cache. The zero value is good for a gateway with a small store.
type Options struct {
	// Bytes bounds the memory of stored answers, their keys, headers, tags and
	// places in the index included. Go's collector lets the heap grow to a
	// multiple of what is alive: see GOGC and GOMEMLIMIT. Default: 64 MiB; at
	// least 64 KiB.
	Bytes int64
	// MaxObject is the largest body that is stored, in bytes. Larger ones pass
	// through. Default: 1 MiB, or an eighth of Bytes if that is less, which is
	// also the most.
	MaxObject int64
	// FillBytes bounds the buffers of answers that are still arriving, in bytes.
	// Answers that do not fit pass through a window of 256 KiB and are not
	// stored. Default: a quarter of Bytes.
	FillBytes int64
	// FillTimeout ends a call of the next handler whose answer would be stored,
	// or whose header has not come. It does not limit answers that pass through.
	// Default: 60 s.
	FillTimeout time.Duration
	// PassFor is how long, after an answer that could not be stored, requests of
	// its key go straight to the next handler instead of waiting for each other.
	// After an answer of 5xx it is a tenth of it. Default: 10 s.
	PassFor time.Duration
	// Variants is how many answers of one key may be stored for different values
	// of the headers named by Vary. Default: 64.
	Variants int
	// Targets are the targeted fields (RFC 9213) that this cache obeys, the
	// first in force. Default: Surrogate-Control, CDN-Cache-Control; an empty
	// list that is not nil means none.
	Targets []string
	// CacheStatus is the name of this cache in the header Cache-Status (RFC
	// 9211). Default: empty, which adds no such header.
	CacheStatus string
	// Trace is called as things happen. Default: nil.
	Trace *Trace
}

// Trace holds callbacks; each may be nil, and is called without locks held, from
// many goroutines. They should be quick.
type Trace struct {
	// Served is called when the header of an answer is about to be written.
	Served func(*http.Request, Outcome)
	// Purged is called after each purge, with the number of answers it met.
	Purged func(Purge, int)
	// Failed is called when a call of the next handler by the cache panicked, with
	// the value, except http.ErrAbortHandler. Where a request waits for it the
	// panic goes on there too.
	Failed func(*http.Request, any)
}

func (o *Options) defaults() {
	setDefault(&o.Bytes, 64<<20)
	setDefault(&o.MaxObject, min(1<<20, o.Bytes/8))
	setDefault(&o.FillBytes, o.Bytes/4)
	setDefault(&o.FillTimeout, time.Minute)
	setDefault(&o.PassFor, 10*time.Second)
	setDefault(&o.Variants, 64)
	if o.Targets == nil {
		o.Targets = []string{surrogateControl, "CDN-Cache-Control"}
	}
	for i, name := range o.Targets {
		o.Targets[i] = http.CanonicalHeaderKey(name)
	}
	if o.Trace == nil {
		o.Trace = &Trace{}
	}
}

func setDefault[T int | int64 | time.Duration](value *T, otherwise T) {
	if *value == 0 {
		*value = otherwise
	}
}

func (o *Options) check() error {
	switch {
	case o.Bytes < 64<<10:
		return fmt.Errorf("cache: options: %w: Bytes is %d, want at least 65536", banyan.ErrInvalid, o.Bytes)
	case o.MaxObject < 0 || o.MaxObject > o.Bytes/8:
		return fmt.Errorf("cache: options: %w: MaxObject is %d, want 1 to %d, an eighth of Bytes", banyan.ErrInvalid, o.MaxObject, o.Bytes/8)
	case o.FillBytes < 0 || o.FillTimeout < 0 || o.PassFor < 0 || o.Variants < 0:
		return fmt.Errorf("cache: options: %w: counts and durations must not be negative", banyan.ErrInvalid)
	case !isStatusName(o.CacheStatus):
		return fmt.Errorf("cache: options: %w: CacheStatus is %q, want a token such as Banyan", banyan.ErrInvalid, o.CacheStatus)
	}
	return nil
}

func isStatusName(s string) bool {
	_, rest := span(s, tokenByte)
	return s == "" || rest == "" && isAlpha(s[0])
}

// Rules of one route. The zero value stores what the answers themselves allow,
// for requests without Cookie, and shares nothing between people.
//
// What is not part of the key is not sent on either: query parameters and
// cookies that the rules leave out are removed from the request, so that they
// cannot change an answer which others get.
type Rules struct {
	// TTL is the lifetime of answers of status 200, 203, 301 and 308 that say
	// nothing about theirs. Default: 0, they are not stored.
	TTL time.Duration
	// Heuristic lets an answer that has a Last-Modified and no lifetime live for
	// a tenth of the time since then, a day at most (RFC 9111 §4.2.2). TTL, when
	// set, goes before it. Default: false.
	Heuristic bool
	// StaleWhileRevalidate and StaleIfError apply to answers that do not say
	// them (RFC 5861) and do not forbid stale use (must-revalidate,
	// proxy-revalidate, s-maxage, no-cache). Default: 0.
	StaleWhileRevalidate, StaleIfError time.Duration
	// Jitter takes a random part, up to this fraction from 0 to 1, off each
	// lifetime, so that what was stored together does not expire together.
	// Default: 0.
	Jitter float64
	// Principal names the class of people for whom an answer is the same, such
	// as a user's id or a tenant; it is part of the key. For an empty name, and
	// by default, RFC 9111 §3.5 decides on requests with Authorization: their
	// answers are stored only with public, s-maxage or must-revalidate, apart
	// from those of other requests; and requests with Cookie pass through,
	// except as Cookies says.
	Principal func(*http.Request) string
	// Credentials reports whether a request shows who sent it in another way than
	// by Authorization or Cookie, such as an API key or a client certificate. Then
	// what is said of Authorization goes for it too. Default: none does.
	Credentials func(*http.Request) bool
	// Partition keeps the answers of these rules apart from those of others for
	// the same URLs, such as of a route with other conditions. Purges and
	// invalidation by unsafe methods meet all of them. Default: none.
	Partition string
	// Cookies are the names of the cookies that change an answer. They are part
	// of the key; all others are removed from the request. An empty list that is
	// not nil means that none matters. Default: nil, requests with any cookie
	// pass through.
	Cookies []string
	// Headers of the request whose values are part of the key, as if each answer
	// named them in Vary.
	Headers []string
	// Unseen are headers that the handler behind sets by itself, so that the cache
	// sees another value than the origin. Answers that name one in Vary are not
	// stored: nobody here can tell whom they are for. Default: none.
	Unseen []string
	// Query, when not nil, lists the only query parameters that are part of the
	// key; otherwise IgnoreQuery lists those that are not. Names are compared as
	// they stand in the URL. The order of parameters always matters.
	Query, IgnoreQuery []string
	// StripSetCookie removes Set-Cookie from answers that could be stored
	// without it, and stores them. Default: false, they are not stored.
	StripSetCookie bool
	// ObeyClients honours Cache-Control of requests (RFC 9111 §5.2.1 leaves that
	// to the cache). Default: false, because the cache of a gateway protects
	// what is behind it and a client's no-cache would go round it.
	ObeyClients bool
	// Tags are added to those of each answer of the route. Default: nil.
	Tags func(*http.Request) []string
}

func (r *Rules) check() error {
	switch {
	case r.TTL < 0 || r.StaleWhileRevalidate < 0 || r.StaleIfError < 0:
		return fmt.Errorf("cache: rules: %w: durations must not be negative", banyan.ErrInvalid)
	case !(r.Jitter >= 0 && r.Jitter <= 1):
		return fmt.Errorf("cache: rules: %w: Jitter is %v, want 0 to 1", banyan.ErrInvalid, r.Jitter)
	case r.Query != nil && r.IgnoreQuery != nil:
		return fmt.Errorf("cache: rules: %w: Query and IgnoreQuery exclude each other", banyan.ErrInvalid)
	}
	return nil
}
