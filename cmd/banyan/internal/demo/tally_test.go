package demo_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/example/shop/retail"
)

// totals imports and returns the summary without what differs from run to run.
func totals(t *testing.T, args ...string) map[string]any {
	t.Helper()
	stdout, stderr, err := run(t.Context(), append(args, "--json", "--exit")...)
	if err != nil {
		t.Fatalf("demo %v: %v\n%s", args, err, stderr)
	}
	dec := json.NewDecoder(strings.NewReader(stdout.String()))
	dec.UseNumber()
	var s map[string]any
	if err := dec.Decode(&s); err != nil {
		t.Fatalf("stdout %q: %v", stdout, err)
	}
	if rest, _ := io.ReadAll(dec.Buffered()); strings.TrimSpace(string(rest)) != "" {
		t.Errorf("stdout has more than one JSON object: %s", rest)
	}
	for _, measured := range []string{"elapsed_seconds", "orders_per_second", "api_p50_ms", "api_p99_ms"} {
		n, ok := s[measured].(json.Number)
		if f, err := n.Float64(); !ok || err != nil || f <= 0 {
			t.Errorf("%s = %v, want a number above 0", measured, s[measured])
		}
		delete(s, measured)
	}
	return s
}

// month writes a part of the generated month: about 200 invoices, among them all
// adjustments. It returns the file and its records without the header.
func month(t *testing.T) (string, [][]string) {
	t.Helper()
	var text bytes.Buffer
	if err := retail.Generate(&text, 7, time.Date(2011, 3, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	all, err := csv.NewReader(&text).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	place := map[string]int{}
	part := [][]string{all[0]}
	for _, record := range all[1:] {
		if _, seen := place[record[0]]; !seen {
			place[record[0]] = len(place)
		}
		if place[record[0]]%10 == 0 || record[0][0] == 'A' {
			part = append(part, record)
		}
	}
	part = append(part, []string{"", "x", "no number", "1", "2011-03-01 10:00:00", "1", "", "France"},
		[]string{"999999", "x", "no date", "1", "soon", "1", "", "France"})
	path := filepath.Join(t.TempDir(), "month.csv")
	var out bytes.Buffer
	if err := csv.NewWriter(&out).WriteAll(part); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, part[1:]
}

// tally is the rules of the import once more, in other words and with other
// arithmetic.
type tally struct {
	orders, returns, rejected, accepted, refused int
	revenue, refunds                             *big.Rat
	countries, days, customers, products         map[string]*big.Rat
}

func count(records [][]string) *tally {
	t := &tally{
		revenue: new(big.Rat), refunds: new(big.Rat),
		countries: map[string]*big.Rat{}, days: map[string]*big.Rat{}, customers: map[string]*big.Rat{}, products: map[string]*big.Rat{},
	}
	invoices, order := map[string][][]string{}, []string{}
	for _, r := range records {
		if invoices[r[0]] == nil {
			order = append(order, r[0])
		}
		invoices[r[0]] = append(invoices[r[0]], r)
	}
	for _, number := range order {
		t.invoice(number, invoices[number])
	}
	return t
}

func (t *tally) invoice(number string, rows [][]string) {
	digit, c := strings.IndexAny(number, "0123456789") == 0, strings.HasPrefix(number, "C")
	dated := regexp.MustCompile(`^\d{4}-\d\d-\d\d `).MatchString(rows[0][4])
	sum, valid := new(big.Rat), 0
	for _, r := range rows {
		q, okQ := new(big.Rat).SetString(r[3])
		p, okP := new(big.Rat).SetString(r[5])
		if !(digit || c) || !dated || !okQ || !okP || r[1] == "" || p.Sign() <= 0 || q.Sign() == 0 || (q.Sign() < 0) != c {
			continue
		}
		valid++
		sum.Add(sum, new(big.Rat).Mul(q, p))
		if digit {
			plus(t.products, r[1], q)
		}
	}
	t.accepted += valid
	t.refused += len(rows) - valid
	switch {
	case valid == 0:
		t.rejected++
	case c:
		t.returns++
		t.refunds.Sub(t.refunds, sum)
	default:
		t.orders++
		t.revenue.Add(t.revenue, sum)
		plus(t.countries, rows[0][7], sum)
		plus(t.days, rows[0][4][:10], sum)
		if customer := strings.TrimSuffix(rows[0][6], ".0"); customer != "" {
			plus(t.customers, customer, sum)
		}
	}
}

func plus(m map[string]*big.Rat, key string, n *big.Rat) {
	if m[key] == nil {
		m[key] = new(big.Rat)
	}
	m[key].Add(m[key], n)
}

func text(r *big.Rat) string {
	s := r.FloatString(9)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

func texts(m map[string]*big.Rat) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = text(v)
	}
	return out
}

func top(m map[string]*big.Rat, asNumber bool) []any {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if c := m[b].Cmp(m[a]); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	var out []any
	for _, k := range keys[:min(len(keys), 10)] {
		if asNumber {
			out = append(out, []any{k, json.Number(text(m[k]))})
		} else {
			out = append(out, []any{k, text(m[k])})
		}
	}
	return out
}

// summary is what the command has to print, all keys and no others.
func (t *tally) summary() map[string]any {
	n := func(i int) json.Number { return json.Number(fmt.Sprint(i)) }
	return map[string]any{
		"orders": n(t.orders), "returns": n(t.returns), "invoices_rejected": n(t.rejected),
		"lines_accepted": n(t.accepted), "lines_rejected": n(t.refused), "revenue": text(t.revenue), "refunds": text(t.refunds),
		"revenue_by_country": texts(t.countries), "revenue_by_day": texts(t.days),
		"top_customers": top(t.customers, false), "top_products": top(t.products, true),
		"events": n(t.orders + t.returns + t.rejected),
	}
}
