package limit_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/limit"
)

func TestParseRate(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tests := []struct {
		text  string
		want  limit.Rate
		again string // what String returns
	}{
		{"100/s", limit.Rate{Count: 100, Per: time.Second, Burst: 100}, "100/s"},
		{"1000/1h burst 50", limit.Rate{Count: 1000, Per: time.Hour, Burst: 50}, "1000/h burst 50"},
		{" 10/minute  burst 10 ", limit.Rate{Count: 10, Per: time.Minute, Burst: 10}, "10/m"},
		{"5/1m30s", limit.Rate{Count: 5, Per: 90 * time.Second, Burst: 5}, "5/90s"},
		{"10/7d", limit.Rate{Count: 10, Per: 7 * day, Burst: 10}, "10/7d"},
		{"5000/day", limit.Rate{Count: 5000, Per: day, Burst: 5000}, "5000/d"},
		{"10/100ms", limit.Rate{Count: 10, Per: 100 * time.Millisecond, Burst: 10}, "10/100ms"},
		{"1/100d", limit.Rate{Count: 1, Per: 100 * day, Burst: 1}, "1/100d"},
		{"10000000/s", limit.Rate{Count: 10_000_000, Per: time.Second, Burst: 10_000_000}, "10000000/s"},
	}
	for _, tt := range tests {
		got, err := limit.ParseRate(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("%q: got %+v, %v, want %+v", tt.text, got, err, tt.want)
		}
		if got.String() != tt.again {
			t.Errorf("%q: String returns %q, want %q", tt.text, got.String(), tt.again)
		}
	}
}

func TestParseRateRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ text, want string }{
		{"", "empty"},
		{"100", "COUNT/PERIOD"},
		{"100 / s", "COUNT/PERIOD"},
		{"/s", "the count"},
		{"0/s", "the count"},
		{"-1/s", "the count"},
		{"+1/s", "the count"},
		{"1.5/s", "the count"},
		{"1e3/s", "the count"},
		{"007/s", "the count"},
		{"99999999999999999999/s", "the count"},
		{"100/", "the period"},
		{"100/fortnight", "the period"},
		{"100/0s", "the period"},
		{"100/-1s", "the period"},
		{"100/0d", "the period"},
		{"100/s burst", "burst N"},
		{"100/s burst 0", "the burst"},
		{"100/s bursts 5", "burst N"},
		{"100/s burst 5 or 6", "burst N"},
		{"20000000/s", "10 million"},
		{"1/101d", "100 days"},
		{"1/h burst 2401", "100 days"},
		{"1/99999999999999d", "the period"},
		{"1/s burst 9223372036854775807", "100 days"},
	}
	for _, tt := range tests {
		_, err := limit.ParseRate(tt.text)
		if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want an invalid one that mentions %q", tt.text, err, tt.want)
		}
	}
}

// What is read is written so that it is read again as the same.
func FuzzParseRate(f *testing.F) {
	for _, text := range []string{"100/s", "1000/1h burst 50", "5/1m30s", "10/7d", "1/1.5h", "3/7ns burst 1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := limit.ParseRate(text)
		if err != nil {
			if !errors.Is(err, banyan.ErrInvalid) || r != (limit.Rate{}) {
				t.Errorf("%q: %+v with error %v", text, r, err)
			}
			return
		}
		if again, err := limit.ParseRate(r.String()); err != nil || again != r {
			t.Errorf("%q is %+v, written as %q, read as %+v, %v", text, r, r.String(), again, err)
		}
		if _, err := limit.New([]limit.Rule{{Rate: r}}, nil); err != nil {
			t.Errorf("%q is a rate that New refuses: %v", text, err)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	ok := rate(t, "10/s")
	memory := newMemory(t, 10)
	cluster := newCluster(t, memory, nil)
	tests := map[string]struct {
		rules []limit.Rule
		o     *limit.Options
		want  string
	}{
		"no rule":       {nil, nil, "0 rules"},
		"five rules":    {make([]limit.Rule, 5), nil, "5 rules"},
		"no rate":       {[]limit.Rule{{}}, nil, "count 0"},
		"no period":     {[]limit.Rule{{Rate: limit.Rate{Count: 1}}}, nil, "period"},
		"burst below 0": {[]limit.Rule{{Rate: limit.Rate{Count: 1, Per: 1e9, Burst: -1}}}, nil, "burst -1"},
		"quote in name": {[]limit.Rule{{Rate: ok, Name: `a"b`}}, nil, "name"},
		"umlaut":        {[]limit.Rule{{Rate: ok, Name: "ä"}}, nil, "name"},
		"long name":     {[]limit.Rule{{Rate: ok, Name: strings.Repeat("a", 129)}}, nil, "name"},
		"same names":    {[]limit.Rule{{Rate: ok}, {Rate: ok, Name: "default"}}, nil, "two rules"},
		"lease > burst": {[]limit.Rule{{Rate: ok, Lease: 11}}, nil, "lease 11"},
		"mixed leases":  {[]limit.Rule{{Rate: ok, Lease: 1}, {Rate: ok, Name: "b"}}, nil, "lease"},
		"down":          {[]limit.Rule{{Rate: ok, Down: 3}}, nil, "Down 3"},
		"both":          {[]limit.Rule{{Rate: ok}}, &limit.Options{Memory: memory, Cluster: cluster}, "exclude"},
	}
	for name, tt := range tests {
		if _, err := limit.New(tt.rules, tt.o); !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an invalid one that mentions %q", name, err, tt.want)
		}
	}
	for _, o := range []*limit.ClusterOptions{{Timeout: -1}, {Pause: -1}, {Batch: -1}, {Processes: -1}, {Processes: 257}, {Keys: -1}} {
		if _, err := limit.NewCluster(memory, o); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%+v: got %v, want an invalid one", o, err)
		}
	}
	if _, err := limit.NewCluster(nil, nil); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("no store: got %v, want an invalid one", err)
	}
	if _, err := limit.NewMemory(&limit.MemoryOptions{Keys: 1<<30 + 1}); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("too many keys: got %v, want an invalid one", err)
	}
}
