package gateway

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/banyanhq/banyan/internal/nearest"
)

// suggest names the entry that is likely meant, or all of them.
func suggest[V any](given string, known map[string]V) string {
	names := slices.Sorted(maps.Keys(known))
	best := nearest.To(given, names)
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %q?", best)
	case len(names) == 0:
		return "; there are none"
	}
	return "; there are " + strings.Join(names, ", ")
}
