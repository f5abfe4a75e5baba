package compose_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/banyanhq/banyan/gateway/compose"
)

func TestCacheControl(t *testing.T) {
	t.Parallel()
	const hour = "Cache-Control: public, max-age=3600"
	for _, c := range []struct {
		a, b, client, want string
	}{
		{hour, hour, "", "public, max-age=3600"},
		{hour, "Cache-Control: public, max-age=60", "", "public, max-age=60"},
		{hour, "Cache-Control: max-age=60", "", "max-age=60"},
		{hour, "Cache-Control: max-age=60", "Authorization", "private, max-age=60"},
		{hour, "Cache-Control: max-age=60, must-revalidate", "Authorization", "private, max-age=60, must-revalidate"},
		{hour, "Cache-Control: max-age=60", "Cookie", "private, max-age=60"},
		{hour, hour, "Authorization", "public, max-age=3600"},
		{hour, "Cache-Control: private, max-age=60", "", "private, max-age=60"},
		{hour, `Cache-Control: private="x-a, public", max-age="60"`, "", "private, max-age=60"},
		{hour, hour + "\nSet-Cookie: a=b", "", "private, max-age=3600"},
		{hour, "Cache-Control: s-maxage=10, max-age=60", "Authorization", "public, max-age=10"},
		{hour, hour + ", proxy-revalidate, no-transform", "", "public, max-age=3600, must-revalidate, no-transform"},
		{hour, hour + "\nAge: 3500", "", "public, max-age=100"},
		{hour, "Cache-Control: max-age=60\nAge: 60", "", "no-store"},
		{hour, hour + "\nAge: old", "", "no-store"},
		{hour, "Cache-Control: max-age=60, max-age=5", "", "max-age=5"},
		{hour, "Cache-Control: MAX-AGE=60\nCache-Control: No-Store", "", "no-store"},
		{hour, "Cache-Control: no-cache, max-age=60", "", "no-store"},
		{hour, `Cache-Control: no-cache="set-cookie", max-age=60`, "", "no-store"},
		{hour, `Cache-Control: max-age=60, x="`, "", "no-store"},
		{hour, `Cache-Control: max-age=60, x="\", public"`, "", "max-age=60"},
		{hour, "Cache-Control: public", "", "no-store"},
		{hour, "Cache-Control: max-age=x", "", "no-store"},
		{hour, "Cache-Control: max-age=-1", "", "no-store"},
		{hour, "Pragma: no-cache", "", "no-store"},
		{hour, "Date: Mon, 01 Jan 2024 00:00:00 GMT\nExpires: Mon, 01 Jan 2024 00:01:00 GMT", "", "max-age=60"},
		{hour, "Date: Mon, 01 Jan 2024 00:00:00 GMT\nExpires: 0", "", "no-store"},
		{hour, "Expires: Mon, 01 Jan 2024 00:01:00 GMT", "", "no-store"},
		{"Cache-Control: max-age=99999999999", "Date: Mon, 01 Jan 2024 00:00:00 GMT\nExpires: Mon, 01 Jan 9999 00:01:00 GMT", "", "max-age=2147483648"},
		{hour, "Date: Mon, 01 Jan 9999 00:00:00 GMT\nAge: 99999999999\nExpires: Mon, 01 Jan 1900 00:01:00 GMT", "", "no-store"},
		{hour, "Vary: *\n" + hour, "", "no-store"},
		{hour, hour + "\nETag: \"x\"\nLast-Modified: Mon, 01 Jan 2024 00:01:00 GMT", "", "public, max-age=3600"},
		{"Cache-Control: max-age=99999999999999999999", "Cache-Control: max-age=2147483648", "", "max-age=2147483648"},
	} {
		h, _ := build(t, &compose.Config{Parts: parts{"a": {To: "a", Get: "/a"}, "b": {To: "a", Get: "/b"}}}, services{"a/a": c.a + "\n\n1", "a/b": c.b + "\n\n2"}.upstream)
		var lines []string
		if c.client != "" {
			lines = []string{c.client + ": x"}
		}
		w := get(h, "/home", lines...)
		if got := w.Header().Get("Cache-Control"); w.Code != 200 || got != c.want {
			t.Errorf("%q and %q, %s: %d %q, want %q", c.a, c.b, c.client, w.Code, got, c.want)
		}
		if w.Header().Get("ETag")+w.Header().Get("Last-Modified")+w.Header().Get("Set-Cookie")+w.Header().Get("Age") != "" {
			t.Errorf("headers of a part pass: %v", w.Header())
		}
	}
}

func TestVary(t *testing.T) {
	t.Parallel()
	h, _ := build(t, &compose.Config{Parts: parts{"a": {To: "a", Get: "/?l={header.accept-language?de}"}, "b": {To: "a", Get: "/b"}}}, services{
		"a/?l=de": "Vary: X-B, accept-encoding\nVary: x-a\n\n1", "a/b": "Vary: X-A, Accept\n\n2",
	}.upstream)
	w := get(h, "/home")
	if got := strings.Join(w.Header().Values("Vary"), "|"); got != "Accept-Language, X-A, X-B" {
		t.Errorf("%d, Vary %q", w.Code, got)
	}
}

// TestTimeThatOthersTake: what was fresh when it came is older when it is sent.
func TestTimeThatOthersTake(t *testing.T) {
	t.Parallel()
	for took, want := range map[string]string{"0s": "max-age=5", "2s": "max-age=3", "5s": "no-store", "9s": "no-store"} {
		synctest.Test(t, func(t *testing.T) {
			var s slow
			fresh := services{"a/a": "Cache-Control: max-age=5\n\n1"}
			h, _ := build(t, &compose.Config{Parts: parts{"a": {To: "a", Get: "/a"}, "b": {To: "s", Get: "/" + took + "/Cache-Control:%20max-age=60%0A%0A2"}}}, func(name string) http.RoundTripper {
				if name == "s" {
					return s.upstream(name)
				}
				return fresh.upstream(name)
			})
			if got := get(h, "/home").Header().Get("Cache-Control"); got != want {
				t.Errorf("after %s: %q, want %q", took, got, want)
			}
		})
	}
}
