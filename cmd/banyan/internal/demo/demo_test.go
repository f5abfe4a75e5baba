package demo_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/example/shop/orders"
	"github.com/banyanhq/banyan/example/shop/retail"
	"github.com/banyanhq/banyan/internal/gatetest"
	"github.com/banyanhq/banyan/internal/pgtest"
)

func TestImportAndSecondRun(t *testing.T) {
	t.Parallel()
	data, records := month(t)
	dir := t.TempDir()
	expected := count(records)
	if expected.returns < 5 || expected.rejected < 5 || expected.refused < 5 {
		t.Fatalf("the month tests too little: %+v", expected)
	}
	first := totals(t, "--data", data, "--dir", dir)
	if diff := cmp.Diff(expected.summary(), first); diff != "" {
		t.Errorf("first run (-recomputed +demo):\n%s", diff)
	}
	rejects := rejectsIn(t, dir)
	if len(rejects) != expected.refused {
		t.Errorf("%d rejects, want %d", len(rejects), expected.refused)
	}
	for _, r := range rejects {
		if r[0] != data || r[2] == "" {
			t.Errorf("reject %v: want file %s and a reason", r, data)
		}
		if line := lineOf(t, r[1]); records[line-2][0] != r[3] {
			t.Errorf("reject %v: line %d is of invoice %q", r, line, records[line-2][0])
		}
	}
	second := totals(t, "--data", data, "--dir", dir, "--clients", "3")
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("second run (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(rejects, rejectsIn(t, dir)); diff != "" {
		t.Errorf("rejects.csv of the second run (-first +second):\n%s", diff)
	}
}

// rejectsIn returns the records of rejects.csv without the header.
func rejectsIn(t *testing.T, dir string) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "rejects.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil || len(records) == 0 {
		t.Fatalf("rejects.csv: %v, %v", records, err)
	}
	return records[1:]
}

func lineOf(t *testing.T, text string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// nobody can be asked.
type nobody struct{}

func (nobody) Vet(context.Context, orders.Placed) (orders.Ruling, error) {
	return orders.Ruling{}, &orders.UnaskedError{Service: "users", Err: errors.New("down")}
}

// Orders that were pending when the shop stopped are settled before the totals are
// read, and so the totals are those of a shop that never was in trouble.
func TestOrdersThatWereLeftPending(t *testing.T) {
	t.Parallel()
	data, records := month(t)
	dir := t.TempDir()
	pending := leavePending(t, data, dir)
	want := count(records).summary()
	n, err := want["events"].(json.Number).Int64()
	if err != nil || pending < 10 {
		t.Fatalf("%d pending orders, %v", pending, err)
	}
	want["events"] = json.Number(fmt.Sprint(n + int64(pending)))
	if diff := cmp.Diff(want, totals(t, "--data", data, "--dir", dir)); diff != "" {
		t.Errorf("(-recomputed +demo):\n%s", diff)
	}
}

// leavePending posts all orders of a month while nobody can be asked. It returns
// how many are pending.
func leavePending(t *testing.T, data, dir string) int {
	t.Helper()
	db, err := app.Open(t.Context(), "sqlite:orders.db", dir)
	if err != nil {
		t.Fatal(err)
	}
	st, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	desk, err := orders.New(st, nobody{})
	if err != nil {
		t.Fatal(err)
	}
	file, err := retail.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	pending := 0
	for _, inv := range file.Invoices {
		if orders.KindOf(inv.Number) != orders.AnOrder || inv.Date.IsZero() {
			continue
		}
		posted := orders.Invoice{Number: inv.Number, Date: inv.Date.Format(time.RFC3339), Customer: inv.Customer, Country: inv.Country, Source: file.Name}
		for _, l := range inv.Lines {
			posted.Lines = append(posted.Lines, orders.Line(l))
		}
		a, err := desk.Post(t.Context(), posted)
		if err != nil {
			t.Fatal(err)
		}
		if a.Status == orders.StatusPending {
			pending++
		}
	}
	if err := errors.Join(st.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	return pending
}

func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Start(t, nil).DSN("postgres")
	data, records := month(t)
	dir := t.TempDir()
	for run := range 2 {
		if diff := cmp.Diff(count(records).summary(), totals(t, "--store", dsn, "--data", data, "--dir", dir)); diff != "" {
			t.Errorf("run %d (-recomputed +demo):\n%s", run+1, diff)
		}
	}
}

func TestKilledAndRunAgain(t *testing.T) {
	t.Parallel()
	data, records := month(t)
	dir := t.TempDir()
	for _, after := range []int{1, 60} {
		killAfter(t, after, "--data", data, "--dir", dir, "--clients", "2", "--listen", "127.0.0.1:0")
	}
	if diff := cmp.Diff(count(records).summary(), totals(t, "--data", data, "--dir", dir)); diff != "" {
		t.Errorf("after two kills (-recomputed +demo):\n%s", diff)
	}
}

// killAfter runs the command in a process of its own and kills it without warning
// once its log has so many events.
func killAfter(t *testing.T, events int, args ...string) {
	t.Helper()
	stderr := &gatetest.Log{}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), child+"="+strings.Join(args, "\n"))
	c.Stderr = stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		address := regexp.MustCompile(`Shop: (http://\S+)`).FindStringSubmatch(stderr.String())
		return address != nil && eventsAt(address[1]) >= events
	})
	if err := c.Process.Kill(); err != nil {
		t.Fatalf("kill: %v\n%s", err, stderr)
	}
	_ = c.Wait() // it was killed
}

func eventsAt(base string) int {
	res, err := http.Get(base + "/log") //nolint:noctx // it is on this machine
	if err != nil {
		return -1
	}
	defer res.Body.Close()
	end := struct{ Events int }{-1}
	if json.NewDecoder(res.Body).Decode(&end) != nil {
		return -1
	}
	return end.Events
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--clients", "0"}, {"--clients", "1001"}, {"--store", "mysql://u:secret@h/d"}, {"month.csv"}} {
		_, _, err := run(t.Context(), args...)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("demo %v: %v, want an error without the password", args, err)
		}
	}
	missing := filepath.Join(t.TempDir(), "none.csv")
	if _, _, err := run(t.Context(), "--dir", t.TempDir(), "--data", missing); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing file: %v", err)
	}
}
