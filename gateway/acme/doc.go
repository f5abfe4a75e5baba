// Package acme gets the certificates of a front door from an authority that speaks
// ACME (RFC 8555), such as Let's Encrypt, and renews them.
//
//	m, err := acme.New(&acme.Config{Domains: []string{"shop.example.com"}, Email: "ops@example.com"}, log)
//	…
//	go m.Run(ctx)
//	server := &http.Server{Handler: front, TLSConfig: m.TLS()}
//	plain := &http.Server{Handler: m.HTTPChallenge(redirectToHTTPS)} // port 80, if there is one
//
// Asked for. Only the names of Config.Domains, each with a certificate of its own;
// a handshake never makes the package ask for anything. By TLS-ALPN-01 (RFC 8737)
// over the listener that serves TLS, which has to be reached at port 443, and by
// HTTP-01 over one with HTTPChallenge, which has to be reached at port 80; one of
// the two is enough, and both are tried in turn. The package opens no public port
// of its own. Wildcards, which need DNS-01, are not supported. With New the owner
// agrees to the authority's terms of service.
//
// Renewed. When the authority says so (ACME renewal information, RFC 9773), else
// when a third of the lifetime is left; it looks every ten minutes. Short-lived
// certificates need nothing special.
//
// Stored. Account keys, private keys and certificates are files below
// Config.Storage, 0600 in folders 0700. A restart serves what is there and asks for
// nothing. Several gateways may share the folder (NFS too): one of them asks, and
// each answers the challenges of all. Their clocks should agree within five seconds:
// one that is ahead by more takes the others' locks for forgotten, and asks too.
//
// Failure. While the authority is down or refuses, what is held is served, and
// that it has expired does not change that. Attempts for a first certificate go on
// after 1, 2, 2 and 5 minutes and so on up to 6 hours, for Let's Encrypt with its
// staging authority first, so that its limits are not used up; those for a renewal
// at the looks after such pauses. What the authority refuses is remembered over
// restarts: after two first attempts in an hour a start waits, and says until when.
// OCSP is not asked for. A handshake for a name without a certificate fails, and
// once a minute the log says so with the last error. [Manager.Run] ends with its
// context only, and within two seconds of it.
//
// Concurrency. A [Manager] is safe for concurrent use. Handshakes that come before
// Run has read the storage wait for that, 5 s at most.
package acme
