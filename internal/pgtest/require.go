package pgtest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Require ends a test that cannot run because something outside the repository
// is missing on this machine: it skips with the reason, or fails where the
// environment variable BANYAN_REQUIRE, a comma-separated list such as
// "postgres,loop", names what is missing. CI sets it, so that a test nobody runs
// does not look like a test that passes.
func Require(t testing.TB, what, reason string) {
	t.Helper()
	required := strings.FieldsFunc(os.Getenv("BANYAN_REQUIRE"), func(r rune) bool { return r == ',' || r == ' ' })
	if slices.Contains(required, what) {
		t.Fatalf("%s is missing, and BANYAN_REQUIRE asks for it: %s", what, reason)
	}
	t.Skipf("needs %s: %s", what, reason)
}
