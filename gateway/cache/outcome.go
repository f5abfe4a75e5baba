package cache

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// Status says where an answer came from.
type Status uint8

// The statuses.
const (
	// Hit: stored and fresh.
	Hit Status = iota
	// Stale: stored and no longer fresh; it is being validated in the background.
	Stale
	// StaleError: stored and no longer fresh, because the next handler failed.
	StaleError
	// Revalidated: stored, and the next handler said that it is still good.
	Revalidated
	// Miss: from the next handler, by way of the cache.
	Miss
	// Collapsed: from the next handler, by another request's call.
	Collapsed
	// Pass: from the next handler; the cache had no part in it.
	Pass
	// Unsatisfied: 504, because the client wanted a stored answer only, or its
	// deadline came before the answer.
	Unsatisfied

	statuses = int(Unsatisfied) + 1
)

// String returns the status in lower case.
func (s Status) String() string {
	names := [statuses]string{"hit", "stale", "stale-error", "revalidated", "miss", "collapsed", "pass", "unsatisfied"}
	if int(s) < statuses {
		return names[s]
	}
	return "status " + strconv.Itoa(int(s))
}

// Outcome is how one request was answered.
type Outcome struct {
	Status Status
	// Reason says why a request passed, or why an answer was not stored: one of a
	// few words. Empty otherwise.
	Reason string
	// Code is the status code.
	Code int
	// Age and TTL of a stored answer; TTL is negative when it is stale.
	Age, TTL time.Duration
}

// report counts and tells an outcome, and writes Cache-Status, when the header
// of the answer is about to be written.
func (h *handler) report(r *http.Request, header http.Header, o Outcome) {
	h.c.counts[o.Status].Add(1)
	if h.c.opts.CacheStatus != "" {
		header["Cache-Status"] = append(header["Cache-Status"], o.cacheStatus(h.c.opts.CacheStatus))
	}
	if h.c.opts.Trace.Served != nil {
		h.c.opts.Trace.Served(r, o)
	}
}

// cacheStatus returns the member of Cache-Status (RFC 9211 §2).
func (o Outcome) cacheStatus(name string) string {
	ttl := "; ttl=" + strconv.Itoa(int(math.Ceil(o.TTL.Seconds()))) // up, as Age is rounded down
	switch o.Status {
	case Hit, Stale:
		return name + "; hit" + ttl
	case StaleError:
		return name + "; hit" + ttl + "; detail=stale-if-error"
	case Revalidated:
		return name + "; fwd=stale; fwd-status=304; stored" + ttl
	case Collapsed:
		return name + "; fwd=uri-miss; collapsed"
	case Miss:
		if o.Reason == "" {
			return name + "; fwd=uri-miss; stored" + ttl
		}
		return name + "; fwd=uri-miss; detail=" + detail(o.Reason)
	case Unsatisfied:
		return name + "; detail=unsatisfied"
	}
	switch o.Reason {
	case "method", "request":
		return name + "; fwd=" + o.Reason
	}
	return name + "; fwd=bypass; detail=" + detail(o.Reason)
}

// detail makes a token of a reason.
func detail(reason string) string {
	b := []byte(reason)
	for i := range b {
		if b[i] == ' ' {
			b[i] = '-'
		}
	}
	return string(b)
}
