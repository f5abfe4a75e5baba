package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/linear"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/store/storetest"
)

// client makes calls, one after the other, of one process. It remembers what it
// last read, as a real one would, so that most of its expectations were right a
// moment ago.
type client struct {
	*history
	number  int
	service *service
	rng     *rand.Rand
	seen    [historyStreams]banyan.Revision
	sent    []linear.Append
	streams map[string]int
	err     error
}

func newClient(h *history, number int) *client {
	c := &client{history: h, number: number, service: h.fleet[number%len(h.fleet)], rng: rand.New(rand.NewPCG(h.seed, uint64(h.number*1000+number))), streams: map[string]int{}}
	for i := range historyStreams {
		c.streams[h.stream(i)] = i
	}
	return c
}

// run makes calls until the history is long enough.
func (c *client) run(ctx context.Context) error {
	for n := 0; c.calls.Load() < historyCalls && c.err == nil; n++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		answered := false
		if c.rng.IntN(3) == 0 {
			answered = c.read(ctx, c.rng.IntN(historyStreams))
		} else {
			answered = c.append(ctx, c.next(n))
		}
		if answered {
			c.calls.Add(1)
			continue
		}
		select { // what failed will fail again at once
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return c.err
}

// next chooses an append: new, or the repetition of an earlier one.
func (c *client) next(n int) linear.Append {
	if len(c.sent) > 0 && c.rng.IntN(8) == 0 {
		return c.sent[c.rng.IntN(len(c.sent))]
	}
	i := c.rng.IntN(historyStreams)
	in := linear.Append{Stream: c.stream(i), Expect: store.Exact(c.seen[i]), ID: fmt.Sprintf("%d.%d.%d.%d", c.seed, c.history.number, c.number, n)}
	switch c.rng.IntN(10) {
	case 0:
		in.Expect = store.Any
	case 1:
		in.Expect = store.Exists
	}
	c.sent = append(c.sent, in)
	return in
}

// read reads a stream; false: there was no answer.
func (c *client) read(ctx context.Context, i int) (answered bool) {
	in := linear.Read{Stream: c.stream(i)}
	c.rec.Do(c.number, in, func() (any, storetest.Verdict) {
		answer, alive := c.service.call(ctx, "read "+in.Stream)
		ids, ok := strings.CutPrefix(answer, "events ")
		if !alive || !ok {
			c.unexpected(answer, alive)
			return nil, storetest.Never // a read leaves nothing behind
		}
		c.seen[i] = banyan.Revision(strings.Count(ids, " "))
		answered = true
		return ids, storetest.Done
	})
	return answered
}

// append appends; false: it certainly did not happen.
func (c *client) append(ctx context.Context, in linear.Append) (happened bool) {
	c.rec.Do(c.number, in, func() (any, storetest.Verdict) {
		answer, alive := c.service.call(ctx, fmt.Sprintf("append %s %d %s", in.Stream, int64(in.Expect), in.ID))
		word, rest, _ := strings.Cut(answer, " ")
		out := linear.AppendAnswer{Unknown: !alive || word == "unknown", Conflict: word == "conflict", Duplicate: word == "again"}
		happened = true
		switch {
		case out.Unknown:
			return linear.AppendAnswer{Unknown: true}, storetest.Unknown
		case word == "done" || out.Conflict || out.Duplicate:
			if _, err := fmt.Sscan(rest, &out.Revision); err != nil {
				c.err = fmt.Errorf("the victim said %q: %w", answer, err)
			}
			c.seen[c.streams[in.Stream]] = max(c.seen[c.streams[in.Stream]], out.Revision)
			return out, storetest.Done
		}
		c.unexpected(answer, alive)
		happened = false
		return nil, storetest.Never
	})
	return happened
}

// unexpected ends the client when an answer makes no sense. Unavailable does: it
// promises that nothing happened, and the search counts on it.
func (c *client) unexpected(answer string, alive bool) {
	if alive && !strings.HasPrefix(answer, "unavailable ") {
		c.err = fmt.Errorf("the victim said %q", answer)
	}
}
