package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"math"
	"slices"
	"strings"
	"time"
)

// verify does everything but the comparison with the connection.
func (v *JWT) verify(ctx context.Context, token string) (*verified, *Refusal) {
	if len(token) > v.opts.MaxToken {
		return nil, refuse(MethodJWT, ReasonTooLarge)
	}
	name := digest(token)
	if known := v.cache.get(name); known != nil {
		if _, err := known.set.usable(ctx); err == nil && known.key.live.Load() {
			return known, nil
		}
	}
	if !shape(token) {
		return nil, refuse(MethodJWT, ReasonMalformed)
	}
	p, reason := parse(token)
	if reason != "" {
		return nil, refuse(MethodJWT, reason)
	}
	set := v.sets[p.claims.text("iss")]
	if set == nil {
		return nil, refuse(MethodJWT, ReasonIssuer)
	}
	if !set.algs.has(p.alg) { // "none" is in none
		return nil, refuse(MethodJWT, ReasonAlgorithm)
	}
	id, bound, reason := set.issuer.accept(p, v.opts.Leeway)
	if reason != "" {
		// Before the signature, because it costs less: an expired or misdirected
		// token, which is most of what is refused, causes no fetch either.
		return nil, refuse(MethodJWT, reason)
	}
	signer, refusal := set.signer(ctx, token, p)
	if refusal != nil {
		return nil, refusal
	}
	result := &verified{id: id, key: signer, set: set, bound: bound}
	v.cache.put(name, result)
	return result, nil
}

// signer finds the key that signed the token. One that is not known is looked for
// at the issuer, as is a signature without a key id that no known key made.
func (s *keySet) signer(ctx context.Context, token string, p parsed) (*key, *Refusal) {
	began := time.Now()
	snap, err := s.usable(ctx)
	if err != nil {
		return nil, unavailable(MethodJWT, err)
	}
	k, err := verifySignature(token, p.alg, snap.candidates(p.kid, p.alg))
	if err == nil {
		return k, nil
	}
	if p.kid != "" && snap.knows(p.kid) {
		return nil, refuse(MethodJWT, ReasonSignature)
	}
	if !snap.fetched.Before(began) {
		return nil, refuse(MethodJWT, ReasonKey) // fetched for this very request
	}
	found := func(now *snapshot) bool {
		if p.kid != "" && !now.knows(p.kid) {
			return false
		}
		k, err = verifySignature(token, p.alg, now.candidates(p.kid, p.alg))
		return err == nil
	}
	switch ok, fetchErr := s.learn(ctx, found); {
	case ok:
		return k, nil
	case ctx.Err() != nil:
		return nil, unavailable(MethodJWT, ctx.Err())
	case fetchErr != nil && !errors.Is(fetchErr, errCooling):
		return nil, unavailable(MethodJWT, fetchErr) // nobody knows whether it is good
	}
	return nil, refuse(MethodJWT, ReasonKey)
}

// accept checks the claims (RFC 7519 §4.1, RFC 9068 §4, RFC 8725 §3.8–3.12) and
// makes the identity. bound is the certificate that the token is bound to.
func (i Issuer) accept(p parsed, leeway time.Duration) (id Identity, bound string, reason Reason) {
	c := p.claims
	if !i.accessToken(p.typ, c) {
		return id, "", ReasonType
	}
	if !i.forUs(c.m["aud"]) {
		return id, "", ReasonAudience
	}
	expires, reason := timely(c, time.Now(), leeway)
	if reason != "" {
		return id, "", reason
	}
	subject := c.text("sub")
	if !plain(subject) {
		return id, "", ReasonSubject
	}
	scopes, ok := scopeClaims(c)
	if !ok {
		return id, "", ReasonScopeClaim
	}
	if bound, ok = binding(c); !ok {
		return id, "", ReasonBinding
	}
	client := c.text("client_id")
	if client == "" {
		client = c.text("azp")
	}
	return Identity{
		Method: MethodJWT, Subject: subject, Issuer: i.URL, ClientID: client,
		Tenant: c.text(i.TenantClaim), Scopes: scopes, Claims: c, Expires: expires,
	}, bound, ""
}

// accessToken tells access tokens from the others that an issuer signs with the
// same keys (RFC 8725 §3.11, RFC 9068 §4).
func (i Issuer) accessToken(typ string, c Claims) bool {
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "at+jwt":
		return true
	case "jwt", "":
		return i.AcceptJWT && !otherToken(c)
	}
	return false
}

// otherToken knows ID tokens by the claims that only they have (OpenID Connect
// Core §2, §3.3.2.11), logout and event tokens by theirs (RFC 8417), and those of
// issuers that say it in a claim (Keycloak: typ; Cognito: token_use).
func otherToken(c Claims) bool {
	for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events", "toe"} {
		if c.has(name) {
			return true
		}
	}
	if c.has("typ") && !strings.EqualFold(c.text("typ"), "Bearer") && !strings.EqualFold(c.text("typ"), "at+jwt") {
		return true
	}
	return c.has("token_use") && c.text("token_use") != "access"
}

// forUs: aud is a string or a list of strings and names one of the audiences.
func (i Issuer) forUs(aud any) bool {
	if one, ok := aud.(string); ok {
		return slices.Contains(i.Audiences, one)
	}
	list, ok := texts(aud)
	return ok && slices.ContainsFunc(list, func(a string) bool { return slices.Contains(i.Audiences, a) })
}

// timely checks exp, which must be there, nbf and iat, which may. A token is dead
// at exp, not after it (RFC 7519 §4.1.4).
func timely(c Claims, now time.Time, leeway time.Duration) (time.Time, Reason) {
	expires, ok := numericDate(c.m["exp"])
	if !ok {
		return time.Time{}, ReasonTime
	}
	if !now.Before(expires.Add(leeway)) {
		return time.Time{}, ReasonExpired
	}
	for _, name := range []string{"nbf", "iat"} {
		if !c.has(name) {
			continue
		}
		from, ok := numericDate(c.m[name])
		if !ok {
			return time.Time{}, ReasonTime
		}
		if now.Add(leeway).Before(from) {
			return time.Time{}, ReasonEarly
		}
	}
	return expires, ""
}

// numericDate reads a NumericDate (RFC 7519 §2). Dates after the year 9999 are
// mistakes, and overflow somewhere.
func numericDate(v any) (time.Time, bool) {
	const last = 253402300799
	switch n := v.(type) {
	case int64:
		return time.Unix(n, 0), n >= 0 && n <= last
	case float64:
		whole, part := math.Modf(n)
		return time.Unix(int64(whole), int64(part*1e9)), n >= 0 && n <= last
	}
	return time.Time{}, false
}

// plain: a name that fits in a log line and a header, and is not endless.
func plain(s string) bool {
	return s != "" && len(s) <= 1024 && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || 0x7f <= r && r < 0xa0
	})
}

// scopeClaims joins scope (RFC 9068 §2.2.3, a string) and scp, as some issuers
// call it; both also as lists.
func scopeClaims(c Claims) (Scopes, bool) {
	var all []string
	for _, name := range []string{"scope", "scp"} {
		v, ok := c.m[name]
		if !ok {
			continue
		}
		if one, ok := v.(string); ok {
			all = append(all, strings.Fields(one)...)
			continue
		}
		list, ok := texts(v)
		if !ok {
			return "", false
		}
		all = append(all, list...)
	}
	return scopesOf(all)
}

// texts returns a list of strings.
func texts(v any) ([]string, bool) {
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	out := make([]string, len(list))
	for i, e := range list {
		if out[i], ok = e.(string); !ok {
			return nil, false
		}
	}
	return out, true
}

// binding reads cnf (RFC 7800). A token that is bound to a certificate is checked
// against the connection; any other binding cannot be checked here, and without
// the check a stolen token would be as good as an unbound one (RFC 9449 §7.2).
func binding(c Claims) (string, bool) {
	v, ok := c.m["cnf"]
	if !ok {
		return "", true
	}
	object, _ := v.(map[string]any)
	print, _ := object["x5t#S256"].(string)
	return print, len(object) == 1 && print != ""
}

// boundTo reports whether the client certificate has the thumbprint (RFC 8705 §3.1).
func boundTo(state *tls.ConnectionState, print string) bool {
	if state == nil || len(state.PeerCertificates) == 0 {
		return false
	}
	sum := sha256.Sum256(state.PeerCertificates[0].Raw)
	have := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(have), []byte(print)) == 1
}
