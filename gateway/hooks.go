package gateway

import "time"

// Hooks are told what happens. Each may be nil. They are called by the goroutine
// of the request, which waits for them, and by many at once.
type Hooks struct {
	// Served is called at the end of every request that a route took.
	Served func(Served)
}

// Served is a request that is over. It holds no query, no header and no body:
// nothing of it is a secret unless the path is.
type Served struct {
	Route    string
	Upstream string
	Client   string // address
	Method   string
	Host     string
	Path     string // canonical
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
}

// served tells the hook.
func (a *arrival) served(h *Hooks, method, host, proto string, took time.Duration) {
	if h.Served == nil {
		return
	}
	h.Served(Served{
		Route: a.route.Name, Upstream: a.route.To, Client: a.client.address, Method: method, Host: host, Path: a.path, Proto: proto,
		Trace: a.trace.id(), Status: a.answer.status, Fallback: a.fallback, Bytes: a.answer.bytes, Took: took,
	})
}
