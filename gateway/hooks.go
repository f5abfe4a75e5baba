package gateway

import "time"

// Hooks are told what happens. Each may be nil. They are called by the goroutine
// of the request, which waits for them, and by many at once.
type Hooks struct {
	// Served is called at the end of every request, also of one that no route takes.
	Served func(Served)
}

// Served is a request that is over. It holds no query, no header and no body:
// nothing of it is a secret unless the path is.
type Served struct {
	Route    string // "": none takes it
	Upstream string
	Client   string // address
	Method   string
	Host     string
	Path     string // canonical; "": it has no such form
	Proto    string
	Trace    string // id
	// Status is 0 if the connection ended before an answer began.
	Status int
	// Fallback: the route's fallback answered, because the upstream failed.
	Fallback bool
	// Bytes of the answer's body.
	Bytes int64
	// Took is until the last byte.
	Took time.Duration
	// Cause is why the gateway refused the request, or got no answer for it; else
	// empty. It is for logs and not for clients: it may hold inner addresses.
	Cause string
}

// because notes why the answer is none of an upstream's.
func (a *arrival) because(err error) {
	text := err.Error()
	a.cause.Store(&text)
}

// served tells the hook.
func (a *arrival) served(h *Hooks, method, host, proto string, took time.Duration) {
	if h.Served == nil {
		return
	}
	cause := ""
	if text := a.cause.Load(); text != nil {
		cause = *text
	}
	h.Served(Served{
		Route: a.route.Name, Upstream: a.route.To, Client: a.client.address, Method: method, Host: host, Path: a.path, Proto: proto,
		Trace: a.trace.id(), Status: a.answer.status, Fallback: a.fallback, Bytes: a.answer.bytes, Took: took, Cause: cause,
	})
}
