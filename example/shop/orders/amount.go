package orders

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

// maxDigits bounds numbers in text: sums of such numbers stay short enough to be
// stored and compared, however many are added.
const maxDigits = 40

// quantity reads a whole number. "6.0" is one: spreadsheets write it.
func quantity(text string) (int64, error) {
	whole, fraction, err := plainDecimal(text)
	if err != nil {
		return 0, err
	}
	if strings.Trim(fraction, "0") != "" {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is out of range", text)
	}
	return n, nil
}

// price reads an exact decimal number.
func price(text string) (decimal.Decimal, error) {
	whole, fraction, err := plainDecimal(text)
	if err != nil {
		return decimal.Decimal{}, err
	}
	d, err := decimal.NewFromString(whole + "." + fraction)
	if err != nil {
		return decimal.Decimal{}, fmt.Errorf("%q is not a number", text)
	}
	return d, nil
}

// plainDecimal splits an optional sign with digits from the fraction; there is at
// least one digit before the point. Exponents are refused: they make short texts
// of numbers that fill the memory.
func plainDecimal(text string) (whole, fraction string, err error) {
	trimmed := strings.TrimSpace(text)
	if trimmed == "" {
		return "", "", fmt.Errorf("is missing")
	}
	if len(trimmed) > maxDigits {
		return "", "", fmt.Errorf("has %d characters, more than %d", len(trimmed), maxDigits)
	}
	unsigned := trimmed
	if trimmed[0] == '-' || trimmed[0] == '+' {
		unsigned = trimmed[1:]
	}
	sign := trimmed[:len(trimmed)-len(unsigned)]
	whole, fraction, _ = strings.Cut(unsigned, ".")
	if whole+fraction == "" || strings.Trim(whole, "0123456789") != "" || strings.Trim(fraction, "0123456789") != "" {
		return "", "", fmt.Errorf("%q is not a number in plain digits", text)
	}
	return sign + "0" + whole, fraction, nil
}
