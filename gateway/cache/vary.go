package cache

import (
	"net/http"
	"slices"
	"strings"
)

// selector is one header that the Vary of a stored answer names, with what the
// request said there: as it was, for a quick comparison, and normalised.
type selector struct {
	name, raw, normal string
	present           bool
}

// maxSelectors is how many headers Vary may name; beyond, storing is useless.
const maxSelectors = 16

// parseVary returns the canonical, sorted names of all lines of Vary. ok is false
// for "*", which no request matches (RFC 9111 §4.1), for what is no list of
// names, and for lists that are too long.
func parseVary(lines []string) (names []string, ok bool) {
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			if name = trim(name); name == "" {
				continue
			}
			if _, rest := span(name, fieldNameByte); rest != "" || name == "*" {
				return nil, false
			}
			names = append(names, http.CanonicalHeaderKey(name))
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names, len(names) <= maxSelectors
}

func fieldNameByte(b byte) bool { return tokenByte(b) && b != ':' && b != '/' }

// selectors records what a request said in the named headers.
func selectors(names []string, h http.Header) []selector {
	var list []selector
	for _, name := range names {
		values := h[name]
		s := selector{name: name, present: len(values) > 0, normal: normalise(name, values)}
		if len(values) == 1 {
			s.raw = values[0]
		}
		list = append(list, s)
	}
	return list
}

// reselect records what another request says in the headers of list.
func reselect(list []selector, h http.Header) []selector {
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].name
	}
	return selectors(names, h)
}

// matches says whether the request's headers choose the answer (RFC 9111 §4.1).
func matches(list []selector, h http.Header) bool {
	for i := range list {
		s := &list[i]
		values := h[s.name]
		if len(values) == 1 && s.present && values[0] == s.raw && s.raw != "" {
			continue
		}
		if (len(values) > 0) != s.present || (s.present && normalise(s.name, values) != s.normal) {
			return false
		}
	}
	return true
}

// normalise returns one spelling for values that mean the same: lines are joined
// and spaces at commas removed (RFC 9111 §4.1). Of Accept-Encoding only the set
// of acceptable codings stays, in the order of the alphabet: an answer made for
// a set is good for whoever accepts the same set, whatever the weights.
func normalise(name string, values []string) string {
	var items []string
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			if item = trim(item); item != "" {
				items = append(items, item)
			}
		}
	}
	if name == "Accept-Encoding" {
		items = codings(items)
	}
	return strings.Join(items, ",")
}

func codings(items []string) []string {
	var set []string
	for _, item := range items {
		coding, weight, _ := strings.Cut(strings.ToLower(item), ";")
		coding = strings.TrimPrefix(trim(coding), "x-") // RFC 9110 §8.4.1: x-gzip is gzip
		if refused(weight) {
			coding = "!" + coding
		}
		set = append(set, coding)
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// refused says whether a weight is 0: "q=0", "q=0.0" …
func refused(weight string) bool {
	value, ok := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
	return ok && value != "" && strings.Trim(value, "0.") == ""
}
