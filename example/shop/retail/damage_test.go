package retail_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/example/shop/retail"
)

// good are lines 2 to 5: invoices 1 and 2 whole, then two rows of 3.
const good = "1,a,x,1,2010-12-01,1.5,,\n2,b,x,1,2010-12-01,1.5,,\n3,c,x,1,2010-12-01,1.5,,\n3,d,x,1,2010-12-01,1.5,,\n"

func damage(t *testing.T, name string, r io.Reader) (*retail.File, *retail.DamagedError) {
	t.Helper()
	file, err := retail.Parse(name, r)
	var damaged *retail.DamagedError
	if !errors.As(err, &damaged) {
		t.Fatalf("Parse: got error %v, want a *DamagedError", err)
	}
	if file == nil || file.Name != name || damaged.File != name {
		t.Fatalf("file and error do not carry the name %q: %+v, %+v", name, file, damaged)
	}
	return file, damaged
}

// Damage behind line 5: rows before it are read, without the invoice they end in.
func TestDamageBehindGoodRows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, rest, want string
		line             int
		cause            error
	}{
		{name: "bare quote", rest: "4,a,12\" RULER,1,,1,,\n", line: 6, want: "bad quoting: a quote in a field without quotes (byte 7)", cause: csv.ErrBareQuote},
		{name: "text behind a quoted field", rest: "4,a,\"x\" y,1,,1,,\n", line: 6, want: "bad quoting: a quoted field", cause: csv.ErrQuote},
		{name: "open quote to the end", rest: "4,a,\"x,1,,1,,\n5,a,x,1,,1,,\n", line: 6, want: "bad quoting", cause: csv.ErrQuote},
		{name: "open quote to the next", rest: "4,a,\"x,1,,1,,\n5,a,x,1,,1,,\n6,a,\"y\",1,,1,,\n", line: 6, want: "(noticed on line 8)", cause: csv.ErrQuote},
		{name: "open quote behind blank lines", rest: "\n\r\n4,a,\"x,1,,1,,\n", line: 8, want: "bad quoting", cause: csv.ErrQuote},
		{name: "open quote before a megabyte", rest: "\n4,a,\"x,1,,1,,\n" + strings.Repeat("5,a,x,1,,1,,\n", 100_000), line: 7, want: "bad quoting: the row is longer than 1048576 bytes"},
		{name: "endless line", rest: "4,a," + strings.Repeat("x", 2<<20), line: 6, want: "the row is longer"},
		{name: "endless blank line", rest: strings.Repeat("\r", 2<<20), line: 6, want: "the row is longer"},
		{name: "field too few", rest: "4,a,x,1,,1,\n", line: 6, want: "wrong number of fields: 7, the header has 8", cause: csv.ErrFieldCount},
		{name: "field too many", rest: "4,a,x,1,,1,,,\n", line: 6, want: "wrong number of fields: 9, the header has 8", cause: csv.ErrFieldCount},
		{name: "row cut at the end", rest: "4,a,x", line: 6, want: "wrong number of fields: 3"},
		{name: "spaces only", rest: "  \n", line: 6, want: "wrong number of fields: 1"},
		{name: "NUL", rest: "4,a,x,1,,1,,\n4,b,\x00,1,,1,,\n", line: 7, want: "binary data (byte 5 of the line is NUL)"},
		{name: "NUL inside a row of three lines", rest: "4,a,\"x\ny\x00\nz\",1,,1,,\n", line: 7, want: "NUL"},
		{name: "NULs in place of the end", rest: strings.Repeat("\x00", 3<<20), line: 6, want: "NUL"},
		{name: "Latin-1", rest: "4,a,\xa35,1,,1,,\n", line: 6, want: "invalid UTF-8 at byte 5 of the line"},
		{name: "rune cut at the end", rest: "4,a,x,1,,1,,\xc3", line: 6, want: "invalid UTF-8 at byte 13"},
	} {
		for _, compressed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/compressed=%v", c.name, compressed), func(t *testing.T) {
				t.Parallel()
				content := []byte(header + good + c.rest)
				if compressed {
					content = gzipped(string(content))
				}
				file, damaged := damage(t, "month.csv", bytes.NewReader(content))
				if damaged.Line != c.line || !strings.Contains(damaged.Reason, c.want) {
					t.Errorf("line %d, reason %q; want line %d, reason with %q", damaged.Line, damaged.Reason, c.line, c.want)
				}
				if c.cause != nil && !errors.Is(damaged, c.cause) {
					t.Errorf("cause is %v, want %v", damaged.Err, c.cause)
				}
				if rest := strings.Count(c.rest, "4,a,x,1,,1,,\n"); rest == 0 {
					checkGoodRows(t, file, damaged)
				}
			})
		}
	}
}

func checkGoodRows(t *testing.T, file *retail.File, damaged *retail.DamagedError) {
	t.Helper()
	var numbers []string
	for _, invoice := range file.Invoices {
		numbers = append(numbers, invoice.Number)
	}
	if diff := cmp.Diff([]string{"1", "2"}, numbers); diff != "" {
		t.Errorf("invoices (-want +got):\n%s", diff)
	}
	if damaged.Cut == nil || damaged.Cut.Number != "3" || len(damaged.Cut.Lines) != 2 {
		t.Errorf("cut invoice is %+v, want 3 with its two lines", damaged.Cut)
	}
	if file.Rows != 4 || damaged.Rows != 2 {
		t.Errorf("%d rows read and %d handed out, want 4 and 2", file.Rows, damaged.Rows)
	}
	want := fmt.Sprintf("month.csv:%d: %s; rows before this line were read, without invoice 3, which may be cut",
		damaged.Line, damaged.Reason)
	if damaged.Error() != want {
		t.Errorf("text %q, want %q", damaged.Error(), want)
	}
}

// Damage before the first row.
func TestDamageOfTheHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text, want string
		line             int
	}{
		{"empty", "", "month.csv:1: the file is empty", 1},
		{"byte order mark only", "\uFEFF", "month.csv:1: the file is empty", 1},
		{"blank lines only", "\n\n", "month.csv:1: the file is empty", 1},
		{"missing column", strings.Replace(header, ",UnitPrice", "", 1) + good, "month.csv:1: missing column UnitPrice: the header is", 1},
		{"missing columns", "\nInvoiceNo,StockCode\n", "month.csv:2: missing columns Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country", 2},
		{"no header", good, "month.csv:1: missing columns InvoiceNo", 1},
		{"semicolons", strings.ReplaceAll(header, ",", ";"), "names are separated by commas", 1},
		{"column twice", "Country," + header, "month.csv:1: column Country appears 2 times", 1},
		{"CR line ends", strings.ReplaceAll(strings.TrimSpace(header)+",More\n"+good, "\n", "\r"), "month.csv:1: line break inside the header", 1},
		{"quote", "\"InvoiceNo\n" + good, "month.csv:1: bad quoting", 1},
		{"image", "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR", "month.csv:1: binary data or invalid UTF-8 at byte 1", 1},
		{"archive", "PK\x03\x04\x14\x00\x00", "month.csv:1: binary data (byte 6 of the line is NUL)", 1},
		{"UTF-16", "\xff\xfeI\x00n\x00", "month.csv:1: UTF-16 text", 1},
		{"gzip header only", "\x1f\x8b", "month.csv:1: truncated gzip", 1},
		{"gzip of another method", "\x1f\x8b\x07aaaaaaaaaaaaaaaa", "month.csv:1: corrupt gzip", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file, damaged := damage(t, "month.csv", strings.NewReader(c.text))
			if damaged.Line != c.line || !strings.Contains(damaged.Error(), c.want) {
				t.Errorf("got line %d, %q; want line %d, %q", damaged.Line, damaged, c.line, c.want)
			}
			if !strings.HasSuffix(damaged.Error(), "; no row was read") {
				t.Errorf("%q does not end by saying that no row was read", damaged)
			}
			if file.Rows != 0 || len(file.Invoices) != 0 || damaged.Cut != nil || damaged.Rows != 0 {
				t.Errorf("rows were read: %+v, %+v", file, damaged)
			}
		})
	}
}

func TestNotGzipAlthoughNamedSo(t *testing.T) {
	t.Parallel()
	_, damaged := damage(t, "month.csv.GZ", strings.NewReader(header+good))
	if damaged.Line != 1 || !strings.Contains(damaged.Reason, "not gzip") || !errors.Is(damaged, gzip.ErrHeader) {
		t.Errorf("got %q", damaged)
	}
}

func TestOneInvoiceBeforeTheDamage(t *testing.T) {
	t.Parallel()
	file, damaged := damage(t, "month.csv", strings.NewReader(header+"1,a,x,1,,1,,\nbroken\n"))
	want := "month.csv:3: wrong number of fields: 1, the header has 8; invoice 1 before this line may be cut and was left out"
	if damaged.Error() != want {
		t.Errorf("text %q, want %q", damaged, want)
	}
	if len(file.Invoices) != 0 || file.Rows != 1 || damaged.Rows != 0 {
		t.Errorf("got %+v, %+v; want one row read, none handed out", file, damaged)
	}
}

// The invoice of the last row is left out with all its rows, wherever they stand.
func TestCutInvoiceThatStartedEarlier(t *testing.T) {
	t.Parallel()
	file, damaged := damage(t, "month.csv", strings.NewReader(header+
		"1,a,x,1,,1,,\n2,b,x,1,,1,,\n3,c,x,1,,1,,\n1,d,x,1,,1,,\nbroken\n"))
	if len(file.Invoices) != 2 || file.Invoices[0].Number != "2" || file.Invoices[1].Number != "3" {
		t.Errorf("invoices %+v, want 2 and 3", file.Invoices)
	}
	if damaged.Cut == nil || damaged.Cut.Number != "1" || len(damaged.Cut.Lines) != 2 || damaged.Rows != 2 {
		t.Errorf("got %+v, want invoice 1 cut with two lines, and two rows handed out", damaged)
	}
}

// Wherever a compressed month is cut, its rows up to there are read, and the line
// is the first that is not whole.
func TestTruncatedGzipAtEveryByte(t *testing.T) {
	t.Parallel()
	text := header
	for i := range 60 {
		text += fmt.Sprintf("%d,%d,PRODUCT %d,%d,2010-12-01 08:26:00,%d.25,,France\n", i/3, i*7919, i*104729, i, i)
	}
	whole := parse(t, text)
	content := gzipped(text)
	most := 0
	for n := 1; n < len(content); n++ {
		name := "month.csv.gz"
		if n == 1 { // one byte is too short to be known as gzip
			name = "month.csv"
		}
		file, damaged := damage(t, name, bytes.NewReader(content[:n]))
		if n > 1 && !strings.Contains(damaged.Reason, "truncated gzip") {
			t.Fatalf("cut after %d bytes: %v", n, damaged)
		}
		if want := file.Rows + 2; file.Rows > 0 && damaged.Line != want {
			t.Fatalf("cut after %d bytes: line %d after %d rows, want %d", n, damaged.Line, file.Rows, want)
		}
		for i, invoice := range file.Invoices {
			if diff := cmp.Diff(whole.Invoices[i], invoice); diff != "" {
				t.Fatalf("cut after %d bytes: invoice %d (-want +got):\n%s", n, i, diff)
			}
		}
		most = max(most, file.Rows)
	}
	if most != 60 {
		t.Errorf("without the last byte %d rows were read, want all 60", most)
	}
}

// Whatever bit of a compressed month is turned over, no row that was not in it
// comes out, but for streams that lose their end with it: they cannot be checked.
func TestAlteredGzipInventsNothing(t *testing.T) {
	t.Parallel()
	text := header
	for i := range 60 {
		text += fmt.Sprintf("%d,%d,PRODUCT %d,%d,2010-12-01 08:26:00,%d.25,,France\n", i/3, i*7919, i*104729, i, i)
	}
	whole := parse(t, text)
	content := gzipped(text)
	corrupt := 0
	for bit := range len(content) * 8 {
		content[bit/8] ^= 1 << (bit % 8)
		file, err := retail.Parse("month.csv", bytes.NewReader(content))
		content[bit/8] ^= 1 << (bit % 8)
		if err != nil && strings.Contains(err.Error(), "truncated") {
			continue
		}
		if err != nil && strings.Contains(err.Error(), "corrupt gzip") {
			corrupt++
		}
		for i, invoice := range file.Invoices {
			if diff := cmp.Diff(whole.Invoices[i], invoice); diff != "" {
				t.Fatalf("bit %d, error %v: invoice %d (-want +got):\n%s", bit, err, i, diff)
			}
		}
	}
	if corrupt == 0 {
		t.Error("no altered bit was reported as corrupt gzip")
	}
}

func TestGarbageBehindGzip(t *testing.T) {
	t.Parallel()
	content := append(gzipped(header+good), "garbage behind the end"...)
	file, damaged := damage(t, "month.csv", bytes.NewReader(content))
	if damaged.Line != 6 || !strings.Contains(damaged.Reason, "corrupt gzip") {
		t.Errorf("got %q", damaged)
	}
	checkGoodRows(t, file, damaged)
}

func TestReaderThatFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk gone")
	file, damaged := damage(t, "month.csv", io.MultiReader(strings.NewReader(header+good+"4,a"), iotest.ErrReader(broken)))
	if damaged.Line != 6 || damaged.Reason != "cannot be read: disk gone" || !errors.Is(damaged, broken) {
		t.Errorf("got %q", damaged)
	}
	checkGoodRows(t, file, damaged)
	if _, damaged := damage(t, "month.csv", iotest.ErrReader(broken)); damaged.Line != 1 || !errors.Is(damaged, broken) {
		t.Errorf("got %q", damaged)
	}
}

func TestPathsThatAreNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	absent := filepath.Join(dir, "absent.csv")
	file, err := retail.Read(absent)
	if file == nil || !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), absent+": cannot be opened: ") ||
		strings.Count(err.Error(), "absent.csv") != 1 {
		t.Errorf("absent file: got %v", err)
	}
	file, err = retail.Read(dir)
	if want := dir + ": is a folder, not a file: name a CSV file in it"; file == nil || err == nil || err.Error() != want {
		t.Errorf("folder: got %v, want %q", err, want)
	}
	empty := filepath.Join(dir, "empty.csv")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var damaged *retail.DamagedError
	if _, err = retail.Read(empty); !errors.As(err, &damaged) || damaged.Line != 1 {
		t.Errorf("empty file: got %v", err)
	}
}

// endless is a line without an end; it counts what was taken from it.
type endless struct{ taken int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.taken += len(p)
	return len(p), nil
}

func TestEndlessLineIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	var line endless
	// The outer limit ends the test where the reader's own is missing.
	file, damaged := damage(t, "month.csv", io.MultiReader(strings.NewReader(header+good), io.LimitReader(&line, 64<<20)))
	if damaged.Line != 6 || !strings.Contains(damaged.Reason, "the row is longer") {
		t.Errorf("got %q", damaged)
	}
	if line.taken > 2<<20 {
		t.Errorf("%d bytes were read of a line that is too long after 1 MiB", line.taken)
	}
	checkGoodRows(t, file, damaged)
}
