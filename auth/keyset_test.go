package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/auth"
)

// run runs the verifier until the returned function is called.
func run(t *testing.T, v interface{ Run(context.Context) error }) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- v.Run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A hundred rotations while requests with tokens of both keys go on: the new key
// is used from the moment it is published.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	const rotations = 100
	all := make([]*signer, rotations+1)
	for i := range all {
		all[i] = newEC(t, fmt.Sprintf("k%d", i))
	}
	synctest.Test(t, func(t *testing.T) {
		is := &issuer{keys: all[:1], delay: 50 * time.Millisecond}
		v := verifier(t, is, nil)
		stop := run(t, v)
		defer stop()
		time.Sleep(time.Second)
		refused, asked := atomic.Int64{}, atomic.Int64{}
		for i := 1; i <= rotations; i++ {
			is.change(func() { is.keys = all[i-1 : i+1] }) // the old one stays for a while
			var wg sync.WaitGroup
			for n := range 8 {
				wg.Go(func() {
					for j := range 3 {
						time.Sleep(time.Duration(n*7) * time.Millisecond)
						asked.Add(1)
						if _, err := v.Verify(t.Context(), all[i-(n+j)%2].token(claims())); err != nil {
							refused.Add(1)
							t.Errorf("rotation %d: %v", i, err)
						}
					}
				})
			}
			wg.Wait()
			time.Sleep(700 * time.Millisecond) // much faster than the cool-down
		}
		if refused.Load() != 0 || asked.Load() != rotations*24 {
			t.Errorf("%d of %d refused", refused.Load(), asked.Load())
		}
		// One fetch for each rotation at most, and those of the background.
		if is.count() > rotations+10 {
			t.Errorf("%d fetches", is.count())
		}
	})
}

func TestRemovedKeyIsRefusedInTime(t *testing.T) {
	t.Parallel()
	a, b := newEC(t, "a"), newEC(t, "b")
	for _, background := range []bool{true, false} {
		t.Run(fmt.Sprint("Run ", background), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				is := &issuer{keys: []*signer{a, b}}
				v := verifier(t, is, nil)
				if background {
					defer run(t, v)()
				}
				token, other := a.token(claims(object{"exp": time.Now().Add(time.Hour).Unix()})), b.token(claims(object{"exp": time.Now().Add(time.Hour).Unix()}))
				for range 2 {
					if _, err := v.Verify(t.Context(), token); err != nil {
						t.Fatal(err)
					}
				}
				is.change(func() { is.keys = []*signer{b} })
				removed := time.Now()
				for {
					_, err := v.Verify(t.Context(), token) // from the cache, until it no longer is
					if took := time.Since(removed); err == nil && took > time.Minute {
						t.Fatalf("accepted after %v", took)
					}
					if err != nil {
						if reasonOf(err) != auth.ReasonKey {
							t.Error(err)
						}
						break
					}
					time.Sleep(time.Second)
				}
				if _, err := v.Verify(t.Context(), other); err != nil {
					t.Errorf("the key that stays: %v", err)
				}
			})
		})
	}
}

func TestUnknownKeysCauseOneFetchPerCoolDown(t *testing.T) {
	t.Parallel()
	s, evil := newEC(t, "k"), newEC(t, "evil")
	synctest.Test(t, func(t *testing.T) {
		is := &issuer{keys: []*signer{s}, delay: 100 * time.Millisecond}
		v := verifier(t, is, func(_ *auth.Issuer, o *auth.JWTOptions) { o.Refresh = time.Hour })
		defer run(t, v)()
		time.Sleep(time.Second)
		before := is.count()
		const seconds = 60
		for i := range seconds {
			var wg sync.WaitGroup
			for n := range 10 {
				wg.Go(func() {
					token := evil.tokenWith(object{"kid": fmt.Sprintf("made-up-%d-%d", i, n)}, claims())
					if _, err := v.Verify(t.Context(), token); reasonOf(err) != auth.ReasonKey {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if _, err := v.Verify(t.Context(), s.token(claims())); err != nil {
				t.Errorf("a good token meanwhile: %v", err)
			}
			time.Sleep(time.Second)
		}
		if got := is.count() - before; got < 2 || got > 7 {
			t.Errorf("%d fetches in about 65 s", got)
		}
	})
}

func TestFirstRequestsShareAFetch(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	synctest.Test(t, func(t *testing.T) {
		is := &issuer{keys: []*signer{s}, delay: time.Second}
		v := verifier(t, is, nil)
		token := s.token(claims())
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := v.Verify(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		}
		// One whose client goes away gets its answer at once.
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began := time.Now()
		wg.Go(func() {
			synctest.Wait()
			if _, err := v.Verify(ctx, token); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 100*time.Millisecond {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
		wg.Wait()
		if is.count() != 1 {
			t.Errorf("%d fetches", is.count())
		}
	})
}

// The answer of a fetch under way may be older than the key that a request needs:
// it is not taken for the last word.
func TestFetchUnderWayIsOlderThanTheKey(t *testing.T) {
	t.Parallel()
	a, b := newEC(t, "a"), newEC(t, "b")
	synctest.Test(t, func(t *testing.T) {
		is := &issuer{keys: []*signer{a}, delay: 4 * time.Second}
		v := verifier(t, is, nil)
		defer run(t, v)()
		time.Sleep(5 * time.Second)
		for before := is.count(); is.count() == before; {
			time.Sleep(time.Second) // until the background fetches again
		}
		is.change(func() { is.keys = []*signer{a, b} })
		if _, err := v.Verify(t.Context(), b.token(claims())); err != nil {
			t.Error(err)
		}
	})
}

// A client that goes away does not take the fetch of the others with it.
func TestLeaderGoesAway(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	synctest.Test(t, func(t *testing.T) {
		v := verifier(t, &issuer{keys: []*signer{s}, delay: time.Second}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = v.Verify(ctx, s.token(claims())) })
		synctest.Wait()
		if _, err := v.Verify(t.Context(), s.token(claims())); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}

// An issuer that is down at the start delays nothing: 503 until it answers.
func TestIssuerDownAtStart(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	synctest.Test(t, func(t *testing.T) {
		is := &issuer{keys: []*signer{s}, err: errDown}
		v := verifier(t, is, nil)
		defer run(t, v)()
		_, err := v.Verify(t.Context(), s.token(claims()))
		if statusOf(err) != http.StatusServiceUnavailable || !errors.Is(err, banyan.ErrUnavailable) || !banyan.Retryable(err) {
			t.Errorf("%v", err)
		}
		if err := v.Health(t.Context()); !errors.Is(err, banyan.ErrUnavailable) {
			t.Errorf("healthy: %v", err)
		}
		if st := v.Status()[0]; st.Usable || !errors.Is(st.Err, errDown) {
			t.Errorf("%+v", st)
		}
		time.Sleep(20 * time.Second)
		is.change(func() { is.err = nil })
		time.Sleep(30 * time.Second) // the retry comes by itself
		if err := v.Health(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := v.Verify(t.Context(), s.token(claims())); err != nil {
			t.Error(err)
		}
		if n := is.count(); n > 15 {
			t.Errorf("%d fetches of an issuer that was down for 20 s", n)
		}
	})
}

func TestStaleKeys(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	for name, break_ := range map[string]func(*issuer){
		"down":            func(i *issuer) { i.err = errDown },
		"hangs":           func(i *issuer) { i.delay = time.Hour },
		"500":             func(i *issuer) { i.status = 500 },
		"404":             func(i *issuer) { i.status = 404 },
		"redirect":        func(i *issuer) { i.status = 302 },
		"HTML":            func(i *issuer) { i.body = []byte("<html>maintenance</html>") },
		"no keys member":  func(i *issuer) { i.body = []byte("{}") },
		"a list":          func(i *issuer) { i.body = []byte("[]") },
		"1 MB":            func(i *issuer) { i.body = []byte(`{"keys":[],"x":"` + strings.Repeat("a", 1<<20) + `"}`) },
		"spaces behind":   func(i *issuer) { i.body = []byte(`{"keys":[]}` + strings.Repeat(" ", 1<<20)) },
		"a thousand keys": func(i *issuer) { i.body = []byte(`{"keys":[` + strings.Repeat("{},", 1000) + `{}]}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				is := &issuer{keys: []*signer{s}}
				v := verifier(t, is, nil)
				defer run(t, v)()
				is.change(func() { break_(is) })
				var last time.Duration
				for began := time.Now(); time.Since(began) < 2*time.Hour; time.Sleep(time.Minute) {
					_, err := v.Verify(t.Context(), s.token(claims()))
					if err == nil {
						last = time.Since(began)
						continue
					}
					if statusOf(err) != http.StatusServiceUnavailable {
						t.Fatal(err)
					}
				}
				if last < 59*time.Minute || last > 61*time.Minute {
					t.Errorf("the last was accepted after %v, want an hour", last)
				}
			})
		})
	}
}

func TestCachedTokensEndWithTrust(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	synctest.Test(t, func(t *testing.T) {
		is := &issuer{keys: []*signer{s}}
		v := verifier(t, is, nil)
		defer run(t, v)()
		token := s.token(claims(object{"exp": time.Now().Add(24 * time.Hour).Unix()}))
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		is.change(func() { is.err = errDown })
		time.Sleep(2 * time.Hour)
		if _, err := v.Verify(t.Context(), token); statusOf(err) != http.StatusServiceUnavailable {
			t.Errorf("a remembered token after the keys became too old: %v", err)
		}
	})
}

func TestCachedTokensExpire(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	synctest.Test(t, func(t *testing.T) {
		v := verifier(t, &issuer{keys: []*signer{s}}, func(_ *auth.Issuer, o *auth.JWTOptions) { o.Leeway = -1 })
		token := s.token(claims(object{"exp": time.Now().Add(10 * time.Second).Unix()}))
		for range 10 {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if _, err := v.Verify(t.Context(), token); reasonOf(err) != auth.ReasonExpired {
			t.Errorf("at exp: %v", err)
		}
	})
}

func TestAnEmptySetIsObeyed(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	synctest.Test(t, func(t *testing.T) {
		is := &issuer{keys: []*signer{s}}
		v := verifier(t, is, nil)
		defer run(t, v)()
		is.change(func() { is.keys = nil })
		time.Sleep(time.Minute)
		if _, err := v.Verify(t.Context(), s.token(claims())); reasonOf(err) != auth.ReasonKey {
			t.Error(err)
		}
	})
}

// The same id with another key: seen at the next refresh, and the tokens of the
// old key end.
func TestKeyReplacedUnderItsID(t *testing.T) {
	t.Parallel()
	a, b := newEC(t, "k"), newEC(t, "k")
	synctest.Test(t, func(t *testing.T) {
		is := &issuer{keys: []*signer{a}}
		v := verifier(t, is, nil)
		defer run(t, v)()
		old := a.token(claims())
		if _, err := v.Verify(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		is.change(func() { is.keys = []*signer{b} })
		time.Sleep(30 * time.Second)
		if _, err := v.Verify(t.Context(), old); reasonOf(err) != auth.ReasonSignature {
			t.Errorf("old: %v", err)
		}
		if _, err := v.Verify(t.Context(), b.token(claims())); err != nil {
			t.Errorf("new: %v", err)
		}
	})
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := newEC(t, "k")
	discovering := func(i *auth.Issuer, _ *auth.JWTOptions) { i.KeysURL = "" }
	is := &issuer{keys: []*signer{s}}
	if _, err := verifier(t, is, discovering).Verify(t.Context(), s.token(claims())); err != nil {
		t.Fatal(err)
	}
	if len(is.urls) != 2 || is.urls[0] != issuerURL+"/.well-known/openid-configuration" {
		t.Errorf("fetched %v", is.urls)
	}
	for name, doc := range map[string]string{
		"another issuer (OIDC Discovery §4.3)": `{"issuer":"https://evil.example","jwks_uri":"` + issuerURL + `/keys"}`,
		"issuer with a slash":                  `{"issuer":"` + issuerURL + `/","jwks_uri":"` + issuerURL + `/keys"}`,
		"keys over http":                       `{"issuer":"` + issuerURL + `","jwks_uri":"http://id.example/keys"}`,
		"keys in a file":                       `{"issuer":"` + issuerURL + `","jwks_uri":"file:///etc/keys"}`,
		"no keys":                              `{"issuer":"` + issuerURL + `"}`,
		"no JSON":                              `<html>`,
	} {
		is := &issuer{keys: []*signer{s}, answers: map[string]string{"/.well-known/openid-configuration": doc}}
		_, err := verifier(t, is, discovering).Verify(t.Context(), s.token(claims()))
		if statusOf(err) != http.StatusServiceUnavailable || is.count() != 1 {
			t.Errorf("%s: %v, %d fetches", name, err, is.count())
		}
	}
}

// G23: addresses that are not public are refused when connecting.
func TestKeysAreNotFetchedFromPrivateAddresses(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		_, _ = w.Write([]byte(`{"keys":[]}`))
	}))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := newEC(t, "k")
	fetch := func(host string, allow ...netip.Prefix) error {
		var failed error
		v := verifier(t, nil, func(i *auth.Issuer, o *auth.JWTOptions) {
			i.KeysURL = "http://" + net.JoinHostPort(host, port) + "/keys"
			o.Transport, o.AllowHTTP, o.AllowNetworks = nil, true, allow
			o.KeyHooks = &auth.KeyHooks{Fetched: func(_ context.Context, _ string, _ int, _ time.Duration, err error) { failed = err }}
		})
		_, _ = v.Verify(t.Context(), s.token(claims()))
		return failed
	}
	for _, host := range []string{
		"127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "169.254.169.254", "10.0.0.1", "172.16.0.1",
		"192.168.1.1", "100.64.0.1", "fd00::1", "fe80::1", "224.0.0.1", "255.255.255.255", "64:ff9b::7f00:1", "2002:7f00:1::",
		"::127.0.0.1", "fec0::1", "198.18.0.1", "localhost",
	} {
		if err := fetch(host); err == nil || !strings.Contains(err.Error(), "not public") {
			t.Errorf("%s: %v", host, err)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests arrived", hits.Load())
	}
	if err := fetch("127.0.0.1", netip.MustParsePrefix("127.0.0.0/8")); err != nil || hits.Load() != 1 {
		t.Errorf("allowed: %v, %d requests", err, hits.Load())
	}
	// An odd spelling of the loopback address is either no address or refused.
	for _, host := range []string{"2130706433", "0x7f.1", "0177.0.0.1"} {
		if err := fetch(host); err == nil {
			t.Errorf("%s: fetched", host)
		}
	}
}

func TestRunTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := verifier(t, &issuer{}, nil)
		defer run(t, v)()
		if err := v.Run(t.Context()); !errors.Is(err, banyan.ErrExists) {
			t.Error(err)
		}
	})
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	good := auth.Issuer{URL: issuerURL, Audiences: []string{audience}}
	change := func(f func(*auth.Issuer)) []auth.Issuer {
		i := good
		f(&i)
		return []auth.Issuer{i}
	}
	for name, c := range map[string]struct {
		issuers []auth.Issuer
		opts    *auth.JWTOptions
	}{
		"no issuer":         {nil, nil},
		"twice":             {[]auth.Issuer{good, good}, nil},
		"http":              {change(func(i *auth.Issuer) { i.URL = "http://id.example" }), nil},
		"no URL":            {change(func(i *auth.Issuer) { i.URL = "id" }), nil},
		"password in it":    {change(func(i *auth.Issuer) { i.URL = "https://u:p@id.example" }), nil},
		"keys over http":    {change(func(i *auth.Issuer) { i.KeysURL = "http://id.example/k" }), nil},
		"no audience":       {change(func(i *auth.Issuer) { i.Audiences = nil }), nil},
		"none":              {change(func(i *auth.Issuer) { i.Algorithms = []string{"none"} }), nil},
		"HS256":             {change(func(i *auth.Issuer) { i.Algorithms = []string{"RS256", "HS256"} }), nil},
		"leeway of 61 s":    {[]auth.Issuer{good}, &auth.JWTOptions{Leeway: 61 * time.Second}},
		"refresh of 1 ms":   {[]auth.Issuer{good}, &auth.JWTOptions{Refresh: time.Millisecond}},
		"negative limit":    {[]auth.Issuer{good}, &auth.JWTOptions{MaxToken: -1}},
		"negative cooldown": {[]auth.Issuer{good}, &auth.JWTOptions{CoolDown: -1}},
	} {
		if _, err := auth.NewJWT(c.issuers, c.opts); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each issuer speaks with its own keys and for itself only (RFC 8725 §3.8).
func TestIssuersDoNotVouchForEachOther(t *testing.T) {
	t.Parallel()
	a, b := newEC(t, "k"), newEC(t, "k")
	keysOf := func(s *signer) string { return `{"keys":[` + mustJSON(s.jwk()) + `]}` }
	is := &issuer{answers: map[string]string{"/a": keysOf(a), "/b": keysOf(b)}}
	v, err := auth.NewJWT([]auth.Issuer{
		{URL: "https://a.example", KeysURL: "https://a.example/a", Audiences: []string{audience}},
		{URL: "https://b.example", KeysURL: "https://b.example/b", Audiences: []string{audience}, Algorithms: []string{"RS256"}},
	}, &auth.JWTOptions{Transport: is})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), a.token(claims(object{"iss": "https://a.example"}))); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), b.token(claims(object{"iss": "https://a.example"}))); reasonOf(err) != auth.ReasonSignature {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), b.token(claims(object{"iss": "https://b.example"}))); reasonOf(err) != auth.ReasonAlgorithm {
		t.Errorf("an algorithm that only the other may use: %v", err)
	}
}
