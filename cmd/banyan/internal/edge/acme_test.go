package edge_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/banyanhq/banyan/cmd/banyan/internal/edge"
)

// The redirect to https keeps host and path, and leaves out the port of http.
func TestToHTTPS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		host, target string
		status       int
		want         string
	}{
		{"shop.test", "/a?b=c", 308, "https://shop.test/a?b=c"},
		{"shop.test:80", "//other.test/", 308, "https://shop.test//other.test/"},
		{"[::1]:80", "/", 308, "https://[::1]/"},
		{"[2001:db8::1]", "/x", 308, "https://[2001:db8::1]/x"},
		{"", "/", 400, ""},
	} {
		r := httptest.NewRequest(http.MethodPost, tt.target, nil)
		r.Host = tt.host
		w := httptest.NewRecorder()
		edge.ToHTTPS(w, r)
		if got := w.Header().Get("Location"); w.Code != tt.status || got != tt.want {
			t.Errorf("%s %s: got %d to %q, want %d to %q", tt.host, tt.target, w.Code, got, tt.status, tt.want)
		}
	}
	r := httptest.NewRequest(http.MethodOptions, "*", nil) // httptest keeps the form
	r.Host = "shop.test"
	w := httptest.NewRecorder()
	edge.ToHTTPS(w, r)
	if got := w.Header().Get("Location"); got != "https://shop.test/" {
		t.Errorf("OPTIONS *: got %q", got)
	}
}
