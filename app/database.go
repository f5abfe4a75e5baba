package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/nearest"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// engine is what every technology package offers.
type engine interface {
	Store(*store.Options) (*store.Store, error)
	Views() (*view.DB, error)
	Close() error
}

// Database is an open database of any technology. Close it after the stores and
// views it handed out.
type Database struct {
	engine   engine
	url      string // as it may be shown
	secrets  secrets
	warnings []string
	backup   func(ctx context.Context, path string) error // nil: not offered
}

// A scheme opens databases of one technology. rest is the URL behind the colon.
type scheme struct {
	name string
	form string // how its URLs look, for errors
	open func(ctx context.Context, db *Database, u target) error
}

// target is a parsed URL.
type target struct {
	full  string     // for drivers that parse it themselves
	path  string     // between the scheme and "?"
	query url.Values // options
	dir   string     // relative paths are below it
	exist bool       // a file must exist already
}

func schemes() []scheme {
	return []scheme{
		{"sqlite", "sqlite:PATH", openSQLite},
		{"postgres", "postgres://USER@HOST/DATABASE", openPostgres},
		{"postgresql", "postgres://USER@HOST/DATABASE", openPostgres},
		{"mem", "mem:", openMem},
	}
}

func schemeOf(dsn string) (scheme, string, error) {
	name, rest, ok := strings.Cut(dsn, ":")
	all := schemes()
	forms := make([]string, len(all))
	for i, s := range all {
		if ok && s.name == strings.ToLower(name) {
			return s, rest, nil
		}
		if !slices.Contains(forms, s.form) {
			forms[i] = s.form
		}
	}
	forms = slices.DeleteFunc(forms, func(f string) bool { return f == "" })
	use := "use " + strings.Join(forms[:len(forms)-1], ", ") + " or " + forms[len(forms)-1]
	// A drive letter is the beginning of a path, not a scheme.
	if !ok || len(name) == 1 || strings.ContainsAny(name, `/\.`) {
		return scheme{}, "", fmt.Errorf("%q has no scheme; %s", Redact(dsn), use)
	}
	return scheme{}, "", fmt.Errorf("unknown scheme %q in %q; %s", name, Redact(dsn), use)
}

// CheckURL reports, with kind banyan.ErrInvalid, that no technology has such
// URLs. It opens nothing.
func CheckURL(dsn string) error {
	if err := checkURL(dsn); err != nil {
		return fmt.Errorf("app: %w: %w", banyan.ErrInvalid, err)
	}
	return nil
}

func checkURL(dsn string) error {
	_, _, err := schemeOf(dsn)
	return err
}

// Open opens the database that a URL names. A relative path of a file is below
// dir ("" is the working directory).
//
//   - sqlite:PATH, with ?unsafe=no-sync for weaker durability
//   - postgres://USER:PASSWORD@HOST/DATABASE, with the parameters of libpq and
//     schema=NAME, max_conns=N, unsafe=no-sync
//   - mem:, new and empty at each Open
//
// Errors never contain the password.
func Open(ctx context.Context, dsn, dir string) (*Database, error) {
	return open(ctx, dsn, dir, false)
}

// OpenExisting is Open for tools: a file that does not exist is not made but an
// error of kind banyan.ErrNotFound.
func OpenExisting(ctx context.Context, dsn, dir string) (*Database, error) {
	return open(ctx, dsn, dir, true)
}

func open(ctx context.Context, dsn, dir string, exist bool) (*Database, error) {
	db := &Database{url: Redact(dsn), secrets: secretsOf(dsn)}
	s, rest, err := schemeOf(dsn)
	if err != nil {
		return nil, fmt.Errorf("app: open: %w: %w", banyan.ErrInvalid, err)
	}
	path, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("app: open %s: %w: its options behind the ? are not of the form key=value&key=value", db.url, banyan.ErrInvalid)
	}
	if err := s.open(ctx, db, target{full: dsn, path: path, query: values, dir: dir, exist: exist}); err != nil {
		return nil, fmt.Errorf("app: open %s: %w", db.url, db.secrets.error(err))
	}
	return db, nil
}

// URL returns the URL without the password.
func (db *Database) URL() string { return db.url }

// Warnings says in which ways it is weaker than the default.
func (db *Database) Warnings() []string { return db.warnings }

// Store returns the store of the database; nil options mean the defaults.
func (db *Database) Store(o *store.Options) (*store.Store, error) {
	s, err := db.engine.Store(o)
	if err != nil {
		return nil, fmt.Errorf("app: store in %s: %w", db.url, db.secrets.error(err))
	}
	return s, nil
}

// Views returns the read models of the database.
func (db *Database) Views() (*view.DB, error) {
	v, err := db.engine.Views()
	if err != nil {
		return nil, fmt.Errorf("app: views in %s: %w", db.url, db.secrets.error(err))
	}
	return v, nil
}

// Backup writes a copy of the database, as it is at one moment, to a new file
// while others go on writing. Only SQLite offers it; PostgreSQL has tools of its
// own. Otherwise the error is of kind banyan.ErrInvalid.
func (db *Database) Backup(ctx context.Context, path string) error {
	if db.backup == nil {
		return fmt.Errorf("app: back up %s: %w: only sqlite: databases are backed up this way; for PostgreSQL use pg_dump or pg_basebackup", db.url, banyan.ErrInvalid)
	}
	if err := db.backup(ctx, path); err != nil {
		return fmt.Errorf("app: back up %s: %w", db.url, err)
	}
	return nil
}

// Close closes the database.
func (db *Database) Close() error {
	if err := db.engine.Close(); err != nil {
		return fmt.Errorf("app: close %s: %w", db.url, db.secrets.error(err))
	}
	return nil
}

func (db *Database) warn(format string, args ...any) {
	db.warnings = append(db.warnings, fmt.Sprintf(format, args...))
}

// refuse returns an error when the query has options that nobody took.
func (t target) refuse(known ...string) error {
	for key := range t.query {
		if slices.Contains(known, key) {
			continue
		}
		if near := nearest.To(key, known); near != "" {
			return fmt.Errorf("%w: unknown option %q; did you mean %q?", banyan.ErrInvalid, key, near)
		}
		return fmt.Errorf("%w: unknown option %q; known: %s", banyan.ErrInvalid, key, cmp.Or(strings.Join(known, ", "), "none"))
	}
	return nil
}

// file returns the path below dir.
func (t target) file() string {
	path := strings.TrimPrefix(t.path, "//") // sqlite:///abs and sqlite://rel are often written
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(t.dir, path)
}

// closeAll closes in reverse order of opening.
func closeAll(dbs []*Database) error {
	var errs []error
	for _, db := range slices.Backward(dbs) {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}
