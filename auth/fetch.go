package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// maxDocument bounds what is read of a key set or a discovery document.
const maxDocument = 256 << 10

// fetcher gets documents of issuers.
type fetcher struct {
	client  *http.Client
	timeout time.Duration
}

func newFetcher(o JWTOptions) *fetcher {
	transport := o.Transport
	if transport == nil {
		transport = newTransport(o.AllowNetworks)
	}
	return &fetcher{
		timeout: o.FetchTimeout,
		client: &http.Client{
			Transport: transport,
			// A redirect would be the issuer's words about where its keys are;
			// that is what discovery is for.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// newTransport keeps no connection: idle ones have goroutines, and one fetch in
// half a minute gains nothing from them. It uses no proxy, which would connect
// wherever it is told, past the check of addresses.
func newTransport(allowed []netip.Prefix) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: control(allowed)}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		DisableKeepAlives:      true,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// get reads a document. The body of an answer is never in an error: an issuer
// might put a secret there.
func (f *fetcher) get(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("the URL is not valid")
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	req.Header.Set("Cache-Control", "no-cache")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %d, want 200", resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(data) > maxDocument {
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxDocument)
	}
	return data, nil
}

// withoutURL drops the address from an error of net/http: its query may hold a
// secret.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// discover asks the issuer where its keys are (OpenID Connect Discovery §4). The
// document must name the issuer it was asked of (§4.3), or anybody who can write
// one document could vouch for somebody else.
func (f *fetcher) discover(ctx context.Context, issuer string, allowHTTP bool) (string, error) {
	data, err := f.get(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	var doc struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return "", errors.New("the discovery document is no JSON object")
	}
	if doc.Issuer != issuer {
		return "", errors.New("the discovery document names another issuer")
	}
	if err := checkURL(doc.Keys, allowHTTP); err != nil {
		return "", fmt.Errorf("jwks_uri in the discovery document: %w", err)
	}
	return doc.Keys, nil
}

func checkURL(s string, allowHTTP bool) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return errors.New("not an absolute URL")
	case u.User != nil:
		return errors.New("has a user or password in it")
	case u.Scheme != "https" && (u.Scheme != "http" || !allowHTTP):
		return errors.New("not https")
	}
	return nil
}
