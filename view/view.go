package view

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/banyanhq/banyan"
)

// DB is a database of read models. Back ends make it (sqlite.DB.Views and its
// like), or New.
type DB struct{ backend Backend }

// New returns a DB over a back end and owns it.
func New(b Backend) *DB { return &DB{backend: b} }

// Promises says what the database keeps.
func (db *DB) Promises() Promises { return db.backend.Promises() }

// Close closes the back end's role.
func (db *DB) Close() error { return db.backend.Close() }

// Batch runs fn in one transaction; see Backend.Batch. Engines and users with
// bookkeeping of their own call it; projections do for their handlers.
func (db *DB) Batch(ctx context.Context, name string, fn func(Tx) error) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("view: batch: %w", err)
	}
	var inner error
	err := db.backend.Batch(ctx, name, func(tx Tx) error {
		inner = fn(tx)
		return inner
	})
	if err == nil || err == inner { //nolint:errorlint // the contract: fn's error comes back as it is
		return err
	}
	return fmt.Errorf("view: batch %s: %w", name, err)
}

// Reader is where a Collection reads: a *DB for the live generation, a *Writer
// for the one being written.
type Reader interface {
	get(ctx context.Context, collection, key string) ([]byte, error)
	scan(ctx context.Context, collection string, q Query) ([]Row, error)
}

var (
	_ Reader = (*DB)(nil)
	_ Reader = (*Writer)(nil)
)

func (db *DB) get(ctx context.Context, collection, key string) ([]byte, error) {
	return db.backend.Get(ctx, collection, key)
}

func (db *DB) scan(ctx context.Context, collection string, q Query) ([]Row, error) {
	return db.backend.Scan(ctx, collection, q)
}

// Index derives an index value from a document.
type Index[T any] struct {
	name string
	of   func(T) string
}

// IndexOf declares an index: of returns the value that a document is found by.
func IndexOf[T any](name string, of func(T) string) Index[T] { return Index[T]{name: name, of: of} }

// Collection is a named set of documents of type T, encoded as JSON.
//
// If T has a method Clone() T, a document that many events of a batch change is
// decoded and encoded once for all of them, else once for each. Clone returns a
// copy that shares nothing with the original that can be changed; for a struct of
// numbers and text that is the struct itself. The JSON has to say all that the
// value does: what it leaves out would be gone with every new batch only. And a
// value that has no JSON is reported by Flush, not by Put.
type Collection[T any] struct {
	name    string
	indexes []Index[T]
}

// Item is a document with its key.
type Item[T any] struct {
	Key   string
	Value T
}

// PageOf is a page of a Scan.
type PageOf[T any] struct {
	Items []Item[T]
	// Next continues behind the last item; nil when the page was not full.
	Next *Cursor
}

// NewCollection declares a collection. Its name is also that of the SQL view
// where the back end has SQL. A bad name is reported by Table and every use.
func NewCollection[T any](name string, indexes ...Index[T]) *Collection[T] {
	return &Collection[T]{name: name, indexes: indexes}
}

// Name returns the collection's name.
func (c *Collection[T]) Name() string { return c.name }

// Table returns the table of a generation of the collection.
func (c *Collection[T]) Table(generation int) (Table, error) {
	t := Table{Name: tableName(c.name, generation)}
	names := []string{t.Name}
	for _, ix := range c.indexes {
		names = append(names, ix.name)
		t.Indexes = append(t.Indexes, ix.name)
	}
	for _, name := range names {
		if err := checkName(name); err != nil {
			return Table{}, fmt.Errorf("view: collection %q: %w", c.name, err)
		}
	}
	return t, nil
}

func tableName(collection string, generation int) string {
	return fmt.Sprintf("%s_g%d", collection, generation)
}

var nameRule = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)

func checkName(name string) error {
	if !nameRule.MatchString(name) {
		return fmt.Errorf("%w: name %q: want 1 to 48 of a-z, 0-9 and _, starting with a letter", banyan.ErrInvalid, name)
	}
	return nil
}

// Get returns the document of a key and whether there is one.
func (c *Collection[T]) Get(ctx context.Context, r Reader, key string) (T, bool, error) {
	w, _ := r.(*Writer)
	if w != nil {
		if k, ok := w.value(c.name, key).(*kept[T]); ok {
			v, _ := clone(&k.value)
			return v, true, nil
		}
	}
	var v T
	doc, err := r.get(ctx, c.name, key)
	if err != nil || doc == nil {
		return v, false, c.wrap("get", key, err)
	}
	if err := json.Unmarshal(doc, &v); err != nil {
		return v, false, c.wrap("get", key, fmt.Errorf("%w: %w", banyan.ErrCorrupt, err))
	}
	if w != nil {
		if own, ok := clone(&v); ok {
			w.keep(c.name, key, &kept[T]{c, key, own})
		}
	}
	return v, true, nil
}

// Scan returns a page of documents. A Limit of 0 means 100.
func (c *Collection[T]) Scan(ctx context.Context, r Reader, q Query) (PageOf[T], error) {
	if q.Limit == 0 {
		q.Limit = 100
	}
	if q.Limit < 0 || (q.Index != "" && !slices.ContainsFunc(c.indexes, func(ix Index[T]) bool { return ix.name == q.Index })) {
		return PageOf[T]{}, c.wrap("scan", q.Index, fmt.Errorf("%w: limit %d, index %q: a limit from 0 and a declared index are needed", banyan.ErrInvalid, q.Limit, q.Index))
	}
	rows, err := r.scan(ctx, c.name, q)
	if err != nil {
		return PageOf[T]{}, c.wrap("scan", q.Index, err)
	}
	page := PageOf[T]{Items: make([]Item[T], len(rows))}
	for i, row := range rows {
		page.Items[i].Key = row.Key
		if err := json.Unmarshal(row.Doc, &page.Items[i].Value); err != nil {
			return PageOf[T]{}, c.wrap("scan", row.Key, fmt.Errorf("%w: %w", banyan.ErrCorrupt, err))
		}
	}
	if len(rows) == q.Limit {
		last := rows[len(rows)-1]
		page.Next = &Cursor{Key: last.Key}
		if q.Index != "" {
			page.Next.Value = last.Index[0]
		}
	}
	return page, nil
}

// Put stores the document of a key.
func (c *Collection[T]) Put(_ context.Context, w *Writer, key string, v T) error {
	if own, ok := clone(&v); ok {
		w.put(c.name, key, &cached{value: &kept[T]{c, key, own}, stale: true})
		return nil
	}
	row, err := c.row(key, v)
	if err != nil {
		return c.wrap("put", key, err)
	}
	w.put(c.name, key, &cached{row: row})
	return nil
}

// row encodes a document.
func (c *Collection[T]) row(key string, v T) (Row, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return Row{}, fmt.Errorf("%w: %w", banyan.ErrInvalid, err)
	}
	row := Row{Key: key, Doc: doc}
	for _, ix := range c.indexes {
		row.Index = append(row.Index, ix.of(v))
	}
	return row, nil
}

// Update changes the document of a key, from the zero value when there is none.
// When change returns an error, the document stays as it was.
func (c *Collection[T]) Update(ctx context.Context, w *Writer, key string, change func(*T) error) error {
	v, _, err := c.Get(ctx, w, key)
	if err != nil {
		return err
	}
	if err := change(&v); err != nil {
		return err
	}
	return c.Put(ctx, w, key, v)
}

// Delete removes the document of a key, if there is one.
func (c *Collection[T]) Delete(_ context.Context, w *Writer, key string) {
	w.put(c.name, key, &cached{row: Row{Key: key, Index: make([]string, len(c.indexes))}})
}

func (c *Collection[T]) wrap(verb, what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("view: %s %s %s: %w", verb, c.name, what, err)
}
