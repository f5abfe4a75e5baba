package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// link is the network between one process and the server: it carries every
// byte until it is broken.
type link struct {
	listener net.Listener
	server   string // host:port
	carried  sync.WaitGroup

	mu    sync.Mutex
	conns map[*net.TCPConn]bool // guarded by mu
	block [2]chan struct{}      // guarded by mu; of each direction: closed means it flows
}

// direction of the bytes on a link.
type direction int

const (
	requests direction = iota
	answers
)

func newLink(server string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{listener: listener, server: server, conns: map[*net.TCPConn]bool{}}
	for d := range l.block {
		l.block[d] = make(chan struct{})
		close(l.block[d])
	}
	l.carried.Go(l.accept)
	return l, nil
}

func (l *link) address() string { return l.listener.Addr().String() }

func (l *link) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.carried.Go(func() { l.carry(conn.(*net.TCPConn)) })
	}
}

func (l *link) carry(client *net.TCPConn) {
	defer client.Close()
	if !l.keep(client) {
		return
	}
	defer l.drop(client)
	l.wait(requests) // nor does a new connection cross a partition
	conn, err := net.DialTimeout("tcp", l.server, time.Second)
	if err != nil {
		return // the server is down: the client sees its connection end
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	if !l.keep(server) {
		return
	}
	defer l.drop(server)
	var ways sync.WaitGroup
	ways.Go(func() { l.copy(server, client, requests) })
	ways.Go(func() { l.copy(client, server, answers) })
	ways.Wait()
}

// copy passes bytes on while its direction flows. What it has read and not yet
// passed on is lost if the link is cut.
func (l *link) copy(to, from *net.TCPConn, d direction) {
	defer to.CloseWrite()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			l.wait(d)
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *link) wait(d direction) {
	l.mu.Lock()
	flows := l.block[d]
	l.mu.Unlock()
	<-flows
}

func (l *link) keep(c *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		return false
	}
	l.conns[c] = true
	return true
}

func (l *link) drop(c *net.TCPConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// partition stops the bytes of the named directions for a time. Then they flow
// again, or, if cut is set, every connection is reset and what waited is lost.
func (l *link) partition(ctx context.Context, d time.Duration, cut bool, ways ...direction) error {
	l.mu.Lock()
	for _, w := range ways {
		l.block[w] = make(chan struct{})
	}
	l.mu.Unlock()
	var err error
	select {
	case <-time.After(d):
	case <-ctx.Done():
		err = ctx.Err()
	}
	if cut {
		l.cut()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range ways {
		close(l.block[w])
	}
	return err
}

// cut resets every connection.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.SetLinger(0) // a reset; it may be gone
		_ = c.Close()
	}
}

func (l *link) close() error {
	err := l.listener.Close()
	l.cut()
	l.mu.Lock()
	l.conns = nil
	l.mu.Unlock()
	l.carried.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
