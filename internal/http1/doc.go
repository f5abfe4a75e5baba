// Package http1 serves and calls HTTP/1.1, strictly and with little work per
// request. It is the data path of the gateway; see ADR 6 for why it is not
// net/http, which still serves HTTP/2 and the admin side.
//
//	s, err := http1.NewServer(handler, nil)
//	…
//	err = s.Serve(listener)
//
// Guarantees. A handler sees a request only if every byte of its head is what
// RFC 9112 and RFC 9110 allow, so no two parsers can disagree about where it
// ends: what others repair (a bare LF, a Content-Length beside chunked, a folded
// line, two Hosts) is refused with the documented status, and the connection is
// closed. Requests and answers are those of net/http, so handlers, middleware
// and http.ResponseController work unchanged.
//
// Ordering. Requests of one connection are served one after the other. An
// answer is on the wire before the next request of its connection is read.
//
// Concurrency. A connection has one goroutine, and a second one while a request
// takes longer than [Options.WatchAfter]: it sees the client go away and ends the
// request's context. Handlers may use the request and its header after they
// return (nothing is reused), but not its body and not the ResponseWriter.
//
// Failure. A client that is too slow, too large or wrong gets an answer where the
// protocol allows one and loses its connection. A handler that panics costs its
// connection only.
package http1
