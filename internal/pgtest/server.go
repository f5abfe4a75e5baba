package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// superuser is the owner of every cluster.
const superuser = "banyan"

// patience bounds every wait for the server. Recovery after a kill under load is
// the longest of them.
const patience = time.Minute

// Options configure a server; nil means the defaults.
type Options struct {
	// Settings are configuration parameters by name, as in postgresql.conf.
	// They win over the package's own. Default: PostgreSQL's defaults, with
	// max_connections 200.
	Settings map[string]string

	// Dir is the folder for the data, for example on a mount of the caller's; the
	// cluster is its subfolder "data". A cluster already there is started as it
	// is, with recovery if need be. Dir is never removed, and a new cluster in it
	// is synced to disk. Default: a temporary folder, removed by Close.
	Dir string
}

// Server is one PostgreSQL cluster and the server process that runs on it.
type Server struct {
	bin      string
	data     string
	own      string // temporary folder: the socket, and the data unless Options.Dir is set
	settings map[string]string
	log      tail

	mu     sync.Mutex // guards the fields below and makes life-cycle steps exclusive
	port   int
	run    *run // nil while stopped
	killed bool // ended without a shutdown: System V memory waits for the next start
	closed bool
}

// Open makes a cluster and starts a server on it. The caller must Close it. ctx
// bounds the start only. Without PostgreSQL on the machine it returns ErrMissing.
func Open(ctx context.Context, o *Options) (*Server, error) {
	if o == nil {
		o = &Options{}
	}
	bin, err := binaries()
	if err != nil {
		return nil, fmt.Errorf("pgtest: open: %w", err)
	}
	s := &Server{bin: bin, settings: maps.Clone(o.Settings)}
	if err := s.prepare(ctx, o.Dir); err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: open: %w", err), os.RemoveAll(s.own))
	}
	if err := s.launch(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: open: %w", err), os.RemoveAll(s.own))
	}
	return s, nil
}

// prepare makes the folders and, unless there is one, the cluster.
func (s *Server) prepare(ctx context.Context, dir string) (err error) {
	// Short, because the path of a socket has to fit into about 100 bytes.
	if s.own, err = os.MkdirTemp("", "pg"); err != nil {
		return err
	}
	initdb := []string{"--username=" + superuser, "--auth=trust", "--encoding=UTF8", "--locale=C"}
	if dir == "" {
		dir = s.own
		initdb = append(initdb, "--no-sync")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	s.data = filepath.Join(dir, "data")
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return err
	}
	if err := disown(s.own, s.data); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(s.data, "PG_VERSION")); err == nil {
		return nil
	}
	return s.output(s.command(ctx, "initdb", append(initdb, "--pgdata="+s.data)...))
}

// launch starts the server on a port that nobody else has.
func (s *Server) launch(ctx context.Context) error {
	for {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.port = port
		err = s.start(ctx)
		// Another process may have taken the port since it was found free.
		if err == nil || ctx.Err() != nil || !strings.Contains(s.log.String(), "Address already in use") {
			return err
		}
		s.log.reset()
	}
}

// freePort returns a port below the range from which systems take the ports of
// outgoing connections. A port inside it could be taken while the server is down,
// even by a client that retries: dialling a free local port sometimes connects
// the client to itself.
func freePort() (int, error) {
	for range 100 {
		port := 15000 + rand.IntN(17000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port on 127.0.0.1 between 15000 and 32000")
}

// Start starts the server again after Stop or Kill, on the same port and data.
// It returns when the server accepts connections, after recovery.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wrap("start", s.start(context.Background()))
}

func (s *Server) start(ctx context.Context) error { // mu held, or s not shared yet
	if s.closed {
		return errors.New("the server is closed")
	}
	if s.run != nil {
		return errors.New("the server is already running")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// Not ctx: the process outlives the start.
	r, err := begin(s.command(context.Background(), "postgres", s.arguments()...), &s.log)
	if err != nil {
		return err
	}
	s.run = r
	if err := s.ready(ctx); err != nil {
		_ = s.kill()
		return fmt.Errorf("%w; the end of its log:\n%s", err, s.log.String())
	}
	s.killed = false
	return nil
}

func (s *Server) arguments() []string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(s.port),
		"unix_socket_directories": s.own,
		"max_connections":         "200",
		"logging_collector":       "off", // the log comes through stderr, see begin
	}
	maps.Copy(settings, s.settings)
	args := []string{"-D", s.data}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// ready waits until the server accepts connections. Like pg_ctl it reads the
// server's own statement in postmaster.pid; the number in it tells this server's
// file from one that a killed server left behind.
func (s *Server) ready(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.run.done:
			return errors.New("the server ended while starting")
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready: %w", context.Cause(ctx))
		case <-tick.C:
		}
		text, _ := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
		lines := strings.Split(string(text), "\n")
		if len(lines) >= 8 && lines[0] == strconv.Itoa(s.run.pid()) && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
	}
}

// Stop ends the server in order: transactions in flight are rolled back, and the
// next start needs no recovery. Stopping a stopped server does nothing.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wrap("stop", s.stop(fast))
}

func (s *Server) stop(how shutdown) error { // mu held
	if s.run == nil {
		return nil
	}
	if err := s.run.signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if !s.run.wait(patience) {
		return errors.Join(fmt.Errorf("the server did not end within %s and was killed; the end of its log:\n%s", patience, s.log.String()), s.kill())
	}
	s.run = nil
	return nil
}

// Kill ends the server as a crash would: all its processes at once by SIGKILL. It
// returns when all of them are gone. Killing a stopped server does nothing.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wrap("kill", s.kill())
}

func (s *Server) kill() error { // mu held, or s not shared yet
	if s.run == nil {
		return nil
	}
	s.killed = true
	if err := s.run.kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if !s.run.wait(patience) {
		return fmt.Errorf("processes of the server still run %s after it was killed", patience)
	}
	s.run = nil
	return nil
}

// Restart stops and starts the server: in order, or if immediate without a
// checkpoint, so that the start has to recover from the log.
func (s *Server) Restart(immediate bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	how := fast
	if immediate {
		how = atOnce
	}
	if err := s.stop(how); err != nil {
		return wrap("restart", err)
	}
	return wrap("restart", s.start(context.Background()))
}

// Close stops the server and removes what it made, except Options.Dir. Closing
// twice does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if s.killed {
		// Only a start frees the shared memory of a killed server. If its data is
		// gone or damaged, that is what the caller was after.
		_ = s.start(context.Background())
	}
	err := s.stop(fast)
	s.closed = true
	return wrap("close", errors.Join(err, os.RemoveAll(s.own)))
}

// DSN returns the URL of a database. "postgres" is always there.
func (s *Server) DSN(db string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", superuser, s.port, db)
}

// CreateDatabase creates an empty database. The name must not start with "-".
func (s *Server) CreateDatabase(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// template0 takes no connections, so that copies of it never wait for one.
	cmd := s.command(ctx, "createdb", "--maintenance-db="+s.DSN("postgres"), "--template=template0", name)
	if err := s.output(cmd); err != nil {
		return fmt.Errorf("pgtest: create database %s: %w", name, err)
	}
	return nil
}

// BinDir returns the folder of the server's programs.
func (s *Server) BinDir() string { return s.bin }

// DataDir returns the folder of the cluster.
func (s *Server) DataDir() string { return s.data }

// Log returns the end of what the server wrote to its log, at most 64 KiB.
func (s *Server) Log() string { return s.log.String() }

// command prepares a program of the server's folder. It knows nothing of the
// caller's PG… variables, which would change what the programs do, and runs as an
// unprivileged user, as the server refuses to run as root.
func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir = s.own
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PG") }), "LC_ALL=C")
	demote(cmd)
	return cmd
}

// output runs a program to its end; what it wrote is in the error.
func (s *Server) output(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("pgtest: %s: %w", verb, err)
}
