package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/auth"
)

// answers of RFC 6750 §3 (G15).
func TestAnswers(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	v := verifier(t, &issuer{keys: []*signer{s}}, nil)
	g := guard(t, nil, v)
	policy, err := auth.NewPolicy(auth.Rule{AllScopes: []string{"orders:write"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrap := func(next http.Handler) http.Handler { return g.Wrap(policy.Wrap(next)) }
	good := s.token(claims())
	form := func(r *http.Request, body string) *http.Request {
		r.Method, r.Body = http.MethodPost, io.NopCloser(strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		return r
	}
	const invalid = `Bearer error="invalid_token"`
	const several = `Bearer error="invalid_request"`
	for name, c := range map[string]struct {
		r         *http.Request
		status    int
		challenge string
	}{
		"good (§2.1)":                         {get(t, "/", "Authorization", "Bearer "+good), 200, ""},
		"scheme in any case (RFC 9110 §11.1)": {get(t, "/", "Authorization", "bEARER "+good), 200, ""},
		"several spaces (RFC 9110 §11.4)":     {get(t, "/", "Authorization", "Bearer   "+good), 200, ""},
		"none (§3.1)":                         {get(t, "/"), 401, "Bearer"},
		"other scheme (§3)":                   {get(t, "/", "Authorization", "Basic YTpi"), 401, "Bearer"},
		"a scheme that begins like ours":      {get(t, "/", "Authorization", "Bearerish "+good), 401, "Bearer"},
		"in the query (§2.3)":                 {get(t, "/?access_token="+good), 401, "Bearer"},
		"empty":                               {get(t, "/", "Authorization", "Bearer"), 401, invalid},
		"malformed (§3.1)":                    {get(t, "/", "Authorization", "Bearer abc"), 401, invalid},
		"two tokens in one":                   {get(t, "/", "Authorization", "Bearer "+good+" "+good), 401, invalid},
		"a list (RFC 9110 §5.3)":              {get(t, "/", "Authorization", "Bearer "+good+", Bearer "+good), 401, invalid},
		"tab":                                 {get(t, "/", "Authorization", "Bearer\t"+good), 401, invalid},
		"quoted":                              {get(t, "/", "Authorization", `Bearer "`+good+`"`), 401, invalid},
		"expired (§3.1)":                      {get(t, "/", "Authorization", "Bearer "+s.token(claims(object{"exp": 1}))), 401, invalid},
		"other audience":                      {get(t, "/", "Authorization", "Bearer "+s.token(claims(object{"aud": "x"}))), 401, invalid},
		"scope missing (§3.1)":                {get(t, "/", "Authorization", "Bearer "+s.token(claims(object{"scope": "orders:read"}))), 403, `Bearer error="insufficient_scope", scope="orders:write"`},
		"scope that begins like it":           {get(t, "/", "Authorization", "Bearer "+s.token(claims(object{"scope": "orders:write:all xorders:write"}))), 403, `Bearer error="insufficient_scope", scope="orders:write"`},
		"header twice (RFC 9110 §5.3)":        {get(t, "/", "Authorization", "Bearer "+good, "Authorization", "Bearer "+good), 400, several},
		"header twice, other scheme":          {get(t, "/", "Authorization", "Basic YTpi", "Authorization", "Bearer "+good), 400, several},
		"header and query (§2)":               {get(t, "/?a=b&access_token=x", "Authorization", "Bearer "+good), 400, several},
		"header and query, escaped":           {get(t, "/?access%5Ftoken=x", "Authorization", "Bearer "+good), 400, several},
		"header and query, semicolon":         {get(t, "/?a=1;access_token=x", "Authorization", "Bearer "+good), 400, several},
		"header and form (§2.2)":              {form(get(t, "/", "Authorization", "Bearer "+good), "a=1&access_token=x"), 400, several},
		"bad header and form":                 {form(get(t, "/", "Authorization", "Bearer x"), "access_token=x"), 401, invalid},
		"a form without token":                {form(get(t, "/", "Authorization", "Bearer "+good), "a=access_token"), 200, ""},
		"a parameter that ends like it":       {get(t, "/?my_access_token=x", "Authorization", "Bearer "+good), 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, seen := serve(wrap, c.r)
			if answer.StatusCode != c.status || answer.Header.Get("WWW-Authenticate") != c.challenge || len(answer.Header["Www-Authenticate"]) > 1 {
				t.Errorf("%d %q", answer.StatusCode, answer.Header["Www-Authenticate"])
			}
			if (c.status == 200) != (seen != nil) {
				t.Fatalf("handler called: %v", seen != nil)
			}
			if c.status != 200 {
				checkProblem(t, answer)
			}
		})
	}
}

// checkProblem: RFC 9457, not cached, and the same words for all reasons.
func checkProblem(t *testing.T, answer *http.Response) {
	t.Helper()
	if answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("headers %v", answer.Header)
	}
	body, err := io.ReadAll(answer.Body)
	var p struct {
		Title, Detail, Kind string
		Status              int
	}
	if err != nil || json.Unmarshal(body, &p) != nil || p.Status != answer.StatusCode || p.Detail == "" || p.Kind == "" {
		t.Errorf("body %s, %v", body, err)
	}
	for _, telling := range []string{"expired", "audience", "signature", "malformed", "issuer"} {
		if strings.Contains(string(body), telling) {
			t.Errorf("the body tells too much: %s", body)
		}
	}
}

func TestUnavailableIs503(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	g := guard(t, nil, verifier(t, &issuer{err: errDown}, nil))
	answer, seen := serve(g.Wrap, get(t, "/", "Authorization", "Bearer "+s.token(claims())))
	if answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" || seen != nil || answer.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
	checkProblem(t, answer)
}

// failing is an Authenticator of somebody else's.
type failing struct{ err error }

func (failing) Carrier() auth.Carrier        { return auth.Carrier{Challenge: "Own", Header: "X-Own"} }
func (failing) Present(r *http.Request) bool { return r.Header.Get("X-Own") != "" }
func (f failing) Authenticate(*http.Request) (auth.Identity, error) {
	return auth.Identity{Subject: "own"}, f.err
}

func TestAnyErrorFailsClosed(t *testing.T) {
	t.Parallel()
	g := guard(t, nil, failing{errors.New("the data base is away")})
	if answer, seen := serve(g.Wrap, get(t, "/", "X-Own", "1")); answer.StatusCode != 503 || seen != nil {
		t.Errorf("%d", answer.StatusCode)
	}
	if answer, seen := serve(guard(t, nil, failing{}).Wrap, get(t, "/", "X-Own", "1")); answer.StatusCode != 200 || seen == nil {
		t.Errorf("%d", answer.StatusCode)
	}
}

func TestSeveralMethods(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	v := verifier(t, &issuer{keys: []*signer{s}}, nil)
	text, keys := keyring(t, nil)
	g := guard(t, &auth.Options{Realm: "shop"}, v, keys)
	token := "Bearer " + s.token(claims())

	answer, _ := serve(g.Wrap, get(t, "/"))
	if diff := cmp.Diff([]string{`Bearer realm="shop"`, `ApiKey realm="shop"`}, answer.Header["Www-Authenticate"]); answer.StatusCode != 401 || diff != "" {
		t.Errorf("%d %s", answer.StatusCode, diff)
	}
	answer, _ = serve(g.Wrap, get(t, "/", "Authorization", token, "X-Api-Key", text))
	if answer.StatusCode != 400 {
		t.Errorf("both: %d", answer.StatusCode)
	}
	answer, _ = serve(g.Wrap, get(t, "/", "Authorization", token, "X-Api-Key", ""))
	if answer.StatusCode != 400 {
		t.Errorf("both, one empty: %d", answer.StatusCode)
	}
	for want, header := range map[auth.Method][]string{auth.MethodJWT: {"Authorization", token}, auth.MethodKey: {"X-Api-Key", text}} {
		_, seen := serve(g.Wrap, get(t, "/", header...))
		if seen == nil {
			t.Errorf("%s refused", want)
			continue
		}
		if id, ok := auth.From(seen.Context()); !ok || id.Method != want {
			t.Errorf("%s: %+v", want, id)
		}
	}
	answer, _ = serve(g.Wrap, get(t, "/", "X-Api-Key", "wrong"))
	if diff := cmp.Diff([]string{`ApiKey realm="shop"`}, answer.Header["Www-Authenticate"]); answer.StatusCode != 401 || diff != "" {
		t.Errorf("%d %s", answer.StatusCode, diff)
	}
}

func TestAnonymous(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	g := guard(t, &auth.Options{Anonymous: true}, verifier(t, &issuer{keys: []*signer{s}}, nil))
	_, seen := serve(g.Wrap, get(t, "/"))
	if seen == nil {
		t.Fatal("refused")
	}
	if id, ok := auth.From(seen.Context()); ok {
		t.Errorf("identity %+v", id)
	}
	// A credential that is there must be right.
	if answer, _ := serve(g.Wrap, get(t, "/", "Authorization", "Bearer wrong")); answer.StatusCode != 401 {
		t.Errorf("%d", answer.StatusCode)
	}
	policy, err := auth.NewPolicy(auth.Rule{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := serve(func(h http.Handler) http.Handler { return g.Wrap(policy.Wrap(h)) }, get(t, "/"))
	if answer.StatusCode != 401 || answer.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("a policy for nobody: %d", answer.StatusCode)
	}
}

func TestStripCredential(t *testing.T) {
	t.Parallel()
	text, keys := keyring(t, nil)
	g := guard(t, &auth.Options{StripCredential: true}, keys)
	r := get(t, "/", "X-Api-Key", text, "Accept", "*/*")
	r.Header["X_API_KEY"] = []string{"alias"}
	_, seen := serve(g.Wrap, r)
	if diff := cmp.Diff(http.Header{"Accept": {"*/*"}}, seen.Header); diff != "" {
		t.Error(diff)
	}
	if r.Header.Get("X-Api-Key") != text {
		t.Error("the caller's own request was changed")
	}
}

// A certificate that decides leaves no other credential to the next service.
func TestStripCredentialOfAnotherKind(t *testing.T) {
	t.Parallel()
	text, keys := keyring(t, nil)
	g := guard(t, &auth.Options{StripCredential: true}, always{}, keys)
	_, seen := serve(g.Wrap, get(t, "/", "X-Api-Key", text, "Accept", "*/*"))
	if diff := cmp.Diff(http.Header{"Accept": {"*/*"}}, seen.Header); diff != "" {
		t.Error(diff)
	}
}

// always is a kind of credential that is part of the connection.
type always struct{}

func (always) Carrier() auth.Carrier {
	return auth.Carrier{Method: auth.MethodCertificate, Challenge: "Mutual"}
}
func (always) Present(*http.Request) bool { return true }
func (always) Authenticate(*http.Request) (auth.Identity, error) {
	return auth.Identity{Method: auth.MethodCertificate, Subject: "x"}, nil
}

func TestFormsArriveWhole(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	g := guard(t, nil, verifier(t, &issuer{keys: []*signer{s}}, nil))
	for _, size := range []int{0, 10, 64 << 10, 64<<10 + 1, 300_000} {
		body := strings.Repeat("x", size)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", "Bearer "+s.token(claims()))
		_, seen := serve(g.Wrap, r)
		if got, err := io.ReadAll(seen.Body); err != nil || string(got) != body {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
}

func TestGuardConfiguration(t *testing.T) {
	t.Parallel()
	_, keys := keyring(t, nil)
	for name, make := range map[string]func() error{
		"no method":      func() error { _, err := auth.New(nil, nil); return err },
		"header twice":   func() error { _, err := auth.New([]auth.Authenticator{keys, keys}, nil); return err },
		"quote in realm": func() error { _, err := auth.New([]auth.Authenticator{keys}, &auth.Options{Realm: `a"`}); return err },
		"bad scope":      func() error { _, err := auth.NewPolicy(auth.Rule{AllScopes: []string{`a b`}}, nil); return err },
		"nil condition":  func() error { _, err := auth.NewPolicy(auth.Rule{Conditions: []auth.Condition{nil}}, nil); return err },
	} {
		if err := make(); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// condition is a Condition of a function.
type condition func(auth.Identity) (bool, error)

func (c condition) Allow(_ *http.Request, id auth.Identity) (bool, error) { return c(id) }

func TestPolicy(t *testing.T) {
	t.Parallel()
	yes := condition(func(auth.Identity) (bool, error) { return true, nil })
	no := condition(func(auth.Identity) (bool, error) { return false, nil })
	broken := condition(func(auth.Identity) (bool, error) { return true, errors.New("division by zero") })
	id := auth.Identity{Method: auth.MethodJWT, Subject: "ann", Scopes: "a b"}
	for name, c := range map[string]struct {
		rule   auth.Rule
		status int
		reason auth.Reason
	}{
		"nothing":                 {auth.Rule{}, 200, ""},
		"all":                     {auth.Rule{AllScopes: []string{"a", "b"}}, 200, ""},
		"all but one":             {auth.Rule{AllScopes: []string{"a", "c"}}, 403, auth.ReasonScope},
		"any":                     {auth.Rule{AnyScopes: []string{"c", "b"}}, 200, ""},
		"none of any":             {auth.Rule{AnyScopes: []string{"c", "d"}}, 403, auth.ReasonScope},
		"all and none of any":     {auth.Rule{AllScopes: []string{"a"}, AnyScopes: []string{"c"}}, 403, auth.ReasonScope},
		"method":                  {auth.Rule{Methods: []auth.Method{auth.MethodJWT}}, 200, ""},
		"other method":            {auth.Rule{Methods: []auth.Method{auth.MethodCertificate}}, 403, auth.ReasonCondition},
		"true":                    {auth.Rule{Conditions: []auth.Condition{yes, yes}}, 200, ""},
		"one false":               {auth.Rule{Conditions: []auth.Condition{yes, no}}, 403, auth.ReasonCondition},
		"true, but with an error": {auth.Rule{Conditions: []auth.Condition{broken}}, 403, auth.ReasonConditionErr},
	} {
		var reason auth.Reason
		hooks := &auth.Hooks{Refused: func(_ context.Context, r *auth.Refusal) { reason = r.Reason }}
		policy, err := auth.NewPolicy(c.rule, &auth.Options{Hooks: hooks})
		if err != nil {
			t.Fatal(err)
		}
		r := get(t, "/")
		answer, _ := serve(policy.Wrap, r.WithContext(auth.With(r.Context(), id)))
		if answer.StatusCode != c.status || reason != c.reason {
			t.Errorf("%s: %d %q", name, answer.StatusCode, reason)
		}
		if challenge := answer.Header.Get("WWW-Authenticate"); (challenge != "") != (c.reason == auth.ReasonScope) {
			t.Errorf("%s: challenge %q", name, challenge)
		}
	}
}

func TestKeyIsInjective(t *testing.T) {
	t.Parallel()
	seen := map[string]auth.Identity{}
	parts := []string{"", "a", "|", "a|", "|a", "%7C", "a%7Cb", "a|b", "b", " ", "+", "ä", "\x00"}
	for _, method := range []auth.Method{auth.MethodJWT, auth.MethodKey} {
		for _, issuer := range parts {
			for _, subject := range parts {
				id := auth.Identity{Method: method, Issuer: issuer, Subject: subject}
				if other, ok := seen[id.Key()]; ok {
					t.Errorf("%q for %+v and %+v", id.Key(), id, other)
				}
				seen[id.Key()] = id
			}
		}
	}
	a := auth.Identity{Method: auth.MethodJWT, Issuer: issuerURL, Subject: "ann"}
	b := a
	b.Scopes, b.Expires, b.ClientID = "x", time.Now(), "app"
	if a.Key() != b.Key() || a.Key() != "jwt|https%3A%2F%2Fid.example|ann" {
		t.Errorf("%q, %q", a.Key(), b.Key())
	}
}
