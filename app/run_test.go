package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/store"
)

// logs is a place for logs that tests can read while they are written.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// journal records what happened in which order.
type journal struct {
	mu   sync.Mutex
	list []string
}

func (j *journal) add(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, what)
}

func (j *journal) entries() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.list)
}

// setup returns an App that is not running, on a free port and in memory unless
// change says otherwise.
func setup(t *testing.T, change func(*app.Config)) (*app.App, *logs) {
	t.Helper()
	out := &logs{}
	c := app.Config{Name: "orders", StoreURL: "mem:", Listen: "127.0.0.1:0", Dir: t.TempDir(), Log: out.logger(), DrainTimeout: 5 * time.Second}
	if change != nil {
		change(&c)
	}
	a, err := app.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return a, out
}

// start runs the App; the returned function stops it and returns Run's answer.
func start(t *testing.T, a *app.App) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() { cancel(); err = <-done })
		return err
	}
	t.Cleanup(func() { _ = stop() })
	if a.Addr() == "" {
		return stop
	}
	eventually(t, "readiness", func() bool {
		select {
		case err := <-done:
			done <- err
			t.Fatalf("Run ended early: %v", err)
		default:
		}
		got, err := send(t, a, http.MethodGet, "/readyz", nil)
		return err == nil && got.code == http.StatusOK
	})
	return stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 seconds", what)
		}
	}
}

type answer struct {
	code   int
	body   string
	header http.Header
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}

func send(t *testing.T, a *app.App, method, path string, header map[string]string) (answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+a.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(body), resp.Header}, err
}

func get(t *testing.T, a *app.App, path string) answer {
	t.Helper()
	got, err := send(t, a, http.MethodGet, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A request that is under way when the drain begins finishes with the store
// open; tasks stop after it; then the databases close.
func TestDrainInOrder(t *testing.T) {
	t.Parallel()
	a, out := setup(t, func(c *app.Config) { c.StoreURL = "sqlite:orders.db" })
	var order journal
	arrived, finish := make(chan struct{}), make(chan struct{})
	a.Handle("POST /orders", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-finish
		_, err := a.Store.Append(r.Context(), "order-1", store.NoStream, banyan.Event{Type: "order.placed", Data: []byte("{}")})
		order.add(fmt.Sprintf("request %v", err))
		w.WriteHeader(http.StatusCreated)
	}))
	a.Go("reader", func(ctx context.Context) error {
		<-ctx.Done()
		_, err := a.Store.Head(context.WithoutCancel(ctx))
		order.add(fmt.Sprintf("reader %v", err))
		return ctx.Err()
	})
	stop := start(t, a)
	code := make(chan int, 1)
	go func() {
		got, err := send(t, a, http.MethodPost, "/orders", nil)
		if err != nil {
			t.Error(err)
		}
		code <- got.code
	}()
	<-arrived
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	eventually(t, "the listener closes", func() bool { _, err := send(t, a, http.MethodGet, "/livez", nil); return err != nil })
	if got := order.entries(); len(got) > 0 {
		t.Errorf("before the request finished: %v", got)
	}
	close(finish)
	if got := <-code; got != http.StatusCreated {
		t.Errorf("request under way = %d, want 201", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if diff := cmp.Diff([]string{"request <nil>", "reader <nil>"}, order.entries()); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if _, err := a.Store.Head(t.Context()); !errors.Is(err, banyan.ErrClosed) {
		t.Errorf("store after Run: %v, want closed", err)
	}
	if err := a.Run(t.Context()); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("second Run = %v, want kind invalid", err)
	}
	if !strings.Contains(out.String(), `"msg":"draining"`) {
		t.Errorf("the log does not say that it drains:\n%s", out)
	}
}

// While DrainDelay lasts, requests are still served and /readyz is red.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	a, out := setup(t, func(c *app.Config) { c.DrainDelay = 500 * time.Millisecond })
	a.Handle("GET /hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	stop := start(t, a)
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	eventually(t, "draining", func() bool { return strings.Contains(out.String(), `"msg":"draining"`) })
	if got := get(t, a, "/hello"); got.body != "hello" {
		t.Errorf("request during the delay = %+v", got)
	}
	if got := get(t, a, "/readyz"); got.code != http.StatusServiceUnavailable || !strings.Contains(got.body, `"draining"`) {
		t.Errorf("/readyz during the delay = %+v", got)
	}
	if got := get(t, a, "/livez"); got.code != http.StatusOK {
		t.Errorf("/livez during the delay = %+v", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A request that does not end is cut off, its context cancelled first.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	a, out := setup(t, func(c *app.Config) { c.DrainTimeout = 50 * time.Millisecond })
	arrived, ended := make(chan struct{}), make(chan struct{})
	a.Handle("GET /slow", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		defer close(ended)
		close(arrived)
		<-r.Context().Done()
	}))
	stop := start(t, a)
	go func() { _, _ = send(t, a, http.MethodGet, "/slow", nil) }()
	<-arrived
	if err := stop(); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	<-ended
	if !strings.Contains(out.String(), "requests were cut off") {
		t.Errorf("the log does not say that requests were cut off:\n%s", out)
	}
}

func TestStuckTaskIsNamed(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, func(c *app.Config) { c.DrainTimeout = 50 * time.Millisecond })
	release := make(chan struct{})
	ended := make(chan struct{})
	a.Go("stubborn", func(context.Context) error { defer close(ended); <-release; return nil })
	a.Go("obedient", func(ctx context.Context) error { <-ctx.Done(); return nil })
	err := start(t, a)()
	if err == nil || !strings.HasSuffix(err.Error(), "did not stop within 50ms of being told: stubborn") {
		t.Errorf("Run = %v, want the name of the task that hangs", err)
	}
	close(release)
	<-ended
}

func TestFirstFailureStopsAll(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		run  func() error
		want string
	}{
		{"error", func() error { return errors.New("boom") }, "app: run orders: poller: boom"},
		{"panic", func() error { panic("boom") }, "app: run orders: poller: panic: boom"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, out := setup(t, nil)
			cause := make(chan error, 1)
			a.Go("poller", func(context.Context) error { return test.run() })
			a.Go("job", func(context.Context) error { return nil }) // finishing is no failure
			a.Go("other", func(ctx context.Context) error { <-ctx.Done(); cause <- context.Cause(ctx); return ctx.Err() })
			err := a.Run(t.Context())
			if err == nil || err.Error() != test.want {
				t.Errorf("Run = %v, want %s", err, test.want)
			}
			if got := <-cause; got == nil || !strings.HasPrefix(got.Error(), "poller: ") {
				t.Errorf("cause seen by the others = %v, want the poller's failure", got)
			}
			if !strings.Contains(out.String(), "stopping after a failure") {
				t.Errorf("the log does not say why it stops:\n%s", out)
			}
		})
	}
}

func TestMistakesStopRun(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, nil)
	a.Handle("GET /x", http.NotFoundHandler())
	a.Handle("GET /x", http.NotFoundHandler())
	err := a.Run(t.Context())
	if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), `handle "GET /x"`) {
		t.Errorf("Run = %v, want the pattern that is registered twice", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	busy, _ := setup(t, nil)
	for _, test := range []struct {
		name   string
		config app.Config
		kind   error
		want   string
	}{
		{"no name", app.Config{}, banyan.ErrInvalid, `name ""`},
		{"address in use", app.Config{StoreURL: "mem:", Listen: busy.Addr()}, banyan.ErrUnavailable, "choose another address"},
		{"unknown option", app.Config{StoreURL: "sqlite:x.db?unsfe=no-sync"}, banyan.ErrInvalid, `did you mean "unsafe"?`},
		{"unknown unsafe", app.Config{StoreURL: "sqlite:x.db?unsafe=yes"}, banyan.ErrInvalid, "only unsafe=no-sync is known"},
		{"path in memory", app.Config{StoreURL: "mem:x"}, banyan.ErrInvalid, "takes no path"},
		{"max_conns", app.Config{StoreURL: "postgres://h/d?max_conns=many"}, banyan.ErrInvalid, "max_conns=many"},
		{"password", app.Config{StoreURL: "postgres://u:" + secret + "@127.0.0.1:1/d?connect_timeout=1"}, nil, "postgres://u:xxxxx@127.0.0.1:1/d"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := test.config
			if test.name != "no name" {
				c.Name = "orders"
			}
			if c.Listen == "" {
				c.Listen = "none"
			}
			c.Dir, c.Log = t.TempDir(), slog.New(slog.DiscardHandler)
			_, err := app.New(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), test.want) || (test.kind != nil && !errors.Is(err, test.kind)) {
				t.Errorf("New = %v, want kind %v and %q", err, test.kind, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "p4ss") {
				t.Errorf("the error has the password: %v", err)
			}
		})
	}
}

// Four services in one process share nothing.
func TestSeveralApps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"orders", "inventory", "catalogue", "analytics"} {
		a, _ := setup(t, func(c *app.Config) { c.Name, c.Dir, c.StoreURL = name, dir, "" })
		stop := start(t, a)
		r, err := a.Store.Append(t.Context(), "x-1", store.NoStream, banyan.Event{Type: "x.happened", Data: []byte("1")})
		if err != nil || r.Events[0].Source != "/"+name {
			t.Errorf("%s: append = %+v, %v", name, r, err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil || len(files) != 4 {
		t.Errorf("files = %v, %v; want one for each service", files, err)
	}
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}
