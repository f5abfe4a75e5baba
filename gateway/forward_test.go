package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/gatetest"
)

// front serves a handler as the binary does, and returns its address.
func front(t *testing.T, h http.Handler) string {
	t.Helper()
	return gatetest.Serve(t, h, nil)
}

// to returns a configuration that sends everything to some servers.
func to(urls ...string) *gateway.Config {
	return &gateway.Config{
		Upstreams: map[string]gateway.Upstream{"u": {Targets: urls}},
		Routes:    []gateway.Route{{Match: "/", To: "u"}},
	}
}

func behind(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	return gatetest.Behind(t, h)
}

// say sends raw bytes and returns all that comes back.
func say(t *testing.T, address, text string) string {
	t.Helper()
	conn := gatetest.Dial(t, address)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	all, _ := io.ReadAll(conn) // a reset ends it too
	return string(all)
}

// The upstream sees the request's method, target, host, header and body.
func TestForwards(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Answer", "yes")
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s %q %s", r.Method, r.RequestURI, r.Host, text, r.Header.Get("X-Own"))
	})
	address := front(t, opened(t, to(u)))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/a//b%2dc?q=%20&r", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "shop.example"
	r.Header.Set("X-Own", "x")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if want := `POST /a/b-c?q=%20&r shop.example "hello" x`; string(text) != want {
		t.Errorf("the upstream saw %s, want %s", text, want)
	}
	if resp.StatusCode != http.StatusTeapot || resp.Header.Get("X-Answer") != "yes" || !slices.Equal(resp.Header["Set-Cookie"], []string{"a=1", "b=2"}) {
		t.Errorf("answer %d %v", resp.StatusCode, resp.Header)
	}
}

func TestRewrites(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI+" "+r.Host) })
	c := to(u)
	c.Routes = []gateway.Route{
		{Match: "/api/", To: "u", StripPrefix: "/api", AddPrefix: "/v2", Host: "inner"},
		{Match: "/old/", To: "u", StripPrefix: "/old"},
	}
	g := opened(t, c)
	for target, want := range map[string]string{
		"/api/orders?x": "/v2/orders?x inner",
		"/api":          "/v2/ inner",
		"/api/":         "/v2/ inner",
		"/old":          "/ x",
		"/old/a%2Db":    "/a-b x",
	} {
		if got := ask(g, "GET", "http://x"+target).Body.String(); got != want {
			t.Errorf("%s became %q, want %q", target, got, want)
		}
	}
	if w := ask(g, "GET", "http://x/api../admin"); w.Code != 404 {
		t.Errorf("a prefix matched half a segment: %d %s", w.Code, w.Body)
	}
}

// What only the gateway may say does not pass, in no spelling.
func TestStripsHeaders(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	u := behind(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })
	address := front(t, opened(t, to(u)))
	say(t, address, "GET / HTTP/1.1\r\nHost: shop\r\n"+
		"x-forwarded-for: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /x\r\nX-Forwarded-Port: 1\r\n"+
		"Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nx_real_ip: 6.6.6.6\r\nX-Original-URL: /admin\r\nX-Rewrite-Url: /admin\r\nTrue-Client-IP: 6.6.6.6\r\n"+
		"X-HTTP-Method-Override: DELETE\r\nX-Request-Timeout: 1\r\nx_request_timeout: 1\r\nClient-Cert: :x:\r\nX-SSL-Client-Verify: SUCCESS\r\nProxy-Authorization: x\r\nKeep-Alive: x\r\nTE: trailers, deflate\r\n"+
		"Upgrade: h2c\r\nHTTP2-Settings: x\r\nX-Hop: 1\r\nX-Kept: 1\r\nConnection: close, X-Hop, X-Forwarded-For, Authorization, Upgrade, HTTP2-Settings\r\nAuthorization: Bearer x\r\n\r\n")
	got := <-seen
	want := http.Header{
		"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"shop"}, "X-Kept": {"1"}, "Te": {"trailers"}, "X-Request-Timeout": {"30000"},
		"Traceparent": got["Traceparent"], // TestTrace
	}
	for name, values := range got {
		if !slices.Equal(values, want[name]) {
			t.Errorf("the upstream saw %s: %q, want %q", name, values, want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("the upstream saw %v", got)
	}
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-For")+" "+r.Header.Get("X-Forwarded-Proto"))
	})
	c := to(u)
	c.TrustedProxies = []string{"10.0.0.0/8", "fd00::/8"}
	g := opened(t, c)
	for _, k := range []struct{ peer, claim, want string }{
		{"1.2.3.4:5", "6.6.6.6", "1.2.3.4 http"},
		{"10.0.0.1:5", "", "10.0.0.1 https"},
		{"10.0.0.1:5", "1.2.3.4", "1.2.3.4, 10.0.0.1 https"},
		{"10.0.0.1:5", "6.6.6.6, 1.2.3.4", "1.2.3.4, 10.0.0.1 https"},
		{"10.0.0.1:5", "6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4, 10.9.9.9, 10.0.0.1 https"},
		{"10.0.0.1:5", "1.2.3.4, nonsense", "10.0.0.1 https"},
		{"[fd00::1]:5", "::ffff:1.2.3.4", "1.2.3.4, fd00::1 https"},
		{"[::ffff:10.0.0.1]:5", "1.2.3.4", "1.2.3.4, ::ffff:10.0.0.1 https"},
	} {
		r := httptest.NewRequest("GET", "http://x/", http.NoBody)
		r.RemoteAddr = k.peer
		r.Header.Set("X-Forwarded-Proto", "https")
		if k.claim != "" {
			r.Header.Set("X-Forwarded-For", k.claim)
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if got := w.Body.String(); got != k.want {
			t.Errorf("from %s with %q: %q, want %q", k.peer, k.claim, got, k.want)
		}
	}
}

// Each way in which an upstream fails has its status, and says nothing of the
// inside.
func TestUpstreamFailures(t *testing.T) {
	t.Parallel()
	closed := gatetest.Listen(t)
	_ = closed.Close()
	hang := behind(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	abort := behind(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	nonsense := raw(t, "nonsense\r\n\r\n")
	for name, k := range map[string]struct {
		url    string
		status string
	}{
		"down":     {"http://" + closed.Addr().String(), "503"},
		"hang":     {hang, "504"},
		"abort":    {abort, "502"},
		"nonsense": {"http://" + nonsense, "502"},
	} {
		c := to(k.url)
		c.Routes[0].Timeout = 100 * time.Millisecond
		got := say(t, front(t, opened(t, c)), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+k.status) || strings.Contains(got, "127.0.0.1") || k.status == "503" != strings.Contains(got, "Retry-After: 1") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// raw is a server that answers everything with the same bytes and closes.
func raw(t *testing.T, answer string) string {
	t.Helper()
	l := gatetest.Listen(t)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.WriteString(conn, answer)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// An answer that breaks off does not look whole.
func TestHalfAnAnswer(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	} {
		address := front(t, opened(t, to("http://"+raw(t, answer))))
		resp, err := http.Get("http://" + address + "/") //nolint:noctx // a test
		if err != nil {
			continue // that is clear too
		}
		if text, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%s: %q looks whole", name, text)
		}
		_ = resp.Body.Close()
	}
}

// A body that the client breaks is its own fault: 400, and the target is as well
// as before.
func TestClientFaults(t *testing.T) {
	t.Parallel()
	var heard atomic.Int64
	u := behind(t, func(_ http.ResponseWriter, r *http.Request) {
		heard.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
	})
	g := opened(t, to(u))
	address := front(t, g)
	for range 20 {
		got := say(t, address, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Fatalf("answer %q", got)
		}
	}
	if got := ask(g, "GET", "http://x/"); got.Code != 200 {
		t.Errorf("after 20 faults of clients: %d", got.Code)
	}
	for _, u := range g.Status().Upstreams {
		if u.Targets[0].Failures != 0 || u.Targets[0].Health != "well" {
			t.Errorf("target %+v", u.Targets[0])
		}
	}
}

// A trace goes on, with a span of the gateway's; without one a trace begins.
func TestTrace(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Traceparent")) })
	served := make(chan gateway.Served, 1)
	g, err := gateway.New(to(u), &gateway.Options{Hooks: gateway.Hooks{Served: func(s gateway.Served) { served <- s }}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	const id, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	form := regexp.MustCompile("^00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])$")
	goOn := []string{"00-" + id + "-" + span + "-01", "cc-" + id + "-" + span + "-01-more"}
	others := []string{
		"", "ff-" + id + "-" + span + "-01", "00-" + id + "-" + span + "-01-more", "00-" + strings.ToUpper(id) + "-" + span + "-01",
		"00-00000000000000000000000000000000-" + span + "-01", "00-" + id + "-0000000000000000-01",
	}
	for i, in := range slices.Concat(goOn, others) {
		continues := i < len(goOn)
		var header []string
		if in != "" {
			header = []string{"Traceparent", in}
		}
		got := form.FindStringSubmatch(ask(g, "GET", "http://x/a//b?secret", header...).Body.String())
		if got == nil || (got[1] == id) != continues || got[2] == span || continues != (got[3] == "01") {
			t.Errorf("%q became %q", in, got)
			continue
		}
		s := <-served
		s.Took, s.Trace = 0, strings.Replace(s.Trace, got[1], "same", 1)
		if want := (gateway.Served{Route: "/", Upstream: "u", Client: "192.0.2.1", Method: "GET", Host: "x", Path: "/a/b", Proto: "HTTP/1.1", Trace: "same", Status: 200, Bytes: 55}); s != want {
			t.Errorf("the hook heard %+v, want %+v", s, want)
		}
	}
}
