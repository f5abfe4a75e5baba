package gatebench

import (
	"context"
	"time"
)

// Load asks an address over connections for d, at a rate, or as fast as it answers
// if that is 0. It returns how long each answer took.
func Load(ctx context.Context, address string, connections int, d time.Duration, rate int, headers ...string) ([]time.Duration, error) {
	s, err := newTarget(address, headers...).load(ctx, connections, d, rate)
	return s.took, err
}

// Tokens is tokens.
func Tokens(n int) ([]string, error) { return tokens(n) }

// Answer is what the server behind says.
const Answer = answer

// Median is median.
func Median(values ...float64) float64 { return median(values) }
