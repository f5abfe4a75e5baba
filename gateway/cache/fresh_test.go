package cache_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan/gateway/cache"
	"github.com/banyanhq/banyan/internal/gatetest"
)

const page = "http://shop.example/a"

// Lifetimes: how long an answer is used, by what it says (RFC 9111 §4.2).
func TestLifetime(t *testing.T) {
	t.Parallel()
	// Dates: a bubble of synctest starts at midnight UTC 2000-01-01.
	const date = "Date: Sat, 01 Jan 2000 00:00:00 GMT"
	tests := []struct {
		name  string
		rules cache.Rules
		says  []string
		fresh time.Duration // 0: not stored
	}{
		{"§5.2.2.1 max-age", cache.Rules{}, []string{"Cache-Control: max-age=60"}, 60 * time.Second},
		{"§5.2.2.10 s-maxage before max-age", cache.Rules{}, []string{"Cache-Control: max-age=60, s-maxage=10"}, 10 * time.Second},
		{"§5.3 Expires", cache.Rules{}, []string{date, "Expires: Sat, 01 Jan 2000 00:00:30 GMT"}, 30 * time.Second},
		{"§5.3 max-age before Expires", cache.Rules{}, []string{"Cache-Control: max-age=5", "Expires: Sat, 01 Jan 2000 00:00:30 GMT"}, 5 * time.Second},
		{"§5.3 Expires: 0", cache.Rules{}, []string{"Expires: 0"}, 0},
		{"§4.2.1 two values", cache.Rules{}, []string{"Cache-Control: max-age=60, max-age=30"}, 0},
		{"§4.2.1 the same value twice", cache.Rules{}, []string{"Cache-Control: max-age=60", "Cache-Control: max-age=60"}, 60 * time.Second},
		{"§1.2.2 no number", cache.Rules{}, []string{"Cache-Control: max-age=-5"}, 0},
		{"§1.2.2 too large", cache.Rules{}, []string{"Cache-Control: max-age=99999999999999999999999"}, (1<<31 - 1) * time.Second},
		{"§5.2 quoted", cache.Rules{}, []string{`Cache-Control: MAX-AGE="60"`}, 60 * time.Second},
		{"§5.2 a directive in a quoted string", cache.Rules{}, []string{`Cache-Control: ext="a, no-store", max-age=60`}, 60 * time.Second},
		{"§4.2.3 Age counts", cache.Rules{}, []string{"Cache-Control: max-age=60", "Age: 50"}, 10 * time.Second},
		{"§4.2.3 an old Date counts", cache.Rules{}, []string{"Cache-Control: max-age=60", "Date: Fri, 31 Dec 1999 23:59:20 GMT"}, 20 * time.Second},
		{"nothing said", cache.Rules{}, nil, 0},
		{"nothing said, default", cache.Rules{TTL: 7 * time.Second}, nil, 7 * time.Second},
		{"zero said, default", cache.Rules{TTL: 7 * time.Second}, []string{"Cache-Control: max-age=0"}, 0},
		{"nothing said, stale default", cache.Rules{StaleWhileRevalidate: time.Hour}, nil, 0},
		{"§4.2.2 heuristic", cache.Rules{Heuristic: true}, []string{"Last-Modified: Fri, 31 Dec 1999 23:00:00 GMT"}, 6 * time.Minute},
		{"§4.2.2 no heuristic", cache.Rules{}, []string{"Last-Modified: Fri, 31 Dec 1999 23:00:00 GMT"}, 0},
		{"RFC 9213 targeted", cache.Rules{}, []string{"Cache-Control: private", "CDN-Cache-Control: max-age=60"}, 60 * time.Second},
		{"RFC 9213 §2.2 targeted forbids", cache.Rules{}, []string{"Cache-Control: max-age=60", "CDN-Cache-Control: no-store"}, 0},
		{"RFC 9213 §2.2 hides Expires", cache.Rules{}, []string{"Expires: Sat, 01 Jan 2000 00:00:30 GMT", "CDN-Cache-Control: public"}, 0},
		{"RFC 9213 §2.1 invalid is ignored", cache.Rules{}, []string{"Cache-Control: max-age=5", "CDN-Cache-Control: max-age=60, &&"}, 5 * time.Second},
		{"RFC 9213 §2.1 upper case is invalid", cache.Rules{}, []string{"Cache-Control: max-age=5", "CDN-Cache-Control: Max-Age=60"}, 5 * time.Second},
		{"Surrogate-Control first", cache.Rules{}, []string{"CDN-Cache-Control: max-age=60", `Surrogate-Control: max-age=9, content="ESI/1.0"`}, 9 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { checkLifetime(t, &test.rules, test.says, test.fresh) })
		})
	}
}

func checkLifetime(t *testing.T, rules *cache.Rules, says []string, fresh time.Duration) {
	b := setup(t, nil, rules, answering(200, says...))
	b.get(page)
	if fresh == 0 {
		if b.get(page); b.status() != cache.Pass {
			t.Fatalf("second answer: %v, want pass: the first must not be stored", b.status())
		}
		return
	}
	time.Sleep(fresh - time.Millisecond)
	b.want(b.get(page), "001", cache.Hit)
	time.Sleep(time.Millisecond)
	b.want(b.get(page), "002", cache.Miss)
}

func TestAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &origin{serve: func(w http.ResponseWriter, _ *http.Request, _ int) {
			time.Sleep(3 * time.Second) // §4.2.3: the delay of the answer counts
			gatetest.Add(w.Header(), []string{"Cache-Control: max-age=60", "Age: 10"})
			_, _ = w.Write([]byte("x"))
		}}
		b := setup(t, nil, nil, slow)
		if w := b.get(page); w.Header().Get("Age") != "13" {
			t.Errorf("Age of the first answer is %q, want 13", w.Header().Get("Age"))
		}
		time.Sleep(7 * time.Second)
		if w := b.get(page); w.Header().Get("Age") != "20" || b.status() != cache.Hit {
			t.Errorf("Age is %q, %v; want 20, hit", w.Header().Get("Age"), b.status())
		}
	})
}

// Which answers are stored, by status and header (RFC 9111 §3).
func TestStorable(t *testing.T) {
	t.Parallel()
	const live = "Cache-Control: max-age=60"
	tests := []struct {
		name   string
		status int
		says   []string
		want   cache.Status // of the second request
	}{
		{"200", 200, []string{live}, cache.Hit},
		{"204", 204, []string{live}, cache.Hit},
		{"301", 301, []string{live, "Location: /b"}, cache.Hit},
		{"307", 307, []string{live, "Location: /b"}, cache.Hit},
		{"404 with a lifetime", 404, []string{live}, cache.Hit},
		{"404 without", 404, nil, cache.Pass},
		{"206", 206, []string{live, "Content-Range: bytes 0-2/9"}, cache.Pass},
		{"401", 401, []string{live}, cache.Pass},
		{"403", 403, []string{live}, cache.Pass},
		{"407", 407, []string{live}, cache.Pass},
		{"429", 429, []string{live, "Retry-After: 1"}, cache.Pass},
		{"500", 500, []string{live}, cache.Pass},
		{"503", 503, []string{live}, cache.Pass},
		{"304 that nobody asked for", 304, []string{live}, cache.Pass},
		{"§5.2.2.5 no-store", 200, []string{"Cache-Control: max-age=60, no-store"}, cache.Pass},
		{"§5.2.2.7 private", 200, []string{"Cache-Control: max-age=60, private"}, cache.Pass},
		{"§5.2.2.7 private with names", 200, []string{`Cache-Control: private="x-user", max-age=60`}, cache.Pass},
		{"§5.2 a second line", 200, []string{live, "Cache-Control: no-store"}, cache.Pass},
		{"§4.1 Vary: *", 200, []string{live, "Vary: Accept, *"}, cache.Pass},
		{"§4.1 Vary that is no list of names", 200, []string{live, "Vary: a b"}, cache.Pass},
		{"§7.3 Set-Cookie", 200, []string{live, "Set-Cookie: id=1"}, cache.Pass},
		{"trailers", 200, []string{live, "Trailer: X-Sum"}, cache.Pass},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil, nil, &origin{serve: func(w http.ResponseWriter, _ *http.Request, _ int) {
				gatetest.Add(w.Header(), test.says)
				w.WriteHeader(test.status)
			}})
			first, second := b.get(page), b.get(page)
			if first.Code != test.status || second.Code != test.status || b.status() != test.want {
				t.Errorf("codes %d and %d, second %v; want %d, %v", first.Code, second.Code, b.status(), test.status, test.want)
			}
		})
	}
}

// What clients ask for counts only where the rules say so (RFC 9111 §5.2.1).
func TestClientDirectives(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, asks string
		after      time.Duration
		want       cache.Status
		code       int
	}{
		{"nothing", "", 30 * time.Second, cache.Hit, 200},
		{"no-cache", "no-cache", 0, cache.Miss, 200},
		{"max-age", "max-age=20", 20 * time.Second, cache.Hit, 200},
		{"max-age passed", "max-age=20", 21 * time.Second, cache.Miss, 200},
		{"min-fresh", "min-fresh=30", 30 * time.Second, cache.Hit, 200},
		{"min-fresh passed", "min-fresh=30", 31 * time.Second, cache.Miss, 200},
		{"max-stale", "max-stale=10", 70 * time.Second, cache.Hit, 200},
		{"max-stale passed", "max-stale=10", 71 * time.Second, cache.Miss, 200},
		{"any max-stale", "max-stale", time.Hour, cache.Hit, 200},
		{"only-if-cached", "only-if-cached", 30 * time.Second, cache.Hit, 200},
		{"only-if-cached passed", "only-if-cached", 90 * time.Second, cache.Unsatisfied, 504},
		{"no-store of what is stored", "no-store", 0, cache.Hit, 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, nil, &cache.Rules{ObeyClients: true}, answering(200, "Cache-Control: max-age=60"))
				b.get(page)
				time.Sleep(test.after)
				w := b.get(page, "Cache-Control: "+test.asks)
				if w.Code != test.code || b.status() != test.want {
					t.Errorf("%d %v, want %d %v", w.Code, b.status(), test.code, test.want)
				}
			})
		})
	}
}

func TestClientsAreNotObeyedByDefault(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, nil, answering(200, "Cache-Control: max-age=60"))
	b.get(page)
	for _, asks := range []string{"no-cache", "no-store", "max-age=0", "min-fresh=600"} {
		b.want(b.get(page, "Cache-Control: "+asks, "Pragma: no-cache"), "001", cache.Hit)
	}
}

func TestClientNoStore(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, &cache.Rules{ObeyClients: true}, answering(200, "Cache-Control: max-age=60"))
	b.get(page, "Cache-Control: no-store")
	b.want(b.get(page), "002", cache.Miss)
	b.want(b.get(page), "002", cache.Hit)
}
