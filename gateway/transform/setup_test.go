package transform_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/banyanhq/banyan/gateway/transform"
	"github.com/banyanhq/banyan/internal/gatetest"
)

func wrap(t testing.TB, c transform.Config, next http.Handler) http.Handler {
	t.Helper()
	p, err := transform.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	return p.Handler(next)
}

func get(h http.Handler, lines ...string) *httptest.ResponseRecorder {
	return gatetest.Ask(h, http.MethodGet, "http://shop.example/", lines...)
}

// jsonAnswers are rules for answers, and a handler that gives one.
func jsonAnswers(t testing.TB, j transform.JSON, body string, lines ...string) http.Handler {
	t.Helper()
	return wrap(t, transform.Config{Response: transform.Response{JSON: &j}}, gatetest.Page(http.StatusOK, body, append(lines, "Content-Type: application/json")...))
}
