package transform_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/gateway/transform"
	"github.com/banyanhq/banyan/internal/gatetest"
)

// seen runs a request through a policy and returns what the handler got; nil if it
// was refused.
func seen(t testing.TB, c transform.Config, r *http.Request) (*http.Request, int) {
	t.Helper()
	var got *http.Request
	mux := http.NewServeMux()
	mux.Handle("/orders/{id}", wrap(t, c, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })))
	w := gatetest.Do(mux, r)
	return got, w.Code
}

func TestRequestHeaders(t *testing.T) {
	t.Parallel()
	c := transform.Config{Request: transform.Request{Headers: transform.Fields{
		Remove: []string{"x-internal"},
		Rename: map[string]string{"X-Old": "X-New", "X-Gone": "X-Kept"},
		Set:    map[string]string{"X-Order": "order {path.id}", "X-Tenant": "{header.X-Claim}", "X-Lang": "{query.lang}", "X-Text": "a {{b}"},
		Add:    map[string]string{"X-Tag": "{header.X-Internal}"},
	}}}
	r := gatetest.Request(http.MethodGet, "/orders/17?lang=de", "", "X-Internal: secret", "X-Old: 1", "X-Old: 2", "X-New: 0", "X-Kept: k", "X-Order: mine", "X-Tenant: forged", "X-Tag: t")
	r.Header["x-INTERNAL"] = []string{"by a careless server"}
	before := r.Header.Clone()
	got, _ := seen(t, c, r)
	want := http.Header{
		"X-New": {"1", "2"}, "X-Kept": {"k"}, "X-Order": {"order 17"}, "X-Lang": {"de"}, "X-Text": {"a {b}"},
		"X-Tag": {"t", "secret"}, // values are of the request as it arrived
	}
	if diff := cmp.Diff(want, got.Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, r.Header); diff != "" {
		t.Errorf("the caller's header changed:\n%s", diff)
	}
}

// CR and LF never get into a header: CVE-2019-9741 and its kin.
func TestNoInjection(t *testing.T) {
	t.Parallel()
	for _, f := range []func(transform.Fields) transform.Config{
		func(f transform.Fields) transform.Config {
			return transform.Config{Request: transform.Request{Headers: f}}
		},
		func(f transform.Fields) transform.Config {
			return transform.Config{Response: transform.Response{Headers: f}}
		},
	} {
		for value, target := range map[string]string{"{path.id}": "/orders/a%0d%0aX-Evil:1", "v{query.q}": "/orders/1?q=a%0Ab", "{query.q}": "/orders/1?q=%00", "{query.q} ": "/orders/1?q=x"} {
			c := f(transform.Fields{Set: map[string]string{"X-A": value}})
			if strings.HasSuffix(value, " ") {
				gatetest.Invalid(t, c.Check(), "a space at an end")
				continue
			}
			if got, code := seen(t, c, gatetest.Request(http.MethodGet, target, "")); got != nil || code != http.StatusBadRequest {
				t.Errorf("%s: %d, the handler was called: %v", target, code, got != nil)
			}
		}
	}
	h := map[string]string{"X-A": "{query.q}"}
	p, err := transform.New(&transform.Config{Request: transform.Request{Headers: transform.Fields{Set: h, Add: h}}, Response: transform.Response{Headers: transform.Fields{Add: h}}})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		var inside string
		r := gatetest.Request(http.MethodGet, "/", "")
		r.URL.RawQuery = "q=" + strings.ReplaceAll(fmt.Sprintf("% x", rapid.SliceOfN(rapid.Byte(), 1, 5).Draw(t, "bytes")), " ", "%")
		r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "=", "=%", 1)
		w := gatetest.Do(p.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = strings.Join(r.Header["X-A"], "") })), r)
		if strings.ContainsAny(inside+strings.Join(w.Header()["X-A"], ""), "\r\n\x00") {
			t.Fatalf("%s got in", r.URL.RawQuery)
		}
	})
}

func TestQuery(t *testing.T) {
	t.Parallel()
	rules := transform.Fields{
		Remove: []string{"debug"}, Rename: map[string]string{"q": "search"}, Set: map[string]string{"tenant": "t {path.id}&", "v": "{header.X-None}"}, Add: map[string]string{"tag": "new"},
	}
	for _, c := range []struct{ in, want string }{
		{"", "tenant=t+7%26&tag=new"},
		{"a=1&b=%20+&a=2", "a=1&b=%20+&a=2&tenant=t+7%26&tag=new"},
		{"debug=1&a=1&%64ebug=2&debug", "a=1&tenant=t+7%26&tag=new"},
		{"q=a%20b&x=1&q", "search=a%20b&x=1&search&tenant=t+7%26&tag=new"},
		{"search=0&q=1", "search=1&tenant=t+7%26&tag=new"},
		{"search=0", "search=0&tenant=t+7%26&tag=new"},
		{"tenant=forged&t%65nant=2&v=forged&tag=old", "tag=old&tenant=t+7%26&tag=new"},
		{"&&a=1&&", "a=1&tenant=t+7%26&tag=new"},
		{"a=%zz", "a=%zz&tenant=t+7%26&tag=new"},
	} {
		r := gatetest.Request(http.MethodGet, "/orders/7?"+c.in, "")
		got, code := seen(t, transform.Config{Request: transform.Request{Query: rules}}, r)
		if got == nil || got.URL.RawQuery != c.want || got.RequestURI != "/orders/7?"+c.want {
			t.Errorf("%q: %d, %+v, want %q", c.in, code, got, c.want)
		}
		if r.URL.RawQuery != c.in {
			t.Errorf("the caller's query became %q", r.URL.RawQuery)
		}
	}
	for _, raw := range []string{"a=1;debug=2", "%zz=1", "a;b", "debu%=1"} { // parsers disagree: CVE-2022-2880
		if got, code := seen(t, transform.Config{Request: transform.Request{Query: rules}}, gatetest.Request(http.MethodGet, "/orders/7?"+raw, "")); got != nil || code != http.StatusBadRequest {
			t.Errorf("%q: %d", raw, code)
		}
	}
	if got, _ := seen(t, transform.Config{}, gatetest.Request(http.MethodGet, "/orders/7?a;b=%zz", "")); got.URL.RawQuery != "a;b=%zz" {
		t.Errorf("without rules the query became %q", got.URL.RawQuery)
	}
}

func TestResponseHeaders(t *testing.T) {
	t.Parallel()
	c := transform.Config{Response: transform.Response{
		Headers: transform.Fields{Remove: []string{"Server", "X-Debug"}, Rename: map[string]string{"X-Old": "X-New"}, Set: map[string]string{"Cache-Control": "no-store"}, Add: map[string]string{"Link": "</{query.x}>"}},
		Cookies: &transform.Cookies{Secure: true, HTTPOnly: true, SameSite: "Lax"},
	}}
	h := wrap(t, c, gatetest.Page(http.StatusTeapot, "tea", "Server: secret/1", "X-Old: 1", "Cache-Control: public", "Link: </a>",
		"Set-Cookie: a=Secure", "Set-Cookie: b=1; path=/; secure; HTTPONLY; samesite=Strict", "Set-Cookie: c=1;Max-Age=5", "Set-Cookie: Secure=1"))
	w := gatetest.Ask(h, http.MethodGet, "/?x=y")
	want := http.Header{
		"X-New": {"1"}, "Cache-Control": {"no-store"}, "Link": {"</a>", "</y>"},
		"Set-Cookie": {"a=Secure; SameSite=Lax; Secure; HttpOnly", "b=1; path=/; secure; HTTPONLY; samesite=Strict", "c=1;Max-Age=5; SameSite=Lax; Secure; HttpOnly", "Secure=1; SameSite=Lax; Secure; HttpOnly"},
	}
	if diff := cmp.Diff(want, w.Header()); diff != "" || w.Code != http.StatusTeapot || w.Body.String() != "tea" {
		t.Errorf("%d %q, header (-want +got):\n%s", w.Code, w.Body, diff)
	}
	silent := gatetest.Do(wrap(t, c, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("x-debug", "1") })), gatetest.Request(http.MethodGet, "/", ""))
	if silent.Header().Get("Cache-Control") != "no-store" || silent.Header().Get("X-Debug") != "" {
		t.Errorf("a handler that writes nothing: %v", silent.Header())
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	set := func(name, value string) transform.Fields {
		return transform.Fields{Set: map[string]string{name: value}}
	}
	for _, name := range []string{
		"Connection", "keep-alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "Content-Length", "Content-Encoding", "Host",
		"X-Forwarded-For", "x-forwarded-proto", "Forwarded", "Traceparent", "Expect", "Sec-WebSocket-Accept", "X-Real-IP",
	} {
		for _, f := range []transform.Fields{set(name, "x"), {Add: map[string]string{name: "x"}}, {Remove: []string{name}}, {Rename: map[string]string{"X-A": name}}, {Rename: map[string]string{name: "X-A"}}} {
			c := transform.Config{Request: transform.Request{Headers: f}}
			gatetest.Invalid(t, c.Check(), "no rule may name "+name)
			c = transform.Config{Response: transform.Response{Headers: f}}
			gatetest.Invalid(t, c.Check(), "no rule may name "+name)
		}
	}
	js := func(j transform.JSON) transform.Config { return transform.Config{Request: transform.Request{JSON: &j}} }
	for _, c := range []struct {
		config transform.Config
		want   string
	}{
		{transform.Config{Request: transform.Request{Headers: set("a b", "")}}, `"a b" is not the name of a header`},
		{transform.Config{Request: transform.Request{Headers: set("A", "x\r\nB: y")}}, "control character"},
		{transform.Config{Request: transform.Request{Headers: set("A", "{path.x")}}, "not closed"},
		{transform.Config{Request: transform.Request{Headers: set("A", "{cookie.x}")}}, "{cookie.x} is not"},
		{transform.Config{Request: transform.Request{Headers: set("A", "{path.}")}}, "is not {path.NAME}"},
		{transform.Config{Request: transform.Request{Query: set("", "x")}}, "not the name of a parameter"},
		{transform.Config{Response: transform.Response{Headers: set("A", "{header.cookie}")}}, "must not show the request's cookie"},
		{transform.Config{Response: transform.Response{Cookies: &transform.Cookies{SameSite: "None"}}}, "without Secure"},
		{transform.Config{Response: transform.Response{Cookies: &transform.Cookies{SameSite: "lax"}}}, `"lax"`},
		{js(transform.JSON{}), "no rule"},
		{js(transform.JSON{Remove: []string{"a"}}), `"a" is not a path`},
		{js(transform.JSON{Remove: []string{"/a~2"}}), "~ that is not"},
		{js(transform.JSON{Remove: []string{"/**"}}), "**"},
		{js(transform.JSON{Rename: map[string]string{"/**/a": "b"}}), "**"},
		{js(transform.JSON{Set: map[string]string{"/*": "1"}}), "names nothing to set"},
		{js(transform.JSON{Set: map[string]string{"/a": "text"}}), "is not JSON"},
		{js(transform.JSON{Remove: []string{"/a"}, MaxBytes: -1}), "max_bytes"},
		{js(transform.JSON{Remove: []string{"/a"}, Otherwise: "ignore"}), "pass or fail"},
		{js(transform.JSON{Remove: []string{"/a"}, Otherwise: "pass"}), "hides something"},
		{js(transform.JSON{Select: []string{"/a"}, Otherwise: "pass"}), "hides something"},
	} {
		gatetest.Invalid(t, c.config.Check(), c.want)
		if _, err := transform.New(&c.config); err == nil {
			t.Errorf("New took %+v", c.config)
		}
	}
}
