package nearest_test

import (
	"testing"

	"github.com/banyanhq/banyan/internal/nearest"
)

func TestTo(t *testing.T) {
	t.Parallel()
	known := []string{"listen", "store", "monolith", "to"}
	for given, want := range map[string]string{
		"listn": "listen", "lsiten": "listen", "stores": "store", "monolit": "monolith", "too": "to", "x": "", "": "", "views": "",
	} {
		if got := nearest.To(given, known); got != want {
			t.Errorf("To(%q) = %q, want %q", given, got, want)
		}
	}
}
