package shop_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/banyanhq/banyan/banyantest"
	"github.com/banyanhq/banyan/example/shop/analytics"
	"github.com/banyanhq/banyan/example/shop/catalogue"
	"github.com/banyanhq/banyan/example/shop/inventory"
	"github.com/banyanhq/banyan/example/shop/orders"
	"github.com/banyanhq/banyan/example/shop/retail"
	"github.com/banyanhq/banyan/projection"
)

// BenchmarkRebuild builds the read models of a generated month anew.
func BenchmarkRebuild(b *testing.B) {
	var text bytes.Buffer
	if err := retail.Generate(&text, 1, time.Date(2010, 12, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		b.Fatal(err)
	}
	month, err := retail.Parse("month.csv", &text)
	if err != nil {
		b.Fatal(err)
	}
	for name, define := range map[string]func() *projection.Definition{
		"analytics": analytics.Projection, "inventory": inventory.Projection, "catalogue": catalogue.Projection,
	} {
		b.Run(name, func(b *testing.B) {
			m := banyantest.Projection(b, orders.Types, define())
			for i, inv := range month.Invoices {
				posted := orders.Invoice{Number: inv.Number, Date: inv.Date.Format(time.RFC3339), Customer: inv.Customer, Country: inv.Country}
				for _, l := range inv.Lines {
					posted.Lines = append(posted.Lines, orders.Line(l))
				}
				m.Given(fmt.Sprintf("order-%d", i), orders.Judge(posted).Fact)
			}
			m.Then()
			for b.Loop() {
				m.WhenRebuilt()
			}
			b.ReportMetric(float64(len(month.Invoices)*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
