package acme_test

import (
	"net/http"
	"testing"
	"time"
)

// A gateway that is started again and again, as by a supervisor, does not use up
// the attempts that an authority allows for a name: two in an hour are made, and
// the log says until when it waits.
func TestRestartsKeepTheLimits(t *testing.T) {
	t.Parallel()
	ca := startAuthority(t, options{httpPort: 1, tlsPort: 1}) // no challenge reaches us
	config := ca.config(t, "restarts.test")
	waits := 0
	for range 4 {
		_, log, stop := manage(t, config, time.Minute)
		for end := time.Now().Add(30 * time.Second); log.count("could not get certificate")+log.count("next_attempt") == 0; <-time.After(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("neither an attempt nor a word of waiting")
			}
		}
		waits += log.count("next_attempt")
		stop()
	}
	// An attempt may take two orders, one for each kind of challenge.
	if n := ca.orders.Load(); n < 1 || n > 4 || waits != 2 {
		t.Errorf("%d orders in 4 starts, %d of them waited; want 4 at most, and 2", n, waits)
	}
}

// An authority that does not answer counts as no attempt: when the network is
// back after a few restarts there is a certificate at once.
func TestRestartsWithoutAnAuthority(t *testing.T) {
	t.Parallel()
	l, port := listener(t)
	ca := startAuthority(t, options{httpPort: 1, tlsPort: port})
	config := ca.config(t, "offline.test")
	ca.down.Store(true)
	for range 3 {
		_, log, stop := manage(t, config, time.Minute)
		for end := time.Now().Add(30 * time.Second); log.count("could not get certificate") == 0; <-time.After(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("no attempt")
			}
		}
		stop()
	}
	ca.down.Store(false)
	m, _, _ := manage(t, config, time.Minute)
	serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	eventually(t, l.Addr().String(), "offline.test", ca.roots)
}
