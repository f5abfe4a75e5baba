package compose_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/gateway/compose"
	"github.com/banyanhq/banyan/internal/gatetest"
)

// services answer by "NAME/PATH?QUERY" of what arrives, without a network.
type services map[string]string

// upstream returns the RoundTripper of a service.
func (s services) upstream(name string) http.RoundTripper {
	return inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := s[name+r.URL.RequestURI()]
		if !ok {
			http.NotFound(w, r)
			return
		}
		answer(w, text)
	})}
}

// answer writes a text that may begin with a status, such as "503 ", and lines of a
// header that end with an empty one.
func answer(w http.ResponseWriter, text string) {
	if head, body, ok := strings.Cut(text, "\n\n"); ok {
		text = body
		gatetest.Add(w.Header(), strings.Split(head, "\n"))
	}
	var status int
	if n, _ := fmt.Sscanf(text, "status %d", &status); n == 1 {
		w.WriteHeader(status)
		_, text, _ = strings.Cut(text, "\n")
	}
	_, _ = w.Write([]byte(text))
}

// inMemory calls a handler where a transport would call a server.
type inMemory struct{ handler http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := gatetest.Do(m.handler, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// toServer calls a server over the network, whatever host a request has.
type toServer struct {
	base *url.URL
	next *http.Transport
}

func (s toServer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "" || r.Host != "" {
		return nil, fmt.Errorf("a part names a host: %q, %q", r.URL.Host, r.Host)
	}
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host = s.base.Scheme, s.base.Host
	return s.next.RoundTrip(out)
}

// server starts one, and returns its RoundTripper.
func server(t testing.TB, h http.HandlerFunc) toServer {
	t.Helper()
	base, err := url.Parse(gatetest.Behind(t, h))
	if err != nil {
		t.Fatal(err)
	}
	next := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(next.CloseIdleConnections)
	return toServer{base, next}
}

// failures collects what an operator is told.
type failures struct {
	mu   sync.Mutex
	list []string // guarded by mu
}

func (f *failures) add(_ *http.Request, part string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, part+": "+err.Error())
}

func (f *failures) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.list, "\n")
}

// build returns a handler behind the pattern "/home/{user}".
func build(t testing.TB, c *compose.Config, upstream func(string) http.RoundTripper) (http.Handler, *failures) {
	t.Helper()
	var f failures
	h, err := compose.New("home", c, upstream, &compose.Options{Failed: f.add})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/home/{user}", h)
	mux.Handle("/home", h)
	return mux, &f
}

func get(h http.Handler, target string, lines ...string) *httptest.ResponseRecorder {
	return gatetest.Ask(h, http.MethodGet, target, lines...)
}

// ask builds and asks, and compares the body.
func ask(t *testing.T, parts map[string]compose.Part, s services, want string) *httptest.ResponseRecorder {
	t.Helper()
	h, f := build(t, &compose.Config{Parts: parts}, s.upstream)
	w := get(h, "/home/u1?limit=3")
	if diff := cmp.Diff(want, w.Body.String()); w.Code != http.StatusOK || diff != "" {
		t.Errorf("%d, -want +got:\n%s%s", w.Code, diff, f.text())
	}
	return w
}

// refuse builds and asks, and compares the status.
func refuse(t *testing.T, parts map[string]compose.Part, s services, want int, reason string) *httptest.ResponseRecorder {
	t.Helper()
	h, f := build(t, &compose.Config{Parts: parts}, s.upstream)
	w := get(h, "/home/u1?limit=3")
	if w.Code != want || !strings.Contains(f.text(), reason) {
		t.Errorf("%d %s, want %d; reason:\n%s\nwant %q", w.Code, w.Body, want, f.text(), reason)
	}
	if kind, cc := w.Header().Get("Content-Type"), w.Header().Get("Cache-Control"); kind != "application/problem+json" || cc != "no-store" {
		t.Errorf("Content-Type %q, Cache-Control %q", kind, cc)
	}
	return w
}

func sortedNames(h http.Header) []string { return slices.Sorted(maps.Keys(h)) }
