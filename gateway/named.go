package gateway

import (
	"net/http"
	"strings"
)

// withoutNamed returns a request without the fields that its Connection names,
// which were meant for this hop only (RFC 9110 §7.6.1). They go first, and their
// names with them, so that every policy sees what the upstream will see, and nobody
// can have removed what a policy sets afterwards. The gateway's own fields are left
// to those who know them.
func withoutNamed(r *http.Request) *http.Request {
	lines := r.Header["Connection"]
	if len(lines) == 0 {
		return r
	}
	var named, kept []string
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.Trim(name, " \t")
			switch canonical := http.CanonicalHeaderKey(name); {
			case canonical == "Close" || own[canonical]:
				kept = append(kept, name)
			case name != "":
				named = append(named, canonical)
			}
		}
	}
	if len(named) == 0 {
		return r
	}
	out := *r // a copy: the request is the caller's
	out.Header = r.Header.Clone()
	for _, name := range named {
		delete(out.Header, name)
	}
	delete(out.Header, "Connection")
	if len(kept) > 0 {
		out.Header["Connection"] = []string{strings.Join(kept, ", ")}
	}
	return &out
}
