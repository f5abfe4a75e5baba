package openapi

import (
	"cmp"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// decimal is a number as its digits and a power of ten: 0.digits × 10^size. Two
// of them compare exactly without arithmetic, whatever their size. Its digits
// begin and end with another digit than 0; zero has none.
type decimal struct {
	negative bool
	digits   string
	size     int
}

// decimalOf reads what isNumber accepts.
func decimalOf(text string) decimal {
	var d decimal
	text, d.negative = strings.CutPrefix(text, "-")
	exponent := 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		exponent, _ = strconv.Atoi(text[i+1:]) // isNumber bounds it
		text = text[:i]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	digits := whole
	if fraction != "" {
		digits += fraction
	}
	d.size = len(whole) + exponent
	before := len(digits)
	digits = strings.TrimLeft(digits, "0")
	d.size -= before - len(digits)
	if d.digits = strings.TrimRight(digits, "0"); d.digits == "" {
		return decimal{}
	}
	return d
}

// decimalOfRat takes a rational number that was written as a decimal.
func decimalOfRat(r *big.Rat) decimal {
	n, _ := r.FloatPrec()
	return decimalOf(r.FloatString(n))
}

// integer reports whether nothing stands behind the point.
func (d decimal) integer() bool { return len(d.digits) <= max(d.size, 0) }

func (d decimal) sign() int {
	switch {
	case d.digits == "":
		return 0
	case d.negative:
		return -1
	}
	return 1
}

// compare returns -1, 0 or 1 for less, equal and more.
func (d decimal) compare(e decimal) int {
	sign := d.sign()
	if other := e.sign(); sign != other || sign == 0 {
		return cmp.Compare(sign, other)
	}
	return sign * cmp.Or(cmp.Compare(d.size, e.size), strings.Compare(d.digits, e.digits))
}

// multiple reports whether text is a multiple of unit.
func multiple(text string, unit *big.Rat) bool {
	r, ok := new(big.Rat).SetString(text)
	return ok && r.Quo(r, unit).IsInt()
}

func rational(text string) (*big.Rat, bool) { return new(big.Rat).SetString(text) }

// String writes the number without an exponent where it is short.
func (d decimal) String() string {
	sign := ""
	if d.negative {
		sign = "-"
	}
	switch n := len(d.digits); {
	case n == 0:
		return "0"
	case d.size > 30 || d.size < -10:
		return fmt.Sprintf("%s0.%se%d", sign, d.digits, d.size)
	case d.size <= 0:
		return sign + "0." + strings.Repeat("0", -d.size) + d.digits
	case d.size >= n:
		return sign + d.digits + strings.Repeat("0", d.size-n)
	}
	return sign + d.digits[:d.size] + "." + d.digits[d.size:]
}
