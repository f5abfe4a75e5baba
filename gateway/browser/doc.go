// Package browser is the part of a front door that browsers and CDNs look at:
// cross-origin resource sharing (CORS), security headers, protection against
// cross-site requests, and Cache-Control for clients and for a CDN.
//
//	p, err := browser.New(&browser.Config{
//		CORS:     &browser.CORS{Origins: []string{"https://*.shop.example"}, Credentials: true},
//		Security: &browser.Security{},
//		CrossSite: &browser.CrossSite{},
//	})
//	…
//	http.ListenAndServe(":8080", p.Handler(mux))
//
// It has to be the outermost handler, before authentication: a preflight request
// never carries credentials.
//
// What it guarantees:
//
// CORS, by the Fetch standard. A preflight request is answered here, with 204,
// whatever its origin, and never reaches the handler; only allowed origins get
// fields that allow something. An origin is compared whole; in a wildcard such as
// https://*.shop.example the * stands for one or more labels of a host name. The
// origin "null" is allowed only if it is named, and "*" neither with credentials
// nor beside other origins. Fields of the handler's own CORS are removed, so there
// are never two of them. Unless every origin is allowed, each answer has Vary:
// Origin, also that to a request without one. With CORS.Refuse a request that
// changes something and comes from another origin is a 403; without, it is only the
// browser that keeps the answer from the page.
//
// Security headers are set on every answer, errors included. What the handler
// says itself wins unless Security.Replace is set. A 304 gets those of them that
// are replaced only, because it changes the headers of what the client has
// stored (RFC 9111 §3.2), and nobody knows what those were.
// Strict-Transport-Security is sent over TLS only, and taken away elsewhere (RFC
// 6797 §7.2).
//
// Cross-site requests. With CrossSite a request with cookies that changes
// something, or opens a WebSocket, has to come from the same origin, or from a
// trusted one; else it is a 403. For unsafe methods this is
// net/http.CrossOriginProtection: what has neither Sec-Fetch-Site nor Origin does
// not come from a browser, and passes. A WebSocket handshake with cookies has to
// have an Origin (RFC 6455 §10.2). Origins that CORS lets in with credentials are
// trusted.
//
// CDN. Surrogate-Control, Surrogate-Key, Cache-Tag and CDN-Cache-Control (RFC
// 9213) are for a CDN: with CDN, only peers in CDN.Networks get them. What it
// adds never makes an answer storable that has Set-Cookie, that says private or
// no-store, or whose request had Authorization or Cookie.
//
// Streaming, upgrades, trailers and informational answers pass. The fields of a
// 101 that a handler writes on a hijacked connection are not touched.
//
// Concurrency. A Policy may be used from any number of goroutines.
package browser
