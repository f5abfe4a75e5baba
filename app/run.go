package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/banyanhq/banyan"
)

var errDrained = errors.New("the service is stopping")

// Run serves until ctx ends or something fails, drains, closes the databases and
// returns nil or the first failure. It can be called once.
func (a *App) Run(ctx context.Context) error {
	if !a.state.CompareAndSwap(stateNew, stateRunning) {
		return fmt.Errorf("app: run %s: %w: an App runs once; make another with New", a.Name, banyan.ErrInvalid)
	}
	err := errors.Join(a.mistakes...)
	if err == nil {
		err = a.serve(ctx)
	}
	err = errors.Join(err, a.release())
	a.state.Store(stateClosed)
	if err != nil {
		return fmt.Errorf("app: run %s: %w", a.Name, a.secrets.error(err))
	}
	a.Log.Info("stopped")
	return nil
}

// serve runs everything in two circles: requests end before projections and
// functions, which requests may wait for, are told to stop. The context of a
// failed group says only that something failed: tasks keep theirs until then.
func (a *App) serve(ctx context.Context) error {
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(errDrained)
	group, failed := errgroup.WithContext(work)
	running := &names{}
	for _, t := range a.tasks {
		running.add(t.name)
		group.Go(func() error { defer running.remove(t.name); return a.runTask(work, t) })
	}
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server := a.server(requests)
	if a.listener != nil {
		group.Go(func() error {
			if err := server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("http server: %w", err)
			}
			return nil
		})
	}
	a.health.start()
	a.Log.Info("serving", "address", a.Addr(), "store", Redact(a.config.StoreURL), "views", Redact(a.config.ViewsURL))
	select {
	case <-ctx.Done():
		a.Log.Info("draining", "reason", context.Cause(ctx).Error())
	case <-failed.Done():
		a.Log.Error("stopping after a failure", "error", a.secrets.error(context.Cause(failed)))
	}
	a.health.drain()
	a.pause(failed)
	a.finishRequests(server, cut)
	stop(cmp.Or(context.Cause(failed), errDrained))
	return a.join(group, running)
}

// pause waits for load balancers to see the red /readyz.
func (a *App) pause(failed context.Context) {
	if a.config.DrainDelay == 0 || a.listener == nil {
		return
	}
	timer := time.NewTimer(a.config.DrainDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-failed.Done(): // a broken service should not take more requests
	}
}

// finishRequests stops accepting and waits for the requests under way; those
// that take too long have their context cancelled and their connection closed.
func (a *App) finishRequests(server *http.Server, cut context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), a.config.DrainTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		a.Log.Warn("requests were cut off: they took longer than the drain timeout", "drain_timeout", a.config.DrainTimeout.String())
		cut()
		_ = server.Close() // it is over for these connections in any case
	}
}

// join waits for the tasks. One that does not stop is named: to hang without a
// word would hide which.
func (a *App) join(group *errgroup.Group, running *names) error {
	done := make(chan error, 1)
	go func() { done <- group.Wait() }()
	timer := time.NewTimer(a.config.DrainTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("drain: %w: did not stop within %v of being told: %s", context.DeadlineExceeded, a.config.DrainTimeout, running)
	}
}

func (a *App) runTask(ctx context.Context, t task) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.Log.Error("panic", "task", t.name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("%s: panic: %v", t.name, p)
		}
	}()
	err = t.run(ctx)
	if err == nil || (ctx.Err() != nil && banyan.Stopped(err)) {
		return nil
	}
	return fmt.Errorf("%s: %w", t.name, err)
}

func (a *App) server(requests context.Context) *http.Server {
	return &http.Server{
		Handler:           a.Handler(),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug),
	}
}

// names is the set of tasks that run.
type names struct {
	mu  sync.Mutex
	set []string // guarded by mu
}

func (n *names) add(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.set = append(n.set, name)
}

func (n *names) remove(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := slices.Index(n.set, name); i >= 0 {
		n.set = slices.Delete(n.set, i, i+1)
	}
}

func (n *names) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.set, ", ")
}
