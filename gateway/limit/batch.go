package limit

import (
	"context"
	"fmt"
	"sync"

	"github.com/banyanhq/banyan"
)

// batches collects requests while a call of the store is under way, and sends
// them with the next one. A goroutine runs only while requests wait.
type batches struct {
	take func([]Request) ([]Result, error)
	most int // requests in a call

	mu      sync.Mutex // guards the fields below
	waiting []*call
	running bool
	closed  bool
	worker  sync.WaitGroup
}

type call struct {
	request Request
	gone    bool          // guarded by batches.mu: nobody waits any more
	done    chan struct{} // closed when the fields below are there
	result  Result
	err     error
}

// do waits for the answer to a request. One whose context ends before it was
// sent is never sent.
func (b *batches) do(ctx context.Context, r Request) (Result, error) {
	c := &call{request: r, done: make(chan struct{})}
	if err := b.enqueue(c); err != nil {
		return Result{}, err
	}
	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
		b.mu.Lock()
		c.gone = true
		b.mu.Unlock()
		return Result{}, context.Cause(ctx)
	}
}

func (b *batches) enqueue(c *call) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return fmt.Errorf("limit: the cluster is %w", banyan.ErrClosed)
	}
	b.waiting = append(b.waiting, c)
	if !b.running {
		b.running = true
		b.worker.Go(b.run)
	}
	return nil
}

func (b *batches) run() {
	for {
		calls := b.next()
		if calls == nil {
			return
		}
		requests := make([]Request, len(calls))
		for i, c := range calls {
			requests[i] = c.request
		}
		results, err := b.take(requests)
		for i, c := range calls {
			if c.err = err; err == nil {
				c.result = results[i]
			}
			close(c.done)
		}
	}
}

// next takes the next batch; nil ends the worker.
func (b *batches) next() []*call {
	b.mu.Lock()
	defer b.mu.Unlock()
	var calls []*call
	for len(b.waiting) > 0 && len(calls) < b.most {
		if c := b.waiting[0]; !c.gone {
			calls = append(calls, c)
		}
		b.waiting[0] = nil
		b.waiting = b.waiting[1:]
	}
	b.running = calls != nil
	return calls
}

func (b *batches) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.worker.Wait()
}
