package projection_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// chain is a row that shows every event it was made of, and their order, in a few
// bytes: long runs cannot keep lists.
type chain struct {
	Events int    `json:"events"`
	Last   string `json:"last"`
	Sum    uint32 `json:"sum"` // of the ids in their order
}

func (c chain) Clone() chain { return c }

func (c *chain) add(e banyan.Event) {
	c.Events++
	c.Last = e.ID
	c.Sum = crc32.Update(c.Sum, crc32.IEEETable, []byte(e.ID))
}

// ledger is the projection of the long runs: a row for each order and one for
// each country. An order is parked from its first event with the reason "bad".
type ledger struct {
	accounts  *view.Collection[chain]
	countries *view.Collection[chain]
}

func newLedger() *ledger {
	return &ledger{
		accounts:  view.NewCollection("accounts", view.IndexOf("events", func(c chain) string { return view.Int(int64(c.Events)) })),
		countries: view.NewCollection[chain]("countries"),
	}
}

func (l *ledger) define(o projection.Options) *projection.Definition {
	o.Collections = []projection.Collection{l.accounts, l.countries}
	d := projection.Define("ledger", types, &o)
	projection.On(d, func(ctx context.Context, b *projection.Batch, p placed, e banyan.Event) error {
		return l.add(ctx, b, e, p.Country)
	})
	projection.On(d, func(ctx context.Context, b *projection.Batch, c cancelled, e banyan.Event) error {
		return errors.Join(l.add(ctx, b, e, "cancelled"), badness(c))
	})
	return d
}

func (l *ledger) add(ctx context.Context, b *projection.Batch, e banyan.Event, country string) error {
	count := func(c *chain) error { c.add(e); return nil }
	return errors.Join(
		l.accounts.Update(ctx, b.Writer(), e.Stream, count),
		l.countries.Update(ctx, b.Writer(), country, count),
	)
}

func badness(c cancelled) error {
	if c.Reason == "bad" {
		return errPoison
	}
	return nil
}

// folded is what the rows must be, computed from the log in the plainest way.
type folded struct {
	rows   map[string]chain // by collection and key
	parked map[string]bool  // streams
}

// fold reads the log up to a position.
func (l *ledger) fold(t testing.TB, s *store.Store, until banyan.Position) folded {
	t.Helper()
	f := folded{rows: map[string]chain{}, parked: map[string]bool{}}
	count := func(row string, e banyan.Event) {
		c := f.rows[row]
		c.add(e)
		f.rows[row] = c
	}
	for e, err := range s.All(t.Context(), 0, store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Position > until {
			break
		}
		payloads, err := types.Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		country := ""
		switch p := payloads[0].(type) {
		case placed:
			country = p.Country
		case cancelled:
			country = "cancelled"
			if badness(p) != nil {
				f.parked[e.Stream] = true
			}
		}
		if !f.parked[e.Stream] {
			count("accounts/"+e.Stream, e)
			count("countries/"+country, e)
		}
	}
	return f
}

// documents returns the rows as the back end keeps them. suffix is that of the
// tables of a generation; none means the live one.
func (l *ledger) documents(t testing.TB, b view.Backend, suffix string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, name := range []string{"accounts", "countries"} {
		for q := (view.Query{Limit: 1000}); ; {
			rows, err := b.Scan(t.Context(), name+suffix, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				all[name+"/"+r.Key] = r.Doc
			}
			if len(rows) < q.Limit {
				break
			}
			q.After = &view.Cursor{Key: rows[len(rows)-1].Key}
		}
	}
	return all
}

// differences compares documents with the fold, byte for byte; a back end that
// keeps JSON in a form of its own gets its documents written anew first.
func (f folded) differences(got map[string][]byte, rewrite bool) []string {
	var wrong []string
	for _, key := range slices.Sorted(maps.Keys(f.rows)) {
		want, _ := json.Marshal(f.rows[key])
		doc := got[key]
		if rewrite && doc != nil {
			var c chain
			if err := json.Unmarshal(doc, &c); err != nil {
				wrong = append(wrong, fmt.Sprintf("%s: %v", key, err))
			}
			doc, _ = json.Marshal(c)
		}
		if !bytes.Equal(doc, want) {
			wrong = append(wrong, fmt.Sprintf("%s is %s, want %s", key, doc, want))
		}
	}
	for key, doc := range got {
		if _, ok := f.rows[key]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s is %s, want no row", key, doc))
		}
	}
	return wrong
}
