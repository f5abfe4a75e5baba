package siege_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan/internal/long"
)

// trickle answers /long with pieces over a time, and all else with what it got.
func trickle(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if !strings.HasPrefix(r.URL.Path, "/long") {
		_, _ = fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, len(text))
		return
	}
	piece := strings.Repeat("x", 16<<10)
	for range longPieces {
		_, _ = io.WriteString(w, piece)
		_ = http.NewResponseController(w).Flush()
		pause(10 * time.Millisecond)
	}
}

const longPieces = 16

// pair are two gateways that a client may ask, and what clients find.
type pair struct {
	addresses [2]string
	over      chan struct{}
	asked     atomic.Int64
	moved     atomic.Int64 // to the other one, because one was gone
	posts     atomic.Int64 // whose fate nobody knows
	cut       faults
	refused   faults
}

// client asks one of the two, and the other one if that cannot hurt.
func (p *pair) client(id int) {
	both := [2]caller{{address: p.addresses[0]}, {address: p.addresses[1]}}
	defer both[0].close()
	defer both[1].close()
	for n := id; ; n++ {
		select {
		case <-p.over:
			return
		default:
		}
		p.ask(&both, n)
		p.asked.Add(1)
	}
}

func (p *pair) ask(both *[2]caller, n int) {
	request, want := requestOf(n)
	var errs []error
	for attempt := range 4 {
		c := &both[(n+attempt)%2]
		reused := c.conn != nil
		if err := c.dial(); err != nil {
			errs = append(errs, err)
			continue
		}
		resp, body, begun, err := c.do(request)
		switch {
		case err != nil && begun:
			p.cut.add(fmt.Sprintf("%s: %d bytes, then %v", want, len(body), err))
			return
		case err == nil && resp.StatusCode == http.StatusOK && strings.HasPrefix(body, want):
			if want == "x" && len(body) != longPieces*16<<10 {
				p.cut.add(fmt.Sprintf("%d bytes of %d", len(body), longPieces*16<<10))
			}
			return
		case err == nil:
			p.refused.add(fmt.Sprintf("%s: status %d %s", want, resp.StatusCode, body))
			return
		case strings.HasPrefix(request, "POST"):
			p.posts.Add(1) // whether it was done only the server knows
			return
		}
		errs = append(errs, fmt.Errorf("reused %v: %w", reused, err))
		p.moved.Add(1)
	}
	p.refused.add(want + ": " + errors.Join(errs...).Error())
}

// requestOf returns the nth request and how its answer begins.
func requestOf(n int) (request, want string) {
	path := "/" + strconv.Itoa(n)
	switch n % 16 {
	case 0:
		return "GET /long HTTP/1.1\r\nHost: x\r\n\r\n", "x"
	case 1:
		return "PUT " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n" + strings.Repeat("y", 65536), "PUT " + path + " 65536"
	case 2:
		return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "POST " + path + " 5"
	case 3:
		return "DELETE " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "DELETE " + path + " 0"
	}
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n", "GET " + path + " 0"
}

// Two gateways that are restarted in turn answer everything that a client may
// send twice, and what is under way when one is told to end is answered whole.
func TestDrain(t *testing.T) {
	t.Parallel()
	restarts := long.Size(4, 100)
	url := behind(t, trickle)
	p := &pair{over: make(chan struct{})}
	var files [2]string
	var running [2]*process
	for i := range running {
		p.addresses[i] = freePort(t)
		files[i] = write(t, "listen: "+p.addresses[i]+"\nadmin: none\naccess_log: false\nupstreams: {u: '"+url+"'}\nroutes: [{match: /, to: u}]\n")
		running[i] = start(t, files[i])
	}
	var clients sync.WaitGroup
	for i := range 24 {
		clients.Go(func() { p.client(i * 7) })
	}
	var slowest time.Duration
	for n := range restarts {
		since := p.asked.Load()
		for p.asked.Load() < since+300 {
			pause(time.Millisecond)
		}
		begin := time.Now()
		if err := running[n%2].stop(t); err != nil {
			t.Errorf("restart %d: it ended with %v: %s", n, err, running[n%2].log())
		}
		slowest = max(slowest, time.Since(begin))
		running[n%2] = start(t, files[n%2])
	}
	close(p.over)
	clients.Wait()
	for _, r := range running {
		if err := r.stop(t); err != nil {
			t.Errorf("it ended with %v: %s", err, r.log())
		}
	}
	cut, refused := p.cut.report(t, "answers were cut off"), p.refused.report(t, "requests got no answer")
	long.Report(t, "R32", "%d restarts of two gateways under %d requests: %d cut off, %d refused, %d moved to the other one, %d POSTs of unknown fate; the longest drain took %v",
		restarts, p.asked.Load(), cut, refused, p.moved.Load(), p.posts.Load(), slowest.Round(time.Millisecond))
}
