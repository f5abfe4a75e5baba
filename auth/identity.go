package auth

import (
	"context"
	"iter"
	"net/url"
	"strings"
	"time"
)

// Method is the kind of credential that proved an identity.
type Method string

// The methods of this package.
const (
	MethodJWT         Method = "jwt"
	MethodKey         Method = "key"
	MethodCertificate Method = "certificate"
)

// Identity is who sent a request, as far as a credential proved it. It is
// immutable all the way down and so may be shared between requests.
type Identity struct {
	// Method is the kind of credential.
	Method Method
	// Subject is the sub claim, the owner of an API key, or the SPIFFE id or DNS
	// name of a certificate.
	Subject string
	// Issuer is who vouches for Subject: the iss claim, or the trust domain of a
	// SPIFFE id. Empty for API keys and DNS names.
	Issuer string
	// ClientID is the application that acts: the client_id or azp claim, or the
	// id of the API key. It is public, not a secret.
	ClientID string
	// Tenant is the customer that Subject belongs to, if the issuer says so.
	Tenant string
	// Scopes were granted to the client.
	Scopes Scopes
	// Claims are all claims of the token, or those written beside the API key.
	Claims Claims
	// Expires is when the credential ends. Zero: it does not say.
	Expires time.Time
}

// Key names the identity for rate limits and rollouts: the same for every
// credential of the same method, issuer and subject, different for any two that
// differ in one of them, whatever characters they contain. It changes neither
// with time nor with versions of Banyan.
func (id Identity) Key() string {
	return string(id.Method) + "|" + url.QueryEscape(id.Issuer) + "|" + url.QueryEscape(id.Subject)
}

// contextKey is how the identity is found in a context.
type contextKey struct{}

// With returns a context that carries an identity. Middleware of other packages
// and tests use it; Guard does it for every request it lets through.
func With(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, &id)
}

// From returns the identity of a request, and false for an anonymous one.
func From(ctx context.Context) (Identity, bool) {
	id, ok := ctx.Value(contextKey{}).(*Identity)
	if !ok {
		return Identity{}, false
	}
	return *id, true
}

// Scopes is a list of scopes, separated by single spaces (RFC 6749 §3.3).
type Scopes string

// Has reports whether the list contains the scope, exactly.
func (s Scopes) Has(scope string) bool {
	if scope == "" {
		return false
	}
	for one := range s.All() {
		if one == scope {
			return true
		}
	}
	return false
}

// All iterates over the scopes.
func (s Scopes) All() iter.Seq[string] { return strings.FieldsSeq(string(s)) }

// scopesOf joins scopes, and refuses what cannot be one.
func scopesOf(list []string) (Scopes, bool) {
	for _, one := range list {
		if !validScope(one) {
			return "", false
		}
	}
	return Scopes(strings.Join(list, " ")), true
}

// validScope is the scope-token of RFC 6749 §3.3. A quote or a backslash in a
// scope would break out of the challenge that names it.
func validScope(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}
