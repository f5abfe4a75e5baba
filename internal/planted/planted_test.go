package planted_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/internal/planted"
)

// notes is a test that only notes how it fails.
type notes struct {
	testing.TB
	failed []string
}

func (n *notes) Helper()                   {}
func (n *notes) Errorf(f string, a ...any) { n.failed = append(n.failed, fmt.Sprintf(f, a...)) }
func (n *notes) Fatal(a ...any)            { n.failed = append(n.failed, fmt.Sprint(a...)); panic(n) }
func (n *notes) Fatalf(f string, a ...any) { n.Errorf(f, a...); panic(n) }

// check returns how Check fails, or "".
func check(file, section string, bugs []planted.Bug) string {
	n := &notes{}
	func() {
		defer func() { _ = recover() }() // the end of a test that failed for good
		planted.Check(n, file, section, bugs)
	}()
	return strings.Join(n.failed, "\n")
}

func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bugs.md")
	if err := os.WriteFile(file, []byte("# Title\n<!-- a -->\nold\n<!-- end of a -->\nkept\n<!-- b -->\n<!-- end of b -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bugs := []planted.Bug{{Name: "it lies | cheats", Caught: []string{"TestA", "TestB"}}, {Name: "it is late", Caught: []string{"TestC"}}}
	if got := check(file, "a", bugs); !strings.Contains(got, planted.UpdateVariable) {
		t.Errorf("a section that differs: %q, want an error that says how to write it", got)
	}
	t.Setenv(planted.UpdateVariable, "1")
	if got := check(file, "a", bugs); got != "" {
		t.Errorf("writing: %s", got)
	}
	t.Setenv(planted.UpdateVariable, "")
	if got := check(file, "a", bugs); got != "" {
		t.Errorf("after it was written: %s", got)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := "# Title\n<!-- a -->\n\n| 2 planted bugs | caught by |\n|---|---|\n| it lies \\| cheats | `TestA`, `TestB` |\n| it is late | `TestC` |\n\n<!-- end of a -->\nkept\n<!-- b -->\n<!-- end of b -->\n"
	if string(text) != want {
		t.Errorf("the file is\n%s\nwant\n%s", text, want)
	}
	for name, other := range map[string][]planted.Bug{"one less": bugs[:1], "one more": append(bugs, bugs[0]), "another order": {bugs[1], bugs[0]}} {
		if check(file, "a", other) == "" {
			t.Errorf("%s went unnoticed", name)
		}
	}
	if check(file, "c", bugs) == "" {
		t.Error("a section that is missing went unnoticed")
	}
}
