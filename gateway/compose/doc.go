// Package compose makes one answer of the answers of several services: what a
// screen needs, in one request (API composition, backend for frontend).
//
//	compose:
//	  timeout: 2s
//	  parts:
//	    user:
//	      to: users
//	      get: /users/{path.user}
//	      select: [name, address.city]
//	    cart:
//	      to: carts
//	      get: /carts/{user.cart_id}
//	      empty: true
//	      rename: {items.unit_price: price}
//	    product:
//	      to: products
//	      for_each: cart.items
//	      get: /products?ids={item.product_id}
//	      batch: {key: id}
//	    offers:
//	      to: offers
//	      get: /offers?segment={user.segment}&limit={query.limit?10}
//	      optional: true
//
// # Values
//
// A value in braces comes from the request - {path.NAME}, {query.NAME},
// {header.NAME} - or from another part's answer as its service gave it, before
// select and rename: {user.address.city}. Under for_each, {item.NAME} is a field of
// the item ({item} is the item itself), and a part with the same for_each is read
// at the same item. A wildcard of several segments is one value.
//
// Each value is escaped for its place and cannot leave it: a path segment that some
// server could read as "." or ".." is refused. An empty value, or null, is like
// none, and without a value there is no call: a filter that is left out could show
// everybody's data. {query.limit?} leaves the parameter out instead, and
// {query.limit?10} has a default. A query parameter or header that is there twice is
// refused.
//
// # Guarantees
//
// Numbers and strings are passed on byte for byte, and fields in their order (a
// renamed one in its place, a joined one at the end). Nothing but a part's own
// answer gets into it: no cookie, no status, no header but what Cache-Control and
// Vary are made of. Equal calls of one for_each are made once; nothing is shared
// between two inbound requests. An answer that lacks something says so in the header Banyan-Missing and is
// never cached; a whole one may be cached as long, and by as many, as the strictest
// of its parts.
//
// # Ordering
//
// Parts are asked for as soon as what they need is there, the others at the same
// time. In the answer they are in the order of their names.
//
// # Concurrency
//
// A handler serves any number of requests at once. All calls of a request end
// before its ServeHTTP returns. So a RoundTripper has to heed its context.
//
// # Failure
//
// A status other than 2xx is a failure, and so is an answer that is too large, more
// than 100 deep, no JSON, or has a field twice, which two readers could read
// differently, and a path and query of more than 8000 bytes. 204 is null. A
// required part that fails ends the others and is answered by its cause, first come
// first served: 401 and 403 as they are, and 404 and 410 if nothing but the request
// chose what to ask for (else the services disagree, and that is not the client's
// fault); 400 if the request lacks a value; 503 with Retry-After if the service
// cannot be reached, has no capacity, or counts too many requests (they are the
// gateway's, not the client's); 504 if it is late; 502 for everything else. Other
// parts that fail are null, or their default, and are listed in Banyan-Missing; so
// are the parts that need them. When the shared deadline passes, the answer has
// what is there, if everything required is.
package compose
