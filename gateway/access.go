package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/banyanhq/banyan/auth"
	"github.com/banyanhq/banyan/auth/condition"
)

// Credential is one kind of credential that the gateway checks: exactly one of
// its fields is set.
type Credential struct {
	JWT          *JWT          `yaml:"jwt"`
	APIKeys      *APIKeys      `yaml:"api_keys"`
	Certificates *Certificates `yaml:"certificates"`
}

// JWT are access tokens of an issuer, with keys from its OpenID configuration.
type JWT struct {
	// Issuer is the iss claim, and where the OpenID configuration is.
	Issuer string `yaml:"issuer"`
	// Audiences: a token has to be for one of them.
	Audiences []string `yaml:"audiences"`
	// KeysURL is the address of the keys, if there is no OpenID configuration.
	KeysURL string `yaml:"keys_url"`
	// Algorithms that are allowed; default: all asymmetric ones.
	Algorithms []string `yaml:"algorithms"`
	// AcceptJWT also takes tokens whose type is JWT, as issuers before RFC 9068
	// make them.
	AcceptJWT bool `yaml:"accept_jwt"`
	// AllowNetworks may hold the issuer although they are not public.
	AllowNetworks []string `yaml:"allow_networks"`
	// AllowHTTP takes keys over http. For trials on one machine only.
	AllowHTTP bool `yaml:"allow_http"`
}

// APIKeys are keys whose hashes a file lists (see auth.KeyFile).
type APIKeys struct {
	File string `yaml:"file"`
	// Header that holds the key; default X-Api-Key.
	Header string `yaml:"header"`
	// Prefix of the keys; default "byn".
	Prefix string `yaml:"prefix"`
}

// Certificates are client certificates, which tls.client_ca has to have issued.
type Certificates struct {
	// Names are SPIFFE ids or DNS names, compared whole.
	Names []string `yaml:"names"`
	// TrustDomains let every SPIFFE id of them in.
	TrustDomains []string `yaml:"trust_domains"`
	// Scopes that a certificate grants.
	Scopes []string `yaml:"scopes"`
}

// Access says who may use a route.
type Access struct {
	// By names the credentials that are accepted; the first that a request
	// carries decides.
	By []string `yaml:"by"`
	// Anonymous also lets requests without any credential in.
	Anonymous bool `yaml:"anonymous"`
	// Scopes must all be granted, and one of AnyScope.
	Scopes   []string `yaml:"scopes"`
	AnyScope []string `yaml:"any_scope"`
	// When are conditions in CEL, which must all hold; see package
	// auth/condition.
	When []string `yaml:"when"`
	// Forward tells the upstream who it is: header → "subject", "tenant",
	// "claims.email"… (see auth.Header). No client can send these headers, on any
	// route. An identity that has no such value has no such header; one whose value
	// fits in no header is answered 403, for the upstream would take it for nobody.
	Forward map[string]string `yaml:"forward"`
	// StripCredential keeps the credential from whatever stands behind: upstreams,
	// parts of compose, and the route's limits, contract and changes. A certificate
	// goes nowhere in any case. Default: it goes on.
	StripCredential bool `yaml:"strip_credential"`
}

// provider checks one kind of credential, and keeps what it needs fresh.
type provider struct {
	auth.Authenticator
	config  Credential
	refresh func(context.Context) error // nil: there is nothing to keep fresh
	health  func(context.Context) error // nil: it cannot fail
	stop    context.CancelFunc
	running sync.WaitGroup
}

// provider makes what checks a credential. The log hears when what it needs cannot
// be fetched.
func (c Credential) provider(log *slog.Logger) (*provider, error) {
	switch {
	case c.JWT != nil && c.APIKeys == nil && c.Certificates == nil:
		return c.JWT.provider(c, log)
	case c.APIKeys != nil && c.JWT == nil && c.Certificates == nil:
		return c.APIKeys.provider(c, log)
	case c.Certificates != nil && c.JWT == nil && c.APIKeys == nil:
		check, err := auth.NewCertificates(c.Certificates.Names, &auth.CertificateOptions{TrustDomains: c.Certificates.TrustDomains, Scopes: c.Certificates.Scopes})
		return &provider{Authenticator: check, config: c}, err
	}
	return nil, errors.New("it is exactly one of jwt, api_keys and certificates")
}

func (j *JWT) provider(c Credential, log *slog.Logger) (*provider, error) {
	fetched := func(_ context.Context, issuer string, _ int, _ time.Duration, err error) {
		if err != nil {
			log.Error("the keys of an issuer cannot be fetched", "issuer", issuer, "error", err.Error())
		}
	}
	o := &auth.JWTOptions{AllowHTTP: j.AllowHTTP, KeyHooks: &auth.KeyHooks{Fetched: fetched}}
	for _, text := range []string{j.Issuer, j.KeysURL} {
		if strings.HasPrefix(text, "http://") && !j.AllowHTTP {
			return nil, fmt.Errorf("%q is not https; allow_http takes it, for trials on one machine only", mask(text))
		}
	}
	for _, text := range j.AllowNetworks {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network; want something like 10.0.0.0/8", text)
		}
		o.AllowNetworks = append(o.AllowNetworks, p)
	}
	if at, ok := closed(cmp.Or(j.KeysURL, j.Issuer)); ok && !slices.ContainsFunc(o.AllowNetworks, func(p netip.Prefix) bool { return p.Contains(at) }) {
		return nil, fmt.Errorf("%s is no public address, and keys are not fetched from there; name its network in allow_networks", at)
	}
	check, err := auth.NewJWT([]auth.Issuer{{URL: j.Issuer, KeysURL: j.KeysURL, Audiences: j.Audiences, Algorithms: j.Algorithms, AcceptJWT: j.AcceptJWT}}, o)
	if err != nil {
		return nil, err
	}
	return &provider{Authenticator: check, config: c, refresh: check.Run, health: check.Health}, nil
}

// closed returns the address in a URL, if it is one and not public.
func closed(text string) (netip.Addr, bool) {
	u, err := url.Parse(text)
	if err != nil {
		return netip.Addr{}, false
	}
	at, err := netip.ParseAddr(u.Hostname())
	return at, err == nil && (at.IsLoopback() || at.IsPrivate())
}

func (k *APIKeys) provider(c Credential, log *slog.Logger) (*provider, error) {
	if k.File == "" {
		return nil, errors.New("api_keys has no file")
	}
	check, err := auth.NewKeys(auth.KeyFile(k.File), &auth.KeyOptions{Header: k.Header, Prefix: k.Prefix, Reloaded: func(_ context.Context, _ int, err error) {
		if err != nil {
			log.Error("a list of API keys cannot be read", "file", k.File, "error", err.Error())
		}
	}})
	if err != nil {
		return nil, err
	}
	return &provider{Authenticator: check, config: c, refresh: check.Run, health: check.Health}, nil
}

// begin keeps it fresh from now on.
func (p *provider) begin() {
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	if p.refresh != nil {
		p.running.Go(func() { _ = p.refresh(ctx) }) // it ends with the context only
	}
}

// Close ends that.
func (p *provider) Close() error {
	if p.stop != nil {
		p.stop()
	}
	p.running.Wait()
	return nil
}

// guard returns a route's authentication and authorisation round a handler.
func (a *Access) guard(providers map[string]*provider, next http.Handler) (http.Handler, error) {
	var methods []auth.Authenticator
	for _, name := range a.By {
		methods = append(methods, providers[name])
	}
	hooks := &auth.Hooks{Refused: func(ctx context.Context, refusal *auth.Refusal) { arrivalOf(ctx).because(refusal) }}
	o := &auth.Options{Anonymous: a.Anonymous, StripCredential: a.StripCredential, Hooks: hooks}
	guard, err := auth.New(methods, o)
	if err != nil {
		return nil, err
	}
	if len(a.Scopes)+len(a.AnyScope)+len(a.When) > 0 {
		rule := auth.Rule{AllScopes: a.Scopes, AnyScopes: a.AnyScope}
		for _, text := range a.When {
			c, err := condition.New(text, &condition.Options{Client: clientOf})
			if err != nil {
				return nil, err
			}
			rule.Conditions = append(rule.Conditions, c)
		}
		policy, err := auth.NewPolicy(rule, &auth.Options{Hooks: hooks})
		if err != nil {
			return nil, err
		}
		next = policy.Wrap(next)
	}
	return guard.Wrap(next), nil
}

// clientOf returns the address of who sent a request, for conditions; "": nobody
// can say.
func clientOf(r *http.Request) string {
	if a, known := arrivalOf(r.Context()).client.known(); known {
		return a.String()
	}
	return ""
}

// identityHeaders are all that some route forwards an identity in.
func (c *Config) identityHeaders() []string {
	var names []string
	for i := range c.Routes {
		if a := c.Routes[i].Auth; a != nil {
			for name := range a.Forward {
				names = append(names, http.CanonicalHeaderKey(name))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// forwarding sets the headers of a route's identity, and removes those of every
// route from what a client sent. Who has a value that cannot be told goes no further.
func (a *Access) forwarding(all []string, next http.Handler) (http.Handler, error) {
	if len(all) == 0 {
		return next, nil
	}
	var headers []auth.Header
	if a != nil {
		for name, from := range a.Forward {
			headers = append(headers, auth.Header{Name: name, From: from})
		}
	}
	f, err := auth.NewForwarder(headers, &auth.ForwardOptions{Remove: all, Omitted: func(r *http.Request, name string) { arrivalOf(r.Context()).untold = name }})
	if err != nil {
		return nil, err
	}
	return f.Wrap(told(next)), nil
}

// told refuses who cannot be forwarded whole.
func told(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := arrivalOf(r.Context()); a.untold != "" {
			a.because(fmt.Errorf("auth.forward: the identity's value for %s fits in no header", a.untold))
			Problem(w, http.StatusForbidden, "this credential cannot be passed on")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// checkAccess reports what is wrong with credentials and who may use routes.
func (c *Config) checkAccess(found *mistakes) {
	providers := map[string]*provider{}
	before := len(*found)
	for name, credential := range c.Credentials {
		p, err := credential.provider(slog.New(slog.DiscardHandler))
		checkPolicies("$.credentials."+name, err, found)
		providers[name] = p
	}
	if len(*found) > before {
		return // what follows from it would only confuse
	}
	for i := range c.Routes {
		a, path := c.Routes[i].Auth, fmt.Sprintf("$.routes[%d].auth", i)
		if a == nil {
			continue
		}
		if len(a.By) == 0 {
			found.add(path, `auth has no "by"; it names credentials`)
			continue
		}
		unknown := false
		for _, name := range a.By {
			if _, ok := c.Credentials[name]; !ok {
				found.add(path+".by", "there is no credential %q%s", name, suggest(name, c.Credentials))
				unknown = true
			}
		}
		if unknown {
			continue
		}
		next := http.NotFoundHandler()
		_, err := a.guard(providers, next)
		checkPolicies(path, err, found)
		_, err = a.forwarding(c.identityHeaders(), next)
		checkPolicies(path, err, found)
	}
}

// ready is how long the first keys of a new configuration may take to come,
// before it is used without.
const ready = 2 * time.Second

// await waits until credentials can be checked, for a short time: an issuer that
// is down must not keep a gateway from starting. It returns what is wrong then.
func (p *provider) await(ctx context.Context) error {
	if p.health == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ready)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.health(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
