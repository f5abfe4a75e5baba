package siege_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/long"
)

// front serves a gateway and returns its address.
func front(t *testing.T, h http.Handler) string {
	t.Helper()
	f, err := gateway.NewFront(h, &gateway.FrontOptions{Drain: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return l.Addr().String()
}

// sick is a server that fails in one way or another.
type sick struct {
	way   atomic.Pointer[string]
	seen  *ledger
	close chan struct{}
}

// ledger counts what reached servers, by the number of the request.
type ledger struct {
	mu   sync.Mutex
	seen map[string]int // guarded by mu
}

func (l *ledger) add(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[id]++
}

// count returns the calls, and how many had been there before.
func (l *ledger) count() (calls, again int, twice []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, n := range l.seen {
		calls += n
		again += n - 1
		if n > 1 && strings.HasPrefix(id, "POST ") {
			twice = append(twice, fmt.Sprintf("%s: %d times", id, n))
		}
	}
	return calls, again, twice
}

// ways to fail.
var ways = []string{"hang", "503", "500", "reset", "close", "reset in the body", "nonsense", "two lengths", "kill"}

func (s *sick) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.seen.add(r.Header.Get("X-Id"))
	text, _ := io.ReadAll(r.Body)
	switch way := *s.way.Load(); way {
	case "":
		fmt.Fprintf(w, "%s %s", r.Header.Get("X-Id"), text)
	case "hang":
		select {
		case <-r.Context().Done():
		case <-s.close:
		}
		panic(http.ErrAbortHandler)
	case "503", "500":
		w.WriteHeader(int(way[0]-'0')*100 + int(way[2]-'0'))
	default:
		s.raw(w, way)
	}
}

// raw fails below HTTP.
func (s *sick) raw(w http.ResponseWriter, way string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	if tcp, ok := conn.(*net.TCPConn); ok && strings.HasPrefix(way, "reset") {
		_ = tcp.SetLinger(0)
	}
	switch way {
	case "reset in the body":
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	case "nonsense":
		_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n\r\n")
	case "two lengths":
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy")
	}
}

// patient is a server that can be killed and come back at its address.
type patient struct {
	*sick
	address string
	server  *http.Server
	ended   chan error
}

func (p *patient) begin(t *testing.T) {
	t.Helper()
	var c net.ListenConfig
	l, err := c.Listen(context.Background(), "tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.server, p.ended = &http.Server{Handler: p.sick, ReadHeaderTimeout: time.Minute}, make(chan error, 1)
	go func() { p.ended <- p.server.Serve(l) }()
}

func (p *patient) kill() {
	_ = p.server.Close()
	<-p.ended
}

// suffer lets the server fail in a way for as long as f takes.
func (p *patient) suffer(t *testing.T, way string, f func()) {
	t.Helper()
	if way == "kill" {
		p.kill()
		f()
		p.begin(t)
		return
	}
	p.way.Store(&way)
	f()
	healthy := ""
	p.way.Store(&healthy)
}

// ward are three servers behind a gateway, and what happened.
type ward struct {
	address  string
	seen     *ledger
	patients []*patient
	sent     atomic.Int64
	good     atomic.Int64
	wrong    faults
}

func newWard(t *testing.T) *ward {
	t.Helper()
	w := &ward{seen: &ledger{seen: map[string]int{}}}
	closing := make(chan struct{})
	var targets []string
	for range 3 {
		p := &patient{sick: &sick{seen: w.seen, close: closing}, address: freePort(t)}
		healthy := ""
		p.way.Store(&healthy)
		p.begin(t)
		w.patients = append(w.patients, p)
		targets = append(targets, "http://"+p.address)
	}
	t.Cleanup(func() {
		close(closing)
		for _, p := range w.patients {
			p.kill()
		}
	})
	timeout := 150 * time.Millisecond
	w.address = front(t, opened(t, &gateway.Config{
		Upstreams: map[string]gateway.Upstream{"u": {Targets: targets}, "guarded": {Targets: targets, Breaker: &gateway.Breaker{Open: time.Second}}},
		Routes: []gateway.Route{
			{Match: "/", To: "u", Timeout: 3 * timeout, Retry: &gateway.Retry{Timeout: timeout}},
			{Match: "/guarded/", To: "guarded", Timeout: 3 * timeout, Retry: &gateway.Retry{Timeout: timeout}},
			{Match: "/plain/", To: "u", Timeout: timeout},
		},
	}))
	return w
}

// ask sends the nth request of a client.
func (w *ward) ask(c *caller, client, n int) {
	method := [...]string{"GET", "PUT", "POST", "POST"}[n%4]
	id := fmt.Sprintf("%s %d-%d", method, client, n)
	key := ""
	if n%4 == 3 {
		id = "keyed " + id
		key = "Idempotency-Key: " + strings.ReplaceAll(id, " ", "-") + "\r\n"
	}
	body := ""
	if method != "GET" {
		body = "hello"
	}
	path := [...]string{"/", "/guarded/", "/plain/"}[n/4%3]
	w.sent.Add(1)
	resp, text, _, err := c.do(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nX-Id: %s\r\n%sContent-Length: %d\r\n\r\n%s", method, path, id, key, len(body), body))
	switch {
	case err == nil && resp.StatusCode == http.StatusOK && text == id+" "+body:
		w.good.Add(1)
	case err == nil && resp.StatusCode == http.StatusOK:
		w.wrong.add(fmt.Sprintf("%s was answered %q", id, text))
	}
}

// storm asks n times, from many clients.
func (w *ward) storm(n, from int) {
	var clients sync.WaitGroup
	for i := range 12 {
		clients.Go(func() {
			c := &caller{address: w.address}
			defer c.close()
			for j := range n / 12 {
				w.ask(c, i, from+j)
			}
		})
	}
	clients.Wait()
}

// Servers that fail in every way get no more than a fifth of extra calls, no POST
// twice, and no answer goes to the wrong request.
func TestUpstreamFaults(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	n, rounds := long.Size(240, 1200), long.Size(1, 20)
	n, number := n, 0
	one := func() {
		w.storm(n, number)
		number += n
	}
	worst, worstWay := 0.0, ""
	for range rounds {
		for i, way := range ways {
			sent := w.sent.Load()
			_, before, _ := w.seen.count()
			w.patients[i%3].suffer(t, way, one)
			if i%3 == 0 && (way != "hang" || long.Long()) { // all of them
				w.patients[0].suffer(t, way, func() { w.patients[1].suffer(t, way, func() { w.patients[2].suffer(t, way, one) }) })
			}
			_, after, _ := w.seen.count()
			if share := float64(after-before) / float64(w.sent.Load()-sent); share > worst {
				worst, worstWay = share, way
			}
			one()
		}
	}
	calls, again, twice := w.seen.count()
	slices.Sort(twice)
	if len(twice) > 0 {
		t.Errorf("%d POSTs without a key were sent twice, such as %v", len(twice), twice[:min(5, len(twice))])
	}
	extra := float64(again) / float64(w.sent.Load())
	if extra > 0.2 {
		t.Errorf("%d of %d calls were sent again, want at most a fifth of %d requests", again, calls, w.sent.Load())
	}
	mixed := w.wrong.report(t, "answers were another request's")
	long.Report(t, "R36", "%d requests to servers that fail in %d ways: %d answered well, extra load %.1f %% (at worst %.1f %%, %s), %d POSTs twice, %d answers mixed",
		w.sent.Load(), len(ways), w.good.Load(), 100*extra, 100*worst, worstWay, len(twice), mixed)
}

// rude is what a client can do wrong with a request.
type rude struct {
	name string
	// over HTTP/1.1: bytes, and whether it waits for the answer or goes away, after
	// a time.
	bytes string
	goes  bool
	after time.Duration
}

var rudeOnes = []rude{
	{"no chunk size", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nz\r\n", false, 0},
	{"chunk too long", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!!\r\n0\r\n\r\n", false, 0},
	{"bare LF", "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", false, 0},
	{"bad trailer", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 1\r\n\r\n", false, 0},
	{"short body", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello", true, 30 * time.Millisecond},
	{"short long body", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhello" + strings.Repeat("x", 50_000), true, 30 * time.Millisecond},
	{"short chunks", "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, 30 * time.Millisecond},
	{"short chunk", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello", true, 30 * time.Millisecond},
	{"hesitant", "PUT /brief HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello", true, 400 * time.Millisecond},
	{"hesitant with chunks", "PUT /brief HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, 400 * time.Millisecond},
	{"impatient", "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n", true, 30 * time.Millisecond},
	{"impatient with a body", "PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", true, 30 * time.Millisecond},
	{"half an answer", "GET /big HTTP/1.1\r\nHost: x\r\n\r\n", true, 30 * time.Millisecond},
}

// offend does it once.
func (r *rude) offend(address, prefix string) (status int, err error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	method, rest, _ := strings.Cut(r.bytes, " ")
	if _, err := io.WriteString(conn, method+" "+prefix+rest); err != nil {
		return 0, err
	}
	if r.goes {
		pause(r.after)
		return 0, nil
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// breaking is a body that ends with an error.
type breaking struct{ left int }

func (b *breaking) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errors.New("broken on purpose")
	}
	n := min(b.left, len(p))
	b.left -= n
	return n, nil
}

// offendTwo does wrong over HTTP/2: it breaks a body off, or goes away.
func offendTwo(client *http.Client, url string, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Millisecond)
	defer cancel()
	var body io.Reader
	method, path := http.MethodGet, "slow"
	if n%2 == 0 {
		method, path, body = http.MethodPut, "", &breaking{10 + n%3*40_000}
	}
	r, err := http.NewRequestWithContext(ctx, method, url+path, body)
	if err != nil {
		return
	}
	if resp, err := client.Do(r); err == nil {
		_ = resp.Body.Close()
	}
}

// idleness is a server that has all the time, or answers at length.
func idleness(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/slow"):
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
	case strings.HasSuffix(r.URL.Path, "/big"):
		_, _ = io.Copy(w, io.LimitReader(zeros{}, 10<<20))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// What a client does wrong counts against nobody: no target is put aside, no
// breaker opens, and the client is told.
func TestClientFaults(t *testing.T) {
	t.Parallel()
	n := long.Size(26, 2600)
	one := behind(t, idleness)
	two := httptest.NewUnstartedServer(http.HandlerFunc(idleness))
	two.Config.Protocols = new(http.Protocols)
	two.Config.Protocols.SetUnencryptedHTTP2(true)
	two.Start()
	defer two.Close()
	breaker := &gateway.Breaker{MinCalls: 5, FailureRate: 0.1, Open: time.Minute}
	g := opened(t, &gateway.Config{
		Upstreams: map[string]gateway.Upstream{
			"one": {Targets: []string{one}}, "two": {Targets: []string{two.URL}, Protocol: "h2"},
			"guarded-one": {Targets: []string{one}, Breaker: breaker}, "guarded-two": {Targets: []string{two.URL}, Protocol: "h2", Breaker: breaker},
		},
		Routes: []gateway.Route{
			{Match: "/one/", To: "one"},
			{Match: "/one/brief", To: "one", Timeout: 250 * time.Millisecond},
			{Match: "/two/", To: "two"},
			{Match: "/two/brief", To: "two", Timeout: 250 * time.Millisecond},
			{Match: "/guarded-one/", To: "guarded-one"},
			{Match: "/guarded-one/brief", To: "guarded-one", Timeout: 250 * time.Millisecond},
			{Match: "/guarded-two/", To: "guarded-two"},
			{Match: "/guarded-two/brief", To: "guarded-two", Timeout: 250 * time.Millisecond},
			{Match: "/retried/", To: "guarded-one", Retry: &gateway.Retry{}},
		},
	})
	address := front(t, g)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	var wrong faults
	done := 0
	for _, route := range []string{"/one", "/two", "/guarded-one", "/guarded-two", "/retried"} {
		var clients sync.WaitGroup
		for i := range n {
			done += 2
			clients.Go(func() { offendTwo(&http.Client{Transport: transport}, "http://"+address+route+"/", i) })
			clients.Go(func() {
				r := &rudeOnes[i%len(rudeOnes)]
				status, err := r.offend(address, route)
				if err != nil || !r.goes && status != http.StatusBadRequest {
					wrong.add(fmt.Sprintf("%s%s: status %d, %v", route, r.name, status, err))
				}
			})
			if i%50 == 49 {
				clients.Wait()
			}
		}
		clients.Wait()
		c := &caller{address: address}
		for range 20 {
			if resp, text, err := c.get(route + "/"); err != nil || resp.StatusCode != http.StatusOK {
				wrong.add(fmt.Sprintf("%s: a good request after that: %v %s", route, err, text))
			}
		}
		c.close()
	}
	for _, u := range g.Status().Upstreams {
		for _, at := range u.Targets {
			if at.Failures > 0 || at.Health != "well" {
				t.Errorf("%s is %s after %d failures of %d calls, none of them its own", u.Name, at.Health, at.Failures, at.Calls)
			}
		}
	}
	wrong.report(t, "answers were wrong")
	long.Report(t, "R36", "%d faults of clients, over HTTP/1.1 and HTTP/2, on 5 routes: no target aside, no breaker open", done)
}
