package viewtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

var batchCases = []testCase{
	{"keeps all that was written when it returns nil", func(_ *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"})
		f.table(view.Table{Name: "two"})
		f.batch(func(ctx context.Context, tx view.Tx) error {
			return errors.Join(tx.Write(ctx, "one", []view.Row{row("k", number(1))}), tx.Write(ctx, "two", []view.Row{row("k", number(2))}))
		})
		f.want("one", "k", number(1))
		f.want("two", "k", number(2))
	}},
	{"keeps nothing when fn returns an error, which comes back unchanged", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"}, row("old", number(1)))
		err := f.b.Batch(t.Context(), "test", func(tx view.Tx) error {
			return errors.Join(mess(t.Context(), tx), errRefused)
		})
		if !errors.Is(err, errRefused) {
			t.Errorf("got error %v, want the one of fn", err)
		}
		f.unmessed()
		if err := f.b.Batch(t.Context(), "test", func(view.Tx) error { return errRefused }); err != errRefused { //nolint:errorlint // unchanged means the same value
			t.Errorf("got error %v, want exactly the value that fn returned", err)
		}
	}},
	{"keeps nothing when fn panics, and goes on", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"}, row("old", number(1)))
		func() {
			defer func() { _ = recover() }()
			err := f.b.Batch(t.Context(), "test", func(tx view.Tx) error {
				if err := mess(t.Context(), tx); err != nil {
					t.Errorf("write: %v", err)
				}
				panic("by the test")
			})
			if err == nil {
				t.Error("a batch whose fn panicked returned nil")
			}
		}()
		f.unmessed()
		f.write("one", row("after", number(2)))
		f.want("one", "after", number(2))
	}},
	{"keeps nothing when ctx ends during fn", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"}, row("old", number(1)))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := f.b.Batch(ctx, "test", func(tx view.Tx) error {
			if err := mess(ctx, tx); err != nil {
				return err
			}
			cancel()
			return nil
		})
		if err == nil {
			t.Error("a batch whose ctx ended returned nil")
		}
		f.unmessed()
	}},
	{"keeps nothing when ctx has ended before", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"}, row("old", number(1)))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.b.Batch(ctx, "test", func(tx view.Tx) error { return mess(ctx, tx) }); err == nil {
			t.Error("a batch under an ended ctx returned nil")
		}
		f.unmessed()
	}},
	{"reads inside see what the batch wrote", func(_ *testing.T, f *fixture) {
		f.table(view.Table{Name: "one", Indexes: []string{"a"}}, row("old", number(1), "x"))
		f.batch(func(ctx context.Context, tx view.Tx) error {
			if err := tx.Write(ctx, "one", []view.Row{row("new", number(2), "w"), {Key: "old", Index: []string{""}}}); err != nil {
				return err
			}
			doc, err := tx.Get(ctx, "one", "new")
			f.same("get inside", doc, number(2))
			gone, errGone := tx.Get(ctx, "one", "old")
			f.same("get of a deleted row inside", gone, "")
			rows, errScan := tx.Scan(ctx, "one", view.Query{Index: "a", Limit: 10})
			if len(rows) != 1 || rows[0].Key != "new" {
				f.Errorf("scan inside: got %v, want the row new alone", rows)
			}
			return errors.Join(err, errGone, errScan)
		})
	}},
	{"a batch sees what the batch before wrote", func(_ *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"})
		for i := range 20 {
			f.batch(func(ctx context.Context, tx view.Tx) error {
				doc, err := tx.Get(ctx, "one", "n")
				want := ""
				if i > 0 {
					want = number(i - 1)
				}
				f.same("get", doc, want)
				return errors.Join(err, tx.Write(ctx, "one", []view.Row{row("n", number(i))}))
			})
		}
	}},
}

// mess writes something of every kind; unmessed checks that nothing of it stayed.
func mess(ctx context.Context, tx view.Tx) error {
	return errors.Join(
		tx.Write(ctx, "one", []view.Row{row("new", number(2)), {Key: "old"}}),
		tx.Create(ctx, view.Table{Name: "made", Indexes: []string{"a"}}),
		tx.Write(ctx, "made", []view.Row{row("k", number(3), "x")}),
		tx.Alias(ctx, "shown", "made"),
	)
}

func (f *fixture) unmessed() {
	f.Helper()
	f.want("one", "old", number(1))
	f.want("one", "new", "")
	for _, name := range []string{"made", "shown"} {
		if _, err := f.b.Get(f.Context(), name, "k"); !errors.Is(err, banyan.ErrNotFound) {
			f.Errorf("get %s: got error %v, want one of kind not found: its making was rolled back", name, err)
		}
	}
}

var concurrencyCases = []testCase{
	{"batches of one name never overlap", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"})
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range 10 {
					if err := f.b.Batch(t.Context(), "counter", increment(t.Context(), "n")); err != nil {
						t.Errorf("batch: %v", err)
					}
				}
			})
		}
		wg.Wait()
		f.want("one", "n", number(160))
	}},
	{"batches of other names do not disturb each other", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"})
		var wg sync.WaitGroup
		for i := range 6 {
			name := fmt.Sprintf("counter_%d", i)
			wg.Go(func() {
				for range 10 {
					if err := f.b.Batch(t.Context(), name, increment(t.Context(), name)); err != nil {
						t.Errorf("batch %s: %v", name, err)
					}
				}
			})
		}
		wg.Wait()
		for i := range 6 {
			f.want("one", fmt.Sprintf("counter_%d", i), number(10))
		}
	}},
	{"readers see a batch whole or not at all", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"}, row("a", number(0)), row("b", number(0)))
		f.watch(func() {
			rows, err := f.b.Scan(t.Context(), "one", view.Query{Limit: 10})
			if err != nil || len(rows) != 2 || !sameJSON(rows[0].Doc, rows[1].Doc) {
				t.Errorf("scan: got %v and error %v, want two equal rows", rows, err)
			}
		}, func(i int) {
			f.batch(func(ctx context.Context, tx view.Tx) error {
				return errors.Join(tx.Write(ctx, "one", []view.Row{row("a", number(i))}), tx.Write(ctx, "one", []view.Row{row("b", number(i))}))
			})
		})
	}},
	{"readers never see what is rolled back", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"}, row("a", number(0)))
		f.watch(func() { f.want("one", "a", number(0)) }, func(i int) {
			err := f.b.Batch(t.Context(), "test", func(tx view.Tx) error {
				return errors.Join(tx.Write(t.Context(), "one", []view.Row{row("a", number(i))}), errRefused)
			})
			if !errors.Is(err, errRefused) {
				t.Errorf("got error %v, want the one of fn", err)
			}
		})
	}},
	{"an alias switches at once for readers", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "odd"}, row("k", number(1)))
		f.table(view.Table{Name: "even", Indexes: []string{"a"}}, row("k", number(2), "x"))
		f.batch(func(ctx context.Context, tx view.Tx) error { return tx.Alias(ctx, "shown", "odd") })
		f.watch(func() {
			doc, err := f.b.Get(t.Context(), "shown", "k")
			if err != nil || (!sameJSON(doc, []byte(number(1))) && !sameJSON(doc, []byte(number(2)))) {
				t.Errorf("get through the alias: got %s and error %v, want the row of one table", doc, err)
			}
			rows, err := f.b.Scan(t.Context(), "shown", view.Query{Limit: 10})
			if err != nil || len(rows) != 1 {
				t.Errorf("scan through the alias: got %v and error %v, want one row", rows, err)
			}
		}, func(i int) {
			f.batch(func(ctx context.Context, tx view.Tx) error {
				return tx.Alias(ctx, "shown", []string{"odd", "even"}[i%2])
			})
		})
	}},
}

func increment(ctx context.Context, key string) func(view.Tx) error {
	return func(tx view.Tx) error {
		doc, err := tx.Get(ctx, "one", key)
		if err != nil {
			return err
		}
		n := 0
		if doc != nil {
			if n, err = parseNumber(doc); err != nil {
				return err
			}
		}
		return tx.Write(ctx, "one", []view.Row{row(key, number(n+1))})
	}
}

func parseNumber(doc []byte) (n int, err error) {
	_, err = fmt.Sscanf(strings.ReplaceAll(string(doc), " ", ""), `{"n":%d}`, &n)
	return n, err
}

// watch reads in two goroutines while write is called 40 times.
func (f *fixture) watch(read func(), write func(i int)) {
	f.Helper()
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for !f.Failed() {
				read()
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	defer wg.Wait()
	defer close(done)
	for i := range 40 {
		write(i)
	}
}

// shuffled returns rows in a random order: what a back end gives back must come
// from its own sorting.
func shuffled(rows []view.Row) []view.Row {
	rows = append([]view.Row(nil), rows...)
	rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return rows
}
