package auth_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/banyanhq/banyan/auth"
)

// Whatever is in Authorization: one of the four answers, never a panic, and let
// in only with the token that is good.
func FuzzAuthorization(f *testing.F) {
	s := newEC(f, "k")
	good := s.token(claims(object{"exp": 4102444800}))
	g := guard(f, nil, verifier(f, &issuer{keys: []*signer{s}}, nil))
	for _, seed := range []string{"", "Bearer", "Bearer ", "Bearer " + good, "bearer  " + good, "Basic YTpi", "Bearer a.b.c", "Bearer,Bearer", "DPoP x", "Bearer\t" + good} {
		f.Add(seed, "a=b", false)
		f.Add(seed, "access_token=x", true)
	}
	f.Fuzz(func(t *testing.T, value, query string, twice bool) {
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{"Authorization": {value}}}
		if twice {
			r.Header["Authorization"] = append(r.Header["Authorization"], value)
		}
		answer, seen := serve(g.Wrap, r)
		switch answer.StatusCode {
		case 200:
			scheme, token, _ := strings.Cut(value, " ")
			if seen == nil || twice || !strings.EqualFold(scheme, "Bearer") || strings.TrimLeft(token, " ") != good {
				t.Fatalf("let in with %q", value)
			}
		case 400, 401:
			if seen != nil || len(answer.Header["Www-Authenticate"]) != 1 {
				t.Fatalf("%d, %v", answer.StatusCode, answer.Header)
			}
		default:
			t.Fatalf("%d", answer.StatusCode)
		}
	})
}

// Whatever the issuer or somebody else signs: an identity that keeps the rules or
// a refusal.
func FuzzToken(f *testing.F) {
	s := newEC(f, "k")
	v := verifier(f, &issuer{keys: []*signer{s}}, func(i *auth.Issuer, o *auth.JWTOptions) { i.AcceptJWT, o.CacheBytes = true, -1 })
	header := `{"alg":"ES256","kid":"k","typ":"at+jwt"}`
	f.Add(header, mustJSON(claims(object{"exp": 4102444800})), "")
	f.Add(header, `{"iss":"`+issuerURL+`","aud":["shop"],"sub":"a","exp":4102444800.5,"scope":"a b","cnf":{}}`, "")
	f.Add(`{"alg":"none"}`, `{}`, "x")
	f.Add(`{"alg":"ES256","crit":["b64"],"b64":false}`, `[[[[`, "a.b.c")
	f.Add(header, `{"exp":1e400,"aud":{},"sub":7}`, "....")
	f.Fuzz(func(t *testing.T, header, payload, raw string) {
		for _, token := range []string{raw, s.sign(header, payload), b64(header) + "." + b64(payload) + "." + raw} {
			id, err := v.Verify(t.Context(), token)
			if err != nil {
				var r *auth.Refusal
				if !errors.As(err, &r) || r.Status != 401 || id.Subject != "" {
					t.Fatalf("%v, %+v", err, id)
				}
				continue
			}
			if token == raw || id.Issuer != issuerURL || id.Subject == "" || id.Expires.IsZero() || id.Key() == "" {
				t.Fatalf("accepted %q: %+v", token, id)
			}
			for scope := range id.Scopes.All() {
				if strings.ContainsAny(scope, " \"\\") {
					t.Fatalf("scope %q", scope)
				}
			}
		}
	})
}

// Whatever is sent as an API key, and whatever the list says.
func FuzzAPIKey(f *testing.F) {
	text, keys := keyring(f, nil)
	for _, seed := range []string{text, text[:50], "byn_", "", strings.ToUpper(text), strings.Replace(text, "byn", "bym", 1), text + text} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := keys.Verify(s)
		if (err == nil) != (s == text) || (err != nil && statusOf(err) != 401) || (err != nil && id.Subject != "") {
			t.Fatalf("%q: %+v, %v", s, id, err)
		}
	})
}

// Whatever an issuer answers: keys or a failure, never a panic, and no token of a
// stranger's.
func FuzzKeySet(f *testing.F) {
	s, evil := newEC(f, "k"), newEC(f, "k")
	public := mustJSON(s.jwk())
	for _, seed := range []string{`{"keys":[` + public + `]}`, `{"keys":[]}`, `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`, `[]`, `{"keys":null}`, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if body == nil {
			body = []byte{}
		}
		v := verifier(t, &issuer{body: body}, nil)
		if _, err := v.Verify(t.Context(), evil.token(claims())); err == nil {
			t.Fatal("a stranger was let in")
		}
		if _, err := v.Verify(t.Context(), s.token(claims())); err != nil && statusOf(err) != 401 && statusOf(err) != 503 {
			t.Fatal(err)
		}
	})
}

// Whatever is claimed and sent: a header has no value or exactly the one that the
// identity has.
func FuzzForward(f *testing.F) {
	fw := forwarder(f, nil, "X-User", "subject", "X-Claim", "claims.c")
	f.Add("ann", "x", "X_User", "root")
	f.Add("a\r\nX-Admin: 1", "a,b", "x-claim", "")
	f.Fuzz(func(t *testing.T, subject, claim, name, value string) {
		if !utf8.ValidString(claim) {
			t.Skip("JSON cannot hold it")
		}
		c, err := auth.NewClaims(map[string]any{"c": []any{claim}})
		if err != nil {
			t.Skip(err)
		}
		_, seen := serve(fw.Wrap, identified(t, &auth.Identity{Subject: subject, Claims: c}, http.Header{name: {value, value}}))
		for sent, values := range seen.Header {
			if sent == name && sent != "X-User" && sent != "X-Claim" {
				continue
			}
			if len(values) != 1 || (values[0] != subject && values[0] != claim) || strings.ContainsAny(values[0], "\r\n\x00") {
				t.Fatalf("%q: %q", sent, values)
			}
		}
	})
}
