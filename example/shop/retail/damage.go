package retail

import (
	"compress/flate"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// DamagedError says where and why a file could not be read to its end.
type DamagedError struct {
	// File is the name that Read or Parse was given.
	File string
	// Line is where the damage is, counted from 1; 0 if the file could not be
	// opened. Damage inside a row that spans lines is on the line where the row
	// starts, unless a single line of it cannot be read.
	Line int
	// Reason says what is wrong, and what to do where that can be known.
	Reason string
	// Rows counts the rows handed out beside this error.
	Rows int
	// Cut is the invoice of the last row before the damage, nil if there is none.
	// It may lack rows and is not among the invoices handed out.
	Cut *Invoice
	// Err is the cause, nil if the content itself is wrong.
	Err error
}

// Error names file, line and reason, and what was read nevertheless.
func (e *DamagedError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": " + e.Reason)
	switch {
	case e.Line == 0:
	case e.Rows == 0 && e.Cut == nil:
		b.WriteString("; no row was read")
	case e.Cut == nil:
		b.WriteString("; rows before this line were read")
	case e.Rows == 0:
		fmt.Fprintf(&b, "; invoice %s before this line may be cut and was left out", e.Cut.Number)
	default:
		fmt.Fprintf(&b, "; rows before this line were read, without invoice %s, which may be cut", e.Cut.Number)
	}
	return b.String()
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *DamagedError) Unwrap() error { return e.Err }

// damaged ends a parse: it takes back the invoice that may be cut, or everything
// where the damage shows that no row can be trusted, and completes the error.
func (p *parser) damaged(d *DamagedError) (*File, error) {
	d.File = p.file.Name
	if err := p.src.altered(); err != nil {
		*p.file = File{Name: p.file.Name}
		return p.file, &DamagedError{
			File: d.File, Line: d.Line, Err: err,
			Reason: "corrupt gzip: its content was altered, no row can be trusted (" + err.Error() + "): get the file again",
		}
	}
	if p.last >= 0 {
		cut := p.file.Invoices[p.last]
		d.Cut = &cut
		p.file.Invoices = append(p.file.Invoices[:p.last], p.file.Invoices[p.last+1:]...)
		d.Rows = p.file.Rows - len(cut.Lines)
	}
	return p.file, d
}

// damage explains an error of the CSV reader.
func (p *parser) damage(err error) *DamagedError {
	var syntax *csv.ParseError
	if !errors.As(err, &syntax) {
		return p.src.damage // the reader has no other errors than its own and its source's
	}
	// The end of the data behind a line that cannot be read may look like an open
	// quote to the reader: what the source saw is the cause.
	if d := p.src.damage; d != nil && d.Line <= syntax.Line {
		return d
	}
	reason := fmt.Sprintf("bad quoting: a quote in a field without quotes (byte %d): quote the field and double the quote", syntax.Column)
	if errors.Is(syntax.Err, csv.ErrQuote) {
		reason = "bad quoting: a quoted field that starts in this row is not closed, or a quote in it is not doubled"
		if syntax.Line != syntax.StartLine {
			reason += fmt.Sprintf(" (noticed on line %d)", syntax.Line)
		}
	}
	return &DamagedError{Line: syntax.StartLine, Reason: reason, Err: syntax.Err}
}

// readDamage explains an error of the file or of its compression.
func readDamage(line int, err error, compressed bool) *DamagedError {
	d := &DamagedError{Line: line, Err: err}
	switch {
	case compressed && errors.Is(err, io.ErrUnexpectedEOF):
		d.Reason = "truncated gzip: the file ends too early: get it again"
	case compressed && (errors.Is(err, gzip.ErrHeader) || isAltered(err)):
		d.Reason = "corrupt gzip (" + err.Error() + "): get the file again"
	default:
		d.Reason = "cannot be read: " + err.Error()
	}
	return d
}

// isAltered tells damage that puts the bytes before it into doubt as well.
func isAltered(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt)
}
