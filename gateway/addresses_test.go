package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/gateway/browser"
)

// byAddress sends everybody whom the addresses let in on to credentials, which
// nobody has.
func byAddress(a *gateway.Addresses) *gateway.Config {
	c := to("http://127.0.0.1:1")
	c.Credentials = map[string]gateway.Credential{"machines": {Certificates: &gateway.Certificates{TrustDomains: []string{"shop"}}}}
	c.Routes[0].Addresses, c.Routes[0].Auth = a, &gateway.Access{By: []string{"machines"}}
	return c
}

// from asks as a client of an address.
func from(h http.Handler, address, method string, forwarded ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", http.NoBody)
	r.RemoteAddr = address
	for _, line := range forwarded {
		r.Header.Add("X-Forwarded-For", line)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const (
	in  = http.StatusUnauthorized // by its address: the credentials are next
	out = http.StatusForbidden
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	inner := gateway.Addresses{Allow: []string{"10.0.0.0/8", "2001:db8::/32"}, Deny: []string{"10.1.0.0/16", "2001:db8:1::/48"}}
	for _, k := range []struct {
		rule gateway.Addresses
		want map[string]int
	}{
		{inner, map[string]int{
			"10.0.0.1:1": in, "10.255.255.255:1": in, "[2001:db8::1]:1": in, "[::ffff:10.0.0.1]:1": in, "[2001:db8::1%eth0]:1": in, "10.0.0.1": in,
			"10.1.0.1:1": out, "[::ffff:10.1.0.1]:1": out, "[2001:db8:1::]:1": out, "[2001:db8:1:ffff::1%eth0]:1": out,
			"9.255.255.255:1": out, "11.0.0.0:1": out, "192.0.2.1:1": out, "[2001:db9::1]:1": out, "[::1]:1": out, "[::10.0.0.1]:1": out, "[::ffff:192.0.2.1]:1": out,
			"": out, "@": out, "localhost:1": out, "10.0.0.1.:1": out, "010.0.0.1:1": out, "167772161:1": out,
		}},
		{gateway.Addresses{Allow: []string{"192.0.2.1", "fe80::1", "::ffff:198.51.100.7", "::ffff:203.0.113.0/120"}}, map[string]int{
			"192.0.2.1:1": in, "192.0.2.2:1": out, "192.0.2.0:1": out, "[::ffff:192.0.2.1]:1": in, "[fe80::1%en0]:1": in, "[fe80::2%en0]:1": out,
			"198.51.100.7:1": in, "198.51.100.8:1": out, "203.0.113.9:1": in, "203.0.114.0:1": out,
		}},
		{gateway.Addresses{Deny: []string{"192.0.2.0/24"}}, map[string]int{
			"192.0.2.1:1": out, "192.0.3.1:1": in, "[::1]:1": in, "[::ffff:192.0.2.1]:1": out, "@": out,
		}},
		{gateway.Addresses{Allow: []string{"0.0.0.0/0"}}, map[string]int{"192.0.2.1:1": in, "255.255.255.255:1": in, "0.0.0.0:1": in, "[::ffff:192.0.2.1]:1": in, "[::1]:1": out}},
		{gateway.Addresses{Deny: []string{"::/0"}}, map[string]int{"192.0.2.1:1": in, "[::ffff:192.0.2.1]:1": in, "[::1]:1": out}},
		{gateway.Addresses{Allow: []string{"10.0.0.0/8"}, Deny: []string{"0.0.0.0/1", "::/0", "128.0.0.0/1"}}, nil},
	} {
		c := byAddress(&k.rule)
		if k.want == nil {
			if found := c.Check(); len(found) != 1 || found[0].Path != "$.routes[0].addresses.allow[0]" {
				t.Errorf("%+v: %v", k.rule, found)
			}
			continue
		}
		g := opened(t, c)
		for address, want := range k.want {
			if got := from(g, address, "GET"); got.Code != want {
				t.Errorf("%+v: %s is answered %d, want %d", k.rule, address, got.Code, want)
			}
		}
	}
}

// The address is the one that trusted proxies say. A proxy whose word cannot be
// read vouches for nobody: its own address would let everybody in.
func TestAddressesBehindProxies(t *testing.T) {
	t.Parallel()
	c := byAddress(&gateway.Addresses{Allow: []string{"10.0.0.0/8", "192.0.2.7"}})
	c.TrustedProxies = []string{"10.9.0.0/16"}
	g := opened(t, c)
	for _, k := range []struct {
		peer      string
		forwarded []string
		want      int
	}{
		{"10.9.0.1:1", nil, in},
		{"10.9.0.1:1", []string{"192.0.2.7"}, in},
		{"10.9.0.1:1", []string{"192.0.2.8"}, out},
		{"10.9.0.1:1", []string{"10.0.0.1, 192.0.2.8"}, out},
		{"10.9.0.1:1", []string{"10.0.0.1", "192.0.2.8"}, out},
		{"10.9.0.1:1", []string{"nonsense, 192.0.2.7"}, in},
		{"10.9.0.1:1", []string{"192.0.2.7, 10.9.0.2"}, in},
		{"10.9.0.1:1", []string{"192.0.2.8, 10.9.0.2"}, out},
		{"10.9.0.1:1", []string{"192.0.2.8:4711"}, out},
		{"10.9.0.1:1", []string{"unknown"}, out},
		{"10.9.0.1:1", []string{"192.0.2.7,"}, out},
		{"10.9.0.1:1", []string{""}, out},
		{"10.9.0.1:1", []string{"unknown, 10.9.0.2"}, out},
		{"192.0.2.8:1", []string{"10.0.0.1"}, out},
		{"192.0.2.7:1", []string{"unknown"}, in}, // nobody asked it
	} {
		if got := from(g, k.peer, "GET", k.forwarded...); got.Code != k.want {
			t.Errorf("%s says %q: %d, want %d", k.peer, k.forwarded, got.Code, k.want)
		}
	}
}

// Who is kept out costs nothing: no credential is looked at, no limit is used up,
// no preflight is answered, and the log says why.
func TestAddressesFirst(t *testing.T) {
	t.Parallel()
	c := byAddress(&gateway.Addresses{Allow: []string{"192.0.2.1"}, Deny: []string{"198.51.100.0/24"}})
	c.Routes[0].Auth.Anonymous = true
	c.Routes[0].Limits = []gateway.RouteLimit{{Rate: "1/1h", Per: "route"}}
	c.Routes[0].Concurrency, c.Routes[0].MaxBody = &gateway.Concurrency{Max: 1}, 1
	c.Routes[0].Browser = &browser.Config{CORS: &browser.CORS{Origins: []string{"https://shop.example"}}}
	c.Routes[0].Fallback = &gateway.Fallback{Body: "{}"}
	served := make(chan gateway.Served, 1)
	g, err := gateway.New(c, &gateway.Options{Hooks: gateway.Hooks{Served: func(s gateway.Served) { served <- s }}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	for address, cause := range map[string]string{
		"192.0.2.2:1": "addresses.allow does not have", "198.51.100.7:1": "addresses.deny has", "@": "cannot be read",
	} {
		for range 3 {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("long"))
			r.RemoteAddr = address
			r.Header.Set("Authorization", "Bearer x.y.z")
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			s := <-served
			if w.Code != out || s.Status != out || !strings.Contains(s.Cause, cause) || w.Header().Get("Content-Type") != "application/problem+json" || strings.Contains(w.Body.String(), "192.0.2") {
				t.Errorf("%s: %d %s; the hook heard %+v", address, w.Code, w.Body, s)
			}
		}
	}
	for _, address := range []string{"192.0.2.2:1", "192.0.2.1:1"} {
		r := httptest.NewRequest(http.MethodOptions, "/", http.NoBody)
		r.RemoteAddr = address
		r.Header.Set("Origin", "https://shop.example")
		r.Header.Set("Access-Control-Request-Method", "GET")
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		<-served
		if kept := address == "192.0.2.2:1"; (w.Code == out) != kept || (w.Header().Get("Access-Control-Allow-Origin") == "") != kept {
			t.Errorf("preflight of %s: %d %v", address, w.Code, w.Header())
		}
	}
	for _, want := range []int{200, 429} { // the limit is whole still
		got := from(g, "192.0.2.1:1", "GET")
		if s := <-served; got.Code != want || s.Status != want {
			t.Errorf("%d, want %d; the hook heard %+v", got.Code, want, s)
		}
	}
}

// However the networks of a rule lie, an address is judged as if each of them were
// asked.
func TestAddressesLikeOneByOne(t *testing.T) {
	t.Parallel()
	network := rapid.Custom(func(t *rapid.T) string {
		a := netip.AddrFrom4([4]byte{10, 0, rapid.Byte().Draw(t, "c"), rapid.Byte().Draw(t, "d")})
		if rapid.Bool().Draw(t, "six") {
			b := netip.MustParseAddr("2001:db8::").As16()
			b[14], b[15] = a.As4()[2], a.As4()[3]
			a = netip.AddrFrom16(b)
		}
		return netip.PrefixFrom(a, a.BitLen()-rapid.IntRange(0, 16).Draw(t, "free")).Masked().String()
	})
	rapid.Check(t, func(t *rapid.T) {
		distinct := rapid.SliceOfNDistinct(network, 1, 12, rapid.ID[string])
		rule := gateway.Addresses{Deny: distinct.Draw(t, "deny")}
		g, err := gateway.New(byAddress(&rule), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		for _, text := range rapid.SliceOfN(network, 30, 30).Draw(t, "clients") {
			a := netip.MustParsePrefix(text).Addr()
			want := in
			for _, d := range rule.Deny {
				if netip.MustParsePrefix(d).Contains(a) {
					want = out
				}
			}
			if got := from(g, netip.AddrPortFrom(a, 1).String(), "GET"); got.Code != want {
				t.Fatalf("%s with %v: %d, want %d", a, rule.Deny, got.Code, want)
			}
		}
	})
}

// A condition knows the client's address, as trusted proxies say.
func TestClientInConditions(t *testing.T) {
	t.Parallel()
	file, texts := keys(t, "ann")
	u := behind(t, func(http.ResponseWriter, *http.Request) {})
	c := to(u)
	c.TrustedProxies = []string{"10.9.0.0/16"}
	c.Credentials = map[string]gateway.Credential{"partners": {APIKeys: &gateway.APIKeys{File: file}}}
	c.Routes[0].Auth = &gateway.Access{By: []string{"partners"}, When: []string{`request.client.startsWith("192.0.2.") && request.client != "192.0.2.9"`}}
	others := c.Routes[0]
	others.Match, others.Auth = "/others", &gateway.Access{By: []string{"partners"}, When: []string{`request.client != "192.0.2.1"`}}
	c.Routes = append(c.Routes, others)
	g := opened(t, c)
	for _, k := range []struct {
		path, peer, forwarded string
		want                  int
	}{
		{"/", "192.0.2.1:1", "", 200},
		{"/", "192.0.2.9:1", "", 403},
		{"/", "[::ffff:192.0.2.1]:1", "", 200},
		{"/", "10.9.0.1:1", "192.0.2.1", 200},
		{"/", "10.9.0.1:1", "192.0.2.1, 198.51.100.1", 403},
		{"/", "198.51.100.1:1", "192.0.2.1", 403},
		{"/", "10.9.0.1:1", "192.0.2.1:80", 403},
		{"/", "@", "", 403},
		{"/others", "192.0.2.1:1", "", 403},
		{"/others", "10.9.0.1:1", "192.0.2.2", 200},
		{"/others", "10.9.0.1:1", "192.0.2.1:80", 403},
		{"/others", "@", "", 403},
	} {
		r := httptest.NewRequest(http.MethodGet, k.path, http.NoBody)
		r.RemoteAddr = k.peer
		r.Header.Set("X-Api-Key", texts[0])
		if k.forwarded != "" {
			r.Header.Set("X-Forwarded-For", k.forwarded)
		}
		w := httptest.NewRecorder()
		if g.ServeHTTP(w, r); w.Code != k.want {
			t.Errorf("%s says %q: %d, want %d", k.peer, k.forwarded, w.Code, k.want)
		}
	}
}
