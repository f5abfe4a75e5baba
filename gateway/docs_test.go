package gateway_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// The files that the documentation shows are right.
func TestDocumentedFiles(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) < 2 {
		t.Fatalf("%d files in the documentation", len(blocks))
	}
	for _, b := range blocks {
		c, err := gateway.Parse("docs/gateway.md", b[1])
		if err != nil {
			t.Error(err)
		} else if found := c.Warnings(); len(found) > 0 {
			t.Errorf("%s\nit is warned of: %v", b[1], found)
		}
	}
}
