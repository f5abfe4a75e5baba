package gateway

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
)

// Admin returns the admin API: GET /v1/status is [Status] as JSON, /livez and
// /readyz are probes. It is for a listener of its own that outsiders cannot
// reach. Requests for another Host than localhost, an address, or one of hosts
// are refused, so that no web page can get at it by a name of its own (DNS
// rebinding).
func (g *Gateway) Admin(hosts ...string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(g.Status()) // a client that is gone does not read it
	})
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }
	mux.HandleFunc("GET /livez", ok)
	mux.HandleFunc("GET /readyz", ok)
	known := map[string]bool{"localhost": true}
	for _, h := range hosts {
		known[hostOf(h)] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostOf(r.Host); !known[host] && !isAddress(host) {
			Problem(w, http.StatusMisdirectedRequest, "the admin API is not served by this name")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func isAddress(host string) bool {
	if len(host) > 1 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	_, err := netip.ParseAddr(host)
	return err == nil && net.ParseIP(host) != nil
}
