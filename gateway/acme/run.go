package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/banyanhq/banyan"
)

const (
	// startAgain is the pause after what should not happen, such as no free port.
	startAgain = time.Minute
	// obtainAgain is the pause when certmagic has given up a name: after a month, or
	// because the authority refuses what its staging twin grants.
	obtainAgain = time.Hour
	// stopWait is how long the end waits for a look at the certificates.
	stopWait = 2 * time.Second
)

// Run loads, obtains and renews the certificates until ctx ends. It returns nil
// then, and an error only if it is running already.
func (m *Manager) Run(ctx context.Context) error {
	if !m.running.CompareAndSwap(false, true) {
		return fmt.Errorf("acme: run: %w: it is running already", banyan.ErrInvalid)
	}
	defer m.running.Store(false)
	for ctx.Err() == nil {
		if err := m.run(ctx); err != nil {
			m.log.Error("acme: cannot start, will try again", "error", err, "after", startAgain)
			pause(ctx, startAgain)
		}
	}
	return nil
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, long time.Duration) {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (m *Manager) run(ctx context.Context) error {
	decoy, err := listen()
	if err != nil {
		return err
	}
	defer decoy.close()
	s := &service{}
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return s.magic, nil },
		RenewCheckInterval: m.every,
		Logger:             zapLogger(m.log),
	})
	defer stop(cache)
	m.prepare(s, cache, decoy.port)
	absent := m.load(ctx, s)
	m.service.Store(s)
	m.once.Do(func() { close(m.loaded) })
	var wg sync.WaitGroup
	for _, domain := range absent {
		wg.Go(func() {
			m.patient(ctx, s, domain)
			m.obtain(ctx, s, domain)
		})
	}
	// Those that expired while nobody ran; the next look is in ten minutes. It asks
	// for renewal information one by one, which may take minutes.
	if m.mayRenew(ctx, s) {
		if err := cache.RenewManagedCertificates(ctx); err != nil {
			m.log.Error("acme: renew", "error", err)
		}
	}
	wg.Wait()
	<-ctx.Done()
	return nil
}

// stop ends the looks of a cache. One that is under way asks the authority with a
// context of its own: where that hangs it is left to its timeouts, of half a minute
// for each request, as a gateway that is told to end has not that long.
func stop(cache *certmagic.Cache) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		cache.Stop()
	}()
	timer := time.NewTimer(stopWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

func (m *Manager) prepare(s *service, cache *certmagic.Cache, port int) {
	log := zapLogger(m.log)
	s.magic = certmagic.New(cache, certmagic.Config{
		Storage:           &certmagic.FileStorage{Path: m.config.Storage},
		DefaultServerName: m.config.Domains[0],
		OnEvent:           func(ctx context.Context, what string, data map[string]any) error { return m.event(ctx, s, what, data) },
		ShouldEmitFunc:    func(what string) bool { return what == obtained || what == failed }, // none of each handshake
		// The responder would be asked before anything is served, by a client without
		// a timeout. Revocation is told by renewal information.
		OCSP:   certmagic.OCSPConfig{DisableStapling: true},
		Logger: log,
	})
	s.issuer = certmagic.NewACMEIssuer(s.magic, certmagic.ACMEIssuer{
		CA:              m.config.Directory,
		Email:           m.config.Email,
		Agreed:          true,
		ExternalAccount: m.eab,
		TrustedRoots:    m.roots,
		ListenHost:      "127.0.0.1",
		AltHTTPPort:     port,
		AltTLSALPNPort:  port,
		HTTPProxy:       http.ProxyFromEnvironment,
		Logger:          log,
	})
	s.magic.Issuers = []certmagic.Issuer{s.issuer}
}

// load reads what is stored and returns the names of which nothing is.
func (m *Manager) load(ctx context.Context, s *service) (absent []string) {
	var mu sync.Mutex // guards absent
	var wg sync.WaitGroup
	for _, domain := range m.config.Domains {
		wg.Go(func() {
			_, err := s.magic.CacheManagedCertificate(ctx, domain)
			if err == nil {
				return
			}
			if !errors.Is(err, fs.ErrNotExist) {
				m.log.Error("acme: what is stored cannot be used", "domain", domain, "error", err)
			}
			mu.Lock()
			defer mu.Unlock()
			absent = append(absent, domain)
		})
	}
	wg.Wait()
	return absent
}

// obtain gets a first certificate.
func (m *Manager) obtain(ctx context.Context, s *service, domain string) {
	for ctx.Err() == nil {
		m.discard(ctx, s, domain)
		err := s.magic.ObtainCertAsync(ctx, domain) // it tries again for a month
		if err == nil {
			_, err = s.magic.CacheManagedCertificate(ctx, domain)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		m.log.Error("acme: no certificate, will try again", "domain", domain, "error", err, "after", obtainAgain)
		pause(ctx, obtainAgain)
	}
}

// discard deletes a certificate and a key that do not belong together, as a crash
// between writing the one and the other leaves them: certmagic would neither serve
// nor replace them. What cannot be read stays, and so does what another process is
// writing.
func (m *Manager) discard(ctx context.Context, s *service, domain string) {
	keys, from := certmagic.StorageKeys, s.issuer.IssuerKey()
	for range 2 {
		cert, errCert := s.magic.Storage.Load(ctx, keys.SiteCert(from, domain))
		key, errKey := s.magic.Storage.Load(ctx, keys.SitePrivateKey(from, domain))
		if errCert != nil || errKey != nil {
			return
		}
		if _, err := tls.X509KeyPair(cert, key); err == nil {
			return
		}
		pause(ctx, m.writing)
	}
	if ctx.Err() != nil {
		return
	}
	m.log.Error("acme: the stored certificate and key do not belong together, and are deleted", "domain", domain)
	if err := s.magic.Storage.Delete(ctx, keys.CertsSitePrefix(from, domain)); err != nil {
		m.log.Error("acme: delete from storage", "domain", domain, "error", err)
	}
}

// The events of certmagic that are of use.
const (
	obtained = "cert_obtained"
	failed   = "cert_failed"
)

// event is told by certmagic what happens. It is called for each handshake too,
// which must not meet on a lock.
func (m *Manager) event(ctx context.Context, s *service, what string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	switch what {
	case obtained:
		m.fail(name, nil)
		renewal, _ := data["renewal"].(bool)
		m.log.Info("acme: certificate obtained", "domain", name, "renewal", renewal)
	case failed:
		if err, ok := data["error"].(error); ok {
			m.fail(name, err)
			m.refused(ctx, s, name, err)
		}
	}
	return nil
}

// fail keeps why there is no new certificate; nil: there is one.
func (m *Manager) fail(name string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		delete(m.failed, name)
	} else {
		m.failed[name] = err
	}
}

// decoy is a listener that answers nothing. certmagic would open ports 80 and 443
// for a challenge, or those it is told, unless somebody listens there; the
// challenges are for the listeners of the gateway.
type decoy struct {
	listener net.Listener
	port     int
	done     sync.WaitGroup
}

func listen() (*decoy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &decoy{listener: l, port: l.Addr().(*net.TCPAddr).Port}
	d.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			_ = conn.Close() // certmagic only looks whether somebody is there
		}
	})
	return d, nil
}

func (d *decoy) close() {
	_ = d.listener.Close() // nothing is in it
	d.done.Wait()
}
