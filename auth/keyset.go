package auth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// discoveryAge is how long the address of the keys is believed. It is asked for
// again at once when the keys cannot be read there.
const discoveryAge = time.Hour

// errCooling says that a fetch for an unknown key was too recent for another.
var errCooling = errors.New("keys were fetched a moment ago")

// keySet is the key set of an issuer: read in the background, read again at once
// for a key that nobody knows yet, kept while the issuer does not answer.
//
// It is written here because the sets that exist do a part of that each, as of
// go-oidc v3.21.0, jwkset v0.11.0 and keyfunc v3.7.0: go-oidc's has a single
// flight but no cool-down (each forged signature is a fetch), never drops a
// removed key before that, reads answers without a limit and quotes them in its
// errors; jwkset's starts goroutines when it is made, has no limit either, waits
// for its limiter with the request, and fetches once per waiting request. Keys
// and signatures are go-jose's.
type keySet struct {
	issuer  Issuer
	algs    algorithms
	opts    JWTOptions
	fetch   *fetcher
	current atomic.Pointer[snapshot]
	running atomic.Bool // Run reads in the background

	mu sync.Mutex // guards the rest; not held across a fetch
	// flight is the fetch under way, if there is one.
	flight *flight
	// cool is until when no request may cause a fetch.
	cool    time.Time
	lastErr error
	keysURL string
	found   time.Time // when keysURL was discovered
}

// flight is a fetch that several wait for.
type flight struct {
	done chan struct{}
	err  error // set before done is closed
}

// usable returns the keys, or an error when there are none that may be believed.
// Without Run it also reads them anew when they have become old.
func (s *keySet) usable(ctx context.Context) (*snapshot, error) {
	snap := s.current.Load()
	if snap == nil || (!s.running.Load() && time.Since(snap.fetched) > 2*s.opts.Refresh) {
		_, _ = s.learn(ctx, func(*snapshot) bool { return true }) // its error is reported by trusted
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return s.trusted()
}

// trusted returns the keys unless they are older than StaleFor allows.
func (s *keySet) trusted() (*snapshot, error) {
	snap := s.current.Load()
	if snap != nil && time.Since(snap.fetched) <= s.opts.Refresh+s.opts.StaleFor {
		return snap, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastErr != nil {
		return nil, s.lastErr
	}
	return nil, errors.New("no keys were fetched yet")
}

// learn reads the keys on behalf of a request that needs what want looks for, and
// reports whether it is there now. Requests share a fetch. A fetch that did not
// bring what was wanted starts the cool-down, one that did does not: so an issuer
// may change keys as often as it likes, and who sends made-up key ids causes one
// fetch per cool-down. Whoever joined a fetch that was under way looks a second
// time, because its answer may be older than the key.
func (s *keySet) learn(ctx context.Context, want func(*snapshot) bool) (bool, error) {
	for range 2 {
		led, err := s.join(ctx, want)
		if snap := s.current.Load(); snap != nil && want(snap) {
			return true, nil
		}
		if led || err != nil {
			return false, err
		}
	}
	return false, nil
}

// join waits for the fetch under way, or does one where the cool-down allows it.
// Without want it is the background's, which has no cool-down.
func (s *keySet) join(ctx context.Context, want func(*snapshot) bool) (led bool, err error) {
	s.mu.Lock()
	f := s.flight
	switch {
	case f != nil:
		s.mu.Unlock()
		select {
		case <-f.done:
			return false, f.err
		case <-ctx.Done():
			return false, ctx.Err()
		}
	case want != nil && time.Now().Before(s.cool):
		s.mu.Unlock()
		return false, errCooling
	}
	f = &flight{done: make(chan struct{}), err: errors.New("the fetch was abandoned")}
	s.flight = f
	if want != nil {
		s.cool = time.Now().Add(s.opts.CoolDown)
		ctx = context.WithoutCancel(ctx) // others wait for it too
	}
	s.mu.Unlock()
	defer s.land(f, want)
	f.err = s.read(ctx)
	return true, f.err
}

// land ends a flight, also when a transport of the user's panicked.
func (s *keySet) land(f *flight, want func(*snapshot) bool) {
	fruitful := f.err == nil && want != nil && want(s.current.Load())
	s.mu.Lock()
	defer s.mu.Unlock()
	if fruitful {
		s.cool = time.Time{}
	}
	s.flight, s.lastErr = nil, f.err
	close(f.done)
}

// read gets the keys once. The caller has the flight.
func (s *keySet) read(ctx context.Context) error {
	began := time.Now()
	keys, err := s.download(ctx)
	if err != nil {
		err = fmt.Errorf("auth: fetch keys of %s: %w", s.issuer.URL, err)
		s.opts.KeyHooks.fetched(ctx, s.issuer.URL, 0, time.Since(began), err)
		return err
	}
	// Believed since the request was sent: what the issuer removed later is not
	// seen, however long the answer took.
	s.current.Store(s.current.Load().succeed(keys, began))
	s.opts.KeyHooks.fetched(ctx, s.issuer.URL, len(keys), time.Since(began), nil)
	return nil
}

func (s *keySet) download(ctx context.Context) ([]*key, error) {
	address, err := s.address(ctx)
	if err != nil {
		return nil, err
	}
	data, err := s.fetch.get(ctx, address)
	if err != nil {
		s.forget()
		return nil, err
	}
	return parseKeys(data, s.algs, func(kid, reason string) {
		s.opts.KeyHooks.ignored(ctx, s.issuer.URL, kid, reason)
	})
}

// address returns where the keys are.
func (s *keySet) address(ctx context.Context) (string, error) {
	if s.issuer.KeysURL != "" {
		return s.issuer.KeysURL, nil
	}
	s.mu.Lock()
	known, found := s.keysURL, s.found
	s.mu.Unlock()
	if known != "" && time.Since(found) < discoveryAge {
		return known, nil
	}
	address, err := s.fetch.discover(ctx, s.issuer.URL, s.opts.AllowHTTP)
	if err != nil {
		return "", fmt.Errorf("discovery: %w", err)
	}
	s.mu.Lock()
	s.keysURL, s.found = address, time.Now()
	s.mu.Unlock()
	return address, nil
}

// forget makes the next fetch discover the address anew.
func (s *keySet) forget() {
	s.mu.Lock()
	s.keysURL = ""
	s.mu.Unlock()
}

// run reads the keys until ctx ends: every Refresh, and after a failure again
// after one second, two, four and so on up to Refresh. Half of each wait is
// random, so that many gateways do not ask together.
func (s *keySet) run(ctx context.Context) {
	s.running.Store(true)
	defer s.running.Store(false)
	retry := time.Second
	for ctx.Err() == nil {
		wait := s.opts.Refresh
		if _, err := s.join(ctx, nil); err != nil {
			wait, retry = min(retry, s.opts.Refresh), 2*min(retry, s.opts.Refresh)
		} else {
			retry = time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
	}
}

// status reports for health checks.
func (s *keySet) status() IssuerStatus {
	st := IssuerStatus{Issuer: s.issuer.URL}
	if snap := s.current.Load(); snap != nil {
		st.Keys, st.Fetched = len(snap.keys), snap.fetched
	}
	_, err := s.trusted()
	st.Usable = err == nil
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Err = s.lastErr
	return st
}
