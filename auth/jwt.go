package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/banyanhq/banyan"
)

// Issuer is somebody whose tokens are accepted.
type Issuer struct {
	// URL is the iss claim, compared character by character. Required.
	URL string
	// KeysURL is the address of the JWK Set. Default: jwks_uri in the issuer's
	// OpenID configuration.
	KeysURL string
	// Audiences: a token must name one of them in aud. At least one is required:
	// a token meant for another service is not meant for this one (RFC 8725 §3.9).
	Audiences []string
	// Algorithms that its tokens may use. A key whose JWK has an alg is used with
	// that one only, and each only with keys of its type. Default: RS256, RS384,
	// RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA; no others can be set.
	Algorithms []string
	// AcceptJWT also accepts tokens whose typ is JWT or missing, as issuers before
	// RFC 9068 make them. Tokens that show themselves as ID, refresh or logout
	// tokens are refused all the same, by claims that only those have: nonce (which
	// Keycloak before 24 puts into access tokens, too), at_hash, c_hash, events, a
	// typ other than Bearer, a token_use other than access. Default: only at+jwt.
	AcceptJWT bool
	// TenantClaim is where Identity.Tenant comes from. Default: "tenant".
	TenantClaim string
}

// JWTOptions are the options of a JWT verifier.
type JWTOptions struct {
	// Leeway for clocks that differ, in exp, nbf and iat. At most 60 s; negative:
	// none. Default: 30 s.
	Leeway time.Duration
	// MaxToken is how long a token may be, in bytes. Default: 16 KiB.
	MaxToken int
	// Refresh is how often the keys are read in the background, at least 1 s. The
	// tokens of a key that the issuer removed are refused after Refresh +
	// FetchTimeout at the latest. Default: 30 s.
	Refresh time.Duration
	// CoolDown is how long no token with an unknown key causes a fetch after one
	// that brought nothing. Default: 10 s.
	CoolDown time.Duration
	// StaleFor is how long, beyond Refresh, keys are used that cannot be read
	// anew. Afterwards requests are answered with 503. Default: 1 h.
	StaleFor time.Duration
	// FetchTimeout bounds one fetch. Default: 5 s.
	FetchTimeout time.Duration
	// CacheBytes bounds the memory for verified tokens: 10,000 to 20,000 of those
	// with ten short claims. Negative: none are kept. Default: 32 MiB.
	CacheBytes int
	// AllowNetworks are networks that keys may be fetched from although they are
	// not public, such as 10.0.0.0/8. Default: none.
	AllowNetworks []netip.Prefix
	// AllowHTTP accepts http addresses of issuers and keys. Default: https only.
	AllowHTTP bool
	// Transport fetches the keys. It must check addresses itself: AllowNetworks
	// has no effect on it. Default: one that does, without proxy and redirects.
	Transport http.RoundTripper
	// KeyHooks hear of the keys. Default: nothing does.
	KeyHooks *KeyHooks
}

// KeyHooks hear what happens to the keys of issuers. Each may be nil; they must
// not block.
type KeyHooks struct {
	// Fetched is called after each fetch with the number of usable keys or the
	// error.
	Fetched func(ctx context.Context, issuer string, keys int, took time.Duration, err error)
	// Ignored is called for each key in a set that is not used, at every fetch.
	Ignored func(ctx context.Context, issuer, kid, reason string)
}

func (h *KeyHooks) fetched(ctx context.Context, issuer string, keys int, took time.Duration, err error) {
	if h != nil && h.Fetched != nil {
		h.Fetched(ctx, issuer, keys, took, err)
	}
}

func (h *KeyHooks) ignored(ctx context.Context, issuer, kid, reason string) {
	if h != nil && h.Ignored != nil {
		h.Ignored(ctx, issuer, kid, reason)
	}
}

func (o *JWTOptions) withDefaults() (JWTOptions, error) {
	var out JWTOptions
	if o != nil {
		out = *o
	}
	if out.Leeway > time.Minute {
		return out, errors.New("the leeway is more than 60 s")
	}
	if out.Refresh != 0 && out.Refresh < time.Second {
		return out, errors.New("the refresh interval is less than 1 s")
	}
	if out.MaxToken < 0 || out.CoolDown < 0 || out.StaleFor < 0 || out.FetchTimeout < 0 {
		return out, errors.New("a limit is negative")
	}
	defaultTo(&out.Leeway, 30*time.Second)
	defaultTo(&out.MaxToken, 16<<10)
	defaultTo(&out.Refresh, 30*time.Second)
	defaultTo(&out.CoolDown, 10*time.Second)
	defaultTo(&out.StaleFor, time.Hour)
	defaultTo(&out.FetchTimeout, 5*time.Second)
	defaultTo(&out.CacheBytes, 32<<20)
	out.Leeway = max(out.Leeway, 0)
	return out, nil
}

func defaultTo[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// JWT verifies access tokens of one or more issuers.
type JWT struct {
	opts    JWTOptions
	sets    map[string]*keySet // by issuer
	order   []*keySet
	cache   *cache
	running atomic.Bool
}

// NewJWT makes a verifier. It does no I/O: an issuer that is down delays nothing
// but its own tokens. Run it to have the keys read in the background.
func NewJWT(issuers []Issuer, o *JWTOptions) (*JWT, error) {
	opts, err := o.withDefaults()
	if err == nil && len(issuers) == 0 {
		err = errors.New("no issuer")
	}
	if err != nil {
		return nil, fmt.Errorf("auth: new jwt verifier: %w: %w", banyan.ErrInvalid, err)
	}
	v := &JWT{opts: opts, sets: map[string]*keySet{}, cache: newCache(opts.CacheBytes)}
	fetch := newFetcher(opts)
	for _, issuer := range issuers {
		algs, err := issuer.check(opts.AllowHTTP)
		if err == nil && v.sets[issuer.URL] != nil {
			err = errors.New("it is there twice")
		}
		if err != nil {
			return nil, fmt.Errorf("auth: new jwt verifier: issuer %q: %w: %w", issuer.URL, banyan.ErrInvalid, err)
		}
		defaultTo(&issuer.TenantClaim, "tenant")
		set := &keySet{issuer: issuer, algs: algs, opts: opts, fetch: fetch}
		v.sets[issuer.URL], v.order = set, append(v.order, set)
	}
	return v, nil
}

// check returns the algorithms of the issuer.
func (i Issuer) check(allowHTTP bool) (algorithms, error) {
	if err := checkURL(i.URL, allowHTTP); err != nil {
		return nil, fmt.Errorf("the URL is %w", err)
	}
	if i.KeysURL != "" {
		if err := checkURL(i.KeysURL, allowHTTP); err != nil {
			return nil, fmt.Errorf("KeysURL is %w", err)
		}
	}
	if len(i.Audiences) == 0 {
		return nil, errors.New("it has no audience")
	}
	if len(i.Algorithms) == 0 {
		return asymmetric(), nil
	}
	var algs algorithms
	for _, name := range i.Algorithms {
		if !asymmetric().has(jose.SignatureAlgorithm(name)) {
			return nil, fmt.Errorf("the algorithm %q cannot be allowed", name)
		}
		algs = append(algs, jose.SignatureAlgorithm(name))
	}
	return algs, nil
}

// Run reads the keys of all issuers in the background until ctx ends. A second
// Run at the same time is an error of kind banyan.ErrExists.
func (v *JWT) Run(ctx context.Context) error {
	if !v.running.CompareAndSwap(false, true) {
		return fmt.Errorf("auth: run jwt verifier: %w: it runs", banyan.ErrExists)
	}
	defer v.running.Store(false)
	var wg sync.WaitGroup
	for _, set := range v.order {
		wg.Go(func() { set.run(ctx) })
	}
	wg.Wait()
	return nil
}

// IssuerStatus is how it stands with the keys of an issuer.
type IssuerStatus struct {
	Issuer string
	// Keys is how many usable keys are known, Fetched when they were read.
	Keys    int
	Fetched time.Time
	// Usable: tokens can be verified, possibly with keys that are stale.
	Usable bool
	// Err is why the last fetch failed, nil if it did not.
	Err error
}

// Status reports on all issuers, in the order of NewJWT.
func (v *JWT) Status() []IssuerStatus {
	var out []IssuerStatus
	for _, set := range v.order {
		out = append(out, set.status())
	}
	return out
}

// Health is a check for /health: an error of kind banyan.ErrUnavailable when the
// tokens of an issuer cannot be verified. It does no I/O; without Run it is red
// until the first token of each issuer has come.
func (v *JWT) Health(context.Context) error {
	for _, set := range v.order {
		if _, err := set.trusted(); err != nil {
			return unavailable(MethodJWT, err)
		}
	}
	return nil
}

// Carrier implements Authenticator.
func (v *JWT) Carrier() Carrier {
	return Carrier{Method: MethodJWT, Challenge: schemeBearer, Header: headerAuthorization}
}

// Present implements Authenticator: Authorization with the scheme Bearer.
func (v *JWT) Present(r *http.Request) bool {
	_, ok := bearer(r.Header)
	return ok
}

// Authenticate implements Authenticator.
func (v *JWT) Authenticate(r *http.Request) (Identity, error) {
	token, _ := bearer(r.Header)
	result, refusal := v.verify(r.Context(), token)
	if refusal != nil {
		return Identity{}, refusal
	}
	if result.bound != "" && !boundTo(r.TLS, result.bound) {
		return Identity{}, refuse(MethodJWT, ReasonBinding)
	}
	return result.id, nil
}

// Verify checks a token that came some other way than in a request. The error is
// a *Refusal. A token that is bound to a client certificate is refused, because
// there is none to compare.
func (v *JWT) Verify(ctx context.Context, token string) (Identity, error) {
	result, refusal := v.verify(ctx, token)
	switch {
	case refusal != nil:
		return Identity{}, refusal
	case result.bound != "":
		return Identity{}, refuse(MethodJWT, ReasonBinding)
	}
	return result.id, nil
}

// Interface guard.
var _ Authenticator = (*JWT)(nil)
