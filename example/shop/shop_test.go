package shop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/example/shop"
	"github.com/banyanhq/banyan/example/shop/orders"
)

func TestMain(m *testing.M) {
	if child(os.Getenv(childDir), os.Getenv(childUsers)) {
		return
	}
	goleak.VerifyTestMain(m)
}

// site is a running shop and a client of it.
type site struct {
	t    *testing.T
	base string
	http *http.Client
}

// start runs services in memory until the test ends.
func start(t *testing.T, setup func(*app.App) error) *site {
	t.Helper()
	return startWith(t, app.Config{StoreURL: "mem:"}, setup)
}

func startWith(t *testing.T, c app.Config, setup func(*app.App) error) *site {
	t.Helper()
	c.Name, c.Listen, c.Log = "shop", "none", slog.New(slog.DiscardHandler)
	a, err := app.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := setup(a); err != nil {
		t.Fatal(err, a.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- a.Run(ctx) }()
	server := httptest.NewServer(a.Handler())
	t.Cleanup(func() {
		server.Close()
		stop()
		if err := <-stopped; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return &site{t: t, base: server.URL, http: server.Client()}
}

func whole(a *app.App) error { return shop.All(a, func(string) string { return "mem:" }) }

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

func (s *site) do(method, path string, header map[string]string, body any) answer {
	s.t.Helper()
	var text io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		text = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, text)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode, header: res.Header}
	if err := json.NewDecoder(res.Body).Decode(&a.body); err != nil {
		s.t.Fatalf("%s %s: %s: %v", method, path, res.Status, err)
	}
	if res.StatusCode >= 400 && res.Header.Get("Content-Type") != "application/problem+json" {
		s.t.Errorf("%s %s: an error of type %s", method, path, res.Header.Get("Content-Type"))
	}
	return a
}

func (s *site) post(path string, inv orders.Invoice) answer {
	s.t.Helper()
	return s.do(http.MethodPost, path, map[string]string{"Idempotency-Key": url.PathEscape(inv.Number)}, inv)
}

// get reads with the token of an answer before.
func (s *site) get(path string, seen answer) map[string]any {
	s.t.Helper()
	a := s.do(http.MethodGet, path, map[string]string{"Banyan-Token": seen.header.Get("Banyan-Token")}, nil)
	if a.status != http.StatusOK {
		s.t.Fatalf("GET %s: %d %v", path, a.status, a.body)
	}
	return a.body
}

func invoice(number, customer string, lines ...string) orders.Invoice {
	inv := orders.Invoice{Number: number, Date: "2010-12-01T08:26:00Z", Customer: customer, Country: "France", Source: "m.csv"}
	for i, l := range lines {
		f := strings.Split(l, " ")
		inv.Lines = append(inv.Lines, orders.Line{Row: i + 2, StockCode: f[0], Description: "thing " + f[0], Quantity: f[1], UnitPrice: f[2]})
	}
	return inv
}

func want(t *testing.T, what string, got any, expected string) {
	t.Helper()
	var e any
	if err := json.Unmarshal([]byte(expected), &e); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestFromOrderToReadModels(t *testing.T) {
	t.Parallel()
	s := start(t, whole)
	first := s.post("/orders", invoice("1", "17850", "a 6 2.55", "b 0 1", "a 4 2.55"))
	if first.status != http.StatusCreated {
		t.Fatalf("POST /orders: %d %v", first.status, first.body)
	}
	want(t, "receipt", first.body, `{"number":"1","status":"accepted","total":"25.5","lines_accepted":2,"lines_rejected":1,"rejected":[{"row":3,"reason":"quantity \"0\" is not above 0"}]}`)
	s.post("/orders", invoice("2", "", "c 10 0.001"))
	s.post("/returns", invoice("C3", "17850", "a -1.0 2.55"))
	last := s.post("/orders", invoice("A4", "", "d 1 1", "e 1 1"))
	if last.status != http.StatusUnprocessableEntity || last.body["type"] != orders.RejectedType || len(last.body["errors"].([]any)) != 2 {
		t.Errorf("rejected invoice: %d %v", last.status, last.body)
	}

	want(t, "summary", s.get("/analytics/summary", last), `{"orders":2,"returns":1,"invoices_rejected":1,"lines_accepted":4,"lines_rejected":3,"revenue":"25.51","refunds":"2.55","events":4}`)
	want(t, "countries", s.get("/analytics/countries", last), `{"items":[{"id":"France","orders":2,"revenue":"25.51"}]}`)
	want(t, "days", s.get("/analytics/days", last), `{"items":[{"id":"2010-12-01","orders":2,"revenue":"25.51"}]}`)
	want(t, "customers", s.get("/analytics/customers/top", last), `{"items":[{"id":"17850","orders":1,"revenue":"25.5"}]}`)
	want(t, "products", s.get("/analytics/products/top", last), `{"items":[{"id":"a","units":10},{"id":"c","units":10}]}`)
	want(t, "stock", s.get("/inventory/a", last), `{"sku":"a","sold":10,"returned":1}`)
	want(t, "product", s.get("/products/a", last), `{"sku":"a","description":"thing a","unit_price":"2.55"}`)
	want(t, "catalogue", s.get("/products?limit=1", last)["items"], `[{"sku":"a","description":"thing a","unit_price":"2.55"}]`)
	want(t, "rejects", s.get("/rejects?invoice=A4", last), `{"items":[
		{"source":"m.csv","invoice":"A4","row":2,"stock_code":"d","description":"thing d","quantity":"1","unit_price":"1","reason":"number \"A4\" starts neither with a digit nor with C"},
		{"source":"m.csv","invoice":"A4","row":3,"stock_code":"e","description":"thing e","quantity":"1","unit_price":"1","reason":"number \"A4\" starts neither with a digit nor with C"}]}`)
	want(t, "order", s.get("/orders/1", first), string(mustJSON(t, first.body)))
	if end := s.get("/log", last); end["events"] != 4.0 || end["token"] != last.header.Get("Banyan-Token") {
		t.Errorf("the end of the log is %v, the last token %s", end, last.header.Get("Banyan-Token"))
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheSameInvoiceTwice(t *testing.T) {
	t.Parallel()
	s := start(t, whole)
	for _, tc := range []struct {
		path        string
		inv         orders.Invoice
		first, then int
	}{
		{"/orders", invoice("1", "", "a 1 1"), 201, 200},
		{"/returns", invoice("C1", "", "a -1 1"), 201, 200},
		{"/orders", invoice("2", "", "a 0 1"), 422, 422},
		{"/orders", invoice("A1", "", "a 1 1"), 422, 422},
		{"/orders", invoice("", "", "a 1 1"), 422, 422},
		{"/orders", invoice("3/ü %", "", "a 1 1"), 201, 200},
	} {
		first := s.post(tc.path, tc.inv)
		tc.inv.Source = "another file"
		again := s.post(tc.path, tc.inv)
		if first.status != tc.first || again.status != tc.then {
			t.Errorf("%q: %d, then %d", tc.inv.Number, first.status, again.status)
		}
		if diff := cmp.Diff(first.body, again.body); diff != "" {
			t.Errorf("%q: other answer (-first +again):\n%s", tc.inv.Number, diff)
		}
		if token := first.header.Get("Banyan-Token"); token == "" || token != again.header.Get("Banyan-Token") {
			t.Errorf("%q: tokens %q and %q", tc.inv.Number, token, again.header.Get("Banyan-Token"))
		}
		tc.inv.Lines = append(tc.inv.Lines, orders.Line{StockCode: "b", Quantity: "1", UnitPrice: "1"})
		if other := s.post(tc.path, tc.inv); other.status != http.StatusConflict {
			t.Errorf("%q with other content: %d %v", tc.inv.Number, other.status, other.body)
		}
	}
	end := s.do(http.MethodGet, "/log", nil, nil)
	if end.body["events"] != 6.0 {
		t.Errorf("%v events of 6 invoices", end.body["events"])
	}
}

// Invoices that are longer than an event may be are still one invoice each,
// accepted or rejected, and all their lines are there.
func TestVeryLongInvoices(t *testing.T) {
	t.Parallel()
	s := start(t, whole)
	long := func(number, quantity string, lines, code int) orders.Invoice {
		all := make([]string, lines)
		for i := range all {
			all[i] = fmt.Sprintf("%0*d %s 0.01", code, i%10, quantity)
		}
		all[lines-1] = "free " + quantity + " 0"
		return invoice(number, "17850", all...)
	}
	s.post("/orders", invoice("1", "17850", "a 1 1"))
	var last answer
	for path, inv := range map[string]orders.Invoice{"/orders": long("2", "1", 25_000, 10), "/returns": long("C2", "-1", 5_000, 1_000)} {
		last = s.post(path, inv)
		if n := float64(len(inv.Lines)); last.status != http.StatusCreated || last.body["lines_accepted"] != n-1 || last.body["lines_rejected"] != 1.0 {
			t.Errorf("POST %s: %d %v", path, last.status, last.body)
		}
		if again := s.post(path, inv); again.status != http.StatusOK || again.header.Get("Banyan-Token") != last.header.Get("Banyan-Token") {
			t.Errorf("POST %s again: %d with token %s, want 200 with %s", path, again.status, again.header.Get("Banyan-Token"), last.header.Get("Banyan-Token"))
		}
	}
	last = s.post("/orders", long("3", "-1", 5_000, 1_000))
	if refused, _ := last.body["errors"].([]any); last.status != http.StatusUnprocessableEntity || last.body["type"] != orders.RejectedType || len(refused) != 5_000 {
		t.Errorf("a rejected invoice: %d, %v with %d errors", last.status, last.body["type"], len(refused))
	}
	totals := s.get("/analytics/summary", last)
	if events := totals["events"].(float64); events < 7 || events > 100 {
		t.Errorf("%v events: does the test post invoices that fit into one?", events)
	}
	delete(totals, "events")
	want(t, "summary", totals, `{"orders":2,"returns":1,"invoices_rejected":1,"lines_accepted":29999,"lines_rejected":5002,"revenue":"250.99","refunds":"49.99"}`)
	want(t, "customers", s.get("/analytics/customers/top", last), `{"items":[{"id":"17850","orders":2,"revenue":"250.99"}]}`)
	want(t, "stock", s.get("/inventory/0000000000", last), `{"sku":"0000000000","sold":2500,"returned":0}`)
	rows := map[float64]bool{}
	for after, more := "", true; more; {
		page := s.get("/rejects?limit=1000&invoice=3"+after, last)
		for _, item := range page["items"].([]any) {
			rows[item.(map[string]any)["row"].(float64)] = true
		}
		var next string
		next, more = page["next"].(string)
		after = "&after=" + url.QueryEscape(next)
	}
	if len(rows) != 5_000 {
		t.Errorf("invoice 3 has %d rejected rows, want 5,000", len(rows))
	}
}

// What is no invoice at all leaves nothing behind.
func TestMistakesOfClients(t *testing.T) {
	t.Parallel()
	s := start(t, whole)
	key := func(k string) map[string]string { return map[string]string{"Idempotency-Key": k} }
	nul := invoice("1", "", "a 1 1")
	nul.Country = "\x00"
	for name, tc := range map[string]struct {
		path   string
		header map[string]string
		body   any
		status int
	}{
		"no key":           {"/orders", nil, invoice("1", "", "a 1 1"), 422},
		"other key":        {"/orders", key("2"), invoice("1", "", "a 1 1"), 422},
		"order as return":  {"/returns", key("1"), invoice("1", "", "a -1 1"), 422},
		"return as order":  {"/orders", key("C1"), invoice("C1", "", "a 1 1"), 422},
		"not an invoice":   {"/orders", key("1"), map[string]any{"number": 1}, 422},
		"no body":          {"/orders", key("1"), nil, 400},
		"NUL in a country": {"/orders", key("1"), nul, 422},
	} {
		if a := s.do(http.MethodPost, tc.path, tc.header, tc.body); a.status != tc.status || a.body["detail"] == "" {
			t.Errorf("%s: %d %v, want %d with a detail", name, a.status, a.body, tc.status)
		}
	}
	for path, status := range map[string]int{
		"/orders/1": 404, "/returns/C1": 404, "/returns/1": 404, "/inventory/x": 404, "/products/x": 404,
		"/rejects?limit=0": 422, "/rejects?after=!": 422,
	} {
		if a := s.do(http.MethodGet, path, nil, nil); a.status != status {
			t.Errorf("GET %s: %d %v, want %d", path, a.status, a.body, status)
		}
	}
	if a := s.do(http.MethodGet, "/analytics/summary", map[string]string{"Banyan-Token": "no-such-event"}, nil); a.status != 422 {
		t.Errorf("unknown token: %d %v", a.status, a.body)
	}
	if end := s.do(http.MethodGet, "/log", nil, nil); end.body["events"] != 0.0 {
		t.Errorf("the log has %v events", end.body["events"])
	}
}

func TestPagesCoverEverythingOnce(t *testing.T) {
	t.Parallel()
	s := start(t, whole)
	var last answer
	for i := range 25 {
		// Pairs of equal amounts: their order has to be that of the ids.
		last = s.post("/orders", invoice(fmt.Sprint(100+i), fmt.Sprint(900-i), fmt.Sprintf("p%02d %d 1", i, 1+i/2)))
	}
	for path, id := range map[string]string{"/analytics/customers/top": "id", "/analytics/products/top": "id", "/products": "sku"} {
		var pages, whole []string
		query := ""
		for {
			page := s.get(path+"?limit=7"+query, last)
			pages = append(pages, ids(page, id)...)
			next, more := page["next"].(string)
			if !more {
				break
			}
			query = "&after=" + url.QueryEscape(next)
		}
		whole = ids(s.get(path, last), id)
		if len(whole) != 25 || !slices.Equal(pages, whole) {
			t.Errorf("%s: pages %v\nwhole %v", path, pages, whole)
		}
	}
	if top := ids(s.get("/analytics/products/top?limit=5", last), "id"); !slices.Equal(top, []string{"p24", "p22", "p23", "p20", "p21"}) {
		t.Errorf("top products %v", top)
	}
}

func ids(page map[string]any, field string) []string {
	var out []string
	for _, item := range page["items"].([]any) {
		out = append(out, item.(map[string]any)[field].(string))
	}
	return out
}

func TestInterfaceDescribesItself(t *testing.T) {
	t.Parallel()
	all := []string{
		"POST /orders", "GET /orders", "GET /orders/{number}", "POST /returns", "GET /returns/{number}", "GET /log", "GET /rejects",
		"GET /analytics/summary", "GET /analytics/countries", "GET /analytics/days", "GET /analytics/customers/top", "GET /analytics/products/top",
		"GET /inventory/{sku}", "GET /stock", "GET /products", "GET /products/{sku}",
	}
	ofUsers := []string{"GET /standing", "GET /users/{id}", "PUT /users/{id}", "PUT /users/{id}/block", "DELETE /users/{id}/block"}
	ofPayments := []string{"PUT /payments/{id}", "GET /payments/{id}", "PUT /limits/{customer}", "DELETE /limits/{customer}"}
	for name, tc := range map[string]struct {
		setup      func(*app.App) error
		operations []string
	}{
		"all":      {whole, slices.Concat(all, ofUsers, ofPayments)},
		"orders":   {shop.Orders, all[:7]},
		"users":    {shop.Users, ofUsers},
		"payments": {shop.Payments, ofPayments},
	} {
		doc := start(t, tc.setup).do(http.MethodGet, "/openapi.json", nil, nil)
		if doc.body["openapi"] != "3.1.0" {
			t.Errorf("%s: openapi %v", name, doc.body["openapi"])
		}
		var operations []string
		for path, item := range doc.body["paths"].(map[string]any) {
			for method, op := range item.(map[string]any) {
				operations = append(operations, strings.ToUpper(method)+" "+path)
				if op.(map[string]any)["responses"] == nil || op.(map[string]any)["summary"] == "" {
					t.Errorf("%s: %s %s says nothing", name, method, path)
				}
			}
		}
		slices.Sort(operations)
		if diff := cmp.Diff(slices.Sorted(slices.Values(tc.operations)), operations); diff != "" {
			t.Errorf("%s: operations (-want +got):\n%s", name, diff)
		}
	}
}

// Each service alone, with a database of its own: the readers know of the orders
// only where their log is.
func TestServicesAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	desk := startWith(t, app.Config{StoreURL: "sqlite:orders.db", Dir: dir}, shop.Orders)
	last := desk.post("/orders", invoice("1", "17850", "a 6 2.55"))
	if last.status != http.StatusCreated {
		t.Fatalf("POST /orders: %d %v", last.status, last.body)
	}
	for name, path := range map[string]string{"analytics": "/analytics/products/top", "inventory": "/inventory/a", "catalogue": "/products/a"} {
		c := app.Config{StoreURL: "sqlite:" + name + ".db", Dir: dir, Settings: map[string]string{"orders": "sqlite:orders.db"}}
		reader := startWith(t, c, shop.Reader(name))
		if body := string(mustJSON(t, reader.get(path, last))); !strings.Contains(body, `"a"`) {
			t.Errorf("%s: %s", name, body)
		}
		if doc := reader.do(http.MethodGet, "/openapi.json", nil, nil); doc.body["paths"].(map[string]any)["/orders"] != nil {
			t.Errorf("%s describes the orders as its own", name)
		}
	}
}

func TestReadersNeedTheLogOfTheOrders(t *testing.T) {
	t.Parallel()
	for _, name := range append(shop.Names(), "payments") {
		a, err := app.New(t.Context(), app.Config{Name: "reader", StoreURL: "mem:", Listen: "none", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := shop.Reader(name)(a); err == nil {
			t.Errorf("%s was set up without a log", name)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDatabasesOfServices(t *testing.T) {
	t.Parallel()
	for in, out := range map[string]string{
		"mem:":                                "mem:",
		"sqlite:":                             "sqlite:orders.db",
		"sqlite:data/":                        "sqlite:data/orders.db",
		"sqlite:/d/shop.db":                   "sqlite:/d/shop-orders.db",
		"sqlite:shop?unsafe=no-sync":          "sqlite:shop-orders?unsafe=no-sync",
		"postgres://u:p@h/db":                 "postgres://u:p@h/db?schema=shop_orders",
		"postgres://h/db?schema=x&sslmode=no": "postgres://h/db?schema=x_orders&sslmode=no",
	} {
		if got, err := shop.URLFor(in, "orders"); got != out || err != nil {
			t.Errorf("URLFor(%q) = %q, %v, want %q", in, got, err, out)
		}
	}
	for _, bad := range []string{"", "orders.db", "mysql://u:secret@h/db"} {
		if got, err := shop.URLFor(bad, "orders"); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("URLFor(%q) = %q, %v: want an error without the password", bad, got, err)
		}
	}
}
