package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/store"
)

// Two services share a PostgreSQL database, each in its schema, and nothing they
// say has the password in it.
func TestPostgres(t *testing.T) {
	t.Parallel()
	dsn, err := url.Parse(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	dsn.User = url.UserPassword(dsn.User.Username(), secret) // the server trusts everybody
	var said strings.Builder
	for _, name := range []string{"orders", "inventory"} {
		own := *dsn
		query := own.Query()
		query.Set("schema", name)
		query.Set("max_conns", "2")
		own.RawQuery = query.Encode()
		a, out := setup(t, func(c *app.Config) { c.Name, c.StoreURL = name, own.String() })
		stop := start(t, a)
		if _, err := a.Store.Append(t.Context(), "same-1", store.NoStream, banyan.Event{ID: "same", Type: "x.happened", Data: []byte("1")}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got := get(t, a, "/health")
		if h := decode[health](t, got.body); got.code != http.StatusOK || h.Status != "ok" {
			t.Errorf("%s: /health = %d %s", name, got.code, got.body)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		said.WriteString(got.body + out.String())
	}
	own := *dsn
	own.Path = "/no_such_database"
	_, err = app.New(t.Context(), app.Config{Name: "orders", StoreURL: own.String(), Listen: "none"})
	if err == nil {
		t.Fatal("a database that does not exist was opened")
	}
	said.WriteString(err.Error())
	for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
		if strings.Contains(said.String(), form) {
			t.Errorf("the password is shown:\n%s", said.String())
		}
	}
	if !strings.Contains(said.String(), ":xxxxx@") {
		t.Errorf("nothing was redacted, so nothing was tested:\n%s", said.String())
	}
}
