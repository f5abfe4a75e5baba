package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/gatetest"
)

// written puts text into a file and returns its name.
func written(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "banyan.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCheck(t *testing.T) {
	t.Parallel()
	good := written(t, "upstreams: {app: http://127.0.0.1:3000}\nroutes: [{match: /, to: app}]\n")
	if got := command(t, nil, "check", good); got.code != exitDone || got.stdout != good+": 1 route, 1 upstream, nothing wrong\n" {
		t.Errorf("%+v", got)
	}
	wrong := written(t, "upstreams: {app: http://127.0.0.1:3000}\nroutes:\n- match: /\n  to: ap\n")
	got := command(t, nil, "check", wrong)
	if got.code != exitFailed || got.stdout != "" || !strings.HasPrefix(got.stderr, "banyan: "+wrong+`:4:7: there is no upstream "ap"; did you mean "app"?`+"\n    4 |   to: ap\n") {
		t.Errorf("%+v", got)
	}
	got = command(t, nil, "check", "--json", wrong)
	var out checked
	if err := json.Unmarshal([]byte(got.stdout), &out); err != nil || got.code != exitFailed || out.OK || len(out.Mistakes) != 1 || out.Mistakes[0].Line != 4 {
		t.Errorf("%+v, %v", got, err)
	}
	if got := command(t, nil, "check", "-c", wrong); got.code != exitFailed || !strings.Contains(got.stderr, `there is no upstream "ap"`) {
		t.Errorf("%+v", got)
	}
	for _, name := range []string{"check", "run"} { // the tests' folder has no such file
		if got := command(t, nil, name); got.code != exitFailed || !strings.Contains(got.stderr, "banyan.yaml: no such file or directory; name another file") {
			t.Errorf("%+v", got)
		}
	}
	if got := command(t, nil, "run", wrong); got.code != exitFailed || !strings.Contains(got.stderr, `there is no upstream "ap"`) {
		t.Errorf("%+v", got)
	}
	if got := command(t, nil, "check", good+"x"); got.code != exitFailed || !strings.Contains(got.stderr, "no such file") {
		t.Errorf("%+v", got)
	}
	if got := command(t, nil, "check", "--schema"); got.code != exitDone || got.stdout != string(gateway.Schema()) {
		t.Errorf("%.100v", got)
	}
	names := written(t, "tls: {acme: {domains: [\"*.shop.example\"], directory: \"http://ca.example\"}}\nupstreams: {app: http://127.0.0.1:3000}\nroutes: [{match: /, to: app}]\n")
	if got := command(t, nil, "check", names); got.code != exitFailed || !strings.Contains(got.stderr, "tls.acme.domains[0]: ") || !strings.Contains(got.stderr, "tls.acme.directory: ") {
		t.Errorf("%+v", got)
	}
	if got := command(t, nil, "check", good, "more"); got.code != exitUsage {
		t.Errorf("%+v", got)
	}
}

// Warnings come after the result, and are no failure.
func TestCheckWarnings(t *testing.T) {
	t.Parallel()
	file := written(t, "upstreams: {app: http://127.0.0.1:3000}\nroutes:\n- match: /\n  to: app\n  limits: [{rate: 1/s, per: identity}]\n")
	const says = "the route has no auth, so nobody has an identity there, and addresses are counted"
	want := file + ": 1 route, 1 upstream, nothing wrong, 1 warning\n" +
		file + ":5:29: warning: " + says + "\n    5 |   limits: [{rate: 1/s, per: identity}]\n" + strings.Repeat(" ", 8+28) + "^\n"
	if got := command(t, nil, "check", file); got.code != exitDone || got.stderr != "" || got.stdout != want {
		t.Errorf("%+v, want %s", got, want)
	}
	got := command(t, nil, "check", "--json", file)
	var out checked
	if err := json.Unmarshal([]byte(got.stdout), &out); err != nil || got.code != exitDone || !out.OK || len(out.Mistakes) != 0 || len(out.Warnings) != 1 || out.Warnings[0].Line != 5 || out.Warnings[0].Text != says {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"upstreams: {app: http://127.0.0.1:3000}\nroutes: [{match: /, to: app}]\n", "routes: []\n"} {
		if got := command(t, nil, "check", "--json", written(t, text)); !strings.Contains(got.stdout, `"warnings":[]`) {
			t.Errorf("%+v", got)
		}
	}
}

// log is what a command writes.
type log struct{ gatetest.Log }

func (l *log) waitFor(t *testing.T, text string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(l.String(), text); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("the log has no %q: %s", text, l)
		}
	}
}

// freePort returns an address that nothing listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A gateway serves, takes a changed file over, keeps the old one when the new is
// wrong, says what it does, and drains.
func TestRun(t *testing.T) {
	t.Parallel()
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }))
	defer behind.Close()
	address, admin := freePort(t), freePort(t)
	text := fmt.Sprintf("listen: %s\nadmin: %s\nupstreams: {app: %q}\nroutes:\n- match: /\n  to: app\n", address, admin, behind.URL)
	file := written(t, text)
	ctx, stop := context.WithCancel(t.Context())
	var out log
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, &env{args: []string{"run", "-c", file, "--reload-every", "2ms"}, stdout: io.Discard, stderr: &out, now: clock, getenv: os.Getenv})
	}()
	out.waitFor(t, `"msg":"serving"`)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) string {
		resp, err := client.Get("http://" + address + path) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		return string(answer)
	}
	if got := get("/a"); got != "/a" {
		t.Errorf("answer %q", got)
	}
	change(t, file, text+"  add_prefix: /v2\n")
	out.waitFor(t, `"msg":"reloaded"`)
	if got := get("/a"); got != "/v2/a" {
		t.Errorf("after the reload: %q", got)
	}
	change(t, file, text+"  too: app\n")
	out.waitFor(t, "the old one stays")
	if got := get("/a"); got != "/v2/a" {
		t.Errorf("after a wrong file: %q", got)
	}
	shown := command(t, nil, "routes", "--admin", admin)
	if !regexp.MustCompile(`(?m)^/ +app +3 +0 +0 +0 +\d`).MatchString(shown.stdout) || !regexp.MustCompile(`(?m)^app +http://\S+ +well +3 +0 `).MatchString(shown.stdout) {
		t.Errorf("routes: %+v", shown)
	}
	var status gateway.Status
	if err := json.Unmarshal([]byte(command(t, nil, "routes", "--json", "--admin", admin).stdout), &status); err != nil || status.Routes[0].Requests != 3 {
		t.Errorf("routes: %+v, %v", status, err)
	}
	stop()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d: %s", code, &out)
	}
	if got := command(t, nil, "routes", "--admin", admin); got.code != exitFailed || !strings.Contains(got.stderr, "is it running") {
		t.Errorf("%+v", got)
	}
}

// change replaces a file as editors do, so that nobody reads half of it.
func change(t *testing.T, file, text string) {
	t.Helper()
	next := file + "~"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
}
