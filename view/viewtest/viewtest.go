// Package viewtest is the acceptance test of view back ends: every sentence of
// view.Backend is a named subtest. A back end that passes Run may be handed to
// view.New.
//
//	func TestViews(t *testing.T) {
//		viewtest.Run(t, viewtest.Harness{Open: open, Reopen: reopen})
//	}
//
// What is tested is what view.Promises claims: durability only where it is
// promised. Concurrency: subtests run in parallel, each on a database of its
// own. Failure: a subtest names the sentence that is broken. The package imports
// nothing but the standard library and the contract.
package viewtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/banyanhq/banyan/view"
)

// Harness makes the databases that are tested.
type Harness struct {
	// Open returns a back end on an empty database of its own, and closes it with
	// tb.Cleanup.
	Open func(tb testing.TB) view.Backend
	// Reopen closes the back end and opens the same database again, as a restart
	// would. Needed when the back end promises to be durable.
	Reopen func(tb testing.TB, b view.Backend) view.Backend
}

// Run tests a back end.
func Run(t *testing.T, h Harness) {
	groups := map[string][]testCase{
		"Batch": batchCases, "Rows": rowCases, "Scan": scanCases, "Tables": tableCases,
		"Alias": aliasCases, "Concurrency": concurrencyCases,
	}
	for group, cases := range groups {
		t.Run(group, func(t *testing.T) {
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(t, &fixture{TB: t, b: h.Open(t)})
				})
			}
		})
	}
	t.Run("Promises", func(t *testing.T) { testPromises(t, h) })
}

type testCase struct {
	name string
	run  func(t *testing.T, f *fixture)
}

// fixture is a back end with short forms of its calls.
type fixture struct {
	testing.TB
	b view.Backend
}

// batch runs fn in a batch that must succeed.
func (f *fixture) batch(fn func(ctx context.Context, tx view.Tx) error) {
	f.Helper()
	ctx := f.Context()
	if err := f.b.Batch(ctx, "test", func(tx view.Tx) error { return fn(ctx, tx) }); err != nil {
		f.Fatalf("batch: %v", err)
	}
}

// table makes a table and stores rows in it.
func (f *fixture) table(t view.Table, rows ...view.Row) {
	f.Helper()
	f.batch(func(ctx context.Context, tx view.Tx) error {
		if err := tx.Create(ctx, t); err != nil || len(rows) == 0 {
			return err
		}
		return tx.Write(ctx, t.Name, rows)
	})
}

func (f *fixture) write(table string, rows ...view.Row) {
	f.Helper()
	f.batch(func(ctx context.Context, tx view.Tx) error { return tx.Write(ctx, table, rows) })
}

// want checks the document of a key; an empty want: there is none.
func (f *fixture) want(table, key, want string) {
	f.Helper()
	doc, err := f.b.Get(f.Context(), table, key)
	if err != nil {
		f.Errorf("get %s %q: %v", table, key, err)
		return
	}
	f.same(fmt.Sprintf("get %s %q", table, key), doc, want)
}

func (f *fixture) same(what string, doc []byte, want string) {
	f.Helper()
	switch {
	case want == "" && doc != nil:
		f.Errorf("%s: got %.200s, want no document", what, doc)
	case want != "" && doc == nil:
		f.Errorf("%s: no document, want %.200s", what, want)
	case want != "" && !sameJSON(doc, []byte(want)):
		f.Errorf("%s: got %.200s, want %.200s", what, doc, want)
	}
}

// sameJSON compares documents: a back end may store its own form of JSON, but
// numbers keep their digits.
func sameJSON(a, b []byte) bool {
	decode := func(doc []byte) (v any, err error) {
		d := json.NewDecoder(bytes.NewReader(doc))
		d.UseNumber()
		err = d.Decode(&v)
		return v, err
	}
	va, errA := decode(a)
	vb, errB := decode(b)
	return errA == nil && errB == nil && reflect.DeepEqual(va, vb)
}

// keys scans and returns the keys in their order.
func (f *fixture) keys(table string, q view.Query) []string {
	f.Helper()
	if q.Limit == 0 {
		q.Limit = 1000
	}
	rows, err := f.b.Scan(f.Context(), table, q)
	if err != nil {
		f.Fatalf("scan %s %+v: %v", table, q, err)
	}
	keys := make([]string, len(rows))
	for i, r := range rows {
		keys[i] = r.Key
	}
	return keys
}

var errRefused = errors.New("refused by the test")

func row(key, doc string, index ...string) view.Row {
	return view.Row{Key: key, Doc: []byte(doc), Index: index}
}

func number(n int) string { return fmt.Sprintf(`{"n":%d}`, n) }

func testPromises(t *testing.T, h Harness) {
	f := &fixture{TB: t, b: h.Open(t)}
	p := f.b.Promises()
	if p.Backend == "" {
		t.Error("the back end does not say its name")
	}
	if again := f.b.Promises(); again != p {
		t.Errorf("promises changed from %+v to %+v", p, again)
	}
	if !p.Durable {
		return
	}
	t.Run("durable batches survive a restart", func(t *testing.T) {
		if h.Reopen == nil {
			t.Fatal("the back end promises to be durable: the harness needs Reopen to test it")
		}
		testDurable(t, f, h)
	})
}

func testDurable(t *testing.T, f *fixture, h Harness) {
	t.Helper()
	f.TB = t
	f.table(view.Table{Name: "kept", Indexes: []string{"a"}}, row("k", number(1), "x"))
	f.batch(func(ctx context.Context, tx view.Tx) error { return tx.Alias(ctx, "shown", "kept") })
	f.b = h.Reopen(t, f.b)
	f.want("kept", "k", number(1))
	f.want("shown", "k", number(1))
	if got := f.keys("shown", view.Query{Index: "a", From: "x"}); len(got) != 1 {
		t.Errorf("scan by index after a restart: got keys %q, want [k]", got)
	}
	f.write("kept", row("k", number(2), "y"))
	f.want("shown", "k", number(2))
}
