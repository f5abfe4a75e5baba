package app_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// process starts this binary again as the service of TestMain.
func process(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], args...)
	c.Env = append(os.Environ(), "BANYAN_TEST_MAIN=1")
	c.Dir = t.TempDir()
	var stderr bytes.Buffer
	c.Stderr = &stderr
	return c, &stderr
}

func TestMainExitCodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		code int
		want string
		args []string
	}{
		{"help", 0, "", []string{"--help"}},
		{"usage", 2, `orders: app: config: invalid: flag provided but not defined: -stor; did you mean --store?`, []string{"--stor", "x"}},
		{"config", 2, `orders: app: config: flag --log-level: invalid: "loud" is not a log level`, []string{"--log-level", "loud"}},
		{"setup", 1, `orders: app: set up orders: setup says: no`, []string{"--set", "broken=no", "--store", "mem:", "--listen", "127.0.0.1:0"}},
		{"log", 1, `"text":"the password is xxxxx"`, []string{"--set", "leak=" + secret, "--set", "other=postgres://u:" + url.QueryEscape(secret) + "@127.0.0.1:1/d?connect_timeout=1", "--store", "mem:", "--listen", "127.0.0.1:0"}},
		{"open", 1, "orders: app: open postgres://u:xxxxx@127.0.0.1:1/d?connect_timeout=1: ", []string{"--store", "postgres://u:" + secret + "@127.0.0.1:1/d?connect_timeout=1", "--listen", "none"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, stderr := process(t, test.args...)
			out, err := c.Output()
			if c.ProcessState == nil || c.ProcessState.ExitCode() != test.code || !strings.Contains(stderr.String(), test.want) {
				t.Errorf("%v: %v, stderr %q; want code %d and %q", test.args, err, stderr, test.code, test.want)
			}
			if test.name == "help" && !strings.Contains(string(out), "BANYAN_ORDERS_DRAIN_TIMEOUT") {
				t.Errorf("help on stdout = %q", out)
			}
			if strings.Contains(stderr.String()+string(out), "p4ss") {
				t.Errorf("the password is shown: %s%s", stderr, out)
			}
		})
	}
}

// SIGTERM drains and is no failure.
func TestMainDrainsOnSignal(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM to send to another process")
	}
	c, stderr := process(t, "--listen", "127.0.0.1:0", "--store", "sqlite:data/orders.db")
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	addr, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("no address: %v, stderr %s", err, stderr)
	}
	resp, err := client.Get("http://" + strings.TrimSpace(addr) + "/hello")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || string(body) != "hello" || err != nil {
		t.Errorf("GET /hello = %d %q %v", resp.StatusCode, body, err)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil || string(rest) != "stopped\n" {
		t.Errorf("after SIGTERM: %q, %v", rest, err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("exit: %v, stderr %s", err, stderr)
	}
	for i, line := range strings.Split(strings.TrimSpace(stderr.String()), "\n") {
		entry := decode[map[string]any](t, line)
		if entry["service"] != "orders" || entry["msg"] == nil {
			t.Errorf("log line %d = %s, want JSON of the service", i, line)
		}
	}
	if want := fmt.Sprintf("%q", "stopped"); !strings.Contains(stderr.String(), want) {
		t.Errorf("the log has no %s:\n%s", want, stderr)
	}
}
