package browser

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// cdn is a compiled CDN.
type cdn struct {
	config   *CDN
	networks []netip.Prefix
	keys     string
}

func newCDN(c *CDN) *cdn {
	if c == nil {
		return nil
	}
	d := &cdn{config: c, keys: strings.Join(c.Keys, " ")}
	for _, text := range c.Networks {
		p, _ := netip.ParsePrefix(text) // checked
		d.networks = append(d.networks, p)
	}
	return d
}

// trusts reports whether a request comes from the CDN.
func (d *cdn) trusts(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, p := range d.networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// answer sets the fields of an answer.
func (d *cdn) answer(h http.Header, status int, r *http.Request) {
	shared := d.shareable(h, status, r)
	if shared {
		d.lifetimes(h)
	}
	if !d.trusts(r) {
		for _, name := range []string{"Surrogate-Control", "Surrogate-Key", "Cache-Tag", "Cdn-Cache-Control"} {
			delete(h, name)
		}
		return
	}
	if shared && d.keys != "" {
		keys := strings.Join(append(h["Surrogate-Key"][:len(h["Surrogate-Key"]):len(h["Surrogate-Key"])], d.keys), " ")
		h["Surrogate-Key"] = []string{keys}
	}
}

func (d *cdn) lifetimes(h http.Header) {
	silent := len(h["Cache-Control"])+len(h["Expires"])+len(h["Pragma"]) == 0
	if d.config.CDNCacheControl != "" && silent && len(h["Cdn-Cache-Control"])+len(h["Surrogate-Control"]) == 0 {
		h["Cdn-Cache-Control"] = []string{d.config.CDNCacheControl}
	}
	if d.config.CacheControl != "" && (silent || d.config.Replace) {
		h["Cache-Control"] = []string{d.config.CacheControl}
		delete(h, "Expires")
		delete(h, "Pragma")
	}
}

// shareable reports whether lifetimes may be given to an answer: everybody would
// get it.
func (d *cdn) shareable(h http.Header, status int, r *http.Request) bool {
	switch status {
	case http.StatusOK, http.StatusNonAuthoritativeInfo, http.StatusMovedPermanently, http.StatusPermanentRedirect, http.StatusNotFound, http.StatusGone:
	default:
		return false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead || len(h["Set-Cookie"])+len(r.Header["Authorization"])+len(r.Header["Cookie"]) > 0 {
		return false
	}
	for _, name := range []string{"private", "no-store", "no-cache"} {
		if listed(h["Cache-Control"], name) {
			return false
		}
	}
	return !listed(h["Pragma"], "no-cache")
}
