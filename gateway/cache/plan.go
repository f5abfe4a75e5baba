package cache

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// plan is what to do with an answer: decided when its header is there.
type plan struct {
	store    bool
	refused  string // why it is not stored
	lifetime time.Duration
	initial  time.Duration // corrected_initial_age of RFC 9111 §4.2.3
	swr, sie time.Duration // how long it may be used stale; 0 not at all
	said     bool          // the answer or the rules give it a lifetime
	validate bool          // no-cache: never used without asking
	strict   bool          // must-revalidate and its like: never used stale
	guarded  bool          // s-maxage: like strict where a client asks for stale
	tags     []string
	vary     []string    // names
	header   http.Header // as it is stored and served
}

// shared says whether requests that waited for this answer may have it without
// asking themselves.
func (p *plan) shared() bool {
	return p.store && !p.validate && (p.lifetime > p.initial || p.swr > 0)
}

// statusRule says what may be done with answers of a status. All others are not
// stored: 206 because ranges pass through; 401, 403, 407, 408, 421, 425, 426,
// 428, 429, 431 and 5xx, whatever they say of their lifetime, because they speak
// of one client or one moment.
type statusRule struct{ storable, byDefault bool }

func ruleOf(status int) statusRule {
	switch status {
	case 200, 203, 301, 308:
		return statusRule{true, true}
	case 204, 300, 302, 303, 307, 404, 405, 410, 414, 451:
		return statusRule{true, false}
	}
	return statusRule{}
}

// judge decides on an answer to a, for which the request up was sent. asked and answered are the
// times of the request and of the answer's header.
func (h *handler) judge(a *ask, up *http.Request, status int, header http.Header, asked, answered time.Duration, wall time.Time) plan {
	cc, targeted := responseControl(header, h.c.opts.Targets)
	p := plan{
		validate: cc.noCache,
		strict:   cc.noCache || cc.mustRevalidate || cc.proxyRevalidate,
		guarded:  cc.sMaxAge >= 0,
		initial:  initialAge(header, answered-asked, wall),
		tags:     tagsOf(header),
	}
	if h.rules.Tags != nil {
		p.tags = append(p.tags, h.rules.Tags(up)...)
	}
	h.live(&p, &cc, targeted, status, header, wall)
	p.refused = h.refuse(a, &p, &cc, status, header)
	p.store = p.refused == ""
	if p.store {
		p.header = storedHeader(header, wall)
	}
	return p
}

// live fills the times of p.
func (h *handler) live(p *plan, cc *control, targeted bool, status int, header http.Header, wall time.Time) {
	life, explicit := lifetime(cc, targeted, header, wall)
	if !explicit && ruleOf(status).byDefault {
		life = h.defaultLife(header, wall)
	}
	p.said = explicit || life > 0
	p.lifetime = h.c.jitter(life, h.rules.Jitter)
	if p.strict {
		return
	}
	// s-maxage alone forbids stale use (RFC 9111 §5.2.2.10), but an answer that
	// says both allows it: that pair is what people write to mean so.
	if cc.sMaxAge < 0 {
		p.swr, p.sie = h.rules.StaleWhileRevalidate, h.rules.StaleIfError
	}
	if cc.staleWhileRevalidate >= 0 {
		p.swr = cc.staleWhileRevalidate
	}
	if cc.staleIfError >= 0 {
		p.sie = cc.staleIfError
	}
}

// refuse returns why an answer must not be stored (RFC 9111 §3), or "".
func (h *handler) refuse(a *ask, p *plan, cc *control, status int, header http.Header) string {
	names, ok := parseVary(header["Vary"])
	p.vary = names
	switch {
	case !ruleOf(status).storable:
		return "status"
	case cc.noStore:
		return "no-store"
	case cc.private:
		return "private"
	case a.auth && !cc.public && cc.sMaxAge < 0 && !cc.mustRevalidate:
		return "authorization" // §3.5
	case len(header["Set-Cookie"]) > 0 && !h.rules.StripSetCookie:
		return "set-cookie"
	case !ok || slices.ContainsFunc(names, func(name string) bool { return slices.Contains(h.rules.Unseen, name) }):
		return "vary"
	case len(header["Trailer"]) > 0 || header.Get("Content-Range") != "":
		return "partial"
	case h.rules.ObeyClients && a.client.noStore:
		return "client" // §5.2.1.5
	case !p.said && !cc.noCache:
		return "no freshness"
	case p.lifetime <= p.initial && p.swr == 0 && p.sie == 0 && !hasValidator(header):
		return "stale" // of no use
	}
	return ""
}

func hasValidator(h http.Header) bool { return h.Get("Etag") != "" || h.Get("Last-Modified") != "" }

// lifetime returns the explicit lifetime of an answer (RFC 9111 §4.2.1), and
// whether it says one. A targeted field hides Expires.
func lifetime(cc *control, targeted bool, h http.Header, wall time.Time) (time.Duration, bool) {
	switch {
	case cc.sMaxAge >= 0:
		return cc.sMaxAge, true
	case cc.maxAge >= 0:
		return cc.maxAge, true
	case targeted:
		return 0, false
	}
	lines := h["Expires"]
	if len(lines) == 0 {
		return 0, false
	}
	expires, err := http.ParseTime(lines[0])
	if err != nil || len(lines) > 1 && lines[1] != lines[0] {
		return 0, true // §5.3: invalid is the past
	}
	return max(0, expires.Sub(dateOf(h, wall))), true
}

func (h *handler) defaultLife(header http.Header, wall time.Time) time.Duration {
	if h.rules.TTL > 0 || !h.rules.Heuristic {
		return h.rules.TTL
	}
	modified, err := http.ParseTime(header.Get("Last-Modified"))
	if err != nil {
		return 0
	}
	return min(24*time.Hour, max(0, dateOf(header, wall).Sub(modified)/10))
}

// dateOf returns the Date of an answer, or when it came.
func dateOf(h http.Header, wall time.Time) time.Time {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		return date
	}
	return wall
}

// initialAge returns the corrected_initial_age of RFC 9111 §4.2.3.
func initialAge(h http.Header, delay time.Duration, wall time.Time) time.Duration {
	apparent := max(0, wall.Sub(dateOf(h, wall)))
	if apparent < time.Second {
		apparent = 0 // Date has whole seconds: a fraction is no age
	}
	line, _, _ := strings.Cut(h.Get("Age"), ",") // §5.1: the first of several
	age, _ := parseSeconds(trim(line))
	return max(apparent, age+delay)
}

// tagsOf returns the tags that an answer gives itself.
func tagsOf(h http.Header) []string {
	var tags []string
	for _, line := range h["Surrogate-Key"] {
		tags = append(tags, strings.Fields(line)...)
	}
	for _, line := range h["Cache-Tag"] {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = trim(tag); tag != "" {
				tags = append(tags, tag)
			}
		}
	}
	return tags
}

// storedHeader returns what of an answer's header is stored (RFC 9111 §3.1).
func storedHeader(h http.Header, wall time.Time) http.Header {
	out := make(http.Header, len(h)+1)
	for name, values := range h {
		if !hopByHop(name) && !forCache(name) && name != "Age" && name != "Set-Cookie" {
			out[name] = values[:len(values):len(values)]
		}
	}
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			delete(out, http.CanonicalHeaderKey(trim(name)))
		}
	}
	if len(out["Date"]) == 0 { // RFC 9110 §6.6.1
		out["Date"] = []string{wall.UTC().Format(http.TimeFormat)}
	}
	return out
}

func hopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Authentication-Info", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// forCache: headers that are between the origin and this cache.
func forCache(name string) bool {
	return name == surrogateControl || name == "Surrogate-Key" || name == "Cache-Tag"
}

func stripForCache(h http.Header) {
	delete(h, surrogateControl)
	delete(h, "Surrogate-Key")
	delete(h, "Cache-Tag")
}

// contentLength returns what the header says, or -1.
func contentLength(h http.Header) int64 {
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}
