package cache_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan/gateway/cache"
)

// A body that breaks off is not stored, and its readers learn that it did.
func TestBrokenBody(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(w http.ResponseWriter){
		"panic": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "hal"); panic(http.ErrAbortHandler) },
		"short": func(w http.ResponseWriter) { w.Header().Set("Content-Length", "4"); _, _ = io.WriteString(w, "hal") },
	} {
		t.Run(name, func(t *testing.T) {
			o := &origin{serve: func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Cache-Control", "max-age=60")
				serve(w)
			}}
			b := setup(t, nil, nil, o)
			for range 2 {
				func() {
					defer func() {
						if recover() != http.ErrAbortHandler {
							t.Error("the answer ended as if it were whole")
						}
					}()
					b.get(page)
				}()
			}
			if o.count() != 2 || b.Stats().Entries != 0 {
				t.Errorf("%d calls, %d entries: half an answer was stored", o.count(), b.Stats().Entries)
			}
		})
	}
}

// A panic before the header is the leader's; who waited asks again.
func TestPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{serve: func(w http.ResponseWriter, _ *http.Request, call int) {
			time.Sleep(time.Second)
			if call == 1 {
				panic("boom")
			}
			_, _ = io.WriteString(w, "fine")
		}}
		b := setup(t, nil, nil, o)
		var all sync.WaitGroup
		all.Go(func() {
			defer func() {
				if got := recover(); got != "boom" {
					t.Errorf("the leader's panic is %v, want boom", got)
				}
			}()
			b.get(page)
		})
		time.Sleep(time.Millisecond)
		b.want(b.get(page), "fine", cache.Pass)
		all.Wait()
	})
}

// Bodies larger than MaxObject pass through in a window: they are whole, not
// stored, and their memory is bounded.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		big := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
		o := &origin{serve: func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Cache-Control", "max-age=60")
			if known {
				w.Header().Set("Content-Length", "1048576")
			}
			if n, err := io.Copy(w, strings.NewReader(big)); n != 1<<20 || err != nil {
				t.Errorf("wrote %d, %v", n, err)
			}
		}}
		b := setup(t, &cache.Options{Bytes: 1 << 20, MaxObject: 100_000}, nil, o)
		for _, w := range b.crowd(5, func(int) *http.Request { return request("GET", page) }) {
			if w.Body.String() != big {
				t.Errorf("known %v: got %d bytes", known, w.Body.Len())
			}
		}
		if s := b.Stats(); s.Bytes > 2000 || s.Filling != 0 {
			t.Errorf("known %v: %d bytes stored, %d filling", known, s.Bytes, s.Filling)
		}
	}
}

// A client that does not read holds up those who share its answer for a while
// only, and only where the answer does not fit.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{serve: func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Cache-Control", "max-age=60")
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
		}}
		b := setup(t, &cache.Options{Bytes: 1 << 20, MaxObject: 100_000}, nil, o)
		stuck := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			defer func() {
				if recover() != http.ErrAbortHandler {
					t.Error("the slow client was not cut off")
				}
			}()
			b.handler.ServeHTTP(&stuckWriter{httptest.NewRecorder(), stuck}, request("GET", page))
		})
		start := time.Now()
		if w := b.get(page); w.Body.Len() != 1<<20 {
			t.Errorf("the quick client got %d bytes", w.Body.Len())
		}
		if took := time.Since(start); took < time.Second || took > time.Minute {
			t.Errorf("the quick client waited %v", took)
		}
		close(stuck)
		all.Wait()
	})
}

type stuckWriter struct {
	*httptest.ResponseRecorder
	until chan struct{}
}

func (s *stuckWriter) Write(p []byte) (int, error) {
	<-s.until
	return len(p), nil
}

// What is arriving is bounded too: what does not fit passes through.
func TestFillBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{serve: func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, strings.Repeat("x", 50_000))
			time.Sleep(time.Second)
		}}
		b := setup(t, &cache.Options{Bytes: 1 << 20, FillBytes: 120_000}, nil, o)
		var most int64
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				if w := b.get("http://shop.example/" + number(i)); w.Body.Len() != 50_000 {
					t.Errorf("got %d bytes", w.Body.Len())
				}
			})
		}
		synctest.Wait()
		most = b.Stats().Filling
		all.Wait()
		if most == 0 || most > 120_000 {
			t.Errorf("%d bytes filling, want 1 to 120000", most)
		}
		if s := b.Stats(); s.Served[cache.Miss] != 10 || s.Filling != 0 || s.Bytes > 2*57_344+10_000 {
			t.Errorf("afterwards %+v", s)
		}
	})
}

func TestFillTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{serve: func(w http.ResponseWriter, r *http.Request, _ int) {
			<-r.Context().Done()
			w.WriteHeader(http.StatusBadGateway)
		}}
		b := setup(t, &cache.Options{FillTimeout: 5 * time.Second}, nil, o)
		start := time.Now()
		if w := b.get(page); w.Code != 502 {
			t.Errorf("got %d", w.Code)
		}
		if time.Since(start) != 5*time.Second {
			t.Errorf("took %v, want 5s", time.Since(start))
		}
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{serve: func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() }}
		b := setup(t, nil, nil, o)
		var all sync.WaitGroup
		all.Go(func() {
			defer func() { _ = recover() }()
			b.get(page)
		})
		synctest.Wait()
		b.Close()
		all.Wait()
		o.serve = func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = io.WriteString(w, "still") }
		b.want(b.get(page), "still", cache.Pass)
	})
}
