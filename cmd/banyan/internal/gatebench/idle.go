package gatebench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// spareFiles are left of the limit of open files for all but the connections.
const spareFiles = 500

// idles measures what connections cost that wait for another request. Each time a
// new process is measured, which keeps nothing of what was before.
func (b *bench) idles(ctx context.Context) ([]Result, error) {
	if !slices.Contains(b.Cases, CaseIdle) {
		return nil, nil
	}
	count, err := b.idleCount()
	if err != nil || count == 0 {
		return nil, err
	}
	bytes, names := map[string][]float64{}, []string{}
	for round := range b.Rounds {
		for _, s := range idleSides() {
			if !b.wants(s) || s.program != "" && b.find(s.program) == "" {
				continue
			}
			b.Progress(fmt.Sprintf("round %d of %d: %d idle connections, %s", round+1, b.Rounds, count, s.name))
			each, err := b.idle(ctx, s, count)
			if err != nil {
				return nil, fmt.Errorf("idle connections, %s: %w", s.name, err)
			}
			if len(bytes[s.name]) == 0 {
				names = append(names, s.name)
			}
			bytes[s.name] = append(bytes[s.name], each)
		}
	}
	return idleResults(names, bytes, count), nil
}

// idleCount is how many connections there can be; 0: memory cannot be measured.
func (b *bench) idleCount() (int, error) {
	limit, ok := fileLimit()
	if !ok {
		b.Progress("idle connections: memory of processes is read on Linux only")
		return 0, nil
	}
	if limit <= spareFiles {
		return 0, fmt.Errorf("idle connections: a process may open %d files; more are needed (ulimit -n)", limit)
	}
	if limit-spareFiles < b.Idle {
		b.Progress(fmt.Sprintf("a process may open %d files (ulimit -n): %d idle connections instead of %d", limit, limit-spareFiles, b.Idle))
	}
	return min(b.Idle, limit-spareFiles), nil
}

func idleResults(names []string, bytes map[string][]float64, count int) []Result {
	var out []Result
	for _, name := range names {
		base := "nginx"
		if strings.HasSuffix(name, ", TLS") {
			base += ", TLS"
		}
		if len(bytes[base]) == 0 {
			base = name
		}
		each := median(bytes[name])
		r := Result{Case: CaseIdle, Name: name, BytesEach: each, Connections: count}
		if against := median(bytes[base]); against > 0 {
			r.Ratio = each / against
		}
		out = append(out, r)
	}
	return out
}

// idle returns the bytes of resident memory that each connection costs, garbage
// included. Each has had one answer before.
func (b *bench) idle(ctx context.Context, s side, count int) (float64, error) {
	p, listen, err := b.launch(ctx, s)
	if err != nil {
		return 0, err
	}
	if p == nil {
		return 0, errors.New("its program has gone")
	}
	defer p.stop()
	c := &crowd{target: newTarget(listen)}
	c.target.tls = s.setup.TLS
	defer c.close()
	if err := c.target.ready(ctx); err != nil {
		return 0, fmt.Errorf("%w: %s", err, p.output())
	}
	before, err := resident(p.command.Process.Pid)
	if err != nil {
		return 0, err
	}
	if err := c.grow(ctx, count); err != nil {
		return 0, err
	}
	if err := sleep(ctx, b.Settle); err != nil {
		return 0, err
	}
	after, err := resident(p.command.Process.Pid)
	if err != nil {
		return 0, err
	}
	return float64(after-before) / float64(count), c.alive()
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// crowd is many connections to one server.
type crowd struct {
	target *target

	mu    sync.Mutex
	conns []net.Conn // guarded by mu
}

// grow opens so many connections and asks once over each.
func (c *crowd) grow(ctx context.Context, count int) error {
	const hands = 32
	errs := make([]error, hands)
	var left atomic.Int64
	left.Store(int64(count))
	var all sync.WaitGroup
	for i := range hands {
		all.Go(func() {
			for left.Add(-1) >= 0 && errs[i] == nil {
				var conn net.Conn
				if conn, errs[i] = c.open(ctx); errs[i] == nil {
					c.mu.Lock()
					c.conns = append(c.conns, conn)
					c.mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil { // the others say the same
			return fmt.Errorf("%d of %d connections: %w", len(c.conns), count, err)
		}
	}
	return nil
}

// open opens a connection that has had one answer.
func (c *crowd) open(ctx context.Context) (net.Conn, error) {
	conn, err := c.target.dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.target.ask(conn); err != nil {
		_ = conn.Close() // what was wrong before counts
		return nil, err
	}
	return conn, nil
}

// alive asks over every hundredth connection again: a server that closes idle ones
// would need no memory for them.
func (c *crowd) alive() error {
	for i := 0; i < len(c.conns); i += 100 {
		if err := c.target.ask(c.conns[i]); err != nil {
			return fmt.Errorf("connection %d was not kept: %w", i, err)
		}
	}
	return nil
}

func (c *crowd) close() {
	for _, conn := range c.conns {
		_ = conn.Close() // nothing was written that could be lost
	}
}
