package retail_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/example/shop/retail"
)

// realMonth finds December 2010 of the real data set: it is not part of the
// repository, but may lie in a folder beside it.
func realMonth(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("BANYAN_RETAIL_DATA"); path != "" {
		return path
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		path := filepath.Join(dir, "shared", "data", "online-retail", "2010-12.csv.gz")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Skip("the real month is not on this machine: name its file 2010-12.csv.gz in BANYAN_RETAIL_DATA")
		}
		dir = parent
	}
}

// The figures were counted with other programs, not with this reader.
func TestRealMonth(t *testing.T) {
	t.Parallel()
	file, err := retail.Read(realMonth(t))
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	got := map[string]int{"invoices": len(file.Invoices), "rows": file.Rows}
	for _, invoice := range file.Invoices {
		if invoice.Date.IsZero() {
			t.Errorf("invoice %s: date %q was not understood", invoice.Number, invoice.RawDate)
		}
		if strings.Contains(invoice.Customer, ".") {
			t.Errorf("invoice %s: customer %q", invoice.Number, invoice.Customer)
		}
		got["returns"] += count(strings.HasPrefix(invoice.Number, "C"))
		got["longest"] = max(got["longest"], len(invoice.Lines))
		for _, line := range invoice.Lines {
			got["lines of guests"] += count(invoice.Customer == "")
			got["free lines"] += count(line.UnitPrice == "0.0")
			got["lines without description"] += count(line.Description == "")
			got["descriptions with a quote"] += count(strings.Contains(line.Description, `"`))
			got["descriptions with a comma"] += count(strings.Contains(line.Description, ","))
		}
	}
	for what, want := range map[string]int{
		"invoices": 2025, "rows": 42481, "returns": 326, "longest": 675, "lines of guests": 15631, "free lines": 273,
		"lines without description": 125, "descriptions with a quote": 140, "descriptions with a comma": 418,
	} {
		if got[what] != want {
			t.Errorf("%s: %d, want %d", what, got[what], want)
		}
	}
}
