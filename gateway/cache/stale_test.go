package cache_test

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan/gateway/cache"
	"github.com/banyanhq/banyan/internal/gatetest"
)

// stages answers each call in its own way: a status and headers, then the
// number of the call; the last one repeats.
func stages(list ...[]string) *origin {
	return &origin{serve: func(w http.ResponseWriter, r *http.Request, call int) {
		lines := list[min(call, len(list))-1]
		gatetest.Add(w.Header(), lines[1:])
		switch lines[0] {
		case "200":
			_, _ = io.WriteString(w, number(call))
		case "304":
			if r.Header.Get("If-None-Match") == "" && r.Header.Get("If-Modified-Since") == "" {
				_, _ = io.WriteString(w, "unconditional "+number(call))
				return
			}
			w.WriteHeader(304)
		case "panic":
			panic("boom")
		default:
			w.WriteHeader(503)
		}
	}}
}

// What happens when an answer is no longer fresh: the second request comes after
// a time, the third a moment later.
func TestStale(t *testing.T) {
	t.Parallel()
	ok := []string{"200", "Cache-Control: max-age=10"}
	down := []string{"503"}
	tests := []struct {
		name    string
		rules   cache.Rules
		says    []string
		then    []string
		after   time.Duration
		second  string
		status  cache.Status
		third   string
		status3 cache.Status
	}{
		{"RFC 5861 §3 in the window", cache.Rules{}, []string{"200", "Cache-Control: max-age=10, stale-while-revalidate=5"}, ok, 14 * time.Second, "001", cache.Stale, "002", cache.Hit},
		{"RFC 5861 §3 behind the window", cache.Rules{}, []string{"200", "Cache-Control: max-age=10, stale-while-revalidate=5"}, ok, 15 * time.Second, "002", cache.Miss, "002", cache.Hit},
		{"by the rules", cache.Rules{StaleWhileRevalidate: 5 * time.Second}, ok, ok, 14 * time.Second, "001", cache.Stale, "002", cache.Hit},
		{"§5.2.2.2 must-revalidate forbids", cache.Rules{}, []string{"200", "Cache-Control: max-age=10, stale-while-revalidate=5, must-revalidate"}, ok, 14 * time.Second, "002", cache.Miss, "002", cache.Hit},
		{"§5.2.2.8 proxy-revalidate forbids", cache.Rules{StaleWhileRevalidate: 5 * time.Second}, []string{"200", "Cache-Control: max-age=10, proxy-revalidate"}, ok, 14 * time.Second, "002", cache.Miss, "002", cache.Hit},
		{"§5.2.2.10 s-maxage forbids the rules", cache.Rules{StaleWhileRevalidate: 5 * time.Second}, []string{"200", "Cache-Control: s-maxage=10"}, ok, 14 * time.Second, "002", cache.Miss, "002", cache.Hit},
		{"s-maxage beside stale-while-revalidate", cache.Rules{}, []string{"200", "Cache-Control: s-maxage=10, stale-while-revalidate=5"}, ok, 14 * time.Second, "001", cache.Stale, "002", cache.Hit},
		{"the background fails", cache.Rules{}, []string{"200", "Cache-Control: max-age=10, stale-while-revalidate=60"}, down, 14 * time.Second, "001", cache.Stale, "001", cache.Stale},
		{"RFC 5861 §4 error", cache.Rules{}, []string{"200", "Cache-Control: max-age=10, stale-if-error=60"}, down, 14 * time.Second, "001", cache.StaleError, "001", cache.StaleError},
		{"RFC 5861 §4 panic", cache.Rules{}, []string{"200", "Cache-Control: max-age=10, stale-if-error=60"}, []string{"panic"}, 14 * time.Second, "001", cache.StaleError, "001", cache.StaleError},
		{"RFC 5861 §4 by the rules", cache.Rules{StaleIfError: time.Minute}, ok, down, 14 * time.Second, "001", cache.StaleError, "001", cache.StaleError},
		{"RFC 5861 §4 too late", cache.Rules{}, []string{"200", "Cache-Control: max-age=10, stale-if-error=3"}, down, 14 * time.Second, "", cache.Miss, "", cache.Pass},
		{"error where must-revalidate", cache.Rules{StaleIfError: time.Minute}, []string{"200", "Cache-Control: max-age=10, must-revalidate"}, down, 14 * time.Second, "", cache.Miss, "", cache.Pass},
		{"Surrogate-Control: 10+5", cache.Rules{}, []string{"200", "Surrogate-Control: max-age=10+5"}, ok, 14 * time.Second, "001", cache.Stale, "002", cache.Hit},
		{"§5.2.2.4 no-cache is always asked", cache.Rules{StaleWhileRevalidate: time.Hour}, []string{"200", "Cache-Control: no-cache, max-age=60", `ETag: "1"`}, []string{"304"}, 0, "001", cache.Revalidated, "001", cache.Revalidated},
		{"§4.3 304 by ETag", cache.Rules{}, []string{"200", "Cache-Control: max-age=10", `ETag: "1"`}, []string{"304", `ETag: "1"`, "Cache-Control: max-age=99"}, 14 * time.Second, "001", cache.Revalidated, "001", cache.Hit},
		{"§4.3 304 by date", cache.Rules{}, []string{"200", "Cache-Control: max-age=10", "Last-Modified: Fri, 31 Dec 1999 23:00:00 GMT"}, []string{"304"}, 14 * time.Second, "001", cache.Revalidated, "001", cache.Hit},
		{"§4.3.4 304 about something else", cache.Rules{}, []string{"200", "Cache-Control: max-age=10", `ETag: "1"`}, []string{"304", `ETag: "2"`, "Cache-Control: max-age=99"}, 14 * time.Second, "unconditional 003", cache.Miss, "unconditional 003", cache.Hit},
		{"§4.3 changed", cache.Rules{}, []string{"200", "Cache-Control: max-age=10", `ETag: "1"`}, []string{"200", `ETag: "2"`, "Cache-Control: max-age=99"}, 14 * time.Second, "002", cache.Miss, "002", cache.Hit},
		{"304 takes it back", cache.Rules{}, []string{"200", "Cache-Control: max-age=10", `ETag: "1"`}, []string{"304", "Cache-Control: no-store"}, 14 * time.Second, "001", cache.Revalidated, "unconditional 003", cache.Pass},
		{"200 takes it back", cache.Rules{}, []string{"200", "Cache-Control: max-age=10, stale-while-revalidate=60"}, []string{"200", "Cache-Control: no-store"}, 14 * time.Second, "001", cache.Stale, "003", cache.Pass},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, nil, &test.rules, stages(test.says, test.then))
				b.get(page)
				time.Sleep(test.after)
				b.want(b.get(page), test.second, test.status)
				synctest.Wait() // for the background
				b.want(b.get(page), test.third, test.status3)
			})
		})
	}
}

// One validation per key, however many ask for the stale answer.
func TestOneRevalidation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := slowly(answering(200, "Cache-Control: max-age=10, stale-while-revalidate=60"))
		b := setup(t, nil, nil, o)
		b.get(page)
		time.Sleep(20 * time.Second)
		start := time.Now()
		b.crowd(100, func(int) *http.Request { return request("GET", page) })
		if time.Since(start) != 0 {
			t.Errorf("stale answers took %v", time.Since(start))
		}
		time.Sleep(5 * time.Second)
		if b.want(b.get(page), "002", cache.Hit); o.count() != 2 {
			t.Errorf("%d calls, want 2", o.count())
		}
	})
}

// While the origin is down it is asked once a second, not by each request.
func TestErrorsAreNotAskedForAgainAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := stages([]string{"200", "Cache-Control: max-age=10"}, []string{"503"})
		b := setup(t, nil, &cache.Rules{StaleIfError: time.Hour}, o)
		b.get(page)
		time.Sleep(20 * time.Second)
		for range 50 {
			b.want(b.get(page), "001", cache.StaleError)
			time.Sleep(100 * time.Millisecond)
		}
		if n := o.count(); n < 5 || n > 7 {
			t.Errorf("%d calls in five seconds, want about one each", n)
		}
	})
}

// What a 304 says replaces what was stored; what it does not say stays
// (RFC 9111 §3.2).
func TestRefreshedHeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, nil, nil, stages(
			[]string{"200", "Cache-Control: max-age=10", `ETag: "1"`, "X-Kept: 1", "X-New: 1", "Surrogate-Key: a", "Content-Length: 3"},
			[]string{"304", `ETag: "1"`, "Cache-Control: max-age=60", "X-New: 2", "Content-Length: 99"}))
		b.get(page)
		time.Sleep(11 * time.Second)
		for _, want := range []cache.Status{cache.Revalidated, cache.Hit} {
			w := b.get(page)
			b.want(w, "001", want)
			if h := w.Header(); h.Get("X-Kept") != "1" || h.Get("X-New") != "2" || h.Get("Content-Length") != "3" || h.Get("Age") != "0" {
				t.Errorf("%v: %v", want, h)
			}
		}
		if n, err := b.Purge(cache.Purge{Tags: []string{"a"}}); n != 1 || err != nil {
			t.Errorf("purged %d, %v: the tags were lost", n, err)
		}
	})
}

// Conditions of clients are answered from the store (RFC 9110 §13.1).
func TestNotModified(t *testing.T) {
	t.Parallel()
	const modified = "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT"
	tests := []struct {
		says, asks string
		code       int
	}{
		{`ETag: "1"`, `If-None-Match: "1"`, 304},
		{`ETag: "1"`, `If-None-Match: W/"1"`, 304},
		{`ETag: W/"1"`, `If-None-Match: "1"`, 304},
		{`ETag: "1"`, `If-None-Match: "0", "a,b" , "1"`, 304},
		{`ETag: "1"`, `If-None-Match: *`, 304},
		{`ETag: "1"`, `If-None-Match: "2"`, 200},
		{`ETag: "1"`, `If-None-Match: 1`, 200},
		{"X: 1", `If-None-Match: "1"`, 200},
		{modified, "If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT", 304},
		{modified, "If-Modified-Since: Sat, 01 Jan 2000 00:00:01 GMT", 304},
		{modified, "If-Modified-Since: Fri, 31 Dec 1999 23:59:59 GMT", 200},
		{modified, "If-Modified-Since: yesterday", 200},
	}
	for _, test := range tests {
		b := setup(t, nil, nil, answering(200, "Cache-Control: max-age=60", "Content-Type: text/plain", test.says))
		for _, want := range []cache.Status{cache.Miss, cache.Hit} { // the first one too: its whole answer is stored
			w := b.get(page, test.asks)
			body := map[int]string{200: "001", 304: ""}[test.code]
			if b.want(w, body, want); w.Code != test.code {
				t.Errorf("%s, %s: %v %d, want %d", test.says, test.asks, want, w.Code, test.code)
			}
			if w.Code == 304 && (w.Header().Get("Content-Type") != "" || w.Header().Get("Cache-Control") == "") {
				t.Errorf("304 with header %v", w.Header())
			}
		}
		if w := b.get(page); w.Body.String() != "001" {
			t.Errorf("%s, %s: then %q", test.says, test.asks, w.Body)
		}
	}
}

// HEAD is answered from a stored GET, with its header and no body.
func TestHead(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, nil, answering(200, "Cache-Control: max-age=60"))
	b.do(request("HEAD", page))
	if b.status() != cache.Pass {
		t.Errorf("HEAD of what is not stored: %v, want pass", b.status())
	}
	b.want(b.get(page), "002", cache.Miss)
	w := b.do(request("HEAD", page))
	if b.want(w, "", cache.Hit); w.Header().Get("Content-Length") != "3" {
		t.Errorf("Content-Length %q, want 3", w.Header().Get("Content-Length"))
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, nil, &cache.Rules{Jitter: 0.5}, answering(200, "Cache-Control: max-age=100"))
		const n = 200
		fill := func() {
			b.crowd(n, func(i int) *http.Request { return request("GET", "http://shop.example/"+number(i)) })
		}
		fill()
		time.Sleep(50 * time.Second)
		fill()
		if hits := b.Stats().Served[cache.Hit]; hits != n {
			t.Errorf("after half of the lifetime %d of %d are fresh", hits, n)
		}
		time.Sleep(25 * time.Second)
		before := b.Stats().Served[cache.Hit]
		fill()
		if hits := b.Stats().Served[cache.Hit] - before; hits < n/4 || hits > 3*n/4 {
			t.Errorf("after three quarters %d of %d are fresh, want about half", hits, n)
		}
	})
}

func TestFailedIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told any
		trace := &cache.Trace{Failed: func(_ *http.Request, v any) {
			mu.Lock()
			defer mu.Unlock()
			told = v
		}}
		b := setup(t, &cache.Options{Trace: trace}, nil, stages([]string{"200", "Cache-Control: max-age=1, stale-while-revalidate=60"}, []string{"panic"}))
		b.get(page)
		time.Sleep(2 * time.Second)
		b.get(page)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if told != "boom" {
			t.Errorf("told %v, want boom", told)
		}
	})
}
