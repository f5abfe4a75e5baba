package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
	modernc "modernc.org/sqlite"
)

// Options of a DB. The zero value is good for production.
type Options struct {
	// UnsafeNoSync lets a commit return before the disk has it
	// (synchronous=NORMAL): power loss takes the last commits away, though it
	// does not damage the file. The promises of the roles say Durable: false.
	// Default: false.
	UnsafeNoSync bool
	// Busy is how long a write waits for another process that is writing.
	// Default: 5 s.
	Busy time.Duration
	// Readers is how many reads may run at once. Default: 4.
	Readers int
	// Poll is how often a follower looks whether another process has written; a
	// look takes some microseconds. Default: 5 ms.
	Poll time.Duration
	// CacheBytes is the page cache of the write connection; each reader has an
	// eighth of it. Default: 32 MiB.
	CacheBytes int
	// WALBytes is the size to which the write-ahead log is cut back once no
	// reader needs it. Default: 32 MiB.
	WALBytes int64
}

func (o *Options) defaults() {
	if o.Busy == 0 {
		o.Busy = 5 * time.Second
	}
	if o.Readers == 0 {
		o.Readers = 4
	}
	if o.Poll == 0 {
		o.Poll = 5 * time.Millisecond
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 32 << 20
	}
	if o.WALBytes == 0 {
		o.WALBytes = 32 << 20
	}
}

func (o *Options) check() error {
	if o.Busy < 0 || o.Readers < 0 || o.Poll < 0 || o.CacheBytes < 0 || o.WALBytes < 0 {
		return fmt.Errorf("options: %w: sizes and durations must not be negative", banyan.ErrInvalid)
	}
	return nil
}

// DB is an open file.
type DB struct {
	path    string
	opts    Options
	writer  *writer
	readers *pool
	watch   *watch

	mu     sync.Mutex
	closed bool           // guarded by mu
	stores []*store.Store // guarded by mu; those to tell of appends in transactions of the user's
	plain  *store.Store   // guarded by mu; prepares appends where the user opened no store
}

// Open opens a file and makes it, with its folder, when there is none. The
// caller must call Close.
func Open(ctx context.Context, path string, o *Options) (*DB, error) {
	db, err := open(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	return db, nil
}

func open(ctx context.Context, path string, o *Options) (*DB, error) {
	db := &DB{}
	if o != nil {
		db.opts = *o
	}
	if err := db.opts.check(); err != nil {
		return nil, err
	}
	db.opts.defaults()
	if path == "" || strings.HasPrefix(path, ":") || strings.ContainsRune(path, 0) {
		return nil, fmt.Errorf("%w: the name of a file is needed; for events in memory use package mem", banyan.ErrInvalid)
	}
	var err error
	if db.path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if err := create(db.path); err != nil {
		return nil, err
	}
	db.writer = newWriter(func() (*sql.DB, error) { return db.openWriter() })
	db.readers = newPool(db.opts.Readers, func() (*conn, error) { return db.dial(true, db.opts.Busy) })
	if err := db.prepare(ctx); err != nil {
		db.writer.close()
		return nil, err
	}
	return db, nil
}

// prepare checks the engine, brings the schema up to date and starts the watch.
func (db *DB) prepare(ctx context.Context) error {
	err := db.writer.transact(ctx, func(c *conn) error {
		if err := checkVersion(c); err != nil {
			return err
		}
		return migrate(c)
	})
	if err != nil {
		return err
	}
	if err := syncFolder(filepath.Dir(db.path)); err != nil {
		return err
	}
	c, err := db.dial(false, checkpointBusy)
	if err != nil {
		return classify(err)
	}
	db.watch = startWatch(c, db.path+"-wal", db.opts.WALBytes)
	return nil
}

// Close closes the file after the calls under way. Stores and views of this DB
// must be closed before; closing twice is allowed.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	plain := db.plain
	db.mu.Unlock()
	var errs []error
	if plain != nil {
		errs = append(errs, plain.Close())
	}
	errs = append(errs, db.readers.close(), db.watch.close())
	// The writer goes last: the last connection to a file moves what is in the
	// WAL into it and removes the WAL.
	db.writer.close()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sqlite: close %s: %w", db.path, err)
	}
	return nil
}

func (db *DB) usable() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return errClosed
	}
	return nil
}

// create makes the file and its folder and syncs both folders, so that after a
// power loss the name is there as well as the bytes.
func create(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
	}
	return nil
}

// syncDir makes the names in a folder durable. Windows has no such call and
// journals names itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// dsn names the file for the driver. The settings belong to a connection and
// are made on each.
func (db *DB) dsn(readOnly bool, busy time.Duration, cache int) string {
	path := filepath.ToSlash(db.path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/… on Windows
	}
	sync := "FULL"
	if db.opts.UnsafeNoSync {
		sync = "NORMAL"
	}
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(" + strconv.FormatInt(busy.Milliseconds(), 10) + ")",
		"journal_mode(WAL)",
		"synchronous(" + sync + ")",
		"foreign_keys(1)",
		"cache_size(-" + strconv.Itoa(max(cache>>10, 64)) + ")",
		"wal_autocheckpoint(1000)",
		"journal_size_limit(" + strconv.FormatInt(db.opts.WALBytes, 10) + ")",
		"temp_store(MEMORY)",
	}}
	if readOnly {
		q["_pragma"] = append(q["_pragma"], "query_only(1)")
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

func (db *DB) openWriter() (*sql.DB, error) {
	connector, err := modernc.NewConnector(db.dsn(false, db.opts.Busy, db.opts.CacheBytes))
	if err != nil {
		return nil, err
	}
	w := sql.OpenDB(connector)
	w.SetMaxOpenConns(1)
	return w, nil
}

// dial opens a connection beside the write connection.
func (db *DB) dial(readOnly bool, busy time.Duration) (*conn, error) {
	connector, err := modernc.NewConnector(db.dsn(readOnly, busy, db.opts.CacheBytes/8))
	if err != nil {
		return nil, err
	}
	raw, err := connector.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	return newConn(raw), nil
}

// leastVersion is the first SQLite without the WAL-reset bug: two connections
// that write and checkpoint at the same moment could damage the file.
var leastVersion = [3]int{3, 51, 3}

func checkVersion(r runner) error {
	var text string
	err := r.query(`SELECT sqlite_version()`, nil, func(v []driver.Value) error {
		text, _ = v[0].(string)
		return nil
	})
	if err != nil {
		return err
	}
	for i, part := range strings.SplitN(text, ".", 3) {
		n, err := strconv.Atoi(part)
		if err != nil || n < leastVersion[i] {
			return fmt.Errorf("%w: this program is built with SQLite %s; at least 3.51.3 is needed, older ones can damage files in WAL mode", banyan.ErrInvalid, text)
		}
		if n > leastVersion[i] {
			return nil
		}
	}
	return nil
}
