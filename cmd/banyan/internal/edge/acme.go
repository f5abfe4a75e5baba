package edge

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/gateway/acme"
)

// authority gets the certificates of the front door, and answers challenges by HTTP
// where it is asked to.
type authority struct {
	manager  *acme.Manager
	listener net.Listener // nil: no challenges by HTTP
}

// openAuthority prepares it.
func (e *Edge) openAuthority(ctx context.Context, c *gateway.ACME) (err error) {
	config := ACME(c)
	a := &authority{}
	if a.manager, err = acme.New(&config, e.options.Log); err != nil {
		return err
	}
	if c.HTTP != "" {
		if a.listener, err = e.listen(ctx, "tls.acme.http", c.HTTP); err != nil {
			return err
		}
	}
	e.authority = a
	return nil
}

// ACME is the part of a configuration that package acme takes.
func ACME(c *gateway.ACME) acme.Config {
	return acme.Config{
		Domains: c.Domains, Email: c.Email, Directory: c.Directory, Storage: c.Storage, CARoot: c.CARoot,
		EABKeyID: c.EABKeyID, EABKeyFile: c.EABKeyFile,
	}
}

// serveHTTP answers challenges, and sends everybody else to https.
func (a *authority) serveHTTP(ctx context.Context) error {
	s := &http.Server{
		Handler:           a.manager.HTTPChallenge(http.HandlerFunc(toHTTPS)),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // its answers are short
	defer stop()
	if err := s.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// toHTTPS redirects so that a request keeps its method.
func toHTTPS(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if u := (&url.URL{Host: host}); u.Port() != "" {
		host = strings.TrimSuffix(host, ":"+u.Port()) // an IPv6 address keeps its brackets
	}
	path := r.URL.RequestURI()
	if host == "" { // HTTP/1.0
		http.Error(w, "there is no Host", http.StatusBadRequest)
		return
	}
	if path[0] != '/' { // of OPTIONS *, or CONNECT
		path = "/"
	}
	http.Redirect(w, r, "https://"+host+path, http.StatusPermanentRedirect)
}
