package gateway

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	// resolving is how long one lookup may take.
	resolving = 5 * time.Second
	// maxAddresses of one name become targets.
	maxAddresses = 64
)

// all returns the present targets.
func (u *upstream) all() []*target { return *u.targets.Load() }

// resolve looks the names of the targets up again and again until ctx ends. A
// lookup that fails changes nothing: the servers may be well although the name
// server is not.
func (u *upstream) resolve(ctx context.Context, log *slog.Logger) {
	every := u.config.Resolve
	failed := false
	for {
		err := u.lookup(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failed:
			log.Warn("the names of an upstream cannot be looked up; its targets stay", "upstream", u.name, "error", err.Error())
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(every - every/10 + time.Duration(rand.Int64N(int64(every/5)+1))):
		}
	}
}

// lookup makes a target of each address that the names have now. Those that stay
// keep their connections and what is known of them; calls to those that go end as
// they would have.
func (u *upstream) lookup(ctx context.Context) error {
	old := u.all()
	var targets []*target
	var errs []error
	for _, text := range u.config.Targets {
		at, err := parseTarget(text)
		if err != nil {
			return err // check has seen it
		}
		addresses, err := u.addresses(ctx, at.Hostname())
		if err != nil {
			errs = append(errs, err)
			targets = append(targets, having(old, at.String())...)
			continue
		}
		for _, a := range addresses {
			t := find(old, at.String(), a)
			if t == nil {
				if t, err = newTarget(text, a, &u.config); err != nil {
					return err
				}
				u.begin(ctx, t)
			}
			targets = append(targets, t)
		}
	}
	u.targets.Store(&targets)
	for _, t := range old {
		if !slices.Contains(targets, t) {
			errs = append(errs, t.end())
		}
	}
	return errors.Join(errs...)
}

// addresses returns those of a host, sorted.
func (u *upstream) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolving)
	defer cancel()
	found, err := u.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	slices.SortFunc(found, netip.Addr.Compare)
	found = slices.Compact(found)
	return found[:min(len(found), maxAddresses)], nil
}

// having returns the targets of a URL.
func having(all []*target, url string) (found []*target) {
	for _, t := range all {
		if t.url.String() == url {
			found = append(found, t)
		}
	}
	return found
}

func find(all []*target, url string, a netip.Addr) *target {
	for _, t := range all {
		if t.url.String() == url && t.address == a {
			return t
		}
	}
	return nil
}

// dial connects to a target: to its address, if it has one, whatever the name
// means by now.
func (t *target) dial(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: timeout}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if t.address.IsValid() {
			if _, port, err := net.SplitHostPort(address); err == nil {
				address = net.JoinHostPort(t.address.String(), port)
			}
		}
		return dialer.DialContext(ctx, network, address)
	}
}
