package limittest_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/gateway/limit/limittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a right one, in memory, with what a mutant may change.
type server struct {
	mu   sync.Mutex
	tats map[string]int64 // guarded by mu; when each bucket is full
	dead bool             // guarded by mu

	now      func() int64
	round    int64                                        // debts are multiples of it
	decide   func(debt, cost, capacity int64) bool        // whether a charge fits
	extra    func(want, room int64) int64                 // what is taken besides
	owed     func(tat, now, capacity int64) int64         // a bucket's debt
	charge   func(allowed bool) bool                      // whether a request is charged
	answer   func([]limit.Result) ([]limit.Result, error) // what is told
	forget   bool                                         // each store has its own buckets
	unlocked bool                                         // between the check and the change
	deaf     bool                                         // never back
	lost     error                                        // what a dead one says
}

func newServer() *server {
	return &server{
		tats:   map[string]int64{},
		now:    func() int64 { return time.Now().UnixNano() },
		round:  1,
		decide: func(debt, cost, capacity int64) bool { return debt+cost <= capacity },
		extra:  func(want, room int64) int64 { return min(want, room) },
		owed:   func(tat, now, capacity int64) int64 { return min(max(tat-now, 0), capacity) },
		charge: func(allowed bool) bool { return allowed },
		answer: func(r []limit.Result) ([]limit.Result, error) { return r, nil },
		lost:   banyan.ErrUnavailable,
	}
}

func (s *server) Take(_ context.Context, requests []limit.Request) ([]limit.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return nil, s.lost
	}
	now := s.now()
	results := make([]limit.Result, len(requests))
	for i, r := range requests {
		results[i] = s.take(r, now)
	}
	return s.answer(results)
}

func (s *server) take(r limit.Request, now int64) limit.Result {
	result := limit.Result{Allowed: true, Levels: make([]limit.Level, len(r.Charges))}
	debts := make([]int64, len(r.Charges))
	for i, c := range r.Charges {
		debts[i] = s.owed(s.tats[c.Key], now, int64(c.Capacity))
		result.Allowed = result.Allowed && s.decide(debts[i], int64(c.Cost), int64(c.Capacity))
	}
	if s.unlocked {
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
	for i, c := range r.Charges {
		if s.charge(result.Allowed) {
			extra := s.extra(int64(c.Extra), int64(c.Capacity-c.Cost)-debts[i])
			result.Levels[i].Extra = time.Duration(extra)
			debts[i] += int64(c.Cost) + extra
		}
		debts[i] -= debts[i] % s.round
		result.Levels[i].Debt = time.Duration(debts[i])
		s.tats[c.Key] = now + debts[i]
	}
	return result
}

func (s *server) open(testing.TB) limit.Store {
	if s.forget {
		return newServer()
	}
	return s
}

func (s *server) shift(_ testing.TB, by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.tats {
		s.tats[key] -= int64(by)
	}
}

func (s *server) kill(testing.TB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = true
}

func (s *server) start(testing.TB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = s.deaf
	clear(s.tats)
}

func harness(breakIt func(*server)) limittest.Harness {
	make := func(testing.TB) limittest.Server {
		s := newServer()
		breakIt(s)
		return limittest.Server{Open: s.open, Shift: s.shift, Kill: s.kill, Start: s.start, Forgets: true}
	}
	return limittest.Harness{New: make, Mortal: make}
}

func TestRightStore(t *testing.T) {
	t.Parallel()
	h := harness(func(*server) {})
	limittest.Run(t, h)
	limittest.Exact(t, h.New, 300*time.Millisecond, nil)
}

// The memory of one process is a store for several clusters in it.
func TestMemory(t *testing.T) {
	t.Parallel()
	start := func(t testing.TB) limittest.Server {
		m, err := limit.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		return limittest.Server{Open: func(testing.TB) limit.Store { return m }}
	}
	limittest.Run(t, limittest.Harness{New: start})
	limittest.Exact(t, start, 300*time.Millisecond, nil)
}

// Each of these stores breaks one promise, and the check of that promise finds it.
func TestBrokenStores(t *testing.T) {
	t.Parallel()
	caught := map[string]bool{}
	for _, m := range []struct {
		name, check string
		breakIt     func(*server)
	}{
		{"allows all", "Decisions", func(s *server) { s.decide = func(_, _, _ int64) bool { return true } }},
		{"allows a nanosecond less than there is", "Decisions", func(s *server) {
			s.decide = func(debt, cost, capacity int64) bool { return debt+cost < capacity }
		}},
		{"charges what it refuses", "Decisions", func(s *server) { s.charge = func(bool) bool { return true } }},
		{"gives no extra", "Decisions", func(s *server) { s.extra = func(_, _ int64) int64 { return 0 } }},
		{"gives more extra than there is", "Decisions", func(s *server) { s.extra = func(want, _ int64) int64 { return want } }},
		{"answers in another order", "Decisions", func(s *server) {
			s.answer = func(r []limit.Result) ([]limit.Result, error) { slices.Reverse(r); return r, nil }
		}},
		{"leaves an answer out", "Decisions", func(s *server) {
			s.answer = func(r []limit.Result) ([]limit.Result, error) { return r[:len(r)-1], nil }
		}},
		{"rounds to a microsecond", "Debts", func(s *server) { s.round = 1000 }},
		{"has a clock that stands", "Debts", func(s *server) { s.now = func() int64 { return math.MaxInt64 / 4 } }},
		{"takes few at once", "AnySize", func(s *server) {
			s.answer = func(r []limit.Result) ([]limit.Result, error) {
				if len(r) > 8000 {
					return nil, errors.New("too many results to unpack")
				}
				return r, nil
			}
		}},
		{"does not lock", "Concurrency", func(s *server) { s.unlocked = true }},
		{"shares nothing", "Concurrency", func(s *server) { s.forget = true }},
		{"believes a debt of any size", "Clock", func(s *server) {
			s.owed = func(tat, now, _ int64) int64 { return max(tat-now, 0) }
		}},
		{"counts a credit", "Clock", func(s *server) {
			s.owed = func(tat, now, capacity int64) int64 {
				if tat == 0 {
					return 0
				}
				return min(tat-now, capacity)
			}
		}},
		{"gives no lease", "Leases", func(s *server) { s.extra = func(_, _ int64) int64 { return 0 } }},
		{"does not come back", "Outage", func(s *server) { s.deaf = true }},
		{"dies without a kind", "Outage", func(s *server) { s.lost = errors.New("gone") }},
		{"shares nothing", "Exact", func(s *server) { s.forget = true }},
		{"has a clock that runs", "Exact", func(s *server) {
			began := time.Now()
			s.now = func() int64 { return began.UnixNano() + 2*int64(time.Since(began)) }
		}},
		{"charges what it refuses", "Exact", func(s *server) { s.charge = func(bool) bool { return true } }},
	} {
		caught[m.check] = true
		t.Run(fmt.Sprintf("%s/%s", m.check, m.name), func(t *testing.T) {
			t.Parallel()
			if limittest.RunCheck(t, harness(m.breakIt), m.check) == "" {
				t.Errorf("%s lets a store pass that %s", m.check, m.name)
			}
		})
	}
	for _, name := range limittest.CheckNames() {
		if !caught[name] {
			t.Errorf("nothing shows that %s finds anything", name)
		}
	}
}
