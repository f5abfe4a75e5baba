package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// stream carries a body from one writer to several readers as it arrives. While
// it is kept, all of it stays, so that a reader may come late and the whole may
// be stored; afterwards only a window stays, and the writer waits for the
// slowest reader.
type stream struct {
	room  *atomic.Int64 // bytes that all streams together may still take
	limit int64         // of a body that is kept
	stop  func(error)   // called once when the last reader has gone

	mu      sync.Mutex
	moved   chan struct{}        // guarded by mu: closed at the next change; nil when nobody waits
	first   *chunk               // guarded by mu: of the body; nil when not kept
	last    *chunk               // guarded by mu
	total   int64                // guarded by mu
	flushed int64                // guarded by mu: up to here the writer asked for it to be sent
	taken   int64                // guarded by mu: what is taken from room
	kept    bool                 // guarded by mu
	done    bool                 // guarded by mu
	err     error                // guarded by mu: why it ended early
	readers map[*reader]struct{} // guarded by mu
	held    bool                 // guarded by mu: while kept it goes on without readers
	empty   bool                 // guarded by mu: stop was called
}

// chunk is a piece of a body. data[:n] is written and does not change.
type chunk struct {
	data []byte
	n    int // guarded by the stream's mu
	next *chunk
}

// reader is one place in a stream.
type reader struct {
	s    *stream
	at   *chunk // guarded by s.mu: nil before the first
	off  int    // guarded by s.mu
	pos  int64  // guarded by s.mu
	sent int64  // guarded by s.mu: up to here it was told to flush; -1 not even the header
	cut  bool   // guarded by s.mu: it was too slow
}

const (
	window   = 256 << 10
	maxChunk = 64 << 10
	// patience is how long readers wait for one that is a window behind them.
	patience = 10 * time.Second
)

var (
	errSlow      = errors.New("the client reads too slowly for those who share the answer")
	errAbandoned = errors.New("nobody waits for the answer")
)

func newStream(room *atomic.Int64, limit int64, stop func(error)) *stream {
	return &stream{room: room, limit: limit, stop: stop, kept: true, flushed: -1, readers: map[*reader]struct{}{}}
}

// attach adds a reader at the beginning; nil when that is gone.
func (s *stream) attach() *reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.kept || s.empty {
		return nil
	}
	r := &reader{s: s, at: s.first, sent: -1}
	s.readers[r] = struct{}{}
	return r
}

// leave ends a reader.
func (r *reader) leave() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	delete(r.s.readers, r)
	r.s.stopIfEmpty()
	r.s.wake()
}

// hold keeps the writer going when the last reader leaves, for the store's sake.
func (s *stream) hold() {
	s.mu.Lock()
	s.held = true
	s.mu.Unlock()
}

// stopIfEmpty tells the writer that nobody is left. mu is held.
func (s *stream) stopIfEmpty() {
	if len(s.readers) == 0 && !s.done && !s.empty && !(s.held && s.kept) {
		s.empty = true
		s.stop(errAbandoned)
	}
}

// unkeep lets go of what readers have passed. mu is held.
func (s *stream) unkeep() {
	s.kept, s.first = false, nil
	s.stopIfEmpty()
}

// wake tells all who wait to look again. mu is held.
func (s *stream) wake() {
	if s.moved != nil {
		close(s.moved)
		s.moved = nil
	}
}

// wait returns what is closed at the next change. mu is held.
func (s *stream) wait() <-chan struct{} {
	if s.moved == nil {
		s.moved = make(chan struct{})
	}
	return s.moved
}

// pass ends the keeping: late readers are not let in any more.
func (s *stream) pass() {
	s.mu.Lock()
	s.unkeep()
	s.wake()
	s.mu.Unlock()
}

// expect makes room for a body of known length in one piece. It is called before
// the first write.
func (s *stream) expect(length int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if length > 0 && length <= s.limit && s.take(length) {
		s.append(int(length))
	}
}

// take reserves bytes. mu is held.
func (s *stream) take(n int64) bool {
	if s.room.Add(-n) < 0 {
		s.room.Add(n)
		return false
	}
	s.taken += n
	return true
}

// append adds an empty chunk. mu is held.
func (s *stream) append(size int) {
	c := &chunk{data: make([]byte, size)}
	if s.last != nil {
		s.last.next = c
	} else if s.kept {
		s.first = c
	}
	for r := range s.readers {
		if r.at == nil {
			r.at = c
		}
	}
	s.last = c
}

// write adds p, waiting for readers when the body is not kept.
func (s *stream) write(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		n, wait := s.writeSome(p)
		p = p[n:]
		if wait == nil {
			continue
		}
		if err := s.waitForRoom(ctx, wait); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty {
		return errAbandoned
	}
	return nil
}

func (s *stream) waitForRoom(ctx context.Context, moved <-chan struct{}) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-moved:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		s.cutSlow()
	}
	return nil
}

// cutSlow drops the readers that hold up others.
func (s *stream) cutSlow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.readers) < 2 {
		return // it holds up nobody but itself
	}
	for r := range s.readers {
		if s.total-r.pos >= window {
			r.cut = true
			delete(s.readers, r)
		}
	}
	s.wake()
}

// writeSome copies a piece of p, or returns what to wait for.
func (s *stream) writeSome(p []byte) (int, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept && s.total+int64(len(p)) > s.limit {
		s.unkeep()
	}
	if !s.kept {
		if s.lag() >= window {
			return 0, s.wait()
		}
		s.release() // what was kept is read by now
		p = p[:min(len(p), window)]
	}
	c := s.last
	if c == nil || c.n == len(c.data) {
		size := s.nextSize(len(p))
		if s.kept && !s.take(int64(size)) {
			s.unkeep()
			return 0, nil
		}
		s.append(size)
		c = s.last
	}
	n := copy(c.data[c.n:], p)
	c.n += n
	s.total += int64(n)
	s.wake()
	return n, nil
}

// nextSize grows the chunks with the body.
func (s *stream) nextSize(want int) int {
	size := max(want, 512)
	if s.total > 0 {
		size = max(want, int(min(s.total, maxChunk)))
	}
	if s.kept {
		size = int(min(int64(size), s.limit-s.total))
	}
	return min(size, window)
}

// lag returns how far the slowest reader is behind. mu is held.
func (s *stream) lag() int64 {
	slowest := s.total
	for r := range s.readers {
		slowest = min(slowest, r.pos)
	}
	return s.total - slowest
}

// flush asks that readers send what is there.
func (s *stream) flush() {
	s.mu.Lock()
	s.flushed = s.total
	s.wake()
	s.mu.Unlock()
}

// finish ends the body. err says that it is not whole.
func (s *stream) finish(err error) {
	s.mu.Lock()
	s.done, s.err = true, err
	s.release()
	s.wake()
	s.mu.Unlock()
}

// release gives reserved bytes back. mu is held.
func (s *stream) release() {
	s.room.Add(s.taken)
	s.taken = 0
}

// body returns the whole body in memory of its exact size, if it was kept.
func (s *stream) body() ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.kept {
		return nil, false
	}
	if s.total == 0 {
		return nil, true
	}
	if s.first.next == nil && s.first.n == len(s.first.data) {
		return s.first.data, true
	}
	whole := make([]byte, 0, s.total)
	for c := s.first; c != nil; c = c.next {
		whole = append(whole, c.data[:c.n]...)
	}
	return whole, true
}

// piece is what a reader gets next: data, a wish to flush, or the end.
type piece struct {
	data  []byte
	flush bool
	end   bool
	err   error
}

// next waits for the next piece.
func (r *reader) next(ctx context.Context) piece {
	for {
		p, moved := r.tryNext()
		if moved == nil {
			return p
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return piece{end: true, err: context.Cause(ctx)}
		}
	}
}

func (r *reader) tryNext() (piece, <-chan struct{}) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.cut {
		return piece{end: true, err: errSlow}, nil
	}
	if r.at != nil && r.off == len(r.at.data) && r.at.next != nil {
		r.at, r.off = r.at.next, 0
	}
	if r.at != nil && r.off < r.at.n {
		data := r.at.data[r.off:r.at.n:r.at.n]
		r.off = r.at.n
		r.pos += int64(len(data))
		if !s.kept {
			s.wake() // there is room
		}
		return piece{data: data, flush: r.due()}, nil
	}
	if r.due() {
		return piece{flush: true}, nil
	}
	if s.done {
		return piece{end: true, err: s.err}, nil
	}
	return piece{}, s.wait()
}

// due says, once, that all up to pos should be sent. s.mu is held.
func (r *reader) due() bool {
	due := r.s.flushed >= r.pos && r.sent < r.pos
	if due {
		r.sent = r.pos
	}
	return due
}

// keeping says whether the whole body is still there.
func (s *stream) keeping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}
