// Package gatetest is what the tests of the gateway and of its policies have in
// common. It knows handlers, servers and bytes on the wire, and nothing of the
// packages under test. Header fields are given as "Name: value". What it starts ends
// with the test, and a test that it cannot help fails.
//
//	h := policy.Handler(gatetest.Page(200, "hello", "Content-Type: text/plain"))
//	w := gatetest.Ask(h, "GET", "/", "Accept-Encoding: gzip")
//	gatetest.Each(t, h, func(t *testing.T, address string) {
//		resp := gatetest.Fetch(t, gatetest.To(t, "GET", address, nil))
//		…
//	})
package gatetest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/banyanhq/banyan"
)

// T is a testing.TB or a rapid.T.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Cleanup(f func())
}

// Invalid checks that a configuration was refused, for a reason.
func Invalid(t T, err error, want string) {
	t.Helper()
	if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an invalid configuration with %q", err, want)
	}
}

// Files writes texts by their path in a new folder, and returns the folder.
func Files(t testing.TB, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		path := filepath.Join(dir, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Log is a buffer that may be read while it is written.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String returns all that was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Count returns how often a text was written so far.
func (l *Log) Count(text string) int { return strings.Count(l.String(), text) }
