package app_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
)

// secret is a password that must appear nowhere.
const secret = "p4ss/w0rd@x"

func env(pairs map[string]string) func(string) string {
	return func(key string) string { return pairs[key] }
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "banyan.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFileMistakes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, file, want string }{
		{"unknown key", "listen: :80\ndrain_timout: 5s\n", `FILE:2:1: invalid: unknown key "drain_timout"; did you mean "drain_timeout"?
    2 | drain_timout: 5s
        ^`},
		{"unknown key, nothing near", "colour: red\n", `FILE:1:1: invalid: unknown key "colour"; known keys: dir, drain_delay, drain_timeout, listen, log_level, settings, store, views
    1 | colour: xxxxx
        ^`},
		{"bad duration", "# times\ndrain_delay:   5\n", `FILE:2:16: invalid: drain_delay: "5" is not a duration; write it like 500ms, 20s or 1m30s
    2 | drain_delay:   5
                       ^`},
		{"bad level", "log_level: loud\n", `FILE:1:12: invalid: log_level: "loud" is not a log level; use debug, info, warn or error
    1 | log_level: loud
                   ^`},
		{"bad address", "listen: here\n", `FILE:1:9: invalid: listen: "here" is not an address; write it like 127.0.0.1:8080, :8080 or none
    1 | listen: here
                ^`},
		{"unknown scheme", "store: mysql://u:" + secret + "@h/db\n", `FILE:1:8: invalid: store: unknown scheme "mysql" in "mysql://u:xxxxx@h/db"; use sqlite:PATH, postgres://USER@HOST/DATABASE or mem:
    1 | store: mysql://u:xxxxx@h/db
               ^`},
		{"no scheme", "store: orders.db\n", `FILE:1:8: invalid: store: "orders.db" has no scheme; use sqlite:PATH, postgres://USER@HOST/DATABASE or mem:
    1 | store: orders.db
               ^`},
		{"password under a mistyped key", "stroe: postgres://u:" + secret + "@h/db\n", `FILE:1:1: invalid: unknown key "stroe"; did you mean "store"?
    1 | stroe: postgres://u:xxxxx@h/db
        ^`},
		{"a list", "store: [a, b]\n", `FILE:1:8: invalid: store: want one value, found sequence
    1 | store: [a, b]
               ^`},
		{"no value", "dir:\n", `FILE:1:1: invalid: dir has no value; give one or delete the line
    1 | dir:
        ^`},
		{"twice", "dir: a\ndir: b\n", `FILE:2:1: invalid: mapping key "dir" already defined at [1:1]
    2 | dir: b
        ^`},
		{"not a mapping", "- store\n", `FILE:1:1: invalid: want lines of the form key: value
    1 | - store
        ^`},
		{"setting of the service", "settings:\n  api_key: [" + secret + "]\n", `FILE:2:12: invalid: settings.api_key: want one value, found sequence
    2 |   api_key: xxxxx
                   ^`},
		{"second document", "dir: a\n---\ndir: b\n", `FILE:3:4: invalid: a second document; put all keys into one
    3 | dir: b
           ^`},
		{"not YAML", "store: \"mem:\nlisten: :80\n", `FILE:1:8: invalid: could not find end character of double-quoted text
    1 | store: "mem:
               ^`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			file := writeConfig(t, test.file)
			_, err := app.Load("orders", []string{"--config", file}, env(nil))
			if !errors.Is(err, banyan.ErrInvalid) {
				t.Fatalf("Load = %v, want kind %v", err, banyan.ErrInvalid)
			}
			got := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "app: config: "), file, "FILE")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the message has the password: %v", err)
			}
		})
	}
}

func TestFlagAndVariableMistakes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		env  map[string]string
		want string
	}{
		{"variable", nil, map[string]string{"BANYAN_ORDERS_DRAIN_TIMEOUT": "soon"}, `app: config: environment variable BANYAN_ORDERS_DRAIN_TIMEOUT: invalid: "soon" is not a duration; write it like 500ms, 20s or 1m30s`},
		{"flag value", []string{"--log-level=x"}, nil, `app: config: flag --log-level: invalid: "x" is not a log level; use debug, info, warn or error`},
		{"unknown flag", []string{"--lisen=:1"}, nil, `app: config: invalid: flag provided but not defined: -lisen; did you mean --listen?`},
		{"argument", []string{"postgres://u:" + secret + "@h/db"}, nil, `app: config: invalid: unexpected argument "postgres://u:xxxxx@h/db"; orders takes flags only`},
		{"set", []string{"--set", "x"}, nil, `app: config: invalid: invalid value "x" for flag -set: want key=value`},
		{"URL cut short", []string{"--store", "postgres//u:" + secret + "@h"}, nil, `app: config: flag --store: invalid: "postgres//u:xxxxx@h" has no scheme; use sqlite:PATH, postgres://USER@HOST/DATABASE or mem:`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := app.Load("orders", test.args, env(test.env))
			if !errors.Is(err, banyan.ErrInvalid) || err.Error() != test.want {
				t.Errorf("Load = %v\nwant   %s", err, test.want)
			}
		})
	}
	if _, err := app.Load("orders", []string{"--help"}, env(nil)); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help = %v, want flag.ErrHelp", err)
	}
	if _, err := app.Load("orders", nil, env(map[string]string{"BANYAN_ORDERS_CONFIG": "/no/such/file"})); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file = %v, want os.ErrNotExist", err)
	}
	if _, err := app.Load("Orders!", nil, env(nil)); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("bad name = %v, want kind invalid", err)
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, `
store: sqlite:file.db
views: sqlite:file.db
listen: 127.0.0.1:1
dir: /file
drain_timeout: 1s
settings:
  colour: file
  size: 12
  shape: file
`)
	got, err := app.Load("order-desk", []string{"--listen", "127.0.0.1:3", "--set", "colour=flag"}, env(map[string]string{
		"BANYAN_ORDER_DESK_CONFIG":          file,
		"BANYAN_ORDER_DESK_LISTEN":          "127.0.0.1:2",
		"BANYAN_ORDER_DESK_DIR":             "/env",
		"BANYAN_ORDER_DESK_SETTINGS_COLOUR": "env",
		"BANYAN_ORDER_DESK_SETTINGS_SHAPE":  "env",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := app.Config{
		Name: "order-desk", StoreURL: "sqlite:file.db", ViewsURL: "sqlite:file.db", Listen: "127.0.0.1:3", Dir: "/env",
		DrainTimeout: time.Second, Settings: map[string]string{"colour": "flag", "size": "12", "shape": "env"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"postgres://user:secret@host/db", "postgres://user:xxxxx@host/db"},
		{"postgres://user:se:c/r@et@host:5432/db?sslmode=disable", "postgres://user:xxxxx@host:5432/db?sslmode=disable"},
		{"postgres://user:with space@host/db", "postgres://user:xxxxx@host/db"},
		{"postgres://user@host:5432/db", "postgres://user@host:5432/db"},
		{"postgres://host:5432/db?password=secret&x=1", "postgres://host:5432/db?password=xxxxx&x=1"},
		{"postgres://host/db?sslpassword=secret", "postgres://host/db?sslpassword=xxxxx"},
		{"postgres://user:secret", "postgres://user:xxxxx"},
		{"host=h user=u password='a b' dbname=d", "host=h user=u password=xxxxx dbname=d"},
		{"sqlite:orders.db?unsafe=no-sync", "sqlite:orders.db?unsafe=no-sync"},
		{"mem:", "mem:"},
	} {
		if got := app.Redact(test.in); got != test.want {
			t.Errorf("Redact(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("store: mem:\nlisten: :80\n")
	f.Add("settings: {a: b}\n--- \n")
	f.Add("drain_delay: &a 5s\ndir: *a\n")
	file := filepath.Join(f.TempDir(), "c.yaml") // one for all runs: a folder each would take most of the time
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		// A mistake is an error of kind invalid that names the file, never a panic.
		if _, err := app.Load("orders", []string{"--config", file}, env(nil)); err != nil && (!errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), "config")) {
			t.Errorf("Load: %v", err)
		}
	})
}
