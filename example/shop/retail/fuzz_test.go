package retail_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"slices"
	"testing"

	"github.com/banyanhq/banyan/example/shop/retail"
)

// FuzzParse checks that no input makes the reader panic, that every row is in one
// invoice or in the one left out, and that a file read without an error has the
// rows and texts that encoding/csv finds in it.
func FuzzParse(f *testing.F) {
	for _, rest := range []string{
		"", good, "\n" + good, "4,a,\"x, \"\"y\"\"\",1,,1,,\n", "4,a,\"x\ny\",1,,1,,\r\n", "1,a,x,1,,1,,\n" + good,
		"4,a,\"x", "4,a\n", "4,a,\x00,1,,1,,\n", "4,a,\xff,1,,1,,\n", "4,a,x\" ,1,,1,,", ",,,,,,,\n \n",
	} {
		f.Add([]byte(header + good + rest))
	}
	f.Add([]byte("\uFEFF" + header))
	f.Add([]byte("Country," + header))
	f.Add(gzipped(header + good))
	f.Add(gzipped(header + good)[:60])
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := retail.Parse("fuzz", bytes.NewReader(content))
		invoices := slices.Clone(file.Invoices)
		if err != nil {
			var damaged *retail.DamagedError
			if !errors.As(err, &damaged) {
				t.Fatalf("error %v is not a *DamagedError", err)
			}
			if damaged.Line < 1 || damaged.Reason == "" {
				t.Fatalf("damage without line or reason: %+v", damaged)
			}
			if rows := countRows(invoices); rows != damaged.Rows {
				t.Fatalf("%d rows handed out, the error says %d", rows, damaged.Rows)
			}
			if damaged.Cut != nil {
				invoices = append(invoices, *damaged.Cut)
			}
		}
		if rows := countRows(invoices); rows != file.Rows {
			t.Fatalf("read %d rows, %d of them are in invoices", file.Rows, rows)
		}
		checkNumbers(t, invoices)
		if err == nil && !bytes.HasPrefix(content, []byte{0x1f, 0x8b}) {
			checkAgainstCSV(t, content, invoices)
		}
	})
}

func countRows(invoices []retail.Invoice) int {
	rows := 0
	for _, invoice := range invoices {
		rows += len(invoice.Lines)
	}
	return rows
}

// checkNumbers: no number twice, no row twice, rows of an invoice in order.
func checkNumbers(t *testing.T, invoices []retail.Invoice) {
	t.Helper()
	numbers, rows := map[string]bool{}, map[int]bool{}
	for _, invoice := range invoices {
		if numbers[invoice.Number] {
			t.Fatalf("invoice %q twice", invoice.Number)
		}
		numbers[invoice.Number] = true
		last := 0
		for _, line := range invoice.Lines {
			if rows[line.Row] || line.Row <= last {
				t.Fatalf("row %d twice or out of order", line.Row)
			}
			last = line.Row
			rows[line.Row] = true
		}
	}
}

func checkAgainstCSV(t *testing.T, content []byte, invoices []retail.Invoice) {
	t.Helper()
	records, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, []byte("\uFEFF")))).ReadAll()
	if err != nil {
		t.Fatalf("encoding/csv refuses what was read: %v", err)
	}
	var want, got []string
	for _, record := range records[1:] {
		want = append(want, record...)
	}
	for _, invoice := range invoices {
		for _, line := range invoice.Lines {
			for _, text := range []string{line.StockCode, line.Description, line.Quantity, line.UnitPrice} {
				if !slices.Contains(want, text) {
					t.Fatalf("text %q is not in the file", text)
				}
				got = append(got, text)
			}
		}
	}
	if rows := len(records) - 1; len(got) != 4*rows {
		t.Fatalf("%d texts from %d rows", len(got), rows)
	}
}
