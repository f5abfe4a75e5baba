package storetest_test

import (
	"testing"

	"github.com/banyanhq/banyan/internal/planted"
)

// R48: the page shows the bugs that are really planted.
func TestPlantedBugs(t *testing.T) {
	t.Parallel()
	var bugs []planted.Bug
	for _, m := range allMutants() {
		bugs = append(bugs, planted.Bug{Name: m.name, Caught: m.caught})
	}
	planted.Check(t, "../../docs/planted-bugs.md", "store/storetest", bugs)
}
