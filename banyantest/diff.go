package banyantest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/banyanhq/banyan"
)

// diffEvents returns the difference of two lists of events, "" when there is
// none.
func diffEvents(want, got []banyan.Event) string {
	return diffLines(eventLines(want), eventLines(got))
}

// eventLines shows events as lines: type and version, then the JSON, one member
// on each.
func eventLines(events []banyan.Event) []string {
	var lines []string
	for _, e := range events {
		lines = append(lines, fmt.Sprintf("%s v%d", e.Type, max(e.Schema, 1)))
		lines = append(lines, jsonLines(e.Data)...)
	}
	return lines
}

func jsonLines(data []byte) []string {
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(data), "  ", "  "); err != nil {
		return []string{fmt.Sprintf("  %q", data)}
	}
	return strings.Split("  "+out.String(), "\n")
}

// diffLines returns all lines, those only in want after "- ", those only in got
// after "+ "; or "" when the lists are equal. It takes the longest common
// subsequence, in time and memory of the product of the lengths.
func diffLines(want, got []string) string {
	common := make([][]int, len(want)+1) // of want[i:] and got[j:]
	for i := range common {
		common[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			if want[i] == got[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	if n := common[0][0]; n == len(want) && n == len(got) {
		return ""
	}
	var out strings.Builder
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			fmt.Fprintf(&out, "  %s\n", want[i])
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && common[i+1][j] >= common[i][j+1]:
			fmt.Fprintf(&out, "- %s\n", want[i])
			i++
		default:
			fmt.Fprintf(&out, "+ %s\n", got[j])
			j++
		}
	}
	return out.String()
}
