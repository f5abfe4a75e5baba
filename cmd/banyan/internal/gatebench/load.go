package gatebench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// target is what is asked again and again. All answers have the same body, so that
// reading one costs next to nothing.
type target struct {
	address  string
	tls      bool     // only where connections are counted
	requests [][]byte // one at least; connections take them in turn
}

// newTarget returns one that is asked with each of some further headers.
func newTarget(address string, headers ...string) *target {
	t := &target{address: address}
	if len(headers) == 0 {
		headers = []string{""}
	}
	for _, header := range headers {
		t.requests = append(t.requests, []byte("GET "+path+" HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench\r\nAccept: application/json\r\n"+header+"\r\n"))
	}
	return t
}

// dial opens a connection.
func (t *target) dial(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.address)
	if err == nil && t.tls {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // of a process that this one has started, on loopback
	}
	return conn, err
}

// ready asks until the answer is the right one: some proxies listen before they
// know where to forward to.
func (t *target) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := t.probe(ctx)
		if err == nil || sleep(ctx, 50*time.Millisecond) != nil {
			return err
		}
	}
}

// probe asks once, and looks at the answer as a strict client would.
func (t *target) probe(ctx context.Context) error {
	conn, err := t.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second)) // a dead connection shows at the read
	if _, err := conn.Write(t.requests[0]); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || string(body) != answer || resp.ContentLength < 0 || resp.Close {
		return fmt.Errorf("%s answers %d, %.100q, length %d, close %v", t.address, resp.StatusCode, body, resp.ContentLength, resp.Close)
	}
	return nil
}

// ask asks once over a connection.
func (t *target) ask(conn net.Conn) error {
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second)) // a dead connection shows at the read
	if _, err := conn.Write(t.requests[0]); err != nil {
		return err
	}
	return readAnswer(conn, make([]byte, 8<<10))
}

// sample is what a load has measured.
type sample struct {
	rate float64 // answers in a second
	took []time.Duration
}

func (s *sample) quantile(q float64) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	return s.took[int(q*float64(len(s.took)-1))]
}

// load asks over so many connections for a time: as fast as they answer, or, with
// a rate, at fixed times that do not depend on the answers, from which latency is
// then measured. So a pause of the server counts for all that it delays; those of
// them that were due before the end are still asked after it.
func (t *target) load(ctx context.Context, connections int, d time.Duration, rate int) (*sample, error) {
	took, errs := make([][]time.Duration, connections), make([]error, connections)
	var all sync.WaitGroup
	start := time.Now()
	for i := range connections {
		c := &client{request: t.requests[i%len(t.requests)], end: start.Add(d)}
		if rate > 0 {
			c.every = time.Duration(connections) * time.Second / time.Duration(rate)
			c.next = start.Add(c.every * time.Duration(i) / time.Duration(connections))
		}
		all.Go(func() { took[i], errs[i] = c.run(ctx, t.address) })
	}
	all.Wait()
	elapsed := time.Since(start)
	s := &sample{took: slices.Concat(took...)}
	slices.Sort(s.took)
	s.rate = float64(len(s.took)) / elapsed.Seconds()
	return s, errors.Join(errs...)
}

// client is one connection of a load.
type client struct {
	request []byte
	end     time.Time
	every   time.Duration // 0: as fast as it is answered
	next    time.Time     // when the next request is due
}

// grace is how long after the end answers may come that were due before.
const grace = 10 * time.Second

func (c *client) run(ctx context.Context, address string) (took []time.Duration, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(c.end.Add(grace))                                      // a dead connection shows at the read
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) }) // that too
	defer stop()
	buf := make([]byte, 8<<10)
	took = make([]time.Duration, 0, 1<<16)
	for begin, ok := c.due(ctx); ok; begin, ok = c.due(ctx) {
		if _, err := conn.Write(c.request); err != nil {
			return took, err
		}
		if err := readAnswer(conn, buf); err != nil {
			return took, fmt.Errorf("%s: %w", address, err)
		}
		took = append(took, time.Since(begin))
	}
	return took, ctx.Err()
}

// due waits until the next request is due, and returns since when it is. false: no
// more are.
func (c *client) due(ctx context.Context) (time.Time, bool) {
	begin := time.Now()
	if c.every > 0 {
		begin, c.next = c.next, c.next.Add(c.every)
	}
	if !begin.Before(c.end) {
		return begin, false
	}
	if wait := time.Until(begin); wait > 0 {
		time.Sleep(wait)
	}
	return begin, ctx.Err() == nil
}

// readAnswer reads one answer and compares it.
func readAnswer(conn net.Conn, buf []byte) error {
	for n := 0; ; {
		got, err := conn.Read(buf[n:])
		if n += got; err != nil {
			return err
		}
		head := bytes.Index(buf[:n], []byte("\r\n\r\n"))
		if head < 0 || n < head+4+len(answer) {
			continue
		}
		if !bytes.HasPrefix(buf, []byte("HTTP/1.1 200 ")) || string(buf[head+4:n]) != answer {
			return fmt.Errorf("another answer: %.40q", buf)
		}
		return nil
	}
}
