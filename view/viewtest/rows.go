package viewtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

var rowCases = []testCase{
	{"Get gives nil for a key without document", func(_ *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"}, row("k", number(1)))
		f.want("one", "other", "")
		f.want("one", "K", "")
	}},
	{"a table that does not exist is not found", func(t *testing.T, f *fixture) {
		_, errGet := f.b.Get(t.Context(), "none", "k")
		_, errScan := f.b.Scan(t.Context(), "none", view.Query{Limit: 1})
		var errTxGet, errTxScan error
		_ = f.b.Batch(t.Context(), "test", func(tx view.Tx) error { _, errTxGet = tx.Get(t.Context(), "none", "k"); return errTxGet })
		_ = f.b.Batch(t.Context(), "test", func(tx view.Tx) error {
			_, errTxScan = tx.Scan(t.Context(), "none", view.Query{Limit: 1})
			return errTxScan
		})
		for what, err := range map[string]error{"Get": errGet, "Scan": errScan, "Tx.Get": errTxGet, "Tx.Scan": errTxScan} {
			if !errors.Is(err, banyan.ErrNotFound) {
				t.Errorf("%s of a table that does not exist: got error %v, want one of kind not found", what, err)
			}
		}
	}},
	{"Write to a table that does not exist is an error", func(t *testing.T, f *fixture) {
		err := f.b.Batch(t.Context(), "test", func(tx view.Tx) error { return tx.Write(t.Context(), "none", []view.Row{row("k", number(1))}) })
		if err == nil {
			t.Error("a write to a table that does not exist returned nil")
		}
	}},
	{"Write replaces the row with the same key and its index values", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one", Indexes: []string{"a", "b"}}, row("k", number(1), "x", "y"))
		f.write("one", row("k", number(2), "p", "q"))
		f.want("one", "k", number(2))
		if got := f.keys("one", view.Query{Index: "a", From: "x", To: "y"}); len(got) != 0 {
			t.Errorf("the old index value still finds %q", got)
		}
		if got := f.keys("one", view.Query{Index: "b", From: "q", To: "r"}); len(got) != 1 {
			t.Errorf("the new index value finds %q, want [k]", got)
		}
	}},
	{"a row without Doc is deleted", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one", Indexes: []string{"a"}}, row("k", number(1), "x"), row("l", number(2), "x"))
		f.write("one", view.Row{Key: "k", Index: []string{""}}, view.Row{Key: "never there", Index: []string{""}})
		f.want("one", "k", "")
		if got := f.keys("one", view.Query{Index: "a"}); !slices.Equal(got, []string{"l"}) {
			t.Errorf("scan after delete: got %q, want [l]", got)
		}
		f.write("one", row("k", number(3), "z"))
		f.want("one", "k", number(3))
	}},
	{"one Write stores and deletes", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"}, row("a", number(1)), row("b", number(1)), row("c", number(1)))
		f.write("one", row("a", number(2)), view.Row{Key: "b"}, row("d", number(2)))
		if got := f.keys("one", view.Query{}); !slices.Equal(got, []string{"a", "c", "d"}) {
			t.Errorf("got keys %q, want [a c d]", got)
		}
		f.want("one", "a", number(2))
	}},
	{"Write of no rows does nothing", func(_ *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"}, row("a", number(1)))
		f.write("one")
		f.want("one", "a", number(1))
	}},
	{"a Write of many rows", func(t *testing.T, f *fixture) {
		const n = 20_000 // more parameters than one statement of most databases takes
		rows := make([]view.Row, n)
		for i := range rows {
			rows[i] = row(fmt.Sprintf("k%06d", i), number(i), fmt.Sprint(i%7), fmt.Sprint(i%11))
		}
		f.table(view.Table{Name: "one", Indexes: []string{"a", "b"}}, rows...)
		if got := f.keys("one", view.Query{Limit: n + 1}); len(got) != n {
			t.Errorf("got %d rows, want %d", len(got), n)
		}
		f.want("one", "k012345", number(12345))
	}},
	{"keys are any text without NUL", func(t *testing.T, f *fixture) {
		rows := make([]view.Row, len(texts))
		for i, k := range texts {
			rows[i] = row(k, number(i), k)
		}
		f.table(view.Table{Name: "one", Indexes: []string{"a"}}, shuffled(rows)...)
		for i, k := range texts {
			f.want("one", k, number(i))
		}
		for _, q := range []view.Query{{}, {Index: "a"}} {
			if got := f.keys("one", q); !slices.Equal(got, texts) {
				t.Errorf("scan by %q: got order %q, want the order of bytes %q", q.Index, got, texts)
			}
		}
	}},
	{"documents keep every digit and character", func(_ *testing.T, f *fixture) {
		docs := []string{
			`{"n":12345678901234567890.123}`, `{"n":"12345678901234567890.123"}`, `{"n":0.1}`, `{"n":-9223372036854775808}`,
			`{"s":"quote \" back \\ line \n emoji 😀 nul-free é e\u0301 <&>"}`, `[]`, `{}`, `null`, `"text"`, `7`, `true`,
			`{"b":1,"a":{"deep":[1,[2,[3,{"x":null}]]]}}`,
		}
		f.table(view.Table{Name: "one"})
		for i, doc := range docs {
			f.write("one", row(fmt.Sprint(i), doc))
			f.want("one", fmt.Sprint(i), doc)
		}
	}},
	{"big documents", func(_ *testing.T, f *fixture) {
		doc := `{"s":"` + strings.Repeat("banyan ☂ ", 200_000) + `"}`
		f.table(view.Table{Name: "one"}, row("k", doc))
		f.want("one", "k", doc)
	}},
}

// texts are in the order of their bytes, which is neither that of people nor
// that of UTF-16.
var texts = []string{
	"", " ", "!", "%", "'; DROP TABLE one; --", "0", "10", "2", "A", "Z", "\\", "_", "a", "a b", "aa", "a\u0301", "b", "~", "ß", "é", "日本", "\uffee", "😀",
}

// numbers is a table of 30 rows: index a has few values, b is unique and runs
// against the keys, c is empty.
func (f *fixture) numbers() []view.Row {
	f.Helper()
	rows := make([]view.Row, 30)
	for i := range rows {
		rows[i] = row(fmt.Sprintf("k%02d", i), number(i), fmt.Sprintf("v%d", i%4), fmt.Sprintf("u%02d", 99-i), "")
	}
	f.table(view.Table{Name: "one", Indexes: []string{"a", "b", "c"}}, shuffled(rows)...)
	return rows
}

// selected is the meaning of a Query, in the plainest words: the suite compares
// every back end with it.
func selected(rows []view.Row, indexes []string, q view.Query) []view.Row {
	value := func(r view.Row) string {
		if i := slices.Index(indexes, q.Index); i >= 0 {
			return r.Index[i]
		}
		return r.Key
	}
	order := func(av, ak, bv, bk string) int {
		switch c := cmp.Compare(av, bv); {
		case c != 0 && q.Desc:
			return -c
		case c != 0:
			return c
		}
		return cmp.Compare(ak, bk)
	}
	var out []view.Row
	for _, r := range rows {
		v := value(r)
		if v < q.From || (q.To != "" && v >= q.To) {
			continue
		}
		if q.After != nil {
			after := q.After.Value
			if q.Index == "" {
				after = q.After.Key
			}
			if order(v, r.Key, after, q.After.Key) <= 0 {
				continue
			}
		}
		r.Index = nil
		if q.Index != "" {
			r.Index = []string{v}
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b view.Row) int {
		av, bv := a.Key, b.Key
		if q.Index != "" {
			av, bv = a.Index[0], b.Index[0]
		}
		return order(av, a.Key, bv, b.Key)
	})
	return out[:min(len(out), q.Limit)]
}

func (f *fixture) compare(q view.Query, got, want []view.Row) {
	f.Helper()
	same := len(got) == len(want)
	for i := 0; same && i < len(got); i++ {
		same = got[i].Key == want[i].Key && slices.Equal(got[i].Index, want[i].Index) && sameJSON(got[i].Doc, want[i].Doc)
	}
	if !same {
		f.Errorf("scan %+v:\n got %s\nwant %s", q, brief(got), brief(want))
	}
}

func brief(rows []view.Row) string {
	var s strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&s, "%s%q ", r.Key, r.Index)
	}
	return s.String()
}

var scanCases = []testCase{
	{"by key and index, ascending and descending, with bounds", func(t *testing.T, f *fixture) {
		rows := f.numbers()
		for _, index := range []string{"", "a", "b", "c"} {
			for _, bounds := range [][2]string{{"", ""}, {"k05", "k20"}, {"v1", "v3"}, {"v1", "v2"}, {"u80", ""}, {"", "u80"}, {"", "v2"}, {"x", ""}, {"k10", "k10"}} {
				for _, desc := range []bool{false, true} {
					for _, limit := range []int{1, 7, 1000} {
						q := view.Query{Index: index, From: bounds[0], To: bounds[1], Desc: desc, Limit: limit}
						got, err := f.b.Scan(t.Context(), "one", q)
						if err != nil {
							t.Fatalf("scan %+v: %v", q, err)
						}
						f.compare(q, got, selected(rows, []string{"a", "b", "c"}, q))
					}
				}
			}
		}
	}},
	{"equal values are in ascending order of keys, also when Desc", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one", Indexes: []string{"a"}}, shuffled([]view.Row{row("1", number(1), "x"), row("2", number(2), "x"), row("3", number(3), "y"), row("4", number(4), "y")})...)
		if got := f.keys("one", view.Query{Index: "a", Desc: true}); !slices.Equal(got, []string{"3", "4", "1", "2"}) {
			t.Errorf("got %q, want [3 4 1 2]", got)
		}
	}},
	{"After continues behind the last row, with every page size", func(_ *testing.T, f *fixture) {
		rows := f.numbers()
		for _, index := range []string{"", "a", "b", "c"} {
			for _, desc := range []bool{false, true} {
				for limit := 1; limit <= len(rows)+1; limit++ {
					f.pages(rows, view.Query{Index: index, Desc: desc, Limit: limit})
					f.pages(rows, view.Query{Index: index, Desc: desc, Limit: limit, From: "k03", To: "v3"})
				}
			}
		}
	}},
	{"After a row that was deleted meanwhile", func(t *testing.T, f *fixture) {
		rows := f.numbers()
		f.write("one", view.Row{Key: "k10", Index: []string{"", "", ""}})
		rows = slices.Delete(rows, 10, 11)
		for _, q := range []view.Query{
			{Limit: 50, After: &view.Cursor{Key: "k10"}},
			{Index: "a", Limit: 50, After: &view.Cursor{Value: "v2", Key: "k10"}},
			{Index: "a", Limit: 50, Desc: true, After: &view.Cursor{Value: "v2", Key: "k10"}},
		} {
			got, err := f.b.Scan(t.Context(), "one", q)
			if err != nil {
				t.Fatalf("scan %+v: %v", q, err)
			}
			f.compare(q, got, selected(rows, []string{"a", "b", "c"}, q))
		}
	}},
	{"an empty table has no rows", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one", Indexes: []string{"a"}})
		for _, q := range []view.Query{{}, {Index: "a"}, {Index: "a", Desc: true, After: &view.Cursor{Value: "x", Key: "y"}}} {
			if got := f.keys("one", q); len(got) != 0 {
				t.Errorf("got %q", got)
			}
		}
	}},
}

// pages reads page by page and compares the whole with one big scan of the model.
func (f *fixture) pages(rows []view.Row, q view.Query) {
	f.Helper()
	all := q
	all.Limit = 1000
	want := selected(rows, []string{"a", "b", "c"}, all)
	var got []view.Row
	for len(got) <= len(want) {
		page, err := f.b.Scan(f.Context(), "one", q)
		if err != nil {
			f.Fatalf("scan %+v: %v", q, err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		last := page[len(page)-1]
		q.After = &view.Cursor{Key: last.Key}
		if q.Index != "" {
			if len(last.Index) != 1 {
				f.Fatalf("scan %+v: row %s has index values %q, want the one of index %s", q, last.Key, last.Index, q.Index)
			}
			q.After.Value = last.Index[0]
		}
	}
	f.compare(q, got, want)
}

var tableCases = []testCase{
	{"Create does nothing when the table exists with the same indexes", func(_ *testing.T, f *fixture) {
		f.table(view.Table{Name: "one", Indexes: []string{"a", "b"}}, row("k", number(1), "x", "y"))
		f.table(view.Table{Name: "one", Indexes: []string{"a", "b"}})
		f.want("one", "k", number(1))
	}},
	{"Create twice in one batch", func(_ *testing.T, f *fixture) {
		f.batch(func(ctx context.Context, tx view.Tx) error {
			t := view.Table{Name: "one", Indexes: []string{"a"}}
			return errors.Join(tx.Create(ctx, t), tx.Write(ctx, "one", []view.Row{row("k", number(1), "x")}), tx.Create(ctx, t))
		})
		f.want("one", "k", number(1))
	}},
	{"Create with other indexes is refused", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one", Indexes: []string{"a", "b"}}, row("k", number(1), "x", "y"))
		for _, indexes := range [][]string{nil, {"a"}, {"b", "a"}, {"a", "b", "c"}, {"a", "c"}} {
			err := f.b.Batch(t.Context(), "test", func(tx view.Tx) error {
				return tx.Create(t.Context(), view.Table{Name: "one", Indexes: indexes})
			})
			if !errors.Is(err, banyan.ErrExists) {
				t.Errorf("create with indexes %q over [a b]: got error %v, want one of kind already exists", indexes, err)
			}
		}
		f.want("one", "k", number(1))
	}},
	{"Drop removes a table, and does nothing when there is none", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"}, row("k", number(1)))
		f.batch(func(ctx context.Context, tx view.Tx) error {
			return errors.Join(tx.Drop(ctx, "one"), tx.Drop(ctx, "none"))
		})
		if _, err := f.b.Get(t.Context(), "one", "k"); !errors.Is(err, banyan.ErrNotFound) {
			t.Errorf("get of a dropped table: got error %v, want one of kind not found", err)
		}
		f.table(view.Table{Name: "one", Indexes: []string{"a"}})
		f.want("one", "k", "")
	}},
	{"Drop is rolled back", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one", Indexes: []string{"a"}}, row("k", number(1), "x"))
		_ = f.b.Batch(t.Context(), "test", func(tx view.Tx) error { return errors.Join(tx.Drop(t.Context(), "one"), errRefused) })
		f.want("one", "k", number(1))
		f.table(view.Table{Name: "one", Indexes: []string{"a"}})
	}},
	{"long names, and names that SQL reserves", func(_ *testing.T, f *fixture) {
		for _, name := range []string{"order", "select", "a" + strings.Repeat("z9_", 15) + "zz", "t"} {
			index := []string{"group", "value", "key", "doc", "i" + strings.Repeat("x", 47)}
			f.table(view.Table{Name: name, Indexes: index}, row("k", number(1), "1", "2", "3", "4", "5"))
			f.want(name, "k", number(1))
			for _, by := range index {
				if got := f.keys(name, view.Query{Index: by}); len(got) != 1 {
					f.Errorf("table %s by index %s: got %q, want [k]", name, by, got)
				}
			}
		}
	}},
}

var aliasCases = []testCase{
	{"reads from its table, for Get and Scan", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one", Indexes: []string{"a"}}, row("k", number(1), "x"))
		f.batch(func(ctx context.Context, tx view.Tx) error { return tx.Alias(ctx, "shown", "one") })
		f.want("shown", "k", number(1))
		f.want("shown", "other", "")
		f.write("one", row("l", number(2), "w"))
		if got := f.keys("shown", view.Query{Index: "a"}); !slices.Equal(got, []string{"l", "k"}) {
			t.Errorf("scan by index through the alias: got %q, want [l k]", got)
		}
	}},
	{"is seen inside its batch", func(_ *testing.T, f *fixture) {
		f.batch(func(ctx context.Context, tx view.Tx) error {
			err := errors.Join(tx.Create(ctx, view.Table{Name: "one"}), tx.Write(ctx, "one", []view.Row{row("k", number(1))}), tx.Alias(ctx, "shown", "one"))
			doc, errGet := tx.Get(ctx, "shown", "k")
			f.same("get through the alias inside", doc, number(1))
			return errors.Join(err, errGet)
		})
		f.want("shown", "k", number(1))
	}},
	{"moves to a table with other indexes, and back", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one", Indexes: []string{"a"}}, row("k", number(1), "x"))
		f.table(view.Table{Name: "two", Indexes: []string{"b", "c"}}, row("k", number(2), "y", "z"))
		for _, step := range []struct{ table, index, doc string }{{"one", "a", number(1)}, {"two", "c", number(2)}, {"one", "a", number(1)}} {
			f.batch(func(ctx context.Context, tx view.Tx) error { return tx.Alias(ctx, "shown", step.table) })
			f.want("shown", "k", step.doc)
			if got := f.keys("shown", view.Query{Index: step.index}); len(got) != 1 {
				t.Errorf("alias on %s by index %s: got %q, want [k]", step.table, step.index, got)
			}
		}
	}},
	{"its move is rolled back", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"}, row("k", number(1)))
		f.table(view.Table{Name: "two"}, row("k", number(2)))
		f.batch(func(ctx context.Context, tx view.Tx) error { return tx.Alias(ctx, "shown", "one") })
		_ = f.b.Batch(t.Context(), "test", func(tx view.Tx) error { return errors.Join(tx.Alias(t.Context(), "shown", "two"), errRefused) })
		f.want("shown", "k", number(1))
	}},
	{"is not found when its table is dropped, and can be made again", func(t *testing.T, f *fixture) {
		f.table(view.Table{Name: "one", Indexes: []string{"a"}}, row("k", number(1), "x"))
		f.table(view.Table{Name: "two"}, row("k", number(2)))
		f.batch(func(ctx context.Context, tx view.Tx) error { return tx.Alias(ctx, "shown", "one") })
		f.batch(func(ctx context.Context, tx view.Tx) error { return tx.Drop(ctx, "one") })
		if _, err := f.b.Get(t.Context(), "shown", "k"); !errors.Is(err, banyan.ErrNotFound) {
			t.Errorf("get through the alias of a dropped table: got error %v, want one of kind not found", err)
		}
		f.batch(func(ctx context.Context, tx view.Tx) error { return tx.Alias(ctx, "shown", "two") })
		f.want("shown", "k", number(2))
	}},
	{"the table that it left can be dropped in the same batch", func(_ *testing.T, f *fixture) {
		f.table(view.Table{Name: "one"}, row("k", number(1)))
		f.table(view.Table{Name: "two"}, row("k", number(2)))
		f.batch(func(ctx context.Context, tx view.Tx) error { return tx.Alias(ctx, "shown", "one") })
		f.batch(func(ctx context.Context, tx view.Tx) error {
			return errors.Join(tx.Alias(ctx, "shown", "two"), tx.Drop(ctx, "one"))
		})
		f.want("shown", "k", number(2))
	}},
}
