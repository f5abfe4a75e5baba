// Package long gives tests two sizes: a short one for every run of go test, and
// the one that docs/guarantees.md names, for runs that may take an hour.
//
// The size is chosen by the environment: BANYAN_LONG is the percentage of the
// full size, so 100 is all of it and 1 a hundredth, which tries a long run out.
// BANYAN_SEED repeats a run. internal/faults sets both and collects the lines
// that Report writes:
//
//	func TestOrder(t *testing.T) {
//		events := long.Size(20_000, 1_000_000)
//		random := rand.New(rand.NewPCG(long.Seed(t), 1))
//		…
//		long.Report(t, "R7", "%d events, %d missed", events, missed)
//	}
package long

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// The environment variables that choose the size and the seed.
const (
	SizeVariable = "BANYAN_LONG"
	SeedVariable = "BANYAN_SEED"
)

// Size returns short, or in a long run the asked percentage of full, but never
// less than short. It panics when BANYAN_LONG is no number: a run that was meant
// to be long must not pass because it was short.
func Size(short, full int) int {
	return max(short, int(math.Round(float64(full)*percent()/100)))
}

// Duration is Size for a time.
func Duration(short, full time.Duration) time.Duration {
	return max(short, time.Duration(float64(full)*percent()/100))
}

// Long says whether this is a long run.
func Long() bool { return percent() > 0 }

func percent() float64 {
	text := os.Getenv(SizeVariable)
	if text == "" {
		return 0
	}
	p, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(p) || math.IsInf(p, 0) {
		panic(fmt.Sprintf("long: %s=%q is no number: give a percentage of the full size, such as 100", SizeVariable, text))
	}
	return max(p, 0)
}

// Seed returns the seed of a test's random choices, new on each call unless
// BANYAN_SEED gives one, and logs it, so that a failure can be repeated.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(SeedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s=%q is no seed: give a number from 0 to 2^64-1: %v", SeedVariable, text, err)
		}
	}
	t.Logf("%s=%d", SeedVariable, seed)
	return seed
}

// Report logs the figures of a test under the number of its guarantee, on a line
// that starts with "LONG R7: ". go test shows it with -v.
func Report(t testing.TB, guarantee, format string, args ...any) {
	t.Helper()
	t.Logf("LONG %s: %s", guarantee, fmt.Sprintf(format, args...))
}
