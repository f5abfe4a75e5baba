package demo_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	good, records := month(t)
	plain, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(plain, []byte("\n"))
	middle := len(lines) / 2
	for name, tc := range map[string]struct {
		file    string
		content []byte
		at      string // ":line: reason"
	}{
		"bad quoting":    {"quote.csv", slices.Concat(bytes.Join(lines[:middle], nil), []byte("1,a\"b,,1,,1,,\n"), bytes.Join(lines[middle:], nil)), fmt.Sprintf(":%d: bad quoting", middle+1)},
		"binary":         {"binary.csv", slices.Concat(bytes.Join(lines[:middle], nil), []byte("1,\x00\n")), fmt.Sprintf(":%d: binary data", middle+1)},
		"truncated gzip": {"cut.csv.gz", packed(t, plain)[:len(packed(t, plain))/2], ": truncated gzip"},
		"missing column": {"column.csv", bytes.Replace(plain, []byte("StockCode"), []byte("Stock"), 1), ":1: missing column StockCode"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, tc.file)
			if err := os.WriteFile(path, tc.content, 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, _, err := run(t.Context(), "--data", path, "--dir", dir, "--json")
			if err == nil || !strings.HasPrefix(err.Error(), path+":") || !strings.Contains(err.Error(), tc.at) {
				t.Errorf("error %v, want one that begins with %s and has %q", err, path, tc.at)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one message: %v", err)
			}
			if stdout.String() != "" {
				t.Errorf("stdout %q, want nothing", stdout)
			}
			// What was imported stays, and the rest comes with the good file.
			if diff := cmp.Diff(count(records).summary(), totals(t, "--data", good, "--dir", dir)); diff != "" {
				t.Errorf("after the repair (-recomputed +demo):\n%s", diff)
			}
		})
	}
}

func packed(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Another invoice under a known number is refused, and said so.
func TestNumberTakenByOtherContent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, rows string) string {
		path := filepath.Join(dir, name)
		header := "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
		if err := os.WriteFile(path, []byte(header+rows), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := write("one.csv", "1,a,,2,2010-12-01 08:26:00,1.5,,France\n")
	two := write("two.csv", "1,a,,3,2010-12-01 08:26:00,1.5,,France\n2,b,,1,2010-12-01 09:00:00,1,,France\n")
	if got := totals(t, "--data", one, "--dir", dir)["revenue"]; got != "3" {
		t.Errorf("revenue %v", got)
	}
	_, _, err := run(t.Context(), "--data", two, "--dir", dir, "--exit")
	if err == nil || !strings.Contains(err.Error(), "1 rows were refused") {
		t.Errorf("error %v", err)
	}
	if r := rejectsIn(t, dir); len(r) != 1 || r[0][0] != two || r[0][1] != "2" || !strings.Contains(r[0][2], "already exists") {
		t.Errorf("rejects %v", r)
	}
}

// Every invoice of a file is an order, a return or rejected, however long it is:
// longer than an event may be, or even than a request.
func TestEveryInvoiceIsCountedOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var text strings.Builder
	text.WriteString("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n")
	long := func(number string, lines, quantity, description int) {
		for i := range lines {
			fmt.Fprintf(&text, "%s,%d,%s,%d,2010-12-01 08:26:00,0.01,,France\n", number, i%100, strings.Repeat("x", description), quantity)
		}
	}
	long("1", 3, 1, 10)
	long("2", 25_000, 1, 35)
	long("C3", 25_000, -1, 35)
	long("A4", 25_000, 1, 35)
	long("5", 18, 1, 1_000_000)
	data := filepath.Join(dir, "long.csv")
	if err := os.WriteFile(data, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, _, err := run(t.Context(), "--data", data, "--dir", dir, "--json", "--exit")
	if err == nil || !strings.Contains(err.Error(), "18 rows were refused") {
		t.Errorf("error %v, want one about the 18 rows of invoice 5, which no request can hold", err)
	}
	got := struct {
		Orders   int `json:"orders"`
		Returns  int `json:"returns"`
		Rejected int `json:"invoices_rejected"`
		Accepted int `json:"lines_accepted"`
		Refused  int `json:"lines_rejected"`
	}{}
	if err := json.Unmarshal([]byte(stdout.String()), &got); err != nil {
		t.Fatalf("stdout %q: %v", stdout, err)
	}
	want := got
	want.Orders, want.Returns, want.Rejected, want.Accepted, want.Refused = 2, 1, 2, 50_003, 25_018
	if got != want {
		t.Errorf("totals %+v, want %+v", got, want)
	}
	if n := len(rejectsIn(t, dir)); n != want.Refused {
		t.Errorf("rejects.csv has %d rows, want %d", n, want.Refused)
	}
}

// The figures of the real month were counted with other programs.
func TestRealMonth(t *testing.T) {
	data := realMonth(t)
	s := totals(t, "--data", data, "--dir", t.TempDir())
	for key, want := range map[string]any{
		"orders": json.Number("1559"), "returns": json.Number("326"), "invoices_rejected": json.Number("140"),
		"lines_accepted": json.Number("42208"), "lines_rejected": json.Number("273"),
		"revenue": "823746.14", "refunds": "74789.12", "events": json.Number("2025"),
	} {
		if s[key] != want {
			t.Errorf("%s = %v, want %v", key, s[key], want)
		}
	}
}

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
