package compose

import (
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// freshness is what all answers heard so far allow a cache, together: the
// strictest of each (RFC 9111). There is no validator, so what may be kept only to
// be asked for again may not be kept.
type freshness struct {
	never      bool // no-store
	private    bool
	closed     bool // one does not say that everybody may have it
	revalidate bool
	untouched  bool      // no-transform
	until      time.Time // the first one's end; zero: none has said
	vary       set
}

type set map[string]bool

func (s *set) add(name string) {
	if *s == nil {
		*s = set{}
	}
	(*s)[name] = true
}

func (s set) sorted() []string { return slices.Sorted(maps.Keys(s)) }

// add takes the header of an answer into account that has come now.
func (f *freshness) add(h http.Header, now time.Time) {
	open := false
	var ages []int64
	for name, argument := range directives(h["Cache-Control"]) {
		switch name {
		case "no-store", "no-cache":
			f.never = true
		case "private":
			f.private = true
		case "public":
			open = true
		case "must-revalidate", "proxy-revalidate":
			f.revalidate = true
		case "no-transform":
			f.untouched = true
		case "max-age", "s-maxage":
			ages = append(ages, argument)
			open = open || name == "s-maxage"
		}
	}
	f.closed = f.closed || !open
	f.private = f.private || len(h["Set-Cookie"]) > 0
	f.lifetime(h, ages, now)
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			f.varies(strings.TrimSpace(name))
		}
	}
}

func (f *freshness) varies(name string) {
	switch name = http.CanonicalHeaderKey(name); {
	case name == "*":
		f.never = true
		f.vary.add(name)
	case name == "", name == "Accept", name == "Accept-Encoding":
		// services see nothing of the client's
	default:
		f.vary.add(name)
	}
}

// lifetime takes what is left of an answer's into account; one that does not say
// how long it is good may not be kept.
func (f *freshness) lifetime(h http.Header, ages []int64, now time.Time) {
	if len(ages) == 0 {
		ages = expires(h, now)
	}
	if len(ages) == 0 {
		f.never = true
		return
	}
	left := slices.Min(ages) - age(h)
	if until := now.Add(time.Duration(left) * time.Second); f.until.IsZero() || until.Before(f.until) {
		f.until = until
	}
}

// age is how old an answer was when it came (RFC 9111 §5.1).
func age(h http.Header) int64 {
	lines := h["Age"]
	if len(lines) == 0 {
		return 0
	}
	return delta(lines[0], maxDelta)
}

// expires is the lifetime by Expires (RFC 9111 §5.3); a date that cannot be read
// is in the past.
func expires(h http.Header, now time.Time) []int64 {
	if len(h["Expires"]) == 0 {
		return nil
	}
	end, err := http.ParseTime(h.Get("Expires"))
	if err != nil || len(h["Expires"]) > 1 {
		return []int64{0}
	}
	from, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		from = now
	}
	return []int64{min(max(int64(end.Sub(from)/time.Second), 0), maxDelta)}
}

// maxDelta is how large a number of seconds is taken for (RFC 9111 §1.2.2).
const maxDelta = 1 << 31

// delta reads a number of seconds.
func delta(text string, wrong int64) int64 {
	text = strings.TrimSpace(text)
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return wrong
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > maxDelta {
		return maxDelta
	}
	return n
}

// directives are the names and numbers of Cache-Control. A line with a quote that
// does not end could mean anything: it counts as no-store.
func directives(lines []string) iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		for _, line := range lines {
			for line != "" {
				item, rest, ok := nextItem(line)
				if line = rest; !ok {
					item = "no-store"
				}
				name, argument, _ := strings.Cut(item, "=")
				number := delta(strings.Trim(strings.TrimSpace(argument), `"`), 0)
				if !yield(strings.ToLower(strings.TrimSpace(name)), number) {
					return
				}
			}
		}
	}
}

// nextItem cuts a list at its first comma that is not in quotes.
func nextItem(line string) (item, rest string, ok bool) {
	inside := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			inside = !inside
		case c == '\\' && inside:
			i++
		case c == ',' && !inside:
			return line[:i], line[i+1:], true
		}
	}
	return line, "", !inside
}

// control is the Cache-Control of the whole. To a request with credentials, it is
// for everybody only if each answer said so (RFC 9111 §3.5): must-revalidate of one
// alone would open the others.
func (f *freshness) control(credentials bool, now time.Time) string {
	left := (f.until.Sub(now) + time.Second - 1) / time.Second // less what the other parts took
	if f.never || left <= 0 {
		return "no-store"
	}
	var out []string
	switch {
	case f.private || f.closed && credentials:
		out = append(out, "private")
	case !f.closed:
		out = append(out, "public")
	}
	out = append(out, "max-age="+strconv.FormatInt(int64(left), 10))
	if f.revalidate {
		out = append(out, "must-revalidate")
	}
	if f.untouched {
		out = append(out, "no-transform")
	}
	return strings.Join(out, ", ")
}
