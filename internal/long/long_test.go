package long_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/internal/long"
)

func TestSize(t *testing.T) {
	for _, c := range []struct {
		percent string
		want    int
		long    bool
	}{
		{"", 50, false},
		{"0", 50, false},
		{"-5", 50, false},
		{"1", 50, true},
		{"10", 100, true},
		{"12.5", 125, true},
		{"100", 1000, true},
		{"300", 3000, true},
	} {
		t.Run(c.percent, func(t *testing.T) {
			t.Setenv(long.SizeVariable, c.percent)
			if got := long.Size(50, 1000); got != c.want {
				t.Errorf("Size(50, 1000) = %d, want %d", got, c.want)
			}
			want := time.Duration(c.want) * time.Second
			if got := long.Duration(50*time.Second, 1000*time.Second); got != want {
				t.Errorf("Duration(50 s, 1000 s) = %v, want %v", got, want)
			}
			if got := long.Long(); got != c.long {
				t.Errorf("Long() = %v, want %v", got, c.long)
			}
		})
	}
}

func TestAWrongSizeIsNotAShortRun(t *testing.T) {
	for _, text := range []string{"full", "100%", "NaN", "Inf"} {
		t.Run(text, func(t *testing.T) {
			t.Setenv(long.SizeVariable, text)
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, text) {
					t.Errorf("the panic says %q, want it to name %q", got, text)
				}
			}()
			got := long.Size(1, 100)
			t.Errorf("Size returned %d with %s=%q, want a panic", got, long.SizeVariable, text)
		})
	}
}

// log notes what a test would log or die of.
type log struct {
	testing.TB
	lines []string
}

func (l *log) Helper() {}

func (l *log) Logf(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *log) Fatalf(format string, args ...any) { l.Logf("fatal: "+format, args...) }

func TestSeed(t *testing.T) {
	t.Setenv(long.SeedVariable, "")
	l := &log{}
	first, second := long.Seed(l), long.Seed(l)
	if first == second {
		t.Errorf("two calls returned the same seed %d, want new ones", first)
	}
	if want := fmt.Sprintf("BANYAN_SEED=%d", first); l.lines[0] != want {
		t.Errorf("logged %q, want %q", l.lines[0], want)
	}
	t.Setenv(long.SeedVariable, "18446744073709551615")
	if got := long.Seed(l); got != 1<<64-1 {
		t.Errorf("Seed = %d, want the one of the environment", got)
	}
	t.Setenv(long.SeedVariable, "x")
	long.Seed(l)
	if got := strings.Join(l.lines, "\n"); !strings.Contains(got, `fatal: BANYAN_SEED="x"`) {
		t.Errorf("a seed that is no number was accepted: %s", got)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	l := &log{}
	long.Report(l, "R7", "%d events, 100%% seen", 5)
	if want := "LONG R7: 5 events, 100% seen"; len(l.lines) != 1 || l.lines[0] != want {
		t.Errorf("logged %q, want %q", l.lines, want)
	}
}
