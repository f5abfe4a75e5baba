package retail_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/example/shop/retail"
)

const header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"

func parse(t *testing.T, text string) *retail.File {
	t.Helper()
	file, err := retail.Parse("month.csv", strings.NewReader(text))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return file
}

// gzipped writes to memory, which cannot fail.
func gzipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.Bytes()
}

func TestRowsBecomeInvoices(t *testing.T) {
	t.Parallel()
	got := parse(t, header+
		"536365,85123A,HANGING HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n"+
		"C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,14527.0,EIRE\n"+
		"536365,71053,\"LANTERN, 3\"\" HIGH\", 6 ,2010-12-01 08:27:00,3.390,99,France\n"+
		",,,,,,,\n"+
		"536544,22960,,0,2010-12-01 14:32:00,0.001,,United Kingdom\n")
	want := &retail.File{Name: "month.csv", Rows: 5, Invoices: []retail.Invoice{
		{
			Number: "536365", Date: time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC), RawDate: "2010-12-01 08:26:00",
			Customer: "17850", Country: "United Kingdom",
			Lines: []retail.Line{
				{Row: 2, StockCode: "85123A", Description: "HANGING HEART", Quantity: "6", UnitPrice: "2.55"},
				{Row: 4, StockCode: "71053", Description: `LANTERN, 3" HIGH`, Quantity: " 6 ", UnitPrice: "3.390"},
			},
		},
		{
			Number: "C536379", Date: time.Date(2010, 12, 1, 9, 41, 0, 0, time.UTC), RawDate: "2010-12-01 09:41:00",
			Customer: "14527", Country: "EIRE",
			Lines: []retail.Line{{Row: 3, StockCode: "D", Description: "Discount", Quantity: "-1", UnitPrice: "27.5"}},
		},
		{Lines: []retail.Line{{Row: 5}}},
		{
			Number: "536544", Date: time.Date(2010, 12, 1, 14, 32, 0, 0, time.UTC), RawDate: "2010-12-01 14:32:00",
			Country: "United Kingdom",
			Lines:   []retail.Line{{Row: 6, StockCode: "22960", Quantity: "0", UnitPrice: "0.001"}},
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
}

// One row, written in every way that must not make a difference.
func TestSameRowInOtherDress(t *testing.T) {
	t.Parallel()
	const row = "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"
	want := parse(t, header+row+"\n")
	for _, c := range []struct{ name, text string }{
		{"no line end at the end", header + row},
		{"CRLF", strings.ReplaceAll(header+row+"\n", "\n", "\r\n")},
		{"byte order mark", "\uFEFF" + header + row},
		{"byte order mark before a quoted name", "\uFEFF\"InvoiceNo\"" + strings.TrimPrefix(header, "InvoiceNo") + row},
		{"blank lines at the end", header + row + "\n\n\r\n\n"},
		{"all quoted", header + `"` + strings.ReplaceAll(row, ",", `","`) + `"`},
		{"other order and columns", " country ,,customerid,UnitPrice,InvoiceDate,Quantity,Description,Remark,StockCode,InvoiceNo\n" +
			"United Kingdom,0,17850.0,2.55,2010-12-01 08:26:00,6,HEART,,85123A,536365\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(want, parse(t, c.text)); diff != "" {
				t.Errorf("file (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGzipIsToldByContent(t *testing.T) {
	t.Parallel()
	text := header + "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n"
	want := parse(t, text)
	dir := t.TempDir()
	for _, name := range []string{"month.csv.gz", "month.csv", "month.GZ"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, gzipped(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := retail.Read(path)
		if err != nil {
			t.Fatalf("Read: %v", err)
		}
		if got.Name != path {
			t.Errorf("name %q, want %q", got.Name, path)
		}
		if diff := cmp.Diff(want.Invoices, got.Invoices); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRowNumbersAreThoseOfTheFile(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r\n"} {
		text := "\n" + header + // header on line 2
			"1,a,x,1,,1,,\n" + // 3
			"\n\n" +
			"1,b,\"two\nlines\",1,,1,,\n" + // 6 and 7
			"1,c,\"\n\n\",1,,1,,\n" + // 8 to 10
			"1,d,x,1,,1,,\n" // 11
		var rows []int
		var descriptions []string
		for _, line := range parse(t, strings.ReplaceAll(text, "\n", end)).Invoices[0].Lines {
			rows = append(rows, line.Row)
			descriptions = append(descriptions, line.Description)
		}
		if diff := cmp.Diff([]int{3, 6, 8, 11}, rows); diff != "" {
			t.Errorf("rows with line end %q (-want +got):\n%s", end, diff)
		}
		if diff := cmp.Diff([]string{"x", "two\nlines", "\n\n", "x"}, descriptions); diff != "" {
			t.Errorf("descriptions with line end %q (-want +got):\n%s", end, diff)
		}
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	morning := time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2010-12-01 08:26:00":     morning,
		"2010-12-01 08:26":        morning,
		"2010-12-01 8:26":         morning,
		"2010-12-01T08:26:00":     morning,
		"2010-12-01T08:26:00Z":    morning,
		"2010-12-01 08:26:00.000": morning,
		"12/1/2010 8:26":          morning,
		"12/01/2010 08:26":        morning,
		"12/1/2010 08:26:00":      morning,
		"12/1/2010 8:26 AM":       morning,
		"12/1/10 8:26":            morning,
		" 12/1/2010 8:26 ":        morning,
		"12/1/2010 8:26 PM":       morning.Add(12 * time.Hour),
		"2010-12-01":              time.Date(2010, 12, 1, 0, 0, 0, 0, time.UTC),
		"":                        {},
		"soon":                    {},
		"13/1/2010 8:26":          {},
		"2010-02-30 08:26:00":     {},
	} {
		got := parse(t, header+"1,a,x,1,"+text+",1,,\n").Invoices[0]
		if !got.Date.Equal(want) || got.Date.Location() != time.UTC {
			t.Errorf("date %q is %v, want %v", text, got.Date, want)
		}
		if got.RawDate != text {
			t.Errorf("raw date is %q, want %q", got.RawDate, text)
		}
	}
}

func TestCustomers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"17850.0": "17850", "17850": "17850", "17850.00": "17850", "": "", "17850.5": "17850.5",
		"17850.": "17850.", ".0": ".0", "A1.0": "A1.0", "1.0.0": "1.0.0", "-1.0": "-1.0",
	} {
		if got := parse(t, header+"1,a,x,1,,1,"+text+",\n").Invoices[0].Customer; got != want {
			t.Errorf("customer %q is %q, want %q", text, got, want)
		}
	}
}

func TestHeaderAloneIsAFileWithoutRows(t *testing.T) {
	t.Parallel()
	if got := parse(t, header); got.Rows != 0 || len(got.Invoices) != 0 {
		t.Errorf("got %d rows and %d invoices, want none", got.Rows, len(got.Invoices))
	}
}

// rowsOf is a file of n rows in invoices of twenty, made while it is read.
type rowsOf struct {
	n, next int
	rest    []byte
}

func (r *rowsOf) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.next > r.n {
			return 0, io.EOF
		}
		r.rest = []byte(header)
		if r.next > 0 {
			r.rest = fmt.Appendf(nil, "%d,%d,PRODUCT NUMBER %d,%d,2010-12-01 08:26:00,%d.25,%d.0,United Kingdom\n",
				r.next/20, r.next%3000, r.next%3000, r.next%12, r.next%40, 12346+r.next/20%900)
		}
		r.next++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// A file with a million rows has to fit: what a row costs is bounded here, at a
// fifth of that length.
func TestMemoryPerRow(t *testing.T) {
	const rows, limit = 200_000, 200
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	file, err := retail.Parse("long.csv", &rowsOf{n: rows})
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if file.Rows != rows {
		t.Fatalf("read %d rows, want %d", file.Rows, rows)
	}
	if used := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / rows; used > limit {
		t.Errorf("a row takes %d bytes, want at most %d", used, limit)
	}
	runtime.KeepAlive(file)
}

func BenchmarkParseMillionRows(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		file, err := retail.Parse("long.csv", &rowsOf{n: 1_000_000})
		if err != nil {
			b.Fatal(err)
		}
		if file.Rows != 1_000_000 {
			b.Fatalf("read %d rows", file.Rows)
		}
	}
}
