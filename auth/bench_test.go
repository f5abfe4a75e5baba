package auth_test

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/banyanhq/banyan/auth"
)

func BenchmarkVerify(b *testing.B) {
	for _, s := range []*signer{newRSA(b, "rs256"), newEC(b, "es256"), newEd(b, "eddsa")} {
		for name, bytes := range map[string]int{"cached": 0, "first": -1} {
			b.Run(s.kid+"/"+name, func(b *testing.B) {
				v := verifier(b, &issuer{keys: []*signer{s}}, func(_ *auth.Issuer, o *auth.JWTOptions) { o.CacheBytes = bytes })
				token := s.token(claims(object{"exp": time.Now().Add(time.Hour).Unix(), "email": "ann@example.com", "roles": []string{"a", "b"}}))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Verify(b.Context(), token); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// The whole middleware with a token that was seen before.
func BenchmarkGuard(b *testing.B) {
	s := newRSA(b, "k")
	g := guard(b, nil, verifier(b, &issuer{keys: []*signer{s}}, nil))
	h := g.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := get(b, "/orders?a=b", "Authorization", "Bearer "+s.token(claims(object{"exp": time.Now().Add(time.Hour).Unix()})))
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(nil, r)
	}
}

func BenchmarkAPIKey(b *testing.B) {
	text, keys := keyring(b, nil)
	for b.Loop() {
		if _, err := keys.Verify(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkForward(b *testing.B) {
	f := forwarder(b, nil, "X-User", "subject", "X-Tenant", "tenant", "X-Scopes", "scopes")
	h := f.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	header := http.Header{}
	for i := range 12 {
		header[fmt.Sprintf("X-Header-%d", i)] = []string{"value"}
	}
	r := identified(b, &auth.Identity{Subject: "ann", Tenant: "acme", Scopes: "a b"}, header)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(nil, r)
	}
}

// The memory for verified tokens stays below the bound with many more tokens than
// fit.
func TestCacheBound(t *testing.T) {
	s := newEd(t, "k")
	const bound = 4 << 20
	v := verifier(t, &issuer{keys: []*signer{s}}, func(_ *auth.Issuer, o *auth.JWTOptions) { o.CacheBytes = bound })
	roles := make([]string, 20)
	for i := range roles {
		roles[i] = fmt.Sprint("role-", i)
	}
	small := make([]object, 60) // the smallest objects, for which memory is much larger than text
	for i := range small {
		small[i] = object{"a": i}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, largest := heap(), uint64(0)
	for i := range 8000 {
		token := s.token(claims(object{"sub": fmt.Sprint("user-", i), "roles": roles, "o": object{"a": i, "b": object{"c": roles}}, "s": small[:i%60]}))
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if i%2000 == 1999 {
			largest = max(largest, heap()-before)
		}
	}
	t.Logf("%d of %d bytes", largest, bound)
	if largest > bound {
		t.Errorf("%d bytes for a bound of %d", largest, bound)
	}
	if largest < bound/8 {
		t.Errorf("%d bytes only: nothing is remembered, or the estimate is far off", largest)
	}
	runtime.KeepAlive(v)
}
