package app

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
)

// Config of an App. The zero value of every field but Name means its default.
type Config struct {
	// Name of the service, as it appears in logs, in /health and in the names of
	// its environment variables: a-z, 0-9 and "-", starting with a letter.
	Name string
	// StoreURL says where the events are: "sqlite:PATH", "postgres://…" or
	// "mem:". Default: "sqlite:NAME.db". A relative path is below Dir.
	StoreURL string
	// ViewsURL says where the read models are. Default: with the events, so that
	// both share one database.
	ViewsURL string
	// Listen is the TCP address of the HTTP server; port 0 takes a free one, and
	// "none" starts no server. Default: "127.0.0.1:8080".
	Listen string
	// Dir is the folder of data files; it is made when it does not exist.
	// Default: the working directory.
	Dir string
	// DrainDelay is how long the server goes on accepting requests after
	// /readyz has turned red, so that load balancers notice. Default: 0.
	DrainDelay time.Duration
	// DrainTimeout bounds the time for requests under way to finish, and after
	// it the time for projections and functions to stop. Default: 20 s.
	DrainTimeout time.Duration
	// LogLevel is "debug", "info", "warn" or "error". Default: "info".
	LogLevel string
	// Settings are the service's own, by name: from the file's "settings", from
	// BANYAN_NAME_SETTINGS_KEY and from --set key=value. They are never logged.
	Settings map[string]string

	// Log receives the logs. Default: JSON lines on standard error, at LogLevel
	// and without passwords. Not from files or flags.
	Log *slog.Logger
}

const (
	defaultListen       = "127.0.0.1:8080"
	defaultDrainTimeout = 20 * time.Second
	listenNone          = "none"
)

// defaults also returns the writer of the default log, which learns of further
// passwords later; nil when the user brought a log.
func (c *Config) defaults() *maskedWriter {
	if c.StoreURL == "" {
		c.StoreURL = "sqlite:" + c.Name + ".db"
	}
	if c.ViewsURL == "" {
		c.ViewsURL = c.StoreURL
	}
	if c.Listen == "" {
		c.Listen = defaultListen
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = defaultDrainTimeout
	}
	if c.LogLevel == "" {
		c.LogLevel = "info"
	}
	if c.Log != nil {
		return nil
	}
	level, _ := parseLevel(c.LogLevel) // check has accepted it
	out := &maskedWriter{out: os.Stderr}
	c.Log = slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level}))
	return out
}

var nameRule = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

func (c *Config) check() error {
	if !nameRule.MatchString(c.Name) {
		return fmt.Errorf("app: config: %w: name %q: want a-z, 0-9 and -, starting with a letter, at most 63", banyan.ErrInvalid, c.Name)
	}
	for _, s := range settings {
		if value := s.get(c); value != "" {
			if err := s.set(&Config{}, value); err != nil {
				return fmt.Errorf("app: config: %w: %s: %w", banyan.ErrInvalid, s.key, err)
			}
		}
	}
	return nil
}

// A setting is one key of the configuration. The same table serves the file, the
// environment and the flags, so that none of them lacks a key.
type setting struct {
	key  string // in the file; the flag has "-" for "_"
	hint string // what a value looks like
	help string
	get  func(*Config) string
	set  func(*Config, string) error // the error says what is wanted
}

func (s setting) flag() string { return strings.ReplaceAll(s.key, "_", "-") }

// env returns the variable's name: BANYAN_ORDERS_DRAIN_TIMEOUT.
func (s setting) env(name string) string { return envPrefix(name) + strings.ToUpper(s.key) }

func envPrefix(name string) string {
	return "BANYAN_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_"
}

var settings = []setting{
	{
		"store", "URL", "where the events are: sqlite:PATH, postgres://… or mem:",
		func(c *Config) string { return c.StoreURL },
		func(c *Config, v string) error { c.StoreURL = v; return checkURL(v) },
	},
	{
		"views", "URL", "where the read models are; default: with the events",
		func(c *Config) string { return c.ViewsURL },
		func(c *Config, v string) error { c.ViewsURL = v; return checkURL(v) },
	},
	{
		"listen", "ADDRESS", "address of the HTTP server, or none; default " + defaultListen,
		func(c *Config) string { return c.Listen },
		func(c *Config, v string) error { c.Listen = v; return checkListen(v) },
	},
	{
		"dir", "DIR", "folder of data files; default: the working directory",
		func(c *Config) string { return c.Dir },
		func(c *Config, v string) error { c.Dir = v; return nil },
	},
	{
		"drain_delay", "DURATION", "how long to accept requests after readiness turned red; default 0s",
		func(c *Config) string { return duration(c.DrainDelay) },
		func(c *Config, v string) (err error) { c.DrainDelay, err = parseDuration(v); return err },
	},
	{
		"drain_timeout", "DURATION", "how long requests under way may take to finish; default 20s",
		func(c *Config) string { return duration(c.DrainTimeout) },
		func(c *Config, v string) (err error) { c.DrainTimeout, err = parseDuration(v); return err },
	},
	{
		"log_level", "LEVEL", "debug, info, warn or error; default info",
		func(c *Config) string { return c.LogLevel },
		func(c *Config, v string) error { c.LogLevel = v; _, err := parseLevel(v); return err },
	},
}

func duration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func parseDuration(v string) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration; write it like 500ms, 20s or 1m30s", v)
	}
	return d, nil
}

func parseLevel(v string) (slog.Level, error) {
	switch v {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%q is not a log level; use debug, info, warn or error", v)
}

func checkListen(v string) error {
	if v == listenNone {
		return nil
	}
	if _, _, err := net.SplitHostPort(v); err != nil {
		return fmt.Errorf("%q is not an address; write it like 127.0.0.1:8080, :8080 or none", v)
	}
	return nil
}
