// Package planted publishes the bugs that tests plant into otherwise right code to
// see that another test finds them: docs/planted-bugs.md has a section for each
// list, and the package that has the list compares the two.
//
//	func TestPlantedBugs(t *testing.T) {
//		planted.Check(t, "../../docs/planted-bugs.md", "store/storetest", bugs)
//	}
//
// With BANYAN_UPDATE_GOLDEN=1 the section is written instead; -p 1 keeps two
// packages from writing the file at once.
package planted

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// UpdateVariable is the environment variable that has sections written.
const UpdateVariable = "BANYAN_UPDATE_GOLDEN"

// Bug is a planted bug.
type Bug struct {
	// Name says what is wrong with the code.
	Name string
	// Caught are the tests each of which fails because of it.
	Caught []string
}

// Check compares the section of a file with the bugs.
func Check(t testing.TB, file, section string, bugs []Bug) {
	t.Helper()
	begin, end := "<!-- "+section+" -->\n", "<!-- end of "+section+" -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), begin)
	got, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no section between %q and %q", file, strings.TrimSpace(begin), end)
	}
	want := table(bugs)
	switch {
	case got == want:
	case os.Getenv(UpdateVariable) == "1":
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s: the section %s differs from the code at %s; %s=1 go test writes it", file, section, difference(got, want), UpdateVariable)
	}
}

func table(bugs []Bug) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %d planted bugs | caught by |\n|---|---|\n", len(bugs))
	for _, bug := range bugs {
		fmt.Fprintf(&b, "| %s | `%s` |\n", strings.ReplaceAll(bug.Name, "|", `\|`), strings.Join(bug.Caught, "`, `"))
	}
	b.WriteString("\n")
	return b.String()
}

// difference shows the first line that differs.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range w {
		if i >= len(g) || g[i] != w[i] {
			return fmt.Sprintf("%q, want %q", strings.Join(g[min(i, len(g)):min(i+1, len(g))], ""), w[i])
		}
	}
	return fmt.Sprintf("%q, want nothing more", g[len(w)])
}
