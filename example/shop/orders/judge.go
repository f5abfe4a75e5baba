package orders

import (
	"fmt"
	"strings"
	"time"
)

// Verdict is what the rules make of an invoice.
type Verdict struct {
	Bill
	// Fact is what follows: a Placed, a Returned or a Rejected. It is stored as one
	// event, or as several if it has very many lines.
	Fact any
}

// Judge applies the rules to an invoice.
func Judge(inv Invoice) Verdict {
	bill := Bill{
		Number: inv.Number, Customer: inv.Customer, Country: inv.Country, Source: inv.Source,
		Content: inv.fingerprint(),
	}
	kind := KindOf(inv.Number)
	if kind == Neither {
		return reject(bill, inv, fmt.Sprintf("number %.100q starts neither with a digit nor with C", inv.Number))
	}
	date, err := readDate(inv.Date)
	if err != nil {
		return reject(bill, inv, err.Error())
	}
	bill.Date = date
	items, refused := judgeLines(kind, inv.Lines)
	switch {
	case len(items) == 0:
		return Verdict{bill, Rejected{Bill: bill, Reason: "it has no valid line", Refused: refused}}
	case kind == AReturn:
		return Verdict{bill, Returned{Bill: bill, Items: items, Refused: refused}}
	default:
		return Verdict{bill, Placed{Bill: bill, Items: items, Refused: refused}}
	}
}

// reject refuses every line for what is wrong with the whole invoice.
func reject(bill Bill, inv Invoice, reason string) Verdict {
	r := Rejected{Bill: bill, Reason: reason}
	for _, line := range inv.Lines {
		r.Refused = append(r.Refused, Refusal{Line: line, Reason: reason})
	}
	return Verdict{bill, r}
}

// readDate reads a date with which an event can be stored: in the years 1 to
// 9999, in UTC, with microseconds.
func readDate(text string) (time.Time, error) {
	date, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("date %.100q cannot be read", text)
	}
	date = date.UTC().Truncate(time.Microsecond)
	if date.Year() < 1 || date.Year() > 9999 || date.IsZero() {
		return time.Time{}, fmt.Errorf("date %.100q is out of range", text)
	}
	return date, nil
}

func judgeLines(kind Kind, lines []Line) (items []Item, refused []Refusal) {
	for _, line := range lines {
		item, reasons := judgeLine(kind, line)
		if len(reasons) > 0 {
			refused = append(refused, Refusal{Line: line, Reason: strings.Join(reasons, "; ")})
			continue
		}
		items = append(items, item)
	}
	return items, refused
}

// judgeLine says everything that is wrong with a line, not only the first thing.
func judgeLine(kind Kind, line Line) (Item, []string) {
	item := Item{Row: line.Row, StockCode: line.StockCode, Description: line.Description}
	var reasons []string
	if strings.TrimSpace(line.StockCode) == "" {
		reasons = append(reasons, "stock code is missing")
	}
	n, err := quantity(line.Quantity)
	switch {
	case err != nil:
		reasons = append(reasons, "quantity "+err.Error())
	case kind == AReturn && n >= 0:
		reasons = append(reasons, fmt.Sprintf("quantity %q is not below 0, as on a return", line.Quantity))
	case kind == AnOrder && n <= 0:
		reasons = append(reasons, fmt.Sprintf("quantity %q is not above 0", line.Quantity))
	}
	item.Quantity = n
	p, err := price(line.UnitPrice)
	switch {
	case err != nil:
		reasons = append(reasons, "unit price "+err.Error())
	case !p.IsPositive():
		reasons = append(reasons, fmt.Sprintf("unit price %q is not above 0", line.UnitPrice))
	}
	item.UnitPrice = p
	return item, reasons
}
