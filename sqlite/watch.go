package sqlite

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

const (
	// checkpointBusy is how long cutting the WAL may hold up writers while a
	// reader is in the way.
	checkpointBusy = 100 * time.Millisecond
	// checkpointEvery is how often the size of the WAL is looked at.
	checkpointEvery = time.Second
)

// watch is a connection that only looks: whether somebody has written, and how
// large the WAL is. It stays open as long as the DB, which also keeps SQLite's
// index of the WAL in memory alive when the write connection is reopened: a
// failed commit then cannot come back through recovery.
//
// SQLite moves the WAL into the file by itself, but restarts it only when no
// reader is on it at that moment, and does nothing once writes have stopped. So
// a long reader leaves a large file behind; run cuts it.
type watch struct {
	wal   string
	limit int64
	stop  context.CancelFunc
	done  chan struct{}

	mu   sync.Mutex
	conn *conn // guarded by mu; nil once closed
}

func startWatch(c *conn, wal string, limit int64) *watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{wal: wal, limit: limit, stop: cancel, done: make(chan struct{}), conn: c}
	go w.run(ctx)
	return w
}

func (w *watch) run(ctx context.Context) {
	defer close(w.done)
	ticker := time.NewTicker(checkpointEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if info, err := os.Stat(w.wal); err == nil && info.Size() > w.limit {
			// A failure here is not the end of anything: it is tried again, and
			// what was acknowledged is in the WAL.
			_ = w.truncate()
		}
	}
}

// truncate moves the WAL into the file and cuts it. While a reader is on it, it
// gives up after checkpointBusy.
func (w *watch) truncate() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	busy, err := one(w.conn, `PRAGMA wal_checkpoint(TRUNCATE)`)
	if err == nil && busy != 0 {
		err = errors.New("a reader is in the way")
	}
	return err
}

// version returns a number that changes when any other connection commits, in
// this process or another.
func (w *watch) version() (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn == nil {
		return 0, errClosed
	}
	return one(w.conn, `PRAGMA data_version`)
}

func (w *watch) close() error {
	w.stop()
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.conn
	w.conn = nil
	return c.close()
}
