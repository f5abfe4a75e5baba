package gateway_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway"
)

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := gateway.Parse("banyan.yaml", []byte(`
listen: :8443
trusted_proxies: [10.0.0.0/8]
upstreams:
  monolith: http://127.0.0.1:3000   # one server
  orders:
    targets: [http://10.0.0.1:8080, https://10.0.0.2]
    sticky: cookie _shop.session
    health: {path: /readyz, every: 2s}
routes:
  - match: /
    to: monolith
  - name: place
    match: POST /orders
    to: orders
    timeout: 1m30s
    headers: {X-Beta: "1"}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &gateway.Config{
		Listen: ":8443", Admin: "127.0.0.1:9901", TrustedProxies: []string{"10.0.0.0/8"},
		Upstreams: map[string]gateway.Upstream{
			"monolith": {Targets: []string{"http://127.0.0.1:3000"}},
			"orders":   {Targets: []string{"http://10.0.0.1:8080", "https://10.0.0.2"}, Sticky: "cookie _shop.session", Health: gateway.Health{Path: "/readyz", Every: 2 * time.Second}},
		},
		Routes: []gateway.Route{
			{Name: "/", Match: "/", To: "monolith", Timeout: 30 * time.Second},
			{Name: "place", Match: "POST /orders", To: "orders", Timeout: 90 * time.Second, Headers: map[string]string{"X-Beta": "1"}},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(gateway.Config{}, gateway.Route{})); diff != "" {
		t.Error(diff)
	}
}

// Each file of testdata/wrong says at its end what is wrong with it: lines
// "# want LINE:COLUMN: TEXT".
func TestMistakes(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(data)) {
				if text, ok := strings.CutPrefix(line, "# want "); ok {
					want = append(want, strings.TrimSpace(text))
				}
			}
			_, err = gateway.Parse("f", data)
			var wrong *gateway.FileError
			if !errors.As(err, &wrong) || !errors.Is(err, banyan.ErrInvalid) {
				t.Fatalf("error %v", err)
			}
			var got []string
			for line := range strings.Lines(err.Error()) {
				if text, ok := strings.CutPrefix(line, "f:"); ok {
					got = append(got, strings.TrimSpace(text))
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A part that several routes share is written once.
func TestMerged(t *testing.T) {
	t.Parallel()
	c, err := gateway.Parse("f", []byte(`
upstreams: {u: "http://127.0.0.1:1"}
routes:
  - &base {match: /, to: u, timeout: 3s}
  - <<: *base
    match: /b
`))
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Routes[1]; r.Match != "/b" || r.To != "u" || r.Timeout != 3*time.Second {
		t.Errorf("the route became %+v", r)
	}
}

// A password in a URL is not shown, in the text or in the line; an address is.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	for line, shown := range map[string]bool{
		"u: http://me:hunter2@host": false, "u: http://me:hunter2": false, "u: [http://me:hunter2]": false, "u: http://hunter2@host": false,
		"password: hunter2": false, "u: http://hunter2:3000": true, "u: [http://hunter2]": true, "u: http://hunter2": true,
	} {
		_, err := gateway.Parse("f", []byte("wrong:\n"+line+"\nroutes:\n  - {match: /, to: u}\n"))
		if err == nil || strings.Contains(err.Error(), "hunter2") != shown {
			t.Errorf("%s: error %v", line, err)
		}
	}
	_, err := gateway.Parse("f", []byte("upstreams:\n  u: http://me:hunter2@host\nroutes:\n  - {match: /, to: u}\n"))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}

// What a file holds does not steer the terminal of who reads the error.
func TestNoControlCharacters(t *testing.T) {
	t.Parallel()
	_, err := gateway.Parse("f", []byte("routes: \"\x1b[31m\x07red\"\n"))
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\x07") {
		t.Errorf("error %q", err)
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/wrong/*.yaml")
	for _, name := range files {
		if data, err := os.ReadFile(name); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := gateway.Parse("f", data)
		if (c == nil) == (err == nil) {
			t.Errorf("%v, %v", c, err)
		}
		if c != nil && len(c.Check()) > 0 {
			t.Errorf("accepted with %v", c.Check())
		}
	})
}

// A prefix that some path of the route has, or may have, can be stripped.
func TestStrippable(t *testing.T) {
	t.Parallel()
	for match, prefix := range map[string]string{"/": "/api", "/api/": "/api", "/api": "/api", "/{x}/b/": "/a/b", "/a/{rest...}": "/a/b/c", "GET h/a/b": "/a"} {
		c := to("http://127.0.0.1:1")
		c.Routes[0].Match, c.Routes[0].StripPrefix = match, prefix
		if found := c.Check(); len(found) > 0 {
			t.Errorf("%s without %s: %v", match, prefix, found)
		}
	}
}
