package retail

import (
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"
)

// Generate writes a month of made-up transactions in the format that Parse reads:
// about 2,000 invoices with 40,000 lines, spread over the days of the month except
// Saturdays. Only year and month of month are used. The same seed and month give
// the same bytes on every platform; two months near each other share no invoice
// number.
//
// The month holds what makes real ones hard: guests, customers written 17850.0,
// returns (C…) of what was sold before, accounting adjustments (A…), stock
// corrections with a negative quantity and no price, lines that are free, empty
// descriptions and such with commas and quotes, prices with three decimals, an
// invoice of 1,114 lines, one whose rows carry two minutes, and one whose rows
// are not together.
func Generate(w io.Writer, seed uint64, month time.Time) error {
	first := time.Date(month.Year(), month.Month(), 1, 0, 0, 0, 0, time.UTC)
	g := &generator{
		dice: dice{rand.NewPCG(seed, uint64(first.Unix()))},
		out:  csv.NewWriter(w),
	}
	g.products = newCatalogue(g.dice)
	g.number = firstNumber(first)
	g.row(columns[:])
	g.month(first)
	g.out.Flush()
	if err := g.out.Error(); err != nil {
		return fmt.Errorf("retail: generate %s: %w", first.Format("2006-01"), err)
	}
	return nil
}

// firstNumber gives each month a range of its own among the six-digit numbers;
// they repeat after 225 months.
func firstNumber(month time.Time) int {
	const perMonth, from, span = 4000, 100_000, 900_000
	months := month.Year()*12 + int(month.Month()) - 1
	return from + ((months*perMonth)%span+span)%span
}

// The shape of a month.
const (
	monthOrders      = 1605
	monthReturns     = 325
	monthCorrections = 66
	monthAdjustments = 3
	longestInvoice   = 1114
)

// generator writes one month. Amounts are integers, in thousandths of a pound, so
// that no platform rounds them in its own way.
type generator struct {
	dice
	out      *csv.Writer
	products []product
	number   int
	sold     []sale // what may be returned
}

// sale is an order as far as its return needs it.
type sale struct {
	customer, country string
	product           product
	quantity          int
}

// bill is an invoice to be written.
type bill struct {
	number   string
	at       time.Time
	customer string
	country  string
	items    []item
}

type item struct {
	code, text string
	quantity   int
	price      int
}

// month writes all bills in order of time: kinds are dealt like cards, so that
// each has its exact count and a random place.
func (g *generator) month(first time.Time) {
	days := openDays(first)
	kinds := g.deal()
	// The special orders sit at fixed fractions of the month, whatever the seed.
	long, twoMinutes, torn := len(kinds)/3, len(kinds)/7, len(kinds)/2
	var waiting *bill // second part of the torn order, behind its successor
	for i, kind := range kinds {
		at := clock(days, i, len(kinds), g.below(4))
		if i == long || i == twoMinutes || i == torn {
			kind = g.order
		}
		b := kind(at)
		switch i {
		case long:
			b.items = append(b.items, g.items(longestInvoice-len(b.items))...)
		case twoMinutes:
			b.items = append(b.items, g.items(4)...)
			half := len(b.items) / 2
			later := b
			later.items, later.at = b.items[half:], at.Add(time.Minute)
			b.items = b.items[:half]
			g.write(b)
			b = later
		case torn:
			b.items = append(b.items, g.items(4)...)
			half := len(b.items) / 2
			rest := b
			rest.items = b.items[half:]
			b.items = b.items[:half]
			waiting = &rest
		}
		g.write(b)
		if waiting != nil && i > torn {
			g.write(*waiting)
			waiting = nil
		}
	}
}

// deal returns one maker for each invoice of the month, shuffled.
func (g *generator) deal() []func(time.Time) bill {
	var kinds []func(time.Time) bill
	for _, k := range []struct {
		count int
		make  func(time.Time) bill
	}{
		{monthOrders, g.order},
		{monthReturns, g.giveBack},
		{monthCorrections, g.correction},
		{monthAdjustments, g.adjustment},
	} {
		for range k.count {
			kinds = append(kinds, k.make)
		}
	}
	for i := len(kinds) - 1; i > 0; i-- {
		j := g.below(i + 1)
		kinds[i], kinds[j] = kinds[j], kinds[i]
	}
	return kinds
}

// openDays are the days of the month on which the shop sells: never a Saturday.
func openDays(first time.Time) []time.Time {
	var days []time.Time
	for day := first; day.Month() == first.Month(); day = day.AddDate(0, 0, 1) {
		if day.Weekday() != time.Saturday {
			days = append(days, day)
		}
	}
	return days
}

// clock spreads n invoices evenly over the days, and over 08:00 to 18:00 in each.
func clock(days []time.Time, i, n, jitter int) time.Time {
	const open, minutes = 8 * 60, 10*60 - 4
	place := i * len(days) * minutes / n
	minute := open + place%minutes + jitter
	return days[place/minutes].Add(time.Duration(minute) * time.Minute)
}

func (g *generator) next(prefix string) string {
	g.number += 1 + g.below(2)*g.below(2) // real numbers have gaps
	return prefix + strconv.Itoa(g.number)
}

// order is a sale. One in nine is a guest's, with more and dearer lines.
func (g *generator) order(at time.Time) bill {
	b := bill{number: g.next(""), at: at, country: "United Kingdom"}
	lines := 1 + g.below(6) + g.below(33)
	if g.oneIn(9) {
		if g.oneIn(4) {
			lines = 100 + g.below(140)
		}
	} else {
		c := g.below(950)
		b.customer = strconv.Itoa(12346+c*6) + ".0"
		if c%14 == 0 { // a customer stays in one country
			b.country = abroad[c/14%len(abroad)]
		}
	}
	b.items = g.items(lines)
	if b.country != "United Kingdom" || g.oneIn(40) {
		b.items = append(b.items, item{code: "POST", text: "POSTAGE", quantity: 1 + g.below(3), price: 18_000})
	}
	for range 2 {
		i := b.items[g.below(len(b.items))]
		if i.price > 0 && i.quantity > 0 {
			g.sold = append(g.sold, sale{b.customer, b.country, product{i.code, i.text, i.price}, i.quantity})
		}
	}
	return b
}

// items are lines of an order, with some that the shop will not take.
func (g *generator) items(n int) []item {
	items := make([]item, n)
	for i := range items {
		p := g.products[g.lower(len(g.products))]
		it := item{p.code, p.text, 1 + g.below(12), p.price}
		switch {
		case g.oneIn(30):
			it.quantity = 24 * (1 + g.below(12))
		case g.oneIn(250): // free of charge
			it.price = 0
		case g.oneIn(900): // entered with the wrong sign
			it.quantity = -it.quantity
		case g.oneIn(1500):
			it.text = ""
		case g.oneIn(700): // sold by weight or after a discount
			it.price += 1 + g.below(9)
		}
		items[i] = it
	}
	return items
}

// giveBack returns a part of an earlier sale, and often of others to its customer.
func (g *generator) giveBack(at time.Time) bill {
	if len(g.sold) == 0 { // nothing to return on the first morning
		return g.order(at)
	}
	first := g.sold[g.below(len(g.sold))]
	b := bill{number: g.next("C"), at: at, customer: first.customer, country: first.country}
	b.items = append(b.items, g.returned(first))
	for _, s := range g.sold {
		if s.customer != "" && s.customer == first.customer && s != first && g.oneIn(3) {
			b.items = append(b.items, g.returned(s))
		}
	}
	if g.oneIn(20) {
		b.items = append(b.items, item{"D", "Discount", -1, 10 * (100 + g.below(4000))})
	}
	return b
}

func (g *generator) returned(s sale) item {
	return item{s.product.code, s.product.text, -1 - g.below(s.quantity), s.product.price}
}

// correction is what the warehouse books as an order: a negative quantity, free.
func (g *generator) correction(at time.Time) bill {
	p := g.products[g.below(len(g.products))]
	return bill{
		number: g.next(""), at: at, country: "United Kingdom",
		items: []item{{p.code, remarks[g.below(len(remarks))], -1 - g.below(200), 0}},
	}
}

// adjustment is a line of the accounts, neither an order nor a return.
func (g *generator) adjustment(at time.Time) bill {
	amount := 10 * (500_000 + g.below(700_000))
	if g.oneIn(2) {
		amount = -amount
	}
	return bill{
		number: g.next("A"), at: at, country: "United Kingdom",
		items: []item{{"B", "Adjust bad debt", 1, amount}},
	}
}

func (g *generator) write(b bill) {
	at := b.at.Format("2006-01-02 15:04:05")
	for _, i := range b.items {
		g.row([]string{
			b.number, i.code, i.text, strconv.Itoa(i.quantity),
			at, pounds(i.price), b.customer, b.country,
		})
	}
}

// row leaves an error to the writer, which keeps the first one for Flush.
func (g *generator) row(fields []string) { _ = g.out.Write(fields) }

// pounds writes thousandths as the data set does: 2.55, 2.1, 3.0, 0.001.
func pounds(thousandths int) string {
	sign := ""
	if thousandths < 0 {
		sign, thousandths = "-", -thousandths
	}
	digits := fmt.Sprintf("%03d", thousandths%1000)
	for len(digits) > 1 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
	}
	return sign + strconv.Itoa(thousandths/1000) + "." + digits
}

// dice draws whole numbers from PCG, whose output is part of Go's promise, by its
// own arithmetic: how rand.Rand makes numbers from it may change.
type dice struct{ source *rand.PCG }

// below returns a number from 0 to n-1; the bias of the remainder is far below
// what a generated shop could show.
func (d dice) below(n int) int { return int(d.source.Uint64() % uint64(n)) }

// lower is below with small numbers more often: some products sell better.
func (d dice) lower(n int) int { return min(d.below(n), d.below(n)) }

func (d dice) oneIn(n int) bool { return d.below(n) == 0 }
