package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxHeader bounds the encoded header of a token: real ones take 100 bytes.
	maxHeader = 4 << 10
	// maxSignature bounds the encoded signature: RSA with 8192 bits takes 1366.
	maxSignature = 2 << 10
	// maxTries bounds the keys that a token without a key id is tried with.
	maxTries = 8
)

// parsed is a token before its signature was checked: believe nothing in it.
type parsed struct {
	alg    jose.SignatureAlgorithm
	kid    string
	typ    string
	claims Claims
}

// shape checks what needs no parsing: dots, alphabet, and the length of the parts.
// It costs one pass, whatever was sent (CVE-2025-27144: a token of dots only).
func shape(token string) bool {
	first := strings.IndexByte(token, '.')
	last := strings.LastIndexByte(token, '.')
	if first <= 0 || first == last || first > maxHeader || len(token)-last > maxSignature {
		return false
	}
	for i := range len(token) {
		if c := token[i]; !base64url(c) && (c != '.' || i != first && i != last) {
			return false
		}
	}
	return true
}

func base64url(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// parse reads header and claims of a token that has the right shape.
func parse(token string) (parsed, Reason) {
	head, rest, _ := strings.Cut(token, ".")
	body, signature, _ := strings.Cut(rest, ".")
	p, reason := parseHeader(head)
	if reason != "" {
		return parsed{}, reason
	}
	payload, err := strict().DecodeString(body)
	if err != nil {
		return parsed{}, ReasonMalformed
	}
	if _, err := strict().DecodeString(signature); err != nil {
		return parsed{}, ReasonMalformed
	}
	p.claims, reason = decodeClaims(payload)
	return p, reason
}

// strict refuses bits that are decoded to nothing: with them one token has four
// spellings, and a list of revoked tokens knows one.
func strict() *base64.Encoding { return base64.RawURLEncoding.Strict() }

// parseHeader reads what of the header decides. Of the members that name a key
// (jku, jwk, x5u, x5c: RFC 7515 §4.1.2–4.1.6) none is looked at: keys come from
// the issuer's configuration only (RFC 8725 §3.10). Extensions that must be
// understood are not understood (§4.1.11), nor are unencoded payloads (RFC 7797).
func parseHeader(encoded string) (parsed, Reason) {
	data, err := strict().DecodeString(encoded)
	if err != nil {
		return parsed{}, ReasonMalformed
	}
	h, reason := decodeClaims(data) // the same rules: one object, no name twice
	if reason != "" {
		return parsed{}, reason
	}
	if h.has("crit") || h.has("b64") {
		return parsed{}, ReasonCritical
	}
	if h.has("enc") || h.has("zip") {
		return parsed{}, ReasonAlgorithm // encrypted, whatever alg says
	}
	for _, name := range []string{"alg", "kid", "typ"} {
		if v, ok := h.m[name]; ok && !isText(v) {
			return parsed{}, ReasonMalformed
		}
	}
	return parsed{alg: jose.SignatureAlgorithm(h.text("alg")), kid: h.text("kid"), typ: h.text("typ")}, ""
}

func isText(v any) bool {
	_, ok := v.(string)
	return ok
}

// errSignature says that no key made the signature.
var errSignature = errors.New("signature does not match")

// verifySignature has go-jose check the signature with each of the keys. go-jose
// parses a key or certificate that is embedded in the header (and refuses the
// token when it cannot), but verifies with the key it is given.
func verifySignature(token string, alg jose.SignatureAlgorithm, keys []*key) (*key, error) {
	if len(keys) == 0 {
		return nil, errSignature
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{alg})
	if err != nil {
		return nil, errSignature
	}
	for _, k := range keys[:min(len(keys), maxTries)] {
		if _, err := jws.Verify(k.public); err == nil {
			return k, nil
		}
	}
	return nil, errSignature
}

// digest is the name of a token in the cache. Most tokens fit in the buffer, which
// stays on the stack.
func digest(token string) [sha256.Size]byte {
	var buf [2048]byte
	return sha256.Sum256(append(buf[:0], token...))
}
