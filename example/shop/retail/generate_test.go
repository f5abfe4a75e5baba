package retail_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/example/shop/retail"
)

var december = time.Date(2010, time.December, 1, 0, 0, 0, 0, time.UTC)

func generate(t *testing.T, seed uint64, month time.Time) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := retail.Generate(&b, seed, month); err != nil {
		t.Fatalf("Generate: %v", err)
	}
	return b.Bytes()
}

// The totals of a demo on a generated month are compared between machines and
// versions: these bytes are a promise. Change them only with a note to users.
func TestGeneratedMonthIsAlwaysTheSame(t *testing.T) {
	t.Parallel()
	const want = "12d4b9c662feacf708d2a3b4c34d49b8a6114deb435af48194b92588973f2670"
	sum := sha256.Sum256(generate(t, 1, december))
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("sha256 of seed 1, December 2010 is %s, want %s", got, want)
	}
	elsewhere := time.Date(2010, time.December, 24, 18, 0, 0, 0, time.FixedZone("", -5*3600))
	if !bytes.Equal(generate(t, 1, december), generate(t, 1, elsewhere)) {
		t.Error("day, time or zone of the month make a difference")
	}
	if bytes.Equal(generate(t, 1, december), generate(t, 2, december)) {
		t.Error("another seed gives the same month")
	}
}

func TestGeneratedMonthIsOfTheRightSize(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		for _, month := range []time.Time{december, december.AddDate(0, 2, 0), december.AddDate(13, 2, 0)} {
			file := parse(t, string(generate(t, seed, month)))
			if n := len(file.Invoices); n < 1_950 || n > 2_050 {
				t.Errorf("seed %d, %s: %d invoices, want about 2,000", seed, month.Format("2006-01"), n)
			}
			if file.Rows < 36_000 || file.Rows > 44_000 {
				t.Errorf("seed %d, %s: %d rows, want about 40,000", seed, month.Format("2006-01"), file.Rows)
			}
			for _, invoice := range file.Invoices {
				if d := invoice.Date; d.Year() != month.Year() || d.Month() != month.Month() || d.Weekday() == time.Saturday {
					t.Fatalf("seed %d: invoice %s is of %s", seed, invoice.Number, invoice.RawDate)
				}
			}
		}
	}
}

// Every kind of dirt that the doc comment names is in every month.
func TestGeneratedMonthIsDirty(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		content := generate(t, seed, december)
		found := map[string]int{}
		for _, invoice := range parse(t, string(content)).Invoices {
			first := invoice.Number[0]
			found["guest"] += count(invoice.Customer == "")
			found["abroad"] += count(invoice.Country != "United Kingdom")
			found["return"] += count(first == 'C')
			found["adjustment"] += count(first == 'A')
			found["longest"] += count(len(invoice.Lines) == 1114)
			rows := len(invoice.Lines)
			found["torn"] += count(invoice.Lines[rows-1].Row-invoice.Lines[0].Row != rows-1)
			for _, line := range invoice.Lines {
				negative := strings.HasPrefix(line.Quantity, "-")
				if first == 'C' && !negative {
					t.Errorf("seed %d: return %s has quantity %s", seed, invoice.Number, line.Quantity)
				}
				_, decimals, _ := strings.Cut(line.UnitPrice, ".")
				found["negative in an order"] += count(first != 'C' && negative)
				found["price 0"] += count(line.UnitPrice == "0.0")
				found["three decimals"] += count(len(decimals) == 3)
				found["no description"] += count(line.Description == "")
				found["comma"] += count(strings.Contains(line.Description, ","))
				found["quote"] += count(strings.Contains(line.Description, `"`))
			}
		}
		found["17850.0"] = bytes.Count(content, []byte(".0,United Kingdom"))
		found["two minutes"] = invoicesOfTwoMinutes(content)
		for _, kind := range []string{
			"guest", "abroad", "return", "adjustment", "negative in an order", "price 0", "three decimals",
			"no description", "comma", "quote", "17850.0",
		} {
			if found[kind] == 0 {
				t.Errorf("seed %d: nothing of kind %q", seed, kind)
			}
		}
		for _, kind := range []string{"longest", "torn", "two minutes"} {
			if found[kind] != 1 {
				t.Errorf("seed %d: %d invoices of kind %q, want one", seed, found[kind], kind)
			}
		}
	}
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// invoicesOfTwoMinutes looks at the raw rows: Parse keeps the first date only.
func invoicesOfTwoMinutes(content []byte) int {
	dates := map[string][]string{}
	for row := range strings.Lines(string(content)) {
		number, rest, _ := strings.Cut(row, ",")
		if at := strings.Index(rest, ",2010-12-"); at >= 0 {
			if date := rest[at : at+20]; !slices.Contains(dates[number], date) {
				dates[number] = append(dates[number], date)
			}
		}
	}
	several := 0
	for _, seen := range dates {
		several += count(len(seen) > 1)
	}
	return several
}

func TestMonthsShareNoInvoiceNumber(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for i := range 4 {
		month := december.AddDate(0, i, 0)
		for _, invoice := range parse(t, string(generate(t, 1, month))).Invoices {
			if other, ok := seen[invoice.Number]; ok {
				t.Fatalf("invoice %s in %s and %s", invoice.Number, other, month.Format("2006-01"))
			}
			seen[invoice.Number] = month.Format("2006-01")
		}
	}
}

// full is a disk without space left after some bytes.
type full struct{ left int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.left {
		return 0, errFull
	}
	f.left -= len(p)
	return len(p), nil
}

func TestGenerateReportsAWriteError(t *testing.T) {
	t.Parallel()
	for _, space := range []int{0, 100_000} {
		err := retail.Generate(&full{left: space}, 1, december)
		if !errors.Is(err, errFull) || err.Error() != "retail: generate 2010-12: no space left" {
			t.Errorf("got %v", err)
		}
	}
}
