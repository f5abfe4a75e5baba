package mem

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

// views is the view role: tables of rows, and names that read from them.
//
// Batches take turns, whatever their names, and collect what they write in
// drafts of their own; only the commit takes mu. So readers, also those inside a
// batch, see the state before the batch until all of it is there.
type views struct {
	turn chan struct{} // holds one token while a batch runs

	mu      sync.RWMutex      // taken after turn, never held while user code runs
	tables  map[string]*table // guarded by mu
	aliases map[string]string // guarded by mu
	closed  bool              // guarded by mu
}

type table struct {
	indexes []string
	rows    map[string]view.Row
}

func (v *views) init() {
	v.turn = make(chan struct{}, 1)
	v.tables, v.aliases = map[string]*table{}, map[string]string{}
}

func (v *views) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	v.tables, v.aliases = map[string]*table{}, map[string]string{}
}

// Promises implements view.Backend.
func (v *views) Promises() view.Promises { return view.Promises{Backend: "mem"} }

// Batch implements view.Backend.
func (v *views) Batch(ctx context.Context, _ string, fn func(view.Tx) error) error {
	if err := v.check(ctx); err != nil {
		return err
	}
	select {
	case v.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", banyan.ErrUnavailable, ctx.Err())
	}
	defer func() { <-v.turn }()
	tx := &viewTx{views: v, drafts: map[string]*draft{}, aliases: map[string]string{}}
	defer func() { tx.done = true }()
	if err := fn(tx); err != nil {
		return err
	}
	if err := v.check(ctx); err != nil {
		return err
	}
	tx.commit()
	return nil
}

func (v *views) check(ctx context.Context) error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return ready(ctx, v.closed)
}

// Get implements view.Backend.
func (v *views) Get(ctx context.Context, name, key string) ([]byte, error) {
	return (&viewTx{views: v}).Get(ctx, name, key)
}

// Scan implements view.Backend.
func (v *views) Scan(ctx context.Context, name string, q view.Query) ([]view.Row, error) {
	return (&viewTx{views: v}).Scan(ctx, name, q)
}

// viewTx is a batch under way: what it has changed, over what there was.
type viewTx struct {
	views   *views
	drafts  map[string]*draft
	aliases map[string]string
	done    bool
}

// draft is a table as a batch leaves it: rows of its own over those of base.
type draft struct {
	base    *table // nil: made by this batch
	indexes []string
	rows    map[string]view.Row // a row without Doc is deleted
	dropped bool
}

var (
	_ view.Backend = viewRole{}
	_ view.Tx      = (*viewTx)(nil)
)

// see returns the table of a name or alias as the batch sees it. mu is held.
func (tx *viewTx) see(name string) (*draft, error) {
	d := tx.table(name)
	if d == nil {
		target, ok := tx.aliases[name]
		if !ok {
			target = tx.views.aliases[name]
		}
		d = tx.table(target)
	}
	if d == nil {
		return nil, fmt.Errorf("table %s: %w", name, banyan.ErrNotFound)
	}
	return d, nil
}

// table returns the draft of a table, or one without changes; nil when there is
// no such table. mu is held.
func (tx *viewTx) table(name string) *draft {
	if d := tx.drafts[name]; d != nil {
		if d.dropped {
			return nil
		}
		return d
	}
	if base := tx.views.tables[name]; base != nil {
		return &draft{base: base, indexes: base.indexes}
	}
	return nil
}

func (d *draft) get(key string) (view.Row, bool) {
	row, ok := d.rows[key]
	if !ok && d.base != nil {
		row, ok = d.base.rows[key]
	}
	return row, ok && row.Doc != nil
}

// each calls f for every row, in no order.
func (d *draft) each(f func(view.Row)) {
	if d.base != nil {
		for key, row := range d.base.rows {
			if _, changed := d.rows[key]; !changed {
				f(row)
			}
		}
	}
	for _, row := range d.rows {
		if row.Doc != nil {
			f(row)
		}
	}
}

// enter locks the views for a read by the batch; the caller must unlock.
func (tx *viewTx) enter(ctx context.Context) error {
	tx.views.mu.RLock()
	err := ready(ctx, tx.views.closed)
	if tx.done {
		err = fmt.Errorf("the batch is %w", banyan.ErrClosed)
	}
	if err != nil {
		tx.views.mu.RUnlock()
	}
	return err
}

// Get implements view.Tx.
func (tx *viewTx) Get(ctx context.Context, name, key string) ([]byte, error) {
	if err := tx.enter(ctx); err != nil {
		return nil, err
	}
	defer tx.views.mu.RUnlock()
	d, err := tx.see(name)
	if err != nil {
		return nil, err
	}
	row, ok := d.get(key)
	if !ok {
		return nil, nil
	}
	return bytes.Clone(row.Doc), nil
}

// Scan implements view.Tx.
func (tx *viewTx) Scan(ctx context.Context, name string, q view.Query) ([]view.Row, error) {
	if err := tx.enter(ctx); err != nil {
		return nil, err
	}
	defer tx.views.mu.RUnlock()
	d, err := tx.see(name)
	if err != nil {
		return nil, err
	}
	at := -1
	if q.Index != "" {
		if at = slices.Index(d.indexes, q.Index); at < 0 {
			return nil, fmt.Errorf("table %s: %w: it has no index %s", name, banyan.ErrInvalid, q.Index)
		}
	}
	var found []view.Row
	d.each(func(row view.Row) {
		hit := view.Row{Key: row.Key, Doc: row.Doc}
		if at >= 0 {
			hit.Index = []string{row.Index[at]}
		}
		if selects(q, hit) {
			found = append(found, hit)
		}
	})
	slices.SortFunc(found, func(a, b view.Row) int { return order(q, cursor(a), cursor(b)) })
	found = found[:min(len(found), q.Limit)]
	for i := range found {
		found[i].Doc = bytes.Clone(found[i].Doc)
	}
	return found, nil
}

func cursor(row view.Row) view.Cursor {
	if len(row.Index) == 0 {
		return view.Cursor{Key: row.Key}
	}
	return view.Cursor{Value: row.Index[0], Key: row.Key}
}

// selects reports whether a row is within the bounds of q and behind its cursor.
func selects(q view.Query, row view.Row) bool {
	at := cursor(row)
	value := at.Value
	if q.Index == "" {
		value = at.Key
	}
	return value >= q.From && (q.To == "" || value < q.To) &&
		(q.After == nil || order(q, at, *q.After) > 0)
}

// order compares two places in the order of q: equal index values are by
// ascending key in both directions.
func order(q view.Query, a, b view.Cursor) int {
	switch {
	case q.Index == "" && q.Desc:
		return cmp.Compare(b.Key, a.Key)
	case q.Index == "":
		return cmp.Compare(a.Key, b.Key)
	case q.Desc:
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Key, b.Key))
	default:
		return cmp.Or(cmp.Compare(a.Value, b.Value), cmp.Compare(a.Key, b.Key))
	}
}

// Write implements view.Tx.
func (tx *viewTx) Write(ctx context.Context, name string, rows []view.Row) error {
	if err := tx.enter(ctx); err != nil {
		return err
	}
	defer tx.views.mu.RUnlock()
	d := tx.table(name)
	if d == nil {
		return fmt.Errorf("table %s: %w", name, banyan.ErrNotFound)
	}
	for _, row := range rows {
		if row.Doc != nil && len(row.Index) != len(d.indexes) {
			return fmt.Errorf("table %s, key %s: %w: %d index values for %d indexes", name, row.Key, banyan.ErrInvalid, len(row.Index), len(d.indexes))
		}
	}
	if d.rows == nil {
		d.rows = make(map[string]view.Row, len(rows))
	}
	for _, row := range rows {
		d.rows[row.Key] = view.Row{Key: row.Key, Doc: bytes.Clone(row.Doc), Index: slices.Clone(row.Index)}
	}
	tx.drafts[name] = d
	return nil
}

// Create implements view.Tx.
func (tx *viewTx) Create(ctx context.Context, t view.Table) error {
	if err := tx.enter(ctx); err != nil {
		return err
	}
	defer tx.views.mu.RUnlock()
	if d := tx.table(t.Name); d != nil {
		if !slices.Equal(d.indexes, t.Indexes) {
			return fmt.Errorf("table %s: %w: it has the indexes %v, not %v", t.Name, banyan.ErrExists, d.indexes, t.Indexes)
		}
		return nil
	}
	tx.drafts[t.Name] = &draft{indexes: slices.Clone(t.Indexes)}
	return nil
}

// Drop implements view.Tx.
func (tx *viewTx) Drop(ctx context.Context, name string) error {
	if err := tx.enter(ctx); err != nil {
		return err
	}
	defer tx.views.mu.RUnlock()
	tx.drafts[name] = &draft{dropped: true}
	return nil
}

// Alias implements view.Tx.
func (tx *viewTx) Alias(ctx context.Context, alias, name string) error {
	if err := tx.enter(ctx); err != nil {
		return err
	}
	defer tx.views.mu.RUnlock()
	if tx.table(name) == nil {
		return fmt.Errorf("table %s: %w", name, banyan.ErrNotFound)
	}
	tx.aliases[alias] = name
	return nil
}

// commit makes the batch visible at once.
func (tx *viewTx) commit() {
	v := tx.views
	v.mu.Lock()
	defer v.mu.Unlock()
	for name, d := range tx.drafts {
		if d.dropped {
			delete(v.tables, name)
			continue
		}
		base := d.base
		if base == nil {
			base = &table{indexes: d.indexes, rows: make(map[string]view.Row, len(d.rows))}
			v.tables[name] = base
		}
		for key, row := range d.rows {
			if row.Doc == nil {
				delete(base.rows, key)
				continue
			}
			base.rows[key] = row
		}
	}
	for alias, name := range tx.aliases {
		v.aliases[alias] = name
	}
}
