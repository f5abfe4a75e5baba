package main

import (
	"strings"
	"time"
)

const timeHelp = "2010-12-08T12:00:00Z, a date (2010-12-08: its end, UTC), or a duration ago (90m, 36h, 7d)"

// parseTime reads a moment. A date means its last microsecond, so that "the state
// at 8 December" includes that day.
func parseTime(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t.AddDate(0, 0, 1).Add(-time.Microsecond), nil
	}
	ago := strings.TrimSuffix(strings.TrimPrefix(text, "-"), " ago")
	if d, err := time.ParseDuration(ago); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if days, ok := strings.CutSuffix(ago, "d"); ok {
		// A day is 24 hours here; ParseDuration does the arithmetic and its bounds.
		if d, err := time.ParseDuration(days + "h"); err == nil && d >= 0 && d < 1<<62/24 {
			return now.Add(-24 * d), nil
		}
	}
	return time.Time{}, usage("%q is not a time; write %s", text, timeHelp)
}
