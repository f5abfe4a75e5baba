package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

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
		{id: "R6-postgres", what: "100 histories of 2,000 calls over 3 processes, with kills (also of the server) and pauses", usual: "5 min", bugs: bugs, run: historiesPostgres},
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
	return runHistories(ctx, &historyRun{env: e, url: sqliteFile(filepath.Join(e.dir, "victim.db")).url()})
}

func historiesPostgres(ctx context.Context, e *env) (o outcome, err error) {
	server, err := openServer(ctx, e.dir, nil)
	if err != nil {
		return o, err
	}
	o, err = runHistories(ctx, &historyRun{env: e, url: server.DSN("victim"), server: server})
	return o, errors.Join(err, server.Close())
}

type historyRun struct {
	*env
	url    string
	server *pgtest.Server // nil: SQLite
	fleet  []*service

	calls, acked, unknown, kills, pauses, restarts int
	longest                                        time.Duration // search
}

func runHistories(ctx context.Context, r *historyRun) (o outcome, err error) {
	for range processes {
		s, e := startService(ctx, r.victim, "-serve", "-store", r.url, "-bug", r.bug)
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
	o.did = fmt.Sprintf("%d histories, %s calls (%d of unknown outcome), %d kills and %d pauses of processes, %d kills of the server; longest search %v",
		count, thousands(r.calls), r.unknown, r.kills, r.pauses, r.restarts, r.longest.Round(time.Millisecond))
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
	s := h.fleet[h.random.IntN(len(h.fleet))]
	switch n := h.random.IntN(6); {
	case h.server != nil && n < 2:
		h.restarts++
		return errors.Join(h.server.Kill(), h.server.Start())
	case n < 4:
		h.kills++
		return s.restart(ctx)
	default:
		h.pauses++
		return s.pause(h.between(20*time.Millisecond, 300*time.Millisecond))
	}
}
