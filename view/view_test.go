package view_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/view"
)

type city struct {
	Name    string `json:"name"`
	Country string `json:"country"`
	People  int64  `json:"people"`
}

var cities = view.NewCollection(
	"cities",
	view.IndexOf("country", func(c city) string { return c.Country }),
	view.IndexOf("people", func(c city) string { return view.Int(c.People) }),
)

// counting counts the calls that a batch makes of its database.
type counting struct {
	view.Tx
	gets, rows int
}

func (c *counting) Get(ctx context.Context, table, key string) ([]byte, error) {
	c.gets++
	return c.Tx.Get(ctx, table, key)
}

func (c *counting) Write(ctx context.Context, table string, rows []view.Row) error {
	c.rows += len(rows)
	return c.Tx.Write(ctx, table, rows)
}

func setup(t *testing.T) *view.DB {
	t.Helper()
	db := mem.Open()
	t.Cleanup(func() { _ = db.Close() })
	views := view.New(db.ViewBackend())
	err := views.Batch(t.Context(), "test", func(tx view.Tx) error {
		table, err := cities.Table(1)
		return errors.Join(err, tx.Create(t.Context(), table), tx.Alias(t.Context(), cities.Name(), table.Name))
	})
	if err != nil {
		t.Fatal(err)
	}
	return views
}

func write(t *testing.T, db *view.DB, fn func(ctx context.Context, w *view.Writer) error) *counting {
	t.Helper()
	var c *counting
	err := db.Batch(t.Context(), "test", func(tx view.Tx) error {
		c = &counting{Tx: tx}
		w := view.NewWriter(c, 1)
		return errors.Join(fn(t.Context(), w), w.Flush(t.Context()))
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCollectionRoundTrip(t *testing.T) {
	t.Parallel()
	db := setup(t)
	write(t, db, func(ctx context.Context, w *view.Writer) error {
		for i := range 5 {
			c := city{Name: fmt.Sprint("c", i), Country: []string{"DE", "FR"}[i%2], People: int64(i - 2)}
			if err := cities.Put(ctx, w, c.Name, c); err != nil {
				return err
			}
		}
		cities.Delete(ctx, w, "c4")
		return nil
	})
	var names []string
	q := view.Query{Index: "people", Desc: true, Limit: 2}
	for more := true; more; more = q.After != nil {
		page, err := cities.Scan(t.Context(), db, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			names = append(names, item.Value.Name)
		}
		q.After = page.Next
	}
	if diff := cmp.Diff([]string{"c3", "c2", "c1", "c0"}, names); diff != "" {
		t.Errorf("cities by people (-want +got):\n%s", diff)
	}
	if _, found, err := cities.Get(t.Context(), db, "c4"); err != nil || found {
		t.Errorf("deleted city: found %v, error %v", found, err)
	}
}

func TestWriterReadsAndStoresARowOnce(t *testing.T) {
	t.Parallel()
	db := setup(t)
	c := write(t, db, func(ctx context.Context, w *view.Writer) error {
		for range 100 {
			if err := cities.Update(ctx, w, "x", func(c *city) error { c.People++; return nil }); err != nil {
				return err
			}
		}
		_, _, err := cities.Get(ctx, w, "only read")
		return err
	})
	if c.gets != 2 || c.rows != 1 {
		t.Errorf("100 updates of a row made %d reads and %d writes, want 2 (with that of another row) and 1", c.gets, c.rows)
	}
	got, _, err := cities.Get(t.Context(), db, "x")
	if err != nil || got.People != 100 {
		t.Errorf("got %+v and error %v, want 100 people", got, err)
	}
}

func TestScanInABatchSeesItsWrites(t *testing.T) {
	t.Parallel()
	write(t, setup(t), func(ctx context.Context, w *view.Writer) error {
		err := cities.Put(ctx, w, "x", city{Country: "DE"})
		page, errScan := cities.Scan(ctx, w, view.Query{Index: "country", From: "DE"})
		if len(page.Items) != 1 {
			t.Errorf("got %+v, want the city that the batch wrote", page.Items)
		}
		return errors.Join(err, errScan)
	})
}

func TestMistakesAreErrors(t *testing.T) {
	t.Parallel()
	db, ctx := setup(t), t.Context()
	_, errIndex := cities.Scan(ctx, db, view.Query{Index: "name"})
	_, errLimit := cities.Scan(ctx, db, view.Query{Limit: -1})
	_, errName := view.NewCollection[city]("Städte").Table(1)
	_, errLong := view.NewCollection[city]("a23456789012345678901234567890123456789012345678").Table(1)
	errBatch := db.Batch(ctx, "", func(view.Tx) error { return nil })
	errPut := db.Batch(ctx, "test", func(tx view.Tx) error {
		return view.NewCollection[func()]("cities").Put(ctx, view.NewWriter(tx, 1), "x", func() {})
	})
	for what, err := range map[string]error{"index": errIndex, "limit": errLimit, "name": errName, "long name": errLong, "batch": errBatch, "put": errPut} {
		if !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%s: got error %v, want one of kind invalid", what, err)
		}
	}
	write(t, db, func(ctx context.Context, w *view.Writer) error { return cities.Put(ctx, w, "x", city{}) })
	if _, _, err := view.NewCollection[[]int]("cities").Get(ctx, db, "x"); !errors.Is(err, banyan.ErrCorrupt) {
		t.Errorf("a document of another shape: got error %v, want one of kind corrupt", err)
	}
	if _, _, err := view.NewCollection[city]("none").Get(ctx, db, "x"); !errors.Is(err, banyan.ErrNotFound) {
		t.Errorf("a collection that nobody made: got error %v, want one of kind not found", err)
	}
}

func TestBatchReturnsTheErrorOfFn(t *testing.T) {
	t.Parallel()
	mine := errors.New("mine")
	if err := setup(t).Batch(t.Context(), "test", func(view.Tx) error { return mine }); err != mine { //nolint:errorlint // the value itself
		t.Errorf("got error %v, want the value that fn returned", err)
	}
}
