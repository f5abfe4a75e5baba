package storetest_test

import (
	"slices"
	"testing"
	"time"

	"github.com/banyanhq/banyan/store/storetest"
)

func TestMachineFindsBrokenBackEnds(t *testing.T) {
	t.Parallel()
	if failure := storetest.RunMachine(t, right, 1, 1000, time.Minute); failure != "" {
		t.Fatalf("a right back end: %s", failure)
	}
	var missed []string
	all := slices.Concat(appendMutants(), readMutants(), keepMutants())
	for _, m := range all {
		found := false
		for seed := range uint64(5) {
			if found = storetest.RunMachine(t, m.build(), seed, 100, time.Second) != ""; found {
				break
			}
		}
		if !found {
			missed = append(missed, m.name)
		}
	}
	if len(missed) > len(all)/2 {
		t.Errorf("a machine found %d of %d broken back ends, want at least half; not found: %q", len(all)-len(missed), len(all), missed)
	}
	t.Logf("a machine found %d of %d broken back ends; not found: %q", len(all)-len(missed), len(all), missed)
}
