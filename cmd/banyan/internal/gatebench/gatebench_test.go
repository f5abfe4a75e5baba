package gatebench_test

import (
	"context"
	"flag"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/cmd/banyan/internal/gatebench"
)

var update = flag.Bool("update", false, "write the golden files")

// short is a run that measures nothing worth reading.
func short(cases ...string) gatebench.Options {
	return gatebench.Options{
		Rounds: 1, Round: 30 * time.Millisecond, Connections: 4, Rate: 200, Idle: 200, Settle: time.Millisecond, Cases: cases,
	}
}

func measured(t *testing.T, o gatebench.Options) *gatebench.Report {
	t.Helper()
	report, err := gatebench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func names(report *gatebench.Report) []string {
	var all []string
	for _, r := range report.Results {
		all = append(all, r.Name)
	}
	return all
}

func TestConfigs(t *testing.T) {
	t.Parallel()
	all := gatebench.Setup{Listen: "127.0.0.1:8001", Behind: "127.0.0.1:8002", Dir: "/run/bench", Files: 20000, Policies: true, Cache: true, TLS: true, Fast: true}
	bare := gatebench.Setup{Listen: all.Listen, Behind: all.Behind, Dir: all.Dir}
	for _, name := range []string{"nginx", "haproxy", "caddy", "traefik", "lura"} {
		for kind, setup := range map[string]gatebench.Setup{"bare": bare, "all": all} {
			files, err := gatebench.Configs(name, setup)
			if err != nil {
				t.Fatal(err)
			}
			for file, text := range files {
				golden(t, name+"-"+kind+"-"+file, text)
			}
		}
	}
	if _, err := gatebench.Configs("apache", bare); err == nil || !strings.Contains(err.Error(), "caddy, haproxy, lura, nginx, traefik") {
		t.Errorf("error %v", err)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
		t.Errorf("%s (-want +got), rewrite with -update:\n%s", name, diff)
	}
}

// The gateway's own sides run on every machine.
func TestOwnSides(t *testing.T) {
	t.Parallel()
	o := short(gatebench.CaseProxy, gatebench.CasePolicies, gatebench.CaseCache)
	o.Only = []string{"banyan", "banyan, policies", "banyan, cache hits", "httputil.ReverseProxy"}
	report := measured(t, o)
	want := []string{"server behind", "banyan", "httputil.ReverseProxy", "banyan, policies", "banyan, cache hits"}
	if diff := cmp.Diff(want, names(report)); diff != "" {
		t.Fatalf("sides (-want +got):\n%s", diff)
	}
	base := report.Results[0]
	for _, r := range report.Results {
		if r.Rate <= 0 || math.Abs(r.Ratio-r.Rate/base.Rate) > 1e-9 {
			t.Errorf("%s: rate %v, ratio %v", r.Name, r.Rate, r.Ratio)
		}
	}
	bare, policies := report.Results[1], report.Results[3]
	if math.Abs(policies.RatioBare-policies.Rate/bare.Rate) > 1e-9 || policies.Case != gatebench.CasePolicies || !strings.Contains(policies.Policies, "JWT") {
		t.Errorf("policies %+v, bare %+v", policies, bare)
	}
	if base.P50MS != 0 || bare.RatioBare != 0 || bare.Policies != "" {
		t.Errorf("server behind %+v, bare %+v", base, bare)
	}
}

// Where nginx is, it is what everything is compared to.
func TestProxiesOfThePath(t *testing.T) {
	t.Parallel()
	o := short(gatebench.CaseProxy, gatebench.CaseCache)
	o.Only = []string{"nginx", "haproxy", "nginx, cache hits"}
	report := measured(t, o)
	if len(names(report))+len(report.Missing) < 3 {
		t.Errorf("results %v, missing %v", names(report), report.Missing)
	}
	for _, r := range report.Results {
		if r.Name == "nginx" && r.Ratio != 1 {
			t.Errorf("nginx to itself is %v", r.Ratio)
		}
	}
}

func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	o := short(gatebench.CaseProxy, gatebench.CasePolicies, gatebench.CaseIdle)
	o.Peers, o.PeersDir = true, t.TempDir()
	o.Only = []string{"nginx", "caddy", "caddy, policies", "caddy, TLS", "traefik", "lura", "banyan"}
	var said []string
	o.Progress = func(text string) { said = append(said, text) }
	report := measured(t, o)
	want := []gatebench.Missing{
		{Name: "nginx", How: "apt-get install nginx"},
		{Name: "caddy", How: "sh bench/peers/gateways/build.sh DIR caddy"},
		{Name: "traefik", How: "sh bench/peers/gateways/build.sh DIR traefik"},
		{Name: "lura", How: "sh bench/peers/gateways/build.sh DIR lura"},
	}
	if diff := cmp.Diff(want, report.Missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if got := names(report); !slices.Contains(got, "banyan") || slices.Contains(got, "caddy") {
		t.Errorf("results %q", got)
	}
	if !slices.Contains(said, "caddy not found: sh bench/peers/gateways/build.sh DIR caddy") {
		t.Errorf("progress %q", said)
	}
}

// Peers are left alone unless they are asked for.
func TestNoPeers(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	o := short(gatebench.CaseProxy, gatebench.CasePolicies)
	o.Only = []string{"caddy", "traefik, policies"}
	report := measured(t, o)
	if len(report.Missing) != 0 || !slices.Equal(names(report), []string{"server behind"}) {
		t.Errorf("report %+v", report)
	}
}

// A program in the folder of the peers goes before one in the PATH, and what it
// says when it fails is in the error.
func TestPeersDir(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the program is a shell script")
	}
	t.Parallel()
	dir := t.TempDir()
	script := "#!/bin/sh\necho the wrong nginx >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "nginx"), []byte(script), 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	o := short(gatebench.CaseProxy)
	o.PeersDir, o.Only = dir, []string{"nginx"}
	_, err := gatebench.Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "nginx: it ended: exit status 1: the wrong nginx") {
		t.Errorf("error %v", err)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	report := measured(t, short(gatebench.CaseRoutes))
	if diff := cmp.Diff([]string{"banyan, 10 routes", "banyan, 10000 routes"}, names(report)); diff != "" {
		t.Fatalf("results (-want +got):\n%s", diff)
	}
	few, many := report.Results[0], report.Results[1]
	if few.Ratio != 1 || many.Rate <= 0 || math.Abs(many.Ratio-many.Rate/few.Rate) > 1e-9 {
		t.Errorf("results %+v", report.Results)
	}
}

func TestIdle(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory of processes is read on Linux only")
	}
	t.Parallel()
	o := short(gatebench.CaseIdle)
	o.Only = []string{"banyan", "banyan, TLS"}
	report := measured(t, o)
	if diff := cmp.Diff([]string{"banyan", "banyan, TLS"}, names(report)); diff != "" {
		t.Fatalf("results (-want +got):\n%s", diff)
	}
	for _, r := range report.Results {
		// A connection has a buffer for its head and a goroutine at least.
		if r.BytesEach < 2<<10 || r.BytesEach > 1<<20 || r.Connections != 200 || r.Case != gatebench.CaseIdle {
			t.Errorf("%s: %+v", r.Name, r)
		}
	}
}

// The real programs take their files and answer. Set BANYAN_BENCH_PEERS to a folder
// that build.sh has filled.
func TestPeers(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("BANYAN_BENCH_PEERS")
	if dir == "" {
		t.Skip("BANYAN_BENCH_PEERS is not set")
	}
	o := short()
	o.Peers, o.PeersDir = true, dir
	report := measured(t, o)
	for _, m := range report.Missing {
		if m.Name != "nginx" && m.Name != "haproxy" {
			t.Errorf("%s is not in %s", m.Name, dir)
		}
	}
	for _, name := range gatebench.Sides() {
		if len(report.Missing) == 0 && !slices.Contains(names(report), name) {
			t.Errorf("%s was not measured", name)
		}
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	o := short(gatebench.CaseProxy)
	o.Only, o.Rounds = []string{"banyan"}, 1000
	o.Progress = func(string) { cancel() }
	if _, err := gatebench.Run(ctx, o); err == nil {
		t.Error("an interrupted run has results")
	}
}
