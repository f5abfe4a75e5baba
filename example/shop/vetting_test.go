package shop_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/example/shop"
	"github.com/banyanhq/banyan/example/shop/orders"
)

// switched is a way to a service that can be closed.
type switched struct {
	*httptest.Server
	closed atomic.Bool
	calls  atomic.Int64
}

func newSwitched(t *testing.T, behind *site) *switched {
	t.Helper()
	base, err := url.Parse(behind.base)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(base)
	transport := &http.Transport{}
	proxy.Transport, proxy.ErrorLog = transport, log.New(io.Discard, "", 0)
	w := &switched{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.calls.Add(1)
		if w.closed.Load() {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { w.Close(); transport.CloseIdleConnections() })
	return w
}

func (s *site) put(path, body string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPut, s.base+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode >= 300 {
		s.t.Fatalf("PUT %s: %s", path, res.Status)
	}
}

// end is an answer with the token of the end of the log.
func (s *site) end() answer {
	s.t.Helper()
	a := s.do(http.MethodGet, "/log", nil, nil)
	a.header.Set("Banyan-Token", fmt.Sprint(a.body["token"]))
	return a
}

// eventually reads until the answer has a text; the validator works in its own time.
func (s *site) eventually(path, text string) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		a := s.do(http.MethodGet, path, nil, nil)
		if strings.Contains(string(mustJSON(s.t, a.body)), text) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("GET %s never had %s: %v", path, text, a.body)
		}
	}
}

// Each in a process of its own, so to speak: orders asks over HTTP.
func TestOrdersAskOverHTTP(t *testing.T) {
	t.Parallel()
	customers, money := start(t, shop.Users), start(t, shop.Payments)
	toUsers, toPayments := newSwitched(t, customers), newSwitched(t, money)
	desk := startWith(t, app.Config{StoreURL: "mem:", Settings: map[string]string{
		"users": toUsers.URL, "payments": toPayments.URL + "/", "patience": "500ms",
	}}, shop.Orders)

	customers.put("/users/666/block", `{"reason":"unpaid"}`)
	money.put("/limits/12583", `{"amount":"10"}`)
	if a := desk.post("/orders", invoice("1", "17850", "a 6 2.55")); a.status != http.StatusCreated || a.body["status"] != "accepted" {
		t.Errorf("yes: %d %v", a.status, a.body)
	}
	for range 2 { // the repetition is answered alike
		a := desk.post("/orders", invoice("2", "666", "a 6 2.55"))
		if a.status != http.StatusUnprocessableEntity || a.body["type"] != orders.RejectedType || !strings.Contains(fmt.Sprint(a.body["detail"]), "unpaid") {
			t.Errorf("blocked: %d %v", a.status, a.body)
		}
		a = desk.post("/orders", invoice("3", "12583", "a 6 2.55"))
		if a.status != http.StatusPaymentRequired || a.body["type"] != orders.RejectedType || !strings.Contains(fmt.Sprint(a.body["detail"]), "limit of 10") {
			t.Errorf("refused: %d %v", a.status, a.body)
		}
	}
	toPayments.closed.Store(true)
	last := desk.post("/orders", invoice("4", "12583", "a 6 2.55"))
	if last.status != http.StatusCreated || last.body["status"] != "PENDING_VALIDATION" {
		t.Errorf("payments is down: %d %v", last.status, last.body)
	}
	guest := desk.post("/orders", invoice("5", "", "a 6 2.55"))
	want(t, "pending", desk.get("/orders?status=PENDING_VALIDATION", guest)["items"].([]any)[0], `{"number":"4","customer":"12583","country":"France","date":"2010-12-01T08:26:00Z","status":"PENDING_VALIDATION","total":"15.3","lines":1}`)
	toPayments.closed.Store(false)
	desk.eventually("/orders/4", `"rejected_by":"payments"`)
	desk.eventually("/orders/5", `"status":"accepted"`)
	if rejects := desk.get("/rejects", desk.end())["items"].([]any); len(rejects) != 3 {
		t.Errorf("rejects: %v, want a line of each of the three", rejects)
	}
	toUsers.Close()
	if a := desk.post("/orders", invoice("6", "17850", "a 1 1")); a.body["status"] != "PENDING_VALIDATION" {
		t.Errorf("users is gone: %d %v", a.status, a.body)
	}
}

// In one process, the same happens without sockets.
func TestOrdersAskInProcess(t *testing.T) {
	t.Parallel()
	s := start(t, whole)
	for _, customer := range []string{"666", "..", "a/b?c=d", "naïve\t"} {
		s.put("/users/666/block", `{"reason":"unpaid"}`)
		want := http.StatusCreated
		if customer == "666" {
			want = http.StatusUnprocessableEntity
		}
		if a := s.post("/orders", invoice("1"+customer, customer, "a 6 2.55")); a.status != want {
			t.Errorf("customer %q: %d %v, want %d", customer, a.status, a.body, want)
		}
	}
	s.put("/users/17850", `{"name":"Ada"}`)
	want(t, "profile", s.do(http.MethodGet, "/users/17850", nil, nil).body, `{"id":"17850","name":"Ada","registered":true,"status":"active"}`)
	want(t, "unblocked", s.do(http.MethodDelete, "/users/666/block", nil, nil).body, `{"id":"666","registered":false,"status":"active"}`)
}

// What a screen needs of several services at once is bounded, and exact.
func TestReadsForScreens(t *testing.T) {
	t.Parallel()
	s := start(t, whole)
	var last answer
	for i := range 8 {
		inv := invoice(fmt.Sprint(100+i), []string{"17850", "1785"}[i%2], fmt.Sprintf("p%d %d 0.1", i, i+1))
		inv.Date = fmt.Sprintf("2010-12-%02dT08:26:00Z", i+1)
		last = s.post("/orders", inv)
	}
	s.post("/orders", invoice("200", "17850", "x 0 1"))
	numbers := func(path string) string {
		t.Helper()
		return strings.Join(ids(s.get(path, last), "number"), " ")
	}
	if got := numbers("/orders?customer=17850&limit=3"); got != "106 104 102" {
		t.Errorf("the latest orders of a customer: %s", got)
	}
	if got := numbers("/orders?status=rejected"); got != "200" {
		t.Errorf("rejected orders: %s", got)
	}
	if got := numbers("/orders?customer=178"); got != "" {
		t.Errorf("a customer without orders: %s", got)
	}
	want(t, "products", s.get("/products?ids=p3,none,p1,p3", last)["items"], `[{"sku":"p3","description":"thing p3","unit_price":"0.1"},{"sku":"p1","description":"thing p1","unit_price":"0.1"}]`)
	want(t, "stock", s.get("/stock?ids=p7,p0,none,p7", last)["items"], `[{"sku":"p7","sold":8,"returned":0},{"sku":"p0","sold":1,"returned":0}]`)
	many := strings.Repeat("x,", 100) + "x"
	for _, path := range []string{"/products?ids=" + many, "/stock?ids=" + many, "/stock", "/orders?customer=1&status=accepted", "/orders?status=lost", "/orders?limit=1001"} {
		if a := s.do(http.MethodGet, path, nil, nil); a.status != http.StatusUnprocessableEntity {
			t.Errorf("GET %.40s: %d %v, want 422", path, a.status, a.body)
		}
	}
	if a := s.do(http.MethodGet, "/stock?ids="+many[2:], nil, nil); a.status != http.StatusOK {
		t.Errorf("100 ids: %d %v", a.status, a.body)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		setup func(*app.App) error
		key   string
		value string
	}{
		"patience": {shop.Orders, "patience", "soon"}, "no patience": {shop.Orders, "patience", "0s"},
		"users": {shop.Orders, "users", "localhost"}, "payments": {shop.Orders, "payments", "http://"},
		"limit": {shop.Payments, "limit", "much"}, "strangers": {shop.Users, "refuse-strangers", "perhaps"},
	} {
		a, err := app.New(t.Context(), app.Config{
			Name: "x", StoreURL: "mem:", Listen: "none", Log: slog.New(slog.DiscardHandler), Settings: map[string]string{tc.key: tc.value},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := tc.setup(a); err == nil || !strings.Contains(err.Error(), tc.key) {
			t.Errorf("%s: error %v, want one that names the setting", name, err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// childDir and childUsers make the test binary run orders until it is killed.
const (
	childDir   = "BANYAN_SHOP_TEST_DIR"
	childUsers = "BANYAN_SHOP_TEST_USERS"
)

func child(dir, users string) bool {
	if dir == "" {
		return false
	}
	a, err := app.New(context.Background(), killed(dir, users))
	if err == nil {
		err = shop.Orders(a)
	}
	if err == nil {
		fmt.Fprintf(os.Stderr, "at http://%s\n", a.Addr())
		err = a.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	return true
}

func killed(dir, users string) app.Config {
	return app.Config{
		Name: "shop", StoreURL: "sqlite:orders.db", Dir: dir, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler),
		Settings: map[string]string{"users": users, "patience": "500ms"},
	}
}

// said is what a child has written.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := regexp.MustCompile(`at (http://\S+)\n`).FindStringSubmatch(s.text.String()); m != nil {
		return m[1]
	}
	return ""
}

func startChild(t *testing.T, dir, users string) (*site, func()) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childDir+"="+dir, childUsers+"="+users)
	out := &said{}
	c.Stderr = out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() {
		_ = c.Process.Kill() // or it is dead already
		_ = c.Wait()
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for out.address() == "" {
		select {
		case <-tick.C:
		case <-deadline:
			kill()
			t.Fatal("the child does not serve")
		}
	}
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	return &site{t: t, base: out.address(), http: client}, kill
}

// Orders that were taken while users was down survive kill -9, and so does what
// becomes of them: two processes settle them at once while both are killed.
func TestPendingOrdersSurviveKills(t *testing.T) {
	t.Parallel()
	const n = 30
	dir := t.TempDir()
	toUsers := newSwitched(t, start(t, shop.Users))
	toUsers.closed.Store(true)
	desk, kill := startChild(t, dir, toUsers.URL)
	for i := range n {
		if a := desk.post("/orders", invoice(fmt.Sprint(100+i), "17850", "a 1 2.55")); a.body["status"] != "PENDING_VALIDATION" {
			t.Fatalf("order %d: %d %v", i, a.status, a.body)
		}
	}
	kill()
	toUsers.closed.Store(false)
	for range 3 {
		_, killOne := startChild(t, dir, toUsers.URL)
		_, killOther := startChild(t, dir, toUsers.URL)
		before, tick := toUsers.calls.Load(), time.NewTicker(time.Millisecond)
		for waited := 0; toUsers.calls.Load() < before+3 && waited < 5000; waited++ { // in the middle of it
			<-tick.C
		}
		tick.Stop()
		killOne()
		killOther()
	}
	last, stop := startChild(t, dir, toUsers.URL)
	defer stop()
	last.eventually("/orders?status=accepted&limit=1000", `"number":"100"`)
	last.eventually("/orders?status=PENDING_VALIDATION", `"items":[]`)
	if end := last.do(http.MethodGet, "/log", nil, nil); end.body["events"] != 2.0*n {
		t.Errorf("%v events, want %d: one outcome for each order", end.body["events"], 2*n)
	}
	if a := last.do(http.MethodGet, "/orders?status=accepted&limit=1000", nil, nil); len(a.body["items"].([]any)) != n {
		t.Errorf("%d orders were accepted, want %d", len(a.body["items"].([]any)), n)
	}
}
