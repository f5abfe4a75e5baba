package view

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
)

// Index values are text, compared byte by byte on every back end alike. These
// functions give text whose order is the order of the values.

// Int gives text that sorts like the number.
func Int(n int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n)^(1<<63))
	return hex.EncodeToString(b[:])
}

// Time gives text that sorts like the instant, to the microsecond.
func Time(t time.Time) string { return Int(t.UnixMicro()) }

// Decimal gives text that sorts like the decimal number, of any length and
// exactly: "-12.50" before "3" before "12.5". The number is an optional sign,
// digits, and an optional fraction. The text is a sign, the count of the digits
// before the point, and the digits; for negative numbers everything is
// complemented so that larger magnitudes sort first.
func Decimal(s string) (string, error) {
	negative := strings.HasPrefix(s, "-")
	whole, fraction, _ := strings.Cut(strings.TrimLeft(s, "+-"), ".")
	if len(s)-len(strings.TrimLeft(s, "+-")) > 1 || !digits(whole) || !digits(fraction) || whole+fraction == "" {
		return "", fmt.Errorf("view: decimal %q: %w: want digits with an optional sign and fraction", s, banyan.ErrInvalid)
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if len(whole) > 9999 {
		return "", fmt.Errorf("view: decimal of %d digits: %w: more than 9999", len(whole), banyan.ErrInvalid)
	}
	text := fmt.Sprintf("%04d%s%s", len(whole), whole, fraction)
	if !negative || whole+fraction == "" {
		return "1" + text, nil
	}
	flipped := []byte(text)
	for i, c := range flipped {
		flipped[i] = '0' + '9' - c
	}
	return "0" + string(flipped) + "~", nil // "~" sorts a longer fraction before its own prefix
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
