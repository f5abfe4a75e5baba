package acme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// An authority counts the validations of a name that fail, Let's Encrypt five in an
// hour, and an attempt may fail two: one for each kind of challenge. certmagic
// remembers its pauses in memory only, so a gateway that is restarted again and
// again would use that up. So first attempts that the authority refused are kept
// with the certificates, and a start waits where they were too many.
const (
	mostAttempts   = 2
	attemptsWindow = time.Hour
)

// attemptsKey is where the failed attempts of a domain are stored.
func (s *service) attemptsKey(domain string) string {
	return path.Join("attempts", s.issuer.IssuerKey(), certmagic.StorageKeys.Safe(domain)+".json")
}

// attempts returns when the last attempts failed, the oldest first.
func (s *service) attempts(ctx context.Context, domain string) []time.Time {
	var all, recent []time.Time
	text, err := s.magic.Storage.Load(ctx, s.attemptsKey(domain))
	if err != nil || json.Unmarshal(text, &all) != nil {
		return nil // there are none, or nothing that is known of them
	}
	now := time.Now()
	for _, at := range all {
		if age := now.Sub(at); age >= 0 && age < attemptsWindow { // others' clocks may differ
			recent = append(recent, at)
		}
	}
	return recent
}

// refused notes that the authority refused a first attempt. Later ones of the same
// process are certmagic's to pace; they go to the staging authority, if there is one.
func (m *Manager) refused(ctx context.Context, s *service, domain string, err error) {
	var problem acme.Problem
	if n, ok := ctx.Value(certmagic.AttemptsCtxKey).(*int); ok && *n > 0 || !errors.As(err, &problem) || problem.Status >= 500 {
		return
	}
	all := append(s.attempts(ctx, domain), time.Now())
	text, _ := json.Marshal(all[max(len(all)-mostAttempts, 0):]) // of times: it cannot fail
	if err := s.magic.Storage.Store(ctx, s.attemptsKey(domain), text); err != nil {
		m.log.Error("acme: note a failed attempt", "domain", domain, "error", err)
	}
}

// wait is how long a start should not ask for a domain; 0: it may.
func (s *service) wait(ctx context.Context, domain string) time.Duration {
	all := s.attempts(ctx, domain)
	if len(all) < mostAttempts {
		return 0
	}
	return time.Until(all[len(all)-mostAttempts].Add(attemptsWindow))
}

// patient returns when a domain may be asked for, and says so if that takes time.
func (m *Manager) patient(ctx context.Context, s *service, domain string) {
	long := s.wait(ctx, domain)
	if long <= 0 {
		return
	}
	next := time.Now().Add(long).Round(time.Second)
	m.log.Warn("acme: the authority has refused the last attempts; delete the file to try at once, and start again", "domain", domain, "next_attempt", next,
		"file", path.Join(m.config.Storage, s.attemptsKey(domain)))
	m.fail(domain, fmt.Errorf("the authority has refused the last attempts; the next one is at %s", next.Format(time.RFC3339)))
	pause(ctx, long)
}

// mayRenew reports whether a start may renew at once. The next look is soon.
func (m *Manager) mayRenew(ctx context.Context, s *service) bool {
	for _, domain := range m.config.Domains {
		if s.wait(ctx, domain) > 0 {
			return false
		}
	}
	return true
}
