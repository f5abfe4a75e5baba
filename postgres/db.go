package postgres

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// Options of a DB. The zero value is good for production.
type Options struct {
	// Schema is the PostgreSQL schema that holds the events; read models are in
	// the one with "_views" behind its name. Both are created if they are not
	// there. 1 to 40 of a-z, 0-9 and _, starting with a letter. Default: "banyan".
	Schema string
	// MaxConns limits the connections for reading, and again those for
	// transactions (InTx, batches of views). Six more serve appends. Connections
	// are opened when they are needed. Default: 8.
	MaxConns int
	// Unsafe accepts a server that answers commits before they are on disk
	// (synchronous_commit off). The store then does not promise Durable.
	Unsafe bool
}

const (
	defaultSchema   = "banyan"
	defaultMaxConns = 8
	// writerConns: one statement at a time is the fastest (see the ADR); the
	// second is there when the first had to be replaced.
	writerConns = 2
	// waiterConns bound how many streams held by somebody's transaction can be
	// waited for at once.
	waiterConns = 4
	// groupWait is how long a shared statement waits for a lock. It is much longer
	// than a commit, so that ordinary concurrency never gets there.
	groupWait = 50 * time.Millisecond
)

func (o *Options) defaults() {
	if o.Schema == "" {
		o.Schema = defaultSchema
	}
	if o.MaxConns == 0 {
		o.MaxConns = defaultMaxConns
	}
}

var schemaRule = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

func (o *Options) check() error {
	if !schemaRule.MatchString(o.Schema) {
		return fmt.Errorf("%w: schema %q: want 1 to 40 of a-z, 0-9 and _, starting with a letter", banyan.ErrInvalid, o.Schema)
	}
	if o.MaxConns < 1 {
		return fmt.Errorf("%w: MaxConns must be at least 1, not %d", banyan.ErrInvalid, o.MaxConns)
	}
	return nil
}

// DB is a PostgreSQL database with Banyan's schema.
type DB struct {
	opts    Options
	sql     *statements
	named   bool // prepared statements may be used
	durable bool
	heads   *headCache
	held    heldStreams

	writers *pool // group commits; they give up a lock after groupWait
	waiters *pool // single appends that wait for a lock
	readers *pool
	txs     *pool // transactions of users and of views

	mu     sync.Mutex
	store  *store.Store // guarded by mu; the first one handed out, see AppendTx
	closed bool         // guarded by mu
}

// Open connects to the database that dsn names, a URL or key=value pairs as psql
// takes them, and brings the schema up to date: several processes may do so at
// once. It fails if the server is older than version 14, is a standby, does not
// use UTF-8, or does not make commits durable (but see Options.Unsafe).
func Open(ctx context.Context, dsn string, o *Options) (*DB, error) {
	db, err := open(ctx, dsn, o)
	if err != nil {
		return nil, fmt.Errorf("postgres: open: %w", err)
	}
	return db, nil
}

func open(ctx context.Context, dsn string, o *Options) (*DB, error) {
	db := &DB{heads: newHeadCache()}
	if o != nil {
		db.opts = *o
	}
	db.opts.defaults()
	if err := db.opts.check(); err != nil {
		return nil, err
	}
	db.sql = newStatements(db.opts.Schema)
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// Not the cause: it repeats parts of the string, which may hold a password.
		return nil, fmt.Errorf("%w: the connection string cannot be read; want postgres://user@host/database or host=… user=… dbname=…", banyan.ErrInvalid)
	}
	db.named = config.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement
	db.connect(config)
	if err := db.start(ctx); err != nil {
		_ = db.Close() // it never fails
		return nil, classifyRead(err)
	}
	return db, nil
}

// connect prepares the pools; connections are made when they are used.
func (db *DB) connect(config *pgx.ConnConfig) {
	maps.DeleteFunc(config.RuntimeParams, func(name, _ string) bool { return strings.HasPrefix(name, "pool_") }) // of pgxpool
	config.RuntimeParams["client_encoding"] = "UTF8"
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "banyan"
	}
	make := func(conns int, params map[string]string) *pool {
		c := config.Copy()
		maps.Copy(c.RuntimeParams, params)
		// What was committed on another connection may be unknown to the server
		// that a new one leads to, after a failover or a restore.
		return newPool(c, conns, db.heads.clear)
	}
	db.writers = make(writerConns, own(groupWait))
	db.waiters = make(waiterConns, own(0))
	db.readers = make(db.opts.MaxConns, own(0))
	db.txs = make(db.opts.MaxConns, nil)
}

// own returns the session settings of connections that run this package's
// statements only. Planning them each time costs more than running, and every
// one of them wants its index, whatever the statistics say of a table that has
// just grown. They rely on a new snapshot for each statement.
func own(lockTimeout time.Duration) map[string]string {
	return map[string]string{
		"plan_cache_mode":               "force_generic_plan",
		"jit":                           "off",
		"enable_seqscan":                "off",
		"enable_bitmapscan":             "off",
		"default_transaction_isolation": "read committed",
		"lock_timeout":                  strconv.FormatInt(lockTimeout.Milliseconds(), 10),
	}
}

// start checks the server and migrates the schema.
func (db *DB) start(ctx context.Context) error {
	return db.txs.with(ctx, func(conn *pgx.Conn) error {
		if err := db.inspect(ctx, conn); err != nil {
			return err
		}
		return db.migrate(ctx, conn)
	})
}

func (db *DB) inspect(ctx context.Context, conn *pgx.Conn) error {
	var version int
	var standby bool
	var encoding, commit string
	err := conn.QueryRow(ctx, `select current_setting('server_version_num')::int, pg_is_in_recovery(),
		current_setting('server_encoding'), current_setting('synchronous_commit')`).Scan(&version, &standby, &encoding, &commit)
	switch {
	case err != nil:
		return err
	case version < 14_00_00:
		return fmt.Errorf("%w: the server is PostgreSQL %d; 14 or newer is needed", banyan.ErrInvalid, version/10000)
	case standby:
		return fmt.Errorf("%w: the server is a standby and takes no writes; connect to the primary, for example with target_session_attrs=read-write", banyan.ErrUnavailable)
	case encoding != "UTF8":
		return fmt.Errorf("%w: the database's encoding is %s; UTF8 is needed", banyan.ErrInvalid, encoding)
	case commit == "off" && !db.opts.Unsafe:
		return fmt.Errorf("%w: synchronous_commit is off: a crash of the server would lose acknowledged events; turn it on for this role, or set Options.Unsafe", banyan.ErrInvalid)
	}
	db.durable = commit != "off"
	return nil
}

// Store returns the event store of this database. Its Close closes only this
// role; db stays open.
func (db *DB) Store(o *store.Options) (*store.Store, error) {
	s, err := store.New(db.Backend(), o)
	if err != nil {
		return nil, err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.store == nil {
		db.store = s
	}
	return s, nil
}

// Backend returns the events of this database as a store.Backend, for the
// conformance suite and for tools. Users want Store.
func (db *DB) Backend() store.Backend { return &backend{db: db} }

// Close closes all connections, waiting for those in use. Close the stores and
// views of db first. Closing twice is allowed.
func (db *DB) Close() error {
	db.mu.Lock()
	closed := db.closed
	db.closed = true
	db.mu.Unlock()
	if closed {
		return nil
	}
	for _, p := range []*pool{db.writers, db.waiters, db.readers, db.txs} {
		p.close()
	}
	return nil
}

// with runs fn on a connection of the pool.
func (db *DB) with(ctx context.Context, p *pool, fn func(session) error) error {
	return p.with(ctx, db.on(fn))
}

// read runs fn, which only reads.
func (db *DB) read(ctx context.Context, fn func(session) error) error {
	return classifyRead(db.readers.again(ctx, db.on(fn)))
}

// on makes of a connection what the statements of this database need.
func (db *DB) on(fn func(session) error) func(*pgx.Conn) error {
	return func(conn *pgx.Conn) error {
		return fn(session{conn: conn, sql: db.sql, named: db.named})
	}
}
