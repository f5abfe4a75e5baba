package auth_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/auth"
)

func forwarder(t testing.TB, o *auth.ForwardOptions, pairs ...string) *auth.Forwarder {
	t.Helper()
	var headers []auth.Header
	for i := 0; i+1 < len(pairs); i += 2 {
		headers = append(headers, auth.Header{Name: pairs[i], From: pairs[i+1]})
	}
	f, err := auth.NewForwarder(headers, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// identified is a request with an identity and any headers, also such as
// net/http would spell differently.
func identified(t testing.TB, id *auth.Identity, h http.Header) *http.Request {
	t.Helper()
	r := get(t, "/")
	r.Header = h
	if id != nil {
		r = r.WithContext(auth.With(r.Context(), *id))
	}
	return r
}

// G14: identity headers of clients never arrive, in no spelling, whether the
// identity has a value for them, has none, or there is no identity.
func TestIdentityHeaders(t *testing.T) {
	t.Parallel()
	f := forwarder(t, nil, "X-User", "subject", "X-Team", "claims.team")
	claims, err := auth.NewClaims(map[string]any{"team": "blue"})
	if err != nil {
		t.Fatal(err)
	}
	with, without := &auth.Identity{Subject: "ann", Claims: claims}, &auth.Identity{Subject: "ann"}
	spellings := []string{
		"X-User", "x-user", "X-USER", "x-User", "X_User", "x_user", "X-User", "X.User", "X User", "X~User", "x-uSeR",
		"X-Team", "x-team", "X_TEAM", "X_Team", "x.team", "X-tEAM",
	}
	for _, spelling := range spellings {
		for name, c := range map[string]struct {
			id   *auth.Identity
			want http.Header
		}{
			"claim present": {with, http.Header{"X-User": {"ann"}, "X-Team": {"blue"}, "Accept": {"*/*"}}},
			"claim missing": {without, http.Header{"X-User": {"ann"}, "Accept": {"*/*"}}},
			"anonymous":     {nil, http.Header{"Accept": {"*/*"}}},
		} {
			for _, values := range [][]string{{"root"}, {"root", "admin"}, {""}, {"root, admin"}} {
				_, seen := serve(f.Wrap, identified(t, c.id, http.Header{spelling: values, "Accept": {"*/*"}}))
				if diff := cmp.Diff(c.want, seen.Header); diff != "" {
					t.Errorf("%s %q, %s: %s", spelling, values, name, diff)
				}
			}
		}
	}
}

func TestIdentityHeadersOfAnySpelling(t *testing.T) {
	t.Parallel()
	f := forwarder(t, nil, "X-User-Id", "subject")
	rapid.Check(t, func(t *rapid.T) {
		h := http.Header{}
		for range rapid.IntRange(1, 5).Draw(t, "n") {
			name := []byte("x-user-id")
			for i := range name {
				if name[i] == '-' {
					name[i] = rapid.SampledFrom([]byte("-_. ~!+")).Draw(t, "separator")
				} else if rapid.Bool().Draw(t, "capital") {
					name[i] -= 'a' - 'A'
				}
			}
			h[string(name)] = rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "values")
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = h
		_, seen := serve(f.Wrap, r.WithContext(auth.With(r.Context(), auth.Identity{Subject: "ann"})))
		if diff := cmp.Diff(http.Header{"X-User-Id": {"ann"}}, seen.Header); diff != "" {
			t.Fatal(diff)
		}
	})
}

// RFC 9440 §4 and M7, and the user's own patterns.
func TestOtherHeadersAreRemoved(t *testing.T) {
	t.Parallel()
	f := forwarder(t, &auth.ForwardOptions{Remove: []string{"X-Auth-*", "X-Debug"}}, "X-User", "subject")
	h := http.Header{"X-Authority": {"kept"}, "X-Debugger": {"kept"}}
	for _, name := range []string{
		"Client-Cert", "client_cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert", "X_FORWARDED_CLIENT_CERT", "X-SSL-Client-Verify",
		"X_Ssl_Cert", "X-Ssl-", "X-Auth-Request-User", "x_auth_email", "X-Debug",
	} {
		h[name] = []string{"forged"}
	}
	_, seen := serve(f.Wrap, identified(t, nil, h))
	if diff := cmp.Diff(http.Header{"X-Authority": {"kept"}, "X-Debugger": {"kept"}}, seen.Header); diff != "" {
		t.Error(diff)
	}
	if len(h) != 13 {
		t.Error("the caller's own request was changed")
	}
}

// RFC 9110 §7.6.1: what Connection names is dropped by the next proxy.
func TestConnectionCannotDropIdentityHeaders(t *testing.T) {
	t.Parallel()
	f := forwarder(t, nil, "X-User", "subject")
	for in, want := range map[string][]string{
		"close, X-User":                      {"close"},
		"x_user":                             nil,
		"X-USER,keep-alive , x-user, X.User": {"keep-alive"},
		"upgrade":                            {"upgrade"},
	} {
		_, seen := serve(f.Wrap, identified(t, &auth.Identity{Subject: "ann"}, http.Header{"Connection": {in}}))
		if diff := cmp.Diff(want, seen.Header["Connection"]); diff != "" || seen.Header.Get("X-User") != "ann" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

// RFC 9110 §6.5: a trailer must not become a header, nor pass.
func TestTrailersCannotForgeIdentity(t *testing.T) {
	t.Parallel()
	f := forwarder(t, nil, "X-User", "subject")
	got := make(chan http.Header, 1)
	server := httptest.NewServer(f.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		got <- r.Trailer
	})))
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nTrailer: X-User, Digest\r\n\r\n"+
		"1\r\nx\r\n0\r\nX-User: root\r\nx_user: root\r\nDigest: abc\r\n\r\n")
	_, _ = bufio.NewReader(conn).ReadString('\n')
	if diff := cmp.Diff(http.Header{"Digest": {"abc"}}, <-got); diff != "" {
		t.Error(diff)
	}
}

func TestForwardedValues(t *testing.T) {
	t.Parallel()
	claims, err := auth.NewClaims(map[string]any{
		"number": 9007199254740993, "float": 1.5, "yes": true, "list": []any{"a", 1, true}, "empty": []any{}, "nothing": nil,
		"blank": "", "object": map[string]any{"roles": []any{"x"}}, "https://x.example/role": "u", "umlaut": "Jörg",
		"comma": []any{"user,admin"}, "nested": []any{[]any{"a"}}, "hole": []any{"a", ""}, "crlf": "a\r\nX-Admin: 1", "nul": "a\x00",
		"tail": "admin ", "head": " admin", "nbsp": "admin\u00a0", "del": "a\x7f", "c1": "a\u0085b", "long": strings.Repeat("a", 5000), "quote": []any{`a"b`},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := &auth.Identity{
		Method: auth.MethodJWT, Subject: "ann", Issuer: issuerURL, ClientID: "web", Tenant: "acme", Scopes: "a b",
		Claims: claims, Expires: time.Unix(1_700_000_000, 0),
	}
	for from, want := range map[string]string{
		"subject": "ann", "issuer": issuerURL, "client": "web", "tenant": "acme", "scopes": "a b", "method": "jwt",
		"expires": "1700000000", "key": id.Key(), "claims.number": "9007199254740993", "claims.float": "1.5", "claims.yes": "true",
		"claims.list": "a,1,true", "claims.object.roles": "x", "claims.https://x.example/role": "u", "claims.umlaut": "Jörg",
		// no value, or none that a header can carry
		"claims.empty": "", "claims.nothing": "", "claims.blank": "", "claims.missing": "", "claims.object": "", "claims.object.missing": "",
		"claims.comma": "", "claims.nested": "", "claims.hole": "", "claims.crlf": "", "claims.nul": "", "claims.tail": "", "claims.head": "",
		"claims.nbsp": "", "claims.del": "", "claims.c1": "", "claims.long": "", "claims.quote": "", "claims.yes.x": "",
	} {
		f := forwarder(t, nil, "X-Value", from)
		_, seen := serve(f.Wrap, identified(t, id, http.Header{"x_value": {"forged"}}))
		expected := http.Header{}
		if want != "" {
			expected["X-Value"] = []string{want}
		}
		if diff := cmp.Diff(expected, seen.Header); diff != "" {
			t.Errorf("%s: %s", from, diff)
		}
	}
	omitted := 0
	f := forwarder(t, &auth.ForwardOptions{Omitted: func(*http.Request, string) { omitted++ }}, "X-A", "claims.crlf", "X-B", "claims.missing")
	serve(f.Wrap, identified(t, id, http.Header{}))
	if omitted != 1 {
		t.Errorf("%d omitted", omitted)
	}
}

func TestForwarderConfiguration(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string][]auth.Header{
		"no source":     {{Name: "X-User", From: "sub"}},
		"no claim":      {{Name: "X-User", From: "claims."}},
		"underscore":    {{Name: "X_User", From: "subject"}},
		"space":         {{Name: "X User", From: "subject"}},
		"empty":         {{From: "subject"}},
		"Host":          {{Name: "host", From: "subject"}},
		"Authorization": {{Name: "authorization", From: "subject"}},
		"Connection":    {{Name: "Connection", From: "subject"}},
		"twice":         {{Name: "X-User", From: "subject"}, {Name: "x-user", From: "tenant"}},
	} {
		if _, err := auth.NewForwarder(headers, nil); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, remove := range []string{"*", "", "Host", "a b"} {
		if _, err := auth.NewForwarder(nil, &auth.ForwardOptions{Remove: []string{remove}}); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%q: %v", remove, err)
		}
	}
}
