package http1

import (
	"sync"
	"time"
)

// watch sees the client of a slow request go away. It reads in the background,
// as nothing else does between the end of a request's body and its answer. What
// it reads is the next request's.
type watch struct {
	conn *serverConn

	mu       sync.Mutex
	timer    *time.Timer   // guarded by mu
	request  *life         // guarded by mu; nil: none is under way
	bodyDone bool          // guarded by mu
	due      bool          // guarded by mu; the request is slow
	reading  chan struct{} // guarded by mu; closed when the read has ended; nil: none
}

// begin is called before the handler.
func (w *watch) begin(request *life, b *body) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.request, w.bodyDone, w.due, w.reading = request, b == nil, false, nil
	if w.timer == nil {
		w.timer = time.AfterFunc(w.conn.server.options.WatchAfter, w.fired)
		return
	}
	w.timer.Reset(w.conn.server.options.WatchAfter)
}

// fired may run late, in the next request: that is then watched a little early.
func (w *watch) fired() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = true
	w.start()
}

func (w *watch) bodyEnded() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bodyDone = true
	w.start()
}

// start reads if it is time. A client that has sent its next request already
// cannot be watched. mu is held.
func (w *watch) start() {
	if !w.due || !w.bodyDone || w.request == nil || w.reading != nil || w.conn.in.buffered() > 0 {
		return
	}
	done, request := make(chan struct{}), w.request
	w.reading = done
	w.conn.reads.at(time.Time{})
	go func() {
		defer close(done)
		if w.conn.in.fill() != nil {
			request.end(ErrClientGone) // after stop this does nothing: the request has ended
		}
	}()
}

// stop is called after the handler, and before anything else reads.
func (w *watch) stop() {
	w.mu.Lock()
	w.request = nil
	w.timer.Stop()
	reading := w.reading
	w.reading = nil
	w.mu.Unlock()
	if reading != nil {
		w.conn.reads.at(time.Unix(1, 0)) // long ago
		<-reading
	}
}

// end ends the context of the request under way.
func (w *watch) end(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.request != nil {
		w.request.end(cause)
	}
}
