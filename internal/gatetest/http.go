package gatetest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
)

// Add adds fields to a header.
func Add(h http.Header, lines []string) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
}

// Page is a handler that answers all requests alike; a 304 without the body. With
// status 0 it leaves the 200 to the server.
func Page(status int, body string, lines ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		Add(w.Header(), lines)
		if status != 0 {
			w.WriteHeader(status)
		}
		if status != http.StatusNotModified {
			_, _ = io.WriteString(w, body)
		}
	})
}

// Request returns one as a server has it. Without a body it has http.NoBody.
func Request(method, target, body string, lines ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	Add(r.Header, lines)
	return r
}

// Do gives a request to a handler.
func Do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Ask gives a handler a request without a body.
func Ask(h http.Handler, method, target string, lines ...string) *httptest.ResponseRecorder {
	return Do(h, Request(method, target, "", lines...))
}

// To returns a request to a server's address, which may end with a path.
func To(t testing.TB, method, address string, body io.Reader, lines ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address, body)
	if err != nil {
		t.Fatal(err)
	}
	Add(r.Header, lines)
	return r
}

// Hints adds the headers of the 1xx answers to a request to a list.
func Hints(r *http.Request, list *[]http.Header) *http.Request {
	return r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
		*list = append(*list, http.Header(h))
		return nil
	}}))
}

// Fetch sends a request over a connection of its own. The body is as it comes, in
// its encoding, and the caller reads it; redirections are answers.
func Fetch(t testing.TB, r *http.Request) *http.Response {
	t.Helper()
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	resp, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}
