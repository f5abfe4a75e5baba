package gatebench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/http1"
)

// The kinds of servers that this program can be.
const (
	kindServer       = "server"
	kindGateway      = "gateway"
	kindGatewayTLS   = "gateway-tls"
	kindPolicies     = "policies"
	kindCache        = "cache"
	kindReverseProxy = "reverse-proxy"
)

// Serve is one of the servers that Run starts, until the context ends.
func Serve(ctx context.Context, kind, listen, behind string) error {
	debug.SetGCPercent(collectAt)
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	switch kind {
	case kindServer:
		s, err := http1.NewServer(http.HandlerFunc(serveAnswer), nil)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = s.Close() })
		return served(s.Serve(l))
	case kindReverseProxy:
		u := &url.URL{Scheme: "http", Host: behind}
		p := &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u); r.SetXForwarded() },
			Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		}
		s := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
		context.AfterFunc(ctx, func() { _ = s.Close() })
		return served(s.Serve(l))
	}
	return serveGateway(ctx, kind, l, behind)
}

// served leaves out that the server was closed, which is how each ends.
func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func serveAnswer(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(answer))}
	_, _ = io.WriteString(w, answer) // a client that is gone does not read it
}

func serveGateway(ctx context.Context, kind string, l net.Listener, behind string) error {
	c := &gateway.Config{
		Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{"http://" + behind}}},
		Routes:    []gateway.Route{{Match: "/", To: "u"}},
	}
	o, front := &gateway.Options{}, &gateway.FrontOptions{}
	stop, err := configure(ctx, kind, c, o, front)
	if err != nil {
		return err
	}
	defer stop()
	g, err := gateway.New(c, o)
	if err != nil {
		return err
	}
	defer g.Close()
	f, err := gateway.NewFront(g, front)
	if err != nil {
		return err
	}
	return f.Run(ctx, l)
}

// configure adds what a kind of gateway has. stop ends what it has started.
func configure(ctx context.Context, kind string, c *gateway.Config, o *gateway.Options, front *gateway.FrontOptions) (stop func(), err error) {
	stop = func() {}
	switch kind {
	case kindGateway:
	case kindGatewayTLS:
		front.TLS, err = tlsConfig()
	case kindCache:
		c.Routes[0].Cache = &gateway.RouteCache{TTL: time.Hour}
	case kindPolicies:
		stop, err = policies(ctx, c, o)
	default:
		err = fmt.Errorf("no such server: %q", kind)
	}
	return stop, err
}

// policies switches everything on. The access log is that of "banyan run".
func policies(ctx context.Context, c *gateway.Config, o *gateway.Options) (stop func(), err error) {
	keys, stopKeys, err := serveKeys()
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		stopKeys()
		return nil, err
	}
	c.Credentials = map[string]gateway.Credential{"people": {JWT: &gateway.JWT{Issuer: benchIssuer, KeysURL: keys, Audiences: []string{"bench"}, AllowHTTP: true, AllowNetworks: []string{"127.0.0.0/8"}}}}
	c.Routes[0].Auth = &gateway.Access{By: []string{"people"}, Forward: map[string]string{"X-User": "subject"}}
	c.Routes[0].Limits = []gateway.RouteLimit{{Rate: "1000000/s", Per: "identity"}}
	log := slog.New(slog.NewJSONHandler(file, nil))
	o.Hooks.Served = func(s gateway.Served) {
		log.LogAttrs(ctx, slog.LevelInfo, "request",
			slog.String("route", s.Route), slog.String("client", s.Client), slog.String("method", s.Method), slog.String("host", s.Host), slog.String("path", s.Path),
			slog.String("proto", s.Proto), slog.Int("status", s.Status), slog.Int64("bytes", s.Bytes), slog.Float64("took_ms", float64(s.Took.Microseconds())/1000), slog.String("trace", s.Trace))
	}
	return func() {
		stopKeys()
		_ = file.Close() // it kept nothing
	}, nil
}

const benchIssuer = "http://issuer.bench"

// benchKey is the same in all processes of a run. It protects nothing.
func benchKey() (*ecdsa.PrivateKey, error) {
	var raw [32]byte
	copy(raw[:], "banyan bench")
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), raw[:])
}

// serveKeys serves the public key of the bench.
func serveKeys() (address string, stop func(), err error) {
	key, err := benchKey()
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}}
	s := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(set) // a client that is gone does not read it
	})}
	go func() { _ = s.Serve(l) }()
	return "http://" + l.Addr().String(), func() { _ = s.Close() }, nil
}

// tokens returns headers with tokens that the gateway with policies takes, each of
// another person.
func tokens(n int) ([]string, error) {
	key, err := benchKey()
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "1"))
	if err != nil {
		return nil, err
	}
	all := make([]string, n)
	for i := range all {
		if all[i], err = token(signer, fmt.Sprintf("person-%d", i)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// token returns the header of one person.
func token(signer jose.Signer, subject string) (string, error) {
	now := time.Now().Unix()
	id := make([]byte, 8)
	_, _ = rand.Read(id)                      // it never fails
	claims, _ := json.Marshal(map[string]any{ // of strings and numbers: it cannot fail
		"iss": benchIssuer, "aud": "bench", "sub": subject, "client_id": "bench", "iat": now, "exp": now + 3600, "jti": fmt.Sprintf("%x", id), "scope": "orders",
	})
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	text, err := signed.CompactSerialize()
	return "Authorization: Bearer " + text + "\r\n", err
}
