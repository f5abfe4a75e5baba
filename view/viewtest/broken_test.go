package viewtest_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
	"github.com/banyanhq/banyan/view/viewtest"
)

// mutant is a back end with one fault. The suite must fail it, in the subtest
// that names the sentence it breaks.
type mutant struct {
	view.Backend
	batch func(b view.Backend, ctx context.Context, name string, fn func(view.Tx) error) error
	get   func(doc []byte, err error) ([]byte, error)
	scan  func(q view.Query) view.Query
	rows  func(q view.Query, rows []view.Row) []view.Row
	tx    func(tx view.Tx) view.Tx
}

func (m mutant) Batch(ctx context.Context, name string, fn func(view.Tx) error) error {
	inner := func(tx view.Tx) error {
		if m.tx != nil {
			tx = m.tx(tx)
		}
		return fn(tx)
	}
	if m.batch != nil {
		return m.batch(m.Backend, ctx, name, inner)
	}
	return m.Backend.Batch(ctx, name, inner)
}

func (m mutant) Get(ctx context.Context, table, key string) ([]byte, error) {
	doc, err := m.Backend.Get(ctx, table, key)
	if m.get != nil {
		return m.get(doc, err)
	}
	return doc, err
}

func (m mutant) Scan(ctx context.Context, table string, q view.Query) ([]view.Row, error) {
	if m.scan != nil {
		q = m.scan(q)
	}
	rows, err := m.Backend.Scan(ctx, table, q)
	if m.rows != nil {
		rows = m.rows(q, rows)
	}
	return rows, err
}

type mutantTx struct {
	view.Tx
	get    func(ctx context.Context, table, key string) ([]byte, error)
	write  func(rows []view.Row) []view.Row
	create func(err error) error
	alias  func(ctx context.Context, tx view.Tx, alias, table string) error
}

func (t mutantTx) Get(ctx context.Context, table, key string) ([]byte, error) {
	if t.get != nil {
		return t.get(ctx, table, key)
	}
	return t.Tx.Get(ctx, table, key)
}

func (t mutantTx) Write(ctx context.Context, table string, rows []view.Row) error {
	if t.write != nil {
		rows = t.write(rows)
	}
	return t.Tx.Write(ctx, table, rows)
}

func (t mutantTx) Create(ctx context.Context, table view.Table) error {
	err := t.Tx.Create(ctx, table)
	if t.create != nil {
		return t.create(err)
	}
	return err
}

func (t mutantTx) Alias(ctx context.Context, alias, table string) error {
	if t.alias != nil {
		return t.alias(ctx, t.Tx, alias, table)
	}
	return t.Tx.Alias(ctx, alias, table)
}

// mutants says for each fault which subtest must fail.
var mutants = map[string]struct {
	fails string
	make  func(b view.Backend) view.Backend
}{
	"keeps what a failed batch wrote": {"Batch/keeps_nothing_when_fn_returns_an_error", func(b view.Backend) view.Backend {
		return mutant{Backend: b, batch: func(b view.Backend, ctx context.Context, name string, fn func(view.Tx) error) error {
			var inner error
			err := b.Batch(ctx, name, func(tx view.Tx) error { inner = fn(tx); return nil })
			return cmp.Or(inner, err)
		}}
	}},
	"wraps the error of fn": {"Batch/keeps_nothing_when_fn_returns_an_error", func(b view.Backend) view.Backend {
		return mutant{Backend: b, batch: func(b view.Backend, ctx context.Context, name string, fn func(view.Tx) error) error {
			if err := b.Batch(ctx, name, fn); err != nil {
				return errors.Join(err)
			}
			return nil
		}}
	}},
	"commits after ctx has ended": {"Batch/keeps_nothing_when_ctx_ends", func(b view.Backend) view.Backend {
		return mutant{Backend: b, batch: func(b view.Backend, ctx context.Context, name string, fn func(view.Tx) error) error {
			return b.Batch(context.WithoutCancel(ctx), name, fn)
		}}
	}},
	"reads outside of the batch": {"Batch/reads_inside_see", func(b view.Backend) view.Backend {
		return mutant{Backend: b, tx: func(tx view.Tx) view.Tx { return mutantTx{Tx: tx, get: b.Get} }}
	}},
	"lets batches overlap": {"Concurrency/batches_of_one_name_never_overlap", func(b view.Backend) view.Backend {
		return mutant{Backend: b, batch: overlap()}
	}},
	"sorts equal values downwards": {"Scan/equal_values", func(b view.Backend) view.Backend {
		return mutant{Backend: b, rows: func(q view.Query, rows []view.Row) []view.Row {
			if q.Index != "" && q.Desc {
				slices.SortStableFunc(rows, func(a, b view.Row) int {
					return cmp.Or(cmp.Compare(b.Index[0], a.Index[0]), cmp.Compare(b.Key, a.Key))
				})
			}
			return rows
		}}
	}},
	"repeats the last row of a page": {"Scan/After_continues", func(b view.Backend) view.Backend {
		return mutant{Backend: b, scan: func(q view.Query) view.Query {
			if q.After != nil && q.After.Key != "" {
				q.After = &view.Cursor{Value: q.After.Value, Key: q.After.Key[:len(q.After.Key)-1]}
			}
			return q
		}}
	}},
	"includes the upper bound": {"Scan/by_key_and_index", func(b view.Backend) view.Backend {
		return mutant{Backend: b, scan: func(q view.Query) view.Query {
			if q.To != "" {
				q.To += "\x01"
			}
			return q
		}}
	}},
	"deletes nothing": {"Rows/a_row_without_Doc_is_deleted", func(b view.Backend) view.Backend {
		return mutant{Backend: b, tx: func(tx view.Tx) view.Tx {
			return mutantTx{Tx: tx, write: func(rows []view.Row) []view.Row {
				return slices.DeleteFunc(slices.Clone(rows), func(r view.Row) bool { return r.Doc == nil })
			}}
		}}
	}},
	"turns numbers into floats": {"Rows/documents_keep_every_digit", func(b view.Backend) view.Backend {
		return mutant{Backend: b, get: func(doc []byte, err error) ([]byte, error) {
			var v any
			if doc == nil || json.Unmarshal(doc, &v) != nil {
				return doc, err
			}
			return json.Marshal(v)
		}}
	}},
	"hides that a table does not exist": {"Rows/a_table_that_does_not_exist", func(b view.Backend) view.Backend {
		return mutant{Backend: b, get: func(doc []byte, err error) ([]byte, error) {
			if errors.Is(err, banyan.ErrNotFound) {
				return nil, nil
			}
			return doc, err
		}}
	}},
	"makes a table again with other indexes": {"Tables/Create_with_other_indexes", func(b view.Backend) view.Backend {
		return mutant{Backend: b, tx: func(tx view.Tx) view.Tx {
			return mutantTx{Tx: tx, create: func(error) error { return nil }}
		}}
	}},
	"never moves an alias": {"Alias/moves_to_a_table", func(b view.Backend) view.Backend {
		return mutant{Backend: b, tx: func(tx view.Tx) view.Tx {
			return mutantTx{Tx: tx, alias: func(ctx context.Context, tx view.Tx, alias, table string) error {
				if _, err := tx.Get(ctx, alias, ""); err == nil {
					return nil
				}
				return tx.Alias(ctx, alias, table)
			}}
		}}
	}},
}

// overlap returns a Batch that reads before it begins, as a back end without a
// lock does. Two callers wait for each other there, so that they do overlap.
func overlap() func(b view.Backend, ctx context.Context, name string, fn func(view.Tx) error) error {
	met := make(chan struct{})
	return func(b view.Backend, ctx context.Context, name string, fn func(view.Tx) error) error {
		seen := map[string][]byte{}
		for _, key := range []string{"n"} {
			if doc, err := b.Get(ctx, "one", key); err == nil {
				seen["one/"+key] = doc
			}
		}
		select {
		case met <- struct{}{}:
		case <-met:
		case <-time.After(50 * time.Millisecond):
		}
		return b.Batch(ctx, name, func(tx view.Tx) error {
			return fn(mutantTx{Tx: tx, get: func(ctx context.Context, table, key string) ([]byte, error) {
				if doc, ok := seen[table+"/"+key]; ok {
					return doc, nil
				}
				return tx.Get(ctx, table, key)
			}})
		})
	}
}

const mutantEnv = "BANYAN_VIEWTEST_MUTANT"

// TestMutant runs the suite on one mutant, in a process of its own.
func TestMutant(t *testing.T) {
	name := os.Getenv(mutantEnv)
	if name == "" {
		t.Skip("runs only as a child of TestSuiteFindsMutants")
	}
	viewtest.Run(t, viewtest.Harness{Open: func(tb testing.TB) view.Backend {
		return mutants[name].make(open(tb))
	}})
}

func TestSuiteFindsMutants(t *testing.T) {
	t.Parallel()
	for name, m := range mutants {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMutant$")
			cmd.Env = append(os.Environ(), mutantEnv+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("the suite passes this back end")
			}
			if !strings.Contains(string(out), "--- FAIL: TestMutant/"+m.fails) {
				t.Errorf("the suite fails, but not %s:\n%.2000s", m.fails, out)
			}
		})
	}
}
