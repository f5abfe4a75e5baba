package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/gateway"
)

// failing answers as its path says.
func failing(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/late":
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	case "/broken":
		panic(http.ErrAbortHandler)
	case "/half":
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "half")
	default:
		var status int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &status); err != nil {
			status = http.StatusOK
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("X-From", "own")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "own")
	}
}

// spare answers with what it was asked.
func spare(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if r.URL.RawQuery == "slow" {
		<-time.After(400 * time.Millisecond)
	}
	w.Header().Set("X-Length", fmt.Sprint(len(text)))
	fmt.Fprintf(w, "spare %s %s", r.Method, r.RequestURI)
	if len(text) < 100 {
		_, _ = w.Write(text)
	}
}

// degraded serves a route with a spare upstream.
func degraded(t *testing.T, f gateway.Fallback) (*gateway.Gateway, string) {
	t.Helper()
	config := to(behind(t, failing))
	config.Upstreams["spare"] = gateway.Upstream{Targets: []string{behind(t, spare)}}
	config.Routes[0].Timeout = 300 * time.Millisecond
	config.Routes[0].Fallback = &f
	config.Routes = append(config.Routes, gateway.Route{Match: "/api/", To: "u", StripPrefix: "/api", Fallback: &f})
	g := opened(t, config)
	return g, "http://" + front(t, g)
}

func carry(t *testing.T, method, url string, body io.Reader) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// Another upstream is asked when the route's own fails, but never for what the
// first may have done.
func TestFallbackToAnother(t *testing.T) {
	t.Parallel()
	g, url := degraded(t, gateway.Fallback{To: "spare", Timeout: 10 * time.Second})
	fell := int64(0)
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "/200", "", "200 own"},
		{"GET", "/404", "", "404 own"},
		{"GET", "/429", "", "429 own"},
		{"GET", "/501", "", "501 own"},
		{"GET", "/505", "", "505 own"},
		{"GET", "/500?q=1", "", "200 spare GET /500?q=1"},
		{"GET", "/500?slow", "", "200 spare GET /500?slow"}, // longer than the route's own timeout
		{"GET", "/503", "", "200 spare GET /503"},
		{"GET", "/broken", "", "200 spare GET /broken"},
		{"GET", "/half", "", "200 spare GET /half"},
		{"GET", "/late", "", "200 spare GET /late"},
		{"GET", "/api/500", "", "200 spare GET /500"},
		{"HEAD", "/500", "", "200 "},
		{"POST", "/503", "body", "200 spare POST /503body"},
		{"PUT", "/503", "body", "200 spare PUT /503body"},
		{"POST", "/500", "body", "500 own"},
		{"PUT", "/500", "body", "500 own"},
		{"DELETE", "/500", "", "500 own"},
		{"DELETE", "/503", "", "200 spare DELETE /503"},
	} {
		var body io.Reader
		if c.body != "" {
			body = strings.NewReader(c.body)
		}
		status, header, text := carry(t, c.method, url+c.path, body)
		if got := fmt.Sprint(status, " ", text); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.method, c.path, got, c.want)
		}
		if strings.HasPrefix(text, "spare") && header.Get("X-From") != "" {
			t.Errorf("%s %s: the header of the failure is in the answer: %v", c.method, c.path, header)
		}
		if strings.Contains(c.want, "spare") || c.method == "HEAD" {
			fell++
		}
	}
	for path, want := range map[string]int{"/late": http.StatusGatewayTimeout, "/broken": http.StatusBadGateway} {
		if status, _, _ := carry(t, http.MethodPost, url+path, strings.NewReader("body")); status != want {
			t.Errorf("POST %s: status %d, want %d", path, status, want)
		}
	}
	routes := g.Status().Routes
	if got := routes[0].Fallbacks + routes[1].Fallbacks; got != fell {
		t.Errorf("%d fallbacks are counted, want %d", got, fell)
	}
}

// What was not sent is sent to the other upstream whole, however long it is.
func TestFallbackOfBodies(t *testing.T) {
	t.Parallel()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := to("http://" + gone.Addr().String())
	_ = gone.Close()
	config.Upstreams["spare"] = gateway.Upstream{Targets: []string{behind(t, spare)}}
	config.Upstreams["full"] = gateway.Upstream{Targets: []string{behind(t, failing)}}
	config.Routes[0].Fallback = &gateway.Fallback{To: "spare"}
	config.Routes = append(config.Routes, gateway.Route{Match: "/503", To: "full", Fallback: &gateway.Fallback{To: "spare"}})
	url := "http://" + front(t, opened(t, config))
	for _, c := range []struct {
		path   string
		length int
		want   int // status
	}{
		{"/", 1, 200},
		{"/", 64 << 10, 200},
		{"/", 1 << 20, 200},
		{"/503", 64 << 10, 200},
		{"/503", 64<<10 + 1, 503}, // the first has taken some of it
	} {
		for _, chunked := range []bool{false, true} {
			body := io.Reader(strings.NewReader(strings.Repeat("x", c.length)))
			if chunked {
				body = struct{ io.Reader }{body}
			}
			status, header, _ := carry(t, http.MethodPost, url+c.path, body)
			if got := header.Get("X-Length"); status != c.want || status == 200 && got != fmt.Sprint(c.length) {
				t.Errorf("%s with %d bytes, chunked %t: status %d after %q bytes, want %d", c.path, c.length, chunked, status, got, c.want)
			}
		}
	}
}

// The upstream gives up while the client still sends its body; the other one gets
// all of it.
func TestFallbackInTheMiddleOfABody(t *testing.T) {
	t.Parallel()
	const begun, rest = 64 << 10, 100 << 10 // just what is kept for a second attempt, and more
	config := to(behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, begun))
		w.Header().Set("Connection", "close") // or net/http reads on before it answers
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	asked := make(chan bool)
	config.Upstreams["spare"] = gateway.Upstream{Targets: []string{behind(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		spare(w, r)
	})}}
	config.Routes[0].Fallback = &gateway.Fallback{To: "spare"}
	body, client := io.Pipe()
	go func() {
		_, _ = io.WriteString(client, strings.Repeat("x", begun))
		<-asked
		_, _ = io.WriteString(client, strings.Repeat("x", rest))
		_ = client.Close()
	}()
	status, header, text := carry(t, http.MethodPost, "http://"+front(t, opened(t, config)), body)
	if got := header.Get("X-Length"); status != 200 || got != fmt.Sprint(begun+rest) {
		t.Errorf("status %d after %q bytes: %s", status, got, text)
	}
}

// When both fail there may be a fixed answer.
func TestFallbackOfTheFallback(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	config := to(u)
	config.Upstreams["spare"] = gateway.Upstream{Targets: []string{u}}
	config.Routes = []gateway.Route{
		{Match: "/fixed", To: "u", Fallback: &gateway.Fallback{To: "spare", Body: "fixed", ContentType: "text/plain"}},
		{Match: "/none", To: "u", Fallback: &gateway.Fallback{To: "spare"}},
	}
	g := opened(t, config)
	if w := ask(g, "GET", "http://x/fixed"); w.Code != 200 || w.Body.String() != "fixed" || w.Header().Get("Content-Type") != "text/plain" {
		t.Errorf("status %d %q %v", w.Code, w.Body, w.Header())
	}
	if w := ask(g, "GET", "http://x/none"); w.Code != 500 {
		t.Errorf("status %d %q", w.Code, w.Body)
	}
	for _, r := range g.Status().Routes {
		if r.Fallbacks != 1 || r.Requests != 1 {
			t.Errorf("%+v", r)
		}
	}
}

// What the cache may still use is better than a fallback, and a fallback is never
// stored.
func TestFallbackBehindTheCache(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	config := to(behind(t, func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=0, stale-if-error=60")
		_, _ = io.WriteString(w, "own")
	}))
	config.Upstreams["spare"] = gateway.Upstream{Targets: []string{behind(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		_, _ = io.WriteString(w, "spare")
	})}}
	config.Routes[0].Cache = &gateway.RouteCache{TTL: time.Minute}
	config.Routes[0].Fallback = &gateway.Fallback{To: "spare"}
	g := opened(t, config)
	want := func(path, text string) {
		t.Helper()
		if w := ask(g, "GET", "http://x"+path); w.Code != 200 || w.Body.String() != text {
			t.Errorf("%s: status %d %q, want %q", path, w.Code, w.Body, text)
		}
	}
	want("/known", "own")
	down.Store(true)
	want("/known", "own")
	want("/unknown", "spare")
	down.Store(false)
	want("/unknown", "own")
}

// A client that is gone needs no other upstream.
func TestNoFallbackForNobody(t *testing.T) {
	t.Parallel()
	began := make(chan bool, 1)
	config := to(behind(t, func(_ http.ResponseWriter, r *http.Request) {
		began <- true
		<-r.Context().Done()
	}))
	config.Upstreams["spare"] = gateway.Upstream{Targets: []string{behind(t, spare)}}
	config.Routes[0].Fallback = &gateway.Fallback{To: "spare"}
	g := opened(t, config)
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-began
		leave()
	}()
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("the handler ended with %v", err)
			}
		}()
		g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "http://x/", http.NoBody))
	}()
	if r := g.Status().Routes[0]; r.Fallbacks != 0 {
		t.Errorf("%+v", r)
	}
}

func TestWrongFallbacks(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]gateway.Fallback{
		`$.routes[0].fallback.status: 99 is not a status from 200 to 599`:                {Status: 99},
		`$.routes[0].fallback.to: there is no upstream "spar"; did you mean "spare"?`:    {To: "spar"},
		`$.routes[0].fallback.to: it is the route's own upstream; retry asks that again`: {To: "u"},
		`$.routes[0].fallback.timeout: it is for the upstream in "to", and positive`:     {Timeout: time.Second},
	} {
		config := to("http://127.0.0.1:1")
		config.Upstreams["spare"] = gateway.Upstream{Targets: []string{"http://127.0.0.1:1"}}
		config.Routes[0].Fallback = &f
		found := config.Check()
		var got []string
		for _, m := range found {
			got = append(got, m.Path+": "+m.Text)
		}
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
