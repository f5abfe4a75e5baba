package orders

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"strconv"
	"strings"

	"github.com/banyanhq/banyan/example/shop/api"
)

// Invoice is what a client posts: text as it was written, not judged yet.
type Invoice struct {
	Number   string `json:"number" doc:"The invoice number, which is also the idempotency key. Starts with a digit: an order. Starts with C: a return." example:"536365"`
	Date     string `json:"date" doc:"When it was written, as RFC 3339. An invoice with another text is rejected." example:"2010-12-01T08:26:00Z"`
	Customer string `json:"customer,omitempty" doc:"The customer's number; absent for a guest." example:"17850"`
	Country  string `json:"country" doc:"Where the customer is." example:"United Kingdom"`
	Source   string `json:"source,omitempty" doc:"The file that it was read from, for the list of rejects." example:"2010-12.csv.gz"`
	Lines    []Line `json:"lines" doc:"All its lines, valid or not."`
}

// Line is one line of an invoice as it was written.
type Line struct {
	Row         int    `json:"row" minimum:"0" doc:"Where it stands in the source; comes back with a reject." example:"2"`
	StockCode   string `json:"stock_code" doc:"What was sold." example:"85123A"`
	Description string `json:"description,omitempty" example:"WHITE HANGING HEART T-LIGHT HOLDER"`
	Quantity    string `json:"quantity" doc:"A whole number in plain digits, below 0 on a return." example:"6"`
	UnitPrice   string `json:"unit_price" doc:"A decimal number in plain digits." example:"2.55"`
}

// Kind is what the number of an invoice says about it.
type Kind int

// The kinds of invoices.
const (
	Neither Kind = iota // such an invoice is rejected
	AnOrder             // the number starts with a digit
	AReturn             // the number starts with "C"
)

// KindOf returns the kind of the invoice with this number.
func KindOf(number string) Kind {
	switch {
	case number == "":
		return Neither
	case number[0] >= '0' && number[0] <= '9':
		return AnOrder
	case number[0] == 'C':
		return AReturn
	default:
		return Neither
	}
}

// Key turns any number into text that may be part of a stream's name and of an
// event id; see api.Key.
func Key(number string) string { return api.Key(number) }

// fingerprint identifies the content of an invoice. Fields are written with their
// length, so that text cannot move from one into the next unnoticed.
func (inv Invoice) fingerprint() string {
	h := sha256.New()
	fields(h, inv.Number, inv.Date, inv.Customer, inv.Country)
	for _, l := range inv.Lines {
		fields(h, l.StockCode, l.Description, l.Quantity, l.UnitPrice)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func fields(h hash.Hash, texts ...string) {
	for _, text := range texts {
		_, _ = io.WriteString(h, strconv.Itoa(len(text))+":"+text) // a hash takes everything
	}
}

// unstorable names the first text that no database keeps, or "".
func (inv Invoice) unstorable() string {
	for i, text := range []string{inv.Number, inv.Date, inv.Customer, inv.Country, inv.Source} {
		if strings.ContainsRune(text, 0) {
			return [...]string{"number", "date", "customer", "country", "source"}[i]
		}
	}
	for i, l := range inv.Lines {
		if strings.ContainsRune(l.StockCode+l.Description+l.Quantity+l.UnitPrice, 0) {
			return "lines[" + strconv.Itoa(i) + "]"
		}
	}
	return ""
}

// RowKey returns text as the key of a row in a read model: itself or, where it is
// longer than databases take as a key, its beginning with its hash.
func RowKey(text string) string {
	const most, begin = 200, 100
	if len(text) <= most {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return strings.ToValidUTF8(text[:begin], "") + "#" + hex.EncodeToString(sum[:])
}
