package retail

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// File is what was read from one file.
type File struct {
	// Name is the name that Read or Parse was given; errors use the same.
	Name string
	// Rows counts the data rows read: those of all Invoices and, after damage,
	// those of the invoice that was left out.
	Rows int
	// Invoices are in order of their first rows.
	Invoices []Invoice
}

// Invoice is all rows with one InvoiceNo.
type Invoice struct {
	// Number is the InvoiceNo as written. Rows without one are the invoice "".
	Number string
	// Date is the InvoiceDate of the first row in UTC. It is zero if that text is
	// not a date.
	Date time.Time
	// RawDate is the text that Date was read from.
	RawDate string
	// Customer is the CustomerID of the first row without a fraction of zeros:
	// "17850.0" is "17850". Empty means a guest.
	Customer string
	// Country is the Country of the first row.
	Country string
	// Lines are in order of the file; there is at least one.
	Lines []Line
}

// Line is one row of an invoice: text as written, not validated.
type Line struct {
	// Row is the line of the file on which the row starts; the header is on 1.
	Row         int
	StockCode   string
	Description string
	Quantity    string
	UnitPrice   string
}

// Read reads the file at path, like Parse. A path that cannot be opened, or is a
// folder, is a [*DamagedError] too; it wraps the cause, such as fs.ErrNotExist.
func Read(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return unreadable(path, err)
	}
	defer f.Close() // nothing was written: closing cannot lose anything
	info, err := f.Stat()
	if err != nil {
		return unreadable(path, err)
	}
	if info.IsDir() {
		return &File{Name: path}, &DamagedError{File: path, Reason: "is a folder, not a file: name a CSV file in it"}
	}
	return Parse(path, f)
}

func unreadable(path string, err error) (*File, error) {
	cause := err
	var inPath *os.PathError
	if errors.As(err, &inPath) { // its text would name the file once more
		cause = inPath.Err
	}
	return &File{Name: path}, &DamagedError{File: path, Reason: "cannot be opened: " + cause.Error(), Err: err}
}

// Parse reads CSV, or gzip'ed CSV, to its end. The name is used in errors, and to
// notice a file that is called .gz but is none. The File is never nil: with a
// [*DamagedError] it holds the invoices that are complete as far as the file
// could be read.
func Parse(name string, r io.Reader) (*File, error) {
	p := &parser{
		file:  &File{Name: name},
		index: map[string]int{},
		texts: map[string]string{},
		last:  -1,
	}
	src, damage := newSource(name, r)
	if damage != nil {
		return p.damaged(damage)
	}
	p.src = src
	p.csv = csv.NewReader(src)
	p.csv.ReuseRecord = true
	p.csv.FieldsPerRecord = -1 // counted here, for an error that gives both numbers
	if damage := p.header(); damage != nil {
		return p.damaged(damage)
	}
	if damage := p.rows(); damage != nil {
		return p.damaged(damage)
	}
	return p.file, nil
}

// parser turns the records of one file into invoices.
type parser struct {
	file  *File
	src   *source
	csv   *csv.Reader
	width int               // fields in the header, and so in each record
	at    [len(columns)]int // field of a record that holds each column
	index map[string]int    // invoice number → index in file.Invoices
	texts map[string]string // every text once: a month repeats a few thousand of them
	last  int               // index of the last row's invoice; -1 before the first row
}

// The columns that a file needs, by the place of their field in parser.at.
const (
	invoiceNo = iota
	stockCode
	description
	quantity
	invoiceDate
	unitPrice
	customerID
	country
)

var columns = [...]string{
	invoiceNo:   "InvoiceNo",
	stockCode:   "StockCode",
	description: "Description",
	quantity:    "Quantity",
	invoiceDate: "InvoiceDate",
	unitPrice:   "UnitPrice",
	customerID:  "CustomerID",
	country:     "Country",
}

func (p *parser) header() *DamagedError {
	names, err := p.record()
	if err == io.EOF {
		return &DamagedError{Line: 1, Reason: "the file is empty: its first line has to name the columns"}
	}
	if err != nil {
		return p.damage(err)
	}
	line, _ := p.csv.FieldPos(0)
	p.width = len(names)
	var missing []string
	for c, want := range columns {
		found := 0
		for i, name := range names {
			if strings.EqualFold(strings.TrimSpace(name), want) {
				p.at[c] = i
				found++
			}
		}
		switch {
		case found == 0:
			missing = append(missing, want)
		case found > 1:
			return &DamagedError{Line: line, Reason: fmt.Sprintf("column %s appears %d times in the header: keep one", want, found)}
		}
	}
	header := strings.Join(names, ",")
	if len(missing) > 0 {
		return &DamagedError{Line: line, Reason: missingColumns(missing, header)}
	}
	// A file with bare CR line ends is one long header line: without this, all its
	// rows would be taken for extra columns.
	if strings.ContainsAny(header, "\r\n") {
		return &DamagedError{Line: line, Reason: "line break inside the header: lines have to end in LF or CRLF"}
	}
	return nil
}

func missingColumns(missing []string, header string) string {
	const enough = 160
	if len(header) > enough {
		header = strings.ToValidUTF8(header[:enough], "") + "…"
	}
	noun := "column"
	if len(missing) > 1 {
		noun = "columns"
	}
	return fmt.Sprintf("missing %s %s: the header is %q, names are separated by commas",
		noun, strings.Join(missing, ", "), header)
}

func (p *parser) rows() *DamagedError {
	for {
		fields, err := p.record()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return p.damage(err)
		}
		line, _ := p.csv.FieldPos(0)
		if len(fields) != p.width {
			return &DamagedError{
				Line:   line,
				Reason: fmt.Sprintf("wrong number of fields: %d, the header has %d", len(fields), p.width),
				Err:    csv.ErrFieldCount,
			}
		}
		p.add(line, fields)
	}
}

func (p *parser) record() ([]string, error) {
	p.src.beginRecord()
	return p.csv.Read()
}

// add puts a row into its invoice, which it begins if it is the first.
func (p *parser) add(row int, fields []string) {
	number := p.text(fields[p.at[invoiceNo]])
	i, ok := p.index[number]
	if !ok {
		i = len(p.file.Invoices)
		p.index[number] = i
		date := p.text(fields[p.at[invoiceDate]])
		p.file.Invoices = append(p.file.Invoices, Invoice{
			Number:   number,
			Date:     parseDate(date),
			RawDate:  date,
			Customer: p.text(customer(fields[p.at[customerID]])),
			Country:  p.text(fields[p.at[country]]),
		})
	}
	invoice := &p.file.Invoices[i]
	invoice.Lines = append(invoice.Lines, Line{
		Row:         row,
		StockCode:   p.text(fields[p.at[stockCode]]),
		Description: p.text(fields[p.at[description]]),
		Quantity:    p.text(fields[p.at[quantity]]),
		UnitPrice:   p.text(fields[p.at[unitPrice]]),
	})
	p.file.Rows++
	p.last = i
}

// text returns s without the record around it, which would stay in memory as
// long as one of its fields is used.
func (p *parser) text(s string) string {
	if known, ok := p.texts[s]; ok {
		return known
	}
	s = strings.Clone(s)
	p.texts[s] = s
	return s
}

// customer undoes what a spreadsheet or data frame does to whole numbers in a
// column with gaps: it writes them as 17850.0. Any other text is kept.
func customer(s string) string {
	whole, fraction, found := strings.Cut(s, ".")
	if found && whole != "" && fraction != "" &&
		strings.Trim(whole, "0123456789") == "" && strings.Trim(fraction, "0") == "" {
		return whole
	}
	return s
}

// dateLayouts are tried in turn. Go reads one digit for a month, day or hour
// where a layout says 1, 2 or 15, and fractions of a second where it says 05.
var dateLayouts = [...]string{
	"2006-01-02 15:04:05",
	"2006-01-02 15:04",
	"2006-01-02T15:04:05",
	"2006-01-02T15:04:05Z",
	"2006-01-02T15:04",
	"2006-01-02",
	"1/2/2006 15:04",
	"1/2/2006 15:04:05",
	"1/2/2006 3:04 PM",
	"1/2/2006 3:04:05 PM",
	"1/2/2006",
	"1/2/06 15:04",
	"1/2/06 15:04:05",
}

func parseDate(s string) time.Time {
	s = strings.TrimSpace(s)
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}
