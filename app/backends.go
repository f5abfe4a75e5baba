package app

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/sqlite"
)

// noSync is the value of the option unsafe that gives up durability. It is long
// and ugly on purpose: nobody types it by accident.
const noSync = "no-sync"

func openMem(_ context.Context, db *Database, t target) error {
	if t.path != "" {
		return fmt.Errorf("%w: mem: takes no path", banyan.ErrInvalid)
	}
	if err := t.refuse(); err != nil {
		return err
	}
	db.engine = mem.Open()
	db.warn("everything is in memory only and lost when the process ends")
	return nil
}

func openSQLite(ctx context.Context, db *Database, t target) error {
	if err := t.refuse("unsafe"); err != nil {
		return err
	}
	if t.path == "" {
		return fmt.Errorf("%w: want sqlite:PATH", banyan.ErrInvalid)
	}
	unsafe, err := t.unsafe()
	if err != nil {
		return err
	}
	if t.exist {
		if _, err := os.Stat(t.file()); err != nil {
			return fmt.Errorf("%w: %w", banyan.ErrNotFound, err)
		}
	}
	file, err := sqlite.Open(ctx, t.file(), &sqlite.Options{UnsafeNoSync: unsafe})
	if err != nil {
		return err
	}
	if unsafe {
		db.warn("unsafe=%s: power loss takes the last commits away", noSync)
	}
	db.engine, db.backup = file, file.Backup
	return nil
}

func openPostgres(ctx context.Context, db *Database, t target) error {
	unsafe, err := t.unsafe()
	if err != nil {
		return err
	}
	o := &postgres.Options{Unsafe: unsafe, Schema: t.query.Get("schema")}
	if n := t.query.Get("max_conns"); n != "" {
		if o.MaxConns, err = strconv.Atoi(n); err != nil || o.MaxConns < 1 {
			return fmt.Errorf("%w: max_conns=%s: want a number from 1", banyan.ErrInvalid, n)
		}
	}
	server, err := postgres.Open(ctx, t.without("schema", "max_conns", "unsafe"), o)
	if err != nil {
		return err
	}
	if unsafe {
		db.warn("unsafe=%s: a server that answers before commits are on its disk is accepted; its crash takes the last ones away", noSync)
	}
	db.engine = server
	return nil
}

func (t target) unsafe() (bool, error) {
	switch v := t.query.Get("unsafe"); v {
	case "":
		return false, nil
	case noSync:
		return true, nil
	default:
		return false, fmt.Errorf("%w: unsafe=%s: only unsafe=%s is known", banyan.ErrInvalid, v, noSync)
	}
}

// without returns the full URL less some options. The rest keeps its order and
// spelling: the driver reads it.
func (t target) without(options ...string) string {
	base, query, ok := strings.Cut(t.full, "?")
	if !ok {
		return t.full
	}
	var keep []string
pairs:
	for pair := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		for _, o := range options {
			if name, err := url.QueryUnescape(key); err == nil && name == o {
				continue pairs
			}
		}
		keep = append(keep, pair)
	}
	if keep == nil {
		return base
	}
	return base + "?" + strings.Join(keep, "&")
}
