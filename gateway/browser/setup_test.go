package browser_test

import (
	"net/http"
	"testing"

	"github.com/banyanhq/banyan/gateway/browser"
)

func wrap(t testing.TB, c browser.Config, next http.Handler) http.Handler {
	t.Helper()
	p, err := browser.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	return p.Handler(next)
}
