package gateway_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/gatetest"
)

// run runs a front and returns its address, and a function that ends it.
func run(t *testing.T, h http.Handler, o *gateway.FrontOptions) (address string, end func() error) {
	t.Helper()
	f, err := gateway.NewFront(h, o)
	if err != nil {
		t.Fatal(err)
	}
	l := gatetest.Listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, l) }()
	ended := false
	end = func() error {
		if ended {
			return nil
		}
		ended = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return l.Addr().String(), end
}

// certificate returns one for localhost, and the pool to trust it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// The same gateway speaks HTTP/1.1 and HTTP/2, over TLS and in the clear.
func TestProtocols(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+string(text)+" "+r.Header.Get("X-Forwarded-Proto"))
	})
	g := opened(t, to(u))
	cert, pool := certificate(t)
	clear, _ := run(t, g, nil)
	secure, _ := run(t, g, &gateway.FrontOptions{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	for name, c := range map[string]struct {
		url    string
		set    func(*http.Protocols)
		major  int
		scheme string
	}{
		"1.1":     {"http://" + clear, func(p *http.Protocols) { p.SetHTTP1(true) }, 1, "http"},
		"h2c":     {"http://" + clear, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, 2, "http"},
		"TLS 1.1": {"https://" + secure, func(p *http.Protocols) { p.SetHTTP1(true) }, 1, "https"},
		"TLS h2":  {"https://" + secure, func(p *http.Protocols) { p.SetHTTP2(true) }, 2, "https"},
	} {
		t.Run(name, func(t *testing.T) {
			protocols := new(http.Protocols)
			c.set(protocols)
			transport := &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: pool}}
			defer transport.CloseIdleConnections()
			for range 3 {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/a//b?q", strings.NewReader("hello"))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := transport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if want := "POST /a/b?q hello " + c.scheme; string(text) != want || err != nil || resp.ProtoMajor != c.major {
					t.Errorf("answer %q by HTTP/%d, %v; want %q", text, resp.ProtoMajor, err, want)
				}
			}
		})
	}
}

// A request without a body goes on as one, also where it came over HTTP/2: many
// servers do not expect a chunked body with a GET, take its end for the next
// request, and nothing that has a body is sent again.
func TestBodylessOverTwo(t *testing.T) {
	t.Parallel()
	var heard atomic.Int64
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
			t.Errorf("%s has a body: length %d, %v", r.Method, r.ContentLength, r.TransferEncoding)
		}
		if heard.Add(1)%3 != 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	config := to(u)
	config.Routes[0].Retry = &gateway.Retry{Budget: 1}
	address, _ := run(t, opened(t, config), nil)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	for i, method := range []string{http.MethodGet, http.MethodHead, http.MethodDelete} {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if want := int64(3 * (i + 1)); resp.StatusCode != http.StatusOK || heard.Load() != want {
			t.Errorf("%s: %d after %d calls, want %d", method, resp.StatusCode, heard.Load(), want)
		}
	}
}

// The end of Run waits for requests under way.
func TestDrain(t *testing.T) {
	t.Parallel()
	began, release := make(chan bool), make(chan bool)
	address, end := run(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		began <- true
		<-release
		_, _ = io.WriteString(w, "whole")
	}), nil)
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + address + "/") //nolint:noctx // a test
		if err != nil {
			answer <- err.Error()
			return
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		answer <- string(text)
	}()
	<-began
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	select {
	case err := <-ended:
		t.Fatalf("Run returned %v while a request was under way", err)
	case release <- true:
	}
	if got := <-answer; got != "whole" {
		t.Errorf("answer %q", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Errorf("connections are accepted after the end")
	}
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	g := opened(t, to(u))
	for range 9 {
		ask(g, "GET", "http://x/")
	}
	ask(g, "GET", "http://x/bad")
	admin := g.Admin(&gateway.AdminOptions{Hosts: []string{"gateway.internal:9901"}})
	for host, want := range map[string]int{
		"localhost": 200, "127.0.0.1:9901": 200, "[::1]:9901": 200, "gateway.internal": 200, "evil.example": 421, "127.0.0.1.evil.example": 421, "": 421,
	} {
		r := httptest.NewRequest("GET", "/v1/status", http.NoBody)
		r.Host = host
		w := httptest.NewRecorder()
		if admin.ServeHTTP(w, r); w.Code != want {
			t.Errorf("Host %q: status %d, want %d", host, w.Code, want)
		}
	}
	var status gateway.Status
	if err := json.Unmarshal(ask(admin, "GET", "http://localhost/v1/status").Body.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	got := status.Routes[0]
	if got.Requests != 10 || got.Failed != 1 || got.InFlight != 0 || got.P50MS <= 0 || got.P99MS < got.P50MS {
		t.Errorf("route %+v", got)
	}
	if target := status.Upstreams[0].Targets[0]; target.Calls != 10 || target.InFlight != 0 || target.LatencyMS <= 0 {
		t.Errorf("target %+v", target)
	}
}

// A purge empties what it names, and no page of another origin can ask for one.
func TestPurge(t *testing.T) {
	t.Parallel()
	calls := 0
	u := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		calls++ // one request after the other
		w.Header().Set("Surrogate-Key", "order-1")
		_, _ = io.WriteString(w, "x")
	})
	c := to(u)
	c.Routes[0].Cache = &gateway.RouteCache{TTL: time.Hour}
	g := opened(t, c)
	admin := g.Admin(nil)
	purge := func(body, origin string) int {
		r := httptest.NewRequest("POST", "http://localhost/v1/cache/purge", strings.NewReader(body))
		if origin != "" {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Origin", origin)
		}
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, r)
		return w.Code
	}
	for i, k := range []struct {
		body, origin string
		status       int
		calls        int
	}{
		{`{"tags":["order-1"]}`, "", 200, 2},
		{`{"tags":["order-2"]}`, "", 200, 2},
		{`{"urls":["http://x/a"]}`, "", 200, 3},
		{`{"all":true}`, "https://evil.example", 403, 3},
		{`{"al":true}`, "", 400, 3},
		{`{"all":true}`, "", 200, 4},
	} {
		ask(g, "GET", "http://x/a")
		if got := purge(k.body, k.origin); got != k.status {
			t.Errorf("purge %d: status %d, want %d", i+1, got, k.status)
		}
		if ask(g, "GET", "http://x/a"); calls != k.calls {
			t.Errorf("after purge %d: %d calls, want %d", i+1, calls, k.calls)
		}
	}
}

// With a token the admin API answers who brings it, by whatever name, and nobody
// else.
func TestAdminToken(t *testing.T) {
	t.Parallel()
	g := opened(t, to(behind(t, func(http.ResponseWriter, *http.Request) {})))
	admin := g.Admin(&gateway.AdminOptions{Token: "0123456789abcdef"})
	for given, want := range map[string]int{
		"": 401, "Bearer ": 401, "Bearer 0123456789abcde": 401, "Bearer 0123456789abcdef0": 401, "Basic 0123456789abcdef": 401, "Bearer 0123456789abcdef": 200, "bearer 0123456789abcdef": 200,
	} {
		r := httptest.NewRequest("GET", "http://gateway.internal/v1/status", http.NoBody)
		r.Header.Set("Authorization", given)
		w := httptest.NewRecorder()
		if admin.ServeHTTP(w, r); w.Code != want || want == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("Authorization %q: status %d, want %d", given, w.Code, want)
		}
	}
}
