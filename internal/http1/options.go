package http1

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/banyanhq/banyan"
)

// Options of a Server. The zero value of each field is its default.
type Options struct {
	// MaxHeadBytes of a request's line and header, in bytes; default 32768, at
	// least 4096. More is refused with 431, a target of more than MaxTargetBytes
	// with 414.
	MaxHeadBytes int
	// MaxTargetBytes of a request's target; default 8192.
	MaxTargetBytes int
	// MaxHeaderLines of a request; default 100.
	MaxHeaderLines int
	// Methods that are served beside GET, HEAD, POST, PUT, PATCH, DELETE and
	// OPTIONS. Others are refused with 501, CONNECT and TRACE with 405.
	Methods []string
	// HeadTimeout is from the first byte of a head to its last; default 10 s.
	HeadTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request;
	// default 75 s.
	IdleTimeout time.Duration
	// LastCall is how long a connection that waits for a request is left open when
	// Shutdown begins: a request that is on its way is answered, and told that it
	// was the last. Closing at once would reset it, and who sent a POST could not
	// know whether it counts. Default 1 s.
	LastCall time.Duration
	// MinRate is what a client has to send of a body, and to take of an answer,
	// in bytes a second on average, after Grace; default 240. It stops a client
	// that holds a connection with a byte now and then.
	MinRate int
	// Grace is how long a client may be slower; default 5 s.
	Grace time.Duration
	// WatchAfter is how long a request takes before its client is watched for
	// going away; default 10 ms. Watching costs a goroutine.
	WatchAfter time.Duration
	// Preface, if set, takes over connections that begin with the preface of
	// HTTP/2 (h2c by prior knowledge). Without it they are refused with 400.
	Preface func(net.Conn)
	// Refused, if set, is called for every request that no handler has seen.
	Refused func(remote net.Addr, why *Error)
	// Panicked, if set, is called with what a handler panicked with.
	Panicked func(r *http.Request, value any, stack []byte)
}

func (o *Options) check() error {
	for name, v := range map[string]int64{
		"MaxHeadBytes": int64(o.MaxHeadBytes), "MaxTargetBytes": int64(o.MaxTargetBytes), "MaxHeaderLines": int64(o.MaxHeaderLines),
		"HeadTimeout": int64(o.HeadTimeout), "IdleTimeout": int64(o.IdleTimeout), "LastCall": int64(o.LastCall), "MinRate": int64(o.MinRate), "Grace": int64(o.Grace), "WatchAfter": int64(o.WatchAfter),
	} {
		if v < 0 {
			return fmt.Errorf("http1: %w: %s is negative", banyan.ErrInvalid, name)
		}
	}
	if o.MaxHeadBytes != 0 && o.MaxHeadBytes < bufferSize {
		return fmt.Errorf("http1: %w: MaxHeadBytes is less than %d", banyan.ErrInvalid, bufferSize)
	}
	for _, m := range o.Methods {
		if !IsToken(m) || m == "CONNECT" || m == "TRACE" {
			return fmt.Errorf("http1: %w: method %q cannot be served", banyan.ErrInvalid, m)
		}
	}
	return nil
}

func (o *Options) defaults() {
	set(&o.MaxHeadBytes, 32<<10)
	set(&o.MaxTargetBytes, 8<<10)
	set(&o.MaxHeaderLines, 100)
	set(&o.HeadTimeout, 10*time.Second)
	set(&o.IdleTimeout, 75*time.Second)
	set(&o.LastCall, time.Second)
	set(&o.MinRate, 240)
	set(&o.Grace, 5*time.Second)
	set(&o.WatchAfter, 10*time.Millisecond)
	if o.Refused == nil {
		o.Refused = func(net.Addr, *Error) {}
	}
	if o.Panicked == nil {
		o.Panicked = func(*http.Request, any, []byte) {}
	}
}

func set[T ~int | ~int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func (o *Options) methods() map[string]bool {
	m := map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true}
	for _, name := range o.Methods {
		m[name] = true
	}
	return m
}
