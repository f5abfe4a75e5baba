package http1

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is why a message was refused.
type Error struct {
	// Status is what the client of a refused request is told. For a response of
	// an upstream it is 502.
	Status int
	// Reason names the rule, without bytes of the message.
	Reason string
}

func (e *Error) Error() string {
	return fmt.Sprintf("http1: %s (%d %s)", e.Reason, e.Status, http.StatusText(e.Status))
}

func refuse(status int, reason string) *Error { return &Error{Status: status, Reason: reason} }

func bad(reason string) *Error { return refuse(http.StatusBadRequest, reason) }

var (
	// ErrClientGone is the cause that ends a request's context when the client
	// closed its connection.
	ErrClientGone = errors.New("http1: the client closed the connection")
	// ErrServerClosed is returned by Serve after Shutdown or Close.
	ErrServerClosed = http.ErrServerClosed
)
