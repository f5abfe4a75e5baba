// Package transform changes requests and answers on their way: headers, query
// parameters and the fields of JSON bodies.
//
//	p, err := transform.New(&transform.Config{
//		Request:  transform.Request{Headers: transform.Fields{Set: map[string]string{"X-Order": "{path.id}"}}},
//		Response: transform.Response{JSON: &transform.JSON{Remove: []string{"/customer/**/password"}}},
//	})
//	…
//	http.Handle("GET /orders/{id}", p.Handler(orders))
//
// Values. In a value of a header or a query parameter, {path.x} stands for
// http.Request.PathValue, {query.x} for the first parameter x and {header.X} for
// that header of the request, all as the request arrived; {{ stands for {. If
// something that a value names is not there, the value counts as not there: Add
// does nothing, and Set removes what the client had sent under that name. A
// request whose values would bring a control character into a header is answered
// 400, so CR and LF never get there.
//
// Order. Remove goes before Rename, that before Set, and that before Add.
//
// JSON paths are like JSON pointers (RFC 6901): /customer/name, with ~1 for / and
// ~0 for ~. Arrays are gone through element by element and have no segment of
// their own: /items/price is the price of each item. The segment * stands for any
// one name, ** for any number of them. All paths are those of the body as it
// came. Remove goes before Select, that before Set, and that before Rename.
//
// What it guarantees:
//
// Exact. Numbers and strings that stay are the same bytes, and members keep
// their order; white space goes.
//
// Nothing gets past Remove. Names are compared as they are meant, so that
// "\u0070assword" is password, and without regard to case, as some decoders do;
// every occurrence of a name goes. A body that cannot be edited, because it is too
// long, compressed, broken, not UTF-8, not JSON, or only a part, is not let
// through: see JSON.Otherwise. Removed headers go from informational answers and
// trailers too. Set treats names like Remove does; Select and Rename compare
// exactly.
//
// True fields. The length is that of the edited body; digests go. With rules for
// the JSON of answers the server is asked for all of the body (no Range) without
// compression, and an entity tag carries the rules: "x" becomes "x~4f1c2a90", and
// is given back to the server as "x", while tags of other rules match nothing in
// If-None-Match and If-Range. HEAD and 304 have the same tag, and HEAD no length.
//
// Streaming. Answers that have no JSON rules, or no body, pass as they are
// written, flushes and trailers included; with JSON rules the whole body is there
// before it is sent, whatever the handler flushes. Upgrades pass; the fields of
// their 101 are not touched.
//
// Concurrency. A Policy may be used from any number of goroutines.
//
// Failure. A request whose body cannot be edited gets 400, 413 or 415; of an
// answer the client gets the status of an error as it was but with another body,
// a redirect without body, and otherwise 502.
package transform
