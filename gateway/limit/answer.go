package limit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// The headers and problem types are those of draft-ietf-httpapi-ratelimit-headers-11
// (May 2026): lists of structured fields (RFC 9651).

// Canonical forms, as net/http keeps them.
const (
	headerLimit  = "Ratelimit"
	headerPolicy = "Ratelimit-Policy"
)

// header adds the headers of an answer: limiters behind one another make lists.
func (d *Decision) header(h http.Header) {
	if text := d.levels(); text != "" {
		h[headerLimit] = append(h[headerLimit], text)
	}
	h[headerPolicy] = append(h[headerPolicy], d.limiter.policy)
}

// levels is the header RateLimit: for each rule the units that are there, r, and
// the seconds, t, in which the client should use no more. An allowed request gets
// the time in which r units come back, because a client that spreads r over t is
// then never refused (§8.5 of the draft warns of larger ratios). A refused one
// gets the rules that refused it and the time until they do not, which Retry-After
// is not before (§6).
func (d *Decision) levels() string {
	var space [96]byte
	b := space[:0]
	for i := range d.all() {
		c := &d.charges[i]
		if c.interval == 0 || !d.Allowed && c.fits() {
			continue
		}
		if len(b) > 0 {
			b = append(b, ", "...)
		}
		left := (c.capacity - c.debt) / c.interval
		window := c.wait()
		if d.Allowed {
			window = max(left*c.interval, c.debt+c.interval-c.capacity)
		}
		b = append(b, d.limiter.rules[i].prefix...)
		b = strconv.AppendInt(b, left, 10)
		b = append(b, ";t="...)
		b = strconv.AppendInt(b, seconds(time.Duration(window)), 10)
	}
	return string(b)
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

const problemTypes = "https://iana.org/assignments/http-problem-types#"

// problem is a problem details object (RFC 9457) with the member of the draft.
type problem struct {
	Type     string   `json:"type"`
	Title    string   `json:"title"`
	Status   int      `json:"status"`
	Detail   string   `json:"detail"`
	Violated []string `json:"violated-policies"`
}

// refuse writes the answer to a request that is not allowed.
func (d *Decision) refuse(w http.ResponseWriter) {
	p := d.problem()
	body, _ := json.Marshal(p) // of strings and a number: it cannot fail
	h := w.Header()
	if d.Status == http.StatusTooManyRequests {
		d.header(h)
	} else {
		h[headerPolicy] = append(h[headerPolicy], d.limiter.policy)
	}
	if d.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(seconds(d.RetryAfter), 10))
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(d.Status)
	_, _ = w.Write(body) // a client that is gone does not read it
}

func (d *Decision) problem() problem {
	p := problem{Type: problemTypes + "quota-exceeded", Title: http.StatusText(d.Status), Status: d.Status, Violated: []string{d.Rule}}
	switch d.Status {
	case http.StatusForbidden:
		p.Detail = fmt.Sprintf("This request costs %d units, and the limit %s allows at most %d at once. Sending it again does not help.", d.cost, d.Rule, d.burst())
	case http.StatusServiceUnavailable:
		p.Type = problemTypes + "temporary-reduced-capacity"
		p.Detail = "Limits cannot be checked at the moment. Nothing was done; send the same request again later."
	default:
		p.Detail = fmt.Sprintf("The limit %s is used up. Send the request again in %d s.", d.Rule, seconds(d.RetryAfter))
		p.Violated = d.violated()
	}
	return p
}

func (d *Decision) burst() int64 {
	for i := range d.limiter.rules {
		if r := &d.limiter.rules[i]; r.Name == d.Rule {
			return r.burst
		}
	}
	return 0
}

// violated returns the names of the rules that had no room.
func (d *Decision) violated() []string {
	var names []string
	for i := range d.all() {
		if c := &d.charges[i]; c.interval > 0 && !c.fits() {
			names = append(names, d.limiter.rules[i].Name)
		}
	}
	return names
}
