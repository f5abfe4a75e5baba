// Package auth finds out who sent an HTTP request and whether they may: JSON Web
// Tokens of OAuth and OpenID Connect issuers, API keys, client certificates,
// scopes and conditions. Everything is func(http.Handler) http.Handler. The
// gateway uses it for each of its routes, a service without it.
//
//	tokens, err := auth.NewJWT([]auth.Issuer{{URL: "https://id.example", Audiences: []string{"shop"}}}, nil)
//	guard, err := auth.New([]auth.Authenticator{tokens}, nil)
//	policy, err := auth.NewPolicy(auth.Rule{AllScopes: []string{"orders:write"}}, nil)
//	go tokens.Run(ctx)                                  // reads the issuer's keys
//	mux.Handle("POST /orders", guard.Wrap(policy.Wrap(placeOrder)))
//
// In placeOrder, [From] returns the [Identity]. A [Forwarder] hands it to the next
// service as headers. Conditions in CEL are in package auth/condition, so that
// only their users pay for the language.
//
// # What it guarantees
//
// Fail closed. What cannot be checked is not let in: no keys yet, an issuer that
// has been away for longer than JWTOptions.StaleFor, a list of keys that cannot be
// read, a condition that fails. 503 says "ask again", 401 "get another
// credential", 403 "not with this one", 400 "one credential, once" (RFC 6750
// §3.1); all are problem details (RFC 9457) with Cache-Control: no-store, and say
// nothing about which check failed. Hooks get the [Reason].
//
// No secrets out. Errors, refusals and hooks hold nothing of a credential. Of API
// keys only hashes are stored, of verified tokens only hashes are remembered.
//
// Tokens. The signature is checked with the keys that the issuer's configuration
// leads to and no others; an algorithm must be allowed, fit the type of the key,
// and be the one that the key names if it names one. Size and shape are checked
// before anything is parsed. iss, aud, exp and sub are required, nbf and iat
// checked, a name that occurs twice in the JSON is refused, as are extensions that
// must be understood, ID tokens, and tokens bound to something that cannot be
// checked.
//
// Keys of issuers. Read in the background every 15 to 30 s (JWTOptions.Refresh);
// so the tokens of a removed key are refused after 35 s at the latest. A key id
// that nobody knows causes one fetch at once, which all requests that need it
// share; a fetch that did not bring the key starts a cool-down of 10 s, in which
// tokens with unknown keys are refused without asking. So an issuer can change its
// keys from one second to the next, and made-up key ids cost it a request in 10 s
// at most. While they do, a brand-new key can wait for the end of the cool-down:
// publish keys half a minute before using them. A new key under an old key id is
// seen at the next refresh. While the issuer does not answer, its keys are used
// for another hour. An answer that is no key set changes nothing; an empty set is
// obeyed. Addresses that are not public are refused when connecting, unless
// allowed; redirects are not followed.
//
// Verified tokens are remembered, until they expire or their key is removed, in
// bounded memory. A repeated token then costs about 1 µs, 1.5 µs with the whole
// middleware, instead of 80 to 130 µs.
//
// # Concurrency, time, goroutines
//
// All values may be used by any number of goroutines once built. No goroutine
// outlives a call; Run(ctx) of JWT and Keys blocks until ctx ends. Without Run a
// JWT verifier reads keys when a request needs them; Keys then need Reload. Time
// is the process's clock, so tests use testing/synctest.
package auth
