package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// App is a service: New, register what it does, Run.
type App struct {
	// Name is the service's name from its Config.
	Name string
	// Store keeps the service's events.
	Store *store.Store
	// Views keeps its read models.
	Views *view.DB
	// Log is for the service's own messages too.
	Log *slog.Logger

	config    Config
	secrets   secrets
	writer    *maskedWriter // nil: the log is the user's
	databases []*Database
	listener  net.Listener // nil: no HTTP server
	mux       *http.ServeMux
	health    *health
	tasks     []task
	mistakes  []error // of Handle and Project, reported by Run
	state     atomic.Int32
}

// task is something that runs as long as the service.
type task struct {
	name string
	run  func(context.Context) error
}

// The states of an App, in order.
const (
	stateNew int32 = iota
	stateRunning
	stateClosed
)

// New opens the databases and binds the address, so that what is wrong with them
// is known before anything runs. Run releases them; an App that is not run must
// be closed with Close.
func New(ctx context.Context, c Config) (*App, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	writer := c.defaults()
	a := &App{
		Name: c.Name, Log: c.Log.With("service", c.Name), config: c, mux: http.NewServeMux(), writer: writer,
	}
	a.hide(secretsOf(c.StoreURL, c.ViewsURL))
	if err := a.open(ctx); err != nil {
		return nil, errors.Join(err, a.release())
	}
	a.health = newHealth(a)
	return a, nil
}

func (a *App) open(ctx context.Context) error {
	c := &a.config
	if c.Dir != "" {
		if err := os.MkdirAll(c.Dir, 0o750); err != nil {
			return fmt.Errorf("app: %s: make the data folder: %w", a.Name, err)
		}
	}
	events, err := a.Database(ctx, c.StoreURL)
	if err != nil {
		return err
	}
	if a.Store, err = events.Store(&store.Options{Source: "/" + a.Name}); err != nil {
		return err
	}
	views := events
	if c.ViewsURL != c.StoreURL {
		if views, err = a.Database(ctx, c.ViewsURL); err != nil {
			return err
		}
	}
	if a.Views, err = views.Views(); err != nil {
		return err
	}
	if c.Listen == listenNone {
		return nil
	}
	var listen net.ListenConfig
	if a.listener, err = listen.Listen(ctx, "tcp", c.Listen); err != nil {
		return fmt.Errorf("app: %s: %w: %w; choose another address with --listen", a.Name, banyan.ErrUnavailable, err)
	}
	return nil
}

// Database opens one more database, such as that of another service whose log
// this one reads. The App closes it at the end of its drain.
func (a *App) Database(ctx context.Context, dsn string) (*Database, error) {
	a.hide(secretsOf(dsn)) // before opening, so that what the driver logs is covered
	db, err := Open(ctx, dsn, a.config.Dir)
	if err != nil {
		return nil, err
	}
	a.databases = append(a.databases, db)
	for _, w := range db.Warnings() {
		a.Log.Warn("weaker than the default", "database", db.URL(), "warning", w)
	}
	return db, nil
}

func (a *App) hide(more secrets) {
	a.secrets = append(a.secrets, more...)
	if a.writer != nil {
		a.writer.learn(more)
	}
}

// Setting returns one of the service's own settings, or "".
func (a *App) Setting(key string) string { return a.config.Settings[key] }

// Handle registers an HTTP handler, with the patterns of http.ServeMux. A
// pattern that ServeMux refuses makes Run fail.
func (a *App) Handle(pattern string, h http.Handler) {
	defer func() {
		if p := recover(); p != nil { // ServeMux has no other way to say it
			a.mistakes = append(a.mistakes, fmt.Errorf("handle %q: %w: %v", pattern, banyan.ErrInvalid, p))
		}
	}()
	a.mux.Handle(pattern, h)
}

// Mux returns the mux that Handle registers in, for libraries that want one.
func (a *App) Mux() *http.ServeMux { return a.mux }

// Go runs a function as long as the service. It must return soon after its
// context has ended; before that, nil means that its work is done, and an error
// stops the service.
func (a *App) Go(name string, run func(context.Context) error) {
	a.tasks = append(a.tasks, task{name: name, run: run})
}

// Check registers a dependency's check for /readyz and /health. It is called at
// most once a second and has two seconds. Its error is shown in /health, without
// the passwords of the App's own databases.
func (a *App) Check(name string, check func(context.Context) error) {
	a.health.add(name, check)
}

// Addr returns the address of the HTTP server, "" when there is none.
func (a *App) Addr() string {
	if a.listener == nil {
		return ""
	}
	return a.listener.Addr().String()
}

// owner names this process to people who look at a projection's lease.
func (a *App) owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%s/%d/%s", a.Name, host, os.Getpid(), banyan.NewID())
}

// Close releases what New opened, if the App is not run. It does nothing during
// and after Run.
func (a *App) Close() error {
	if !a.state.CompareAndSwap(stateNew, stateClosed) {
		return nil
	}
	return a.release()
}

// release closes in the reverse order of open, as far as that came.
func (a *App) release() error {
	var errs []error
	if a.listener != nil {
		if err := a.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if a.Store != nil {
		errs = append(errs, a.Store.Close())
	}
	if a.Views != nil {
		errs = append(errs, a.Views.Close())
	}
	return errors.Join(append(errs, closeAll(a.databases))...)
}

// timeouts of the HTTP server. A handler that streams for longer sets its own
// with http.ResponseController.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	writeTimeout      = 2 * time.Minute
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)
