package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/auth"
)

// L3: secrets are planted everywhere and must turn up nowhere: not in errors, in
// what hooks are given, nor in answers.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	const canary = "canary4711"
	var heard strings.Builder
	hear := func(values ...any) {
		for _, v := range values {
			fmt.Fprintf(&heard, "%v\n%+v\n%#v\n", v, v, v)
			if err, ok := v.(error); ok {
				for err := err; err != nil; err = errors.Unwrap(err) {
					fmt.Fprintf(&heard, "%v\n%#v\n", err, err)
				}
			}
		}
	}
	s, evil := newEC(t, "k"), newEC(t, "evil")
	text, stored, err := auth.GenerateKey("byn", "reports")
	if err != nil {
		t.Fatal(err)
	}
	stored.Disabled = true
	keys, err := auth.NewKeys(&list{keys: []auth.Key{stored}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	hear(keys.Reload(t.Context()))
	bad, err := auth.NewKeys(&list{keys: []auth.Key{{ID: canary, Hash: text, Subject: canary}}}, &auth.KeyOptions{
		Reloaded: func(_ context.Context, _ int, err error) { hear(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	hear(bad.Reload(t.Context()))

	good := s.token(claims(object{canary: canary, "sub": "ann-" + canary}))
	secrets := []string{canary, text, text[4:], text[12:], good, strings.Split(good, ".")[2]}
	tokens := []string{
		canary, good[:len(good)-5], good + canary, s.token(claims(object{"iss": canary})), s.token(claims(object{"aud": canary})),
		s.token(claims(object{"exp": canary})), s.token(claims(object{"nbf": canary})), s.token(claims(object{"scope": `"` + canary})),
		s.token(claims(object{"cnf": canary})), evil.tokenWith(object{"kid": canary}, claims()), s.tokenWith(object{"typ": canary}, claims()),
		s.tokenWith(object{"alg": canary}, claims()), s.tokenWith(object{"crit": []string{canary}}, claims()), s.tokenWith(object{"jwk": canary}, claims()),
		evil.tokenWith(object{"kid": "k"}, claims(object{"sub": canary})), s.sign(`{"alg":"ES256","`+canary, "{}"), s.sign(`{"alg":"ES256"}`, canary),
		strings.Repeat(canary, 10_000),
	}
	issuers := map[string]*issuer{
		"good": {keys: []*signer{s}}, "down": {err: errDown}, "html": {body: []byte(canary)}, "500": {status: 500, body: []byte(canary)},
		"bad keys": {body: []byte(`{"keys":[{"kty":"oct","k":"` + canary + `"},{"kty":"RSA","n":"` + canary + `"},"` + canary + `"]}`)},
		"private":  {body: []byte(`{"keys":[{"kty":"EC","d":"` + canary + `"}]}`)},
	}
	hooks := &auth.Hooks{Refused: func(_ context.Context, r *auth.Refusal) { hear(r, *r, r.Reason, r.Err) }}
	keyHooks := &auth.KeyHooks{
		Fetched: func(_ context.Context, issuer string, n int, _ time.Duration, err error) { hear(issuer, n, err) },
		Ignored: func(_ context.Context, issuer, kid, reason string) { hear(issuer, kid, reason) },
	}
	for _, is := range issuers {
		v := verifier(t, is, func(i *auth.Issuer, o *auth.JWTOptions) {
			i.KeysURL, o.KeyHooks = issuerURL+"/keys?token="+canary, keyHooks
		})
		g := guard(t, &auth.Options{Hooks: hooks}, v, keys)
		for _, token := range tokens {
			_, err := v.Verify(t.Context(), token)
			hear(err)
			for _, r := range []*http.Request{
				get(t, "/?access_token="+canary, "Authorization", "Bearer "+token),
				get(t, "/", "Authorization", "Bearer "+token),
				get(t, "/", "X-Api-Key", token),
				get(t, "/", "X-Api-Key", text),
				get(t, "/", "Authorization", "Bearer "+token, "X-Api-Key", text),
			} {
				answer, _ := serve(g.Wrap, r)
				body, _ := io.ReadAll(answer.Body)
				hear(answer.Header, string(body))
			}
		}
		hear(v.Health(t.Context()), v.Status())
	}
	broken := condition(func(auth.Identity) (bool, error) { return false, errors.New("broken") })
	policy, err := auth.NewPolicy(auth.Rule{AllScopes: []string{"x"}, Conditions: []auth.Condition{broken}}, &auth.Options{Hooks: hooks})
	if err != nil {
		t.Fatal(err)
	}
	r := get(t, "/", "Authorization", "Bearer "+good)
	answer, _ := serve(policy.Wrap, r.WithContext(auth.With(r.Context(), auth.Identity{Subject: canary, Method: auth.MethodJWT})))
	hear(answer.Header)

	if heard.Len() < 10_000 {
		t.Fatalf("only %d bytes heard: the test hears nothing", heard.Len())
	}
	for _, secret := range secrets {
		if i := strings.Index(heard.String(), secret); i >= 0 {
			t.Errorf("a secret came out: …%s…", heard.String()[max(0, i-100):min(heard.Len(), i+100)])
		}
	}
}
