package view_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/view"
)

// total is a row as projections have many, clonedTotal one with Clone.
type (
	total struct {
		Country string `json:"country"`
		Orders  int64  `json:"orders"`
		Lines   int64  `json:"lines"`
		Amount  int64  `json:"amount"`
		Last    string `json:"last"`
	}
	clonedTotal total
)

func (t clonedTotal) Clone() clonedTotal { return t }

// BenchmarkUpdate measures a change of a document in batches of 2,048, as a
// projection has when it is rebuilt. "Each" is how many of them change the same
// document.
func BenchmarkUpdate(b *testing.B) {
	for _, each := range []int{1, 4, 16, 256} {
		b.Run(fmt.Sprintf("type=plain/each=%d", each), func(b *testing.B) { benchmarkUpdate[total](b, each) })
		b.Run(fmt.Sprintf("type=clone/each=%d", each), func(b *testing.B) { benchmarkUpdate[clonedTotal](b, each) })
	}
}

func benchmarkUpdate[T total | clonedTotal](b *testing.B, each int) {
	c := view.NewCollection("totals", view.IndexOf("amount", func(v T) string { return view.Int(total(v).Amount) }))
	db := mem.Open()
	b.Cleanup(func() { _ = db.Close() })
	views, ctx := view.New(db.ViewBackend()), b.Context()
	err := views.Batch(ctx, "test", func(tx view.Tx) error {
		table, err := c.Table(1)
		return errors.Join(err, tx.Create(ctx, table))
	})
	if err != nil {
		b.Fatal(err)
	}
	const batch = 2048
	keys := make([]string, batch/each)
	for i := range keys {
		keys[i] = fmt.Sprintf("country %d", i)
	}
	add := func(v *T) error {
		sum := total(*v)
		sum.Country, sum.Last = "United Kingdom", "2010-12-01T08:26:00Z"
		sum.Orders, sum.Lines, sum.Amount = sum.Orders+1, sum.Lines+20, sum.Amount+1599
		*v = T(sum)
		return nil
	}
	fill := func(ctx context.Context, tx view.Tx, n int) error {
		w := view.NewWriter(tx, 1)
		for i := range n {
			if err := c.Update(ctx, w, keys[i%len(keys)], add); err != nil {
				return err
			}
		}
		return w.Flush(ctx)
	}
	b.ReportAllocs()
	for done := 0; done < b.N; done += batch {
		if err := views.Batch(ctx, "test", func(tx view.Tx) error { return fill(ctx, tx, min(batch, b.N-done)) }); err != nil {
			b.Fatal(err)
		}
	}
}
