package orders

// maxText bounds the text in one event. JSON writes a byte as six at worst, and a
// store refuses events of more than 4 MiB unless it is told otherwise.
const maxText = 512 << 10

// overhead is about what a line takes in an event besides its texts.
const overhead = 100

// part is what one event has of an invoice.
type part struct {
	Bill
	Items   []Item
	Refused []Refusal
}

// parts spreads the lines of an invoice over as few events as can hold them:
// nearly always over one. What a projection does with a part must not depend on
// how the lines were spread; only Bill.Before == 0 is true once for an invoice.
func parts(bill Bill, items []Item, refused []Refusal) []part {
	all := []part{{Bill: bill}}
	last, room := &all[0], maxText
	take := func(text int) {
		room -= text + overhead
		if lines := len(last.Items) + len(last.Refused); room < 0 && lines > 0 {
			next := part{Bill: bill}
			next.Before = last.Before + lines
			all = append(all, next)
			last, room = &all[len(all)-1], maxText-text-overhead
		}
	}
	for _, i := range items {
		take(len(i.StockCode) + len(i.Description))
		last.Items = append(last.Items, i)
	}
	for _, r := range refused {
		take(len(r.StockCode) + len(r.Description) + len(r.Quantity) + len(r.UnitPrice) + len(r.Reason))
		last.Refused = append(last.Refused, r)
	}
	return all
}

// events returns the events that a fact is stored as.
func events(fact any) []any {
	var all []any
	switch f := fact.(type) {
	case Placed:
		for _, p := range parts(f.Bill, f.Items, f.Refused) {
			all = append(all, Placed(p))
		}
	case Returned:
		for _, p := range parts(f.Bill, f.Items, f.Refused) {
			all = append(all, Returned(p))
		}
	case Rejected:
		for _, p := range parts(f.Bill, nil, f.Refused) {
			all = append(all, Rejected{p.Bill, f.Reason, p.Refused})
		}
	case Pending:
		for _, p := range parts(f.Bill, f.Items, f.Refused) {
			all = append(all, Pending{p.Bill, p.Items, p.Refused, f.Unasked})
		}
	case Declined:
		for _, p := range parts(f.Bill, nil, f.Refused) {
			all = append(all, Declined{p.Bill, f.By, f.Reason, p.Refused})
		}
	}
	return all
}
