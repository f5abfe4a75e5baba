package gateway

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// suggest names the entry that is likely meant, or all of them.
func suggest[V any](given string, known map[string]V) string {
	names := slices.Sorted(maps.Keys(known))
	best, least := "", 1+len(given)/3
	for _, name := range names {
		if d := distance(given, name); d <= least {
			best, least = name, d-1
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %q?", best)
	case len(names) == 0:
		return "; there are none"
	}
	return "; there are " + strings.Join(names, ", ")
}

// distance is the number of insertions, deletions and replacements that turn a
// into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
