package http1_test

import (
	"testing"

	"github.com/banyanhq/banyan/internal/http1"
)

// A name with empty labels is another one to who drops dots.
func TestEmptyLabels(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"a.example": true, "a.example.": true, "a.example.:80": true, "localhost": true, "10.0.0.1": true, "[::1]:80": true, "_dns.example": true,
		"a.example..": false, "a.example..:80": false, ".a.example": false, "a..example": false, ".": false, "..": false, "": false, ":80": false,
	} {
		if got := http1.ValidHost(host); got != want {
			t.Errorf("ValidHost(%q) = %v", host, got)
		}
	}
}
