package demo_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/cmd/banyan/internal/demo"
	"github.com/banyanhq/banyan/example/shop/orders"
	"github.com/banyanhq/banyan/example/shop/retail"
	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/pgtest"
)

// child makes the test binary run the command with these arguments, one a line.
const child = "BANYAN_DEMO_TEST_ARGS"

func TestMain(m *testing.M) {
	if args := os.Getenv(child); args != "" {
		c := demo.New(false)
		c.SetArgs(strings.Split(args, "\n"))
		if err := c.ExecuteContext(context.Background()); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// output is a writer that another goroutine may look into.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// run executes the command and returns what it wrote.
func run(ctx context.Context, args ...string) (stdout, stderr *output, err error) {
	stdout, stderr = &output{}, &output{}
	c := demo.New(false)
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetOut(stdout)
	c.SetErr(stderr)
	c.SetArgs(append([]string{"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...))
	return stdout, stderr, c.ExecuteContext(ctx)
}

// totals imports and returns the summary without what differs from run to run.
func totals(t *testing.T, args ...string) map[string]any {
	t.Helper()
	stdout, stderr, err := run(t.Context(), append(args, "--json", "--exit")...)
	if err != nil {
		t.Fatalf("demo %v: %v\n%s", args, err, stderr)
	}
	dec := json.NewDecoder(strings.NewReader(stdout.String()))
	dec.UseNumber()
	var s map[string]any
	if err := dec.Decode(&s); err != nil {
		t.Fatalf("stdout %q: %v", stdout, err)
	}
	if rest, _ := io.ReadAll(dec.Buffered()); strings.TrimSpace(string(rest)) != "" {
		t.Errorf("stdout has more than one JSON object: %s", rest)
	}
	for _, measured := range []string{"elapsed_seconds", "orders_per_second", "api_p50_ms", "api_p99_ms"} {
		n, ok := s[measured].(json.Number)
		if f, err := n.Float64(); !ok || err != nil || f <= 0 {
			t.Errorf("%s = %v, want a number above 0", measured, s[measured])
		}
		delete(s, measured)
	}
	return s
}

// month writes a part of the generated month: about 200 invoices, among them all
// adjustments. It returns the file and its records without the header.
func month(t *testing.T) (string, [][]string) {
	t.Helper()
	var text bytes.Buffer
	if err := retail.Generate(&text, 7, time.Date(2011, 3, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	all, err := csv.NewReader(&text).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	place := map[string]int{}
	part := [][]string{all[0]}
	for _, record := range all[1:] {
		if _, seen := place[record[0]]; !seen {
			place[record[0]] = len(place)
		}
		if place[record[0]]%10 == 0 || record[0][0] == 'A' {
			part = append(part, record)
		}
	}
	part = append(part, []string{"", "x", "no number", "1", "2011-03-01 10:00:00", "1", "", "France"},
		[]string{"999999", "x", "no date", "1", "soon", "1", "", "France"})
	path := filepath.Join(t.TempDir(), "month.csv")
	var out bytes.Buffer
	if err := csv.NewWriter(&out).WriteAll(part); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, part[1:]
}

// tally is the rules of the import once more, in other words and with other
// arithmetic.
type tally struct {
	orders, returns, rejected, accepted, refused int
	revenue, refunds                             *big.Rat
	countries, days, customers, products         map[string]*big.Rat
}

func count(records [][]string) *tally {
	t := &tally{
		revenue: new(big.Rat), refunds: new(big.Rat),
		countries: map[string]*big.Rat{}, days: map[string]*big.Rat{}, customers: map[string]*big.Rat{}, products: map[string]*big.Rat{},
	}
	invoices, order := map[string][][]string{}, []string{}
	for _, r := range records {
		if invoices[r[0]] == nil {
			order = append(order, r[0])
		}
		invoices[r[0]] = append(invoices[r[0]], r)
	}
	for _, number := range order {
		t.invoice(number, invoices[number])
	}
	return t
}

func (t *tally) invoice(number string, rows [][]string) {
	digit, c := strings.IndexAny(number, "0123456789") == 0, strings.HasPrefix(number, "C")
	dated := regexp.MustCompile(`^\d{4}-\d\d-\d\d `).MatchString(rows[0][4])
	sum, valid := new(big.Rat), 0
	for _, r := range rows {
		q, okQ := new(big.Rat).SetString(r[3])
		p, okP := new(big.Rat).SetString(r[5])
		if !(digit || c) || !dated || !okQ || !okP || r[1] == "" || p.Sign() <= 0 || q.Sign() == 0 || (q.Sign() < 0) != c {
			continue
		}
		valid++
		sum.Add(sum, new(big.Rat).Mul(q, p))
		if digit {
			plus(t.products, r[1], q)
		}
	}
	t.accepted += valid
	t.refused += len(rows) - valid
	switch {
	case valid == 0:
		t.rejected++
	case c:
		t.returns++
		t.refunds.Sub(t.refunds, sum)
	default:
		t.orders++
		t.revenue.Add(t.revenue, sum)
		plus(t.countries, rows[0][7], sum)
		plus(t.days, rows[0][4][:10], sum)
		if customer := strings.TrimSuffix(rows[0][6], ".0"); customer != "" {
			plus(t.customers, customer, sum)
		}
	}
}

func plus(m map[string]*big.Rat, key string, n *big.Rat) {
	if m[key] == nil {
		m[key] = new(big.Rat)
	}
	m[key].Add(m[key], n)
}

func text(r *big.Rat) string {
	s := r.FloatString(9)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

func texts(m map[string]*big.Rat) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = text(v)
	}
	return out
}

func top(m map[string]*big.Rat, asNumber bool) []any {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if c := m[b].Cmp(m[a]); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	var out []any
	for _, k := range keys[:min(len(keys), 10)] {
		if asNumber {
			out = append(out, []any{k, json.Number(text(m[k]))})
		} else {
			out = append(out, []any{k, text(m[k])})
		}
	}
	return out
}

// summary is what the command has to print, all keys and no others.
func (t *tally) summary() map[string]any {
	n := func(i int) json.Number { return json.Number(fmt.Sprint(i)) }
	return map[string]any{
		"orders": n(t.orders), "returns": n(t.returns), "invoices_rejected": n(t.rejected),
		"lines_accepted": n(t.accepted), "lines_rejected": n(t.refused), "revenue": text(t.revenue), "refunds": text(t.refunds),
		"revenue_by_country": texts(t.countries), "revenue_by_day": texts(t.days),
		"top_customers": top(t.customers, false), "top_products": top(t.products, true),
		"events": n(t.orders + t.returns + t.rejected),
	}
}

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
	stderr := &output{}
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

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen within a minute")
		}
	}
}

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

func TestServesUntilStopped(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	data, _ := month(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stdout, stderr := &output{}, &output{}
	c := demo.New(false)
	c.SetOut(stdout)
	c.SetErr(stderr)
	dir := t.TempDir()
	c.SetArgs([]string{"--listen", taken.Addr().String(), "--admin", taken.Addr().String(), "--store", "mem:", "--data", data, "--dir", dir})
	finished := make(chan error, 1)
	go func() { finished <- c.ExecuteContext(ctx) }()
	serving := regexp.MustCompile(`Serving at (http://\S+)\.`)
	waitFor(t, func() bool { return serving.MatchString(stderr.String()) })
	if eventsAt(serving.FindStringSubmatch(stderr.String())[1]) < 100 {
		t.Error("the shop does not answer after the import")
	}
	throughGateway(t, serving.FindStringSubmatch(stderr.String())[1], stderr.String(), dir)
	stop()
	if err := <-finished; err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	for _, part := range []string{taken.Addr().String() + " is taken", "Importing invoices: ", "Draining."} {
		if !strings.Contains(stderr.String(), part) {
			t.Errorf("stderr lacks %q:\n%s", part, stderr)
		}
	}
	for _, part := range []string{"orders ", "revenue by country", "top products (units)"} {
		if !strings.Contains(stdout.String(), part) {
			t.Errorf("the table lacks %q:\n%s", part, stdout)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// throughGateway: all of the import went through the gateway, and the monolith
// is behind it too.
func throughGateway(t *testing.T, url, said, dir string) {
	t.Helper()
	admin := regexp.MustCompile(`--admin (\S+)`).FindStringSubmatch(said)
	if admin == nil {
		t.Fatalf("no address of the admin API:\n%s", said)
	}
	resp, err := http.Get("http://" + admin[1] + "/v1/status") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	var status gateway.Status
	err = json.NewDecoder(resp.Body).Decode(&status)
	_ = resp.Body.Close()
	if err != nil || status.Routes[0].Name != "shop" || status.Routes[0].Requests < 100 || status.Routes[0].Failed > 0 {
		t.Errorf("the gateway's routes: %+v, %v", status.Routes, err)
	}
	resp, err = http.Get(url + "/monolith/orders/1") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("the monolith answers %d %v", resp.StatusCode, resp.Header)
	}
	if _, err := gateway.Load(filepath.Join(dir, "banyan.yaml")); err != nil {
		t.Error(err)
	}
	throughChannels(t, url)
}

// throughChannels: each channel gets one answer of several services, and nothing is
// missing in it.
func throughChannels(t *testing.T, url string) {
	t.Helper()
	get := func(path string, into any) {
		t.Helper()
		resp, err := http.Get(url + path) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Banyan-Missing") != "" {
			t.Errorf("%s: status %d, %v, missing %q", path, resp.StatusCode, err, resp.Header.Get("Banyan-Missing"))
		}
	}
	var home struct {
		User    struct{ Status string }
		Orders  struct{ Items []struct{ Number string } }
		Popular struct {
			Items []struct {
				ID      string
				Product struct{ Description string }
			}
		}
	}
	get("/mobile/home?customer=17850", &home)
	if home.User.Status != "active" || len(home.Popular.Items) != 5 || home.Popular.Items[0].Product.Description == "" {
		t.Errorf("the app's first screen: %+v", home)
	}
	var product struct{ SKU, Price string }
	get("/partner/products/"+home.Popular.Items[0].ID, &product)
	if product.SKU != home.Popular.Items[0].ID || product.Price == "" {
		t.Errorf("the partner's product: %+v", product)
	}
	var web map[string]any
	if get("/web/home?customer=17850", &web); len(web) != 4 {
		t.Errorf("the shop's page: %v", web)
	}
}

func TestInterruptedImport(t *testing.T) {
	t.Parallel()
	data, _ := month(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	stdout, _, err := run(ctx, "--store", "mem:", "--data", data, "--dir", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "run it again") || stdout.String() != "" {
		t.Errorf("error %v, stdout %q: want an error that says how to go on", err, stdout)
	}
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
