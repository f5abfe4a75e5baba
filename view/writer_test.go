package view_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

// trip is a document with parts that a copy shares; tour is one that is kept as a
// Go value within a batch.
type (
	trip struct {
		Name  string         `json:"name"`
		Stops []string       `json:"stops"`
		Costs map[string]int `json:"costs"`
	}
	tour trip
)

func (t tour) Clone() tour {
	t.Stops, t.Costs = slices.Clone(t.Stops), maps.Clone(t.Costs)
	return t
}

// trips is what a test needs of a collection of either type.
type trips struct {
	table  func(generation int) (view.Table, error)
	get    func(ctx context.Context, r view.Reader, key string) (trip, bool, error)
	put    func(ctx context.Context, w *view.Writer, key string, v trip) error
	update func(ctx context.Context, w *view.Writer, key string, change func(*trip) error) error
	remove func(ctx context.Context, w *view.Writer, key string)
	named  func(ctx context.Context, r view.Reader, name string) (keys []string, err error)
}

func tripsOf[T trip | tour]() trips {
	c := view.NewCollection("trips", view.IndexOf("name", func(v T) string { return trip(v).Name }))
	return trips{
		table: c.Table, remove: c.Delete,
		get: func(ctx context.Context, r view.Reader, key string) (trip, bool, error) {
			v, found, err := c.Get(ctx, r, key)
			return trip(v), found, err
		},
		put: func(ctx context.Context, w *view.Writer, key string, v trip) error { return c.Put(ctx, w, key, T(v)) },
		update: func(ctx context.Context, w *view.Writer, key string, change func(*trip) error) error {
			return c.Update(ctx, w, key, func(v *T) error {
				changed := trip(*v)
				defer func() { *v = T(changed) }()
				return change(&changed)
			})
		},
		named: func(ctx context.Context, r view.Reader, name string) (keys []string, err error) {
			page, err := c.Scan(ctx, r, view.Query{Index: "name", From: name, To: name + "\x01"})
			for _, item := range page.Items {
				keys = append(keys, item.Key)
			}
			return keys, err
		},
	}
}

// inBoth runs a test on documents that are decoded for every change and on those
// that are kept: nobody may see which.
func inBoth(t *testing.T, test func(t *testing.T, db *view.DB, c trips)) {
	t.Helper()
	for name, c := range map[string]trips{"decoded": tripsOf[trip](), "kept": tripsOf[tour]()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, c.setup(t), c)
		})
	}
}

// setup makes a database with one trip, a.
func (c trips) setup(t *testing.T) *view.DB {
	t.Helper()
	db := setup(t)
	err := db.Batch(t.Context(), "test", func(tx view.Tx) error {
		table, err := c.table(1)
		return errors.Join(err, tx.Create(t.Context(), table), tx.Alias(t.Context(), "trips", table.Name))
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, db, func(ctx context.Context, w *view.Writer) error { return c.put(ctx, w, "a", paris()) })
	return db
}

func paris() trip {
	return trip{Name: "Paris", Stops: []string{"Lyon", "Dijon"}, Costs: map[string]int{"train": 90}}
}

func (c trips) want(t *testing.T, r view.Reader, key string, want trip) {
	t.Helper()
	got, found, err := c.get(t.Context(), r, key)
	if err != nil || !found {
		t.Errorf("get %s: found %v, error %v", key, found, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("trip %s (-want +got):\n%s", key, diff)
	}
}

// spoil changes everything that a trip consists of, in place.
func spoil(v *trip) {
	v.Name, v.Stops[0], v.Costs["train"], v.Costs["fine"] = "spoiled", "spoiled", -1, -1
	v.Stops = append(v.Stops, "spoiled")
}

var errSpoiled = errors.New("changed my mind")

// try calls Update with a change that spoils the document and then fails.
func (c trips) try(ctx context.Context, w *view.Writer, key string, fail func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return c.update(ctx, w, key, func(v *trip) error { spoil(v); return fail() })
}

func TestAChangeThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, db *view.DB, c trips) {
		want := paris()
		write(t, db, func(ctx context.Context, w *view.Writer) error {
			for i, fail := range []func() error{func() error { return errSpoiled }, func() error { panic("at the disco") }} {
				if err := c.try(ctx, w, "a", fail); err == nil {
					t.Error("a change that fails: got no error")
				}
				c.want(t, w, "a", want)
				// The same after a change that is not stored yet.
				stop, cost := fmt.Sprint("stop ", i), fmt.Sprint("cost ", i)
				err := c.update(ctx, w, "a", func(v *trip) error {
					v.Stops, v.Costs[cost] = append(v.Stops, stop), i
					return nil
				})
				if err != nil {
					return err
				}
				want.Stops, want.Costs[cost] = append(want.Stops, stop), i
				if err := c.try(ctx, w, "a", fail); err == nil {
					t.Error("a change that fails: got no error")
				}
				c.want(t, w, "a", want)
			}
			return nil
		})
		c.want(t, db, "a", want)
	})
}

func TestABatchThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, db *view.DB, c trips) {
		err := db.Batch(t.Context(), "test", func(tx view.Tx) error {
			w := view.NewWriter(tx, 1)
			err := c.update(t.Context(), w, "a", func(v *trip) error { spoil(v); return nil })
			return errors.Join(err, w.Flush(t.Context()), errSpoiled)
		})
		if !errors.Is(err, errSpoiled) {
			t.Fatal(err)
		}
		c.want(t, db, "a", paris())
		write(t, db, func(_ context.Context, w *view.Writer) error { c.want(t, w, "a", paris()); return nil })
	})
}

// What a handler does with a value that it was given, or has given away, reaches
// no document.
func TestValuesAreNotShared(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, db *view.DB, c trips) {
		given := paris()
		write(t, db, func(ctx context.Context, w *view.Writer) error {
			for range 2 { // first as it was read, then as it was kept
				got, _, err := c.get(ctx, w, "a")
				if err != nil {
					return err
				}
				spoil(&got)
			}
			var held trip
			if err := c.update(ctx, w, "a", func(v *trip) error { held = *v; return nil }); err != nil {
				return err
			}
			spoil(&held)
			if err := errors.Join(c.put(ctx, w, "b", given), c.put(ctx, w, "c", given)); err != nil {
				return err
			}
			if err := c.update(ctx, w, "b", func(v *trip) error { v.Stops[0], v.Costs["train"] = "Metz", 80; return nil }); err != nil {
				return err
			}
			spoil(&given)
			return nil
		})
		c.want(t, db, "a", paris())
		c.want(t, db, "b", trip{Name: "Paris", Stops: []string{"Metz", "Dijon"}, Costs: map[string]int{"train": 80}})
		c.want(t, db, "c", paris())
	})
}

func TestABatchSeesItsOwnWrites(t *testing.T) {
	t.Parallel()
	rename := func(name string) func(*trip) error {
		return func(v *trip) error { v.Name = name; return nil }
	}
	inBoth(t, func(t *testing.T, db *view.DB, c trips) {
		named := func(r view.Reader, name string, want ...string) {
			t.Helper()
			if keys, err := c.named(t.Context(), r, name); err != nil || !slices.Equal(keys, want) {
				t.Errorf("trips named %s: got %v and error %v, want %v", name, keys, err, want)
			}
		}
		write(t, db, func(ctx context.Context, w *view.Writer) error {
			if err := c.update(ctx, w, "a", rename("Rome")); err != nil {
				return err
			}
			named(w, "Rome", "a")
			named(w, "Paris")
			// Once more, after it was stored for the Scan.
			if err := errors.Join(c.update(ctx, w, "a", rename("Oslo")), c.update(ctx, w, "b", rename("Oslo"))); err != nil {
				return err
			}
			named(w, "Oslo", "a", "b")
			c.remove(ctx, w, "a")
			if got, found, err := c.get(ctx, w, "a"); err != nil || found {
				t.Errorf("a trip that the batch deleted: got %+v, found %v, error %v", got, found, err)
			}
			named(w, "Oslo", "b")
			return c.update(ctx, w, "a", rename("Bonn"))
		})
		c.want(t, db, "a", trip{Name: "Bonn"})
		named(db, "Oslo", "b")
	})
}

// counted counts how often its JSON is read and written; for one test.
type counted struct{ n int }

var decoded, encoded atomic.Int64

func (c counted) Clone() counted { return c }

func (c counted) MarshalJSON() ([]byte, error) { encoded.Add(1); return json.Marshal(c.n) }

func (c *counted) UnmarshalJSON(b []byte) error { decoded.Add(1); return json.Unmarshal(b, &c.n) }

func TestADocumentWithCloneIsDecodedAndEncodedOnce(t *testing.T) {
	t.Parallel()
	db := setup(t)
	c := view.NewCollection[counted]("cities", view.IndexOf("country", counted.index), view.IndexOf("people", counted.index))
	add := func(ctx context.Context, w *view.Writer) error {
		for range 100 {
			if err := c.Update(ctx, w, "x", func(v *counted) error { v.n++; return nil }); err != nil {
				return err
			}
			if _, _, err := c.Get(ctx, w, "x"); err != nil {
				return err
			}
		}
		return nil
	}
	write(t, db, add)
	if d, e := decoded.Load(), encoded.Load(); d != 0 || e != 1 {
		t.Errorf("100 updates of a new document decoded %d times and encoded %d times, want 0 and 1", d, e)
	}
	calls := write(t, db, add)
	if d, e := decoded.Load(), encoded.Load(); d != 1 || e != 2 {
		t.Errorf("with 100 updates of a stored one: decoded %d times and encoded %d times, want 1 and 2", d, e)
	}
	if calls.gets != 1 || calls.rows != 1 {
		t.Errorf("100 updates of a stored document made %d reads and %d writes, want 1 of each", calls.gets, calls.rows)
	}
	if got, _, err := c.Get(t.Context(), db, "x"); err != nil || got.n != 200 {
		t.Errorf("got %+v and error %v, want 200", got, err)
	}
	before := decoded.Load()
	write(t, db, func(ctx context.Context, w *view.Writer) error {
		for range 100 {
			if _, _, err := c.Get(ctx, w, "x"); err != nil {
				return err
			}
		}
		return nil
	})
	if d := decoded.Load() - before; d != 1 {
		t.Errorf("100 reads in a batch decoded %d times, want once", d)
	}
}

func (counted) index() string { return "" }

// A collection may be declared twice, with other types, and used in one batch.
func TestTwoTypesOfOneCollection(t *testing.T) {
	t.Parallel()
	kept, decoded := tripsOf[tour](), tripsOf[trip]()
	db := kept.setup(t)
	want := paris()
	write(t, db, func(ctx context.Context, w *view.Writer) error {
		for i, c := range []trips{kept, decoded, kept, kept, decoded, decoded} {
			stop := fmt.Sprint(i)
			if err := c.update(ctx, w, "a", func(v *trip) error { v.Stops = append(v.Stops, stop); return nil }); err != nil {
				return err
			}
			want.Stops = append(want.Stops, stop)
		}
		return nil
	})
	kept.want(t, db, "a", want)
	// To look with a type that knows less must not forget the rest.
	write(t, db, func(ctx context.Context, w *view.Writer) error {
		err := kept.update(ctx, w, "a", func(v *trip) error { v.Name = "Rouen"; return nil })
		got, _, errGet := view.NewCollection[title]("trips").Get(ctx, w, "a")
		if got.Name != "Rouen" {
			t.Errorf("got %+v, want the new name", got)
		}
		return errors.Join(err, errGet)
	})
	want.Name = "Rouen"
	kept.want(t, db, "a", want)
}

type title struct {
	Name string `json:"name"`
}

func (t title) Clone() title { return t }

// refusing is a batch whose first Write fails.
type refusing struct {
	view.Tx
	refused bool
}

func (r *refusing) Write(ctx context.Context, table string, rows []view.Row) error {
	if !r.refused {
		r.refused = true
		return errors.New("not now")
	}
	return r.Tx.Write(ctx, table, rows)
}

func TestAFlushThatFailedForgetsNothing(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, db *view.DB, c trips) {
		err := db.Batch(t.Context(), "test", func(tx view.Tx) error {
			w := view.NewWriter(&refusing{Tx: tx}, 1)
			if err := c.put(t.Context(), w, "b", paris()); err != nil {
				return err
			}
			if err := w.Flush(t.Context()); err == nil {
				t.Error("a Flush whose Write fails: got no error")
			}
			return w.Flush(t.Context())
		})
		if err != nil {
			t.Fatal(err)
		}
		c.want(t, db, "b", paris())
	})
}

// weight has no JSON for some values.
type weight struct{ Kilos float64 }

func (w weight) Clone() weight { return w }

func TestADocumentThatCannotBeEncodedFailsTheFlush(t *testing.T) {
	t.Parallel()
	index := func(w weight) string {
		if w.Kilos < 0 {
			panic("lighter than air")
		}
		return ""
	}
	c := view.NewCollection("cities", view.IndexOf("country", index), view.IndexOf("people", index))
	for kilos, want := range map[float64]string{math.Inf(1): "unsupported value", -1: "panic: lighter than air"} {
		db := setup(t)
		err := db.Batch(t.Context(), "test", func(tx view.Tx) error {
			w := view.NewWriter(tx, 1)
			if err := errors.Join(c.Put(t.Context(), w, "bad", weight{kilos}), c.Put(t.Context(), w, "good", weight{1})); err != nil {
				t.Errorf("put: %v", err)
			}
			if err := w.Flush(t.Context()); err == nil {
				t.Errorf("the first Flush with %v kilos: got no error", kilos)
			}
			return w.Flush(t.Context()) // it must not have forgotten
		})
		if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(fmt.Sprint(err), want) || !strings.Contains(fmt.Sprint(err), "cities: bad:") {
			t.Errorf("%v kilos: got error %v, want one of kind invalid that says where and %q", kilos, err, want)
		}
		if _, found, err := c.Get(t.Context(), db, "good"); err != nil || found {
			t.Errorf("%v kilos: the other document: found %v, error %v, want nothing of the batch", kilos, found, err)
		}
	}
}
