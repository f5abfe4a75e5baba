package limit_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/limit"
)

// What rules do while the store is down.
func TestDown(t *testing.T) {
	t.Parallel()
	tests := []struct {
		down limit.Down
		want []int // how many of 20 get which status
	}{
		{limit.DownShare, []int{3, 17, 0}}, // 10 by 4 processes, 2.5, of which 3 fit within 10 min
		{limit.DownOpen, []int{20, 0, 0}},
		{limit.DownClosed, []int{0, 0, 20}},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			store := &fake{Store: newMemory(t, 10), err: errors.New("down")}
			l := inCluster(t, store, 4, limit.ClusterOptions{}, limit.Rule{Rate: rate(t, "10/h"), Down: tt.down})[0]
			got := make([]int, 3)
			for i := range 20 {
				d := l.Decide(request("c", 1))
				switch {
				case d.Err == nil:
					t.Fatal("no error in the decision")
				case d.Allowed:
					got[0]++
				case d.Status == http.StatusTooManyRequests:
					got[1]++
				case d.Status == http.StatusServiceUnavailable:
					got[2]++
				}
				if i == 1 {
					time.Sleep(12 * time.Minute) // half a unit of the share comes back
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("allowed, 429, 503 with Down %d (-want +got):\n%s", tt.down, diff)
			}
		})
	}
}

// A rule that is closed decides for all, and one that is open for none; neither
// lets the others take what is then not used.
func TestDownOfSeveralRules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, &fake{err: errors.New("down")}, nil)
		limiter := func(second limit.Down) *limit.Limiter {
			return newLimiter(t, &limit.Options{Cluster: c}, limit.Rule{Name: "share", Rate: rate(t, "2/h")}, limit.Rule{Name: "second", Rate: rate(t, "1/h"), Down: second})
		}
		closed, open := limiter(limit.DownClosed), limiter(limit.DownOpen)
		for range 5 {
			if d := closed.Decide(request("c", 1)); d.Status != http.StatusServiceUnavailable || d.RetryAfter != time.Second {
				t.Errorf("closed: got %d, retry after %s, want 503, 1 s", d.Status, d.RetryAfter)
			}
		}
		for i := range 4 {
			if got, want := open.Decide(request("c", 1)).Allowed, i < 2; got != want {
				t.Errorf("open, request %d: allowed %t, want %t", i, got, want)
			}
		}
		got := ask(closed.Handler(ok()), request("c", 1))
		wantAnswer(t, "503", got, answer{503, nil, []string{`"share";q=2;w=3600, "second";q=1;w=3600`}, "1", "no-store"})
		got = ask(open.Handler(ok()), request("c", 1))
		wantAnswer(t, "429", got, answer{429, []string{`"share";r=0;t=1800`}, got.Policy, "1800", "no-store"})
	})
}

// A dead store costs the first requests the timeout and the others nothing, but
// one in each pause; when it is back it decides again.
func TestCircuit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fake{Store: newMemory(t, 10), delay: time.Hour}
		var failed []error
		l := inCluster(t, store, 1, limit.ClusterOptions{Pause: 2 * time.Second, StoreFailed: func(err error) { failed = append(failed, err) }},
			limit.Rule{Rate: rate(t, "1000/h"), Down: limit.DownOpen})[0]
		timed := func() time.Duration {
			began := time.Now()
			if d := l.Decide(request("c", 1)); !d.Allowed {
				t.Fatalf("refused: %+v", d)
			}
			took := time.Since(began)
			if took > 0 {
				synctest.Wait() // for the call, which ends at the same time
			}
			return took
		}
		const timeout = 50 * time.Millisecond
		var took []time.Duration
		for range 10 {
			took = append(took, timed())
		}
		want := []time.Duration{timeout, timeout, timeout, 0, 0, 0, 0, 0, 0, 0}
		if diff := cmp.Diff(want, took); diff != "" {
			t.Errorf("times (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Second)
		var wg sync.WaitGroup
		took = make([]time.Duration, 3)
		for i := range took { // one tries; the others come while it does
			wg.Go(func() { took[i] = timed() })
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		if diff := cmp.Diff([]time.Duration{timeout, 0, 0}, took); diff != "" {
			t.Errorf("times after the pause (-want +got):\n%s", diff)
		}
		if len(failed) != 4 || !errors.Is(failed[0], context.DeadlineExceeded) {
			t.Errorf("failures: %v, want 4 deadlines", failed)
		}
		store.set(nil, 0)
		time.Sleep(2 * time.Second)
		for range 2 {
			if d := l.Decide(request("c", 1)); d.Err != nil {
				t.Errorf("after the pause the store is back, got %v", d.Err)
			}
		}
	})
}

// A store that does not even obey its context holds up nobody for longer.
func TestStoreThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		l := inCluster(t, hanging{end}, 1, limit.ClusterOptions{}, limit.Rule{Rate: rate(t, "1/h"), Down: limit.DownOpen})[0]
		began := time.Now()
		for range 10 {
			if d := l.Decide(request("c", 1)); !errors.Is(d.Err, banyan.ErrUnavailable) {
				t.Errorf("got %v, want unavailable", d.Err)
			}
		}
		if took := time.Since(began); took > 3*50*time.Millisecond {
			t.Errorf("10 requests took %s, want three times the timeout at most", took)
		}
		close(end)
	})
}

type hanging struct{ end chan struct{} }

func (h hanging) Take(context.Context, []limit.Request) ([]limit.Result, error) {
	<-h.end
	return nil, errors.New("too late")
}

// A store that answers nonsense is one that failed.
func TestStoreThatAnswersNonsense(t *testing.T) {
	t.Parallel()
	for _, results := range [][]limit.Result{nil, {{}}, {{Allowed: true}, {}}, {{Levels: make([]limit.Level, 2)}}} {
		l := inCluster(t, nonsense(results), 1, limit.ClusterOptions{}, limit.Rule{Rate: rate(t, "1/h"), Down: limit.DownClosed})[0]
		if d := l.Decide(request("c", 1)); d.Status != http.StatusServiceUnavailable || d.Err == nil || !strings.HasPrefix(d.Err.Error(), "limit: ") {
			t.Errorf("%v: status %d, %v, want 503 and an error", results, d.Status, d.Err)
		}
	}
}

type nonsense []limit.Result

func (n nonsense) Take(context.Context, []limit.Request) ([]limit.Result, error) { return n, nil }
