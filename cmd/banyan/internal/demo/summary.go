package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/banyanhq/banyan/example/shop/analytics"
	"github.com/banyanhq/banyan/example/shop/retail"
)

// summary is what the command prints; its JSON is an interface for programs.
type summary struct {
	Orders           int64             `json:"orders"`
	Returns          int64             `json:"returns"`
	InvoicesRejected int64             `json:"invoices_rejected"`
	LinesAccepted    int64             `json:"lines_accepted"`
	LinesRejected    int64             `json:"lines_rejected"`
	Revenue          string            `json:"revenue"`
	Refunds          string            `json:"refunds"`
	RevenueByCountry map[string]string `json:"revenue_by_country"`
	RevenueByDay     map[string]string `json:"revenue_by_day"`
	TopCustomers     []ranked          `json:"top_customers"`
	TopProducts      []ranked          `json:"top_products"`
	Events           int64             `json:"events"`
	ElapsedSeconds   float64           `json:"elapsed_seconds"`
	OrdersPerSecond  float64           `json:"orders_per_second"`
	P50              float64           `json:"api_p50_ms"`
	P99              float64           `json:"api_p99_ms"`
}

// ranked is an entry of a top list; its JSON is [id, amount].
type ranked struct {
	id     string
	amount any
}

// MarshalJSON writes a pair.
func (r ranked) MarshalJSON() ([]byte, error) { return json.Marshal([]any{r.id, r.amount}) }

// topCount is how long the top lists are.
const topCount = 10

// summary reads the totals from the read models, as of the end of the log.
func (c *client) summary(ctx context.Context, e end) (*summary, error) {
	var totals analytics.Summary
	if err := c.get(ctx, "/analytics/summary", e.Token, &totals); err != nil {
		return nil, err
	}
	s := &summary{
		Orders: totals.Orders, Returns: totals.Returns, InvoicesRejected: totals.InvoicesRejected,
		LinesAccepted: totals.LinesAccepted, LinesRejected: totals.LinesRejected,
		Revenue: totals.Revenue, Refunds: totals.Refunds, Events: e.Events,
		RevenueByCountry: map[string]string{}, RevenueByDay: map[string]string{},
		TopCustomers: []ranked{}, TopProducts: []ranked{},
	}
	if err := pages(ctx, c, "/analytics/countries", e.Token, func(i analytics.Share) { s.RevenueByCountry[i.ID] = i.Revenue }); err != nil {
		return nil, err
	}
	if err := pages(ctx, c, "/analytics/days", e.Token, func(i analytics.Share) { s.RevenueByDay[i.ID] = i.Revenue }); err != nil {
		return nil, err
	}
	var customers analytics.Shares
	if err := c.get(ctx, fmt.Sprintf("/analytics/customers/top?limit=%d", topCount), e.Token, &customers); err != nil {
		return nil, err
	}
	for _, i := range customers.Items {
		s.TopCustomers = append(s.TopCustomers, ranked{i.ID, i.Revenue})
	}
	var products analytics.UnitsPage
	if err := c.get(ctx, fmt.Sprintf("/analytics/products/top?limit=%d", topCount), e.Token, &products); err != nil {
		return nil, err
	}
	for _, i := range products.Items {
		s.TopProducts = append(s.TopProducts, ranked{i.ID, i.Units})
	}
	return s, nil
}

// refuse counts the invoices in that the shop did not record in this run, and that
// no read model knows of.
func (s *summary) refuse(rows []retail.Reject) {
	invoices := map[string]bool{}
	for _, r := range rows {
		invoices[r.Invoice] = true
	}
	s.InvoicesRejected += int64(len(invoices))
	s.LinesRejected += int64(len(rows))
}

// measure adds how fast it was: took has the time of each answered request,
// elapsed goes from the first request until the read models have caught up.
func (s *summary) measure(took []time.Duration, elapsed time.Duration) {
	s.ElapsedSeconds = round(elapsed.Seconds())
	s.OrdersPerSecond = round(float64(len(took)) / elapsed.Seconds())
	sorted := slices.Sorted(slices.Values(took))
	s.P50, s.P99 = percentile(sorted, 0.50), percentile(sorted, 0.99)
}

// percentile returns the smallest value that at least the share p of all values do
// not exceed, in milliseconds.
func percentile(sorted []time.Duration, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(p*float64(len(sorted)))) - 1
	return round(float64(sorted[max(i, 0)]) / float64(time.Millisecond))
}

func round(f float64) float64 { return math.Round(f*1000) / 1000 }

func (s *summary) print(w io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(s)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name string, value any) { fmt.Fprintf(t, "%s\t%v\n", name, value) }
	line("orders", s.Orders)
	line("returns", s.Returns)
	line("invoices rejected", s.InvoicesRejected)
	line("lines accepted", s.LinesAccepted)
	line("lines rejected", s.LinesRejected)
	line("revenue", s.Revenue)
	line("refunds", s.Refunds)
	line("events", s.Events)
	line("elapsed", fmt.Sprintf("%.1f s", s.ElapsedSeconds))
	line("orders per second", fmt.Sprintf("%.0f", s.OrdersPerSecond))
	line("answer time", fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", s.P50, s.P99))
	table := func(title string, rows []ranked) {
		fmt.Fprintf(t, "\n%s\n", title)
		for _, r := range rows {
			line("  "+printable(r.id), r.amount)
		}
	}
	table("top customers (revenue)", s.TopCustomers)
	table("top products (units)", s.TopProducts)
	table("revenue by country", inOrder(s.RevenueByCountry))
	table("revenue by day", inOrder(s.RevenueByDay))
	return t.Flush()
}

// printable replaces control characters: text of a file must not move the cursor
// of a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '·'
		}
		return r
	}, text)
}

func inOrder(m map[string]string) []ranked {
	rows := make([]ranked, 0, len(m))
	for _, id := range slices.SortedFunc(maps.Keys(m), cmp.Compare[string]) {
		rows = append(rows, ranked{id, m[id]})
	}
	return rows
}
