package siege_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/gatetest"
	"github.com/banyanhq/banyan/internal/http1"
	"github.com/banyanhq/banyan/internal/long"
)

// patienceOf a gateway with slow clients.
type patienceOf struct {
	head time.Duration // for a head
	body time.Duration // for a body that hardly moves
	read time.Duration // for an answer that nobody takes
}

// slowGateway returns the address of a gateway and how long it bears slow clients:
// in a long run a process with the limits that users have, else one that is
// quicker to lose its patience.
func slowGateway(t *testing.T, url string) (string, patienceOf) {
	t.Helper()
	if long.Long() {
		p := start(t, write(t, "listen: 127.0.0.1:0\nadmin: none\naccess_log: false\nupstreams: {u: '"+url+"'}\nroutes: [{match: /, to: u}]\n"))
		// A piece of an answer is at most 32 kB, its head and its frame.
		return p.addr, patienceOf{10 * time.Second, 5 * time.Second, 5*time.Second + 36<<10/240*time.Second}
	}
	g := opened(t, &gateway.Config{Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{url}}}, Routes: []gateway.Route{{Match: "/", To: "u"}}})
	address := gatetest.Serve(t, g, &http1.Options{HeadTimeout: 300 * time.Millisecond, Grace: 300 * time.Millisecond, MinRate: 1 << 20})
	return address, patienceOf{300 * time.Millisecond, 300 * time.Millisecond, 300 * time.Millisecond}
}

func opened(t *testing.T, c *gateway.Config) *gateway.Gateway {
	t.Helper()
	g, err := gateway.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// slowness is one kind of slow client.
type slowness struct {
	name  string
	begin string // what it sends at once
	drop  string // what it sends again and again
	limit time.Duration
}

// cut reports how long a slow client keeps its connection.
func (s *slowness) cut(address string, every time.Duration) (time.Duration, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	begin := time.Now()
	if _, err := io.WriteString(conn, s.begin); err != nil {
		return 0, err
	}
	piece := make([]byte, 1024)
	for time.Since(begin) < s.limit+patience {
		_ = conn.SetReadDeadline(time.Now().Add(every))
		_, err := conn.Read(piece)
		var late net.Error
		if err == nil || errors.As(err, &late) && late.Timeout() {
			if err == nil {
				continue // it is told why
			}
			if _, err = io.WriteString(conn, s.drop); err == nil {
				continue
			}
		}
		return time.Since(begin), nil
	}
	return 0, fmt.Errorf("%s: it still has its connection after %v", s.name, time.Since(begin))
}

// unread is the answer that slow readers ask for, and when the server behind
// could send no more of it.
type unread struct {
	mu    sync.Mutex
	took  []time.Duration // guarded by mu
	begun sync.WaitGroup
}

func (u *unread) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/huge" {
		_, _ = io.Copy(w, r.Body)
		_, _ = io.WriteString(w, "good")
		return
	}
	defer u.begun.Done()
	begin := time.Now()
	piece := []byte(strings.Repeat("x", 64<<10))
	for {
		if _, err := w.Write(piece); err != nil {
			break
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.took = append(u.took, time.Since(begin))
}

// slowOnes are slow clients of all kinds, and what became of them.
type slowOnes struct {
	kinds []slowness
	every time.Duration // between two of their drops
	took  []latencies   // by kind
	wrong faults
}

func newSlowOnes(limits patienceOf) *slowOnes {
	kinds := []slowness{
		{"no head", "GET", "", limits.head},
		{"slow head", "GET / HTTP/1.1\r\nHost: x\r\n", "a: b\r\n", limits.head},
		{"slow body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", "x", limits.body},
		{"slow chunks", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", limits.body},
		{"slow chunk line", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a=", "b", limits.body},
		{"slow trailer", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: b", "c", limits.body},
	}
	return &slowOnes{kinds: kinds, every: min(time.Second, limits.head/6), took: make([]latencies, len(kinds))}
}

// visit lets n of them call a gateway, and a fourth as many that read nothing of
// their answers, and returns when all were cut off.
func (s *slowOnes) visit(t *testing.T, address string, n int, u *unread) {
	t.Helper()
	var all sync.WaitGroup
	for i := range n {
		k := i % len(s.kinds)
		all.Go(func() {
			d, err := s.kinds[k].cut(address, s.every)
			if err != nil {
				s.wrong.add(err.Error())
				return
			}
			s.took[k].add(d)
		})
	}
	for range n / 4 {
		conn, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		u.begun.Add(1)
		if _, err := io.WriteString(conn, "GET /huge HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	u.begun.Wait()
}

// Clients that are too slow lose their connections in time, and those that are
// not are served meanwhile. How fast is compared with the same slow clients at
// another gateway: they need the machine too.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	n := long.Size(60, 2000)
	var u, others unread
	address, limits := slowGateway(t, behind(t, u.serve))
	elsewhere, _ := slowGateway(t, behind(t, others.serve))
	good := &goodTraffic{address: address}
	alone := good.during(t, func() { pause(long.Duration(100*time.Millisecond, 20*time.Second)) })
	beside := good.during(t, func() { newSlowOnes(limits).visit(t, elsewhere, n, &others) })
	slow := newSlowOnes(limits)
	meanwhile := good.during(t, func() { slow.visit(t, address, n, &u) })
	slow.wrong.report(t, "slow clients were not cut off")
	good.wrong.report(t, "good requests failed")
	text := ""
	for i := range slow.kinds {
		text += judge(t, slow.kinds[i].name, &slow.took[i], slow.kinds[i].limit)
	}
	text += judge(t, "no read", &latencies{all: u.took}, limits.read)
	p99 := func(l *latencies) time.Duration { return l.quantile(0.99).Round(10 * time.Microsecond) }
	long.Report(t, "R35", "%d slow clients, %d that read nothing: %sgood p99 %v alone, %v while they are at another gateway, %v while they are at this one (%d requests)",
		n, n/4, text, p99(alone), p99(beside), p99(meanwhile), len(meanwhile.all))
}

// judge says when clients of a kind were cut off. One second is allowed, and in
// short runs, which share the machine with others, some more.
func judge(t *testing.T, name string, took *latencies, limit time.Duration) string {
	t.Helper()
	slack := 5 * time.Second
	if long.Long() {
		slack = time.Second
	}
	last := took.quantile(1)
	if last > limit+slack {
		t.Errorf("%s: cut off after %v, want at most %v and a second", name, last, limit)
	}
	return fmt.Sprintf("%s cut after %v to %v of %v; ", name, took.quantile(0).Round(10*time.Millisecond), last.Round(10*time.Millisecond), limit)
}

// goodTraffic are clients that do what they should.
type goodTraffic struct {
	address string
	wrong   faults
}

// during returns how long their requests take while f runs.
func (g *goodTraffic) during(t *testing.T, f func()) *latencies {
	t.Helper()
	var took latencies
	var clients sync.WaitGroup
	over := make(chan struct{})
	for range 4 {
		clients.Go(func() {
			c := &caller{address: g.address}
			defer c.close()
			for {
				select {
				case <-over:
					return
				default:
					g.one(c, &took)
					pause(time.Millisecond)
				}
			}
		})
	}
	defer clients.Wait()
	defer close(over)
	f()
	return &took
}

func (g *goodTraffic) one(c *caller, l *latencies) {
	begin := time.Now()
	resp, body, _, err := c.do("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
	if err != nil || resp.StatusCode != http.StatusOK || body != "hellogood" {
		g.wrong.add(fmt.Sprintf("%v %q", err, body))
		return
	}
	l.add(time.Since(begin))
}
