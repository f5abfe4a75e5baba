// Package linear checks that a store back end is linearizable: every history
// that concurrent clients saw can be explained by the calls having happened one
// after the other, each at some moment between its start and its end. It is for
// tests of back ends; the search is porcupine's.
//
// The model knows appends of one event to one stream or two, with every kind of
// expectation and with repetitions, and reads of a stream. A call whose outcome
// is unknown may take effect at any later moment or never. Streams is the same
// model for long histories in which each call is about one stream.
package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/store/storetest"
)

// streams is how many streams the clients fight for.
const streams = 3

// state is what the model knows: the event ids of each stream, each followed by
// a space. It is comparable, as the search needs it.
type state [streams]string

// part is an append of one event to one stream.
type part struct {
	stream int
	expect store.Expect
	id     string
}

// appendInput is a call of Append; readInput one of ReadStream.
type (
	appendInput []part
	readInput   int
)

// appendOutput is the answer to an append.
type appendOutput struct {
	unknown   bool
	conflict  store.ConflictError // Stream is empty when it was accepted
	duplicate bool
	revisions [2]banyan.Revision
}

// Model returns the sequential specification.
func Model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, input, output any) (bool, any) {
			if stream, ok := input.(readInput); ok {
				return s.(state)[stream] == output.(string), s
			}
			return step(s.(state), input.(appendInput), output.(appendOutput))
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	}
}

// step says whether the answer is right in this state, and what follows.
func step(s state, in appendInput, out appendOutput) (bool, any) {
	want, next := answer(s, in)
	if out.unknown {
		return true, next
	}
	return out == want, next
}

// answer is the specification of an append.
func answer(s state, in appendInput) (appendOutput, state) {
	var out appendOutput
	known := 0
	for i, p := range in {
		if at := strings.Index(s[p.stream], p.id+" "); at >= 0 {
			out.revisions[i] = banyan.Revision(strings.Count(s[p.stream][:at], " ") + 1)
			known++
		}
	}
	if known == len(in) {
		out.duplicate = true
		return out, s
	}
	next := s
	for i, p := range in {
		have := banyan.Revision(strings.Count(s[p.stream], " "))
		if !admits(p.expect, have) {
			return appendOutput{conflict: store.ConflictError{Stream: name(p.stream), Want: p.expect, Have: have}}, s
		}
		next[p.stream] += p.id + " "
		out.revisions[i] = have + 1
	}
	return out, next
}

func admits(x store.Expect, have banyan.Revision) bool {
	switch x {
	case store.Any:
		return true
	case store.Exists:
		return have > 0
	default:
		return int64(x) == int64(have)
	}
}

func name(stream int) string { return fmt.Sprintf("s-%d", stream) }

// Check runs clients that send ops calls each to the back end that open returns,
// and fails the test when no order explains what they saw.
func Check(t testing.TB, open func(testing.TB) store.Backend, ops, clients int) {
	t.Helper()
	seed := rand.Uint64()
	history, err := Run(t.Context(), open(t), Load{Ops: ops, Clients: clients, Seed: seed})
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	switch Result(history) {
	case porcupine.Illegal:
		t.Fatalf("seed %d: no order explains the %d calls of %d clients: the back end is not linearizable", seed, len(history), clients)
	case porcupine.Unknown:
		t.Fatalf("seed %d: the search did not end within %v; use fewer calls or clients", seed, searchTime)
	}
}

const searchTime = time.Minute

// Result searches for an order that explains a history.
func Result(history []storetest.Operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(Model(), operations(history), searchTime)
}

func operations(history []storetest.Operation) []porcupine.Operation {
	ops := make([]porcupine.Operation, len(history))
	for i, op := range history {
		ops[i] = porcupine.Operation{ClientId: op.Client, Input: op.Input, Call: op.Call, Output: op.Output, Return: op.Return}
	}
	return ops
}

// Load is what the clients do.
type Load struct {
	Ops     int // calls of each client
	Clients int
	Seed    uint64
	// Impatience cancels about one append in so many while it is under way.
	// Default: 10; negative: none.
	Impatience int
}

// Run lets the clients loose and returns what they saw.
func Run(ctx context.Context, b store.Backend, l Load) ([]storetest.Operation, error) {
	if l.Impatience == 0 {
		l.Impatience = 10
	}
	st, err := store.New(b, nil) // only to prepare commits; never closed, b is its caller's
	if err != nil {
		return nil, err
	}
	rec := storetest.NewRecorder()
	errs := make([]error, l.Clients)
	var wg sync.WaitGroup
	for i := range l.Clients {
		c := &client{number: i, b: b, st: st, rec: rec, load: l, rng: rand.New(rand.NewPCG(l.Seed, uint64(i)))}
		wg.Go(func() { errs[i] = c.run(ctx) })
	}
	wg.Wait()
	return rec.Operations(), errors.Join(errs...)
}

// client is one caller. It remembers what it last read, as a real one would, so
// that most of its exact expectations were right a moment ago.
type client struct {
	number int
	b      store.Backend
	st     *store.Store
	rec    *storetest.Recorder
	load   Load
	rng    *rand.Rand
	seen   [streams]banyan.Revision
	sent   []appendInput
	err    error
}

func (c *client) run(ctx context.Context) error {
	for n := 0; n < c.load.Ops && c.err == nil; n++ {
		if c.rng.IntN(3) == 0 {
			c.read(ctx, c.rng.IntN(streams))
			continue
		}
		c.append(ctx, c.next(n))
	}
	return c.err
}

// next chooses an append: new, or the repetition of an earlier one.
func (c *client) next(n int) appendInput {
	if len(c.sent) > 0 && c.rng.IntN(6) == 0 {
		return c.sent[c.rng.IntN(len(c.sent))]
	}
	first := c.rng.IntN(streams)
	in := appendInput{{stream: first, expect: c.expect(first), id: fmt.Sprintf("%d.%da", c.number, n)}}
	if c.rng.IntN(4) == 0 {
		second := (first + 1 + c.rng.IntN(streams-1)) % streams
		in = append(in, part{stream: second, expect: c.expect(second), id: fmt.Sprintf("%d.%db", c.number, n)})
	}
	c.sent = append(c.sent, in)
	return in
}

func (c *client) expect(stream int) store.Expect {
	switch c.rng.IntN(8) {
	case 0:
		return store.Any
	case 1:
		return store.Exists
	default:
		return store.Exact(c.seen[stream])
	}
}

func (c *client) read(ctx context.Context, stream int) {
	c.rec.Do(c.number, readInput(stream), func() (any, storetest.Verdict) {
		records, err := c.b.ReadStream(ctx, name(stream), store.Range{Limit: 1_000_000})
		if err != nil {
			c.err = fmt.Errorf("read: %w", err)
			return nil, storetest.Never
		}
		var ids strings.Builder
		for i := range records {
			ids.WriteString(records[i].ID + " ")
		}
		c.seen[stream] = banyan.Revision(len(records))
		return ids.String(), storetest.Done
	})
}

func (c *client) append(ctx context.Context, in appendInput) {
	writes := make([]store.Write, len(in))
	for i, p := range in {
		writes[i] = store.Write{Stream: name(p.stream), Expect: p.expect, Events: []banyan.Event{{ID: p.id, Type: "x", Data: []byte("1")}}}
	}
	commit, err := c.st.Prepare(ctx, writes)
	if err != nil {
		c.err = err
		return
	}
	if c.load.Impatience > 0 && c.rng.IntN(c.load.Impatience) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.rng.IntN(300))*time.Microsecond)
		defer cancel()
	}
	c.rec.Do(c.number, in, func() (any, storetest.Verdict) {
		outcomes, err := c.b.Append(ctx, []store.Commit{commit})
		switch {
		case err == nil && len(outcomes) == 1:
			return c.outcome(outcomes[0]), storetest.Done
		case errors.Is(err, banyan.ErrUnavailable):
			return nil, storetest.Never
		case ctx.Err() != nil:
			return appendOutput{unknown: true}, storetest.Unknown
		}
		c.err = fmt.Errorf("append: %d answers: %w", len(outcomes), err)
		return nil, storetest.Never
	})
}

func (c *client) outcome(o store.Outcome) appendOutput {
	out := appendOutput{duplicate: o.Duplicate}
	var conflict *store.ConflictError
	switch {
	case errors.As(o.Err, &conflict):
		out.conflict = *conflict
	case o.Err != nil:
		c.err = fmt.Errorf("append: %w", o.Err)
	}
	for i, r := range o.Records {
		out.revisions[i] = r.Revision
	}
	return out
}
