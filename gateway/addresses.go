package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Addresses say which clients may use a route: by their address, which is that of
// the connection or what the trusted proxies say. Others are answered 403 before
// anything else is done for them. Who has no address that can be read is kept out,
// and so is who comes through a trusted proxy that says nothing readable of them.
type Addresses struct {
	// Allow are the only ones that may: networks such as 10.0.0.0/8, or single
	// addresses. Default: everybody.
	Allow []string `yaml:"allow"`
	// Deny are those that may not, also of those in Allow. Default: nobody.
	Deny []string `yaml:"deny"`
}

// admitted returns a handler behind the rules by address of a route.
func (r *Route) admitted(next http.Handler) (http.Handler, error) {
	if r.Addresses == nil {
		return next, nil
	}
	rule, err := r.Addresses.rule()
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		a := arrivalOf(req.Context())
		if err := rule.refuse(a.client); err != nil {
			a.because(err)
			Problem(w, http.StatusForbidden, "this is not open to your address")
			return
		}
		next.ServeHTTP(w, req)
	}), nil
}

// addressRule is a rule that is ready to be asked.
type addressRule struct {
	bounded     bool // only those in allow may
	allow, deny networks
}

var (
	errNoAddress = errors.New("the client's address cannot be read, and the route has rules by address")
	errDenied    = errors.New("addresses.deny has the client's address")
	errAllowed   = errors.New("addresses.allow does not have the client's address")
)

// refuse returns why a client is kept out; nil: it is not.
func (r *addressRule) refuse(c *client) error {
	switch a, known := c.known(); {
	case !known:
		return errNoAddress
	case r.deny.contain(a):
		return errDenied
	case r.bounded && !r.allow.contain(a):
		return errAllowed
	}
	return nil
}

// rule makes it. Its error is the first mistake.
func (a *Addresses) rule() (*addressRule, error) {
	var found mistakes
	allow, deny := a.read("", &found)
	if len(found) > 0 {
		return nil, fmt.Errorf("addresses%s: %s", found[0].Path, found[0].Text)
	}
	return &addressRule{bounded: a.Allow != nil, allow: sorted(allow), deny: sorted(deny)}, nil
}

// read reads both lists, and reports what is wrong with them.
func (a *Addresses) read(path string, found *mistakes) (allow, deny []netip.Prefix) {
	if a.Allow == nil && a.Deny == nil {
		found.add(path, `addresses has neither "allow" nor "deny"`)
	}
	before := len(*found)
	allow, deny = readNetworks(path+".allow", a.Allow, found), readNetworks(path+".deny", a.Deny, found)
	if len(*found) > before {
		return nil, nil
	}
	for i, p := range allow {
		for j, d := range deny {
			if d.Bits() <= p.Bits() && d.Contains(p.Addr()) {
				found.add(fmt.Sprintf("%s.allow[%d]", path, i), "deny has %q, so nothing of %q is allowed", a.Deny[j], a.Allow[i])
			}
		}
	}
	return allow, deny
}

func readNetworks(path string, texts []string, found *mistakes) (all []netip.Prefix) {
	if texts != nil && len(texts) == 0 {
		found.add(path, "the list is empty; leave it out, or name networks such as 10.0.0.0/8")
	}
	for i, text := range texts {
		p, err := readNetwork(text)
		switch at := fmt.Sprintf("%s[%d]", path, i); {
		case err != nil:
			found.add(at, "%s", err)
		case slices.Contains(all, p):
			found.add(at, "%q is there twice", text)
		default:
			all = append(all, p)
		}
	}
	return all
}

// readNetwork reads a network or a single address. One of IPv4 in the form of IPv6
// is that of IPv4, as clients' addresses are.
func readNetwork(text string) (netip.Prefix, error) {
	a, err := netip.ParseAddr(text)
	if err == nil && a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q has a zone, which means something on one machine only; leave it out", text)
	}
	if err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	const mapped = 96 // bits in front of an IPv4 address
	switch {
	case err != nil:
		return p, fmt.Errorf("%q is neither a network nor an address; want something like 10.0.0.0/8 or 192.0.2.1%s", text, networkMeant(text))
	case p.Addr().Is4In6() && p.Bits() < mapped:
		return p, fmt.Errorf("%q is neither of IPv4 nor of IPv6; write a network of each", text)
	case p.Addr().Is4In6():
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q begins in the middle of a network; want %s, or %s alone", text, p.Masked(), p.Addr())
	}
	return p, nil
}

// networkMeant says what else the text of no network is.
func networkMeant(text string) string {
	if strings.Contains(text, "-") {
		return "; a range is written as the networks that it is made of"
	}
	return ""
}

// networks are sorted, and none is within another one.
type networks []netip.Prefix

func sorted(all []netip.Prefix) networks {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if n := a.Addr().Compare(b.Addr()); n != 0 {
			return n
		}
		return a.Bits() - b.Bits()
	})
	var kept networks
	for _, p := range all {
		if !kept.contain(p.Addr()) {
			kept = append(kept, p)
		}
	}
	return kept
}

// contain reports whether an address is in one of them. Only the last that begins
// at or before it can have it.
func (n networks) contain(a netip.Addr) bool {
	i, exact := slices.BinarySearchFunc(n, a, func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
	return exact || i > 0 && n[i-1].Contains(a)
}
