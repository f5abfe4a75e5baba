package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan/internal/pgtest"
)

func fullSQLite(ctx context.Context, e *env) (outcome, error) {
	disk, err := newTmpfs(filepath.Join(e.dir, "disk"), diskSize)
	if err != nil {
		return outcome{}, err
	}
	r := &fullRun{env: e, disk: disk, log: true}
	o, err := r.loop(ctx, r.sqliteRound)
	return o, errors.Join(err, disk.close())
}

// sqliteRound has a new file on the small disk.
func (r *fullRun) sqliteRound(ctx context.Context, number int, traced bool) (faults []string, err error) {
	file := sqliteFile(filepath.Join(r.disk.path, fmt.Sprintf("%d.db", number)))
	defer file.remove()
	v, err := r.start(ctx, file, "-pin")
	if err != nil {
		return nil, err
	}
	// From 2 to 10 MB, so that sometimes the WAL is in the way, sometimes the file.
	s, err := r.ballast(2<<20 + r.random.IntN(8<<20))
	if traced {
		_ = s.end() // the disk has space
		s, err = enospc(ctx, "pwrite64,ftruncate,fallocate", 100+r.random.IntN(2000), v.cmd.Process.Pid)
	}
	if err != nil {
		return nil, errors.Join(err, v.kill())
	}
	v.say(r.ledger.handover(nil))
	if faults, err = r.strike(ctx, v, s, number%2 == 1); err != nil {
		return nil, errors.Join(err, v.kill())
	}
	// A copy, as reading the file itself would repair what a restart has to.
	to := sqliteFile(filepath.Join(r.dir, "copy.db"))
	defer to.remove()
	if err := file.copy(to); err != nil {
		return nil, err
	}
	before, err := check(ctx, to, r.ledger)
	if err != nil {
		return nil, err
	}
	if err := r.again(ctx, file); err != nil {
		return nil, err
	}
	last, err := check(ctx, file, r.ledger)
	return slices.Concat(faults, before, last), err
}

func (r *fullRun) start(ctx context.Context, db database, args ...string) (*victim, error) {
	args = append(args, "-store", db.url(), "-survive", "-pad", fmt.Sprint(fullPad))
	if r.bug != "" {
		args = append(args, "-bug", r.bug)
	}
	return startVictim(ctx, r.victim, r.ledger, args...)
}

// enospc makes calls fail as on a full disk, from number n of each thread on.
func enospc(ctx context.Context, calls string, n int, pids ...int) (shortage, error) {
	t, err := attach(ctx, fmt.Sprintf("%s:error=ENOSPC:when=%d+", calls, n), pids...)
	if err != nil {
		return shortage{}, err
	}
	return shortage{end: t.detach}, nil
}

// fullPostgres fills a tablespace: a cluster needs more than 16 MB. What reads
// the log gives positions, and so writes, on PostgreSQL: streams are read only.
func fullPostgres(ctx context.Context, e *env) (outcome, error) {
	disk, err := newTmpfs(filepath.Join(e.dir, "disk"), diskSize)
	if err != nil {
		return outcome{}, err
	}
	server, err := openServer(ctx, e.dir, map[string]string{"autovacuum": "off"})
	if err != nil {
		return outcome{}, errors.Join(err, disk.close())
	}
	r := &fullPG{fullRun: fullRun{env: e, disk: disk}, server: server}
	o, err := r.run(ctx)
	return o, errors.Join(err, server.Close(), disk.close())
}

type fullPG struct {
	fullRun
	server *pgtest.Server
}

func (r *fullPG) run(ctx context.Context) (outcome, error) {
	space := filepath.Join(r.disk.path, "space")
	if err := errors.Join(os.Mkdir(space, 0o700), giveTo(space, r.server.DataDir())); err != nil {
		return outcome{}, err
	}
	if err := r.sql(ctx, "create tablespace small location '"+space+"'"); err != nil {
		return outcome{}, err
	}
	return r.loop(ctx, r.round)
}

func (r *fullPG) sql(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, r.server.DSN("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// round has a new database on the small disk.
func (r *fullPG) round(ctx context.Context, number int, traced bool) (faults []string, err error) {
	name := fmt.Sprintf("r%d", number)
	if err := r.sql(ctx, "create database "+name+" template template0 tablespace small"); err != nil {
		return nil, err
	}
	db := postgresDSN(r.server.DSN(name))
	v, err := r.start(ctx, db)
	if err != nil {
		return nil, err
	}
	s, err := r.shortage(ctx, traced)
	if err != nil {
		return nil, errors.Join(err, v.kill())
	}
	v.say(r.ledger.handover(nil))
	if faults, err = r.strike(ctx, v, s, number%2 == 1); err != nil {
		return nil, errors.Join(err, v.kill())
	}
	// Recovery from the log has to bring the same.
	if err := r.server.Restart(true); err != nil {
		return nil, err
	}
	before, err := check(ctx, db, r.ledger)
	if err != nil {
		return nil, err
	}
	if err := r.again(ctx, db); err != nil {
		return nil, err
	}
	last, err := check(ctx, db, r.ledger)
	err = errors.Join(err, r.sql(ctx, "drop database "+name+" with (force)"))
	return slices.Concat(faults, before, last), err
}

// shortage takes away space: from the tablespace, or with strace from the WAL,
// which PostgreSQL answers by falling over and starting again.
func (r *fullPG) shortage(ctx context.Context, traced bool) (shortage, error) {
	if !traced {
		return r.ballast(1<<20 + r.random.IntN(5<<20))
	}
	pids, err := serverProcesses(r.server.DataDir())
	if err != nil {
		return shortage{}, err
	}
	s, err := enospc(ctx, "pwrite64,pwritev", 100+r.random.IntN(500), pids...)
	s.broken = true
	return s, err
}
