package condition_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/auth"
	"github.com/banyanhq/banyan/auth/condition"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func identity(t testing.TB) auth.Identity {
	t.Helper()
	claims, err := auth.NewClaims(map[string]any{
		"department": "finance", "level": 3, "admin": false, "realm_access": map[string]any{"roles": []any{"clerk"}}, "secret": "canary-4711",
	})
	if err != nil {
		t.Fatal(err)
	}
	return auth.Identity{
		Method: auth.MethodJWT, Subject: "ann", Issuer: "https://id.example", ClientID: "web", Tenant: "acme",
		Scopes: "orders:read orders:write", Claims: claims,
	}
}

func request(target string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, target, nil)
	r.Header = http.Header{
		"X-Region": {"eu"}, "X-Two": {"a", "b"}, "Authorization": {"Bearer canary-4711"}, "Cookie": {"canary-4711"},
		"X-Api-Key": {"canary-4711"}, "X-Own-Key": {"canary-4711"},
	}
	return r
}

func TestConditions(t *testing.T) {
	t.Parallel()
	r, id := request("http://Shop.Example:8080/orders/7?a=1&a=2&b=%78"), identity(t)
	for expression, want := range map[string]bool{
		`true`: true, `false`: false,
		`identity.method == "jwt" && identity.subject == "ann" && identity.issuer == "https://id.example"`: true,
		`identity.client == "web" && identity.tenant == "acme"`:                                            true,
		`identity.key == "jwt|https%3A%2F%2Fid.example|ann"`:                                               true,
		`"orders:write" in identity.scopes`:                                                                true,
		`identity.scopes.exists(s, s.startsWith("admin:"))`:                                                false,
		`identity.claims.department == "finance"`:                                                          true,
		`identity.claims["department"] in ["sales", "finance"]`:                                            true,
		`identity.claims.level >= 3`:                                                                       true,
		`identity.claims.admin == true`:                                                                    false,
		`"clerk" in identity.claims.realm_access.roles`:                                                    true,
		`has(identity.claims.boss)`:                                                                        false,
		`has(identity.claims.boss) && identity.claims.boss == "eve"`:                                       false,
		`request.method == "POST"`:                                                                         true,
		`request.host == "shop.example"`:                                                                   true,
		`request.path.startsWith("/orders/")`:                                                              true,
		`request.path.matches("^/orders/[0-9]+$")`:                                                         true,
		`request.headers["x-region"] == "eu"`:                                                              true,
		`request.headers["x-two"] == "a, b"`:                                                               true,
		`"authorization" in request.headers || "cookie" in request.headers`:                                false,
		`"x-api-key" in request.headers || "x-own-key" in request.headers`:                                 false,
		`request.query["a"] == ["1", "2"] && request.query["b"] == ["x"]`:                                  true,
		`"c" in request.query`:                                                                             false,
		`request.method == "POST" ? identity.tenant == "acme" : true`:                                      true,
		`identity.claims.level == 3 || identity.claims.missing == 1`:                                       true,
	} {
		c, err := condition.New(expression, &condition.Options{HideHeaders: []string{"X-Own-Key"}})
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got, err := c.Allow(r, id); err != nil || got != want {
			t.Errorf("%s: %v, %v", expression, got, err)
		}
		if c.String() != expression {
			t.Errorf("String: %q", c)
		}
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for expression, place := range map[string]string{
		``:                                    "line 1, column 1",
		`identity.subjekt == "ann"`:           "line 1, column 1",
		`true &&`:                             "line 1, column 8",
		"true &&\n  identity.nobody == \"x\"": "line 2, column 3",
		`identity.subject == 7`:               "line 1, column 18",
		`identity.subject`:                    "want bool",
		`identity.claims.admin`:               "want bool",
		`"x"`:                                 "want bool",
		`request.path.matches("(")`:           "line 1, column 22",
		`now() > 3`:                           "line 1, column 4",
		`request.body == ""`:                  "line 1, column 1",
		`identity.claims.x(1)`:                "line 1, column 18",
		`open("/etc/passwd") == ""`:           "line 1, column 5",
		strings.Repeat("(", 100) + "true" + strings.Repeat(")", 100): "column",
		`true` + strings.Repeat(" || true", 1000):                    "longer",
		`[1].all(a, [1].all(b, [1].all(c, true)))`:                   "column",
	} {
		_, err := condition.New(expression, nil)
		var at *condition.Error
		if !errors.As(err, &at) || !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), place) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40s: %v", expression, err)
		}
	}
}

// What fails denies, and its error quotes nothing of the request.
func TestFailuresDeny(t *testing.T) {
	t.Parallel()
	id := identity(t)
	for expression, target := range map[string]string{
		`identity.claims.boss == "eve"`:                             "/",
		`!(identity.claims.boss == "eve")`:                          "/",
		`identity.claims.department > 3`:                            "/",
		`int(identity.claims.secret) == 3`:                          "/",
		`timestamp(identity.claims.secret) > timestamp(0)`:          "/",
		`identity.claims[identity.claims.secret] == 1`:              "/",
		`request.headers["x-missing"] != "x"`:                       "/",
		`request.query["a"][5] != "x"`:                              "/?a=1",
		`request.query["a"] != ["x"]`:                               "/?a=1&b=%zz",
		`!("a" in request.query)`:                                   "/?b=1;a=2",
		`identity.claims.level / 0 == 1`:                            "/",
		`request.path.matches(request.query["a"][0])`:               "/?a=(canary-4711",
		`identity.claims.realm_access.roles.exists(r, r.boss == 1)`: "/",
	} {
		c, err := condition.New(expression, nil)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		allowed, err := c.Allow(request(target), id)
		if allowed || err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, %v", expression, allowed, err)
		}
	}
}

func TestCostLimit(t *testing.T) {
	t.Parallel()
	r := request("/?" + strings.Repeat("a=x&", 2000))
	c, err := condition.New(`request.query["a"].all(x, request.query["a"].all(y, x == y))`, nil)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	allowed, err := c.Allow(r, identity(t))
	if allowed || err == nil || !strings.Contains(err.Error(), "cost limit") {
		t.Errorf("%v, %v", allowed, err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v", took)
	}
}

// request.client is an address in one form, and where there is none, whatever asks
// for it fails, and nothing else does.
func TestClient(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		expression, remote string
		client             func(*http.Request) string
		want, fails        bool
	}{
		{`request.client == "192.0.2.1"`, "192.0.2.1:1234", nil, true, false},
		{`request.client == "192.0.2.1"`, "[::ffff:192.0.2.1]:1234", nil, true, false},
		{`request.client == "2001:db8::1"`, "[2001:DB8:0::1%eth0]:1234", nil, true, false},
		{`request.client in ["192.0.2.1"]`, "192.0.2.10:1234", nil, false, false},
		{`request.client != "192.0.2.1"`, "@", nil, false, true},
		{`!request.client.startsWith("10.")`, "", nil, false, true},
		{`request.client == ""`, "", nil, false, true},
		{`request.method == "POST" || request.client == "192.0.2.1"`, "@", nil, true, false},
		{`request.client == "198.51.100.7"`, "192.0.2.1:1", func(r *http.Request) string { return r.Header.Get("X-Client") }, true, false},
		{`request.client != "198.51.100.7"`, "192.0.2.1:1", func(*http.Request) string { return "" }, false, true},
		{`request.client != "198.51.100.7"`, "192.0.2.1:1", func(*http.Request) string { return "canary-4711" }, false, true},
	} {
		c, err := condition.New(k.expression, &condition.Options{Client: k.client})
		if err != nil {
			t.Errorf("%s: %v", k.expression, err)
			continue
		}
		r := request("/")
		r.RemoteAddr = k.remote
		r.Header.Set("X-Client", "198.51.100.7")
		allowed, err := c.Allow(r, auth.Identity{})
		if allowed != k.want || (err != nil) != k.fails || err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s for %q: %v, %v", k.expression, k.remote, allowed, err)
		}
	}
	if _, err := condition.New(`request.client == 7`, nil); err == nil {
		t.Error("an address is a text")
	}
}

// A policy turns both outcomes into 403.
func TestInAPolicy(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]int{
		`identity.claims.department == "finance"`: 200,
		`identity.claims.department == "sales"`:   403,
		`identity.claims.boss == "eve"`:           403,
	} {
		c, err := condition.New(expression, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := auth.NewPolicy(auth.Rule{Conditions: []auth.Condition{c}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w, r := httptest.NewRecorder(), request("/")
		p.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r.WithContext(auth.With(r.Context(), identity(t))))
		if w.Code != want {
			t.Errorf("%s: %d", expression, w.Code)
		}
	}
}

// The source and what it sees are anybody's: no panic, no allowance with an
// error, and a refusal always with its place.
func FuzzCondition(f *testing.F) {
	for _, s := range []string{
		`identity.claims.department == "finance"`, `request.query["a"][0] == "x" && has(identity.claims.x)`, `[1, 2].map(x, x * 2).size() == 2`,
		`request.path.matches("a+")`, `"` + strings.Repeat("a", 100) + `"`, `true ? 1 : 2`, `{`, `identity`, `0u - 1u == 0u`, `b"\xff" == b""`,
	} {
		f.Add(s, "a=1&b=%20", "x")
	}
	f.Fuzz(func(t *testing.T, source, query, claim string) {
		c, err := condition.New(source, &condition.Options{CostLimit: 1000})
		if err != nil {
			var at *condition.Error
			if !errors.As(err, &at) || at.Line < 1 || at.Column < 1 {
				t.Fatalf("%v", err)
			}
			return
		}
		claims, err := auth.NewClaims(map[string]any{"department": claim})
		if err != nil {
			t.Skip(err)
		}
		r := request("/")
		r.URL.RawQuery = query
		if allowed, err := c.Allow(r, auth.Identity{Claims: claims}); allowed && err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkCondition(b *testing.B) {
	for name, expression := range map[string]string{
		"plain":  `request.method == "GET" || identity.claims.department == "finance" && "orders:write" in identity.scopes`,
		"exists": `request.method == "GET" || identity.claims.department == "finance" && identity.scopes.exists(s, s == "orders:write")`,
	} {
		b.Run(name, func(b *testing.B) {
			c, err := condition.New(expression, nil)
			if err != nil {
				b.Fatal(err)
			}
			r, id := request("/orders"), identity(b)
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := c.Allow(r, id); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
