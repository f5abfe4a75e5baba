package gatebench_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/banyanhq/banyan/cmd/banyan/internal/gatebench"
)

// stub is a server that answers as the one behind does, but not while it is told
// to hold. It returns its address, and what it was asked with.
type stub struct {
	address string

	mu    sync.Mutex
	until time.Time       // guarded by mu
	heads map[string]bool // guarded by mu
}

func startStub(t *testing.T) *stub {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{address: l.Addr().String(), heads: map[string]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return s
}

func (s *stub) serve(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // a test's
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		s.mu.Lock()
		wait := time.Until(s.until)
		s.heads[r.Header.Get("Authorization")] = true
		s.mu.Unlock()
		if wait > 0 {
			<-time.After(wait)
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(gatebench.Answer), gatebench.Answer)
	}
}

// At a fixed rate every request that was due is measured, from when it was due: a
// server that stops at the end of a round does not get rid of those that it delays.
func TestLatencyOmitsNothing(t *testing.T) {
	t.Parallel()
	s := startStub(t)
	const rate, connections, d = 400, 4, 500 * time.Millisecond
	s.until = time.Now().Add(d + 300*time.Millisecond) // from the first request
	took, err := gatebench.Load(t.Context(), s.address, connections, d, rate)
	if err != nil {
		t.Fatal(err)
	}
	if want := int(rate * d.Seconds()); len(took) != want {
		t.Errorf("%d requests were measured, want the %d that were due", len(took), want)
	}
	if middle := took[len(took)/2]; middle < 400*time.Millisecond || middle > 2*time.Second {
		t.Errorf("the median is %s, want about 550 ms", middle)
	}
}

// Where there are tokens each connection has its own: one for all would find every
// check of it, and its bucket, in the processor's cache.
func TestConnectionsHaveTheirTokens(t *testing.T) {
	t.Parallel()
	s := startStub(t)
	headers, err := gatebench.Tokens(5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gatebench.Load(t.Context(), s.address, 5, 50*time.Millisecond, 0, headers...); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heads) != 5 || s.heads[""] {
		t.Errorf("%d tokens came over 5 connections", len(s.heads))
	}
}

// An interrupted load ends at once.
func TestLoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := startStub(t)
	for _, rate := range []int{0, 100} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		began := time.Now()
		_, _ = gatebench.Load(ctx, s.address, 2, time.Minute, rate)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("rate %d: it went on for %s", rate, took)
		}
	}
}

// Of an even number of rounds neither of the two in the middle is better.
func TestMedian(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{1, 3}, 2}, {[]float64{9, 1, 4}, 4}, {[]float64{4, 1, 9, 2}, 3}} {
		if got := gatebench.Median(tt.values...); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.values, got, tt.want)
		}
	}
}

// Programs in Go get the collector's setting that Banyan has: it is worth more than
// some of the differences that are measured.
func TestPeersCollectAsWeDo(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the program is a shell script")
	}
	t.Setenv("GOGC", "17")
	for _, name := range []string{"caddy", "traefik", "lura"} {
		dir := t.TempDir()
		script := "#!/bin/sh\necho collects at $GOGC >&2\nexit 1\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil { //nolint:gosec // it is a program
			t.Fatal(err)
		}
		o := short(gatebench.CaseProxy)
		o.Peers, o.PeersDir, o.Only = true, dir, []string{name}
		if _, err := gatebench.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "collects at 400") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each proxy tells the server behind whom it serves, and for which host: those that
// do not by themselves are told to.
func TestProxiesForwardTheClient(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"nginx":   {"proxy_set_header Host $http_host", "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for", "proxy_set_header X-Forwarded-Proto $scheme"},
		"haproxy": {"option forwardfor", "X-Forwarded-Proto"},
	} {
		files, err := gatebench.Configs(name, gatebench.Setup{})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range files {
			for _, line := range want {
				if !strings.Contains(text, line) {
					t.Errorf("%s: no %q", name, line)
				}
			}
		}
	}
}
