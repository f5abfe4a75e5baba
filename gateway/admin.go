package gateway

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"

	"github.com/banyanhq/banyan/gateway/cache"
)

// Admin returns the admin API: GET /v1/status is [Status] as JSON, POST
// /v1/cache/purge takes {"urls", "prefixes", "tags", "all", "soft"} (see
// cache.Purge) and answers {"purged": n}, /livez and /readyz are probes. It is for a listener of its own that outsiders cannot
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
	mux.HandleFunc("POST /v1/cache/purge", g.purge)
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }
	mux.HandleFunc("GET /livez", ok)
	mux.HandleFunc("GET /readyz", ok)
	known := map[string]bool{"localhost": true}
	for _, h := range hosts {
		known[hostOf(h)] = true
	}
	sameOrigin := http.NewCrossOriginProtection().Handler(mux) // a page elsewhere may not change anything
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostOf(r.Host); !known[host] && !isAddress(host) {
			Problem(w, http.StatusMisdirectedRequest, "the admin API is not served by this name")
			return
		}
		sameOrigin.ServeHTTP(w, r)
	})
}

// maxPurge is how long a purge may be, in bytes.
const maxPurge = 1 << 20

// purge empties the cache, in part or whole.
func (g *Gateway) purge(w http.ResponseWriter, r *http.Request) {
	var p struct {
		URLs     []string `json:"urls"`
		Prefixes []string `json:"prefixes"`
		Tags     []string `json:"tags"`
		All      bool     `json:"all"`
		Soft     bool     `json:"soft"`
	}
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxPurge))
	body.DisallowUnknownFields()
	if err := body.Decode(&p); err != nil {
		Problem(w, http.StatusBadRequest, "want a JSON object with urls, prefixes, tags, all or soft")
		return
	}
	n, err := g.state.Load().cache.Purge(cache.Purge(p))
	if err != nil {
		Problem(w, http.StatusBadRequest, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]int{"purged": n}) // a client that is gone does not read it
}

func isAddress(host string) bool {
	if len(host) > 1 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	_, err := netip.ParseAddr(host)
	return err == nil && net.ParseIP(host) != nil
}
