package auth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuerURL = "https://id.example"
	audience  = "shop"
)

// signer is a private key of an issuer.
type signer struct {
	kid     string
	alg     string // in the JWK; "" for none
	private crypto.Signer
}

func newRSA(t testing.TB, kid string) *signer {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{kid: kid, private: k}
}

func newEC(t testing.TB, kid string) *signer {
	t.Helper()
	return newCurve(t, kid, elliptic.P256())
}

func newCurve(t testing.TB, kid string, curve elliptic.Curve) *signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{kid: kid, private: k}
}

func newEd(t testing.TB, kid string) *signer {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{kid: kid, private: k}
}

func (s *signer) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.private.Public(), KeyID: s.kid, Algorithm: s.alg, Use: "sig"}
}

// issuer is an identity provider in memory; it is the http.RoundTripper of the
// verifier under test.
type issuer struct {
	mu      sync.Mutex
	keys    []*signer
	body    []byte // instead of the keys
	status  int
	err     error
	delay   time.Duration
	fetches int
	urls    []string
	// answers by path, before everything else
	answers map[string]string
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	i.fetches++
	i.urls = append(i.urls, r.URL.String())
	body, err := i.document(r)
	status, delay, failed := i.status, i.delay, i.err
	i.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if failed != nil {
		return nil, failed
	}
	if status == 0 {
		status = http.StatusOK
	}
	header := http.Header{}
	if status == http.StatusFound {
		header.Set("Location", "http://169.254.169.254/keys")
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, err
}

func (i *issuer) document(r *http.Request) ([]byte, error) {
	if answer, ok := i.answers[r.URL.Path]; ok {
		return []byte(answer), nil
	}
	if r.URL.Path == "/.well-known/openid-configuration" {
		return []byte(`{"issuer":"` + issuerURL + `","jwks_uri":"` + issuerURL + `/keys"}`), nil
	}
	if i.body != nil {
		return i.body, nil
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range i.keys {
		set.Keys = append(set.Keys, k.jwk())
	}
	return json.Marshal(set)
}

func (i *issuer) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

var errDown = errors.New("connection refused")

// verifier returns a JWT verifier of one issuer.
func verifier(t testing.TB, i *issuer, change func(*auth.Issuer, *auth.JWTOptions)) *auth.JWT {
	t.Helper()
	conf := auth.Issuer{URL: issuerURL, KeysURL: issuerURL + "/keys", Audiences: []string{audience}}
	opts := auth.JWTOptions{Transport: i}
	if change != nil {
		change(&conf, &opts)
	}
	v, err := auth.NewJWT([]auth.Issuer{conf}, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type object = map[string]any

// claims are good ones, with changes; a nil value removes one.
func claims(changes ...object) object {
	c := object{
		"iss": issuerURL, "sub": "ann", "aud": audience, "client_id": "web", "scope": "orders:read orders:write",
		"exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(),
	}
	for _, change := range changes {
		maps.Copy(c, change)
	}
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// token signs claims as an issuer does.
func (s *signer) token(c object) string { return s.tokenWith(nil, c) }

// tokenWith changes the header, too.
func (s *signer) tokenWith(change, c object) string {
	header := object{"alg": s.algorithm(), "kid": s.kid, "typ": "at+jwt"}
	maps.Copy(header, change)
	maps.DeleteFunc(header, func(_ string, v any) bool { return v == nil })
	return s.sign(mustJSON(header), mustJSON(c))
}

func mustJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // a mistake in the test
	}
	return string(data)
}

func (s *signer) algorithm() string {
	if s.alg != "" {
		return s.alg
	}
	switch k := s.private.Public().(type) {
	case *rsa.PublicKey:
		return "RS256"
	case *ecdsa.PublicKey:
		return map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[k.Curve.Params().BitSize]
	}
	return "EdDSA"
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign signs any header and payload with the algorithm of the key.
func (s *signer) sign(header, payload string) string {
	input := b64(header) + "." + b64(payload)
	return input + "." + base64.RawURLEncoding.EncodeToString(s.signature(input))
}

func (s *signer) signature(input string) []byte {
	hash := crypto.SHA256
	switch s.algorithm() {
	case "ES384", "RS384":
		hash = crypto.SHA384
	case "ES512", "RS512":
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write([]byte(input))
	switch k := s.private.(type) {
	case *rsa.PrivateKey:
		if s.algorithm() == "PS256" {
			return must(k.Sign(rand.Reader, h.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}))
		}
		return must(rsa.SignPKCS1v15(rand.Reader, k, hash, h.Sum(nil)))
	case *ecdsa.PrivateKey:
		r, v, err := ecdsa.Sign(rand.Reader, k, h.Sum(nil))
		if err != nil {
			panic(err)
		}
		size := (k.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), v.FillBytes(make([]byte, size))...)
	}
	return must(s.private.Sign(rand.Reader, []byte(input), crypto.Hash(0)))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// reasonOf returns why a token was refused; "" for none.
func reasonOf(err error) auth.Reason {
	var r *auth.Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	if err != nil {
		return auth.Reason(fmt.Sprintf("%T", err))
	}
	return ""
}

func statusOf(err error) int {
	var r *auth.Refusal
	if errors.As(err, &r) {
		return r.Status
	}
	return 200
}

// guard makes a Guard and fails the test if it cannot.
func guard(t testing.TB, o *auth.Options, methods ...auth.Authenticator) *auth.Guard {
	t.Helper()
	g, err := auth.New(methods, o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// serve sends a request through middleware and returns the answer and the
// request as the handler saw it.
func serve(wrap func(http.Handler) http.Handler, r *http.Request) (*http.Response, *http.Request) {
	var seen *http.Request
	w := httptest.NewRecorder()
	wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r })).ServeHTTP(w, r)
	return w.Result(), seen
}

func get(t testing.TB, target string, header ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}
