//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/banyanhq/banyan/internal/long"
)

// A hangup hands the listening socket over to a new process: no request fails and
// no answer is cut, however often.
func TestHandOver(t *testing.T) {
	t.Parallel()
	times := long.Size(4, 100)
	text := strings.Repeat("0123456789", 30_000)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
	defer behind.Close()
	file := written(t, fmt.Sprintf("listen: 127.0.0.1:0\nadmin: none\naccess_log: false\nupstreams: {app: %q}\nroutes: [{match: /, to: app}]\n", behind.URL))
	pidFile := filepath.Join(t.TempDir(), "pid")
	var out log
	first := exec.CommandContext(t.Context(), os.Args[0], "run", "-c", file, "--pid-file", pidFile)
	first.Env, first.Stdout, first.Stderr = append(os.Environ(), "BANYAN_TEST_AS_COMMAND=1"), &out, &out
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	pid := awaitPID(t, pidFile, 0)
	address := servingAt(t, &out)

	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var answers, wrong atomic.Int64
	for i := range 4 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				if err := whole(client, "http://"+address+"/", text); err != nil && wrong.Add(1) < 5 {
					t.Error(err)
				}
				answers.Add(1)
			}
		})
	}
	for range times {
		before := answers.Load()
		hangUp(t, pid)
		pid = awaitPID(t, pidFile, pid)
		for end := time.Now().Add(20 * time.Second); answers.Load() < before+20 && time.Now().Before(end); {
			<-time.After(time.Millisecond)
		}
	}
	stop()
	clients.Wait()
	if answers.Load() < int64(20*times) {
		t.Errorf("%d answers through %d processes: %s", answers.Load(), times+1, &out)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := first.Wait(); err != nil {
		t.Errorf("the first process: %v: %s", err, &out)
	}
	long.Report(t, "R32", "%d hand-overs of the socket: %d answers of %d bytes, %d refused or cut", times, answers.Load(), len(text), wrong.Load())
}

// whole asks once, and wants this answer.
func whole(client *http.Client, url, text string) error {
	resp, err := client.Post(url, "text/plain", strings.NewReader("once")) //nolint:noctx // a test; a POST is not sent again
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(got) != text {
		return fmt.Errorf("status %d, %d bytes, %w", resp.StatusCode, len(got), err)
	}
	return nil
}

func hangUp(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// servingAt waits until a process says where it serves.
func servingAt(t *testing.T, out *log) string {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(time.Millisecond) {
		if at := regexp.MustCompile(`"msg":"serving","address":"([^"]+)"`).FindStringSubmatch(out.String()); at != nil {
			return at[1]
		}
	}
	t.Fatalf("nothing serves: %s", out)
	return ""
}

// awaitPID waits until the file has another process in it.
func awaitPID(t *testing.T, file string, old int) int {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(time.Millisecond) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if pid, err := strconv.Atoi(string(bytes.TrimSpace(text))); err == nil && pid != old {
			return pid
		}
	}
	t.Fatal("no new process serves")
	return 0
}

// A hangup hands the address for plain HTTP over too: nobody is refused there, and
// the last process redirects as the first did.
func TestHandOverOfPlainHTTP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key)
	// Two names of one address: a listener is handed over by what it was asked for as.
	file := written(t, fmt.Sprintf("listen: 127.0.0.1:0\nredirect_http: localhost:0\nadmin: none\naccess_log: false\ntls: {cert: %q, key: %q}\nroutes: [{match: /, redirect: 'https://elsewhere.test'}]\n", cert, key))
	pidFile := filepath.Join(t.TempDir(), "pid")
	var out log
	first := exec.CommandContext(t.Context(), os.Args[0], "run", "-c", file, "--pid-file", pidFile)
	first.Env, first.Stdout, first.Stderr = append(os.Environ(), "BANYAN_TEST_AS_COMMAND=1"), &out, &out
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	pid := awaitPID(t, pidFile, 0)
	_, port, _ := net.SplitHostPort(servingAt(t, &out))
	at := regexp.MustCompile(`"redirect_http":"([^"]+)"`).FindStringSubmatch(out.String())
	if at == nil {
		t.Fatalf("nothing serves plain HTTP: %s", &out)
	}
	plain := at[1]
	name, _, _ := net.SplitHostPort(plain)
	secure := net.JoinHostPort(name, port)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	asked := func() error {
		resp, err := client.Post("http://"+plain+"/a?b", "text/plain", strings.NewReader("once")) //nolint:noctx // a test; a POST is not sent again
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if got := resp.Header.Get("Location"); got != "https://"+secure+"/a?b" {
			return fmt.Errorf("status %d to %q", resp.StatusCode, got)
		}
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	var answers atomic.Int64
	var clients sync.WaitGroup
	clients.Go(func() {
		for ctx.Err() == nil {
			if err := asked(); err != nil {
				t.Error(err)
				return
			}
			answers.Add(1)
		}
	})
	for range 2 {
		before := answers.Load()
		hangUp(t, pid)
		pid = awaitPID(t, pidFile, pid)
		for end := time.Now().Add(20 * time.Second); answers.Load() < before+20 && !t.Failed() && time.Now().Before(end); {
			<-time.After(time.Millisecond)
		}
	}
	stop()
	clients.Wait()
	if err := asked(); err != nil {
		t.Errorf("the last process: %v", err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := first.Wait(); err != nil {
		t.Errorf("the first process: %v: %s", err, &out)
	}
}

// writeCertificate writes one and its key.
func writeCertificate(t *testing.T, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"shop.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
