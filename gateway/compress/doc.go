// Package compress gives clients answers in gzip or zstd, and guards servers
// against compressed requests that are larger than they look.
//
//	p, err := compress.New(nil)
//	…
//	http.ListenAndServe(":8080", p.Handler(mux))
//
// What it guarantees:
//
// Negotiated. The coding is what the client likes best by Accept-Encoding (RFC
// 9110 §12.5.3), and at equal liking the one that stands first in
// Config.Encodings. A malformed member counts as not there. Every answer that
// could have been compressed has Vary: Accept-Encoding, also when it was not.
//
// Left alone. Nothing happens to answers that have a Content-Encoding, a
// Content-Range, no Content-Type, a type that is not in Config.Types, or
// no-transform in their Cache-Control or the request's (RFC 9111 §5.2); to 1xx,
// 204, 205, 206 and 304; nor to those that are known to be short. A hijacked
// connection is not seen at all. Event streams are left alone unless
// Config.Types names text/event-stream itself: an encoder costs a megabyte for as
// long as the stream is open.
//
// A client that refuses identity gets every answer with a Content-Type compressed,
// however short; what is left alone for another reason it gets as it is.
//
// Right fields. A compressed answer has no Content-Length, Accept-Ranges,
// Content-MD5 or digest, which are of other bytes, and its ETag is weak (RFC 9110
// §8.8.1). If-None-Match goes on working, because it compares weakly; a 304 has
// the tag in the form that the client has. HEAD has the fields of GET where the
// length is known.
//
// Streaming. A flush of the handler goes through the encoder to the client, so
// nothing is held back. An answer of unknown length waits for Config.MinSize bytes,
// a flush, or its end. Trailers and informational answers pass.
//
// Requests are left alone unless Config.Requests is set. Then an encoding that is
// not allowed, or two round one another, is a 415 that names the allowed ones;
// with Decompress the handler reads plain bytes, and a body that grows beyond the
// limits is a 413, one that is damaged a 400, whatever the handler answers.
//
// BREACH. Who can make a browser send requests and see the lengths of the
// answers can find a secret in a compressed answer if it also repeats something
// of the request. Config.SkipCookies leaves answers to requests with a Cookie,
// and those with Set-Cookie, as they are. Better: do not put secrets and echoes
// of the request into one answer, or mask the secrets anew for each.
//
// Concurrency. A Policy may be used from any number of goroutines. Encoders are
// pooled; there is no goroutine here.
//
// Failure. A handler that panics, as with http.ErrAbortHandler, leaves an answer
// without its end: the encoder adds none.
package compress
