package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// A composed route asks several services, each with what a forwarded request
// would have, and with nothing that a client may not say.
func TestCompose(t *testing.T) {
	t.Parallel()
	users := behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"path":%q,"host":%q,"proto":%q,"from":%q,"trace":%d,"user":%q}`,
			r.URL.EscapedPath(), r.Host, r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-For"), len(r.Header.Get("Traceparent")), r.Header.Get("X-User"))
	})
	carts := behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"total":12345678901234567890.10,"query":"`+r.URL.RawQuery+`"}`)
	})
	c, err := gateway.Parse("f", []byte(`
upstreams: {users: "`+users+`", carts: "`+carts+`", gone: "http://127.0.0.1:1"}
routes:
- match: GET /mobile/{user}/home/{rest...}
  compose:
    timeout: 2s
    parts:
      user: {to: users, get: "/users/{path.user}/{path.rest}"}
      cart: {to: carts, get: "/cart?of={path.user}&n={query.n?5}"}
      offers: {to: gone, get: /offers, optional: true, timeout: 1s}
- {match: /other, to: users, auth: {by: [partners], forward: {X-User: subject}}}
credentials: {partners: {certificates: {names: [partner.example]}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	g := opened(t, c)
	r := httptest.NewRequest("GET", "http://Shop.example/mobile/a%26b/home/x/y", http.NoBody)
	r.RemoteAddr = "192.0.2.7:1234"
	r.Header.Set("X-Forwarded-For", "6.6.6.6")
	r.Header.Set("X-User", "root")
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	want := `{"cart":{"total":12345678901234567890.10,"query":"of=a%26b&n=5"},"offers":null,` +
		`"user":{"path":"/users/a%26b/x%2Fy","host":"Shop.example","proto":"http","from":"192.0.2.7","trace":55,"user":""}}`
	if w.Code != 200 || w.Body.String() != want || w.Header().Get("Banyan-Missing") != "offers" {
		t.Errorf("status %d, missing %q, body\n%s, want\n%s", w.Code, w.Header().Get("Banyan-Missing"), w.Body, want)
	}
	if got := g.Status().Routes[0].To; got != "carts, gone, users" {
		t.Errorf("the route goes to %q", got)
	}
	if w := ask(g, "POST", "http://x/mobile/a/home/"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", w.Code)
	}
}

// A part that failed does not make the targets of the others look bad: they were
// only stopped.
func TestComposeBlamesNobodyElse(t *testing.T) {
	t.Parallel()
	asked := make(chan bool, 1)
	slow := behind(t, func(_ http.ResponseWriter, r *http.Request) {
		asked <- true
		<-r.Context().Done()
	})
	wrong := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		<-asked
		w.WriteHeader(http.StatusInternalServerError)
	})
	c, err := gateway.Parse("f", []byte(`
upstreams: {slow: "`+slow+`", wrong: "`+wrong+`"}
routes: [{match: /, compose: {parts: {a: {to: slow, get: /}, b: {to: wrong, get: /}}}}]
`))
	if err != nil {
		t.Fatal(err)
	}
	g := opened(t, c)
	for range 8 {
		if w := ask(g, "GET", "http://x/"); w.Code != http.StatusBadGateway {
			t.Fatalf("status %d", w.Code)
		}
	}
	for _, u := range g.Status().Upstreams {
		if target := u.Targets[0]; u.Name == "slow" && (target.Failures != 0 || target.Health != "well" || target.Calls != 8) {
			t.Errorf("%+v", target)
		}
	}
}

func TestComposeMistakes(t *testing.T) {
	t.Parallel()
	_, err := gateway.Parse("f", []byte(strings.TrimLeft(`
upstreams: {users: "http://127.0.0.1:3000"}
routes:
- match: GET /home/{user}
  compose:
    timeout: 2
    parts: {a: {to: users, get: /}}
`, "\n")))
	if err == nil || !strings.Contains(err.Error(), `f:5:14: "2" is not a duration`) {
		t.Errorf("error %v", err)
	}
	_, err = gateway.Parse("f", []byte(strings.TrimLeft(`
upstreams: {users: "http://127.0.0.1:3000"}
routes:
- match: GET /home/{user}
  strip_prefix: /home
  compose:
    parts:
      a:
        to: user
        get: /{path.usr}
        rename: {timeout: wait}
      b: {to: users, get: "/{c.id}"}
`, "\n")))
	for _, want := range []string{
		"f:3:3: path, strip_prefix and add_prefix are for a path that is forwarded",
		`there is no upstream "user"; did you mean "users"?`, "f:11:27: there is no part", "{path.usr}",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

// The services behind hear how long they are waited for, from nobody but the
// gateway.
func TestDeadlinesTravel(t *testing.T) {
	t.Parallel()
	app := behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `"`+strings.Join(r.Header.Values("X-Request-Timeout"), " ")+`"`)
	})
	c, err := gateway.Parse("f", []byte(`
upstreams: {app: "`+app+`"}
routes:
- {match: /, to: app, timeout: 1500ms}
- {match: /composed, compose: {timeout: 5s, parts: {a: {to: app, get: /, timeout: 300ms}, b: {to: app, get: /}}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	g := opened(t, c)
	r := httptest.NewRequest("GET", "http://x/", http.NoBody)
	r.Header.Set("X-Request-Timeout", "1")
	w := httptest.NewRecorder()
	if g.ServeHTTP(w, r); w.Body.String() != `"1500"` {
		t.Errorf("forwarded: %s ms", w.Body)
	}
	var parts struct{ A, B string }
	if err := json.Unmarshal(ask(g, "GET", "http://x/composed").Body.Bytes(), &parts); err != nil {
		t.Fatal(err)
	}
	a, _ := strconv.Atoi(parts.A)
	b, _ := strconv.Atoi(parts.B)
	if a < 1 || a > 300 || b < 2000 || b > 5000 {
		t.Errorf("composed: %+v ms", parts)
	}
}

// The parts of a composed answer are calls of operations, too.
func TestPartsAreCounted(t *testing.T) {
	t.Parallel()
	app := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/openapi.json" {
			_, _ = io.WriteString(w, `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{"/users/{id}":{"get":{"parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"string"}}],"responses":{"200":{"description":"ok"}}}}}}`)
			return
		}
		_, _ = io.WriteString(w, `{}`)
	})
	c, err := gateway.Parse("f", []byte(`
catalogue: {}
upstreams: {app: {targets: ["`+app+`"], openapi: /openapi.json}}
routes: [{match: "GET /home/{user}", compose: {parts: {user: {to: app, get: "/users/{path.user}"}}}}]
`))
	if err != nil {
		t.Fatal(err)
	}
	g := opened(t, c)
	until(t, "the document", func() bool { return len(g.APIUsage().Operations) > 0 })
	for range 3 {
		ask(g, "GET", "http://x/home/17")
	}
	if ops := g.APIUsage().Operations; len(ops) != 1 || ops[0].Requests != 3 {
		t.Errorf("%+v", ops)
	}
}
