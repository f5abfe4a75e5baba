package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxKeys bounds a key set; issuers publish two to ten.
	maxKeys = 100
	// RSA keys below are broken (RFC 7518 §3.3), above cost too much to use.
	minRSA, maxRSA = 2048, 8192
)

// algorithms is the allow-list of an issuer.
type algorithms []jose.SignatureAlgorithm

func (a algorithms) has(alg jose.SignatureAlgorithm) bool { return slices.Contains(a, alg) }

// asymmetric are the algorithms that can be allowed. "none" and HMAC are no
// members: a verifier that knows an HMAC secret can also sign, and a public key
// taken for a secret is the oldest attack on JWT (RFC 8725 §2.1).
func asymmetric() algorithms {
	return algorithms{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

// key is one public key of an issuer, with what it may be used for.
type key struct {
	kid    string
	algs   algorithms
	public crypto.PublicKey
	print  [32]byte // RFC 7638 thumbprint
	// live turns false when the issuer no longer publishes the key. Verified
	// tokens point to the key, so all of them end with one store.
	live atomic.Bool
}

// snapshot is a key set at a time. It is immutable.
type snapshot struct {
	keys    []*key
	fetched time.Time
}

// candidates are the keys that may have signed a token: those with its kid, or
// all where it has none, that are meant for its algorithm (RFC 8725 §3.1).
func (s *snapshot) candidates(kid string, alg jose.SignatureAlgorithm) []*key {
	var out []*key
	for _, k := range s.keys {
		if (kid == "" || k.kid == kid) && k.algs.has(alg) {
			out = append(out, k)
		}
	}
	return out
}

// knows reports whether the set has a key with the id, usable for it or not.
func (s *snapshot) knows(kid string) bool {
	return slices.ContainsFunc(s.keys, func(k *key) bool { return k.kid == kid })
}

// jwk holds the members of a key that are used. Everything else, private parts,
// certificates and addresses of certificates among it, never reaches go-jose: a
// key with a certificate that does not parse is a good key nevertheless.
type jwk struct {
	Kty string   `json:"kty"`
	Crv string   `json:"crv,omitempty"`
	X   string   `json:"x,omitempty"`
	Y   string   `json:"y,omitempty"`
	N   string   `json:"n,omitempty"`
	E   string   `json:"e,omitempty"`
	Kid string   `json:"kid,omitempty"`
	Alg string   `json:"alg,omitempty"`
	Use string   `json:"use,omitempty"`
	Ops []string `json:"key_ops,omitempty"`
	D   any      `json:"d,omitempty"`
	K   any      `json:"k,omitempty"`
}

// parseKeys reads a JWK Set (RFC 7517 §5). A key that cannot be used is left out
// and reported; the set is refused only when it is none. A set that is empty is
// what the issuer says, and obeyed.
func parseKeys(data []byte, allowed algorithms, ignored func(kid, reason string)) ([]*key, error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil || set.Keys == nil {
		return nil, errors.New("the answer is no JWK Set")
	}
	if len(*set.Keys) > maxKeys {
		return nil, fmt.Errorf("the JWK Set has more than %d keys", maxKeys)
	}
	var keys []*key
	for _, raw := range *set.Keys {
		var j jwk
		if err := json.Unmarshal(raw, &j); err != nil {
			ignored("", "not a JWK")
			continue
		}
		k, reason := parseKey(j, allowed)
		if reason != "" {
			ignored(shortKid(j.Kid), reason)
			continue
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func parseKey(j jwk, allowed algorithms) (*key, string) {
	switch {
	case j.D != nil || j.K != nil || j.Kty == "oct":
		return nil, "it is a secret key, and published"
	case j.Use != "" && j.Use != "sig":
		return nil, "its use is not sig"
	case j.Ops != nil && !slices.Contains(j.Ops, "verify"):
		return nil, "its key_ops lack verify"
	}
	data, err := json.Marshal(jwk{Kty: j.Kty, Crv: j.Crv, X: j.X, Y: j.Y, N: j.N, E: j.E})
	if err != nil {
		return nil, "not a JWK"
	}
	var parsed jose.JSONWebKey
	if err := parsed.UnmarshalJSON(data); err != nil || !parsed.Valid() {
		return nil, "its type or its members are not understood"
	}
	print, err := parsed.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, "it has no thumbprint"
	}
	fits, reason := fitting(parsed.Key)
	if reason != "" {
		return nil, reason
	}
	k := &key{kid: j.Kid, public: parsed.Key, print: [32]byte(print)}
	for _, alg := range fits {
		if allowed.has(alg) && (j.Alg == "" || j.Alg == string(alg)) {
			k.algs = append(k.algs, alg)
		}
	}
	if len(k.algs) == 0 {
		return nil, "none of its algorithms is allowed"
	}
	k.live.Store(true)
	return k, ""
}

// fitting lists the algorithms that a type of key can be used with.
func fitting(public crypto.PublicKey) (algorithms, string) {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n < minRSA || n > maxRSA || p.E < 3 || p.E%2 == 0 {
			return nil, "its RSA parameters are too weak or too large"
		}
		return algorithms{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}, ""
	case *ecdsa.PublicKey:
		switch p.Curve {
		case elliptic.P256():
			return algorithms{jose.ES256}, ""
		case elliptic.P384():
			return algorithms{jose.ES384}, ""
		case elliptic.P521():
			return algorithms{jose.ES512}, ""
		}
	case ed25519.PublicKey:
		return algorithms{jose.EdDSA}, ""
	}
	return nil, "its type is not understood"
}

// succeed makes the next snapshot: keys that are still published keep their
// identity, and with them the tokens they verified; the others end.
func (s *snapshot) succeed(keys []*key, now time.Time) *snapshot {
	next := &snapshot{keys: keys, fetched: now}
	if s == nil {
		return next
	}
	for _, old := range s.keys {
		i := slices.IndexFunc(keys, old.same)
		if i >= 0 {
			keys[i] = old
		} else {
			old.live.Store(false)
		}
	}
	return next
}

func (k *key) same(other *key) bool {
	return k.kid == other.kid && bytes.Equal(k.print[:], other.print[:]) && slices.Equal(k.algs, other.algs)
}

// shortKid makes a key id fit for a log.
func shortKid(kid string) string {
	if len(kid) > 64 {
		kid = kid[:64]
	}
	return strings.ToValidUTF8(kid, "?")
}
