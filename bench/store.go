package bench

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// Options of a run.
type Options struct {
	// Rounds of each case; the median counts. Default: 5.
	Rounds int
	// Round is how long each half of a round lasts. Default: 2 s.
	Round time.Duration
	// Events is the length of the log that is read. Default: 1,000,000.
	Events int
	// Clients of the case with one event an append. Default: 16 on PostgreSQL,
	// 64 on SQLite.
	Clients int
	// Cases to run, by name; empty means all.
	Cases []string
	// Progress is told what happens; nil means nobody.
	Progress func(text string)
}

func (o *Options) defaults() {
	if o.Rounds == 0 {
		o.Rounds = 5
	}
	if o.Round == 0 {
		o.Round = 2 * time.Second
	}
	if o.Events == 0 {
		o.Events = 1_000_000
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
}

// Result is one line of the table.
type Result struct {
	Name     string  `json:"name"`
	Backend  string  `json:"backend"`
	Clients  int     `json:"clients"`
	Rate     float64 `json:"ops_per_s"` // events in a second; in case open, starts
	Baseline float64 `json:"baseline_ops_per_s"`
	Ratio    float64 `json:"ratio"`
	// MemoryMB is by how much the memory of the process grew at most while the
	// store read; of case read-all only.
	MemoryMB float64 `json:"memory_mb,omitempty"`
}

// target is one technology: its store, and the bare driver beside it.
type target interface {
	store() *store.Store
	clients() int
	// insert writes rows with the bare driver in one transaction.
	insert(ctx context.Context, rows []row) error
	// readAll reads every row of the log that the store keeps, all columns, with
	// the bare driver, and returns how many there were.
	readAll(ctx context.Context) (int, error)
	// restart closes the store, opens it again, and returns how long it took from
	// then until the head was known and an event was read.
	restart(ctx context.Context) (time.Duration, error)
	// bareStart is how long the bare driver takes to connect and read a row.
	bareStart(ctx context.Context) (time.Duration, error)
	close() error
}

// row is what the bare driver inserts: the columns of a stored event.
type row struct {
	id, stream, kind, source string
	revision                 int64
	time                     time.Time
	data, meta               []byte
}

// Store runs the cases on the database of a URL: "sqlite:FILE" or
// "postgres://…". It wants an empty database and refuses one with events.
func Store(ctx context.Context, url string, o *Options) ([]Result, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.defaults()
	t, name, err := open(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	results, err := runAll(ctx, t, name, opts)
	if err = errors.Join(err, t.close()); err != nil {
		return nil, fmt.Errorf("bench: %s: %w", name, err)
	}
	return results, nil
}

func open(ctx context.Context, url string) (target, string, error) {
	switch scheme, rest, _ := strings.Cut(url, ":"); scheme {
	case "sqlite":
		t, err := openSQLite(ctx, rest)
		return t, "sqlite", err
	case "postgres", "postgresql":
		t, err := openPostgres(ctx, url)
		return t, "postgres", err
	default:
		return nil, "", fmt.Errorf("store URL with scheme %q: %w: want sqlite:FILE or postgres://…", scheme, banyan.ErrInvalid)
	}
}

func runAll(ctx context.Context, t target, name string, o Options) ([]Result, error) {
	head, err := t.store().Head(ctx)
	if err != nil {
		return nil, err
	}
	if head > 0 {
		return nil, fmt.Errorf("the store has %d events: %w: a benchmark wants an empty database", head, banyan.ErrInvalid)
	}
	one := o.Clients
	if one == 0 {
		one = t.clients()
	}
	cases := []struct {
		name    string
		clients int
		run     func(clients int) (Result, error)
	}{
		{"append-1", one, func(clients int) (Result, error) { return appends(ctx, t, o, clients, 1) }},
		{"append-100", 1, func(clients int) (Result, error) { return appends(ctx, t, o, clients, 100) }},
		{"read-all", 1, func(int) (Result, error) { return reads(ctx, t, o) }},
		{"open", 1, func(int) (Result, error) { return starts(ctx, t, o) }},
	}
	var results []Result
	for _, c := range cases {
		if len(o.Cases) > 0 && !slices.Contains(o.Cases, c.name) {
			continue
		}
		o.Progress(fmt.Sprintf("%s %s, %d clients, %d rounds", name, c.name, c.clients, o.Rounds))
		r, err := c.run(c.clients)
		if err != nil {
			return results, fmt.Errorf("%s: %w", c.name, err)
		}
		r.Name, r.Backend, r.Clients, r.Ratio = c.name, name, c.clients, r.Rate/r.Baseline
		results = append(results, r)
	}
	return results, nil
}

// appends measures appends of size events by so many clients, in turn with the
// bare driver.
func appends(ctx context.Context, t target, o Options, clients, size int) (Result, error) {
	var mine, theirs []float64
	for range o.Rounds {
		rate, err := load(ctx, o.Round, clients, size, func(ctx context.Context, rows []row) error { return t.insert(ctx, rows) })
		if err != nil {
			return Result{}, fmt.Errorf("baseline: %w", err)
		}
		theirs = append(theirs, rate)
		rate, err = load(ctx, o.Round, clients, size, func(ctx context.Context, rows []row) error {
			events := make([]banyan.Event, len(rows))
			for i, r := range rows {
				events[i] = banyan.Event{ID: r.id, Type: r.kind, Source: r.source, Time: r.time, Data: r.data, Meta: meta(r.id)}
			}
			_, err := t.store().Append(ctx, rows[0].stream, store.Exact(banyan.Revision(rows[0].revision-1)), events...)
			return err
		})
		if err != nil {
			return Result{}, err
		}
		mine = append(mine, rate)
	}
	return Result{Rate: median(mine), Baseline: median(theirs)}, nil
}

// appendsPerStream is how many appends a stream gets before the next is begun,
// like an order that is placed, paid, packed and sent.
const appendsPerStream = 4

// load lets clients write for a while and returns the events in a second.
func load(ctx context.Context, d time.Duration, clients, size int, write func(context.Context, []row) error) (float64, error) {
	var events atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for range clients {
		g.Go(func() error {
			for n := 0; time.Since(start) < d; n += appendsPerStream {
				stream := "order-" + banyan.NewID()
				for k := range appendsPerStream {
					if err := write(ctx, rows(stream, k*size, size)); err != nil {
						return err
					}
					events.Add(int64(size))
				}
			}
			return nil
		})
	}
	err := g.Wait()
	return float64(events.Load()) / time.Since(start).Seconds(), err
}

func rows(stream string, after, n int) []row {
	out := make([]row, n)
	for i := range out {
		id := banyan.NewID()
		out[i] = row{
			id: id, stream: stream, kind: "order.placed", source: "/bench", revision: int64(after + i + 1), time: time.Now(),
			data: fmt.Appendf(nil, `{"number":%q,"customer":"17850","country":"United Kingdom","lines":[{"sku":"85123A","quantity":6,"price":"2.55"},{"sku":"71053","quantity":6,"price":"3.39"}],"total":"35.64"}`, stream),
			meta: fmt.Appendf(nil, `{"correlation":%q,"causation":%q}`, id, id),
		}
	}
	return out
}

func meta(id string) banyan.Metadata { return banyan.Metadata{Correlation: id, Causation: id} }

// reads fills the log up to the wanted length and reads it to the end, in turn
// with a bare select of the same rows.
func reads(ctx context.Context, t target, o Options) (Result, error) {
	if err := fill(ctx, t.store(), o); err != nil {
		return Result{}, err
	}
	var mine, theirs []float64
	var most int64
	for range o.Rounds {
		start := time.Now()
		n, err := t.readAll(ctx)
		if err != nil {
			return Result{}, fmt.Errorf("baseline: %w", err)
		}
		theirs = append(theirs, float64(n)/time.Since(start).Seconds())
		m := 0
		var took time.Duration
		grown, err := growth(func() (err error) {
			start := time.Now()
			m, err = count(t.store().All(ctx, 0, store.Filter{}))
			took = time.Since(start)
			return err
		})
		if err != nil {
			return Result{}, err
		}
		if m != n {
			return Result{}, fmt.Errorf("the store read %d events, the bare select %d: %w", m, n, banyan.ErrCorrupt)
		}
		mine = append(mine, float64(m)/took.Seconds())
		most = max(most, grown)
	}
	return Result{Rate: median(mine), Baseline: median(theirs), MemoryMB: float64(most) / (1 << 20)}, nil
}

// starts measures how long it takes until a store with a long log is ready, in
// turn with the bare driver.
func starts(ctx context.Context, t target, o Options) (Result, error) {
	if err := fill(ctx, t.store(), o); err != nil {
		return Result{}, err
	}
	var mine, theirs []float64
	for range o.Rounds {
		took, err := t.bareStart(ctx)
		if err != nil {
			return Result{}, fmt.Errorf("baseline: %w", err)
		}
		theirs = append(theirs, 1/took.Seconds())
		if took, err = t.restart(ctx); err != nil {
			return Result{}, err
		}
		mine = append(mine, 1/took.Seconds())
	}
	return Result{Rate: median(mine), Baseline: median(theirs)}, nil
}

// ready makes sure that a store answers.
func ready(ctx context.Context, s *store.Store) error {
	if _, err := s.Head(ctx); err != nil {
		return err
	}
	page, err := s.ReadPage(ctx, 0, store.Filter{}, 1)
	if err == nil && len(page.Events) != 1 {
		err = fmt.Errorf("the store has no event after it was opened again: %w", banyan.ErrCorrupt)
	}
	return err
}

func count(events iter.Seq2[banyan.Event, error]) (n int, err error) {
	for _, err := range events {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// fill appends until the log has the wanted length, 16 clients with 10 events
// an append.
func fill(ctx context.Context, s *store.Store, o Options) error {
	head, err := s.Head(ctx)
	if err != nil {
		return err
	}
	left := int64(o.Events) - int64(head)
	if left <= 0 {
		return nil
	}
	o.Progress(fmt.Sprintf("filling the log up to %d events", o.Events))
	const clients, size = 16, 10
	var taken atomic.Int64
	g, filling := errgroup.WithContext(ctx)
	for range clients {
		g.Go(func() error {
			for taken.Add(size) <= left+size-1 {
				stream := "order-" + banyan.NewID()
				events := make([]banyan.Event, 0, size)
				for _, r := range rows(stream, 0, size) {
					events = append(events, banyan.Event{ID: r.id, Type: r.kind, Source: r.source, Time: r.time, Data: r.data, Meta: meta(r.id)})
				}
				if _, err := s.Append(filling, stream, store.NoStream, events...); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, err = s.Head(ctx) // where positions come later, they come before the clock starts
	return err
}

func median(values []float64) float64 {
	slices.Sort(values)
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}
