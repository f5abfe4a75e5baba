package viewtest_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/banyanhq/banyan/internal/planted"
)

// R48: the page shows the bugs that are really planted.
func TestPlantedBugs(t *testing.T) {
	t.Parallel()
	var bugs []planted.Bug
	for _, name := range slices.Sorted(maps.Keys(mutants)) {
		bugs = append(bugs, planted.Bug{Name: name, Caught: []string{mutants[name].fails}})
	}
	planted.Check(t, "../../docs/planted-bugs.md", "view/viewtest", bugs)
}
