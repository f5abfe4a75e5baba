package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/banyanhq/banyan/internal/pgtest"
)

// perDatabase is how many rounds of R3 share a database. The history of each
// round is checked with all before it.
const perDatabase = 20

func fsyncPostgres(ctx context.Context, e *env) (o outcome, err error) {
	server, err := openServer(ctx, e.dir, map[string]string{
		// Only those who commit shall sync.
		"autovacuum": "off", "checkpoint_timeout": "1h", "wal_writer_delay": "10s",
	})
	if err != nil {
		return o, err
	}
	r := &ioPostgres{ioRun: ioRun{env: e}, server: server}
	o, err = r.run(ctx)
	return o, errors.Join(err, server.Close())
}

type ioPostgres struct {
	ioRun
	server *pgtest.Server
}

func (r *ioPostgres) run(ctx context.Context) (outcome, error) {
	var faults []string
	before, fresh := 0, true
	plans := ioPlans(r.env)
	for i, p := range plans {
		if fresh || i%perDatabase == 0 {
			name := fmt.Sprintf("r%d", i)
			if err := r.server.CreateDatabase(name); err != nil {
				return outcome{}, err
			}
			before = r.acked
			r.db, r.ledger = postgresDSN(r.server.DSN(name)), newLedger(100)
		}
		found, err := r.round(ctx, p)
		if err != nil {
			return outcome{}, fmt.Errorf("%v: %w", p, err)
		}
		r.rounds++
		faults = append(faults, found...)
		fresh = len(found) > 0 // or the next round would find it again
		acked, _ := r.ledger.counts()
		r.acked = before + acked
		if i%perDatabase == perDatabase-1 || i == len(plans)-1 {
			fmt.Printf("%d of %d errors, %s acknowledged, %d faults\n", i+1, len(plans), thousands(r.acked), len(faults))
		}
	}
	o := r.outcome()
	o.faults = faults
	return o, nil
}

// round makes an fsync of a server process fail. strace numbers the calls of
// each process; the store commits on one connection, which is one process.
//
// The process that meets the error is stopped at that moment, so that what comes
// after is exact: one error, or none but errors in all processes.
func (r *ioPostgres) round(ctx context.Context, p ioPlan) (faults []string, err error) {
	v, err := startVictim(ctx, r.victim, r.ledger, "-store", r.db.url(), "-survive")
	if err != nil {
		return nil, err
	}
	t, err := r.trace(ctx, fmt.Sprintf("fsync,fdatasync:error=EIO:signal=SIGSTOP:when=%d", p.number))
	if err != nil {
		return nil, errors.Join(err, v.kill())
	}
	v.say(r.ledger.handover(nil))
	err = until(ctx, t, v)
	first := t.first()
	if err = errors.Join(err, t.detach()); err != nil {
		return nil, errors.Join(err, v.kill())
	}
	if p.forever {
		if t, err = r.trace(ctx, "fsync,fdatasync:error=EIO:when=1+"); err != nil {
			return nil, errors.Join(err, v.kill())
		}
	}
	_ = proceed(first.pid) // no error: it is stopped, and nobody else ends it
	faults, err = r.observe(ctx, p, v, true, 30*time.Second)
	if err = errors.Join(err, t.detach(), r.server.Kill()); err != nil {
		return nil, err
	}
	if err := r.server.Start(); err != nil {
		return nil, err
	}
	before, err := r.look(ctx, v)
	if err != nil {
		return nil, err
	}
	found, err := r.again(ctx)
	if err != nil {
		return nil, err
	}
	last, err := check(ctx, r.db, r.ledger)
	return slices.Concat(faults, before, found, last), err
}

// look checks what is stored before anything is sent again.
func (r *ioPostgres) look(ctx context.Context, v *victim) ([]string, error) {
	if !isClosed(v.ready) {
		return nil, nil // the schema may not be there
	}
	return check(ctx, r.db, r.ledger)
}

func (r *ioPostgres) trace(ctx context.Context, inject string) (*tracer, error) {
	pids, err := serverProcesses(r.server.DataDir())
	if err != nil {
		return nil, err
	}
	return attach(ctx, inject, pids...)
}
