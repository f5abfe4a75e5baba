//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
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
