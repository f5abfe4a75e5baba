package cache_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan/gateway/cache"
	"github.com/banyanhq/banyan/internal/gatetest"
)

// crowd sends n requests at once and returns the answers when all have one.
func (b *bed) crowd(n int, make func(i int) *http.Request) []*httptest.ResponseRecorder {
	answers := map[int]*httptest.ResponseRecorder{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			w := b.do(make(i))
			mu.Lock()
			defer mu.Unlock()
			answers[i] = w
		})
	}
	all.Wait()
	list := []*httptest.ResponseRecorder{}
	for i := range n {
		list = append(list, answers[i])
	}
	return list
}

// slowly makes an origin take a second for the header and one for the body.
func slowly(o *origin) *origin {
	serve := o.serve
	o.serve = func(w http.ResponseWriter, r *http.Request, call int) {
		time.Sleep(time.Second)
		serve(w, r, call)
		time.Sleep(time.Second)
	}
	return o
}

// R38: a thousand requests that miss at once make one call.
func TestStampede(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := slowly(answering(200, "Cache-Control: max-age=60"))
		b := setup(t, nil, nil, o)
		for i, w := range b.crowd(1000, func(int) *http.Request { return request("GET", page) }) {
			if w.Body.String() != "001" {
				t.Fatalf("request %d got %q", i, w.Body)
			}
		}
		if o.count() != 1 {
			t.Errorf("%d calls, want 1", o.count())
		}
		if s := b.Stats(); s.Served[cache.Miss] != 1 || s.Served[cache.Collapsed] != 999 || s.Filling != 0 {
			t.Errorf("stats %+v, want 1 miss, 999 collapsed, nothing filling", s)
		}
	})
}

// Answers that cannot be stored are nobody else's: each request makes a call of
// its own, all at the same time, and those that come later do not wait at all.
func TestStampedeOfPrivateAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := slowly(answering(200, "Cache-Control: private, max-age=60"))
		b := setup(t, nil, nil, o)
		start := time.Now()
		seen := map[string]bool{}
		for _, w := range b.crowd(100, func(int) *http.Request { return request("GET", page) }) {
			seen[w.Body.String()] = true
		}
		if len(seen) != 100 || o.count() != 100 {
			t.Errorf("%d different answers of %d calls, want 100 of 100", len(seen), o.count())
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v, want 3s: one second to learn it, then all at once", took)
		}
		start = time.Now()
		b.crowd(10, func(int) *http.Request { return request("GET", page) })
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("later requests took %v, want 2s", took)
		}
	})
}

// After a while a key that could not be stored gets another chance.
func TestPassEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{serve: func(w http.ResponseWriter, _ *http.Request, call int) {
			if call > 1 {
				w.Header().Set("Cache-Control", "max-age=60")
			}
			_, _ = io.WriteString(w, number(call))
		}}
		b := setup(t, &cache.Options{PassFor: 5 * time.Second}, nil, o)
		b.get(page)
		time.Sleep(5*time.Second - time.Nanosecond)
		b.want(b.get(page), "002", cache.Pass)
		time.Sleep(time.Nanosecond)
		b.want(b.get(page), "003", cache.Miss)
		b.want(b.get(page), "003", cache.Hit)
	})
}

// Requests that wait for one call share its answer only as Vary allows, and
// those that it does not fit are not made to wait one after another.
func TestStampedeWithVary(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := slowly(&origin{serve: func(w http.ResponseWriter, r *http.Request, _ int) {
			gatetest.Add(w.Header(), []string{"Cache-Control: max-age=60", "Vary: Accept-Language"})
			_, _ = io.WriteString(w, r.Header.Get("Accept-Language"))
		}})
		b := setup(t, nil, nil, o)
		languages := []string{"de", "en", "fr", "pl", "it"}
		start := time.Now()
		for i, w := range b.crowd(100, func(i int) *http.Request { return request("GET", page, "Accept-Language: "+languages[i%5]) }) {
			if w.Body.String() != languages[i%5] {
				t.Errorf("request for %s got %q", languages[i%5], w.Body)
			}
		}
		if o.count() != 5 || time.Since(start) != 3*time.Second {
			t.Errorf("%d calls in %v, want 5 in 3s", o.count(), time.Since(start))
		}
	})
}

func TestStampedeOfPeople(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := slowly(whoAmI("Cache-Control: max-age=60"))
		b := setup(t, nil, &cache.Rules{Principal: func(r *http.Request) string { return r.Header.Get("Authorization") }}, o)
		people := []string{"A", "B", "C"}
		for i, w := range b.crowd(30, func(i int) *http.Request { return request("GET", page, "Authorization: "+people[i%3]) }) {
			if w.Body.String() != "for "+people[i%3] {
				t.Errorf("%s got %q", people[i%3], w.Body)
			}
		}
		if o.count() != 3 {
			t.Errorf("%d calls, want 3", o.count())
		}
	})
}

// pieces writes to a client step by step and says when.
type pieces struct {
	*httptest.ResponseRecorder
	start time.Time
	at    []time.Duration
	fail  bool
}

func (p *pieces) Write(b []byte) (int, error) {
	if p.fail {
		return 0, errors.New("gone")
	}
	p.at = append(p.at, time.Since(p.start))
	return p.ResponseRecorder.Write(b)
}

// Who waits for another's call gets the body as it arrives, not at its end.
func TestFollowersStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{serve: func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Cache-Control", "max-age=60")
			for _, part := range []string{"one ", "two ", "three"} {
				_, _ = io.WriteString(w, part)
				w.(http.Flusher).Flush()
				time.Sleep(time.Second)
			}
		}}
		b := setup(t, nil, nil, o)
		var all sync.WaitGroup
		all.Go(func() { b.get(page) })
		time.Sleep(1500 * time.Millisecond) // in the middle of the body
		p := &pieces{ResponseRecorder: httptest.NewRecorder(), start: time.Now()}
		b.handler.ServeHTTP(p, request("GET", page))
		all.Wait()
		if p.Body.String() != "one two three" || !p.Flushed || o.count() != 1 {
			t.Errorf("got %q, flushed %v, %d calls", p.Body, p.Flushed, o.count())
		}
		if want := 500 * time.Millisecond; p.at[0] != 0 || p.at[len(p.at)-1] != want {
			t.Errorf("pieces came at %v, want the first at once and the last after %v", p.at, want)
		}
		b.want(b.get(page), "one two three", cache.Hit)
	})
}

// The call goes on for the others when the client that caused it has gone.
func TestLeaderLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := slowly(answering(200, "Cache-Control: max-age=60"))
		b := setup(t, nil, nil, o)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if w := b.do(request("GET", page).WithContext(ctx)); w.Code != 504 {
				t.Errorf("the leader got %d, want 504", w.Code)
			}
		})
		all.Go(func() {
			time.Sleep(100 * time.Millisecond)
			if w := b.get(page); w.Body.String() != "001" {
				t.Errorf("the follower got %q", w.Body)
			}
		})
		all.Wait()
		if o.count() != 1 {
			t.Errorf("%d calls, want 1", o.count())
		}
	})
}

// A follower's deadline is its own.
func TestFollowerLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := slowly(answering(200, "Cache-Control: max-age=60"))
		b := setup(t, nil, nil, o)
		var all sync.WaitGroup
		all.Go(func() {
			if w := b.get(page); w.Body.String() != "001" {
				t.Errorf("the leader got %q", w.Body)
			}
		})
		time.Sleep(100 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if w := b.do(request("GET", page).WithContext(ctx)); w.Code != 504 || time.Since(start) != 100*time.Millisecond {
			t.Errorf("the follower got %d after %v", w.Code, time.Since(start))
		}
		all.Wait()
		b.want(b.get(page), "001", cache.Hit)
	})
}

// When all have gone the call is ended.
func TestAllLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Duration, 1)
		start := time.Now()
		o := &origin{serve: func(_ http.ResponseWriter, r *http.Request, _ int) {
			<-r.Context().Done()
			ended <- time.Since(start)
		}}
		b := setup(t, nil, nil, o)
		for i := range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
			defer cancel()
			go b.do(request("GET", page).WithContext(ctx))
		}
		if at := <-ended; at != 3*time.Second {
			t.Errorf("ended after %v, want 3s", at)
		}
	})
}
