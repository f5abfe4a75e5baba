package banyan_test

import (
	"os"
	"strings"
	"testing"
)

// The README shows the quick start's code, so it compiles: everything but the
// imports must stand in both.
func TestReadmeShowsTheQuickStart(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("example/quickstart/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, found := strings.Cut(string(readme), "```go\n")
	if !found {
		t.Fatal("README.md has no Go code")
	}
	shown, _, _ = strings.Cut(shown, "```")
	if !strings.Contains(string(code), shown) {
		t.Error("the Go code in README.md is not that of example/quickstart/main.go")
	}
}
