package auth

import (
	"fmt"
	"net/netip"
	"syscall"
)

// control is a net.Dialer.Control that refuses addresses which are not public,
// unless they are in one of the networks allowed. It sees the address that is
// connected to, after the name was resolved and however it was spelled, so that
// neither a name that changes its address nor 0x7f.1 gets past it.
func control(allowed []netip.Prefix) func(network, address string, c syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("the address %q cannot be judged", address)
		}
		if !mayDial(at.Addr(), allowed) {
			return fmt.Errorf("the address %s is not public; allow its network where it is meant", at.Addr())
		}
		return nil
	}
}

func mayDial(a netip.Addr, allowed []netip.Prefix) bool {
	a = a.Unmap().WithZone("")
	for _, p := range allowed {
		if p.Contains(a) {
			return true
		}
	}
	if inner, ok := embedded(a); ok {
		return mayDial(inner, nil)
	}
	for _, p := range special() {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsValid() && a.IsGlobalUnicast() && !a.IsPrivate()
}

// embedded returns the IPv4 address in an IPv6 one that a translator would take
// out again: NAT64 (RFC 6052) and 6to4 (RFC 3056).
func embedded(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case !a.Is6():
	case netip.MustParsePrefix("64:ff9b::/96").Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case netip.MustParsePrefix("2002::/16").Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// special are networks that netip takes for global and that are not (the IANA
// special-purpose registries).
func special() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32",
		"3fff::/20", "5f00::/16", "fec0::/10", "::/96",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}
