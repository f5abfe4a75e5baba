package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/banyanhq/banyan/auth"
)

// A route that wants a token with a scope, and a service behind it that is told
// who asks.
func Example() {
	signing := exampleSigner()
	tokens, err := auth.NewJWT(
		[]auth.Issuer{{URL: issuerURL, Audiences: []string{"shop"}}},
		&auth.JWTOptions{Transport: &issuer{keys: []*signer{signing}}}, // in memory, for the example
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := auth.New([]auth.Authenticator{tokens}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	policy, err := auth.NewPolicy(auth.Rule{AllScopes: []string{"orders:write"}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	forward, err := auth.NewForwarder([]auth.Header{{Name: "X-User", From: "subject"}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "hello %s", r.Header.Get("X-User"))
	})
	handler := guard.Wrap(policy.Wrap(forward.Wrap(service)))

	for _, token := range []string{"", signing.token(claims()), signing.token(claims(object{"scope": "orders:read"}))} {
		r := httptest.NewRequest(http.MethodPost, "/orders", nil)
		r.Header.Set("X-User", "root") // a liar
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			fmt.Println(w.Code, w.Body)
			continue
		}
		fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	}
	// Output:
	// 401 Bearer
	// 200 hello ann
	// 403 Bearer error="insufficient_scope", scope="orders:write"
}

func exampleSigner() *signer {
	return &signer{kid: "2026-11", private: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
}

// API keys: the text goes to the client, the hash into the list.
func ExampleGenerateKey() {
	text, stored, err := auth.GenerateKey("byn", "reports")
	if err != nil {
		fmt.Println(err)
		return
	}
	stored.Scopes = []string{"orders:read"}
	stored.Expires = time.Now().AddDate(1, 0, 0)

	keys, err := auth.NewKeys(source{stored}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := keys.Reload(context.Background()); err != nil { // Run does it every ten seconds
		fmt.Println(err)
		return
	}
	id, err := keys.Verify(text)
	fmt.Println(len(text), id.Subject, id.Scopes, err)
	_, err = keys.Verify(text[:50] + "?")
	fmt.Println(err)
	// Output:
	// 51 reports orders:read <nil>
	// auth: refuse key: malformed
}

// source is a list of keys in memory; a file is auth.KeyFile.
type source []auth.Key

func (s source) Keys(context.Context) ([]auth.Key, error) { return s, nil }

// The identity is in the request's context; its key is for limits and rollouts.
func ExampleFrom() {
	ctx := auth.With(context.Background(), auth.Identity{Method: auth.MethodCertificate, Subject: "spiffe://prod/orders", Issuer: "prod"})
	id, ok := auth.From(ctx)
	fmt.Println(id.Subject, ok)
	fmt.Println(id.Key())
	// Output:
	// spiffe://prod/orders true
	// certificate|prod|spiffe%3A%2F%2Fprod%2Forders
}
