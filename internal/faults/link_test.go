package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// echo answers each line with the same, and tells what it has read.
func echo(t *testing.T) (address string, heard <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	lines := make(chan string, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for r := bufio.NewReader(conn); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					lines <- line
					_, _ = io.WriteString(conn, line)
				}
			}()
		}
	}()
	return listener.Addr().String(), lines
}

func dialled(t *testing.T, l *link) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", l.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn, bufio.NewReader(conn)
}

func opened(t *testing.T, server string) *link {
	t.Helper()
	l, err := newLink(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestLinkHoldsAnswersBack(t *testing.T) {
	t.Parallel()
	server, heard := echo(t)
	l := opened(t, server)
	conn, from := dialled(t, l)
	ended := make(chan error, 1)
	began := time.Now()
	const lasts = 200 * time.Millisecond
	go func() { ended <- l.partition(t.Context(), lasts, false, answers) }()
	for flows := true; flows; {
		l.mu.Lock()
		select {
		case <-l.block[answers]:
		default:
			flows = false
		}
		l.mu.Unlock()
	}
	if _, err := io.WriteString(conn, "one\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != "one\n" {
		t.Fatalf("the server heard %q", got)
	}
	if got, err := from.ReadString('\n'); err != nil || got != "one\n" {
		t.Fatalf("the client heard %q, %v", got, err)
	}
	if waited := time.Since(began); waited < lasts {
		t.Errorf("the answer came after %v, within the partition of %v", waited, lasts)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestLinkCut(t *testing.T) {
	t.Parallel()
	server, _ := echo(t)
	l := opened(t, server)
	conn, from := dialled(t, l)
	if _, err := io.WriteString(conn, "one\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := from.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := l.partition(t.Context(), time.Millisecond, true, requests, answers); err != nil {
		t.Fatal(err)
	}
	if got, err := from.ReadString('\n'); err == nil || errors.Is(err, io.ErrNoProgress) {
		t.Errorf("after the cut the client read %q", got)
	}
	again, from := dialled(t, l)
	if _, err := io.WriteString(again, "two\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := from.ReadString('\n'); err != nil || got != "two\n" {
		t.Errorf("a new connection after the cut: %q, %v", got, err)
	}
}
