package cache_test

import (
	"errors"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/cache"
	"github.com/banyanhq/banyan/internal/gatetest"
)

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, o := range []cache.Options{
		{Bytes: -1},
		{Bytes: 1000},
		{MaxObject: -1},
		{Bytes: 1 << 20, MaxObject: 1 << 18},
		{FillBytes: -1},
		{FillTimeout: -1},
		{PassFor: -1},
		{Variants: -1},
		{CacheStatus: "a b"},
		{CacheStatus: "1"},
	} {
		if _, err := cache.New(&o); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%+v: %v, want invalid", o, err)
		}
	}
	c := newCache(t)
	for _, r := range []cache.Rules{
		{TTL: -1},
		{StaleIfError: -1},
		{StaleWhileRevalidate: -1},
		{Jitter: -0.1},
		{Jitter: 1.1},
		{Jitter: math.NaN()},
		{Query: []string{}, IgnoreQuery: []string{}},
	} {
		if _, err := c.Handler(&r, http.NotFoundHandler()); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%+v: %v, want invalid", r, err)
		}
	}
	if _, err := c.Handler(nil, nil); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("no handler: %v", err)
	}
}

// The members of Cache-Status (RFC 9211).
func TestCacheStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := stages([]string{"200", "Cache-Control: max-age=10, stale-while-revalidate=60", `ETag: "1"`, "Cache-Status: Origin; hit"}, []string{"304"}, []string{"503"})
		b := setup(t, &cache.Options{CacheStatus: "Banyan"}, nil, o)
		check := func(w *httptest.ResponseRecorder, want string) {
			t.Helper()
			lines := w.Header()["Cache-Status"]
			if got := lines[len(lines)-1]; got != want {
				t.Errorf("Cache-Status %q, want %q", got, want)
			}
		}
		check(b.get(page), "Banyan; fwd=uri-miss; stored; ttl=10")
		time.Sleep(4 * time.Second)
		w := b.get(page)
		check(w, "Banyan; hit; ttl=6")
		if lines := w.Header()["Cache-Status"]; len(lines) != 2 || lines[0] != "Origin; hit" {
			t.Errorf("Cache-Status %q, want the origin's first", lines)
		}
		time.Sleep(8 * time.Second)
		check(b.get(page), "Banyan; hit; ttl=-2")
		check(b.do(request("POST", page)), "Banyan; fwd=method")
		check(b.get(page, "Cookie: a=b"), "Banyan; fwd=request")
		check(b.get("http://shop.example/new"), "Banyan; fwd=uri-miss; detail=status")
		check(b.get("http://shop.example/new", "Range: bytes=0-1"), "Banyan; fwd=bypass; detail=conditional")
	})
}

// front is a real server with the cache before a reverse proxy to a backend.
func front(t *testing.T, backend http.HandlerFunc) (*httptest.Server, *cache.Cache) {
	t.Helper()
	target, err := url.Parse(gatetest.Behind(t, backend))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	proxy.ErrorLog = log.New(io.Discard, "", 0) // a body breaks off on purpose
	c := newCache(t)
	h, err := c.Handler(nil, proxy)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server, c
}

// With net/http on both sides: a body, a body that breaks off, server-sent
// events, trailers, and an upgrade.
func TestBehindAServer(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	server, c := front(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/page":
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, "page")
		case "/broken":
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: 1\n\n")
			_ = http.NewResponseController(w).Flush()
			<-more
			_, _ = io.WriteString(w, "data: 2\n\n")
		case "/trailers":
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "sum")
			w.Header().Set("X-Sum", "42")
		case "/upgrade":
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello")
				_ = rw.Flush()
				_ = conn.Close()
			}
		}
	})
	client := server.Client()
	for range 2 {
		if body, err := fetch(client, server.URL+"/page"); body != "page" || err != nil {
			t.Errorf("page: %q, %v", body, err)
		}
		if body, err := fetch(client, server.URL+"/broken"); body != "half" || err == nil {
			t.Errorf("broken: %q, %v; want an error", body, err)
		}
	}
	if s := c.Stats(); s.Served[cache.Hit] != 1 {
		t.Errorf("stats %+v, want one hit", s)
	}
	checkEvents(t, client, server.URL+"/events", more)
	res, err := client.Get(server.URL + "/trailers")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if string(body) != "sum" || err != nil || res.Trailer.Get("X-Sum") != "42" {
		t.Errorf("trailers: %q, %v, %v", body, err, res.Trailer)
	}
	checkUpgrade(t, strings.TrimPrefix(server.URL, "http://"))
}

func fetch(client *http.Client, url string) (string, error) {
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func checkEvents(t *testing.T, client *http.Client, url string, more chan struct{}) {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	first := make([]byte, 9)
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "data: 1\n\n" {
		t.Errorf("first event %q, %v", first, err)
	}
	close(more) // only now the second may come
	if rest, err := io.ReadAll(res.Body); string(rest) != "data: 2\n\n" || err != nil {
		t.Errorf("second event %q, %v", rest, err)
	}
}

func checkUpgrade(t *testing.T, addr string) {
	t.Helper()
	conn := gatetest.Dial(t, addr)
	_, _ = io.WriteString(conn, "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	answer, _ := io.ReadAll(conn) // ends when the backend closes
	if !strings.HasPrefix(string(answer), "HTTP/1.1 101") || !strings.HasSuffix(string(answer), "hello") {
		t.Errorf("upgrade: %q", answer)
	}
}
