package limit

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
)

// Rule is one limit. A [Limiter] has one or several; a request needs room in all
// of them and takes from all or none.
type Rule struct {
	// Name tells rules apart, in headers, problems and buckets: rules of the same
	// name on the same Memory share their buckets, and those of the same name and
	// rate in the same store. 1 to 128 printable
	// ASCII characters without " and \. Default: "default".
	Name string
	// Rate is how much is let through; see ParseRate.
	Rate Rate
	// Key returns whose bucket a request takes from, such as the client's address
	// or the id of its API key. Requests with an equal key share a bucket, also
	// those with an empty one. Keys are stored as hashes. Default: nil, one
	// bucket for all.
	Key func(*http.Request) string
	// Cost returns the units that a request takes. 0 or less is free. Default:
	// nil, each request costs 1.
	Cost func(*http.Request) int64
	// Lease, in units, lets a process of a cluster take that much from a bucket in
	// advance and then decide without the store: up to Lease times fewer calls of
	// the store, and up to Lease × processes units above the limit in any window.
	// At most Rate.Burst. Default: 0, exact.
	Lease int64
	// Down says what happens while the store of a Cluster does not answer.
	// Default: DownShare.
	Down Down
}

// Down is what a rule does while the store of its cluster does not answer.
type Down int

const (
	// DownShare: each process keeps the limit divided by
	// ClusterOptions.Processes, in its own memory. What the store let through in
	// this process is taken from its share too, so that a store that answers only
	// at times does not double the limit. A request that costs more than a share
	// holds gets 503, as with DownClosed.
	DownShare Down = iota
	// DownOpen: the rule is not applied.
	DownOpen
	// DownClosed: requests get 503.
	DownClosed
)

// Rate is Count units in each Per, and Burst of them at once. In any window the
// units let through are at most Burst + window ÷ Per × Count.
type Rate struct {
	// Count of units, at least 1. The time of one unit, Per ÷ Count, is rounded
	// up to a nanosecond and must be at least 100 ns: so the limit is never
	// exceeded, and missed by less than 1 % at 10 million a second, by 0.1 ppm at
	// 100 a second.
	Count int64
	// Per is the time in which Count units come back.
	Per time.Duration
	// Burst is the size of the bucket in units. The time to fill it, Burst × Per ÷
	// Count, is at most 100 days. Default: Count.
	Burst int64
}

const (
	maxRules    = 4
	minInterval = 100                      // ns, so that rounding stays below 1 %
	maxInteger  = 999_999_999_999_999      // of a structured field (RFC 9651 §3.3.1)
	maxCapacity = 100 * 24 * 60 * 60 * 1e9 // ns; × maxProcesses twice must fit an int64
)

// ParseRate reads a rate such as "100/s", "10/minute", "1000/1h burst 50" or
// "5/1m30s". A period is a Go duration or one of s, m, h and d, also written sec,
// second, min, minute, hour and day, with an optional whole number before it.
func ParseRate(text string) (Rate, error) {
	rate, err := parseRate(text)
	if err == nil {
		_, err = rate.limits()
	}
	if err != nil {
		return Rate{}, fmt.Errorf("limit: parse rate %q: %w: %w", text, banyan.ErrInvalid, err)
	}
	return rate, nil
}

func parseRate(text string) (Rate, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Rate{}, fmt.Errorf("it is empty; want for example 100/s or 1000/1h burst 50")
	}
	count, per, ok := strings.Cut(words[0], "/")
	if !ok {
		return Rate{}, fmt.Errorf("want COUNT/PERIOD, for example 100/s, without blanks")
	}
	var rate Rate
	var err error
	if rate.Count, err = parseCount("the count", count); err != nil {
		return Rate{}, err
	}
	if rate.Per, err = parsePeriod(per); err != nil {
		return Rate{}, err
	}
	switch {
	case len(words) == 1:
		rate.Burst = rate.Count
	case len(words) != 3 || words[1] != "burst":
		return Rate{}, fmt.Errorf("after %s want nothing or burst N, not %q", words[0], strings.Join(words[1:], " "))
	default:
		rate.Burst, err = parseCount("the burst", words[2])
	}
	return rate, err
}

func parseCount(what, text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n == 0 || text[0] == '0' {
		return 0, fmt.Errorf("%s is %q; want a whole number from 1, in digits only", what, text)
	}
	return int64(n), nil
}

func parsePeriod(text string) (time.Duration, error) {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz")
	unit := time.Duration(0)
	switch text[len(digits):] {
	case "s", "sec", "second":
		unit = time.Second
	case "m", "min", "minute":
		unit = time.Minute
	case "h", "hour":
		unit = time.Hour
	case "d", "day":
		unit = 24 * time.Hour
	}
	if digits == "" && unit > 0 {
		return unit, nil
	}
	if n, err := parseCount("", digits); err == nil && unit > 0 && n <= math.MaxInt64/int64(unit) {
		return time.Duration(n) * unit, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("the period is %q; want s, m, h, d or a duration such as 10s, 1h30m, 7d", text)
	}
	return d, nil
}

// String returns the rate as ParseRate reads it.
func (r Rate) String() string {
	text := strconv.FormatInt(r.Count, 10) + "/" + periodText(r.Per)
	if r.Burst != 0 && r.Burst != r.Count {
		text += " burst " + strconv.FormatInt(r.Burst, 10)
	}
	return text
}

func periodText(d time.Duration) string {
	units := [...]struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	for _, u := range units {
		if d > 0 && d%u.of == 0 {
			if n := int64(d / u.of); n > 1 {
				return strconv.FormatInt(n, 10) + u.name
			}
			return u.name
		}
	}
	return d.String()
}

// bounds is a rate in nanoseconds.
type bounds struct {
	interval int64 // of one unit: T of the algorithm
	capacity int64 // to fill an empty bucket: T + tau
	burst    int64
}

func (r Rate) limits() (bounds, error) {
	if r.Burst == 0 {
		r.Burst = r.Count
	}
	switch {
	case r.Count < 1 || r.Burst < 1 || r.Count > maxInteger:
		return bounds{}, fmt.Errorf("count %d and burst %d must be at least 1, and have 15 digits at most", r.Count, r.Burst)
	case r.Per < 1:
		return bounds{}, fmt.Errorf("the period %s must be positive", r.Per)
	}
	interval := (int64(r.Per)-1)/r.Count + 1
	if interval < minInterval {
		return bounds{}, fmt.Errorf("%d in %s is more than 10 million a second, which cannot be kept exactly", r.Count, r.Per)
	}
	if interval > maxCapacity/r.Burst {
		return bounds{}, fmt.Errorf("at %d in %s a burst of %d takes more than 100 days to come back", r.Count, r.Per, r.Burst)
	}
	return bounds{interval: interval, capacity: interval * r.Burst, burst: r.Burst}, nil
}

// rule is a checked Rule.
type rule struct {
	Rule
	bounds
	mix    ident  // tells the buckets of this rule from those of others
	bucket string // does so in a store
	prefix string // of its item in the header RateLimit
}

func newRule(r Rule) (rule, error) {
	if r.Name == "" {
		r.Name = "default"
	}
	if len(r.Name) > 128 || strings.ContainsFunc(r.Name, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
		return rule{}, fmt.Errorf(`rule name %q: want 1 to 128 printable ASCII characters without " and \`, r.Name)
	}
	b, err := r.Rate.limits()
	switch {
	case err != nil:
		return rule{}, fmt.Errorf("rule %s: %w", r.Name, err)
	case r.Lease < 0 || r.Lease > b.burst:
		return rule{}, fmt.Errorf("rule %s: lease %d: want 0 to the burst, %d", r.Name, r.Lease, b.burst)
	case r.Down < DownShare || r.Down > DownClosed:
		return rule{}, fmt.Errorf("rule %s: Down %d is none of DownShare, DownOpen, DownClosed", r.Name, r.Down)
	}
	r.Rate.Burst = b.burst
	// In a store each rate has buckets of its own: while a new one is rolled out there
	// are two, and the smaller would cut what the larger is owed at every look.
	bucket := fmt.Sprintf("%s\x00%d/%d", r.Name, b.capacity, b.interval)
	return rule{Rule: r, bounds: b, bucket: bucket, prefix: `"` + r.Name + `";r=`}, nil
}
