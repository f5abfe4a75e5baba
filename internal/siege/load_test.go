package siege_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/banyanhq/banyan/internal/gatetest"
)

// caller keeps one connection and sends requests over it, byte for byte.
type caller struct {
	address string
	conn    net.Conn
	in      *bufio.Reader
}

// patience is for everything that should take milliseconds.
const patience = 20 * time.Second

func (c *caller) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// dial makes the connection, if there is none.
func (c *caller) dial() error {
	if c.conn != nil {
		return nil
	}
	conn, err := net.DialTimeout("tcp", c.address, patience)
	if err != nil {
		return err
	}
	c.conn, c.in = conn, bufio.NewReader(conn)
	return nil
}

// do sends a request and reads its answer. begun: a byte of the answer came.
func (c *caller) do(request string) (resp *http.Response, body string, begun bool, err error) {
	if err := c.dial(); err != nil {
		return nil, "", false, err
	}
	defer func() {
		if err != nil || resp.Close {
			c.close()
		}
	}()
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c.conn, request); err != nil {
		return nil, "", false, err
	}
	if _, err := c.in.Peek(1); err != nil {
		return nil, "", false, err
	}
	resp, err = http.ReadResponse(c.in, &http.Request{Method: strings.Fields(request)[0]})
	if err != nil {
		return nil, "", true, err
	}
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), true, err
}

// get sends a GET without a body.
func (c *caller) get(target string) (*http.Response, string, error) {
	resp, body, _, err := c.do("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")
	return resp, body, err
}

// behind is a server behind the gateway.
func behind(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	return gatetest.Behind(t, h)
}

// latencies of good requests.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration // guarded by mu
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

func (l *latencies) quantile(q float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return 0
	}
	slices.Sort(l.all)
	return l.all[int(q*float64(len(l.all)-1))]
}

// faults collects what was wrong, the first few in words.
type faults struct {
	mu    sync.Mutex
	count int      // guarded by mu
	first []string // guarded by mu
}

func (f *faults) add(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count++; len(f.first) < 10 {
		f.first = append(f.first, text)
	}
}

// report fails the test if there are any, and returns how many.
func (f *faults) report(t testing.TB, what string) int {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count > 0 {
		t.Errorf("%d %s, such as:\n%s", f.count, what, strings.Join(f.first, "\n"))
	}
	return f.count
}
