package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan/internal/linear"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/store/storetest"
)

// histories are R6: what clients of several processes see, while these and the
// server are killed and stopped, can be explained by one order of their calls.
func histories() []campaign {
	bugs := []string{"skip-check", "stale-reads"}
	return []campaign{
		{id: "R6-sqlite", what: "100 histories of 2,000 calls over 3 processes, with kills and pauses", usual: "1 min", bugs: bugs, run: historiesSQLite},
		{id: "R6-postgres", what: "100 histories of 2,000 calls over 3 processes, with kills (also of the server), pauses and partitions", usual: "5 min", bugs: bugs, run: historiesPostgres},
	}
}

const (
	historyCount   = 100
	historyCalls   = 2000
	historyFaults  = 4 // in each history
	historyStreams = 5
	processes      = 3
	clientsEach    = 4
	// searchTime is for one history. One search that does not end spoils the run.
	searchTime = 2 * time.Minute
)

func historiesSQLite(ctx context.Context, e *env) (outcome, error) {
	url := sqliteFile(filepath.Join(e.dir, "victim.db")).url()
	return runHistories(ctx, &historyRun{env: e, urls: slices.Repeat([]string{url}, processes)})
}

func historiesPostgres(ctx context.Context, e *env) (o outcome, err error) {
	server, err := openServer(ctx, e.dir, nil)
	if err != nil {
		return o, err
	}
	o, err = throughLinks(ctx, e, server)
	return o, errors.Join(err, server.Close())
}

// throughLinks runs the histories with a link between each process and the
// server.
func throughLinks(ctx context.Context, e *env, server *pgtest.Server) (o outcome, err error) {
	dsn := server.DSN("victim")
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return o, err
	}
	address := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	r := &historyRun{env: e, server: server}
	for range processes {
		l, e := newLink(address)
		if err = e; err != nil {
			break
		}
		r.links = append(r.links, l)
		r.urls = append(r.urls, strings.Replace(dsn, address, l.address(), 1))
	}
	if err == nil {
		o, err = runHistories(ctx, r)
	}
	for _, l := range r.links {
		err = errors.Join(err, l.close())
	}
	return o, err
}

type historyRun struct {
	*env
	urls   []string       // of the store, for each process
	server *pgtest.Server // nil: SQLite
	links  []*link        // of the processes; none: SQLite
	fleet  []*service

	calls, acked, unknown, kills, pauses, restarts, partitions int
	longest                                                    time.Duration // search
}

func runHistories(ctx context.Context, r *historyRun) (o outcome, err error) {
	for _, url := range r.urls {
		s, e := startService(ctx, r.victim, "-serve", "-store", url, "-bug", r.bug)
		if err = e; err != nil {
			break
		}
		r.fleet = append(r.fleet, s)
	}
	if err == nil {
		o, err = r.run(ctx)
	}
	for _, s := range r.fleet {
		s.close()
	}
	return o, err
}

func (r *historyRun) run(ctx context.Context) (o outcome, err error) {
	count := r.size(historyCount)
	for i := range count {
		h := newHistory(r, i)
		if err := h.record(ctx); err != nil {
			return o, fmt.Errorf("history %d: %w", i+1, err)
		}
		start := time.Now()
		verdict := linear.StreamsResult(h.rec.Operations(), searchTime)
		r.longest = max(r.longest, time.Since(start))
		if verdict != porcupine.Ok {
			o.faults = append(o.faults, fmt.Sprintf("history %d of %d calls: the search for an order says %s", i+1, len(h.rec.Operations()), verdict))
		}
		if i%10 == 9 || i == count-1 || len(o.faults) > 0 {
			fmt.Printf("%d of %d histories, %s calls, %d faults found\n", i+1, count, thousands(r.calls), len(o.faults))
		}
		if r.bug != "" && len(o.faults) > 0 {
			count = i + 1
			break
		}
	}
	o.acked = r.acked
	o.did = fmt.Sprintf("%d histories, %s calls (%d of unknown outcome), %d kills and %d pauses of processes, %d kills of the server, %d partitions; longest search %v",
		count, thousands(r.calls), r.unknown, r.kills, r.pauses, r.restarts, r.partitions, r.longest.Round(time.Millisecond))
	return o, nil
}

// history is one of them: new streams, all clients.
type history struct {
	*historyRun
	number int
	rec    *storetest.Recorder
	calls  atomic.Int64 // recorded
}

func newHistory(r *historyRun, number int) *history {
	return &history{historyRun: r, number: number, rec: storetest.NewRecorder()}
}

func (h *history) stream(i int) string { return fmt.Sprintf("h%d-%d-%d", h.seed, h.number, i) }

// record lets the clients work, breaks things meanwhile, and reads every stream
// at the end.
func (h *history) record(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	errs := make([]error, processes*clientsEach)
	var wg sync.WaitGroup
	for i := range errs {
		c := newClient(h, i)
		wg.Go(func() { errs[i] = c.run(ctx) })
	}
	struck := h.faults(ctx)
	wg.Wait()
	if err := errors.Join(struck, errors.Join(errs...)); err != nil {
		return err
	}
	last := newClient(h, len(errs))
	for i := range historyStreams {
		for !last.read(ctx, i) {
			if ctx.Err() != nil {
				return fmt.Errorf("the streams cannot be read at the end: %w", ctx.Err())
			}
		}
	}
	h.count()
	return nil
}

func (h *history) count() {
	ops := h.rec.Operations()
	h.historyRun.calls += len(ops)
	for _, op := range ops {
		a, ok := op.Output.(linear.AppendAnswer)
		switch {
		case ok && a.Unknown:
			h.unknown++
		case ok && !a.Conflict && !a.Duplicate:
			h.acked++
		}
	}
}

// faults breaks something at random calls, spread over the history.
func (h *history) faults(ctx context.Context) error {
	for i := range historyFaults {
		at := int64(historyCalls*i/historyFaults + h.random.IntN(historyCalls/historyFaults))
		if err := h.reach(ctx, at); err != nil {
			return err
		}
		if err := h.strike(ctx); err != nil {
			return err
		}
	}
	return nil
}

// reach waits until so many calls are recorded.
func (h *history) reach(ctx context.Context, calls int64) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for h.calls.Load() < calls {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func (h *history) strike(ctx context.Context) error {
	i := h.random.IntN(len(h.fleet))
	if h.server != nil && h.random.IntN(2) == 0 {
		if h.random.IntN(3) == 0 {
			h.restarts++
			return errors.Join(h.server.Kill(), h.server.Start())
		}
		h.partitions++
		return h.partition(ctx, h.links[i])
	}
	if h.random.IntN(3) == 0 {
		h.pauses++
		return h.fleet[i].pause(h.moment())
	}
	h.kills++
	return h.fleet[i].restart(ctx)
}

// partition breaks a link both ways, or one way only: the server may have done
// what nobody hears of.
func (h *history) partition(ctx context.Context, l *link) error {
	ways := [][]direction{{requests}, {answers}, {requests, answers}}[h.random.IntN(3)]
	return l.partition(ctx, h.moment(), h.random.IntN(2) == 0, ways...)
}

func (h *history) moment() time.Duration { return h.between(20*time.Millisecond, 300*time.Millisecond) }
