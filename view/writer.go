package view

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/banyanhq/banyan"
)

// Writer writes one generation of the collections of a projection within a
// batch. It keeps what it read and wrote, so that a row which a thousand events
// change is read and stored once. Flush must be called before the batch ends.
type Writer struct {
	tx         Tx
	generation int
	rows       known
	dirty      known // those of rows that Flush has to write
	older      known // what earlier writers knew, and this one was not asked for
	size       int   // of the documents in rows, in bytes, more or less
}

// known is what a writer knows: collection, key, row.
type known map[string]map[string]*cached

func (k known) put(collection, key string, c *cached) {
	rows := k[collection]
	if rows == nil {
		rows = map[string]*cached{}
		k[collection] = rows
	}
	rows[key] = c
}

// cached is what a batch knows of a key.
type cached struct {
	row Row // Doc nil: absent
	// value is the document as a Go value, nil when that is not kept. It belongs to
	// the Writer alone: callers get and give clones, so that what becomes of theirs,
	// when a change fails or after it, does not reach it.
	value document
	stale bool // value is newer than row
}

// document is a *kept[T] of any T.
type document interface{ encode() (Row, error) }

type kept[T any] struct {
	collection *Collection[T]
	key        string
	value      T
}

func (k *kept[T]) encode() (Row, error) { return k.collection.row(k.key, k.value) }

// clone copies a value whose type can do that.
func clone[T any](v *T) (T, bool) {
	if c, ok := any(v).(interface{ Clone() T }); ok {
		return c.Clone(), true
	}
	var none T
	return none, false
}

// NewWriter returns a writer of a generation within a batch.
func NewWriter(tx Tx, generation int) *Writer {
	return &Writer{tx: tx, generation: generation, rows: known{}, dirty: known{}}
}

// Next returns a writer for the batch after this one, which knows rows that this
// one read or wrote, the latest of them, in about so many bytes. It is only for who
// knows that this writer's batch was committed, after a Flush, and that nobody else
// has written the generation since. This writer must not be used any more.
func (w *Writer) Next(tx Tx, bytes int) *Writer {
	next := &Writer{tx: tx, generation: w.generation, rows: w.rows, dirty: known{}, older: w.older, size: w.size}
	if w.size > bytes/2 { // the younger half stays for a while
		next.rows, next.older, next.size = known{}, w.rows, 0
	}
	return next
}

// Tx returns the batch's transaction; sqlite.TxOf and postgres.TxOf turn it into
// the technology's own, for tables of the user's.
func (w *Writer) Tx() Tx { return w.tx }

// Generation returns the generation that is written.
func (w *Writer) Generation() int { return w.generation }

// Flush writes what has changed, in the order of names and keys so that two
// writers lock rows in the same order.
func (w *Writer) Flush(ctx context.Context) error {
	collections := make([]string, 0, len(w.dirty))
	for name := range w.dirty {
		collections = append(collections, name)
	}
	slices.Sort(collections)
	for _, name := range collections {
		if err := w.flush(ctx, name); err != nil {
			return fmt.Errorf("view: write %s: %w", name, err)
		}
	}
	return nil
}

func (w *Writer) flush(ctx context.Context, collection string) error {
	dirty := w.dirty[collection]
	rows := make([]Row, 0, len(dirty))
	for key, c := range dirty {
		if err := c.settle(); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		rows = append(rows, c.row)
	}
	if len(rows) == 0 {
		return nil
	}
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.Key, b.Key) })
	if err := w.tx.Write(ctx, tableName(collection, w.generation), rows); err != nil {
		return err
	}
	delete(w.dirty, collection)
	return nil
}

// settle brings the row up to the value. That runs code of the document's type
// and its indexes when the handler that wrote the value has long returned, and
// with it whoever would have caught a panic: so a panic is an error here.
func (c *cached) settle() (err error) {
	if !c.stale {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", banyan.ErrInvalid, p, debug.Stack())
		}
	}()
	row, err := c.value.encode()
	if err == nil {
		c.row, c.stale = row, false
	}
	return err
}

func (w *Writer) put(collection, key string, c *cached) {
	w.dirty.put(collection, key, c)
	w.know(collection, key, c)
}

// know adds a row to those that are known.
func (w *Writer) know(collection, key string, c *cached) {
	w.rows.put(collection, key, c)
	w.size += rowSize + len(key) + len(c.row.Doc)
}

// rowSize is what a row takes besides its text, roughly, in bytes.
const rowSize = 256

// recall returns what is known of a key; nil: nothing.
func (w *Writer) recall(collection, key string) *cached {
	if c := w.rows[collection][key]; c != nil {
		return c
	}
	c := w.older[collection][key]
	if c != nil {
		w.know(collection, key, c)
	}
	return c
}

// value returns the document of a key as it is kept, nil if it is not.
func (w *Writer) value(collection, key string) document {
	if c := w.recall(collection, key); c != nil {
		return c.value
	}
	return nil
}

// keep adds the value to the row that it was decoded from.
func (w *Writer) keep(collection, key string, d document) {
	w.rows[collection][key].value = d
}

func (w *Writer) get(ctx context.Context, collection, key string) ([]byte, error) {
	if c := w.recall(collection, key); c != nil {
		err := c.settle()
		return c.row.Doc, err
	}
	doc, err := w.tx.Get(ctx, tableName(collection, w.generation), key)
	if err != nil {
		return nil, err
	}
	w.know(collection, key, &cached{row: Row{Key: key, Doc: doc}})
	return doc, nil
}

func (w *Writer) scan(ctx context.Context, collection string, q Query) ([]Row, error) {
	if err := w.Flush(ctx); err != nil {
		return nil, err
	}
	return w.tx.Scan(ctx, tableName(collection, w.generation), q)
}
