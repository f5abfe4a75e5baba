package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/banyanhq/banyan/gateway/cache"
)

//go:embed admin.openapi.yaml
var adminDocument []byte

// AdminOptions of the admin API.
type AdminOptions struct {
	// Token, if set, is what requests have to bring: "Authorization: Bearer TOKEN".
	Token string
	// Hosts are names by which it is reached, besides localhost.
	Hosts []string
}

// Admin returns the admin API: GET /v1/status is [Status] as JSON, POST
// /v1/cache/purge takes {"urls", "prefixes", "tags", "all", "soft"} (see
// cache.Purge) and answers {"purged": n}, GET /v1/catalogue[?audience=NAME] is the
// catalogue, /v1/catalogue/changes what changed in it, /v1/catalogue/usage is
// [APIUsage], /openapi.yaml describes all of this, /livez and /readyz are probes. It is
// for a listener of its own, which outsiders cannot reach unless there is a token.
// Without one, requests for another Host than localhost, an address, or one of the
// options are refused, so that no web page can get at it by a name of its own (DNS
// rebinding).
func (g *Gateway) Admin(o *AdminOptions) http.Handler {
	if o == nil {
		o = &AdminOptions{}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(g.Status()) // a client that is gone does not read it
	})
	mux.HandleFunc("POST /v1/cache/purge", g.purge)
	mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(adminDocument) // a client that is gone does not read it
	})
	g.collector.handle(mux)
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }
	mux.HandleFunc("GET /livez", ok)
	mux.HandleFunc("GET /readyz", ok)
	known := map[string]bool{"localhost": true}
	for _, h := range o.Hosts {
		known[hostOf(h)] = true
	}
	sameOrigin := http.NewCrossOriginProtection().Handler(mux) // a page elsewhere may not change anything
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch host := hostOf(r.Host); {
		case o.Token != "" && !hasToken(r, o.Token):
			w.Header().Set("WWW-Authenticate", "Bearer")
			Problem(w, http.StatusUnauthorized, "the admin API wants its token")
			return
		case o.Token == "" && !known[host] && !isAddress(host):
			Problem(w, http.StatusMisdirectedRequest, "the admin API is not served by this name")
			return
		}
		sameOrigin.ServeHTTP(w, r)
	})
}

// hasToken reports whether a request brings a token (RFC 6750 §2.1), in a time that
// does not tell how much of it was right.
func hasToken(r *http.Request, token string) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(a[:], b[:]) == 1
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
