package gatebench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// side is one of those that are measured.
type side struct {
	in       string // case
	name     string
	program  string // key of programs; "": this program itself
	peer     bool   // only with Options.Peers
	setup    Setup
	kind     string // of server, if it is this program
	bare     string // name of the side with everything off
	policies string
}

// What sides have in the case policies.
const (
	banyanPolicies  = "JWT (ES256, JWKS; a token for each connection, verified once), rate limit per identity, counters and latencies per route, access log (JSON)"
	caddyPolicies   = "metrics (Prometheus), access log (JSON); its build has no JWT and no rate limit"
	traefikPolicies = "rate limit per client address, metrics (Prometheus, per entry point, router and service), access log (JSON); its free build has no JWT"
	luraPolicies    = "access log (text); JWT, limits and metrics are in KrakenD, not in its engine"
)

// collectAt is GOGC of all programs in Go. "banyan run" sets it.
const collectAt = 400

// behindName is the side without a proxy.
const behindName = "server behind"

// sides are in the order of a table. The first is the server behind, alone.
func sides() []side {
	fast, on := Setup{Fast: true}, Setup{Policies: true}
	return []side{
		{in: CaseProxy, name: behindName, kind: kindServer},
		{in: CaseProxy, name: "nginx", program: "nginx"},
		{in: CaseProxy, name: "haproxy", program: "haproxy"},
		{in: CaseProxy, name: "banyan", kind: kindGateway},
		{in: CaseProxy, name: "httputil.ReverseProxy", kind: kindReverseProxy},
		{in: CaseProxy, name: "caddy", program: "caddy", peer: true},
		{in: CaseProxy, name: "traefik", program: "traefik", peer: true},
		{in: CaseProxy, name: "traefik fastProxy", program: "traefik", peer: true, setup: fast},
		{in: CaseProxy, name: "lura", program: "lura", peer: true},
		{in: CasePolicies, name: "banyan, policies", kind: kindPolicies, setup: on, bare: "banyan", policies: banyanPolicies},
		{in: CasePolicies, name: "caddy, policies", program: "caddy", peer: true, setup: on, bare: "caddy", policies: caddyPolicies},
		{in: CasePolicies, name: "traefik, policies", program: "traefik", peer: true, setup: on, bare: "traefik", policies: traefikPolicies},
		{in: CasePolicies, name: "traefik fastProxy, policies", program: "traefik", peer: true, setup: Setup{Fast: true, Policies: true}, bare: "traefik fastProxy", policies: traefikPolicies},
		{in: CasePolicies, name: "lura, policies", program: "lura", peer: true, setup: on, bare: "lura", policies: luraPolicies},
		{in: CaseCache, name: "banyan, cache hits", kind: kindCache},
		{in: CaseCache, name: "nginx, cache hits", program: "nginx", setup: Setup{Cache: true}},
	}
}

// idleSides are those of the case idle, each once plain and once with TLS.
func idleSides() []side {
	var all []side
	for _, s := range []side{
		{name: "nginx", program: "nginx"},
		{name: "haproxy", program: "haproxy"},
		{name: "banyan", kind: kindGateway},
		{name: "caddy", program: "caddy", peer: true},
		{name: "traefik", program: "traefik", peer: true},
	} {
		s.in = CaseIdle
		all = append(all, s)
		if s.kind == kindGateway {
			s.kind = kindGatewayTLS
		}
		s.name, s.setup.TLS = s.name+", TLS", true
		all = append(all, s)
	}
	return all
}

// Sides returns the names of all sides, which Options.Only takes.
func Sides() []string {
	var names []string
	for _, s := range slices.Concat(sides(), idleSides()) {
		if !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
	}
	return names
}

// program is another proxy.
type program struct {
	how     string
	configs func(Setup) map[string]string
	args    func(s Setup) []string
}

func programs() map[string]program {
	const build = "sh bench/peers/gateways/build.sh DIR "
	in := filepath.Join
	return map[string]program{
		"nginx":   {"apt-get install nginx", nginxConfigs, func(s Setup) []string { return []string{"-c", in(s.Dir, "nginx.conf")} }},
		"haproxy": {"apt-get install haproxy", haproxyConfigs, func(s Setup) []string { return []string{"-db", "-f", in(s.Dir, "haproxy.cfg")} }},
		"caddy": {build + "caddy", caddyConfigs, func(s Setup) []string {
			return []string{"run", "--adapter", "caddyfile", "--config", in(s.Dir, "Caddyfile")}
		}},
		"traefik": {build + "traefik", traefikConfigs, func(s Setup) []string { return []string{"--configFile=" + in(s.Dir, "traefik.yml")} }},
		"lura": {build + "lura", luraConfigs, func(s Setup) []string {
			if s.Policies {
				return []string{"-c", in(s.Dir, "lura.json"), "-log", "/dev/null"}
			}
			return []string{"-c", in(s.Dir, "lura.json")}
		}},
	}
}

// find returns where a program is; "": nowhere, which is noted.
func (b *bench) find(name string) string {
	if b.PeersDir != "" {
		if file, err := exec.LookPath(filepath.Join(b.PeersDir, name)); err == nil {
			return file
		}
	}
	if file, err := exec.LookPath(name); err == nil {
		return file
	}
	how := programs()[name].how
	if !slices.ContainsFunc(b.missing, func(m Missing) bool { return m.Name == name }) {
		b.missing = append(b.missing, Missing{Name: name, How: how})
		b.Progress(name + " not found: " + how)
	}
	return ""
}

// command prepares the process of a side, with its files. nil: its program is
// missing.
func (b *bench) command(s side, listen string) (*exec.Cmd, error) {
	if s.program == "" {
		return exec.Command(b.self, "bench", "gateway-server", s.kind, listen, b.behind), nil
	}
	file := b.find(s.program)
	if file == "" {
		return nil, nil
	}
	setup := s.setup
	setup.Listen, setup.Behind = listen, b.behind
	setup.Files, _ = fileLimit()
	var err error
	if setup.Dir, err = os.MkdirTemp(b.dir, s.program); err != nil {
		return nil, err
	}
	if err := writeFiles(setup, programs()[s.program].configs(setup)); err != nil {
		return nil, fmt.Errorf("files of %s: %w", s.name, err)
	}
	c := exec.Command(file, programs()[s.program].args(setup)...)
	// Nothing of the user's is read or written.
	c.Env = append(os.Environ(), fmt.Sprintf("GOGC=%d", collectAt), "HOME="+setup.Dir, "XDG_CONFIG_HOME="+setup.Dir, "XDG_DATA_HOME="+setup.Dir)
	c.Dir = setup.Dir
	return c, nil
}

func writeFiles(s Setup, files map[string]string) error {
	for _, dir := range []string{filepath.Dir(s.Dir), s.Dir} {
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // nginx's workers have another user
			return err
		}
	}
	if s.TLS {
		cert, key, err := certificate()
		if err != nil {
			return err
		}
		files["cert.pem"], files["key.pem"], files["both.pem"] = string(cert), string(key), string(cert)+string(key)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
