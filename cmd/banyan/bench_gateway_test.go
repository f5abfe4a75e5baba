package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/cmd/banyan/internal/gatebench"
)

func TestBenchGatewayArguments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, want string }{
		{"--rounds 0", "must be above 0"},
		{"--idle 0", "must be above 0"},
		{"--round 0s", "must be above 0"},
		{"--case proxies", "--case proxies: want proxy, policies, cache, routes, idle"},
		{"--only apache", `--only "apache": want one of ["server behind" "nginx"`},
		{"--peers elsewhere", `unexpected argument "elsewhere"`},
	} {
		got := command(t, nil, append([]string{"bench", "gateway"}, strings.Fields(test.args)...)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, test.want) || got.stdout != "" {
			t.Errorf("%s: %+v", test.args, got)
		}
	}
}

// The benchmark starts this program again, as servers.
func TestBenchGateway(t *testing.T) {
	t.Setenv("BANYAN_TEST_AS_COMMAND", "1")
	t.Setenv("PATH", t.TempDir())
	base := []string{"bench", "gateway", "--rounds", "1", "--round", "30ms", "--connections", "4", "--case", "proxy,policies,routes", "--only", "banyan", "--only", "banyan, policies", "--only", "caddy"}

	got := command(t, nil, base...)
	for _, want := range []string{"server behind", "added p99", "banyan, 10000 routes", "\nbanyan, policies: JWT"} {
		if got.code != exitDone || !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in %+v", want, got)
		}
	}
	if strings.Contains(got.stdout, "caddy") {
		t.Errorf("peers were not asked for: %s", got.stdout)
	}

	got = command(t, nil, append(base, "--peers-dir", t.TempDir(), "--json")...)
	var report struct {
		Results []struct {
			Name  string
			Rate  float64 `json:"ops_per_s"`
			Ratio float64
		}
		Missing []struct{ Name, How string }
	}
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	var names []string
	for _, r := range report.Results {
		if names = append(names, r.Name); r.Rate <= 0 || r.Ratio <= 0 {
			t.Errorf("result %+v", r)
		}
	}
	if want := []string{"server behind", "banyan", "banyan, policies", "banyan, 10 routes", "banyan, 10000 routes"}; !slices.Equal(names, want) {
		t.Errorf("results %q, want %q", names, want)
	}
	if len(report.Missing) != 1 || report.Missing[0].Name != "caddy" || !strings.Contains(report.Missing[0].How, "build.sh") {
		t.Errorf("missing %+v", report.Missing)
	}
}

func TestBenchGatewayTables(t *testing.T) {
	t.Parallel()
	report := &gatebench.Report{
		Results: []gatebench.Result{
			{Case: gatebench.CaseProxy, Name: "nginx", Rate: 31_000, Ratio: 1, P50MS: 0.031, P99MS: 0.129},
			{Case: gatebench.CasePolicies, Name: "caddy, policies", Rate: 6_200, Ratio: 0.2, RatioBare: 0.95, P50MS: 0.3, P99MS: 1.2, Policies: "metrics"},
			{Case: gatebench.CaseRoutes, Name: "banyan, 10 routes", Rate: 4_000_000, Ratio: 1},
			{Case: gatebench.CaseIdle, Name: "banyan, TLS", BytesEach: 50_000, Ratio: 3.4, Connections: 10_000},
		},
		Missing: []gatebench.Missing{{Name: "lura", How: "build it"}},
	}
	want := `             side  per second  ratio  of bare  added p50  added p99
            nginx       31000   1.00             0.03 ms    0.13 ms
  caddy, policies        6200   0.20     0.95    0.30 ms    1.20 ms

             lookup  per second  ratio
  banyan, 10 routes     4000000   1.00

    idle connections  bytes each  ratio
  10000, banyan, TLS       50000   3.40

caddy, policies: metrics
lura: not found: build it
`
	var out strings.Builder
	if err := printBenchGateway(&out, report); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
}

func TestGoBin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		vars map[string]string
		want string
	}{
		{map[string]string{"GOBIN": "/b", "GOPATH": "/p"}, "/b"},
		{map[string]string{"GOPATH": "/p" + string(filepath.ListSeparator) + "/q"}, filepath.Join("/p", "bin")},
	} {
		if got := goBin(func(key string) string { return test.vars[key] }); got != test.want {
			t.Errorf("%v: %q, want %q", test.vars, got, test.want)
		}
	}
	if got := goBin(func(string) string { return "" }); !strings.HasSuffix(got, filepath.Join("go", "bin")) {
		t.Errorf("without variables %q", got)
	}
}
