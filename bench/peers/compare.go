package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/banyanhq/banyan"
)

// clients of append-1, and of every fill.
const clients = 16

type options struct {
	rounds   int
	round    time.Duration
	events   int
	progress func(text string)
}

// result is one peer in one case. Ratio is Banyan's rate by the peer's.
type result struct {
	Name    string  `json:"name"`
	System  string  `json:"system"`
	Clients int     `json:"clients"`
	Rate    float64 `json:"ops_per_s"` // events in a second
	Banyan  float64 `json:"banyan_ops_per_s"`
	Ratio   float64 `json:"ratio"`
}

// system is an event store that runs, alone in its database. insert and readAll
// may be called by many goroutines.
type system interface {
	// insert stores rows of one stream in one append; it must fail if the stream
	// already has the version of the first.
	insert(ctx context.Context, rows []row) error
	// settle does what inserts have put off until somebody reads.
	settle(ctx context.Context) error
	// readAll reads all events in the system's order and returns how many there
	// were.
	readAll(ctx context.Context) (int, error)
	close() error
}

// contender is a system before it runs. The first one is Banyan.
type contender struct {
	name string
	open func(ctx context.Context, dsn string) (system, error)
}

func contenders() []contender {
	return []contender{
		{"banyan", openBanyan},
		{"goes " + version("github.com/modernice/goes"), openGoes},
		{"hallgren sql " + version("github.com/hallgren/eventsourcing/eventstore/sql"), openHallgren},
	}
}

// version asks the binary, so that the table cannot name another version than the
// one that ran.
func version(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module {
				return m.Version
			}
		}
	}
	return "(unknown version)"
}

// benchCase runs on systems whose databases nobody has used before.
type benchCase struct {
	name    string
	clients int
	prepare func(ctx context.Context, s system, dsn string, o options) error
	measure func(ctx context.Context, s system, o options) (float64, error)
}

func cases() []benchCase {
	return []benchCase{
		{"append-1", clients, refuses, appends},
		{"read-all", 1, fill, reads},
	}
}

func compare(ctx context.Context, s *server, o options) ([]result, error) {
	var results []result
	for _, c := range cases() {
		lines, err := c.run(ctx, s, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		results = append(results, lines...)
	}
	return results, nil
}

func (c benchCase) run(ctx context.Context, srv *server, o options) (_ []result, err error) {
	all := contenders()
	systems := make([]system, len(all))
	for i, who := range all {
		dsn, name, err := srv.create(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, srv.drop(ctx, name)) }()
		if systems[i], err = who.open(ctx, dsn); err != nil {
			return nil, fmt.Errorf("%s: open: %w", who.name, err)
		}
		defer func() { err = errors.Join(err, systems[i].close()) }()
		o.progress(fmt.Sprintf("%s: preparing %s", c.name, who.name))
		if err := c.prepare(ctx, systems[i], dsn, o); err != nil {
			return nil, fmt.Errorf("%s: %w", who.name, err)
		}
	}
	rates := make([][]float64, len(all))
	for round := range o.rounds {
		for turn := range all {
			i := (round + turn) % len(all)
			runtime.GC() // nobody clears up after the one before
			rate, err := c.measure(ctx, systems[i], o)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].name, err)
			}
			rates[i] = append(rates[i], rate)
			o.progress(fmt.Sprintf("%s: round %d of %d: %s: %.0f events/s", c.name, round+1, o.rounds, all[i].name, rate))
		}
	}
	var results []result
	banyan := median(rates[0])
	for i := 1; i < len(all); i++ {
		rate := median(rates[i])
		results = append(results, result{Name: c.name, System: all[i].name, Clients: c.clients, Rate: rate, Banyan: banyan, Ratio: banyan / rate})
	}
	return results, nil
}

// refuses makes sure that the system has optimistic concurrency: it must take a
// version once.
func refuses(ctx context.Context, s system, _ string, _ options) error {
	stream := banyan.NewID()
	if err := s.insert(ctx, rows(stream, 0, 1)); err != nil {
		return err
	}
	if err := s.insert(ctx, rows(stream, 0, 1)); err == nil {
		return errors.New("two events were taken as version 1 of a stream: that is no optimistic concurrency")
	}
	return s.insert(ctx, rows(stream, 1, 1))
}

// appendsPerStream is how many appends a stream gets before the next is begun,
// like an order that is placed, paid, packed and sent.
const appendsPerStream = 4

func appends(ctx context.Context, s system, o options) (float64, error) {
	var events atomic.Int64
	start := time.Now()
	g, working := errgroup.WithContext(ctx)
	for range clients {
		g.Go(func() error {
			for time.Since(start) < o.round {
				stream := banyan.NewID()
				for k := range appendsPerStream {
					if err := s.insert(working, rows(stream, k, 1)); err != nil {
						return err
					}
					events.Add(1)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	if err := s.settle(ctx); err != nil {
		return 0, err
	}
	return float64(events.Load()) / time.Since(start).Seconds(), nil
}

// fill makes a log of the wanted length, 10 events an append.
func fill(ctx context.Context, s system, dsn string, o options) error {
	const size = 10
	var taken atomic.Int64
	g, working := errgroup.WithContext(ctx)
	for range clients {
		g.Go(func() error {
			for {
				left := o.events - int(taken.Add(size)-size)
				if left <= 0 {
					return nil
				}
				if err := s.insert(working, rows(banyan.NewID(), 0, min(left, size))); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return errors.Join(s.settle(ctx), tidy(ctx, dsn))
}

func reads(ctx context.Context, s system, o options) (float64, error) {
	total := 0
	start := time.Now()
	for time.Since(start) < o.round {
		n, err := s.readAll(ctx)
		if err != nil {
			return 0, err
		}
		if n != o.events {
			return 0, fmt.Errorf("%d events were read of %d: %w", n, o.events, banyan.ErrCorrupt)
		}
		total += n
	}
	return float64(total) / time.Since(start).Seconds(), nil
}

// row is an event in everybody's terms. A stream is an aggregate of type "order";
// its id is a UUID, because goes takes nothing else.
type row struct {
	id, aggregate, kind, source string
	version                     int
	time                        time.Time
	data, meta                  []byte
}

func rows(aggregate string, after, n int) []row {
	out := make([]row, n)
	for i := range out {
		id := banyan.NewID()
		out[i] = row{
			id: id, aggregate: aggregate, kind: "order.placed", source: "/bench", version: after + i + 1, time: time.Now(),
			data: fmt.Appendf(nil, `{"number":"order-%s","customer":"17850","country":"United Kingdom","lines":[{"sku":"85123A","quantity":6,"price":"2.55"},{"sku":"71053","quantity":6,"price":"3.39"}],"total":"35.64"}`, aggregate),
			meta: fmt.Appendf(nil, `{"correlation":%q,"causation":%q}`, id, id),
		}
	}
	return out
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}
