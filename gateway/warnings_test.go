package gateway_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/gateway"
)

// warned has what comes before the routes of a file, in four lines.
const warned = `listen: 127.0.0.1:8080
credentials: {people: {jwt: {issuer: "https://login.example", audiences: [shop]}}, machines: {certificates: {names: [till]}}}
upstreams: {u: "http://127.0.0.1:1"}
routes:
`

const (
	differ  = ` differ in a slash at the end, which most servers ignore, and in who may use them; give both the same auth and addresses`
	getOnly = `who may use this is said for GET only: %s of the same path goes to the route %q, which is open to everybody; leave the method out, or guard that too`
	nobody  = `the route has no auth, so nobody has an identity there, and addresses are counted`
	inClear = `credentials come in the clear: there is no tls, and others than this machine can reach %q; set tls, or trusted_proxies if one of them has it`
)

func TestWarnings(t *testing.T) {
	t.Parallel()
	const auth = `to: u, auth: {by: [people]}`
	for name, k := range map[string]struct {
		routes, listen string
		want           []string
	}{
		"none": {routes: "- {match: /, to: u}\n- {match: /admin/, " + auth + "}\n- {match: POST /orders, " + auth + "}"},
		"slash": {
			routes: "- {match: /admin, to: u}\n- {match: /admin/, " + auth + "}",
			want:   []string{"6:11: " + `"/admin/" and "/admin"` + differ},
		},
		"slash, the other way": {
			routes: "- {match: /admin/, to: u}\n- {match: /admin, " + auth + "}",
			want:   []string{"6:11: " + `"/admin" and "/admin/"` + differ},
		},
		"only the slash":     {routes: "- {match: '/admin/{$}', " + auth + "}\n- {match: /admin, to: u}", want: []string{"6:11: " + `"/admin" and "/admin/{$}"` + differ}},
		"rest with a name":   {routes: "- {match: '/a/{x}/{all...}', " + auth + "}\n- {match: '/a/{y}', to: u}", want: []string{"6:11: " + `"/a/{y}" and "/a/{x}/{all...}"` + differ}},
		"slash, by address":  {routes: "- {match: /a, to: u}\n- {match: /a/, to: u, addresses: {allow: [10.0.0.0/8]}}", want: []string{"6:11: " + `"/a/" and "/a"` + differ}},
		"slash, by scope":    {routes: "- {match: /a, " + auth + "}\n- {match: /a/, to: u, auth: {by: [people], scopes: [x]}}", want: []string{"6:11: " + `"/a/" and "/a"` + differ}},
		"slash, one method":  {routes: "- {match: POST /a, " + auth + "}\n- {match: /a/, to: u}", want: []string{"6:11: " + `"/a/" and "POST /a"` + differ}},
		"slash, two methods": {routes: "- {match: POST /a, " + auth + "}\n- {match: DELETE /a/, to: u}"},
		"slash, two hosts":   {routes: "- {match: x.test/a, " + auth + "}\n- {match: y.test/a/, to: u}"},
		"slash, excluded":    {routes: "- {match: /a, headers: {X: '1'}, " + auth + "}\n- {match: /a/, headers: {X: '2'}, to: u}"},
		"slash, same guard":  {routes: "- {match: /a, " + auth + "}\n- {match: /a/, to: u, auth: {by: [people], forward: {X-User: subject}, strip_credential: true}}"},
		"slash, both open":   {routes: "- {match: /a, to: u}\n- {match: /a/, to: u}"},
		"slash, redirected":  {routes: "- {match: /a, redirect: /b}\n- {match: /a/, " + auth + "}\n- {match: /c/, redirect: /b}\n- {match: /c, " + auth + "}"},
		"method, redirected": {routes: "- {match: GET /x, " + auth + "}\n- {match: /, redirect: 'https://x.test'}"},
		"the home page":      {routes: "- {match: '/{$}', to: u}\n- {match: /, " + auth + "}"},
		"other paths":        {routes: "- {match: /a, to: u}\n- {match: /b/, " + auth + "}\n- {match: '/{x}/', " + auth + "}"},
		"method": {
			routes: "- {match: GET /x, " + auth + "}\n- {match: /, to: u}",
			want:   []string{"5:11: " + fmt.Sprintf(getOnly, "POST", "/")},
		},
		"method, same path":    {routes: "- {match: GET /x, " + auth + "}\n- {match: DELETE /x, to: u}", want: []string{"5:11: " + fmt.Sprintf(getOnly, "DELETE", "DELETE /x")}},
		"method, below":        {routes: "- {match: 'GET *.shop.test/x/{id}/', " + auth + "}\n- {match: shop.test/, " + auth + "}\n- {match: '*.test/x/', to: u}", want: []string{"5:11: " + fmt.Sprintf(getOnly, "POST", "*.test/x/")}},
		"method, only below":   {routes: "- {match: GET /x/, " + auth + "}\n- {match: /x, " + auth + "}\n- {match: /, to: u}", want: []string{"5:11: " + fmt.Sprintf(getOnly, "POST", "/")}},
		"method, maybe nobody": {routes: "- {match: GET /x, " + auth + "}\n- {match: /, to: u, auth: {by: [people], anonymous: true}}", want: []string{"5:11: " + fmt.Sprintf(getOnly, "POST", "/")}},
		"method, by address":   {routes: "- {match: GET /x, to: u, addresses: {allow: [10.0.0.0/8]}}\n- {match: /, to: u, addresses: {deny: [10.1.0.0/16]}}", want: []string{"5:11: " + fmt.Sprintf(getOnly, "POST", "/")}},
		"method, guarded":      {routes: "- {match: GET /x, " + auth + "}\n- {match: /x, to: u, auth: {by: [people], anonymous: true, scopes: [w]}}\n- {match: /, to: u}"},
		"method, kept out":     {routes: "- {match: GET /x, " + auth + "}\n- {match: /, to: u, addresses: {allow: [10.0.0.0/8]}}"},
		"method, nowhere":      {routes: "- {match: GET /x, " + auth + "}\n- {match: /y, to: u}\n- {match: /x, headers: {X: '1'}, to: u}"},
		"method, everybody":    {routes: "- {match: GET /x, to: u, auth: {by: [people], anonymous: true}}\n- {match: /, to: u}"},
		"method, a sibling":    {routes: "- {match: 'GET /x/{id}', " + auth + "}\n- {match: '/x/new', to: u}"},
		"identity": {
			routes: "- {match: /, to: u, limits: [{rate: 1/s}, {rate: 1/s, per: identity}]}\n- {match: /a/, " + auth + ", limits: [{rate: 1/s, per: identity}]}",
			want:   []string{"5:60: " + nobody},
		},
		"clear":         {routes: "- {match: /a/, " + auth + "}\n- {match: /b/, " + auth + "}", listen: "listen: :8080", want: []string{"5:30: " + fmt.Sprintf(inClear, ":8080")}},
		"clear, all":    {routes: "- {match: /, " + auth + "}", listen: "listen: 0.0.0.0:80", want: []string{"5:28: " + fmt.Sprintf(inClear, "0.0.0.0:80")}},
		"clear, unsaid": {routes: "- {match: /, " + auth + "}", listen: "#", want: []string{"5:28: " + fmt.Sprintf(inClear, ":8080")}},
		"secret":        {routes: "- {match: /, " + auth + "}", listen: "tls: {cert: c.pem, key: k.pem}"},
		"secret, ACME":  {routes: "- {match: /, " + auth + "}", listen: "tls: {acme: {domains: [shop.test]}}"},
		"proxy":         {routes: "- {match: /, " + auth + "}", listen: "trusted_proxies: [10.0.0.0/8]"},
		"local":         {routes: "- {match: /, " + auth + "}", listen: "listen: localhost:8080"},
		"no secrets":    {routes: "- {match: /, to: u}", listen: "listen: :8080"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := warned
			if k.listen != "" {
				text = strings.Replace(warned, "listen: 127.0.0.1:8080", k.listen, 1)
			}
			c, err := gateway.Parse("f", []byte(text+k.routes))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range c.WarningPlaces() {
				got = append(got, fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Text))
			}
			if diff := cmp.Diff(k.want, got); diff != "" {
				t.Error(diff)
			}
			unchecked := *c
			unchecked.Listen, unchecked.Routes = strings.TrimPrefix(c.Listen, gateway.DefaultListen), nil
			for _, r := range c.Routes {
				unchecked.Routes = append(unchecked.Routes, gateway.Route{Match: r.Match, Redirect: r.Redirect, Headers: r.Headers, Auth: r.Auth, Addresses: r.Addresses, Limits: r.Limits})
			}
			if diff := cmp.Diff(c.Warnings(), unchecked.Warnings()); diff != "" {
				t.Errorf("of what nobody checked: %s", diff)
			}
		})
	}
}

// A warning of an included file has its name, and the log says each once, at the
// start and at every reload.
func TestWarningsLogged(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"banyan.yaml": "listen: 127.0.0.1:0\ninclude: [team.yaml]\nupstreams: {u: 'http://127.0.0.1:1'}\nroutes:\n- {match: /, to: u}\n",
		"team.yaml":   "routes:\n- match: /a\n  to: u\n  limits: [{rate: 1/s, per: identity}]\n",
	})
	c, err := gateway.Load(filepath.Join(dir, "banyan.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	places := c.WarningPlaces()
	if len(places) != 1 || places[0].File != filepath.Join(dir, "team.yaml") || places[0].Line != 4 || !strings.Contains(places[0].Source, "per: identity") {
		t.Fatalf("%+v", places)
	}
	places[0].Text = "changed" // it is a copy
	var log bytes.Buffer
	g, err := gateway.New(c, &gateway.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	said := func() int {
		return strings.Count(log.String(), fmt.Sprintf("level=WARN msg=%q file=%s line=4 warning=%q", "the configuration is right, and may not be what was meant", places[0].File, nobody))
	}
	if n := said(); n != 1 {
		t.Errorf("said %d times: %s", n, &log)
	}
	if err := g.Reload(c); err != nil || said() != 2 {
		t.Errorf("%v; said %d times: %s", err, said(), &log)
	}
}
