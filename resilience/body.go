package resilience

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// held is a response body with what its call occupies: leave runs at the end of
// the body or when it is closed, cancel only when it is closed.
type held struct {
	io.ReadCloser
	leave        func()                  // or nil
	cancel       context.CancelCauseFunc // or nil
	left, closed atomic.Bool
}

// onClose wraps a response body. That of a switched protocol (101) is a
// connection, and stays one that can be written.
func onClose(body io.ReadCloser, leave func(), cancel context.CancelCauseFunc) io.ReadCloser {
	h := &held{ReadCloser: body, leave: leave, cancel: cancel}
	if w, ok := body.(io.Writer); ok {
		return &heldConn{held: h, Writer: w}
	}
	return h
}

type heldConn struct {
	*held
	io.Writer
}

// CloseWrite ends what is sent, if the connection can do that.
func (h *heldConn) CloseWrite() error {
	if half, ok := h.Writer.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (h *held) Read(b []byte) (int, error) {
	n, err := h.ReadCloser.Read(b)
	if err != nil {
		h.release()
	}
	return n, err
}

func (h *held) Close() error {
	err := h.ReadCloser.Close()
	h.release()
	if h.cancel != nil && h.closed.CompareAndSwap(false, true) {
		h.cancel(nil)
	}
	return err
}

func (h *held) release() {
	if h.leave != nil && h.left.CompareAndSwap(false, true) {
		h.leave()
	}
}

// discard lets go of a response that nobody gets. A short body is read, so that
// the connection can be used again, but not waited for.
func discard(resp *http.Response) {
	const short, patience = 4 << 10, 50 * time.Millisecond
	if n := resp.ContentLength; n > 0 && n <= short {
		if h, ok := resp.Body.(*held); ok && h.cancel != nil {
			timer := time.AfterFunc(patience, func() { h.cancel(nil) })
			_, _ = io.CopyN(io.Discard, resp.Body, n)
			timer.Stop()
		}
	}
	_ = resp.Body.Close()
}

// source notices that the request's body could not be read: the sender's fault.
type source struct {
	io.ReadCloser
	bad *atomic.Bool
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // what io.Reader promises
		s.bad.Store(true)
	}
	return n, err
}
