package auth_test

import (
	"context"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/auth"
)

func TestEveryAlgorithm(t *testing.T) {
	t.Parallel()
	ps := newRSA(t, "ps")
	ps.alg = "PS256"
	all := []*signer{
		newRSA(t, "rsa"), ps, newEC(t, "ec"), newCurve(t, "ec384", elliptic.P384()),
		newCurve(t, "ec521", elliptic.P521()), newEd(t, "ed"),
	}
	v := verifier(t, &issuer{keys: all}, nil)
	for _, s := range all {
		id, err := v.Verify(t.Context(), s.token(claims()))
		if err != nil {
			t.Errorf("%s: %v", s.algorithm(), err)
			continue
		}
		if id.Subject != "ann" || id.Issuer != issuerURL || id.Method != auth.MethodJWT || id.ClientID != "web" || !id.Scopes.Has("orders:write") {
			t.Errorf("%s: identity %+v", s.algorithm(), id)
		}
	}
}

func TestGoodTokens(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	strict := verifier(t, &issuer{keys: []*signer{s}}, nil)
	lax := verifier(t, &issuer{keys: []*signer{s}}, func(i *auth.Issuer, _ *auth.JWTOptions) { i.AcceptJWT = true })
	now := time.Now().Unix()
	for name, c := range map[string]struct {
		v     *auth.JWT
		token string
	}{
		"aud is a list":             {strict, s.token(claims(object{"aud": []string{"x", audience}}))},
		"exp with a fraction":       {strict, s.token(claims(object{"exp": float64(now) + 60.5}))},
		"expired within the leeway": {strict, s.token(claims(object{"exp": now - 20}))},
		"nbf within the leeway":     {strict, s.token(claims(object{"nbf": now + 20}))},
		"typ with application":      {strict, s.tokenWith(object{"typ": "application/AT+JWT"}, claims())},
		"no kid":                    {strict, s.tokenWith(object{"kid": nil}, claims())},
		"no scope":                  {strict, s.token(claims(object{"scope": nil}))},
		"scp as a list":             {strict, s.token(claims(object{"scope": nil, "scp": []string{"a", "b"}}))},
		"typ JWT where allowed":     {lax, s.tokenWith(object{"typ": "JWT"}, claims())},
		"no typ where allowed":      {lax, s.tokenWith(object{"typ": nil}, claims())},
		"Keycloak's typ claim":      {lax, s.tokenWith(object{"typ": "JWT"}, claims(object{"typ": "Bearer"}))},
		// RFC 7515 §4.1.2–4.1.6: members that name a key are ignored.
		"jku, x5u, x5t": {strict, s.tokenWith(object{"jku": "https://evil.example", "x5u": "https://evil.example", "x5t": "abc"}, claims())},
	} {
		if _, err := c.v.Verify(t.Context(), c.token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// attack is a token that must be refused, with the rule that says so.
type attack struct {
	rule, name string
	token      string
	reason     auth.Reason
}

func attacks(t testing.TB, rs, ps, ec, ed, stranger *signer) []attack {
	t.Helper()
	now := time.Now().Unix()
	body := mustJSON(claims())
	raw := func(header string) string { return b64(header) + "." + b64(body) + "." + b64("x") }
	with := func(changes object) string { return ec.token(claims(changes)) }
	header := func(changes object) string { return ec.tokenWith(changes, claims()) }
	payload := func(text string) string { return ec.sign(`{"alg":"ES256","kid":"ec","typ":"at+jwt"}`, text) }
	good := ec.token(claims())
	parts := strings.Split(good, ".")
	// A claims object as text, for what encoding/json would not write.
	text := func(members string) string {
		return `{"iss":"` + issuerURL + `","sub":"ann","aud":"shop",` + members + `}`
	}
	public, err := x509.MarshalPKIXPublicKey(rs.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	hs := func(secret []byte) string {
		input := b64(`{"alg":"HS256","kid":"rs","typ":"at+jwt"}`) + "." + b64(body)
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(input))
		return input + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	}
	zero := parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64))
	order := elliptic.P256().Params().N
	atOrder := parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(append(order.FillBytes(make([]byte, 32)), order.FillBytes(make([]byte, 32))...))
	one := big.NewInt(1).FillBytes(make([]byte, 32))
	ones := parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(append(one, one...))
	der, err := x509.MarshalPKCS8PrivateKey(ec.private)
	if err != nil {
		t.Fatal(err)
	}
	embedded := mustJSON(stranger.jwk())
	psWithRS := &signer{kid: "ps", private: ps.private} // RS256 with the key whose JWK says PS256

	out := []attack{
		{"RFC 8725 §2.1", "alg none", b64(`{"alg":"none","typ":"at+jwt"}`) + "." + b64(body) + ".", auth.ReasonAlgorithm},
		{"RFC 8725 §2.1", "alg None", raw(`{"alg":"None","typ":"at+jwt"}`), auth.ReasonAlgorithm},
		{"RFC 8725 §2.1", "alg nOnE", raw(`{"alg":"nOnE","typ":"at+jwt"}`), auth.ReasonAlgorithm},
		{"RFC 8725 §2.1", "alg NONE with a good signature", header(object{"alg": "NONE"}), auth.ReasonAlgorithm},
		{"RFC 7515 §4.1.1", "no alg", header(object{"alg": nil}), auth.ReasonAlgorithm},
		{"RFC 7515 §4.1.1", "alg is a number", header(object{"alg": 1}), auth.ReasonMalformed},
		{"RFC 7515 §4.1.1", "alg is a list", header(object{"alg": []string{"ES256"}}), auth.ReasonMalformed},
		{"RFC 7515 §4.1.1", "alg in small letters", header(object{"alg": "es256"}), auth.ReasonAlgorithm},
		{"RFC 7515 §4.1.1", "ALG instead of alg", header(object{"alg": nil, "ALG": "ES256"}), auth.ReasonAlgorithm},
		{"RFC 8725 §3.2", "empty signature", parts[0] + "." + parts[1] + ".", auth.ReasonSignature},
		{"CVE-2015-9235", "HS256 with the public key in DER", hs(public), auth.ReasonAlgorithm},
		{"CVE-2016-5431", "HS256 with the public key in PEM", hs(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})), auth.ReasonAlgorithm},
		{"CVE-2016-10555", "HS256 with the modulus", hs(rs.private.Public().(*rsa.PublicKey).N.Bytes()), auth.ReasonAlgorithm},
		{"RFC 8725 §2.1", "HS256 with an empty secret", hs(nil), auth.ReasonAlgorithm},
		{"RFC 8725 §3.1", "RS256 with a key of ES256", rs.tokenWith(object{"kid": "ec"}, claims()), auth.ReasonSignature},
		{"RFC 8725 §3.1", "ES256 with a key of RS256", ec.tokenWith(object{"kid": "rs"}, claims()), auth.ReasonSignature},
		{"RFC 8725 §3.1", "EdDSA with a key of ES256", ed.tokenWith(object{"kid": "ec"}, claims()), auth.ReasonSignature},
		{"RFC 8725 §3.1", "RS256 with a key that says PS256", psWithRS.token(claims()), auth.ReasonSignature},
		{"RFC 8725 §3.1", "ES384 with a key on P-256", header(object{"alg": "ES384"}), auth.ReasonSignature},
		{"CVE-2022-21449", "ECDSA with r = s = 0", zero, auth.ReasonSignature},
		{"CVE-2022-21449", "ECDSA with r = s = n", atOrder, auth.ReasonSignature},
		{"CVE-2022-21449", "ECDSA with r = s = 1", ones, auth.ReasonSignature},
		{"RFC 7518 §3.4", "ECDSA signature in DER length", good + "AA", auth.ReasonSignature},
		{"RFC 7518 §3.4", "ECDSA signature cut", parts[0] + "." + parts[1] + "." + parts[2][:80], auth.ReasonSignature},
		{"RFC 8725 §3.3", "signed by a stranger with our kid", (&signer{kid: "ec", private: stranger.private}).token(claims()), auth.ReasonSignature},
		{"RFC 8725 §3.3", "payload changed", parts[0] + "." + b64(mustJSON(claims(object{"sub": "root"}))) + "." + parts[2], auth.ReasonSignature},
		{"RFC 8725 §3.3", "header changed", b64(`{"alg":"ES256","kid":"ec","typ":"at+jwt","x":1}`) + "." + parts[1] + "." + parts[2], auth.ReasonSignature},
		{"RFC 7515 §2", "signature in a second alphabet", strings.Replace(good[:len(good)-1]+"+", "-", "+", 1), auth.ReasonMalformed},
		{"RFC 4648 §3.5", "another spelling of the signature", good[:len(good)-1] + nextLetter(good[len(good)-1]), auth.ReasonMalformed},
		{"RFC 7515 §2", "padding", good + "==", auth.ReasonMalformed},
		{"RFC 7515 §2", "line break", parts[0] + "." + parts[1] + ".\n" + parts[2], auth.ReasonMalformed},
		{"RFC 7515 §2", "space inside", parts[0] + ". " + parts[1] + "." + parts[2], auth.ReasonMalformed},

		{"RFC 8725 §3.10", "kid of a path", stranger.tokenWith(object{"kid": "../../../../dev/null"}, claims()), auth.ReasonKey},
		{"RFC 8725 §3.10", "kid of SQL", stranger.tokenWith(object{"kid": "' OR 1=1 --"}, claims()), auth.ReasonKey},
		{"RFC 8725 §3.10", "kid with NUL", stranger.tokenWith(object{"kid": "ec\x00"}, claims()), auth.ReasonKey},
		{"RFC 8725 §3.10", "kid of 10 kB", stranger.tokenWith(object{"kid": strings.Repeat("k", 10_000)}, claims()), auth.ReasonMalformed},
		{"RFC 8725 §3.10", "kid of a command", stranger.tokenWith(object{"kid": "|/usr/bin/id"}, claims()), auth.ReasonKey},
		{"RFC 8725 §3.10", "kid of a URL", stranger.tokenWith(object{"kid": "https://evil.example/k"}, claims()), auth.ReasonKey},
		{"RFC 7515 §4.1.4", "kid is a number", header(object{"kid": 7}), auth.ReasonMalformed},
		{"RFC 7515 §4.1.4", "kid is null", ec.sign(`{"alg":"ES256","kid":null,"typ":"at+jwt"}`, body), auth.ReasonMalformed},
		{"RFC 7515 §4.1.4", "kid of another case", header(object{"kid": "EC"}), auth.ReasonKey},
		{"CVE-2018-0114", "key embedded as jwk", stranger.sign(`{"alg":"ES256","typ":"at+jwt","jwk":`+embedded+`}`, body), auth.ReasonKey},
		{"CVE-2018-0114", "key embedded, our kid", stranger.sign(`{"alg":"ES256","kid":"ec","typ":"at+jwt","jwk":`+embedded+`}`, body), auth.ReasonSignature},
		{"RFC 8725 §3.10", "jku", stranger.tokenWith(object{"jku": "https://evil.example/jwks"}, claims()), auth.ReasonKey},
		{"RFC 8725 §3.10", "x5u", stranger.tokenWith(object{"x5u": "http://169.254.169.254/"}, claims()), auth.ReasonKey},
		{"RFC 7515 §4.1.6", "x5c", stranger.tokenWith(object{"x5c": []string{base64.StdEncoding.EncodeToString(der)}}, claims()), auth.ReasonKey},
		{"RFC 7515 §4.1.11", "crit of an unknown extension", header(object{"crit": []string{"exp"}, "exp": 1}), auth.ReasonCritical},
		{"RFC 7515 §4.1.11", "crit empty", header(object{"crit": []string{}}), auth.ReasonCritical},
		{"RFC 7515 §4.1.11", "crit is no list", header(object{"crit": "b64"}), auth.ReasonCritical},
		{"RFC 7797 §6", "b64 false", header(object{"crit": []string{"b64"}, "b64": false}), auth.ReasonCritical},
		{"RFC 7797 §6", "b64 without crit", header(object{"b64": false}), auth.ReasonCritical},
		{"CVE-2024-28180", "JWE zip bomb", header(object{"enc": "A256GCM", "zip": "DEF"}), auth.ReasonAlgorithm},
		{"RFC 8725 §2.8", "alg of a JWE", header(object{"alg": "RSA-OAEP"}), auth.ReasonAlgorithm},
		{"RFC 8725 §2.2", "PBES2 with p2c 1e9", header(object{"alg": "PBES2-HS256+A128KW", "p2c": 1_000_000_000, "p2s": "AAAA"}), auth.ReasonAlgorithm},
		{"RFC 7515 §4", "alg twice in the header", ec.sign(`{"alg":"none","alg":"ES256","kid":"ec","typ":"at+jwt"}`, body), auth.ReasonMalformed},
		{"RFC 7515 §4", "kid twice, once escaped", ec.sign(`{"alg":"ES256","kid":"ec","k\u0069d":"ec","typ":"at+jwt"}`, body), auth.ReasonMalformed},

		{"RFC 8725 §3.11", "ID token: typ JWT", header(object{"typ": "JWT"}), auth.ReasonType},
		{"RFC 8725 §3.11", "no typ", header(object{"typ": nil}), auth.ReasonType},
		{"RFC 8725 §3.11", "typ is a number", header(object{"typ": 1}), auth.ReasonMalformed},
		{"OpenID Back-Channel §2.4", "logout token", header(object{"typ": "logout+jwt"}), auth.ReasonType},
		{"RFC 9449 §4.2", "DPoP proof", header(object{"typ": "dpop+jwt"}), auth.ReasonType},
		{"RFC 8417 §2.3", "security event token", header(object{"typ": "secevent+jwt"}), auth.ReasonType},
		{"RFC 8725 §3.8", "other issuer", with(object{"iss": "https://evil.example"}), auth.ReasonIssuer},
		{"RFC 8725 §3.8", "issuer with a slash more", with(object{"iss": issuerURL + "/"}), auth.ReasonIssuer},
		{"RFC 8725 §3.8", "issuer in capitals", with(object{"iss": strings.ToUpper(issuerURL)}), auth.ReasonIssuer},
		{"RFC 8725 §3.8", "issuer that begins like ours", with(object{"iss": issuerURL + ".evil.example"}), auth.ReasonIssuer},
		{"RFC 9068 §2.2", "no issuer", with(object{"iss": nil}), auth.ReasonIssuer},
		{"RFC 7519 §4.1.1", "issuer is a list", with(object{"iss": []string{issuerURL}}), auth.ReasonIssuer},
		{"RFC 8725 §3.9", "other audience", with(object{"aud": "billing"}), auth.ReasonAudience},
		{"RFC 8725 §3.9", "list of others", with(object{"aud": []string{"a", "b"}}), auth.ReasonAudience},
		{"RFC 8725 §3.9", "no audience", with(object{"aud": nil}), auth.ReasonAudience},
		{"RFC 8725 §3.9", "empty list", with(object{"aud": []string{}}), auth.ReasonAudience},
		{"RFC 8725 §3.9", "audience that begins like ours", with(object{"aud": "shopping"}), auth.ReasonAudience},
		{"RFC 7519 §4.1.3", "audience is a number", with(object{"aud": 7}), auth.ReasonAudience},
		{"RFC 7519 §4.1.3", "list with a number", with(object{"aud": []any{audience, 7}}), auth.ReasonAudience},
		{"RFC 7519 §4.1.3", "audience is an object", with(object{"aud": object{audience: true}}), auth.ReasonAudience},
		{"RFC 7519 §4.1.4", "expired", with(object{"exp": now - 31}), auth.ReasonExpired},
		{"RFC 7519 §4.1.4", "expired in 1970", with(object{"exp": 0}), auth.ReasonExpired},
		{"RFC 9068 §2.2", "no exp", with(object{"exp": nil}), auth.ReasonTime},
		{"RFC 7519 §2", "exp as a string", with(object{"exp": "9999999999"}), auth.ReasonTime},
		{"RFC 7519 §2", "exp null", payload(text(`"exp":null`)), auth.ReasonTime},
		{"RFC 7519 §2", "exp 1e400", payload(text(`"exp":1e400`)), auth.ReasonMalformed},
		{"RFC 7519 §2", "exp 1e300", payload(text(`"exp":1e300`)), auth.ReasonTime},
		{"RFC 7519 §2", "exp of 30 digits", payload(text(`"exp":999999999999999999999999999999`)), auth.ReasonTime},
		{"RFC 7519 §2", "exp negative", payload(text(`"exp":-1`)), auth.ReasonTime},
		{"RFC 7519 §2", "exp as a list", with(object{"exp": []int64{now + 60}}), auth.ReasonTime},
		{"RFC 7519 §4", "EXP instead of exp", payload(text(`"EXP":9999999999`)), auth.ReasonTime},
		{"RFC 7519 §4.1.5", "nbf in the future", with(object{"nbf": now + 60}), auth.ReasonEarly},
		{"RFC 7519 §4.1.5", "nbf as a string", with(object{"nbf": "1"}), auth.ReasonTime},
		{"RFC 7519 §4.1.5", "nbf that overflows", payload(text(`"exp":9999999999,"nbf":9223372036854775807`)), auth.ReasonTime},
		{"RFC 7519 §4.1.6", "iat in the future", with(object{"iat": now + 60}), auth.ReasonEarly},
		{"RFC 7519 §4.1.6", "iat null", payload(text(`"exp":9999999999,"iat":null`)), auth.ReasonTime},
		{"RFC 9068 §2.2", "no subject", with(object{"sub": nil}), auth.ReasonSubject},
		{"RFC 9068 §2.2", "subject empty", with(object{"sub": ""}), auth.ReasonSubject},
		{"RFC 7519 §4.1.2", "subject is a number", with(object{"sub": 7}), auth.ReasonSubject},
		{"CWE-117", "subject with a line break", with(object{"sub": "ann\nroot"}), auth.ReasonSubject},
		{"RFC 7519 §4", "sub twice", payload(text(`"exp":9999999999,"sub":"root"`)), auth.ReasonMalformed},
		{"RFC 7519 §4", "exp twice, once escaped", payload(text(`"exp":1,"\u0065xp":9999999999`)), auth.ReasonMalformed},
		{"RFC 8725 §3.10", "a name twice inside", payload(text(`"exp":9999999999,"a":{"r":1,"r":2}`)), auth.ReasonMalformed},
		{"RFC 6749 §3.3", "scope is a number", with(object{"scope": 7}), auth.ReasonScopeClaim},
		{"RFC 6749 §3.3", "scope with a quote", with(object{"scope": `a"b`}), auth.ReasonScopeClaim},
		{"RFC 6749 §3.3", "scope in a list with a space", with(object{"scp": []string{"orders:read admin"}}), auth.ReasonScopeClaim},
		{"RFC 9449 §7.2", "bound to a DPoP key", with(object{"cnf": object{"jkt": "abc"}}), auth.ReasonBinding},
		{"RFC 8705 §3", "bound to a certificate", with(object{"cnf": object{"x5t#S256": "abc"}}), auth.ReasonBinding},
		{"RFC 7800 §3", "cnf is no object", with(object{"cnf": "x"}), auth.ReasonBinding},
		{"RFC 7519 §7.2", "payload is a list", payload(`[]`), auth.ReasonMalformed},
		{"RFC 7519 §7.2", "payload is null", payload(`null`), auth.ReasonMalformed},
		{"RFC 7519 §7.2", "payload is nothing", payload(``), auth.ReasonMalformed},
		{"RFC 7519 §7.2", "two payloads", payload(body + `{}`), auth.ReasonMalformed},
		{"RFC 7519 §7.2", "brace after the payload", payload(body + `}`), auth.ReasonMalformed},
		{"RFC 8259 §8.1", "payload is no UTF-8", payload(text(`"exp":9999999999,"x":"` + "\xff" + `"`)), auth.ReasonMalformed},
		{"RFC 8259 §9", "payload nested deep", payload(text(`"exp":9999999999,"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000))), auth.ReasonMalformed},
		{"RFC 7519 §7.2", "nested JWT", ec.sign(`{"alg":"ES256","kid":"ec","typ":"at+jwt","cty":"JWT"}`, good), auth.ReasonMalformed},
		{"RFC 7515 §7.1", "one part", "abc", auth.ReasonMalformed},
		{"RFC 7515 §7.1", "two parts", parts[0] + "." + parts[1], auth.ReasonMalformed},
		{"RFC 7515 §7.1", "four parts", good + ".x", auth.ReasonMalformed},
		{"RFC 7516 §7.1", "five parts", good + ".x.y", auth.ReasonMalformed},
		{"RFC 7515 §7.2", "JSON serialisation", `{"payload":"` + parts[1] + `"}`, auth.ReasonMalformed},
		{"RFC 7515 §7.1", "empty", "", auth.ReasonMalformed},
		{"CVE-2025-27144", "dots only", strings.Repeat(".", 16_000), auth.ReasonMalformed},
		{"CVE-2025-27144", "100,000 dots", strings.Repeat(".", 100_000), auth.ReasonTooLarge},
		{"CWE-400", "1 MB", strings.Repeat("a", 1<<20), auth.ReasonTooLarge},
	}
	return out
}

// nextLetter is the letter whose value is one more: the last of a signature of 64
// bytes has four bits that count for nothing.
func nextLetter(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)+1:][:1]
}

func TestAttacks(t *testing.T) {
	t.Parallel()
	rs, ps, ec, ed, stranger := newRSA(t, "rs"), newRSA(t, "ps"), newEC(t, "ec"), newEd(t, "ed"), newEC(t, "evil")
	ps.alg = "PS256"
	list := attacks(t, rs, ps, ec, ed, stranger)
	if len(list) < 70 {
		t.Fatalf("%d cases", len(list))
	}
	for _, a := range list {
		t.Run(a.rule+" "+a.name, func(t *testing.T) {
			t.Parallel()
			is := &issuer{keys: []*signer{rs, ps, ec, ed}}
			v := verifier(t, is, nil)
			if _, err := v.Verify(t.Context(), ec.token(claims())); err != nil {
				t.Fatalf("the good token: %v", err)
			}
			_, err := v.Verify(t.Context(), a.token)
			if got := reasonOf(err); got != a.reason {
				t.Errorf("reason %q, want %q", got, a.reason)
			}
			if statusOf(err) != http.StatusUnauthorized || !errors.Is(err, banyan.ErrDenied) {
				t.Errorf("status %d, error %v", statusOf(err), err)
			}
			for _, u := range is.urls {
				if u != issuerURL+"/keys" {
					t.Errorf("fetched %s", u)
				}
			}
		})
	}
}

// T4: the attacks on time and memory cost neither.
func TestAttacksAreCheap(t *testing.T) {
	ec := newEC(t, "ec")
	v := verifier(t, &issuer{keys: []*signer{ec}}, nil)
	if _, err := v.Verify(t.Context(), ec.token(claims())); err != nil {
		t.Fatal(err)
	}
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	for name, token := range map[string]string{
		"1 MB":            strings.Repeat("a", 1<<20),
		"100,000 dots":    strings.Repeat(".", 100_000),
		"16,000 dots":     strings.Repeat(".", 16_000),
		"nested payload":  ec.sign(`{"alg":"ES256","kid":"ec","typ":"at+jwt"}`, `{"x":`+deep+`}`),
		"nested header":   ec.sign(`{"alg":"ES256","x":`+deep[:1000]+`}`, `{}`),
		"many digits":     ec.sign(`{"alg":"ES256","kid":"ec","typ":"at+jwt"}`, `{"exp":`+strings.Repeat("9", 10_000)+`}`),
		"many names":      ec.sign(`{"alg":"ES256","kid":"ec","typ":"at+jwt"}`, `{"a`+strings.Repeat(`":1,"a`, 1500)+`":1}`),
		"PBES2 p2c 1e9":   ec.tokenWith(object{"alg": "PBES2-HS512+A256KW", "p2c": 1e9}, claims()),
		"JWE of 16 KB":    b64(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`) + ".." + strings.Repeat("A", 15_000) + ".AAAA.AAAA",
		"large signature": strings.TrimSuffix(ec.token(claims()), "A") + strings.Repeat("A", 8000),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		best := time.Hour // of three: the machine is shared
		for range 3 {
			began := time.Now()
			if _, err := v.Verify(t.Context(), token); err == nil {
				t.Errorf("%s: accepted", name)
			}
			best = min(best, time.Since(began))
		}
		runtime.ReadMemStats(&after)
		if used := (after.TotalAlloc - before.TotalAlloc) / 3; best > 5*time.Millisecond || used > 1<<20 {
			t.Errorf("%s: %v, %d bytes", name, best, used)
		}
	}
}

func TestOtherTokensOfTheIssuer(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	v := verifier(t, &issuer{keys: []*signer{s}}, func(i *auth.Issuer, _ *auth.JWTOptions) { i.AcceptJWT = true })
	for name, change := range map[string]object{
		"ID token: nonce (OIDC Core §2)":          {"nonce": "n"},
		"ID token: at_hash (OIDC Core §3.3.2.11)": {"at_hash": "h"},
		"ID token: c_hash":                        {"c_hash": "h"},
		"event token (RFC 8417 §2.2)":             {"events": object{}},
		"Keycloak ID token":                       {"typ": "ID"},
		"Keycloak refresh token":                  {"typ": "Refresh"},
		"Keycloak offline token":                  {"typ": "Offline"},
		"Cognito ID token":                        {"token_use": "id"},
		"typ claim is a number":                   {"typ": 1},
	} {
		if _, err := v.Verify(t.Context(), s.tokenWith(object{"typ": "JWT"}, claims(change))); reasonOf(err) != auth.ReasonType {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysThatAreNotUsed(t *testing.T) {
	t.Parallel()
	ec, small := newEC(t, "ec"), must(rsa.GenerateKey(rand.Reader, 2048))
	public := mustJSON(ec.jwk())
	with := func(member string) string { return strings.TrimSuffix(public, "}") + "," + member + "}" }
	n := base64.RawURLEncoding.EncodeToString(small.N.Bytes()[:128])
	for name, key := range map[string]string{
		"use enc":                strings.Replace(public, `"sig"`, `"enc"`, 1),
		"key_ops sign":           with(`"key_ops":["sign"]`),
		"alg of another type":    with(`"alg":"RS256"`),
		"alg HS256":              with(`"alg":"HS256"`),
		"private part":           with(`"d":"AAAA"`),
		"oct":                    `{"kty":"oct","kid":"ec","k":"AAAA"}`,
		"RSA of 1024 bits":       `{"kty":"RSA","kid":"ec","e":"AQAB","n":"` + n + `"}`,
		"RSA with e = 1":         `{"kty":"RSA","kid":"ec","e":"AQ","n":"` + base64.RawURLEncoding.EncodeToString(small.N.Bytes()) + `"}`,
		"point not on the curve": strings.Replace(public, `"x":"`, `"x":"AAAA`, 1),
		"unknown type":           `{"kty":"AKP","kid":"ec"}`,
		"no object":              `7`,
	} {
		var reasons []string
		hooks := &auth.KeyHooks{Ignored: func(_ context.Context, _, _, reason string) { reasons = append(reasons, reason) }}
		v := verifier(t, &issuer{body: []byte(`{"keys":[` + key + `]}`)}, func(_ *auth.Issuer, o *auth.JWTOptions) { o.KeyHooks = hooks })
		if _, err := v.Verify(t.Context(), ec.token(claims())); reasonOf(err) != auth.ReasonKey {
			t.Errorf("%s: %v", name, err)
		}
		if len(reasons) == 0 {
			t.Errorf("%s: nobody was told", name)
		}
	}
	// The one good key between bad ones is used, whatever certificate it comes with.
	v := verifier(t, &issuer{body: []byte(`{"keys":[7,{"kty":"AKP"},` + with(`"x5c":["no certificate"]`) + `]}`)}, nil)
	if _, err := v.Verify(t.Context(), ec.token(claims())); err != nil {
		t.Error(err)
	}
}

func TestClaimsAreExactAndCannotBeChanged(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	v := verifier(t, &issuer{keys: []*signer{s}}, nil)
	body := strings.TrimSuffix(mustJSON(claims()), "}") + `,"n":9007199254740993,"big":12345678901234567890123,"f":1.5,"o":{"list":["a"]},"https://x.example/r":"u"}`
	token := s.sign(`{"alg":"ES256","kid":"k","typ":"at+jwt"}`, body)
	for range 2 { // the second comes from the cache
		id, err := v.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]any{}
		for _, path := range []string{"n", "big", "f", "o.list", "https://x.example/r"} {
			got[path], _ = id.Claims.Find(path)
		}
		want := map[string]any{
			"n": int64(9007199254740993), "big": json.Number("12345678901234567890123"), "f": 1.5,
			"o.list": []any{"a"}, "https://x.example/r": "u",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		l, _ := id.Claims.Find("o.list")
		l.([]any)[0] = "changed"
		o, _ := id.Claims.Get("o")
		o.(map[string]any)["list"].([]any)[0] = "changed"
		for name, value := range id.Claims.All() {
			if m, ok := value.(map[string]any); ok && name == "o" {
				m["list"] = nil
			}
		}
	}
}
