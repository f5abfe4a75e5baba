package demo_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/cmd/banyan/internal/demo"
	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/gatetest"
)

func TestServesUntilStopped(t *testing.T) {
	t.Parallel()
	taken := gatetest.Listen(t)
	data, _ := month(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stdout, stderr := &gatetest.Log{}, &gatetest.Log{}
	c := demo.New(false)
	c.SetOut(stdout)
	c.SetErr(stderr)
	dir := t.TempDir()
	c.SetArgs([]string{"--listen", taken.Addr().String(), "--admin", taken.Addr().String(), "--store", "mem:", "--data", data, "--dir", dir})
	finished := make(chan error, 1)
	go func() { finished <- c.ExecuteContext(ctx) }()
	serving := regexp.MustCompile(`Serving at (http://\S+)\.`)
	waitFor(t, func() bool { return serving.MatchString(stderr.String()) })
	if eventsAt(serving.FindStringSubmatch(stderr.String())[1]) < 100 {
		t.Error("the shop does not answer after the import")
	}
	throughGateway(t, serving.FindStringSubmatch(stderr.String())[1], stderr.String(), dir)
	stop()
	if err := <-finished; err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	for _, part := range []string{taken.Addr().String() + " is taken", "Importing invoices: ", "Draining."} {
		if !strings.Contains(stderr.String(), part) {
			t.Errorf("stderr lacks %q:\n%s", part, stderr)
		}
	}
	for _, part := range []string{"orders ", "revenue by country", "top products (units)"} {
		if !strings.Contains(stdout.String(), part) {
			t.Errorf("the table lacks %q:\n%s", part, stdout)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// throughGateway: all of the import went through the gateway, and the monolith
// is behind it too.
func throughGateway(t *testing.T, url, said, dir string) {
	t.Helper()
	admin := regexp.MustCompile(`--admin (\S+)`).FindStringSubmatch(said)
	if admin == nil {
		t.Fatalf("no address of the admin API:\n%s", said)
	}
	resp, err := http.Get("http://" + admin[1] + "/v1/status") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	var status gateway.Status
	err = json.NewDecoder(resp.Body).Decode(&status)
	_ = resp.Body.Close()
	if err != nil || status.Routes[0].Name != "shop" || status.Routes[0].Requests < 100 || status.Routes[0].Failed > 0 {
		t.Errorf("the gateway's routes: %+v, %v", status.Routes, err)
	}
	resp, err = http.Get(url + "/monolith/orders/1") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("the monolith answers %d %v", resp.StatusCode, resp.Header)
	}
	if _, err := gateway.Load(filepath.Join(dir, "banyan.yaml")); err != nil {
		t.Error(err)
	}
	throughChannels(t, url, said)
	onlyStaff(t, url, dir)
}

// onlyStaff: what changes customers, limits and payments needs the staff's key.
func onlyStaff(t *testing.T, url, dir string) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(dir, "staff.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path, body string
		status             int // with the key
	}{
		{"PUT", "/users/u1/block", `{"reason":"fraud"}`, 200},
		{"DELETE", "/users/u1/block", "", 200},
		{"PUT", "/users/u1", `{"name":"Ann"}`, 200},
		{"PUT", "/limits/u1", `{"amount":"10"}`, 200},
		{"DELETE", "/limits/u1", "", 204},
		{"PUT", "/payments/p1", `{"order":"1","customer":"u1","amount":"5"}`, 201},
	} {
		for _, with := range []string{"", strings.TrimSpace(string(key))} {
			r, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			want := c.status
			if with == "" {
				want = http.StatusUnauthorized
			} else {
				r.Header.Set("X-Api-Key", with)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s %s, with a key: %t: status %d, want %d: %s", c.method, c.path, with != "", resp.StatusCode, want, text)
			}
		}
	}
}

// throughChannels: each channel gets one answer of several services, and nothing is
// missing in it.
func throughChannels(t *testing.T, url, said string) {
	t.Helper()
	get := func(path string, into any) {
		t.Helper()
		resp, err := http.Get(url + path) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Banyan-Missing") != "" {
			t.Errorf("%s: status %d, %v, missing %q", path, resp.StatusCode, err, resp.Header.Get("Banyan-Missing"))
		}
	}
	var home struct {
		User    struct{ Status string }
		Orders  struct{ Items []struct{ Number string } }
		Popular struct {
			Items []struct {
				ID      string
				Product struct{ Description string }
			}
		}
	}
	shown := regexp.MustCompile(`curl 'http://[^/]+(/mobile/home\?customer=\S+)'`).FindStringSubmatch(said)
	if shown == nil {
		t.Fatalf("no screen is suggested:\n%s", said)
	}
	get(shown[1], &home)
	if len(home.Orders.Items) == 0 || home.User.Status != "active" || len(home.Popular.Items) != 5 || home.Popular.Items[0].Product.Description == "" {
		t.Errorf("the app's first screen: %+v", home)
	}
	var product struct{ SKU, Price string }
	get("/partner/products/"+home.Popular.Items[0].ID, &product)
	if product.SKU != home.Popular.Items[0].ID || product.Price == "" {
		t.Errorf("the partner's product: %+v", product)
	}
	var web map[string]any
	if get("/web/home?customer=17850", &web); len(web) != 4 {
		t.Errorf("the shop's page: %v", web)
	}
}

func TestInterruptedImport(t *testing.T) {
	t.Parallel()
	data, _ := month(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	stdout, _, err := run(ctx, "--store", "mem:", "--data", data, "--dir", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "run it again") || stdout.String() != "" {
		t.Errorf("error %v, stdout %q: want an error that says how to go on", err, stdout)
	}
}
