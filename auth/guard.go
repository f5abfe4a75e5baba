package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/banyanhq/banyan"
)

// Authenticator checks one kind of credential. [JWT], [Keys] and [Certificates]
// are the ones of this package. All methods may be called concurrently.
type Authenticator interface {
	// Carrier says how the credential travels. It never changes.
	Carrier() Carrier
	// Present reports whether the request carries a credential of this kind,
	// valid or not. It must be cheap and must not block.
	Present(r *http.Request) bool
	// Authenticate checks the credential of a request for which Present is true.
	// An error that is no *Refusal is answered with 503: what cannot be checked
	// is not let in.
	Authenticate(r *http.Request) (Identity, error)
}

// Carrier says how a kind of credential travels.
type Carrier struct {
	// Method is the kind of credential.
	Method Method
	// Challenge is the scheme that WWW-Authenticate names in a 401.
	Challenge string
	// Header is the request header that holds it, in canonical form. Empty: it is
	// part of the connection, as a client certificate is.
	Header string
}

// Hooks hear what happens, for logs and metrics. Each may be nil; they are called
// in the request's goroutine and must not block.
type Hooks struct {
	// Accepted is called with each identity that a credential proved. Its claims
	// may be personal data; Identity.Key is enough for a log.
	Accepted func(ctx context.Context, id Identity)
	// Refused is called with each refusal. Neither its text nor its fields hold
	// anything of the credential.
	Refused func(ctx context.Context, refusal *Refusal)
}

func (h *Hooks) accepted(ctx context.Context, id Identity) {
	if h != nil && h.Accepted != nil {
		h.Accepted(ctx, id)
	}
}

func (h *Hooks) refused(ctx context.Context, r *Refusal) {
	if h != nil && h.Refused != nil {
		h.Refused(ctx, r)
	}
}

// Options of a Guard and of a Policy.
type Options struct {
	// Anonymous lets requests without any credential through, without an
	// identity; a credential that is present must be valid all the same. It has no
	// meaning for a Policy. Default: they are refused with 401.
	Anonymous bool
	// Realm is named in the challenges. Default: none.
	Realm string
	// StripCredential removes the headers that credentials of the methods travel in
	// before the next handler sees the request, also that of one that was not looked
	// at because a client certificate decided. Default: they stay.
	StripCredential bool
	// Hooks hear what happens. Default: nothing does.
	Hooks *Hooks
}

func (o *Options) withDefaults() (Options, error) {
	if o == nil {
		return Options{}, nil
	}
	for _, c := range []byte(o.Realm) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return Options{}, errors.New("the realm has a character that does not fit between quotes")
		}
	}
	return *o, nil
}

// Guard is the authentication of a route.
type Guard struct {
	methods    []Authenticator
	carriers   []Carrier // of the methods
	challenges []string
	opts       Options
}

// New makes a Guard of one or more kinds of credentials. The first that a request
// carries decides. A request that carries two in its headers is refused with 400
// (RFC 6750 §2: not more than one method in a request), as is one that repeats
// the header of one. A client certificate belongs to the connection and so is no
// second credential: list it first where it shall win over a token, last where
// the token shall.
func New(methods []Authenticator, o *Options) (*Guard, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("auth: new guard: %w: %w", banyan.ErrInvalid, err)
	}
	if len(methods) == 0 {
		return nil, fmt.Errorf("auth: new guard: %w: no method", banyan.ErrInvalid)
	}
	g := &Guard{methods: methods, opts: opts}
	seen := map[string]bool{}
	for _, m := range methods {
		c := m.Carrier()
		if c.Header != "" && seen[c.Header] {
			return nil, fmt.Errorf("auth: new guard: %w: two methods read the header %s", banyan.ErrInvalid, c.Header)
		}
		seen[c.Header] = true
		g.carriers = append(g.carriers, c)
		g.challenges = append(g.challenges, c.Challenge)
	}
	return g, nil
}

// Wrap is the middleware: it lets requests with a valid credential through, with
// the identity in their context, and answers the others.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, carrier, refusal := g.check(r)
		if refusal != nil {
			g.opts.Hooks.refused(r.Context(), refusal)
			refusal.answer(w, g.opts.Realm, g.challengesOf(refusal, carrier))
			return
		}
		if carrier == nil { // anonymous
			next.ServeHTTP(w, r)
			return
		}
		g.opts.Hooks.accepted(r.Context(), id)
		next.ServeHTTP(w, g.pass(r, id))
	})
}

// check finds the credential and has it checked. No carrier: anonymous.
func (g *Guard) check(r *http.Request) (Identity, *Carrier, *Refusal) {
	method, carrier, refusal := g.find(r)
	if refusal != nil || method == nil {
		return Identity{}, nil, refusal
	}
	id, err := method.Authenticate(r)
	if err != nil {
		return Identity{}, carrier, refusalOf(carrier.Method, err)
	}
	if carrier.Challenge == schemeBearer && tokenInForm(r) {
		return Identity{}, carrier, badRequest(carrier.Method, ReasonSeveral)
	}
	return id, carrier, nil
}

func (g *Guard) find(r *http.Request) (Authenticator, *Carrier, *Refusal) {
	var found Authenticator
	var carrier *Carrier
	inHeaders, bearer := 0, false
	for i, m := range g.methods {
		c := &g.carriers[i]
		if c.Header != "" && len(r.Header[c.Header]) > 1 {
			return nil, nil, badRequest(c.Method, ReasonSeveral)
		}
		if !m.Present(r) {
			continue
		}
		if c.Header != "" {
			inHeaders++
		}
		bearer = bearer || c.Challenge == schemeBearer
		if found == nil {
			found, carrier = m, c
		}
	}
	if inHeaders > 1 || (bearer && tokenInQuery(r.URL.RawQuery)) {
		return nil, nil, badRequest("", ReasonSeveral)
	}
	if found == nil && !g.opts.Anonymous {
		return nil, nil, &Refusal{Reason: ReasonMissing, Status: http.StatusUnauthorized}
	}
	return found, carrier, nil
}

// challengesOf names every method where none was used, and else only the one
// that failed, and none where a new credential would not help.
func (g *Guard) challengesOf(r *Refusal, c *Carrier) []string {
	switch {
	case r.Status == http.StatusServiceUnavailable, r.Status == http.StatusForbidden && r.Code == "":
		return nil
	case c != nil:
		return []string{c.Challenge}
	}
	return g.challenges
}

func (g *Guard) pass(r *http.Request, id Identity) *http.Request {
	r = r.WithContext(With(r.Context(), id))
	if g.opts.StripCredential {
		r.Header = g.withoutCredentials(r.Header)
	}
	return r
}

// withoutCredentials copies the headers, because the caller of a middleware may
// still look at its own.
func (g *Guard) withoutCredentials(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		if !slices.ContainsFunc(g.carriers, func(c Carrier) bool { return sameHeader(name, c.Header) }) {
			out[name] = values
		}
	}
	return out
}

// sameHeader compares as the sloppiest receiver does: CGI, WSGI and PHP turn
// every character that is no letter or digit into an underscore and all letters
// into capitals, so X_User, x-user and X.User are one name to them.
func sameHeader(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if foldHeader(a[i]) != foldHeader(b[i]) {
			return false
		}
	}
	return true
}

func foldHeader(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}

// canonicalHeader checks the name of a header and returns its canonical form.
func canonicalHeader(name string) (string, bool) {
	valid := name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return c > '~' || (foldHeader(byte(c)) == '-' && c != '-')
	})
	return http.CanonicalHeaderKey(name), valid
}
