package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/banyanhq/banyan/internal/pgtest"
)

// started runs a gateway with a configuration until the test ends, and returns
// its log.
func started(t *testing.T, text string) *log {
	t.Helper()
	file := written(t, text)
	ctx, stop := context.WithCancel(context.Background())
	out := new(log)
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, &env{args: []string{"run", "-c", file}, stdout: io.Discard, stderr: out, now: clock, getenv: os.Getenv})
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != exitDone {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	out.waitFor(t, `"msg":"serving"`)
	return out
}

// Gateways whose limits have one store let no more through together than one
// would, and go on with their share when the store is not there.
func TestLimitsAreShared(t *testing.T) {
	t.Parallel()
	behind := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(behind.Close)
	served := func(t *testing.T, store string, log string) (let int) {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		for range 3 {
			address := freePort(t)
			out := started(t, fmt.Sprintf("listen: %s\nadmin: none\nlimits: {store: %q, gateways: 3}\nupstreams: {app: %q}\nroutes: [{match: /, to: app, limits: [{rate: 1/1h burst 30, per: route, shared: true}]}]\n", address, store, behind.URL))
			if log != "" {
				out.waitFor(t, log)
			}
			for range 40 {
				resp, err := client.Get("http://" + address + "/") //nolint:noctx // a test
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					let++
				}
			}
		}
		return let
	}
	t.Run("store", func(t *testing.T) {
		t.Parallel()
		if let := served(t, pgtest.Database(t), ""); let != 30 {
			t.Errorf("three gateways let %d requests through, want 30", let)
		}
	})
	t.Run("down", func(t *testing.T) {
		t.Parallel()
		if let := served(t, "postgres://127.0.0.1:1/none", "each gateway keeps its share"); let < 27 || let > 33 {
			t.Errorf("three gateways let %d requests through, want about 10 each", let)
		}
	})
}

// The admin API that others can reach has a token, without which nothing starts.
func TestAdminTokenFile(t *testing.T) {
	t.Parallel()
	behind := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer behind.Close()
	token := filepath.Join(t.TempDir(), "token")
	admin := freePort(t)
	text := fmt.Sprintf("listen: %s\nadmin: %s\nadmin_token: %q\nupstreams: {app: %q}\nroutes: [{match: /, to: app}]\n", freePort(t), admin, token, behind.URL)
	if err := os.WriteFile(token, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := command(t, nil, "run", "-c", written(t, text)); got.code != exitFailed {
		t.Errorf("a short token: %+v", got)
	}
	if err := os.WriteFile(token, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	started(t, text)
	if got := command(t, nil, "routes", "--admin", admin); got.code != exitFailed {
		t.Errorf("without the token: %+v", got)
	}
	if got := command(t, nil, "routes", "--admin", admin, "--token", token); got.code != exitDone {
		t.Errorf("with the token: %+v", got)
	}
}
