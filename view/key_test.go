package view_test

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

func TestIntAndTimeSortLikeTheirValues(t *testing.T) {
	t.Parallel()
	values := []int64{math.MinInt64, math.MinInt64 + 1, -256, -2, -1, 0, 1, 255, 256, math.MaxInt64}
	for i := 1; i < len(values); i++ {
		if a, b := view.Int(values[i-1]), view.Int(values[i]); a >= b {
			t.Errorf("Int(%d) = %s is not below Int(%d) = %s", values[i-1], a, values[i], b)
		}
	}
	times := []time.Time{{}, time.Unix(-1, 0), time.Unix(0, 0), time.Unix(0, 1000), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	for i := 1; i < len(times); i++ {
		if a, b := view.Time(times[i-1]), view.Time(times[i]); a >= b {
			t.Errorf("Time(%v) = %s is not below Time(%v) = %s", times[i-1], a, times[i], b)
		}
	}
}

func TestDecimalSortsLikeTheNumber(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() string {
		digits := func(n int) string {
			var s strings.Builder
			for range n {
				fmt.Fprint(&s, rng.IntN(3)*4) // few digits, so that prefixes are common
			}
			return s.String()
		}
		return []string{"", "-", "+"}[rng.IntN(3)] + "0" + digits(rng.IntN(4)) + []string{"", "." + digits(1+rng.IntN(4))}[rng.IntN(2)]
	}
	for range 20_000 {
		checkDecimals(t, random(), random())
	}
	for _, pair := range [][2]string{
		{"-0", "0"},
		{"-0.00", "+0"},
		{"1.50", "1.5"},
		{"007", "7"},
		{".5", "0.5"},
		{"12345678901234567890.123", "12345678901234567890.1230"},
		{"-1", "-1.5"},
		{"9", "10"},
		{"-9", "-10"},
	} {
		checkDecimals(t, pair[0], pair[1])
	}
}

func checkDecimals(t *testing.T, a, b string) {
	t.Helper()
	x, errX := view.Decimal(a)
	y, errY := view.Decimal(b)
	p, okP := new(big.Rat).SetString(a)
	q, okQ := new(big.Rat).SetString(b)
	if errX != nil || errY != nil || !okP || !okQ {
		t.Errorf("Decimal of %q and %q: errors %v and %v", a, b, errX, errY)
		return
	}
	if got, want := strings.Compare(x, y), p.Cmp(q); got != want {
		t.Errorf("%s and %s compare %d as numbers and %d as %s and %s", a, b, want, got, x, y)
	}
}

func TestDecimalRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", ".", "-", "+-1", "--1", "1e5", "1.2.3", " 1", "１", "NaN", "0x1", strings.Repeat("9", 10_000)} {
		if got, err := view.Decimal(s); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("Decimal(%.20q) = %.20q and error %v, want one of kind invalid", s, got, err)
		}
	}
}

func FuzzDecimal(f *testing.F) {
	f.Add("-12.50", "3")
	f.Add("0.1", "0.09")
	f.Fuzz(func(t *testing.T, a, b string) {
		_, errA := view.Decimal(a)
		_, errB := view.Decimal(b)
		if errA == nil && errB == nil {
			checkDecimals(t, a, b)
		}
	})
}
